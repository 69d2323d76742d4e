# as_of and known_at of every reading function beside a database that holds only
# the rows visible then (see bitemporal.py), from the shared image, from a private
# one and with own changes laid over.  GRAPHMEM_ROUNDS says how many graphs;
# GRAPHMEM_SEED repeats a run.

use strict;
use warnings;

use File::Basename;
use PostgreSQL::Test::Utils;
use Test::More;

use Graphmem;

my $rounds = $ENV{GRAPHMEM_ROUNDS} // 4;
my $seed = $ENV{GRAPHMEM_SEED} // int(rand(1000000));

my $python = python_with('psycopg2');
plan skip_all => 'no psycopg2 (Debian: python3-psycopg2)' unless defined $python;

my $node = start_node('bitemporal');
my @databases = qw(whole rough then_);
create_database($node, $_) foreach @databases;
note "seed $seed";

my $done = report_of($python, dirname(__FILE__) . '/bitemporal.py', $seed, $rounds,
	map { $node->connstr($_) } @databases);
ok($done, 'the comparison came to its end');
diag("GRAPHMEM_SEED=$seed repeats this") unless Test::More->builder->is_passing;

$node->stop;
done_testing();
