# Preloaded, the launcher starts a worker at boot for every database that has
# the extension, and finds those that get it later.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Graphmem;
use Workers;

my $node = start_node('launcher', "shared_preload_libraries = 'graphmem'\nmax_worker_processes = 16\n");

is(running($node, 'graphmem launcher'), '-', 'a launcher runs');
create_database($node, $_) foreach qw(one two);
$node->safe_psql('postgres', 'CREATE DATABASE without');

# ---- found without being asked ----
$node->reload;
ok(wait_for(30, sub { running($node) eq 'one two' }), 'new databases are found');
ok(wait_for_worker($node, $_), "$_ is ready") foreach qw(one two);
first_use($node, $_) foreach qw(one two);
is(answers($node, $_), 'b', "$_ answers") foreach qw(one two);

# ---- at boot ----
took_at_most(5, 'fast shutdown', sub { $node->stop('fast') });
my $offset = -s $node->logfile;
$node->start;
ok(wait_for(20, sub { running($node) eq 'one two' }), 'at boot the workers start by themselves');
ok(wait_for(20, sub { running($node, 'graphmem probe') eq '' }), 'the probes end');
is(answers($node, $_), 'b', "$_ answers") foreach qw(one two);
is(log_count($node, qr/graphmem worker for database "\w+" is ready/, $offset), 2, 'one worker each');
is(log_count($node, qr/(ERROR|FATAL):/, $offset), 0, 'and no complaints');

# ---- databases that go ----
foreach my $database (qw(without two))
{
	took_at_most(3, "DROP DATABASE $database",
		sub { $node->safe_psql('postgres', "DROP DATABASE $database") });
}
$node->safe_psql('one', 'DROP EXTENSION graphmem');
ok(wait_for_no_worker($node), 'DROP EXTENSION ends the worker');
$node->reload;
sleep 2;
is(running($node), '', 'and the launcher does not start it');
$node->safe_psql('one', 'CREATE EXTENSION graphmem');
first_use($node, 'one');
answers($node, 'one');
ok(wait_for_worker($node, 'one'), 'first use works as ever');

# ---- the setting ----
$node->append_conf('postgresql.conf', 'graphmem.worker = off');
$node->restart;
sleep 3;
is(running($node), '', 'graphmem.worker = off: no worker at boot');
is(running($node, 'graphmem launcher'), '-', 'though the launcher is there');
$node->append_conf('postgresql.conf', 'graphmem.worker = on');
$node->reload;
ok(wait_for(30, sub { running($node) eq 'one' }), 'back on: it starts them');

# ---- pg_upgrade ----
# It starts the old and the new server in a mode in which nothing but itself may
# run, with connections through its own socket.
$node->stop;
$offset = -s $node->logfile;
$node->command_ok(
	[
		'pg_ctl', '-w', '-D', $node->data_dir, '-l', $node->logfile, '-o', '-b', 'start'
	],
	'a server in binary upgrade mode');
sleep 3;
is( $node->safe_psql('one', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'graphmem%'}),
	0, 'has neither launcher nor worker');
is(answers($node, 'one'), 'b', 'answers from a private image');
is( $node->safe_psql('one', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'graphmem%'}),
	0, 'and starts none for that');
$node->command_ok([ 'pg_ctl', '-w', '-D', $node->data_dir, '-m', 'fast', 'stop' ], 'and stops');
is(log_count($node, qr/graphmem (worker|launcher)/, $offset), 0, 'nothing ran');

done_testing();
