# Many graphs and little memory: which graphs are in memory, which give way, and
# that a graph too large for the limit is alone with that.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Graphmem;
use Workers;

my $node = start_node('residency', "graphmem.memory_limit = 4MB\nautovacuum = off\n");

create_database($node, 'residency');

# Graphs of about 120 kB each.
sub create_graph
{
	my ($name, $residency, $triples) = @_;

	$node->safe_psql('residency', qq{
		WITH g AS (SELECT graphmem.create_graph('$name', '$residency') AS id)
		INSERT INTO graphmem.predicates (graph_id, name) SELECT id, 'p' FROM g;
		INSERT INTO graphmem.entities (graph_id, name)
			SELECT graph_id, 'e' || n FROM graphmem.graphs, generate_series(0, 299) n WHERE name = '$name';
		INSERT INTO graphmem.triples (graph_id, subject_id, predicate_id, object_id)
			SELECT g.graph_id, first + n % 300, predicate_id, first + (n * 7 + n / 300) % 300
			FROM graphmem.graphs g JOIN graphmem.predicates p USING (graph_id),
				(SELECT min(entity_id) AS first FROM graphmem.entities JOIN graphmem.graphs USING (graph_id)
				WHERE graphs.name = '$name') e, generate_series(0, $triples - 1) n
			WHERE g.name = '$name'});
	return;
}

# How many neighbours, and how that was found out.
sub look
{
	my ($name) = @_;

	return $node->safe_psql('residency', qq{
		SET graphmem.sync_timeout = '60s';
		SELECT count(*) > 0 FROM graphmem.neighbors('e1', graph => '$name');
		SELECT path || coalesce(': ' || reason, '') FROM graphmem.stat_backend});
}

sub states
{
	my ($names) = @_;

	return $node->safe_psql('residency', qq{
		SELECT string_agg(state, ' ' ORDER BY graph) FROM graphmem.stat_graph WHERE graph = ANY ('$names')});
}

sub worker
{
	my ($column) = @_;

	return $node->safe_psql('residency', "SELECT $column FROM graphmem.stat_worker");
}

# ---- graphs that together are larger than the limit ----

create_graph("g$_", 'auto', 1000) foreach 10 .. 59;
create_graph('pinned', 'pinned', 1000);
create_graph('none', 'none', 1000);

is(look('g10'), "t\nshared", 'loaded when asked for');
ok(wait_for(20, sub { states('{pinned}') eq 'ready' }), 'a pinned graph is loaded without');
is(look('none'), "t\nprivate: the graph's residency is none", 'residency none is kept out');
is(states('{none}'), 'none', '... and says so');

my $answers = 0;
foreach my $round (1 .. 2)
{
	$answers += look("g$_") eq "t\nshared" foreach 10 .. 59;
}
is($answers, 100, 'every graph is answered from shared memory, twice');
cmp_ok(worker('evictions'), '>', 50, '... some gave way for others');
cmp_ok($node->safe_psql('residency',
		q{SELECT sum(bytes) FROM graphmem.stat_memory WHERE part = 'graphs'}),
	'<=', 4 * 1024 * 1024, '... within the limit');
is(states('{pinned}'), 'ready', '... the pinned one is still there');
is(states('{g59}'), 'ready', '... as is the last one used');
is(states('{g10,g11}'), 'absent absent', '... but not those used longest ago');

look('g40');
look('g41');
foreach (10 .. 25)
{
	look("g$_");
	look('g40');
}
is(states('{g40,g41}') =~ /^ready/, 1, 'one that is used again and again stays');

# ---- residency changes ----

$node->safe_psql('residency', q{UPDATE graphmem.graphs SET residency = 'none' WHERE name = 'g40'});
is(look('g40'), "t\nprivate: the graph's residency is none", 'a graph is sent out of memory');
$node->safe_psql('residency', q{UPDATE graphmem.graphs SET residency = 'pinned' WHERE name = 'g40'});
ok(wait_for(20, sub { states('{g40}') eq 'ready' }), '... and taken in again');
is(look('g40'), "t\nshared", '... and answers');

# ---- a graph that cannot fit ----

my $before = worker('evictions');
my $ready = $node->safe_psql('residency', q{SELECT count(*) FROM graphmem.stat_graph WHERE state = 'ready'});
create_graph('huge', 'auto', 80000);
is(look('huge'), "t\nprivate: larger than graphmem.memory_limit allows", 'a graph larger than the limit');
is(states('{huge}'), 'too large', '... is shown');
is(worker('evictions'), $before, '... and drove nobody out');
is($node->safe_psql('residency', q{SELECT count(*) FROM graphmem.stat_graph WHERE state = 'ready'}), $ready,
	'... so that as many are there as before');
is(look('g25'), "t\nshared", '... and others go on');

$node->append_conf('postgresql.conf', 'graphmem.memory_limit = 64MB');
$node->reload;
ok(wait_for(30, sub { look('huge') eq "t\nshared" }), 'with a higher limit it is loaded');

# ---- one that grows beyond the limit ----

$node->append_conf('postgresql.conf', 'graphmem.memory_limit = 16MB');
$node->reload;
is(look('huge'), "t\nshared", 'a lower limit takes nothing away at once');
$node->safe_psql('residency', q{
	INSERT INTO graphmem.entities (graph_id, name)
	SELECT graph_id, repeat('x', 1000) || n FROM graphmem.graphs, generate_series(1, 20000) n WHERE name = 'huge'});
is(look('huge'), "t\nprivate: larger than graphmem.memory_limit allows", '... but it cannot grow beyond it');
is(look('g25'), "t\nshared", '... which is no harm to others');

# ---- memory comes back ----

$node->safe_psql('residency', q{SELECT graphmem.drop_graph('huge')});
ok(wait_for(20, sub {
		$node->safe_psql('residency', q{
			SELECT bytes < 16 * 1024 * 1024 FROM graphmem.stat_memory WHERE part = 'extents'}) eq 't' }),
	'drop_graph gives memory back to the system');
$node->safe_psql('residency', q{
	SELECT count(graphmem.drop_graph(name)) FROM graphmem.graphs});
ok(wait_for(20, sub {
		$node->safe_psql('residency', q{SELECT bytes FROM graphmem.stat_memory WHERE part = 'graphs'}) eq '0' }),
	'without graphs nothing is in use');
is($node->safe_psql('residency', 'SELECT count(*) FROM graphmem.check()'), '0', 'check() has nothing to say');

$node->stop;
done_testing();
