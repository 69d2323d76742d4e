# Indexes of vectors as the worker builds and keeps them: alone, with helpers,
# without memory, while rows change, and while everything about it goes away.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Graphmem;
use Workers;

my $rows = 12000;
my $dim = 16;
my $node = start_node('index_worker', qq{
	max_worker_processes = 8
	restart_after_crash = on
	max_logical_replication_workers = 0
	graphmem.build_workers = 2
	graphmem.index_file = off
	graphmem.memory_limit = 0
});

my $functions = qq{
	CREATE FUNCTION stop(point text, at bool) RETURNS void AS 'graphmem', 'graphmem_stop_point' LANGUAGE C STRICT;
	CREATE FUNCTION stopped(point text) RETURNS bool AS 'graphmem', 'graphmem_stopped' LANGUAGE C STRICT;

	-- some structure, and noise; the same for the same number
	CREATE FUNCTION vector(i bigint) RETURNS real[] LANGUAGE sql IMMUTABLE AS \$\$
		SELECT array_agg((sin(i % 83 + j * 1.3) + (hashint8(i * 100 + j) / 2147483648.0))::real ORDER BY j)
		FROM generate_series(1, $dim) j \$\$;
	CREATE FUNCTION fill(graph text, space text) RETURNS bigint LANGUAGE sql AS \$\$
		WITH e AS (
			INSERT INTO graphmem.entities (graph_id, name, kind)
			SELECT g.graph_id, 'e' || i, 'thing' FROM graphmem.graphs g, generate_series(1, $rows) i
			WHERE g.name = \$1 ON CONFLICT DO NOTHING RETURNING 1)
		SELECT count(*) FROM e \$\$;
	CREATE FUNCTION fill_vectors(graph text, space text) RETURNS bigint LANGUAGE sql AS \$\$
		WITH v AS (
			INSERT INTO graphmem.embeddings (space_id, item_id, graph_id, embedding)
			SELECT s.space_id, e.entity_id, s.graph_id, vector(substr(e.name, 2)::bigint)
			FROM graphmem.entities e JOIN graphmem.vector_spaces s USING (graph_id)
				JOIN graphmem.graphs g USING (graph_id)
			WHERE g.name = \$1 AND s.name = \$2 AND e.kind = 'thing'
			ON CONFLICT DO NOTHING RETURNING 1)
		SELECT count(*) FROM v \$\$;

	-- of the ten nearest to each of so many vectors, the share that is found
	CREATE FUNCTION share_found(n int, graph text, space text) RETURNS real LANGUAGE sql AS \$\$
		SELECT (count(*) FILTER (WHERE x.item_id IS NOT NULL) / greatest(count(*), 1)::real)::real
		FROM generate_series(1, n) i,
			LATERAL graphmem.vector_search(vector(i * 1000003), 10, space => \$3, exact => true, graph => \$2) t
			LEFT JOIN LATERAL (SELECT item_id FROM graphmem.vector_search(vector(i * 1000003), 10,
				space => \$3, graph => \$2) a WHERE a.item_id = t.item_id) x ON true \$\$;
};

my $db = 'vectors';

# A database with a graph and a space full of vectors.
sub database
{
	my ($name) = @_;

	create_database($node, $name);
	$node->safe_psql($name, $functions);
	space($name, 'default', 'places');
	return;
}

sub space
{
	my ($name, $graph, $space) = @_;

	$node->safe_psql($name, qq{
		SELECT graphmem.create_graph('$graph') WHERE NOT EXISTS (SELECT FROM graphmem.graphs WHERE name = '$graph')});
	return $node->safe_psql($name, qq{
		SELECT graphmem.create_vector_space('$space', $dim, metric => 'l2', ef_construction => 100, graph => '$graph');
		SELECT fill('$graph', '$space') >= 0;
		SELECT fill_vectors('$graph', '$space')});
}

sub found_by_search
{
	my ($name, $graph, $space, $settings) = @_;

	return $node->safe_psql($name, ($settings // '') . qq{;
		SELECT count(*) FROM graphmem.vector_search(vector(5), 10, space => '$space', graph => '$graph')});
}

