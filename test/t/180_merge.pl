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

my $python = python_with('psycopg2');
plan skip_all => 'no psycopg2 (Debian: python3-psycopg2)' unless defined $python;

my $node = start_node('merge');
create_database($node, 'merge');
note "seed $seed";

my $done = report_of($python, dirname(__FILE__) . '/merge.py', $seed, $graphs,
	$node->host, $node->port, 'merge');
diag("GRAPHMEM_SEED=$seed repeats this") unless Test::More->builder->is_passing;
is(Test::More->builder->current_test, 2 * $graphs + 2, 'every graph was compared');
ok($done, 'it came to its end');

$node->stop;
done_testing();
