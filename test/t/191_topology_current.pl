
# Computed spaces stay current: new entities have vectors soon, also in chains,
# components and bulk loads, what changed is counted exactly and no more once it
# is undone, enough of it has the space computed again in the background while
# queries find the version before, and a restart finds what is still valid.
#
# Counts are compared with what SQL makes of the tables: the neighbourhoods of
# now against those when the space was computed.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use Graphmem;
use Workers;

my $node = start_node('current', "graphmem.topology_threshold = 0\n");
create_database($node, 'current');

sub sql
{
	my ($statement) = @_;

	return $node->safe_psql('current', $statement);
}

sql(q{
	CREATE VIEW around AS
	SELECT entity, string_agg(format('%s %s %s', neighbor, predicate_id, way), ',' ORDER BY neighbor, predicate_id, way)
		AS facts
	FROM (
		SELECT subject_id AS entity, object_id AS neighbor, predicate_id, 'out' AS way FROM graphmem.triples
		WHERE expired_at = 'infinity' AND valid_from <= now() AND valid_to > now()
		UNION ALL
		SELECT object_id, subject_id, predicate_id, 'in' FROM graphmem.triples
		WHERE expired_at = 'infinity' AND valid_from <= now() AND valid_to > now() AND subject_id <> object_id) t
	GROUP BY entity;
	CREATE TABLE computed AS SELECT * FROM around;
	CREATE VIEW counted AS
	SELECT count(*) FILTER (WHERE a.entity IS NOT NULL AND v.entity_id IS NULL
			OR v.entity_id IS NOT NULL AND (v.shape IS NULL OR a.facts IS DISTINCT FROM c.facts)) AS dirty,
		count(*) FILTER (WHERE a.entity IS NOT NULL AND v.entity_id IS NULL) AS missing,
		count(a.entity) AS nodes
	FROM around a
		FULL JOIN graphmem.topology_vectors v ON v.entity_id = a.entity
		LEFT JOIN computed c ON c.entity = COALESCE(a.entity, v.entity_id);
	INSERT INTO graphmem.facts (subject, predicate, object)
	SELECT 'n' || i, 'p' || i % 3, 'n' || (i * 7 + j * 13) % 500
	FROM generate_series(0, 499) i, generate_series(1, 4) j;
});

sub refresh
{
	my ($arguments) = @_;
	my $state = sql("SELECT state FROM graphmem.refresh_topology($arguments)");

	sql('TRUNCATE computed; INSERT INTO computed SELECT * FROM around');
	return $state;
}

# What stat_topology says, once it says what the tables do.
sub counts_are_right
{
	my ($what, $expected) = @_;
	my $right = sql('SELECT dirty, missing, nodes FROM counted');
	my $shown;
	my $same = wait_for(
		30,
		sub {
			$shown = sql(q{SELECT dirty, missing, nodes FROM graphmem.stat_topology WHERE space = 'topology'});
			return $shown eq $right;
		});

	like($right, $expected, "what there is to be counted: $what");
	ok($same, "counted: $what") or diag("shown $shown, in the tables $right");
	return;
}

# How long it takes until entities have vectors that queries find.
sub have_vectors
{
	my ($names, $count, $what) = @_;
	my $start = time();
	my $found;
	my $there = wait_for(
		30,
		sub {
			$found = sql(qq{
				SELECT count(*) FROM graphmem.entities e JOIN graphmem.topology_vectors v USING (entity_id)
				WHERE e.name ~ '$names' AND v.shape IS NULL});
			return $found == $count;
		});

	ok($there, "$what have vectors") or diag("$found of $count");
	note sprintf('%s: %.2f s', $what, time() - $start);
	return;
}

is(refresh(q{dim => 16}), 'done', 'the space is computed');
counts_are_right('nothing changed', qr/^0\|0\|500$/);
is(sql('SELECT topology_dirty, topology_nodes FROM graphmem.stat_graph'), '0|500', 'stat_graph shows it');

# ---- new entities, from other sessions ----

my @sessions = map { $node->background_psql('current', on_error_stop => 1) } 1 .. 3;
$sessions[$_]->query_safe("SELECT graphmem.add_triple('single$_', 'p0', 'n$_')") for 0 .. 2;
have_vectors('^single', 3, 'single entities');
is( sql(q{
	SELECT bool_and(abs(v.embedding[i] - n.embedding[i]) < 1e-5)
	FROM graphmem.entities e JOIN graphmem.topology_vectors v USING (entity_id),
		graphmem.entities f JOIN graphmem.topology_vectors n USING (entity_id), generate_series(1, 16) i
	WHERE e.name = 'single1' AND f.name = 'n1'}),
	't', 'with one neighbour it is the neighbour\'s');
