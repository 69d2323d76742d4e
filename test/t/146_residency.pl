# Many graphs under a small limit: the least recently used give way, pinned ones
# stay, one that is too large hurts nobody, dropped ones give their memory back.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Graphmem;

my $node = start_node('residency', "graphmem.memory_limit = 8MB\n");
create_database($node, 'g');

sub fill
{
	my ($graph, $triples) = @_;

	$node->safe_psql('g', qq{
		SELECT graphmem.create_graph('$graph');
		SET graphmem.graph = '$graph';
		INSERT INTO graphmem.facts (subject, predicate, object)
		SELECT 'n' || i, 'p', 'n' || i * 31 % $triples FROM generate_series(1, $triples) i});
	return;
}

sub path_of
{
	my ($graph) = @_;

	return $node->safe_psql('g', qq{
		SELECT count(*) FROM graphmem.neighbors('n7', graph => '$graph');
		SELECT path, reason FROM graphmem.stat_backend}) =~ s/^\d+\n//r;
}

sub graph_of
{
	my ($graph, $column) = @_;

	return $node->safe_psql('g', "SELECT $column FROM graphmem.stat_graph WHERE graph = '$graph'");
}

sub slabs
{
	return $node->safe_psql('g',
		'SELECT sum(bytes) FROM graphmem.stat_graph');
}

fill('kept', 2000);
$node->safe_psql('g', q{UPDATE graphmem.graphs SET residency = 'pinned' WHERE name = 'kept'});
fill("g$_", 10000) foreach 1 .. 6;
is(path_of('kept'), 'shared|', 'a pinned graph');
foreach (1 .. 6)
{
	is(path_of("g$_"), 'shared|', "graph $_ is answered from shared memory");
}
cmp_ok($node->safe_psql('g', 'SELECT evictions FROM graphmem.stat_worker'), '>', 0,
	'some had to give way');
is(graph_of('g1', 'state'), 'absent', 'the least recently used one did');
is(graph_of('g6', 'state'), 'ready', 'the last one is there');
is(graph_of('kept', 'state'), 'ready', 'the pinned one stayed');
cmp_ok(slabs(), '<=', 8 << 20, 'all within the limit');
is(path_of('g1'), 'shared|', 'what gave way comes back when it is asked for');

fill('large', 200000);
my $loads = graph_of('kept', 'loads');
like(path_of('large'), qr/^private\|larger than/, 'too large for the limit: answered privately');
is(graph_of('large', 'state'), 'too large', 'and the view says so');
is(path_of('g1'), 'shared|', 'others are not degraded');
is(graph_of('kept', 'loads'), $loads, 'the pinned one was not touched');

$node->safe_psql('g', q{UPDATE graphmem.graphs SET residency = 'none' WHERE name = 'g1'});
like(path_of('g1'), qr/^private\|.*residency is none/, 'kept out by its setting');
$node->safe_psql('g', q{UPDATE graphmem.graphs SET residency = 'auto' WHERE name = 'g1'});
is(path_of('g1'), 'shared|', 'and let in again');

my $before = slabs();
my $bytes = graph_of('g1', 'bytes');
$node->safe_psql('g', q{SELECT graphmem.drop_graph('g1')});
path_of('kept');
is(slabs(), $before - $bytes, 'a dropped graph gives its memory back');
is($node->safe_psql('g', 'SET client_min_messages = error; SELECT count(*) FROM graphmem.check()'),
	'0', 'all equal to the tables');

$node->append_conf('postgresql.conf', "graphmem.memory_limit = 256MB\n");
$node->reload;
my $path = '';
for (my $i = 0; $i < 100 && $path ne 'shared|'; $i++)
{
	$path = path_of('large');
	select undef, undef, undef, 0.2;
}
is($path, 'shared|', 'a larger limit lets the large one in');

$node->append_conf('postgresql.conf', "graphmem.memory_limit = 8MB\n");
$node->reload;
ok($node->poll_query_until('g', q{SELECT sum(bytes) <= 8 * 1024 * 1024 FROM graphmem.stat_graph}),
	'a smaller one sends it away, though nobody asks for memory');
is(graph_of('large', 'state'), 'absent', '... as the largest has to go');
is(graph_of('kept', 'state'), 'ready', '... but not what is pinned');
is(graph_of('kept', 'loads'), $loads, '... which was not loaded again');
is(path_of('kept'), 'shared|', '... and serves');
$node->stop;

done_testing();
