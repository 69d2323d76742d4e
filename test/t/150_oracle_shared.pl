# Shared, laid-over and private answers of the same call are the same under
# concurrent writes, and a commit is seen at once (see oracle_shared.py).
# GRAPHMEM_CALLS says how many calls; GRAPHMEM_SEED repeats the choices, though
# not their interleaving.

use strict;
use warnings;

use File::Basename;
use PostgreSQL::Test::Utils;
use Test::More;

use Graphmem;

my $calls = $ENV{GRAPHMEM_CALLS} // 10000;
my $seed = $ENV{GRAPHMEM_SEED} // int(rand(1000000));

my $python = python_with('psycopg2');
plan skip_all => 'no psycopg2 (Debian: python3-psycopg2)' unless defined $python;

my $node = start_node('oracle_shared',
	"max_prepared_transactions = 20\ndeadlock_timeout = '50 ms'\n");
create_database($node, 'oracle');
note "seed $seed";

my $done = report_of($python, dirname(__FILE__) . '/oracle_shared.py', $seed, $calls,
	$node->connstr('oracle'));
ok($done, 'the oracle came to its end');
diag("GRAPHMEM_SEED=$seed makes the same choices") unless Test::More->builder->is_passing;

$node->stop;
done_testing();
