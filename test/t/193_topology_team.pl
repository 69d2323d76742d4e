# Helpers of a computation: the same vectors with any number of them, and what
# comes of it when they end, cannot be started, or find no shared memory.

use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

use Graphmem;
use Workers;

my $db = 'team';
my $node = start_node('topology_team', qq{
	max_worker_processes = 8
	restart_after_crash = on
	max_logical_replication_workers = 0
	graphmem.compute_workers = 3
	graphmem.topology_threshold = 0
	graphmem.index_file = off
});

create_database($node, $db);
$node->safe_psql($db, q{
	CREATE FUNCTION stop(point text, at bool) RETURNS void AS 'graphmem', 'graphmem_stop_point' LANGUAGE C STRICT;
	CREATE FUNCTION stopped(point text) RETURNS bool AS 'graphmem', 'graphmem_stopped' LANGUAGE C STRICT;

	INSERT INTO graphmem.facts (subject, predicate, object)
	SELECT DISTINCT 'n' || a.x, 'links', 'n' || b.x
	FROM generate_series(1, 30000) i,
		LATERAL (SELECT (abs(hashint8(i)::bigint) % 3000 * (abs(hashint8(i + 100000)::bigint) % 3000) / 3000) AS x) a,
		LATERAL (SELECT abs(hashint8(i + 200000)::bigint) % 3000 AS x) b;

	CREATE VIEW vectors AS
		SELECT s.name AS space, md5(string_agg(v.entity_id || v.embedding::text, ' ' ORDER BY v.entity_id)) AS sum,
			count(*) AS n
		FROM graphmem.topology_vectors v JOIN graphmem.vector_spaces s USING (space_id)
		WHERE s.origin = 'topology' GROUP BY s.name;
});

