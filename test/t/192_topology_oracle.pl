# Vectors of small graphs beside numpy, scipy and networkx (see topology_oracle.py).
# GRAPHMEM_SEED repeats a run.

use strict;
use warnings;

use File::Basename;
use PostgreSQL::Test::Utils;
use Test::More;

use Graphmem;

my $seed = $ENV{GRAPHMEM_SEED} // int(rand(1000000));
my $python = python_with('psycopg2', 'numpy', 'scipy', 'networkx');
plan skip_all => 'no psycopg2, numpy, scipy or networkx (Debian: python3-psycopg2 python3-numpy python3-scipy python3-networkx)'
  unless defined $python;

my $node = start_node('topology_oracle', "graphmem.topology_threshold = 0\n");
create_database($node, 'topology_oracle');

my $done = report_of($python, dirname(__FILE__) . '/topology_oracle.py',
	'host=' . $node->host . ' port=' . $node->port . ' dbname=topology_oracle', $seed);
ok($done, 'every graph was compared');
diag("GRAPHMEM_SEED=$seed repeats this") unless Test::More->builder->is_passing;

$node->stop;
done_testing();
