# Files out of psql and into it: N-Triples, rows of facts in every format of
# COPY, memory.jsonl; what an independent reader makes of the N-Triples; and
# that a bad line anywhere leaves nothing behind.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use File::Basename;

use Graphmem;

my $python = python_with('psycopg2');
plan skip_all => 'needs a Python with psycopg2' if !defined $python;

my $seed = $ENV{UNIT_SEED} // int(rand(2**31));
my $node = start_node('exchange');
create_database($node, 'exchange');

note "UNIT_SEED=$seed";
ok(report_of($python, dirname(__FILE__) . '/exchange.py', $seed, $node->connstr('exchange'),
	PostgreSQL::Test::Utils::tempdir()), 'all was tried');
SKIP:
{
	my $reader = python_with('rdflib', 'psycopg2');

	skip 'no independent reader of N-Triples: needs python3-rdflib', 1 if !defined $reader;
	ok(report_of($reader, dirname(__FILE__) . '/exchange_rdf.py', $seed, $node->connstr('exchange'),
		PostgreSQL::Test::Utils::tempdir()), 'all was read by another reader');
}
is($node->safe_psql('exchange', 'SELECT count(*) FROM graphmem.check()'), '0',
	'check() finds nothing to complain of');
$node->stop;
done_testing();
