# Topology embeddings as a process of their own computes them: in the background,
# cancelled, killed, dropped under, after a restart; alike each time, and turned
# towards the version before.

use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Graphmem;
use Workers;

my $node = start_node('topology', q{
	max_worker_processes = 12
	restart_after_crash = on
	max_logical_replication_workers = 0
	graphmem.topology_threshold = 0
	graphmem.memory_limit = 0
});
my $db = 'shapes';

# 60 nodes in three rings with chords, and bridges between them
my $fill = q{
	INSERT INTO graphmem.facts (subject, predicate, object)
	SELECT 'r' || r || 'n' || i, 'next', 'r' || r || 'n' || (i + 1) % 20
	FROM generate_series(0, 2) r, generate_series(0, 19) i
	UNION ALL SELECT 'r' || r || 'n' || i, 'chord', 'r' || r || 'n' || (i * 7 + r) % 20
	FROM generate_series(0, 2) r, generate_series(0, 19) i
	UNION ALL SELECT 'r0n0', 'bridge', 'r1n0' UNION ALL SELECT 'r1n5', 'bridge', 'r2n5'};

my $functions = q{
	CREATE FUNCTION stop(point text, at bool) RETURNS void AS 'graphmem', 'graphmem_stop_point' LANGUAGE C STRICT;
	CREATE FUNCTION stopped(point text) RETURNS bool AS 'graphmem', 'graphmem_stopped' LANGUAGE C STRICT;
	CREATE FUNCTION bits(space text) RETURNS text LANGUAGE sql AS $$
		SELECT md5(string_agg(t.entity_id || ' ' || t.shape || ' ' || t.embedding::text, ' ' ORDER BY t.entity_id))
		FROM graphmem.topology_vectors t JOIN graphmem.vector_spaces v USING (space_id) WHERE v.name = bits.space $$;
};

sub database
{
	my ($name) = @_;

	create_database($node, $name);
	$node->safe_psql($name, $functions);
	$node->safe_psql($name, $fill);
	return;
}

