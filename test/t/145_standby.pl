# A hot standby starts no worker and answers from private images, the same as
# the primary; after promotion it gets its worker.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Graphmem;
use Workers;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1, extra => [ '--encoding=UTF8', '--locale=C' ]);
$primary->append_conf('postgresql.conf', "timezone = 'UTC'\n");
$primary->start;
create_database($primary, 'g');
$primary->safe_psql('g', q{
	INSERT INTO graphmem.facts (subject, predicate, object, source)
	SELECT 'n' || i % 50, 'p' || i % 3, 'n' || (i * 7 + 1) % 50, 's' || i % 5 FROM generate_series(1, 200) i;
	SELECT graphmem.set_embedding('n' || i, ARRAY[i, 1, i % 7]::real[]) FROM generate_series(0, 49) i});
$primary->safe_psql('g', q{SELECT state FROM graphmem.refresh_topology('spectral', 8)});
my $has_vector = q{SELECT count(*) FROM graphmem.topology WHERE entity = '%s'};

my $query = q{
	SELECT * FROM graphmem.match();
	SELECT * FROM graphmem.traverse('{n1}', 3);
	SELECT * FROM graphmem.pagerank('{n1,n2}');
	SELECT * FROM graphmem.vector_search('{1,2,3}');
	SELECT * FROM graphmem.similar('n1', 5, space => 'topology');
	SELECT count(*), sum(entity_id) FROM graphmem.topology;
	SELECT * FROM graphmem.fusion_query('{1,2,3}', seeds => '{n3}')};
my $path = 'SELECT path, reason FROM graphmem.stat_backend';

$primary->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'copy', has_streaming => 1);
$standby->start;
$primary->safe_psql('g', q{SELECT graphmem.add_triple('n1', 'p9', 'late')});
ok(wait_for(60, sub { $primary->safe_psql('g', sprintf($has_vector, 'late')) eq '1' }), 'a new entity has a vector on the primary');
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('write'));

my $expected = $primary->safe_psql('g', $query);
is($primary->safe_psql('g', "$query; $path") =~ /shared\|$/ ? 'shared' : 'not', 'shared',
	'the primary answers from shared memory');
is($standby->safe_psql('g', $query), $expected, 'the standby gives the same rows');
like($standby->safe_psql('g', "SELECT count(*) FROM graphmem.match(); $path"),
	qr/private\|the server is a standby$/, 'privately, and says why');
is($standby->safe_psql('postgres',
		q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'graphmem worker'}),
	'0', 'no worker runs there');
my (undef, undef, $error) = $standby->psql('g', '\set VERBOSITY verbose
SELECT graphmem.refresh_topology()');
like($error, qr/ERROR:  25006/, 'nor is anything computed');
is($standby->safe_psql('g', q{SELECT state FROM graphmem.refresh_topology(estimate => true)}), 'estimate', 'but estimated');
is($standby->safe_psql('g', q{SELECT graphmem.cancel_topology()}), 'f', 'there is nothing to cancel');

$primary->safe_psql('g', q{SELECT graphmem.add_triple('n1', 'p9', 'later')});
ok(wait_for(60, sub { $primary->safe_psql('g', sprintf($has_vector, 'later')) eq '1' }), 'so has another');
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('write'));
is($standby->safe_psql('g', q{SELECT count(*) FROM graphmem.match('n1', 'p9')}), '2',
	'what is replayed is seen');

$primary->stop;
$standby->promote;
$expected = $standby->safe_psql('g', "SET graphmem.shared_image = off; $query");
is($standby->safe_psql('g', $query), $expected, 'promoted: the same rows');
like($standby->safe_psql('g', "SELECT count(*) FROM graphmem.match(); $path"), qr/shared\|$/,
	'from shared memory');
is($standby->safe_psql('g', 'SELECT count(*) FROM graphmem.check()'), '0', 'equal to the tables');
$standby->safe_psql('g', q{SELECT graphmem.add_triple('n1', 'p9', 'latest')});
ok(wait_for(60, sub { $standby->safe_psql('g', sprintf($has_vector, 'latest')) eq '1' }), 'new entities have vectors there now');
is($standby->safe_psql('g', q{SELECT state FROM graphmem.refresh_topology()}), 'done', 'and it computes');
$standby->stop;

done_testing();
