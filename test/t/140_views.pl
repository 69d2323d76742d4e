# The views tell how things stand: default queries are answered from shared
# memory and touch no table; what is wrong is named with its remedy; check()
# finds a row that was taken from a table behind the triggers' back.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Graphmem;

my $node = start_node('views');
create_database($node, 'views');

sub stat_worker
{
	return $node->safe_psql('views', q{SELECT state || ': ' || coalesce(hint, '-') FROM graphmem.stat_worker});
}

sub answer
{
	my ($settings) = @_;

	return $node->safe_psql('views', ($settings // '') . q{
		SELECT count(*) FROM graphmem.match('e1') \gset
		SELECT path || ': ' || coalesce(reason, '-') FROM graphmem.stat_backend});
}

sub error_of
{
	my ($statement) = @_;
	my ($status, $out, $err) = $node->psql('views', "\\set VERBOSITY verbose\n$statement");

	return $err;
}

# ---- a graph with everything that the image holds ----

$node->safe_psql('views', q{
	INSERT INTO graphmem.facts (subject, predicate, object, source, confidence)
	SELECT 'e' || i, 'p' || i % 3, 'e' || i * 7 % 500, 's' || i % 20, 0.5 + i % 5 / 10.0
	FROM generate_series(1, 20000) i;
	SELECT count(graphmem.set_embedding('e' || i, ARRAY[cos(i), sin(i)]::real[])) FROM generate_series(1, 500) i;
	SELECT graphmem.create_vector_space('facts', 2, target => 'fact', metric => 'l2');
	SELECT count(graphmem.set_embedding(fact_id::text, ARRAY[fact_id, 1]::real[], space => 'facts'))
	FROM (SELECT DISTINCT fact_id FROM graphmem.facts LIMIT 100) f;
	INSERT INTO graphmem.aliases (graph_id, name, entity_id)
	SELECT graph_id, 'other name', entity_id FROM graphmem.entities WHERE name = 'e1';
	SELECT graphmem.set_predicate('p1', "symmetric" => true, weight => 2);
});

# the call => whether it may look at tables: texts and properties are there only
my @calls = (
	[ q{graphmem.match('e1')} ],
	[ q{graphmem.match()} ],
	[ q{graphmem.neighbors('other name')} ],
	[ q{graphmem.traverse('{e1,e2}', 3)} ],
	[ q{graphmem.reach('e1', 3)} ],
	[ q{graphmem.shortest_path('e1', 'e400')} ],
	[ q{graphmem.shortest_path('e1', 'e400', 'confidence')} ],
	[ q{graphmem.paths('e1', 'e40')} ],
	[ q{graphmem.subgraph('{e1}')} ],
	[ q{graphmem.pagerank()} ],
	[ q{graphmem.pagerank('{e1}')} ],
	[ q{graphmem.components()} ],
	[ q{graphmem.confidence('e1')} ],
	[ q{graphmem.vector_search('{1,0}')} ],
	[ q{graphmem.vector_search('{1,0}', space => 'facts')} ],
	[ q{graphmem.vector_search('{1,0}', predicates => '{p1}', near => '{e1}')} ],
	[ q{graphmem.similar('e1')} ],
	[ q{graphmem.fusion_query('{1,0}', seeds => '{e1}')} ],
	[ q{graphmem.match('e1', as_of => '2020-01-01')} ],
	[ q{graphmem.fusion_query('{1,0}', query_text => 'e17')}, 1 ],
	[ q{graphmem.fusion_query(query_text => 'e17')}, 1 ],
	[ q{graphmem.vector_search('{1,0}', filter => '{"a": 1}')}, 1 ],
);

# ---- shared, without a look at the tables ----

my $background = $node->background_psql('views', on_error_stop => 1);
# of this session, and not yet handed to the collected statistics
my $scans = q{
	SELECT coalesce(sum(seq_scan + coalesce(idx_scan, 0)), 0)
	FROM pg_stat_xact_user_tables WHERE schemaname = 'graphmem'};

$background->query_safe(q{SET graphmem.sync_timeout = '60s'});
is($background->query_safe(q{SELECT graphmem.wait_for_sync()}), 't', 'the worker is there');
is($background->query_safe(q{SELECT path IS NULL, calls_shared + calls_overlay + calls_private FROM graphmem.stat_backend}),
	't|0', 'a new session has asked nothing');
$background->query_safe(q{SELECT count(*) FROM graphmem.match('e1')});

