# Workers.pm: what the tests of the workers' life ask and wait for.
package Workers;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

our @EXPORT = qw(first_use answers running worker_pid state_of wait_for wait_for_worker
  wait_for_no_worker log_count took_at_most);

# The graph of every database here: a -> b.
sub first_use
{
	my ($node, $database) = @_;

	return $node->safe_psql($database, q{SELECT graphmem.add_triple('a', 'p', 'b') > 0});
}

# What a query finds; it starts the worker where there is none.
sub answers
{
	my ($node, $database) = @_;

	return $node->safe_psql($database, q{SELECT string_agg(neighbor, ' ') FROM graphmem.neighbors('a')});
}

# The databases with a worker, without asking any of these.
sub running
{
	my ($node, $type) = @_;

	$type //= 'graphmem worker';
	return $node->safe_psql('postgres', qq{
		SELECT coalesce(string_agg(coalesce(datname, '-'), ' ' ORDER BY datname), '')
		FROM pg_stat_activity WHERE backend_type = '$type'});
}

sub worker_pid
{
	my ($node, $database) = @_;

	return $node->safe_psql('postgres', qq{
		SELECT pid FROM pg_stat_activity
		WHERE backend_type = 'graphmem worker' AND datname = '$database'});
}

sub state_of
{
	my ($node, $database) = @_;

	return $node->safe_psql($database, 'SELECT state FROM graphmem.stat_worker');
}

# Until the code gives true, or for so many seconds.
sub wait_for
{
	my ($seconds, $code) = @_;
	my $end = time() + $seconds;

	while (1)
	{
		return 1 if $code->();
		return 0 if time() > $end;
		usleep(50_000);
	}
}

# A ready one, other than the process that is named.
sub wait_for_worker
{
	my ($node, $database, $but, $seconds) = @_;

	return wait_for($seconds // 30, sub {
		my $pid = worker_pid($node, $database);
		return $pid ne '' && $pid ne ($but // '') && state_of($node, $database) eq 'ready';
	});
}

sub wait_for_no_worker
{
	my ($node, $seconds) = @_;

	return wait_for($seconds // 30, sub { running($node) eq '' });
}

# How many lines of the log match.
sub log_count
{
	my ($node, $pattern, $from) = @_;
	my $log = substr(slurp_file($node->logfile), $from // 0);
	my $count = () = $log =~ /$pattern/g;

	return $count;
}

sub took_at_most
{
	my ($seconds, $what, $code) = @_;
	my $start = time();

	$code->();
	my $took = time() - $start;
	ok($took < $seconds, sprintf('%s: at once', $what)) or diag(sprintf('it took %.1f s', $took));
	note sprintf('%s took %.2f s', $what, $took);
	return;
}

1;
