# Two sessions at once, pairs of what changes facts (see races.py).
# GRAPHMEM_SHARE=1 races every pair in every way, GRAPHMEM_DEEDS=merge,delete
# only pairs with one of these; GRAPHMEM_SEED repeats a choice.

use strict;
use warnings;

use File::Basename;
use PostgreSQL::Test::Utils;
use Test::More;

use Graphmem;

my $share = $ENV{GRAPHMEM_SHARE} // 0.03;
my $seed = $ENV{GRAPHMEM_SEED} // int(rand(1000000));
my $python = python_with('psycopg2');
plan skip_all => 'no psycopg2 (Debian: python3-psycopg2)' unless defined $python;

my $node = start_node('races', "deadlock_timeout = '20ms'\nmax_prepared_transactions = 1\n");
create_database($node, 'races');

my $done = report_of($python, dirname(__FILE__) . '/races.py',
	'host=' . $node->host . ' port=' . $node->port . ' dbname=races',
	$share, $seed);
ok($done, 'the races came to their end');
diag("GRAPHMEM_SEED=$seed makes the same choice") unless Test::More->builder->is_passing;

$node->stop;
done_testing();