foreach my $call (@calls)
{
	my ($function, $may_scan) = @$call;
	my ($path, $scanned) = split /\|/, $background->query_safe(qq{
		BEGIN;
		SELECT ($scans) AS before \\gset
		SELECT count(*) FROM $function \\gset
		SELECT path || coalesce(': ' || reason, ''), ($scans) - :before FROM graphmem.stat_backend;
		COMMIT;});

	is($path, 'shared', "$function is answered from shared memory");
	is($scanned, 0, '... and reads no table') unless $may_scan;
}
is($background->query_safe(q{SELECT calls_shared, calls_overlay, calls_private FROM graphmem.stat_backend}),
	(@calls + 1) . '|0|0', 'every call is counted');
cmp_ok($background->query_safe(q{SELECT attached_bytes FROM graphmem.stat_backend}), '>', 0, 'the session maps memory');

# ---- the views of a server where all is well ----

$node->safe_psql('views', q{SELECT graphmem.add_triple('e1', 'p1', 'new')});
is($background->query_safe(q{SELECT graphmem.wait_for_sync()}), 't', 'the worker has seen a change');
is($background->query_safe(q{
	SELECT state, pid IS NOT NULL, generation > 0, started_at <= now(), starts, last_error IS NULL, behind, parked,
		batches > 0, changes > 0, blocked_by IS NULL, hint IS NULL
	FROM graphmem.stat_worker}), 'ready|t|t|t|1|t|0|0|t|t|t|t', 'stat_worker');
is($background->query_safe(q{
	SELECT graph, residency, state, reason IS NULL, s.entities = (SELECT count(*) FROM graphmem.entities),
		s.triples = (SELECT count(*) FROM graphmem.triples), s.vectors = (SELECT count(*) FROM graphmem.embeddings),
		s.bytes > 100000, loads >= 1, load_time >= 0, loaded_at <= now(), last_used <= now()
	FROM graphmem.stat_graph s}), 'default|auto|ready|t|t|t|t|t|t|t|t|t', 'stat_graph');
is($background->query_safe(q{
	SELECT string_agg(part, ', '), bool_and(bytes > 0) FILTER (WHERE part IN ('area', 'extents', 'graphs', 'limit')),
		min(items) FILTER (WHERE part = 'graphs')
	FROM graphmem.stat_memory}), 'area, queue, extents, graphs, retired, limit, private, private limit|t|1', 'stat_memory');
is($background->query_safe(q{
	SELECT (SELECT bytes FROM graphmem.stat_memory WHERE part = 'extents') >=
		(SELECT bytes FROM graphmem.stat_memory WHERE part = 'graphs')}), 't', 'graphs lie in extents');
is($background->query_safe(q{SELECT count(*) FROM graphmem.stat_progress_load}), '0', 'stat_progress_load');

# ---- an image that changed, against the tables ----

foreach my $round (1 .. 5)
{
	$node->safe_psql('views', qq{
		INSERT INTO graphmem.facts (subject, predicate, object, source)
		SELECT 'e' || i, 'round $round', 'new ' || i, 's' || i FROM generate_series(1, 50) i;
		DELETE FROM graphmem.facts WHERE subject LIKE 'e%$round' AND predicate = 'p1';
		UPDATE graphmem.facts SET confidence = 0.25 WHERE subject LIKE 'e%2' AND predicate = 'p2';
		UPDATE graphmem.entities SET kind = 'kind $round' WHERE name LIKE 'new %$round';
		DELETE FROM graphmem.embeddings WHERE item_id % 17 = $round;
		SELECT count(graphmem.set_embedding('new ' || i, ARRAY[i, $round]::real[])) FROM generate_series(1, 20) i;
		DELETE FROM graphmem.sources WHERE name = 's$round' AND source_id NOT IN (SELECT source_id FROM graphmem.assertions);
	});
	is($background->query_safe(q{SELECT * FROM graphmem.check()}), '', "check() after round $round of changes");
}
cmp_ok($background->query_safe(q{SELECT changes FROM graphmem.stat_graph}), '>', 0, 'changes are counted');

# a row that goes without a trigger
$node->safe_psql('views', q{
	CREATE EXTENSION pg_surgery;
	CREATE TABLE killed AS SELECT ctid AS place, triple_id, fact_id FROM graphmem.triples ORDER BY triple_id LIMIT 1;
	SELECT heap_force_kill('graphmem.triples'::regclass, ARRAY[place]) FROM killed;
});
my $found = $background->query_safe(q{
	SELECT what, count(*), bool_or(id IN (SELECT triple_id FROM killed)) FROM graphmem.check('default')
	WHERE graph = 'default' GROUP BY 1 ORDER BY 1});
like($found, qr/^triple is not in the tables\|1\|t$/m, 'check() finds a triple that is gone');
like($found, qr/^number of edges of an entity\|2\|f$/m, '... and the edges that it made') or diag($found);