is(sql(q{SELECT count(*) > 0 FROM graphmem.similar('single1', space => 'topology')}), 't', 'similar() knows it');
counts_are_right('new entities and those beside them', qr/^6\|0\|503$/);

$_->query_safe('BEGIN') for @sessions;
$sessions[0]->query_safe(q{SELECT graphmem.add_triple('chain' || i, 'p0', 'chain' || i + 1) FROM generate_series(1, 40) i});
$sessions[1]->query_safe(q{SELECT graphmem.add_triple('island' || i, 'p0', 'island' || i + 1) FROM generate_series(1, 9) i});
$sessions[2]->query_safe(q{SELECT graphmem.add_triple('gone', 'p0', 'n7')});
$_->query_safe('COMMIT') for @sessions[ 0, 1 ];
$sessions[2]->query_safe('ROLLBACK');
counts_are_right('a chain and an island that nothing leads to', qr/^57\|51\|554$/);
$sessions[0]->query_safe(q{SELECT graphmem.add_triple('chain41', 'p1', 'n9')});
have_vectors('^chain', 41, 'a chain that gets an end');
counts_are_right('the chain has its vectors', qr/^58\|10\|554$/);
$sessions[1]->query_safe(q{SELECT graphmem.add_triple('n10', 'p1', 'island5')});
have_vectors('^island', 10, 'an island that gets a bridge');
$_->quit for @sessions;

# entities that were there before their first fact
sql(q{SELECT graphmem.add_entity('late' || i) FROM generate_series(1, 5) i});
counts_are_right('entities without facts do not count', qr/^59\|0\|554$/);
sql(q{SELECT graphmem.add_triple('late' || i, 'p2', 'n' || i) FROM generate_series(1, 5) i});
have_vectors('^late', 5, 'entities that get their first fact');

sql(q{
	INSERT INTO graphmem.facts (subject, predicate, object)
	SELECT 'bulk' || i, 'p0', 'bulk' || i / 2 FROM generate_series(1, 20000) i;
	INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('bulk0', 'p0', 'n20')});
have_vectors('^bulk', 20001, 'entities of a bulk load');
counts_are_right('a bulk load', qr/\|0\|20560$/);

# ---- a mean follows its neighbours until the space is computed again ----

sql(q{SELECT graphmem.retract('single1', 'p0', 'n1'), graphmem.add_triple('single1', 'p0', 'n300')});
ok( wait_for(
		30,
		sub {
			return sql(q{
				SELECT bool_and(abs(v.embedding[i] - n.embedding[i]) < 1e-5)
				FROM graphmem.entities e JOIN graphmem.topology_vectors v USING (entity_id),
					graphmem.entities f JOIN graphmem.topology_vectors n USING (entity_id), generate_series(1, 16) i
				WHERE e.name = 'single1' AND f.name = 'n300'}) eq 't';
		}),
	'a new entity with other facts has another mean');

# ---- changes, and their undoing ----

is(refresh(q{}), 'done', 'the space is computed again');
counts_are_right('nothing changed since', qr/^0\|0\|\d+$/);
my $vectors = q{SELECT md5(string_agg(entity_id || embedding::text, ',' ORDER BY entity_id)) FROM graphmem.topology_vectors};
my $before = sql($vectors);
sql(q{SELECT graphmem.add_triple('n1', 'p9', 'n2'), graphmem.add_triple('n3', 'p9', 'n3'),
	graphmem.retract('n0', 'p0', 'n13')});
counts_are_right('facts more and less', qr/^5\|0\|\d+$/);
sql(q{SELECT graphmem.add_triple('n4', 'p0', 'n2', confidence => 0.5)});
counts_are_right('one more', qr/^6\|0\|\d+$/);
sql(q{DELETE FROM graphmem.facts WHERE predicate = 'p9' OR (subject, predicate, object) = ('n4', 'p0', 'n2')});
counts_are_right('some of it undone', qr/^2\|0\|\d+$/);
sql(q{SELECT graphmem.add_triple('n0', 'p0', 'n13')});
counts_are_right('all of it undone', qr/^0\|0\|\d+$/);
is(sql($vectors), $before, 'vectors of what was computed are left alone');
sql(q{SELECT graphmem.forget_entity('n77')});
counts_are_right('an entity gone', qr/^[1-9]\d*\|0\|\d+$/);

# ---- restarts ----

my $counts = sql('SELECT dirty, missing, nodes FROM counted');
my $computed_at = sql('SELECT computed_at FROM graphmem.stat_topology');
$node->restart;
sql(q{SELECT graphmem.reach('n1', 1)});
counts_are_right('the same after a restart', qr/^\Q$counts\E$/);
is(refresh(q{}), 'done', 'the space is computed once more');
$computed_at = sql('SELECT computed_at FROM graphmem.stat_topology');
$node->restart;
sql(q{SELECT graphmem.reach('n1', 1)});
counts_are_right('nothing after another restart', qr/^0\|0\|\d+$/);

