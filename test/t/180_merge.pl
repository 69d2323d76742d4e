# Random graphs merged and unmerged, all tables compared (see merge.py).
# GRAPHMEM_SEED repeats a run.

use strict;
use warnings;

use File::Basename;
use PostgreSQL::Test::Utils;
use Test::More;

use Graphmem;

my $graphs = $ENV{GRAPHMEM_GRAPHS} // 32;
my $seed = $ENV{GRAPHMEM_SEED} // int(rand(1000000));

my ($python) = grep { system("$_ -c 'import psycopg2' >/dev/null 2>&1") == 0 }
  ('/usr/bin/python3', 'python3');
plan skip_all => 'no psycopg2 (Debian: python3-psycopg2)' unless defined $python;

my $node = start_node('merge');
create_database($node, 'merge');
note "seed $seed";

open(my $answers, '-|', $python, dirname(__FILE__) . '/merge.py', $seed, $graphs,
	$node->host, $node->port, 'merge')
  or die "could not start $python: $!";
my $done = 0;
my $reported = 0;
while (my $line = <$answers>)
{
	chomp $line;
	if ($line =~ /^(not )?ok - (.*)/)
	{
		$reported++;
		ok(!defined $1, $2);
		diag("GRAPHMEM_SEED=$seed repeats this") if defined $1;
	}
	elsif ($line eq 'done')
	{
		$done = 1;
	}
	else
	{
		diag($line);
	}
}
close($answers);
is($reported, 2 * $graphs + 2, 'every graph was compared');
ok($done, 'it came to its end');

$node->stop;
done_testing();
