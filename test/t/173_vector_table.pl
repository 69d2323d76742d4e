# Spaces whose vectors are left to the table: exact answers against a brute force
# in SQL, recall, what a transaction and a snapshot see, memory, restarts, and
# what changes of the space do.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Graphmem;

my $ROWS = 12000;
my $DIM = 32;
my $K = 10;

my $node = start_node('vector_table', "graphmem.memory_limit = 1GB\nmax_worker_processes = 16\nautovacuum = off\n");
create_database($node, 'g');

sub sql
{
	return $node->safe_psql('g', $_[0]);
}

sub stat_of
{
	my ($columns, $space) = @_;

	return sql("SELECT $columns FROM graphmem.stat_vector WHERE space = '$space'");
}

sub wait_for_index
{
	my ($space, $name) = @_;

	sql("SELECT count(*) FROM graphmem.vector_search(array_fill(1::real, ARRAY[(SELECT dim FROM graphmem.vector_spaces WHERE name = '$space')]), 1, '$space')");
	ok($node->poll_query_until('g', qq{SELECT count(*) = 1 FROM graphmem.stat_vector WHERE space = '$space' AND index_state = 'ready'
		AND pending = 0 AND indexed = rows AND rows > 0}), $name);
	return;
}

# how far a space's answers are from those of the tables alone, over some questions
sub compare
{
	my ($space, $name, %floor) = @_;
	my $distance = sql("SELECT metric FROM graphmem.vector_spaces WHERE name = '$space'") eq 'cosine' ?
	  '1 - sum(a.x * b.x) / sqrt(sum(a.x * a.x) * sum(b.x * b.x))' : 'sqrt(sum((a.x - b.x) ^ 2))';
	my ($exact, $default, $n) = split /\|/, sql(qq{
		WITH question AS MATERIALIZED (SELECT item_id AS q, embedding AS v FROM graphmem.embeddings JOIN graphmem.vector_spaces s USING (space_id)
			WHERE s.name = '$space' ORDER BY item_id * 7919 % 10007 LIMIT 4),
		truth AS MATERIALIZED (SELECT q, max(d) AS kth FROM (SELECT q, d, row_number() OVER (PARTITION BY q ORDER BY d) AS rank
			FROM (SELECT q.q, (SELECT $distance
					FROM unnest(q.v::float8[], m.embedding::float8[]) AS u(p, r), LATERAL (SELECT p AS x) a, LATERAL (SELECT r AS x) b) AS d
				FROM question q, graphmem.embeddings m JOIN graphmem.vector_spaces s USING (space_id) WHERE s.name = '$space') d) d
			WHERE rank <= $K GROUP BY 1)
		SELECT (SELECT count(*) FILTER (WHERE s.distance <= kth + 1e-4) FROM question JOIN truth USING (q),
				LATERAL graphmem.vector_search(v, $K, '$space', exact => true) s),
			(SELECT count(*) FILTER (WHERE s.distance <= kth + 1e-4) FROM question JOIN truth USING (q),
				LATERAL graphmem.vector_search(v, $K, '$space', ef_search => 200) s),
			(SELECT count(*) FROM question, LATERAL graphmem.vector_search(v, $K, '$space', ef_search => 200) s)});

	is($exact, 4 * $K, "$name: exact");
	cmp_ok($default, '>=', $floor{recall} * 4 * $K, "$name: $default of " . 4 * $K . ' by codes');
	is($n, 4 * $K, "$name: as many rows as are asked for");
	return;
}

sub is_sound
{
	my ($name) = @_;

	is(sql('SELECT * FROM graphmem.check()'), '', "$name: check");
	return;
}