# Is there an index: a space without one has a single row.
sub indexed
{
	my ($name, $graph, $space) = @_;

	return $node->safe_psql($name, qq{
		SELECT count(*) > 1 FROM graphmem.recall_check('$space', sample => 1, target_recall => 0, ef_search => 100, graph => '$graph')}) eq 't';
}

sub building
{
	my ($name) = @_;

	return $node->safe_psql($name, 'SELECT count(*) FROM graphmem.stat_progress_vector');
}

sub wait_for_index
{
	my ($name, $graph, $space, $what) = @_;

	ok(wait_for(60, sub {
		found_by_search($name, $graph, $space);
		return indexed($name, $graph, $space) && building($name) eq '0';
	}), $what) or diag($node->safe_psql($name, 'SELECT * FROM graphmem.stat_progress_vector'));
	cmp_ok($node->safe_psql($name, "SELECT share_found(50, '$graph', '$space')"), '>=', 0.95, '... and finds what is near');
	return;
}

sub linkers
{
	return $node->safe_psql('postgres', q{
		SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'graphmem linker'});
}

sub stop_at
{
	my ($point, $at) = @_;

	$node->safe_psql('postgres', "SELECT stop('$point', $at)");
	return;
}

# Helpers wait before a node each, so that no job comes to its end.
sub hold_build
{
	stop_at('linker_before_node', 'true');
	return;
}

sub wait_for_held
{
	my ($name, $what) = @_;

	ok(wait_for(30, sub {
		found_by_search($name, 'default', 'places');
		return $node->safe_psql($name, q{
			SELECT stopped('linker_before_node') AND count(*) = 1 AND min(phase) = 'linking' AND min(helpers) > 0
				AND bool_and(rows_done < rows_total)
			FROM graphmem.stat_progress_vector}) eq 't';
	}), $what) or diag($node->safe_psql($name, 'SELECT * FROM graphmem.stat_progress_vector'));
	return;
}

sub let_build
{
	stop_at('linker_before_node', 'false');
	return;
}

sub is_sound
{
	my ($name, $what) = @_;

	is($node->safe_psql($name, 'SELECT * FROM graphmem.check()'), '', $what);
	return;
}

# the results that must be right whatever the index is like
sub answers_right
{
	my ($name, $graph, $space, $what) = @_;

	is($node->safe_psql($name, qq{
		SELECT count(*) FROM generate_series(1, 20) i,
			LATERAL (SELECT array_agg(item_id ORDER BY rank) ids FROM graphmem.vector_search(vector(i), 10,
				space => '$space', graph => '$graph')) a,
			LATERAL (SELECT array_agg(item_id ORDER BY d, item_id) ids FROM (
				SELECT item_id, sqrt((SELECT sum((x - y) ^ 2) FROM unnest(e.embedding, vector(i)) AS u (x, y)))::real d
				FROM graphmem.embeddings e JOIN graphmem.vector_spaces s USING (space_id)
					JOIN graphmem.graphs g ON g.graph_id = s.graph_id
				WHERE s.name = '$space' AND g.name = '$graph' ORDER BY d, item_id LIMIT 10) t) b
		WHERE cardinality(a.ids) = 10 AND cardinality(ARRAY(SELECT unnest(a.ids) INTERSECT SELECT unnest(b.ids))) >= 9}),
		'20', $what);
	return;
}

$node->safe_psql('postgres', q{
	SET client_min_messages = warning; CREATE EXTENSION graphmem CASCADE;
	CREATE FUNCTION stop(point text, at bool) RETURNS void AS 'graphmem', 'graphmem_stop_point' LANGUAGE C STRICT});

# ---- an index comes, and is kept ----
hold_build();
database($db);
wait_for_held($db, 'helpers link');
ok($node->safe_psql($db, q{
	SELECT pid = (SELECT pid FROM graphmem.stat_worker) AND graph_id > 0 AND space_id > 0 AND percent < 100
		AND started_at <= now() FROM graphmem.stat_progress_vector}) eq 't', 'stat_progress_vector');