is($background->query_safe(q{SELECT graphmem.rebuild('default')}), 't', 'rebuild() asks the worker');
is($background->query_safe(q{SELECT count(*) FROM graphmem.check()}), '0', '... and the image is sound again');
is($background->query_safe(q{SELECT path FROM graphmem.stat_backend, (SELECT count(*) FROM graphmem.reach('e1')) c}),
	'shared', '... and answers');
cmp_ok($background->query_safe(q{SELECT loads FROM graphmem.stat_graph}), '>=', 2, 'the load is counted');
$background->quit;

# ---- privileges ----

$node->safe_psql('views', 'CREATE ROLE nobody_special');
is($node->safe_psql('views', q{
	SET ROLE nobody_special;
	SELECT (SELECT count(*) FROM graphmem.stat_worker), (SELECT count(*) FROM graphmem.stat_memory) > 0,
		(SELECT count(*) FROM graphmem.stat_progress_load), (SELECT count(*) FROM graphmem.stat_backend)}),
	'1|t|0|1', 'everybody may read the views');
foreach my $statement ('SELECT * FROM graphmem.stat_graph', 'SELECT graphmem.stat_reset()', 'SELECT graphmem.rebuild()',
	'SELECT * FROM graphmem.check()')
{
	like(error_of("SET ROLE nobody_special;\n$statement"), qr/ERROR:  42501:/, "not for everybody: $statement");
}

# ---- a graph being loaded, and a worker that is kept from its work ----

$node->safe_psql('views', q{
	CREATE FUNCTION stop(point text, at bool) RETURNS void AS 'graphmem', 'graphmem_stop_point' LANGUAGE C STRICT;
	SELECT stop('worker_load_scanned', true), graphmem.rebuild();
});
ok($node->poll_query_until('views', q{
		SELECT rows_total = (SELECT count(*) FROM graphmem.triples) AND rows_done <= rows_total
			AND percent BETWEEN 0 AND 100 FROM graphmem.stat_progress_load}), 'stat_progress_load')
	or diag($node->safe_psql('views', 'SELECT * FROM graphmem.stat_progress_load'));
is($node->safe_psql('views', q{SELECT state FROM graphmem.stat_graph}), 'loading', '... and stat_graph');
like(answer(q{SET graphmem.sync_timeout = '50ms';}), qr/^private: the graph is being loaded/, '... and a small one is answered privately');
like(error_of(q{
		SET graphmem.sync_timeout = '50ms';
		SET graphmem.private_memory_limit = '1MB';
		SELECT * FROM graphmem.match('e1')}), qr/ERROR:  57P03: .*not loaded yet\nDETAIL: .*per cent/, '... a large one is not');
$node->safe_psql('views', q{SELECT stop('worker_load_scanned', false)});
is(answer(q{SET graphmem.sync_timeout = '60s';}), 'shared: -', '... until it is there');
is($node->safe_psql('views', 'SELECT count(*) FROM graphmem.stat_progress_load'), '0', '... and the load is done');

$background = $node->background_psql('views');
$background->query_safe('BEGIN; LOCK TABLE graphmem.triples IN SHARE ROW EXCLUSIVE MODE');
my $holder = $background->query_safe('SELECT pg_backend_pid()');
$node->safe_psql('views', q{SELECT graphmem.rebuild(), pg_sleep(0.2)});
is(answer(q{SET graphmem.sync_timeout = '60s';}), 'shared: -', 'a lock that lets the worker read is none');
$background->query_safe('COMMIT; BEGIN; LOCK TABLE graphmem.triples');
$node->safe_psql('views', q{SELECT graphmem.rebuild()});
ok($node->poll_query_until('views', qq{SELECT blocked_by = $holder FROM graphmem.stat_worker}), 'who keeps the worker out');
like(stat_worker(), qr/^ready: Process $holder holds a lock/, '... is in the hint');
$background->query_safe('COMMIT');
$background->quit;
ok($node->poll_query_until('views', q{SELECT state = 'ready' FROM graphmem.stat_graph}), '... and it goes on when that has ended');
is(answer(q{SET graphmem.sync_timeout = '60s';}), 'shared: -', '... from shared memory');
is(stat_worker(), 'ready: -', '... with no hint left');

my $pid = $node->safe_psql('views', 'SELECT pid FROM graphmem.stat_worker');
kill 'STOP', $pid;
$node->safe_psql('views', q{SELECT graphmem.add_triple('e1', 'p1', 'late')});
like(error_of('SELECT graphmem.wait_for_sync(100)'), qr/ERROR:  57P03: graph memory is behind the tables\nDETAIL:  The worker has applied \d+ of \d+ batches/,
	'wait_for_sync() has an end');