sql(qq{
	SET client_min_messages = warning;
	SELECT graphmem.create_graph('default');
	CREATE FUNCTION vector(seed bigint, dim int) RETURNS real[] LANGUAGE sql IMMUTABLE AS \$\$
		SELECT array_agg((('x' || substr(md5(seed || '/' || d), 1, 7))::bit(28)::int / 134217728.0 - 1)::real ORDER BY d)
		FROM generate_series(1, dim) d \$\$;
	INSERT INTO graphmem.entities (graph_id, name, kind)
		SELECT graphmem.current_graph_id(), 'e' || i, CASE WHEN i % 1000 = 0 THEN 'rare' ELSE 'common' END FROM generate_series(1, $ROWS) i;
	INSERT INTO graphmem.facts (subject, predicate, object) SELECT 'e1', 'knows', 'e' || i FROM generate_series(2, 2000) i;
	SELECT graphmem.create_vector_space('table', $DIM, full_precision => 'table', ef_construction => 60);
	SELECT graphmem.create_vector_space('small', 8, full_precision => 'table', metric => 'l2', quantisation => 'f16');
	SELECT count(*) FROM graphmem.vector_search(array_fill(1::real, ARRAY[$DIM]), 1, 'table');
	INSERT INTO graphmem.embeddings (graph_id, space_id, item_id, embedding)
		SELECT s.graph_id, s.space_id, e.entity_id, vector(e.entity_id, s.dim) FROM graphmem.vector_spaces s, graphmem.entities e
		WHERE s.name = 'table' OR e.name < 'e2';
	VACUUM ANALYZE;
});

# Vectors that came one by one go as their rows get nodes.
wait_for_index('table', 'an index is made');
is(stat_of('bytes_vectors, rows', 'table'), "0|$ROWS", 'no vector is in memory then');
is(stat_of("index_state, bytes_vectors = rows * 32", 'small'), 'exact|t', 'those of a small space are');
compare('table', 'indexed', recall => 0.9);
compare('small', 'small', recall => 1);
is_sound('indexed');

# A load leaves them where they are, before and after the nodes are linked.
my $codes = qq{SELECT index_state || '|' || bytes_vectors || '|' || (bytes_codes >= rows * $DIM) FROM graphmem.stat_vector WHERE space = 'table'};
$node->append_conf('postgresql.conf', 'graphmem.build_workers = 0');
$node->restart;
$node->poll_query_until('g', q{SELECT count(*) >= 0 FROM graphmem.vector_search(array_fill(1::real, ARRAY[32]), 1, 'table')});
like(sql($codes), qr/^(building|ready)\|0\|true$/, 'loaded as codes');
compare('table', 'loaded', recall => 0.9);
is_sound('loaded');
wait_for_index('table', 'the codes are linked');
is(stat_of('bytes_vectors, dead', 'table'), '0|0', 'and nothing was made twice');
compare('table', 'linked', recall => 0.9);
$node->append_conf('postgresql.conf', 'graphmem.build_workers = 2');
$node->reload;

# Everything that has to do with vectors works.
is(sql(q{SELECT count(*), count(*) FILTER (WHERE item = 'e17') FROM graphmem.similar('e17', 10, 'table')}), '10|0', 'similar');
is(sql(q{SELECT bool_and(s.item_id = v.item_id AND s.distance = v.distance) FROM graphmem.similar('e17', 10, 'table', exact => true) s
	JOIN graphmem.vector_search((SELECT embedding FROM graphmem.vectors WHERE item = 'e17' AND space = 'table'), 11, 'table', exact => true) v
		ON v.rank = s.rank + 1}), 't', 'similar: the same as for its vector');
is(sql(q{SELECT string_agg(item, ',' ORDER BY rank) = (SELECT string_agg(item, ',' ORDER BY d, item_id) FROM
			(SELECT item_id, item, (SELECT 1 - sum(p * r) / sqrt(sum(p * p) * sum(r * r)) FROM unnest(embedding::float8[], vector(5, 32)::float8[]) u(p, r)) AS d
			FROM graphmem.vectors JOIN graphmem.entities e ON e.name = item WHERE space = 'table' AND e.kind = 'rare') x)
	FROM graphmem.vector_search(vector(5, 32), 100, 'table', kinds => '{rare}')}), 't', 'a filter that lets few through');
is(sql(q{SELECT count(*) FROM graphmem.vector_search(vector(5, 32), 50, 'table', near => '{e1}', max_hops => 1)}), '50', 'and one for more');
is(sql(q{SELECT count(*), count(*) FILTER (WHERE item IN ('e5', 'e6')) FROM graphmem.vector_search(vector(5, 32), 10, 'table',
	item_ids => ARRAY(SELECT entity_id FROM graphmem.entities WHERE name IN ('e5', 'e6')))}), '2|2', 'a list of items');
