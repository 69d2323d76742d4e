# Half a minute of the campaign in test/torture: kill -9 of worker, sessions and
# postmaster, restarts and disturbances under writers and readers.
# GRAPHMEM_SECONDS says how long; GRAPHMEM_SEED repeats the choices.

use strict;
use warnings;

use File::Basename;
use PostgreSQL::Test::Utils;
use Test::More;

use Graphmem;

my $seconds = $ENV{GRAPHMEM_SECONDS} // 30;
my $seed = $ENV{GRAPHMEM_SEED} // int(rand(1000000));

my $python = python_with('psycopg2');
plan skip_all => 'no psycopg2 (Debian: python3-psycopg2)' unless defined $python;

my ($bindir) = run_command([ 'pg_config', '--bindir' ]);
my $work = PostgreSQL::Test::Utils::tempdir('crash');
my $socket = PostgreSQL::Test::Utils::tempdir_short();

my $done = report_of($python, dirname(__FILE__) . '/../torture/torture.py', '--tap', '--bin', $bindir,
	'--work', $work, '--socket', $socket, '--seconds', $seconds, '--seed', $seed);
ok($done, 'the campaign came to its end');
diag("GRAPHMEM_SEED=$seed makes the same choices") unless Test::More->builder->is_passing;

done_testing();