$background = $node->background_psql('views', on_error_stop => 0);
$background->query(q{SET graphmem.sync_timeout = '50ms'; SELECT count(*) FROM graphmem.match('e1')});
is($background->query('SELECT waits, wait_time >= 50, last_wait = wait_time FROM graphmem.stat_backend'),
	'1|t|t', 'a wait that ends in an error is counted with its time');
$background->query(q{SET graphmem.sync_timeout = '60s'; SET statement_timeout = 150; SELECT count(*) FROM graphmem.match('e1')});
is($background->query('RESET statement_timeout; SELECT waits, wait_time >= 150, last_wait < wait_time FROM graphmem.stat_backend'),
	'2|t|t', '... and one that is cancelled');
$background->query(q{SET statement_timeout = 150;
	DO $$ BEGIN PERFORM * FROM graphmem.match('e1'); EXCEPTION WHEN query_canceled THEN NULL; END $$});
is($background->query('RESET statement_timeout; SELECT waits, wait_time >= 300 FROM graphmem.stat_backend'),
	'3|t', '... in a subtransaction too');
$background->quit;
is($node->safe_psql('views', q{SELECT behind > 0 FROM graphmem.stat_worker}), 't', '... and the view tells how far behind it is');
kill 'CONT', $pid;
is($node->safe_psql('views', q{SELECT graphmem.wait_for_sync(60000), (SELECT behind FROM graphmem.stat_worker)}), 't|0', '... and comes to it');

# ---- what is wrong, and what to do ----

is(answer('SET graphmem.shared_image = off;'), 'private: graphmem.shared_image is off', 'switched off in the session');

$node->safe_psql('views', 'ALTER TABLE graphmem.triples ENABLE REPLICA TRIGGER triples_capture');
like(stat_worker(), qr/ALTER TABLE graphmem.triples ENABLE ALWAYS TRIGGER triples_capture/, 'a trigger that is off is named');
like(answer(), qr/^private: .*trigger/, '... and queries are answered privately');
$node->safe_psql('views', 'ALTER TABLE graphmem.triples ENABLE ALWAYS TRIGGER triples_capture');
is(answer(q{SET graphmem.sync_timeout = '60s';}), 'shared: -', '... until it is on again');
is(stat_worker(), 'ready: -', '... and nothing is wrong');

$node->append_conf('postgresql.conf', 'graphmem.memory_limit = 1');
$node->restart;
like(answer(), qr/^private: .*memory_limit/, 'a graph larger than the limit');
is($node->safe_psql('views', q{SELECT state, reason FROM graphmem.stat_graph}),
	'too large|larger than graphmem.memory_limit allows', '... is shown');
like(stat_worker(), qr/^ready: .*raise it/, '... with the remedy');

$node->append_conf('postgresql.conf', "graphmem.memory_limit = 1024\ngraphmem.worker = off");
$node->restart;
like(answer(), qr/^private: /, 'no worker by setting');
like(stat_worker(), qr/^disabled: Set graphmem.worker/, '... is shown');
is($node->safe_psql('views', q{SELECT graphmem.wait_for_sync(), graphmem.rebuild()}), 'f|f', '... and nobody is waited for');
is($node->safe_psql('views', q{SELECT state FROM graphmem.stat_graph}), 'absent', '... and no graph is there');

$node->append_conf('postgresql.conf', "graphmem.worker = on\nmax_worker_processes = 0");
$node->restart;
like(answer(), qr/^private: no free worker slot/, 'no worker slot');
like(stat_worker(), qr/^no worker slot: Raise max_worker_processes/, '... is shown');

# ---- a standby ----

$node->append_conf('postgresql.conf', "max_worker_processes = 8\nwal_level = replica\nmax_wal_senders = 4");
$node->restart;
is(answer(q{SET graphmem.sync_timeout = '60s';}), 'shared: -', 'all is well again');
$node->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'copy', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
is($standby->safe_psql('views', q{
	SELECT count(*) > 0 FROM graphmem.match('e1');
	SELECT path || ': ' || reason FROM graphmem.stat_backend}), "t\nprivate: the server is a standby", 'a standby answers');
like($standby->safe_psql('views', q{SELECT state || ': ' || hint FROM graphmem.stat_worker}), qr/^standby: /, '... and says so');
is($standby->safe_psql('views', q{SELECT graphmem.wait_for_sync(), (SELECT count(*) FROM graphmem.stat_graph)}),
	'f|1', '... and its views work');
my ($status, $out, $err) = $standby->psql('views', "\\set VERBOSITY verbose\nSELECT graphmem.rebuild()");
like($err, qr/ERROR:  25006:/, '... and asks no worker');

$standby->stop;
$node->stop;
done_testing();