is(sql(q{SELECT bool_and(b.item_id = s.item_id AND b.distance = s.distance), count(*) FROM
	graphmem.vector_search_batch(ARRAY[vector(5, 32), vector(6, 32), vector(7, 32)], 10, 'table', exact => true) b
	JOIN LATERAL (SELECT * FROM graphmem.vector_search(vector(4 + b.query_no, 32), 10, 'table', exact => true)) s USING (rank)}), 't|30',
	'a batch of exact searches');
is(sql(q{SELECT bool_and(abs(f.vector_score - (1 - d)) < 1e-4), count(*) FROM
	graphmem.fusion_query(vector(5, 32), seeds => '{e1}', match_count => 40, space => 'table') f
	JOIN LATERAL (SELECT greatest(0, least(1, sum(p * r) / sqrt(sum(p * p) * sum(r * r)))) AS s,
		1 - greatest(0, least(1, sum(p * r) / sqrt(sum(p * p) * sum(r * r)))) AS d
		FROM graphmem.embeddings m JOIN graphmem.vector_spaces s USING (space_id), unnest(m.embedding::float8[], vector(5, 32)::float8[]) u(p, r)
		WHERE s.name = 'table' AND m.item_id = f.entity_id) x ON true}), 't|40', 'the vector leg of every row of fusion_query');
is(sql(q{SELECT bool_and(recall BETWEEN 0.8 AND 1), count(*) FILTER (WHERE advised) FROM graphmem.recall_check('table', 50, 10, 200, 0.8)}), 't|1',
	'recall_check');

# A transaction's own changes, and their end.
my $first = q{SELECT item || ' ' || round(distance::numeric, 4) FROM graphmem.vector_search(vector(-1, 32), 1, 'table')};
my $before = sql($first);
is(sql(qq{BEGIN; UPDATE graphmem.embeddings SET embedding = vector(-1, 32) WHERE item_id = (SELECT entity_id FROM graphmem.entities WHERE name = 'e4711')
	AND space_id = 1; $first; SELECT count(*) FROM graphmem.similar('e4711', 3, 'table'); ROLLBACK; $first}), "e4711 0.0000\n3\n$before",
	'an update is seen by its transaction, until it is rolled back');
is(sql(q{BEGIN; DELETE FROM graphmem.embeddings WHERE item_id = (SELECT entity_id FROM graphmem.entities WHERE name = 'e17') AND space_id = 1;
	SELECT count(*) FILTER (WHERE item = 'e17') FROM graphmem.vector_search((vector(17, 32)), 10, 'table');
	SELECT count(*) FILTER (WHERE item = 'e17') FROM graphmem.vector_search((vector(17, 32)), 10, 'table', exact => true); ROLLBACK;}),
	"0\n0", 'a deleted one is not found');

# An older snapshot has the vectors of its time, whatever the image has.
my $old = $node->background_psql('g', on_error_stop => 1);
$old->query_safe("BEGIN ISOLATION LEVEL REPEATABLE READ; $first");
sql(q{UPDATE graphmem.embeddings SET embedding = vector(-1, 32) WHERE item_id = (SELECT entity_id FROM graphmem.entities WHERE name = 'e4711') AND space_id = 1});
is(sql($first), 'e4711 0.0000', 'an update is there when it is committed');
is($old->query_safe($first), $before, 'not for an older snapshot');
wait_for_index('table', 'it is in the index');
is($old->query_safe($first), $before, 'nor is it then');
is($old->query_safe(q{SELECT count(*) FROM graphmem.similar('e4711', 3, 'table', exact => true)}), '3', 'which finds the old one');
$old->query_safe('COMMIT');
$old->quit;

