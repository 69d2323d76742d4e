# A database's worker comes with the first use, without preloading, and goes
# with the extension or its setting; whatever ends it, it comes back.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Graphmem;
use Workers;

my $node = start_node('worker', "log_min_messages = log\n");

create_database($node, 'one');
create_database($node, 'two');
is(running($node), '', 'CREATE EXTENSION starts nothing');
is(state_of($node, 'one'), 'not started', 'and the view says so');
is(running($node), '', 'nor does the view');

# ---- first use ----
first_use($node, 'one');
is(answers($node, 'one'), 'b', 'the first query is answered');
ok(wait_for_worker($node, 'one'), 'and has started the worker');
is(running($node), 'one', 'of this database alone');
is( $node->safe_psql('postgres', q{
		SELECT count(*), min(application_name) FROM pg_stat_activity
		WHERE backend_type = 'graphmem worker'}),
	'1|graphmem worker', 'which pg_stat_activity shows');
first_use($node, 'two');
is(answers($node, 'two'), 'b', 'another database');
ok(wait_for_worker($node, 'two'), 'has a worker of its own');
is(answers($node, 'one') . answers($node, 'two'), 'bb', 'each is answered by its own');
is( $node->safe_psql('one', q{
		SELECT count(*) FROM graphmem.neighbors('a'); SELECT path FROM graphmem.stat_backend}),
	"1\nshared", 'from shared memory');
is( $node->safe_psql('postgres', q{
		SELECT count(*) FROM pg_stat_activity
		WHERE backend_type = 'graphmem worker' AND backend_xmin IS NULL AND state = 'idle'}),
	2, 'an idle worker holds no snapshot');

# ---- many first uses at once ----
create_database($node, 'rush');
first_use($node, 'rush');
my $offset = -s $node->logfile;
my $sessions = "$PostgreSQL::Test::Utils::tmp_check/rush.sql";
append_to_file($sessions, "SELECT count(*) FROM graphmem.neighbors('a');\n");
$node->command_ok(
	[ 'pgbench', '-n', '-C', '-c', 12, '-j', 2, '-t', 3, '-f', $sessions, $node->connstr('rush') ],
	'many first uses at once');
ok(wait_for_worker($node, 'rush'), 'start a worker');
is(running($node), 'one rush two', 'and one only');
is(log_count($node, qr/graphmem worker for database "rush" is ready/, $offset), 1, 'once');

# ---- terminated ----
my $pid = worker_pid($node, 'one');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
ok(wait_for_worker($node, 'one', $pid), 'pg_terminate_backend: back by itself');
is(answers($node, 'one'), 'b', 'and answers');
is($node->safe_psql('one', 'SELECT starts, last_error IS NULL FROM graphmem.stat_worker'),
	'2|t', 'counted, and no error');
$pid = worker_pid($node, 'one');
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
is(answers($node, 'one'), 'b', 'pg_cancel_backend: an idle worker goes on');
is(worker_pid($node, 'one'), $pid, 'as the same process');

# a session that has attached a generation follows to the next
my $session = $node->background_psql('one');
is($session->query(q{SELECT count(*) FROM graphmem.neighbors('a')}), 1, 'a session attaches');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
is($session->query(q{SELECT count(*) FROM graphmem.neighbors('a')}), 1, 'is answered without a worker');
ok(wait_for_worker($node, 'one', $pid), 'which comes back');
$node->safe_psql('one', q{SELECT graphmem.add_triple('a', 'p', 'c')});
is($session->query(q{SELECT count(*) FROM graphmem.neighbors('a')}), 2, 'and serves the session again');
is($session->query(q{SELECT path FROM graphmem.stat_backend}), 'shared', 'from shared memory');
$session->quit;

# ---- the extension ----
$pid = worker_pid($node, 'two');
$node->safe_psql('two', 'BEGIN; DROP EXTENSION graphmem CASCADE; ROLLBACK');
sleep 2;
is(worker_pid($node, 'two'), $pid, 'DROP EXTENSION rolled back: the worker stays');
took_at_most(3, 'DROP EXTENSION', sub { $node->safe_psql('two', 'DROP EXTENSION graphmem') });
ok(wait_for(10, sub { running($node) eq 'one rush' }), 'DROP EXTENSION ends the worker');
sleep 3;
is(running($node), 'one rush', 'which does not come back');
is( $node->safe_psql('two', q{
		BEGIN;
		CREATE EXTENSION graphmem;
		SELECT graphmem.add_triple('a', 'p', 'b') > 0;
		SELECT count(*) FROM graphmem.neighbors('a');
		COMMIT;}),
	"t\n1", 'CREATE EXTENSION and a query in one transaction');
is(answers($node, 'two'), 'b', 'created again: answered');
ok(wait_for_worker($node, 'two'), 'with a worker again');
$pid = worker_pid($node, 'two');
$node->safe_psql('two', 'BEGIN; DROP EXTENSION graphmem; CREATE EXTENSION graphmem; COMMIT');
first_use($node, 'two');
is(answers($node, 'two'), 'b', 'dropped and created in one transaction: answered');
ok(wait_for_worker($node, 'two', $pid), 'by a worker that has begun anew');
is(answers($node, 'two'), 'b', 'the same');

$pid = worker_pid($node, 'two');
$node->safe_psql('two', q{UPDATE pg_extension SET extversion = '1.0.1' WHERE extname = 'graphmem'});
ok(wait_for_worker($node, 'two', $pid), 'another version: the worker starts again');
is(answers($node, 'two'), 'b', 'and answers');

# ---- the setting ----
$node->append_conf('postgresql.conf', 'graphmem.worker = off');
$node->reload;
ok(wait_for_no_worker($node), 'graphmem.worker = off ends all workers');
is(answers($node, 'one'), 'b c', 'and queries are answered');
is(running($node), '', 'without starting any');
is(state_of($node, 'one'), 'disabled', 'the view says so');
$node->append_conf('postgresql.conf', 'graphmem.worker = on');
$node->reload;
ok(wait_for(20, sub { answers($node, 'one') eq 'b c' && running($node) eq 'one' }),
	'back on: the next query starts one');

# ---- shutdown and restart ----
ok(wait_for_worker($node, 'one'), 'which is ready');
$offset = -s $node->logfile;
took_at_most(5, 'fast shutdown', sub { $node->stop('fast') });
# the last psql's server process may not have gone yet
is(log_count($node, qr/FATAL(?!:\s+terminating connection due to administrator command)|PANIC|ERROR/, $offset),
	0, 'without a word');
$node->start;
is(running($node), '', 'a started server has no worker');
is(answers($node, 'one'), 'b c', 'until the first query');
ok(wait_for_worker($node, 'one'), 'which starts it');
$node->stop('immediate');
$node->start;
is(answers($node, 'one'), 'b c', 'after an immediate stop too');
ok(wait_for_worker($node, 'one'), 'the worker comes');

$node->stop;
done_testing();