cmp_ok(linkers(), '>=', 1, 'pg_stat_activity shows them');
answers_right($db, 'default', 'places', 'searches are right while the index is built');
is($node->safe_psql($db, qq{
	INSERT INTO graphmem.entities (graph_id, name, kind) SELECT graph_id, 'new', 'new' FROM graphmem.graphs WHERE name = 'default';
	SELECT graphmem.set_embedding('new', array_fill(9::real, ARRAY[$dim]), 'places') > 0;
	SELECT item FROM graphmem.vector_search(array_fill(9::real, ARRAY[$dim]), 1, space => 'places')}), "t\nnew",
	'what is committed meanwhile is found');
let_build();
wait_for_index($db, 'default', 'places', 'the index is there');
is(log_count($node, qr/index of vector space \d+ of graph \d+ is complete: 12001 vectors/), 1, 'the log says so');
is_sound($db, 'check() finds nothing');

# ---- rows change while a reader searches ----
my $reader = $node->background_psql($db);
foreach my $round (1 .. 4)
{
	$node->safe_psql($db, qq{
		DELETE FROM graphmem.embeddings e USING graphmem.entities n
		WHERE n.entity_id = e.item_id AND n.name ~ '^e\\d+$round\$' AND substr(n.name, 2)::bigint % 3 = 0;
		UPDATE graphmem.embeddings e SET embedding = vector(substr(n.name, 2)::bigint + 10000000 * $round)
		FROM graphmem.entities n
		WHERE n.entity_id = e.item_id AND n.name ~ '^e\\d+$round\$';
		SELECT fill_vectors('default', 'places')}) if $round % 2 == 0;
	$node->safe_psql($db, qq{
		SELECT graphmem.set_embedding('e' || i, vector(i + $round * 777), 'places')
		FROM generate_series($round * 100, $round * 100 + 60) i}) if $round % 2 == 1;
	is($reader->query_safe(qq{
		SELECT count(*) FROM generate_series(1, 30) i, LATERAL graphmem.vector_search(vector(i + $round * 777), 10, space => 'places') v
			JOIN graphmem.embeddings e ON e.item_id = v.item_id
		WHERE abs(v.distance - sqrt((SELECT sum((x - y) ^ 2) FROM unnest(e.embedding, vector(i + $round * 777)) AS u (x, y)))) < 1e-3}),
		'300', "every hit is a row as it is now, round $round");
}
$reader->quit;
wait_for_index($db, 'default', 'places', 'after the changes');
answers_right($db, 'default', 'places', 'searches are right');
is_sound($db, 'check() finds nothing');

# half of all goes: what is dead is swept, the rest stays in reach
$node->safe_psql($db, q{DELETE FROM graphmem.embeddings WHERE item_id % 2 = 0});
answers_right($db, 'default', 'places', 'after half of the vectors was deleted');
cmp_ok($node->safe_psql($db, "SELECT share_found(50, 'default', 'places')"), '>=', 0.95, '... what is near is found');
is_sound($db, 'check() finds nothing');
ok(wait_for(30, sub {
	# with more than half of its nodes free the index goes in the end, and few rows need none
	return $node->safe_psql($db, q{SELECT dead, free >= rows / 2 OR index_state = 'exact'
		FROM graphmem.stat_vector WHERE space = 'places'}) eq '0|t';
}), 'stat_vector counts nodes that were swept as free only');
$node->safe_psql($db, q{SELECT fill_vectors('default', 'places')});
wait_for_index($db, 'default', 'places', 'and all came back');

# another m: another index
$node->safe_psql($db, q{UPDATE graphmem.vector_spaces SET m = 8, quantisation = 'f16' WHERE name = 'places'});
ok(wait_for(60, sub {
	found_by_search($db, 'default', 'places');
	return log_count($node, qr/is complete/) >= 2;
}), 'a space that was given another m and quantisation has a new index');
wait_for_index($db, 'default', 'places', 'which is used');