# Many changes while the index follows.
sql(q{
	UPDATE graphmem.embeddings SET embedding = vector(-item_id, 32) WHERE space_id = 1 AND item_id % 20 = 0;
	DELETE FROM graphmem.embeddings WHERE space_id = 1 AND item_id % 20 = 1;
	INSERT INTO graphmem.entities (graph_id, name) SELECT graphmem.current_graph_id(), 'f' || i FROM generate_series(1, 900) i;
	INSERT INTO graphmem.embeddings (graph_id, space_id, item_id, embedding)
		SELECT s.graph_id, s.space_id, e.entity_id, vector(e.entity_id, 32) FROM graphmem.vector_spaces s, graphmem.entities e
		WHERE s.name = 'table' AND e.name LIKE 'f%'});
compare('table', 'changed', recall => 0.9);
is_sound('changed');
wait_for_index('table', 'the index follows');
is(stat_of('bytes_vectors', 'table'), '0', 'and the vectors are in the table again');
compare('table', 'followed', recall => 0.9);
is_sound('followed');

# An exact search that is cancelled while it reads leaves nothing behind.
my ($code, $out, $err) = $node->psql('g', q{SET statement_timeout = '5ms';
	SELECT count(*) FROM generate_series(1, 50) i, LATERAL graphmem.vector_search(vector(i, 32), 10, 'table', exact => true)});
like($err, qr/statement timeout/, 'an exact search is cancelled');
my $again = join "\n", map { "SAVEPOINT s; SET LOCAL statement_timeout = '2ms'; SELECT count(*) FROM graphmem.vector_search(vector($_, 32), 10, 'table', exact => true); ROLLBACK TO s;" } 1 .. 30;
($code, $out, $err) = $node->psql('g', "BEGIN; $again SELECT 'sound ' || count(*) FROM graphmem.vector_search(vector(1, 32), 10, 'table', exact => true); COMMIT", on_error_stop => 0);
like($out, qr/sound 10/, 'again and again');

# Parameters of the index, and where vectors are, take a load.
sql(q{UPDATE graphmem.vector_spaces SET m = 8, quantisation = 'none' WHERE name = 'table'});
ok($node->poll_query_until('g', q{SELECT m = 8 AND quantisation = 'none' AND index_state = 'ready' AND bytes_codes > rows * 128 AND bytes_vectors = 0
	FROM (SELECT count(*) FROM graphmem.vector_search(array_fill(1::real, ARRAY[32]), 1, 'table')) c, graphmem.stat_vector WHERE space = 'table'}),
	'other codes and links');
compare('table', 'with other codes', recall => 0.9);
is_sound('with other codes');
sql(q{UPDATE graphmem.vector_spaces SET full_precision = 'image' WHERE name = 'table'});
ok($node->poll_query_until('g', q{SELECT index_state = 'ready' AND bytes_vectors >= rows * 128
	FROM (SELECT count(*) FROM graphmem.vector_search(array_fill(1::real, ARRAY[32]), 1, 'table')) c, graphmem.stat_vector WHERE space = 'table'}),
	'vectors come into the image');
compare('table', 'in the image', recall => 0.9);
sql(q{UPDATE graphmem.vector_spaces SET full_precision = 'table', quantisation = 'int8' WHERE name = 'table'});
ok($node->poll_query_until('g', q{SELECT index_state = 'ready' AND pending = 0 AND bytes_vectors = 0
	FROM (SELECT count(*) FROM graphmem.vector_search(array_fill(1::real, ARRAY[32]), 1, 'table')) c, graphmem.stat_vector WHERE space = 'table'}),
	'and leave it');
compare('table', 'in the table again', recall => 0.9);
is_sound('in the table again');

# A transaction that moves them itself.
is(sql(qq{BEGIN; UPDATE graphmem.vector_spaces SET full_precision = 'image' WHERE name = 'table'; $first; ROLLBACK}), 'e4711 0.0000',
	'moving them in a transaction');

# What is needed is told beforehand, about.
is(sql(q{SELECT (SELECT bytes FROM graphmem.estimate_memory() WHERE part = 'vectors') BETWEEN 0.7 * sum(bytes_total) AND 1.4 * sum(bytes_total)
	FROM graphmem.stat_vector}), 't', 'the estimate knows');

# The space goes, with its rows.
sql(q{SELECT graphmem.drop_vector_space('table'); SELECT count(*) FROM graphmem.vector_search(vector(5, 8), 1, 'small')});
is_sound('dropped');
$node->stop;
done_testing();