$node->append_conf('postgresql.conf', 'graphmem.worker = off');
$node->restart;
sql(q{
	SELECT graphmem.add_triple('n5', 'p9', 'n6'), graphmem.add_triple('absent1', 'p0', 'n8'), graphmem.retract('n0', 'p0', 'n13');
	SELECT graphmem.add_triple('absent' || i, 'p0', 'absent' || i + 1) FROM generate_series(1, 3) i});
$node->append_conf('postgresql.conf', 'graphmem.worker = on');
$node->restart;
sql(q{SELECT graphmem.reach('n1', 1)});
have_vectors('^absent', 4, 'entities that came while there was no worker');
counts_are_right('what changed while there was no worker', qr/^9\|0\|\d+$/);
is(sql('SELECT computed_at FROM graphmem.stat_topology'), $computed_at, 'it was not computed again');

# ---- a subset of the predicates, weighted ----

sql(q{SELECT graphmem.create_graph('other')});
$node->safe_psql('current', q{
	SET graphmem.graph = 'other';
	INSERT INTO graphmem.facts (subject, predicate, object, confidence)
	SELECT 'n' || i, 'p' || j, 'n' || (i * 3 + j) % 100, 0.5 FROM generate_series(0, 99) i, generate_series(1, 2) j;
	SELECT state FROM graphmem.refresh_topology(dim => 8, space => 'one', predicates => '{p1}', weighted => true)});
my $one = q{SELECT dirty, missing FROM graphmem.stat_topology WHERE space = 'one'};
ok(wait_for(30, sub { sql($one) eq '0|0' }), 'a space of one predicate is counted');
sql(q{SELECT graphmem.add_triple('n1', 'p2', 'n50', graph => 'other'), graphmem.add_triple('x', 'p2', 'n1', graph => 'other'),
	graphmem.add_triple('n1', 'p1', 'n50', graph => 'other'), graphmem.add_triple('y', 'p1', 'n1', graph => 'other')});
ok(wait_for(30, sub { sql($one) eq '3|0' }), 'other predicates do not matter to it') or diag(sql($one));
is(sql(q{SELECT string_agg(e.name, ' ') FROM graphmem.topology_vectors v JOIN graphmem.entities e USING (entity_id)
	WHERE v.shape IS NULL AND e.graph_id = (SELECT graph_id FROM graphmem.graphs WHERE name = 'other')}), 'y',
	'... nor have entities a vector by them');
$node->safe_psql('current', q{SET graphmem.graph = 'other';
	UPDATE graphmem.facts SET confidence = 0.9 WHERE subject = 'n60' AND predicate = 'p1'});
ok(wait_for(30, sub { sql($one) eq '5|0' }), 'confidence matters to a weighted one') or diag(sql($one));

# ---- what the method tells nothing of ----

my $dirty = q{SELECT string_agg(concat_ws('|', space, dirty, missing, nodes, vectors), ' ' ORDER BY space COLLATE "C")
	FROM graphmem.stat_topology WHERE graph = 'blank'};
sql(q{SELECT graphmem.create_graph('blank'), graphmem.add_triple('self', 'p', 'self', graph => 'blank'),
	graphmem.add_triple('a', 'p', 'b', graph => 'blank'), graphmem.add_triple('b', 'p', 'c', graph => 'blank'),
	graphmem.add_triple('x', 'p', 'y', graph => 'blank'), graphmem.create_vector_space('mine', 2, graph => 'blank')});
$node->safe_psql('current', q{SET graphmem.graph = 'blank';
	INSERT INTO graphmem.vectors (item, embedding, space, target) VALUES ('a', '{1,1}', 'mine', 'entity')});
sql(q{SELECT state FROM graphmem.refresh_topology('smooth', space => 'smoothed', source_space => 'mine', graph => 'blank');
	SELECT state FROM graphmem.refresh_topology('spectral', 4, space => 'zeros', graph => 'blank')});
ok(wait_for(30, sub { sql($dirty) =~ /^smoothed\|0\|0\|6\|3 zeros\|0\|0\|6\|/ }), 'what has no vector is neither dirty nor missing')
  or diag(sql($dirty));
is(sql(q{SELECT count(*) FROM graphmem.topology_vectors v JOIN graphmem.vector_spaces s USING (space_id)
	WHERE s.name = 'smoothed' AND v.embedding IS NULL AND v.shape IS NOT NULL}), '3', 'its rows say so');
