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

my $python = python_with('psycopg2');
plan skip_all => 'no psycopg2 (Debian: python3-psycopg2)' unless defined $python;

my $node = start_node('supersede');
create_database($node, 'supersede');
note "seed $seed";

my $dsn = 'host=' . $node->host . ' port=' . $node->port . ' dbname=supersede';
my $done = report_of($python, dirname(__FILE__) . '/supersede.py', $seed, $steps, $seconds, $dsn);
diag("GRAPHMEM_SEED=$seed repeats this") unless Test::More->builder->is_passing;
ok($done, 'the model came to its end');

$node->stop;
done_testing();
