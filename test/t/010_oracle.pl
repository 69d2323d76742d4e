# Answers on random graphs beside those of loops over the rows, recursive CTEs
# and networkx (see oracle.py).  GRAPHMEM_SEED repeats a run.

use strict;
use warnings;

use File::Basename;
use PostgreSQL::Test::Utils;
use Test::More;

use Graphmem;

my $graphs = $ENV{GRAPHMEM_GRAPHS} // 32;
my $seed = $ENV{GRAPHMEM_SEED} // int(rand(1000000));

# Debian's networkx goes with Debian's python, which need not come first in PATH
my ($python) = grep { system("$_ -c 'import networkx, numpy' >/dev/null 2>&1") == 0 }
  ('/usr/bin/python3', 'python3');
plan skip_all => 'no networkx (Debian: python3-networkx)' unless defined $python;

my $node = start_node('oracle');
create_database($node, 'oracle');
note "seed $seed";

my $psql = $node->installed_command('psql');
open(my $answers, '-|', $python, dirname(__FILE__) . '/oracle.py', $seed, $graphs,
	$psql, '-h', $node->host, '-p', $node->port, '-d', 'oracle')
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
is($reported, $graphs, 'every graph was compared');
ok($done, 'the oracle came to its end');

$node->stop;
done_testing();
