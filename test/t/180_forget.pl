# What is forgotten leaves no byte behind: not in any table, not in memory that
# the server shares, not in its files after VACUUM FULL.
#
#  - every way in that holds text is taken: facts, functions, COPY, UPDATE, an
#    open transaction's overlay, transactions and savepoints rolled back, the
#    first load of the image and later changes to it
#  - the scans find the text before (they can fail)
#  - a dry run counts what goes, and changes nothing
#  - readers walk meanwhile, and the image equals the tables afterwards
#  - a dropped graph gives its memory back
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use Graphmem;
use IPC::Run qw(start finish);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

# the bytes looked for; a name is never split over words or lower-cased
my $MARK = 'zqxjkvw';
my $BULK = 120000;

my $node = start_node('forget', "autovacuum = off\nmax_wal_size = 4GB\ngraphmem.private_memory_limit = '1GB'\n");
create_database($node, 'db');

# Shared segments that any process of this server has mapped.
sub segments
{
	my $postmaster = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];
	my %paths;

	foreach my $status (glob '/proc/[0-9]*/stat')
	{
		my $stat = eval { slurp_file($status) } or next;
		my ($pid, $parent) = $stat =~ /^(\d+) \(.*\) \S (\d+)/ or next;

		next unless $pid == $postmaster || $parent == $postmaster;
		open my $maps, '<', "/proc/$pid/maps" or next;
		while (<$maps>)
		{
			$paths{$1} = 1 if m{\s(/dev/shm/PostgreSQL\.\d+)$};
		}
		close $maps;
	}
	return sort keys %paths;
}

# Does the file hold the bytes?  A piece at a time.
sub file_holds
{
	my ($path, $bytes) = @_;
	my $tail = '';

	open my $file, '<:raw', $path or return 0;
	while (read($file, my $piece, 1 << 22))
	{
		return 1 if index($tail . $piece, $bytes) >= 0;
		$tail = substr($piece, -length($bytes));
	}
	return 0;
}

sub holding
{
	my ($bytes, @paths) = @_;

	return grep { file_holds($_, $bytes) } @paths;
}

# An idle worker is to be done within a second or so; a slow machine is no failure.
sub no_segment_holds
{
	my ($bytes, $name) = @_;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	my @left;

	do
	{
		sleep 0.2;
		@left = holding($bytes, segments());
	} while (@left && time < $deadline);
	is(scalar(@left), 0, $name);
	return;
}

# Tables and views of the schema with rows that show the text.
sub rows_holding
{
	my ($bytes) = @_;
	my $relations = $node->safe_psql('db', q{
		SELECT format('%I.%I', n.nspname, c.relname)
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE (n.nspname = 'graphmem' AND c.relkind IN ('r', 'v')) OR c.relname = 'pg_stats'
		ORDER BY 1});

	return join ' ', grep {
		$node->safe_psql('db', "SELECT EXISTS (SELECT FROM $_ r WHERE r::text LIKE '%$bytes%')") eq 't'
	} split /\n/, $relations;
}

# Relations' files, and what the extension keeps beside them.
sub files
{
	my $oid = $node->safe_psql('db', q{SELECT oid FROM pg_database WHERE datname = 'db'});
	my $dir = $node->data_dir;

	return grep { -f $_ }
	  (glob("$dir/base/$oid/*"), glob("$dir/base/pgsql_tmp*/*"), glob("$dir/pgsql_tmp*/*"),
		glob("$dir/pg_stat*/*"));
}

sub forget
{
	my ($call) = @_;

	return $node->safe_psql('db', "SELECT * FROM graphmem.$call");
}

#
# Planting
#
$node->safe_psql('db', qq{
	SELECT graphmem.add_triple('Kept', 'p', 'Kept too', source => 'kept');
	SELECT graphmem.set_predicate('p', weight => 2);
	INSERT INTO graphmem.facts (subject, predicate, object, source, properties, subject_kind)
	VALUES ('$MARK first', '$MARK says', 'Kept', '$MARK doc', '{"k": "$MARK"}', '$MARK kind'),
		('Kept', 'p', '$MARK object', '$MARK doc', NULL, NULL),
		('Kept', 'p', 'both state it', '$MARK doc', NULL, NULL),
		('Kept', 'p', 'both state it', 'kept', NULL, NULL);
	SELECT count(*) FROM graphmem.match();
});
$node->safe_psql('db', qq{
	SELECT graphmem.add_triple('Kept', 'p', '$MARK literal', source => '$MARK doc',
		object_type => '$MARK type', properties => '{"$MARK": 1}');
	SELECT graphmem.add_source('$MARK doc', content => '$MARK wrote this', kind => '$MARK kind',
		uri => 'http://$MARK', session => '$MARK session', metadata => '{"m": "$MARK"}');
	SELECT graphmem.add_entity('$MARK first', properties => '{"p": "$MARK"}');
	INSERT INTO graphmem.aliases (graph_id, name, entity_id)
		SELECT graph_id, '$MARK alias', entity_id FROM graphmem.entities WHERE name = '$MARK first';
	SELECT graphmem.set_embedding('$MARK first', '{1,2,3}');
	UPDATE graphmem.facts SET properties = '{"changed": "$MARK"}' WHERE object = 'Kept';
	SELECT graphmem.add_triple('$MARK entity', 'p', '$MARK friend');
	SELECT graphmem.add_triple('$MARK entity', 'p', 'Kept', source => 'kept',
		valid_from => '2020-01-01', valid_to => '2021-01-01');
	SELECT graphmem.add_triple('$MARK entity', 'p', 'Kept', source => 'kept', valid_from => '2199-01-01');
	SELECT count(*) FROM graphmem.match();
	BEGIN;
	INSERT INTO graphmem.facts (subject, predicate, object, source)
		VALUES ('$MARK overlay', 'p', 'Kept', '$MARK doc');
	SELECT count(*) FROM graphmem.match('$MARK overlay');
	SAVEPOINT s;
	INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('$MARK savepoint', 'p', 'Kept');
	SELECT count(*) FROM graphmem.match('$MARK savepoint');
	ROLLBACK TO s;
	COMMIT;
	BEGIN;
	INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('$MARK rolled back', 'p', 'Kept');
	SELECT count(*) FROM graphmem.match('$MARK rolled back');
	ROLLBACK;
});
$node->safe_psql('db', "COPY graphmem.facts (subject, predicate, object, source) FROM STDIN;\n"
	  . join('', map { "$MARK bulk $_\tp\t" . ($_ % 1000) . " round\t$MARK doc\n" } 1 .. $BULK)
	  . "\\.\nSELECT count(*) FROM graphmem.match()");