# ---- rebuild ----
$node->safe_psql($db, q{SELECT graphmem.rebuild('default')});
wait_for_index($db, 'default', 'places', 'rebuild() builds anew');

# ---- the worker is cancelled, again and again ----
$node->safe_psql($db, q{SELECT graphmem.rebuild('default')});
my $worker = worker_pid($node, $db);
my $cancelled = 0;
ok(wait_for(60, sub {
	$node->safe_psql($db, qq{SELECT pg_cancel_backend($worker) FROM generate_series(1, 5), pg_sleep(0.01)});
	$cancelled++;
	return $cancelled > 5 && indexed($db, 'default', 'places');
}), 'a worker that is cancelled goes on');
is(worker_pid($node, $db), $worker, '... the same process');
wait_for_index($db, 'default', 'places', '... and comes to the end');
is_sound($db, 'check() finds nothing');

# ---- helpers end ----
hold_build();
space($db, 'default', 'second');
ok(wait_for(30, sub {
	found_by_search($db, 'default', 'second');
	return $node->safe_psql($db, q{SELECT stopped('linker_before_node')}) eq 't';
}), 'another space is being built');
is($node->safe_psql('postgres', q{
	SELECT bool_and(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE backend_type = 'graphmem linker'}), 't', 'helpers are terminated');
let_build();
wait_for_index($db, 'default', 'second', 'what they left is linked by others');
is_sound($db, 'check() finds nothing');

# ---- the space, the graph go during a build ----
foreach my $what ([ 'space', q{SELECT graphmem.drop_vector_space('third') > 0} ],
	[ 'graph', q{SELECT graphmem.drop_graph('other')} ],
	[ 'rows', q{TRUNCATE graphmem.embeddings} ])
{
	my $graph = $what->[0] eq 'graph' ? 'other' : 'default';

	hold_build();
	space($db, $graph, 'third');
	ok(wait_for(30, sub {
		found_by_search($db, $graph, 'third');
		return $node->safe_psql($db, q{SELECT stopped('linker_before_node')}) eq 't';
	}), "a build, and then its $what->[0] goes");
	my $pid = worker_pid($node, $db);
	took_at_most(10, "the $what->[0] goes", sub { $node->safe_psql($db, $what->[1]) });
	ok(wait_for(20, sub {
		$node->safe_psql($db, q{SELECT graphmem.wait_for_sync()});
		return building($db) eq '0';
	}), 'so does the build') or diag($node->safe_psql($db, 'SELECT * FROM graphmem.stat_progress_vector'));
	let_build();
	ok(wait_for(20, sub { linkers() eq '0' }), 'helpers leave');
	is(worker_pid($node, $db), $pid, 'the worker stays');
	$node->safe_psql($db, q{SELECT graphmem.drop_vector_space('third')}) if $what->[0] eq 'rows';
}
is_sound($db, 'check() finds nothing');
$node->safe_psql($db, q{SELECT graphmem.drop_vector_space('second'), fill_vectors('default', 'places')});
wait_for_index($db, 'default', 'places', 'what was truncated has an index again');

# ---- nobody who wants the database for himself waits ----
hold_build();
$node->safe_psql($db, q{SELECT graphmem.rebuild('default')});
wait_for_held($db, 'helpers link');
took_at_most(3, 'CREATE DATABASE ... TEMPLATE', sub { $node->safe_psql('postgres', "CREATE DATABASE copy TEMPLATE $db") });
ok(wait_for_worker($node, $db), 'the worker comes back');
wait_for_held($db, 'helpers link again');
took_at_most(3, 'DROP DATABASE', sub { $node->safe_psql('postgres', "DROP DATABASE $db") });
let_build();
ok(wait_for(20, sub { linkers() eq '0' }), 'helpers leave');
$db = 'copy';
wait_for_index($db, 'default', 'places', 'the copy has an index');

# ---- without helpers ----
$node->append_conf('postgresql.conf', 'graphmem.build_workers = 0');
$node->reload;
ok(wait_for(20, sub { linkers() eq '0' }), 'helpers leave');
hold_build();		# whoever came would not end
$node->safe_psql($db, q{SELECT graphmem.rebuild('default')});
wait_for_index($db, 'default', 'places', 'graphmem.build_workers = 0: the worker links alone');
is(linkers(), '0', '... without helpers');
let_build();

$node->append_conf('postgresql.conf', "graphmem.build_workers = 2\nmax_worker_processes = 1");
$node->restart;
wait_for_index($db, 'default', 'places', 'no slot for helpers: the worker links alone');
is(log_count($node, qr/could not start all of graphmem.build_workers: no free slot/), 1, '... and says so once');
$node->append_conf('postgresql.conf', 'max_worker_processes = 8');
$node->restart;
wait_for_index($db, 'default', 'places', 'after a restart');

# ---- memory ----
sub limit_memory
{
	my ($limit) = @_;

	$node->append_conf('postgresql.conf', "graphmem.memory_limit = '$limit'");
	$node->reload;
	ok(wait_for(20, sub { $node->safe_psql($db, 'SHOW graphmem.memory_limit') eq $limit }), "graphmem.memory_limit = $limit");
	return;
}

sub graph_mb
{
	return int($node->safe_psql($db, q{SELECT bytes FROM graphmem.stat_graph WHERE graph = 'default'}) / 1048576);
}

# most of it is the index
$node->safe_psql($db, q{UPDATE graphmem.vector_spaces SET m = 64, quantisation = 'none' WHERE name = 'places'});
$node->safe_psql($db, q{SELECT graphmem.rebuild('default')});
wait_for_index($db, 'default', 'places', 'a larger index');
my $mb = graph_mb();
my $offset = -s $node->logfile;
limit_memory(($mb + 2) . 'MB');
ok(indexed($db, 'default', 'places'), 'it fits');
$node->safe_psql($db, q{
	INSERT INTO graphmem.entities (graph_id, name, kind)
	SELECT g.graph_id, 'more ' || i || repeat('x', 100), 'other' FROM graphmem.graphs g, generate_series(1, 20000) i
	WHERE g.name = 'default'});
is(found_by_search($db, 'default', 'places', 'SET graphmem.private_memory_limit = 1'), '10', 'rows that need its room: the graph stays in shared memory');
is(log_count($node, qr/has no index for now: it would be larger than "graphmem.memory_limit" allows/, $offset), 1, '... the index goes');
is($node->safe_psql($db, q{SELECT state FROM graphmem.stat_graph WHERE graph = 'default'}), 'ready', '... as the view says');
ok(!indexed($db, 'default', 'places'), '... and the space is searched exactly');
is_sound($db, 'check() finds nothing');

$offset = -s $node->logfile;
$node->safe_psql($db, q{SELECT graphmem.rebuild('default')});
is(found_by_search($db, 'default', 'places', 'SET graphmem.private_memory_limit = 1'), '10', 'loaded again');
is($node->safe_psql($db, q{SELECT index_state, last_error IS NULL FROM graphmem.stat_vector WHERE space = 'places'}),
	'failed|f', '... without an index, since there is no room');
is(building($db), '0', '... and nothing is shown as being built');
limit_memory('0');
wait_for_index($db, 'default', 'places', 'it comes when there is room');

# ---- a helper that cannot even say goodbye ----
hold_build();
$node->safe_psql($db, q{SELECT graphmem.rebuild('default')});
wait_for_held($db, 'helpers link');
my ($pid) = split /\n/, $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'graphmem linker'});
kill 'KILL', $pid;
ok(wait_for(60, sub { ($node->psql('postgres', 'SELECT 1'))[0] == 0 && state_of($node, $db) eq 'ready' }), 'the server restarts after kill -9');
wait_for_index($db, 'default', 'places', 'and all is built anew');
is_sound($db, 'check() finds nothing');

$node->stop;
done_testing();