sub value
{
	my ($sql, $database) = @_;

	return $node->safe_psql($database // $db, $sql);
}

# The version that queries find: its id, when it was computed, all of its bits.
sub found
{
	my ($space) = @_;

	$space //= 'topology';
	return value(qq{SELECT space_id, computed_at, vectors, bits('$space') FROM graphmem.stat_topology
		WHERE space = '$space' AND state = 'ready'});
}

sub half_made
{
	my ($database) = @_;

	return value(q{SELECT count(*) FROM graphmem.vector_spaces WHERE state = 'computing'}, $database);
}

# A session that holds a stop point while it lives.
sub hold
{
	my ($point) = @_;
	my $session = $node->background_psql('postgres');

	$session->query_safe(q{CREATE OR REPLACE FUNCTION stop(point text, at bool) RETURNS void
		AS 'graphmem', 'graphmem_stop_point' LANGUAGE C STRICT});
	$session->query_safe("SELECT stop('$point', true)");
	return $session;
}

sub let_go
{
	my ($session, $point) = @_;

	$session->query_safe("SELECT stop('$point', false)");
	$session->quit;
	return;
}

sub comes_to
{
	my ($point) = @_;

	return wait_for(60, sub { value("SELECT stopped('$point')") eq 't' });
}

sub no_jobs
{
	return wait_for(60, sub { value('SELECT count(*) FROM graphmem.stat_progress_topology') eq '0' });
}

# A session that waits for its computation.
sub refresh
{
	my ($args, $before) = @_;
	my %run = (out => '', err => '');

	$run{handle} = IPC::Run::start(
		[ $node->installed_command('psql'), '-XAtq', '-v', 'VERBOSITY=verbose', '-d', $node->connstr($db), '-c', $before // 'SELECT',
			'-c', "SELECT state FROM graphmem.refresh_topology($args)" ],
		'<', \undef, '>', \$run{out}, '2>', \$run{err});
	return \%run;
}

sub finish
{
	my ($run) = @_;

	$run->{handle}->finish;
	return $run->{out} . $run->{err};
}

database($db);

#
# Alike each time, and computed in the background
#
is(value("SELECT state, nodes, method, dim FROM graphmem.refresh_topology('spectral', 16)"), 'done|60|spectral|16',
	'it is computed');
my $first = found();
is(value("SELECT count(DISTINCT pid) FROM pg_stat_activity WHERE backend_type = 'graphmem topology' AND datname = '$db'"),
	'1', 'by a process of its own');
value("SELECT state FROM graphmem.refresh_topology('spectral', 16, space => 'again')");
is(value("SELECT bits('again') = bits('topology')"), 't', 'twice the same bits, under another name');
value("SELECT state FROM graphmem.refresh_topology()");
is((split /\|/, found())[3], (split /\|/, $first)[3], 'and in place of the version before');
isnt((split /\|/, found())[0], (split /\|/, $first)[0], 'which is another space');

my $stop = hold('topology_computing');
is(value("SELECT state, seconds IS NULL FROM graphmem.refresh_topology(wait => false)"), 'queued|t', 'who does not wait gets an answer at once');
ok(comes_to('topology_computing'), 'it computes in the background');
is(value("SELECT pid = (SELECT pid FROM pg_stat_activity WHERE backend_type = 'graphmem topology' AND datname = '$db'),
	datname, graph, space, method, dim, state, phase, nodes, members >= 1, memory > 0, started_at >= queued_at
	FROM graphmem.stat_progress_topology"), "t|$db|default|topology|spectral|16|running|computing|60|t|t|t", 'and another session sees it');
my $before = found();
is(value(q{SELECT count(*) FROM graphmem.similar('r0n0', 5, space => 'topology')}), '5', 'which searches the version before');
is(value("SELECT state FROM graphmem.refresh_topology(space => 'again', wait => false)"), 'queued', 'a second one waits');
is(value("SELECT state, phase, pid IS NULL FROM graphmem.stat_progress_topology WHERE space = 'again'"), 'queued|waiting|t', 'and is shown too');
let_go($stop, 'topology_computing');
ok(no_jobs(), 'both come to their end');
isnt(found(), $before, 'then the new version is found');

#
# Cancelled: by the function, by who waits, by its timeout, by a signal
#
foreach my $point ('topology_computing', 'topology_storing')
{
	$before = found();

	$stop = hold($point);
	my $run = refresh("'spectral', 16");
	ok(comes_to($point), "cancel_topology at $point");
	is(value('SELECT graphmem.cancel_topology()'), 't', 'there is something to cancel');
	let_go($stop, $point);
	like(finish($run), qr/ERROR:  57014/, 'who waits is told');
	is(found(), $before, 'the version before is what it was');
	is(half_made(), '0', 'nothing half made is left');

	$stop = hold($point);
	$run = refresh("'spectral', 16", "SET statement_timeout = '1s'");
	ok(comes_to($point), "a statement's timeout at $point");
	like(finish($run), qr/ERROR:  57014.*statement timeout/, 'it ends the wait');
	let_go($stop, $point);
	ok(no_jobs(), 'and the computation');
	is(found(), $before, 'the version before is what it was');
	is(half_made(), '0', 'nothing half made is left');

	$stop = hold($point);
	$run = refresh("'spectral', 16");
	ok(comes_to($point), "a signal at $point");
	is(value("SELECT pg_cancel_backend(pid) FROM graphmem.stat_progress_topology"), 't', 'the process gets it');
	like(finish($run), qr/ERROR:  57014/, 'who waits is told');
	let_go($stop, $point);
	is(found(), $before, 'the version before is what it was');
	is(half_made(), '0', 'nothing half made is left');

	$stop = hold($point);
	$run = refresh("'spectral', 16");
	ok(comes_to($point), "the process is ended at $point");
	is(value("SELECT pg_terminate_backend(pid, 10000) FROM graphmem.stat_progress_topology"), 't', 'at once');
	like(finish($run), qr/ERROR:  57P01/, 'who waits is told');
	let_go($stop, $point);
	is(value("SELECT state FROM graphmem.refresh_topology('spectral', 16, space => 'other')"), 'done', 'another one comes');
	is(found(), $before, 'the version before is what it was');
	is(half_made(), '0', 'nothing half made is left');
}
$stop = hold('topology_computing');
my $running = refresh('wait => true');
ok(comes_to('topology_computing'), 'one computes');
value("SELECT state FROM graphmem.refresh_topology(space => 'again', wait => false)");
is(value("SELECT graphmem.cancel_topology('again')"), 't', 'one that waits is cancelled');
let_go($stop, 'topology_computing');
is(finish($running), "done\n", 'the other is not');
ok(no_jobs(), 'both are over');

$stop = hold('topology_computing');
$running = refresh('wait => true');
ok(comes_to('topology_computing'), 'one computes');
my $waiting = refresh("space => 'again'");
my $queued = q{SELECT count(*) FROM graphmem.stat_progress_topology WHERE space = 'again'};
ok(wait_for(60, sub { value($queued) eq '1' }), 'somebody waits for another');
is(value("SELECT graphmem.cancel_topology('again')"), 't', 'which is cancelled');
is(value($queued), '0', 'without waiting for the first');
like(finish($waiting), qr/ERROR:  57014/, 'who waits is told');
let_go($stop, 'topology_computing');
is(finish($running), "done\n", 'the first is not cancelled');

my $locker = $node->background_psql($db);
my $blocked = q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'graphmem topology' AND wait_event_type = 'Lock'};
$locker->query_safe('BEGIN; LOCK TABLE graphmem.topology_vectors');
$before = value("SELECT space_id FROM graphmem.vector_spaces WHERE name = 'topology'");
$running = refresh("'fastrp', 16");
ok(wait_for(60, sub { value($blocked) eq '1' }), 'one waits for a lock');
is(value('SELECT graphmem.cancel_topology()'), 't', 'it is cancelled');
like(finish($running), qr/ERROR:  57014/, 'while it waits');
is(value("SELECT count(*) FROM graphmem.stat_progress_topology"), '0', 'and does not go on');
$running = refresh("'fastrp', 16");
ok(wait_for(60, sub { value($blocked) eq '1' }), 'another waits for it');
like(finish($running), qr/ERROR:  55P03.*HINT/s, 'and gives up');
$locker->query_safe('ROLLBACK');
$locker->quit;
is(value("SELECT space_id FROM graphmem.vector_spaces WHERE name = 'topology'"), $before, 'the version before is there');

# What goes and comes while it is computed.
value("SELECT graphmem.add_triple('r0n0', 'next', 'leaving')");
$stop = hold('topology_computing');
$running = refresh("'fastrp', 16, space => 'going'");
ok(comes_to('topology_computing'), 'one computes');
is($node->psql($db, "SET lock_timeout = '20s'; BEGIN; LOCK TABLE graphmem.vector_spaces, graphmem.topology_vectors, graphmem.triples; COMMIT"), 0,
	'who waits for it holds no lock that others could wait for');
value("SELECT * FROM graphmem.forget_entity('leaving')");
let_go($stop, 'topology_computing');
is(finish($running), "done\n", 'an entity may go meanwhile');
is(value("SELECT vectors FROM graphmem.stat_topology WHERE space = 'going'"), '60', 'the others have vectors');
is(value('SELECT count(*) FROM graphmem.check()'), '0', 'and all is sound');
value("SELECT graphmem.drop_vector_space('going')");
$stop = hold('topology_computing');
$running = refresh("'fastrp', 16, space => 'going'");
ok(comes_to('topology_computing'), 'one computes');
value("SELECT graphmem.create_vector_space('going', 3)");
let_go($stop, 'topology_computing');
like(finish($running), qr/ERROR:  55000/, 'a space of the name may come meanwhile');
value("SELECT graphmem.drop_vector_space('going')");

# A graph that goes while it is computed from.
value("SELECT graphmem.create_graph('going'), graphmem.add_triple('a', 'p', 'b', graph => 'going')");
$stop = hold('topology_computing');
$running = refresh("graph => 'going'");
ok(comes_to('topology_computing'), 'a graph is computed from');
value("SELECT graphmem.drop_graph('going')");
let_go($stop, 'topology_computing');
like(finish($running), qr/ERROR:  42704/, 'it may be dropped meanwhile');

#
# Who may cancel
#
value(q{CREATE ROLE asks; CREATE ROLE other; CREATE ROLE member IN ROLE asks;
	GRANT USAGE ON SCHEMA graphmem TO asks, other;
	GRANT SELECT ON ALL TABLES IN SCHEMA graphmem TO asks, other;
	GRANT INSERT, UPDATE, DELETE ON graphmem.vector_spaces, graphmem.topology_vectors TO asks, other});
$stop = hold('topology_computing');
value(q{SET ROLE asks; SELECT state FROM graphmem.refresh_topology(wait => false)});
ok(comes_to('topology_computing'), 'a role asks for a computation');
my ($status, $out, $err) = $node->psql($db, "SET ROLE other; SELECT graphmem.cancel_topology()", on_error_stop => 1);
like($err, qr/permission denied to cancel/, 'another one may not cancel it');
is(value('SET ROLE member; SELECT graphmem.cancel_topology()'), 't', 'a member may');
let_go($stop, 'topology_computing');
ok(no_jobs(), 'and it ends');

#
# Small changes: untouched nodes stay where they were
#
value("SELECT state FROM graphmem.refresh_topology('spectral', 16, space => 'turned')");
value(q{CREATE TABLE old AS SELECT t.* FROM graphmem.topology_vectors t JOIN graphmem.vector_spaces v USING (space_id) WHERE v.name = 'turned'});
value(q{SELECT graphmem.add_triple('r2n7', 'chord', 'r2n19')});
my $near = q{SELECT round(avg(c)::numeric, 2) >= 0.95 FROM (
	SELECT (SELECT sum(a::float8 * b) FROM unnest(o.embedding, t.embedding) u(a, b)) AS c
	FROM old o JOIN graphmem.topology_vectors t USING (entity_id) JOIN graphmem.vector_spaces v ON v.space_id = t.space_id
	WHERE v.name = '%s' AND t.shape = o.shape) s};
value("SELECT state FROM graphmem.refresh_topology(space => 'turned')");
is(value("SELECT (parameters -> 'aligned')::bool FROM graphmem.stat_topology WHERE space = 'turned'"), 't', 'after a small change vectors are turned');
is(value(sprintf($near, 'turned')), 't', 'so that untouched nodes are where they were');
value("SELECT state FROM graphmem.refresh_topology('spectral', 16, space => 'turned', options => '{\"align\": false}')");
is(value("SELECT (parameters -> 'aligned')::bool FROM graphmem.stat_topology WHERE space = 'turned'"), 'f', 'unless told not to');
value("SELECT state FROM graphmem.refresh_topology('spectral', 16, space => 'fresh')");
is(value("SELECT bits('fresh') = bits('turned')"), 't', 'then they are those that nothing came before');

#
# Restart: what is there is valid; a crash in the middle: it still is
#
$before = found();
$node->restart;
value("SELECT count(*) FROM graphmem.match()");
is(found(), $before, 'after a restart nothing is computed again');
ok(wait_for(60, sub { value("SELECT dirty FROM graphmem.stat_topology WHERE space = 'fresh'") eq '0' }),
	'and what is there is found valid');

foreach my $point ('topology_computing', 'topology_storing')
{
	$stop = hold($point);
	value("SELECT state FROM graphmem.refresh_topology(wait => false)");
	ok(comes_to($point), "kill -9 at $point");
	is(half_made(), $point eq 'topology_storing' ? '1' : '0', 'something is half made by then, or not');
	my $pid = value("SELECT pid FROM graphmem.stat_progress_topology");
	kill 'KILL', $pid;
	ok(wait_for(60, sub { $node->psql($db, 'SELECT 1') == 0 && !kill(0, $pid) }), 'the server comes back');
	eval { $stop->quit };
	is(value("SELECT count(*) FROM graphmem.similar('r0n0', 5, space => 'topology')"), '5', 'searches find the version before');
	is(found(), $before, 'which is what it was');
	ok(wait_for(60, sub { half_made() eq '0' }), 'what was half made goes');
}

#
# What an administrator does meanwhile
#
database('doomed');
value("SELECT state FROM graphmem.refresh_topology('fastrp', 8)", 'doomed');
$stop = hold('topology_storing');
value("SELECT state FROM graphmem.refresh_topology(wait => false)", 'doomed');
ok(comes_to('topology_storing'), 'a database is computed in');
took_at_most(10, 'DROP DATABASE of another one', sub {
	database('bystander');
	is($node->psql('postgres', 'DROP DATABASE bystander'), 0, 'another database is dropped');
});
is($node->psql('postgres', 'DROP DATABASE doomed'), 0, 'and so is that database');
let_go($stop, 'topology_storing');

$stop = hold('topology_computing');
value("SELECT state FROM graphmem.refresh_topology(wait => false)");
ok(comes_to('topology_computing'), 'one computes');
took_at_most(20, 'a fast shutdown', sub { $node->stop('fast') });
eval { $stop->quit };
$node->start;
value("SELECT count(*) FROM graphmem.match()");
is(found(), $before, 'the version before is there after it');

#
# No place for it
#
value("SELECT graphmem.add_triple('x', 'next', 'y')");
$node->append_conf('postgresql.conf', 'graphmem.worker = off');
$node->reload;
ok(wait_for_no_worker($node), 'without a worker');
($status, $out, $err) = $node->psql($db, '\set VERBOSITY verbose
SELECT state FROM graphmem.refresh_topology()');
like($err, qr/ERROR:  55000.*graphmem\.worker/s, 'nothing is computed, and why is said');
is(value("SELECT state FROM graphmem.refresh_topology(estimate => true)"), 'estimate', 'but an estimate is made');
$node->append_conf('postgresql.conf', "graphmem.worker = on\ngraphmem.memory_limit = '1MB'");
$node->reload;
value(q{INSERT INTO graphmem.facts (subject, predicate, object) SELECT 'many' || i, 'next', 'many' || i + 1 FROM generate_series(1, 1000) i});
($status, $out, $err) = $node->psql($db, '\set VERBOSITY verbose
SELECT state FROM graphmem.refresh_topology(\'spectral\', 512)');
like($err, qr/ERROR:  53400.*The limit is 1048576 bytes/s, 'a space that graphmem.memory_limit has no room for is not computed');
is(value("SELECT space_id FROM graphmem.stat_topology WHERE space = 'topology'"), (split /\|/, $before)[0],
	'the version before is there');

$node->stop;
done_testing();