sub refresh
{
	my ($space, $more) = @_;

	return "SELECT state FROM graphmem.refresh_topology('spectral', 64, space => '$space'"
	  . ($more // '') . ')';
}

sub helpers
{
	return split(/\n/, $node->safe_psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE backend_type = 'graphmem topology helper' ORDER BY pid"));
}

sub wait_for_helpers
{
	my ($n) = @_;

	return wait_for(60, sub { helpers() == $n });
}

sub topology_pid
{
	return $node->safe_psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE backend_type = 'graphmem topology'");
}

sub sum_of
{
	my ($space) = @_;

	return $node->safe_psql($db, "SELECT sum FROM vectors WHERE space = '$space'");
}

sub set_members
{
	my ($n) = @_;

	$node->append_conf('postgresql.conf', "graphmem.compute_workers = $n");
	$node->reload;
	return;
}

sub stopping
{
	my ($point) = @_;
	my $psql = $node->background_psql($db);

	$psql->query("SELECT stop('$point', true)");
	return { psql => $psql, point => $point };
}

sub go_on
{
	my ($stopping) = @_;

	$stopping->{psql}->query("SELECT stop('$stopping->{point}', false)");
	$stopping->{psql}->quit;
	return;
}

sub started
{
	my ($sql) = @_;
	my ($out, $err) = ('', '');
	my $run = IPC::Run::start([ 'psql', '-X', '-A', '-t', '-q', '-d', $node->connstr($db), '-c', $sql ],
		'>', \$out, '2>', \$err);

	return { run => $run, out => \$out, err => \$err };
}

sub ended
{
	my ($session) = @_;

	$session->{run}->finish;
	return ${ $session->{out} } . ${ $session->{err} };
}

# 1. Helpers help: one is seen at a block, and the vectors are those of one process.
set_members(1);
is($node->safe_psql($db, refresh('alone')), 'done', 'one process computes');
is(scalar(helpers()), 0, 'no helper was started for it');
my $alone = sum_of('alone');
isnt($alone, '', 'there are vectors');
set_members(3);
my $stopping = stopping('team_helper_block');
my $session = started(refresh('three'));
ok(wait_for(60, sub { $node->safe_psql($db, "SELECT stopped('team_helper_block')") eq 't' }),
	'a helper takes a block');
is(scalar(helpers()), 2, 'two helpers for three members');
for my $pid (helpers(), topology_pid())
{
	opendir(my $threads, "/proc/$pid/task") or next;
	is(scalar(grep { /^\d/ } readdir($threads)), 1, 'a process that computes has one thread');
	my $maps = slurp_file("/proc/$pid/maps");
	like($maps, qr/openblas/, 'and has OpenBLAS');
}
go_on($stopping);
is(ended($session), "done\n", 'three processes compute');
is(sum_of('three'), $alone, 'the same vectors bit for bit');
ok(wait_for_helpers(0), 'helpers end with it');

# 2. A helper that is told to end outside of a block: the others go on.
$stopping = stopping('team_before_phase');
$session = started(refresh('left'));
ok(wait_for_helpers(2), 'helpers are there');
kill 'TERM', helpers();
ok(wait_for_helpers(0), 'they end at once when told to');
go_on($stopping);
is(ended($session), "done\n", 'the computation goes on without them');
is(sum_of('left'), $alone, 'and gives the same vectors');

# 3. In the middle of a block that cannot be finished: an error, no hang, the
# version before stays.
$stopping = stopping('team_helper_block');
$session = started(refresh('three', ', seed => 5'));
wait_for(60, sub { $node->safe_psql($db, "SELECT stopped('team_helper_block')") eq 't' });
kill 'TERM', helpers();
like(ended($session), qr/a process that helped to compute ended in the middle of it/,
	'the loss of a helper in a block is an error');
is(sum_of('three'), $alone, 'the version before is there');
go_on($stopping);
ok(wait_for_helpers(0), 'no helper is left');
is($node->safe_psql($db, refresh('three')), 'done', 'the process computes again');
is(sum_of('three'), $alone, 'as before');

# 4. A helper that sleeps: cancel and DROP DATABASE of others do not wait for it.
$stopping = stopping('team_before_phase');
$session = started(refresh('asleep'));
ok(wait_for_helpers(2), 'helpers wait for a phase');
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('postgres', 'DROP DATABASE other');
pass('another database is dropped meanwhile');
kill 'TERM', topology_pid();
isnt(ended($session), "done\n", 'the topology process ends when told to');
ok(wait_for_helpers(0), 'helpers end with their leader');
go_on($stopping);

# 5. No slots.
$node->append_conf('postgresql.conf', "max_worker_processes = 2");
$node->restart;
is($node->safe_psql($db, refresh('slots')), 'done', 'few slots: it computes all the same');
is(sum_of('slots'), $alone, 'the same vectors');

# 6. No shared memory of that size, which is a file to the system.
$node->append_conf('postgresql.conf', "max_worker_processes = 8");
$node->restart;
is($node->safe_psql($db, refresh('small')), 'done', 'the process is there');
my $before = -s $node->logfile;
system_or_bail('prlimit', '--pid', topology_pid(), '--fsize=17000000:17000000');
is($node->safe_psql($db, "SELECT state FROM graphmem.refresh_topology('walk', 512, space => 'large')"),
	'done', 'no shared memory: it computes all the same');
like(slurp_file($node->logfile, $before), qr/one process computes alone: no shared memory/, 'alone');

# 7. A killed helper takes the server through a restart; the vectors are there.
$node->restart;
$stopping = stopping('team_before_phase');
$session = started(refresh('killed'));
ok(wait_for_helpers(2), 'helpers are there');
kill 'KILL', (helpers())[0];
isnt(ended($session), "done\n", 'a killed helper ends the computation');
eval { $stopping->{psql}->quit };
ok(wait_for(60, sub { ($node->psql($db, 'SELECT 1'))[0] == 0 }), 'the server is back');
is(sum_of('three'), $alone, 'vectors are what they were');
is($node->safe_psql($db, refresh('killed')), 'done', 'and can be computed');
is(sum_of('killed'), $alone, 'the same');
ok(wait_for_helpers(0), 'nothing is left running');

# 8. The module is not there.
my $module = $node->safe_psql($db, "SELECT setting FROM pg_config WHERE name = 'PKGLIBDIR'") . '/graphmem_compute.so';
SKIP:
{
	skip 'cannot take the module away', 2 unless rename($module, "$module.away");
	$node->restart;
	my ($code, $out, $err) = $node->psql($db, refresh('missing'), on_error_stop => 0,
		extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	rename("$module.away", $module);
	like($err, qr/58P01.*could not load the module that computes topology embeddings/s, 'a missing module is named');
	is($node->safe_psql($db, refresh('missing')), 'done', 'it is found when it is there again');
}

$node->stop;
done_testing();