$node->safe_psql('db', 'ANALYZE');

my $idle = $node->background_psql('db');
$idle->query_safe("SELECT count(*) FROM graphmem.match('$MARK first')");

#
# The scans can fail
#
isnt(scalar(holding($MARK, segments())), 0, 'the text is in shared memory before');
isnt(scalar(holding($MARK, files())), 0, 'the text is in files before');
like(rows_holding($MARK), qr/graphmem\.entities/, 'the text is in tables before');
like(rows_holding($MARK), qr/pg_stats/, 'the text is in statistics before');

#
# Forgetting, while readers walk
#
my $tables = tables_of($node, 'db');
my $dry = forget("forget_source('$MARK doc', dry_run => true)");
is_deeply(tables_of($node, 'db'), $tables, 'a dry run changes no row');

my @readers = map {
	my ($out, $err) = ('', '');
	{
		err => \$err,
		run => start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('db'), '-c',
				q{DO $$ BEGIN FOR i IN 1 .. 300 LOOP
					PERFORM count(*) FROM graphmem.traverse('{Kept}', 2);
					PERFORM count(*) FROM graphmem.match('Kept'); COMMIT; END LOOP; END $$} ],
			'>', \$out, '2>', \$err)
	}
} 1 .. 2;
is(forget("forget_source('$MARK doc')"), $dry, 'the dry run counted what went');
finish($_->{run}) foreach @readers;
is(join('', map { ${ $_->{err} } } @readers), '', 'readers were not disturbed');
is($node->safe_psql('db', q{SELECT subject, object, sources FROM graphmem.facts WHERE object = 'both state it'}),
	'Kept|both state it|{kept}', 'a fact with another source stays');

$dry = forget("forget_entity('$MARK entity', dry_run => true)");
is(forget("forget_entity('$MARK entity')"), $dry, 'the dry run counted what went with the entity');
like($dry, qr/^facts\|3$/m, 'facts past and future go too');

is(rows_holding($MARK), '', 'no table and no statistics hold the text');
no_segment_holds($MARK, 'nothing that is shared holds the text');
is($node->safe_psql('db', 'SELECT * FROM graphmem.check()'), '', 'the image equals the tables');
is($node->safe_psql('db', q{SELECT count(*) FROM graphmem.match('Kept')}), 2, 'what was kept is there');

#
# Files
#
$idle->quit;
$node->safe_psql('db', 'VACUUM FULL');
$node->safe_psql('db', 'CHECKPOINT');
is(join(' ', holding($MARK, files())), '', 'no file holds the text after VACUUM FULL');

#
# A graph
#
my $memory = q{SELECT part, items, bytes FROM graphmem.stat_memory WHERE part IN ('graphs', 'retired')};
# after VACUUM FULL it is loaded again, by whoever is first
$node->safe_psql('db', 'SELECT count(*) FROM graphmem.match()');
my $before = $node->safe_psql('db', $memory);

$node->safe_psql('db', qq{
	SELECT graphmem.create_graph('other');
	SET graphmem.graph = 'other';
	INSERT INTO graphmem.facts (subject, predicate, object, subject_kind, source)
		SELECT '$MARK ' || i, '$MARK p', 'o' || i, '$MARK kind', '$MARK source' FROM generate_series(1, 20000) i;
	SELECT count(*) FROM graphmem.match()});
isnt(scalar(holding($MARK, segments())), 0, 'the graph is in shared memory before');
$node->safe_psql('db', q{SELECT graphmem.drop_graph('other')});
no_segment_holds($MARK, 'nothing that is shared holds text of a dropped graph');
my $after;
foreach (1 .. 100)
{
	$after = $node->safe_psql('db', $memory);
	last if $after eq $before;
	sleep 0.2;
}
is($after, $before, 'its memory is returned');

$node->stop;
done_testing();
