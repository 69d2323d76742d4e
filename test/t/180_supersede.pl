# What supersedes what, beside a model of the rules; many sessions; bulk (see
# supersede.py).  GRAPHMEM_SEED repeats a run.

use strict;
use warnings;

use File::Basename;
use PostgreSQL::Test::Utils;
use Test::More;

use Graphmem;

my $steps = $ENV{GRAPHMEM_STEPS} // 600;
my $seconds = $ENV{GRAPHMEM_SECONDS} // 8;
my $seed = $ENV{GRAPHMEM_SEED} // int(rand(1000000));

my ($python) = grep { system("$_ -c 'import psycopg2' >/dev/null 2>&1") == 0 }
  ('/usr/bin/python3', 'python3');
plan skip_all => 'no psycopg2 (Debian: python3-psycopg2)' unless defined $python;

my $node = start_node('supersede');
create_database($node, 'supersede');
note "seed $seed";

my $dsn = 'host=' . $node->host . ' port=' . $node->port . ' dbname=supersede';
open(my $answers, '-|', $python, dirname(__FILE__) . '/supersede.py', $seed, $steps, $seconds, $dsn)
  or die "could not start $python: $!";
my $done = 0;
while (my $line = <$answers>)
{
	chomp $line;
	if ($line =~ /^(not )?ok - (.*)/)
	{
		ok(!defined $1, $2);
		diag("GRAPHMEM_SEED=$seed repeats this") if defined $1;
	}
	elsif ($line eq 'done')
	{
		$done = 1;
	}
	else
	{
		note($line);
	}
}
close($answers);
ok($done, 'the model came to its end');

$node->stop;
done_testing();
