# After a crash the workers come back by themselves, preloaded or not, and
# answer what was committed; shared memory is not left behind.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Graphmem;
use Workers;

sub crash
{
	my ($node, $pid, $what) = @_;

	kill('KILL', $pid) or die "could not kill $pid";
	ok(wait_for(30, sub { !kill(0, $pid) && $node->psql('postgres', 'SELECT 1') == 0 }),
		"$what: the server is back");
	return;
}

sub segments
{
	my @files = glob('/dev/shm/PostgreSQL.*');

	return scalar(@files);
}

foreach my $preload ('', "shared_preload_libraries = 'graphmem'\n")
{
	my $mode = $preload eq '' ? 'not preloaded' : 'preloaded';
	my $node = start_node($preload eq '' ? 'crash' : 'crash_preloaded',
		$preload . "restart_after_crash = on\n");

	create_database($node, 'crash');
	first_use($node, 'crash');
	answers($node, 'crash');
	ok(wait_for_worker($node, 'crash'), "$mode: a worker");

	foreach my $victim ('session', 'worker')
	{
		my $what = "$mode, kill -9 of a $victim";
		my $session = $node->background_psql('crash', on_error_stop => 0);
		my $pid = $victim eq 'worker' ? worker_pid($node, 'crash') :
		  $session->query('SELECT pg_backend_pid()');
		my $before = $node->safe_psql('crash', 'SELECT generation FROM graphmem.stat_worker');

		$session->query(q{SELECT count(*) FROM graphmem.neighbors('a')});
		crash($node, $pid, $what);
		eval { $session->quit };
		ok(wait_for(30, sub { running($node) eq 'crash' }), "$what: the worker comes by itself");
		ok(wait_for_worker($node, 'crash'), "$what: and gets ready");
		is(answers($node, 'crash'), 'b', "$what: and answers");
		is( $node->safe_psql('crash', "SELECT generation > $before FROM graphmem.stat_worker"),
			't', "$what: from a new generation");
		is( $node->safe_psql('crash', q{
				SELECT count(*) FROM graphmem.neighbors('a'); SELECT path FROM graphmem.stat_backend}),
			"1\nshared", "$what: shared");
	}

	# a postmaster that is killed leaves what the next one removes
	my $postmaster = slurp_file($node->data_dir . '/postmaster.pid') =~ s/\n.*//sr;
	my $worker = worker_pid($node, 'crash');

	kill('KILL', $postmaster);
	ok(wait_for(30, sub { !kill(0, $worker) }), "$mode: a worker ends with its postmaster");
	$node->{_pid} = undef;
	unlink($node->data_dir . '/postmaster.pid');
	$node->start;
	is(answers($node, 'crash'), 'b', "$mode: the next server answers");
	ok(wait_for_worker($node, 'crash'), "$mode: with a worker");
	my $while = segments();
	$node->stop;
	ok(segments() < $while, "$mode: a stop gives shared memory back");
}

done_testing();
