# Logical replication: what is applied reaches the subscriber's image as what is
# written there does, the first copy of the tables included.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Graphmem;

my $publisher = start_node('publisher',
	"wal_level = logical\nmax_wal_senders = 8\nmax_replication_slots = 8\n");
my $subscriber = start_node('subscriber', "max_prepared_transactions = 4\n");
create_database($publisher, 'graphs');
create_database($subscriber, 'graphs');

$publisher->safe_psql('graphs', q{
	INSERT INTO graphmem.facts (subject, predicate, object, source, confidence)
	SELECT 'e' || i, 'p' || i % 3, 'e' || i * 7 % 50, 's' || i % 5, 0.5 + i % 5 / 10.0
	FROM generate_series(1, 200) i;
	SELECT count(graphmem.set_embedding('e' || i, ARRAY[cos(i), sin(i)]::real[])) FROM generate_series(1, 50) i;
	CREATE PUBLICATION everything FOR TABLE graphmem.graphs, graphmem.entities, graphmem.aliases,
		graphmem.predicates, graphmem.triples, graphmem.sources, graphmem.assertions,
		graphmem.vector_spaces, graphmem.embeddings});

# a worker is there before the first row comes
$subscriber->safe_psql('graphs', q{
	SET graphmem.sync_timeout = '60s';
	SELECT count(*) FROM graphmem.match();
	SELECT graphmem.wait_for_sync()});
my $connection = $publisher->connstr . ' dbname=graphs';
$subscriber->safe_psql('graphs',
	"CREATE SUBSCRIPTION copies CONNECTION '$connection' PUBLICATION everything");
$subscriber->wait_for_subscription_sync($publisher, 'copies', 'graphs');

my $answers = q{
	SET graphmem.sync_timeout = '60s';
	SELECT md5(string_agg(m::text, ';')) FROM graphmem.match() m;
	SELECT md5(string_agg(m::text, ';')) FROM graphmem.confidence() m;
	SELECT md5(string_agg(m::text, ';')) FROM graphmem.vector_search('{1,0}', 100) m;
	SELECT md5(string_agg(m::text, ';')) FROM graphmem.traverse('{e1}', 3) m;
	SELECT path || coalesce(': ' || reason, '') FROM graphmem.stat_backend;
};

sub replicated
{
	my ($what, $sql) = @_;

	$publisher->safe_psql('graphs', $sql) if defined $sql;
	$publisher->wait_for_catchup('copies');
	my $got = $subscriber->safe_psql('graphs', $answers);
	like($got, qr/\nshared$/, "$what: answered from shared memory");
	is($got, $publisher->safe_psql('graphs', $answers), "$what: the same answers");
	is( $subscriber->safe_psql('graphs', q{SELECT c::text FROM graphmem.check() c}),
		'', "$what: sound");
	return;
}

replicated('first copy');
replicated('insert', q{SELECT graphmem.add_triple('new', 'p1', 'e1', 'another source', 0.25)});
replicated('update', q{
	UPDATE graphmem.triples SET confidence = 0.125 WHERE triple_id % 3 = 0;
	UPDATE graphmem.entities SET name = 'renamed' WHERE name = 'e9'});
replicated('delete', q{DELETE FROM graphmem.facts WHERE subject = 'e8'});
replicated('vectors', q{
	SELECT graphmem.set_embedding('e10', '{0.5,0.25}');
	DELETE FROM graphmem.embeddings WHERE item_id % 4 = 0});
replicated('properties only', q{UPDATE graphmem.entities SET properties = '{"a": 1}'});
replicated('out of line, and not changed', q{
	SELECT graphmem.add_triple('long ' || (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 300) i), 'p1', 'e1');
	UPDATE graphmem.entities SET kind = 'long' WHERE name LIKE 'long %'});
replicated('many rows', q{
	INSERT INTO graphmem.entities (entity_id, graph_id, name)
	SELECT 100000 + i, 1, 'many ' || i FROM generate_series(1, 20000) i;
	DELETE FROM graphmem.entities WHERE entity_id > 101000});
replicated('truncate', q{TRUNCATE graphmem.assertions});
replicated('savepoints', q{
	BEGIN;
	SELECT graphmem.add_triple('kept', 'p1', 'e1');
	SAVEPOINT one;
	SELECT graphmem.add_triple('not kept', 'p1', 'e1');
	ROLLBACK TO one;
	COMMIT});

# the subscriber's own writes and its worker's restart change nothing of that
$subscriber->safe_psql('graphs',
	q{SELECT pg_terminate_backend(pid) FROM graphmem.stat_worker});
replicated('after the worker ended', q{SELECT graphmem.add_triple('later', 'p1', 'e2')});

$subscriber->stop;
$publisher->stop;
done_testing();
