# The worker is in nobody's way: not of DROP DATABASE and its like, not of who
# wants to change the tables; and a database that is gone is left alone.

use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

use Graphmem;
use Workers;

my $quick = 3;		# s; without the worker's help DROP DATABASE fails after 5

my $node = start_node('gives_way');
my $offset;

sub database_with_worker
{
	my ($database) = @_;

	create_database($node, $database);
	first_use($node, $database);
	answers($node, $database);
	ok(wait_for_worker($node, $database), "$database has a worker");
	return;
}

database_with_worker('first');

# ---- what an administrator does ----
foreach my $try (1 .. 3)
{
	took_at_most($quick, "CREATE DATABASE ... TEMPLATE ($try)",
		sub { $node->safe_psql('postgres', "CREATE DATABASE copy$try TEMPLATE first") });
	is(answers($node, "copy$try"), 'b', 'the copy is answered');
	is(answers($node, 'first'), 'b', 'and the original');
}
ok(wait_for_worker($node, 'first'), 'the worker of the original is back');
ok(wait_for_worker($node, "copy$_"), "copy$_ has a worker") foreach 1 .. 3;

took_at_most($quick, 'ALTER DATABASE ... RENAME',
	sub { $node->safe_psql('postgres', 'ALTER DATABASE copy1 RENAME TO renamed') });
is(answers($node, 'renamed'), 'b', 'the renamed database is answered');
ok(wait_for_worker($node, 'renamed'), 'and its worker comes back');

$offset = -s $node->logfile;
took_at_most($quick, 'DROP DATABASE', sub { $node->safe_psql('postgres', 'DROP DATABASE renamed') });
took_at_most($quick, 'DROP DATABASE ... (FORCE)',
	sub { $node->safe_psql('postgres', 'DROP DATABASE copy2 WITH (FORCE)') });

# a session that asks its first question while the command waits for it to leave
foreach my $command ('DROP DATABASE late', 'ALTER DATABASE late RENAME TO later',
	'CREATE DATABASE late_copy TEMPLATE late')
{
	create_database($node, 'late');
	first_use($node, 'late');
	my ($out, $err) = ('', '');
	my $client = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('late'),
			'-c', 'SELECT pg_sleep(1)',
			'-c', "SELECT count(*) FROM graphmem.neighbors('a')",
			'-c', 'SELECT path, reason FROM graphmem.stat_backend' ],
		'>', \$out, '2>', \$err);
	sleep 0.3;
	took_at_most($quick, "$command before a first query", sub { $node->safe_psql('postgres', $command) });
	$client->finish;
	is($out . $err, "\n1\nprivate|the database is being dropped, renamed or copied\n",
		'the query is answered privately');
	$node->safe_psql('postgres', "DROP DATABASE IF EXISTS $_") foreach 'late', 'later', 'late_copy';
}

# ---- no endless restarts ----
sleep 12;
is(running($node), 'copy3 first', 'the workers of dropped databases are gone');
my $attempts = log_count($node, qr/database \d+ does not exist/, $offset);
ok($attempts <= 3, 'only who was waiting for the lock tried to connect') or diag("$attempts");
is( $node->safe_psql('postgres', q{
		SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'graphmem%'}),
	2, 'nothing else is left');

# the places of dropped databases are taken by others; GRAPHMEM_LONG: of all places
foreach my $i (1 .. ($ENV{GRAPHMEM_LONG} ? 50 : 3))
{
	$node->safe_psql('postgres', 'CREATE DATABASE passing TEMPLATE copy3');
	is(answers($node, 'passing'), 'b', "a database that comes and goes ($i)");
	$node->safe_psql('postgres', 'DROP DATABASE passing');
}
$node->safe_psql('postgres', 'CREATE DATABASE passing TEMPLATE copy3');
is(answers($node, 'passing'), 'b', 'a database of the same name');
ok(wait_for(40, sub { answers($node, 'passing'); state_of($node, 'passing') eq 'ready' }), 'has a worker');

# ---- a database that does not accept connections for a while ----
$node->safe_psql('postgres', 'ALTER DATABASE passing ALLOW_CONNECTIONS false');
my $pid = worker_pid($node, 'passing');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
sleep 9;
is(worker_pid($node, 'passing'), '', 'its worker does not come back');
$node->safe_psql('postgres', 'ALTER DATABASE passing ALLOW_CONNECTIONS true');
is(answers($node, 'passing'), 'b', 'but queries are answered again');
like($node->safe_psql('passing', 'SELECT state, last_error FROM graphmem.stat_worker'),
	qr/disabled\|.*does not accept connections/, 'and the view tells why it has none yet');

# ---- what the owner of the tables does ----
took_at_most($quick, 'ALTER TABLE', sub {
	$node->safe_psql('first', 'ALTER TABLE graphmem.triples SET (fillfactor = 90)') });
took_at_most($quick, 'VACUUM FULL', sub { $node->safe_psql('first', 'VACUUM FULL graphmem.triples') });
took_at_most($quick, 'CREATE INDEX CONCURRENTLY', sub {
	$node->safe_psql('first', 'CREATE INDEX CONCURRENTLY mine ON graphmem.triples (confidence)') });
is(answers($node, 'first'), 'b', 'queries are answered after that');

# ---- without the flag ----
$node->append_conf('postgresql.conf', 'graphmem.admin_friendly = off');
$node->reload;
sleep 2;
my ($status, $out, $err) = $node->psql('postgres', 'CREATE DATABASE copy4 TEMPLATE first');
like($err, qr/source database "first" is being accessed by other users/,
	'graphmem.admin_friendly = off: the worker stays where it is');
$node->append_conf('postgresql.conf', 'graphmem.admin_friendly = on');
$node->reload;
sleep 2;
took_at_most($quick, 'CREATE DATABASE after it is on again',
	sub { $node->safe_psql('postgres', 'CREATE DATABASE copy4 TEMPLATE first') });
took_at_most($quick, 'DROP DATABASE (FORCE) of a database with a worker',
	sub { $node->safe_psql('postgres', 'DROP DATABASE copy3 WITH (FORCE)') });

$node->stop;
done_testing();