$node->restart;
sql(q{SELECT graphmem.reach('n1', 1), graphmem.reach('a', 1, graph => 'blank')});
ok(wait_for(30, sub { sql($dirty) =~ /^smoothed\|0\|0\|6\|3 / }), 'nor after a restart') or diag(sql($dirty));
sql(q{SELECT graphmem.add_triple('x', 'p', 'a', graph => 'blank')});
ok(wait_for(30, sub { sql($dirty) =~ /^smoothed\|2\|0\|6\|4 / }), 'its facts change, and it has a mean') or diag(sql($dirty));
sql(q{SELECT graphmem.add_triple('self', 'q', 'self', graph => 'blank')});
ok(wait_for(30, sub { sql($dirty) =~ /^smoothed\|3\|1\|6\|4 / }), 'or lacks one') or diag(sql($dirty));

# ---- spaces that somebody changed by hand ----

sql(q{UPDATE graphmem.vector_spaces SET name = 'renamed' WHERE name = 'zeros';
	UPDATE graphmem.vector_spaces SET parameters = parameters || '{"seconds": 1e400}', created_at = 'infinity' WHERE name = 'one'});
$node->restart;
sql(q{SELECT graphmem.reach('n1', 1)});
sql(q{SELECT graphmem.add_triple('byhand', 'p0', 'n21')});
have_vectors('^byhand', 1, 'entities where another space was changed by hand');

my $renamed = sql(q{SELECT space_id FROM graphmem.vector_spaces WHERE name = 'renamed'});

# ---- enough changes ----

my $space = sql(q{SELECT space_id FROM graphmem.stat_topology WHERE space = 'topology'});
my $searching = $node->background_psql('current', on_error_stop => 1);
$node->append_conf('postgresql.conf', 'graphmem.topology_threshold = 0.05');
$node->reload;
sql(q{INSERT INTO graphmem.facts (subject, predicate, object)
	SELECT 'n' || i % 500, 'p4', 'bulk' || i FROM generate_series(1, 4000) i});
my $empty = 0;
ok( wait_for(
		60,
		sub {
			$empty++ if $searching->query_safe(
				q{SELECT count(*) FROM graphmem.similar('n1', space => 'topology')}) == 0;
			return sql(q{SELECT bool_and(space_id <> } . $space . q{ AND dirty_share < 0.05)
				FROM graphmem.stat_topology WHERE space = 'topology'}) eq 't';
		}),
	'enough changes have the space computed again') or diag(sql('TABLE graphmem.stat_topology'));
is($empty, 0, 'queries find vectors all the time');
$searching->quit;
is(sql(q{SELECT count(*) FROM graphmem.check()}), '0', 'the image is what the tables hold');

my $is_new = q{SELECT space_id <> %s FROM graphmem.vector_spaces WHERE name = 'renamed'};
ok(wait_for(60, sub { sql(sprintf($is_new, $renamed)) eq 't' }), 'so has a space that was renamed');
is(sql(q{SELECT count(*) FROM graphmem.vector_spaces WHERE name = 'zeros'}), '0', '... by its new name');

sql(q{CREATE FUNCTION stop(point text, at bool) RETURNS void AS 'graphmem', 'graphmem_stop_point' LANGUAGE C STRICT;
	CREATE FUNCTION stopped(point text) RETURNS bool AS 'graphmem', 'graphmem_stopped' LANGUAGE C STRICT});
# so that it alone has enough changes
sql(q{SELECT graphmem.drop_vector_space('smoothed', graph => 'blank')});
my $stop = $node->background_psql('current');
$stop->query_safe(q{SELECT stop('topology_computing', true)});
sql(q{SELECT graphmem.add_triple('x', 'r', 'a', graph => 'blank')});
ok(wait_for(60, sub { sql(q{SELECT stopped('topology_computing') AND EXISTS (
	SELECT FROM graphmem.stat_progress_topology WHERE space = 'renamed' AND state = 'running')}) eq 't' }), 'it is computed again');
sql(q{SELECT graphmem.drop_vector_space('renamed', graph => 'blank')});
$stop->query_safe(q{SELECT stop('topology_computing', false)});
$stop->quit;
ok(wait_for(60, sub { sql(q{SELECT count(*) FROM graphmem.stat_progress_topology WHERE space = 'renamed'}) eq '0' }), '... to its end');
is(sql(q{SELECT count(*) FROM graphmem.vector_spaces WHERE name = 'renamed' OR state = 'computing'}), '0',
	'which does not bring back what was dropped meanwhile');

# ---- spaces that go ----

sql(q{SELECT graphmem.drop_vector_space('topology')});
ok(wait_for(30, sub { sql(q{SELECT topology_dirty IS NULL FROM graphmem.stat_graph WHERE graph = 'default'}) eq 't' }),
	'nothing is shown of a space that was dropped');

$node->stop;
done_testing();
