# Where the server has no room for a worker, queries are answered privately;
# view and log say what is missing, once.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Graphmem;
use Workers;

# ---- no slot for a process ----
my $node = start_node('no_slot', "max_worker_processes = 1\nmax_parallel_workers = 0\n"
	  . "max_logical_replication_workers = 0\n");

create_database($node, $_) foreach qw(first second);
first_use($node, $_) foreach qw(first second);
answers($node, 'first');
ok(wait_for_worker($node, 'first'), 'one slot, one worker');
my $offset = -s $node->logfile;
foreach (1 .. 3)
{
	is( $node->safe_psql('second', q{
			SELECT count(*) FROM graphmem.neighbors('a');
			SELECT path, reason FROM graphmem.stat_backend}),
		"1\nprivate|no free worker slot", 'the second database: answered privately');
}
is(state_of($node, 'second'), 'no worker slot', 'the view says why');
like($node->safe_psql('second', 'SELECT last_error FROM graphmem.stat_worker'),
	qr/no free slot/, 'in words too');
like($node->safe_psql('second', 'SELECT hint FROM graphmem.stat_worker'),
	qr/max_worker_processes/, 'and what to do');
is(log_count($node, qr/could not start the graphmem worker/, $offset), 1, 'the log says it once');
is(log_count($node, qr/HINT:  Raise "max_worker_processes"/, $offset), 1, 'with a hint');
sleep 11;
answers($node, 'second');
is(log_count($node, qr/could not start the graphmem worker/, $offset), 1,
	'and not again at the next attempt');
$node->safe_psql('postgres', 'DROP DATABASE first');
ok(wait_for(40, sub { answers($node, 'second'); running($node) eq 'second' }),
	'a slot that becomes free is taken');
ok(wait_for_worker($node, 'second'), 'and the worker serves');
$node->stop;

$node->append_conf('postgresql.conf', "shared_preload_libraries = 'graphmem'");
$offset = -s $node->logfile;
$node->start;
ok(wait_for(20, sub { log_count($node, qr/could not look for graphmem in every database/, $offset) == 1 }),
	'a launcher without a slot for its probes says so');
is(answers($node, 'second'), 'b', 'queries are answered');
is(state_of($node, 'second'), 'no worker slot', 'the view says why');
$node->stop;

# ---- no shared memory ----
# A limit on the size of files holds for the segments too.
SKIP:
{
	my $limited = PostgreSQL::Test::Cluster->new('no_memory');

	$limited->init(extra => [ '--encoding=UTF8', '--locale=C', '--wal-segsize=1' ]);
	$limited->append_conf('postgresql.conf',
		"fsync = off\ndynamic_shared_memory_type = posix\nmin_wal_size = 2MB\nmax_wal_size = 16MB\n");
	$limited->start;
	create_database($limited, 'limited');
	first_use($limited, 'limited');
	$limited->stop;
	my $ctl = join(' ', map { "'$_'" } 'pg_ctl', '-w', '-D', $limited->data_dir, '-l',
		$limited->logfile, '-o', '--cluster-name=no_memory', 'start');
	if (system('bash', '-c', "ulimit -f 2500 && $ctl >/dev/null") != 0)
	{
		skip 'the server does not start with a limit on files', 1;
	}
	$limited->_update_pid(1);
	$offset = -s $limited->logfile;
	is(answers($limited, 'limited'), 'b', 'no room for an area: answered');
	ok(wait_for(20, sub { state_of($limited, 'limited') eq 'backoff' }), 'the worker waits');
	like($limited->safe_psql('limited', 'SELECT last_error FROM graphmem.stat_worker'),
		qr/no shared memory for the worker: /, 'and the view tells what is missing');
	is( $limited->safe_psql('limited', q{
			SELECT count(*) FROM graphmem.neighbors('a');
			SELECT path, reason FROM graphmem.stat_backend}),
		"1\nprivate|the worker failed and waits", 'queries do not wait for it');
	sleep 8;
	is(log_count($limited, qr/ERROR:  no shared memory for the worker/, $offset), 1,
		'the log has it once, though the worker tries again');
	like(slurp_file($limited->logfile, $offset), qr/HINT:  Give the server more shared memory/, 'with a hint');
	took_at_most(5, 'fast shutdown', sub { $limited->stop('fast') });
	$limited->start;
	answers($limited, 'limited');
	ok(wait_for_worker($limited, 'limited'), 'with room it serves');
	$limited->stop;
}

done_testing();
