# A queue that nobody empties: the worker is held while others commit.  No
# commit waits or fails, whatever is full; once the worker goes on the image
# equals the tables, and nothing is left of the segments that were made.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Graphmem;

my $node = start_node('queue', <<'CONF');
max_prepared_transactions = 4
synchronous_commit = off
dynamic_shared_memory_type = mmap
CONF
create_database($node, 'queue');

$node->safe_psql('queue', q{
	INSERT INTO graphmem.facts (subject, predicate, object)
	SELECT 'e' || i, 'p', 'e' || i * 7 % 50 FROM generate_series(1, 100) i;
	CREATE PROCEDURE fill(first int, transactions int, rows_each int) LANGUAGE plpgsql AS $$
	BEGIN
		FOR i IN 1 .. transactions LOOP
			INSERT INTO graphmem.entities (entity_id, graph_id, name)
			SELECT id, 1, 'filled ' || id
			FROM generate_series(first + (i - 1) * rows_each, first + i * rows_each - 1) id;
			COMMIT;
		END LOOP;
	END $$;
});

sub sound
{
	my ($what) = @_;

	is( $node->safe_psql('queue', q{
			SET graphmem.sync_timeout = '120s';
			SELECT graphmem.wait_for_sync();
			SELECT count(*) FROM graphmem.match('e1', 'p');
			SELECT path || coalesce(': ' || reason, '') FROM graphmem.stat_backend;
			SELECT c::text FROM graphmem.check() c;}),
		"t\n1\nshared", "$what: sound");
	is( $node->safe_psql('queue', q{
			SET graphmem.sync_timeout = '120s';
			SELECT count(*) FROM graphmem.traverse(ARRAY(
				SELECT name FROM graphmem.entities WHERE name LIKE 'filled %' AND entity_id % 97 = 0), 0)}),
		$node->safe_psql('queue',
			q{SELECT count(*) FROM graphmem.entities WHERE name LIKE 'filled %' AND entity_id % 97 = 0}),
		"$what: the new entities are known");
	return;
}

sub counter
{
	my ($column) = @_;

	return $node->safe_psql('queue', "SELECT $column FROM graphmem.stat_worker");
}

# Segments that hold changes: images lie in larger ones, and the server has one
# of its own.
sub segments
{
	return grep({ (-s $_ // 0) < 1024 * 1024 } glob($node->data_dir . '/pg_dynshmem/mmap.*')) - 1;
}

sub while_held
{
	my ($what, $sql) = @_;
	my $pid = counter('pid');

	kill('STOP', $pid);
	my ($status, $out, $err) = $node->psql('queue', $sql);
	is($status, 0, "$what: commits") or diag($err);
	is($err, '', "$what: without a warning");
	my $held = segments();
	kill('CONT', $pid);
	return $held;
}

sound('at first');
is(segments(), 0, 'no segment at first');

# ---- bytes: 1000 entities are some 60 kB, the queue has 1 MB ----

my $reloads = counter('reloads');
my $held = while_held('full', 'CALL fill(100000, 40, 1000)');
cmp_ok($held, '>', 10, 'full: batches lie in segments');
sound('full');
is(counter('reloads'), $reloads, 'full: nothing was loaded again');
is(segments(), 0, 'full: the segments are given back');

while_held('one large batch', 'CALL fill(150000, 1, 20000)');
sound('one large batch');
is(counter('reloads'), $reloads, 'one large batch: nothing was loaded again');
is(segments(), 0, 'one large batch: its segment is given back');

# ---- segments ----

$held = while_held('no more segments', 'CALL fill(200000, 120, 1000)');
cmp_ok($held, '<=', 64, 'no more segments than allowed');
sound('no more segments');
cmp_ok(counter('reloads'), '>', $reloads, 'no more segments: the graph was loaded again');
is(segments(), 0, 'no more segments: they are given back');

# ---- tickets ----

my $overflows = counter('overflows');
while_held('no more tickets', 'CALL fill(400000, 6000, 1)');
sound('no more tickets');
cmp_ok(counter('overflows'), '>', $overflows, 'no more tickets: that is counted');

# a transaction that is open while everything is loaded again is not lost
{
	my $open = $node->background_psql('queue', on_error_stop => 1);

	$open->query_safe(q{
		BEGIN;
		INSERT INTO graphmem.entities (entity_id, graph_id, name) VALUES (500000 / 97 * 97, 1, 'filled open')});
	$node->safe_psql('queue', q{
		BEGIN;
		INSERT INTO graphmem.entities (entity_id, graph_id, name) VALUES (510000 / 97 * 97, 1, 'filled prepared');
		PREPARE TRANSACTION 'late'});
	while_held('no more tickets, and others open', 'CALL fill(410000, 6000, 1)');
	$open->query_safe('COMMIT');
	$node->safe_psql('queue', q{COMMIT PREPARED 'late'});
	sound('open while everything was loaded');
	$open->quit;
}

# ---- changes that only wait for the worker when it ends ----

{
	my $pid = counter('pid');

	kill('STOP', $pid);
	$node->safe_psql('queue', 'CALL fill(600000, 40, 1000)');
	$node->safe_psql('queue', "SELECT pg_terminate_backend($pid)");
	kill('CONT', $pid);
	$node->poll_query_until('queue',
		"SELECT state = 'ready' AND pid <> $pid FROM graphmem.stat_worker")
	  or BAIL_OUT('the worker does not come back');
	sound('a worker that ended');
	is(segments(), 0, 'a worker that ended: its segments are given back');
}

# ---- a small graph beside a large one ----

$node->safe_psql('queue', q{SELECT graphmem.add_triple('a', 'p', 'b', graph => graphs.name)
	FROM (SELECT 'small' AS name, graphmem.create_graph('small')) graphs});
while_held('both graphs', q{
	BEGIN;
	SELECT graphmem.add_triple('a', 'p', 'c', graph => 'small');
	DELETE FROM graphmem.entities WHERE entity_id >= 600000;
	COMMIT});
sound('both graphs');
is( $node->safe_psql('queue', q{
		SELECT string_agg(object, ',' ORDER BY object) FROM graphmem.match(graph => 'small');
		SELECT path FROM graphmem.stat_backend}),
	"b,c\nshared", 'the small graph has its change');

$node->stop;
done_testing();
