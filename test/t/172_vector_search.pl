# Searches of spaces large enough for an index: every filter and pairs of them at
# every selectivity against a brute force in SQL; recall by metric and
# quantisation; what is refused; how searches are counted.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Graphmem;

my $ROWS = 20000;
my $K = 10;

my $node = start_node('vectors', "graphmem.memory_limit = 1GB\nmax_worker_processes = 16\n");
create_database($node, 'g');

sub sql
{
	return $node->safe_psql('g', $_[0]);
}

sub lines
{
	return split /\n/, sql($_[0]);
}

sub fails_like
{
	my ($query, $like, $name) = @_;
	my ($code, $out, $err) = $node->psql('g', $query);

	like($err, $like, $name);
	return;
}

# Entity i is of a class whose size is a power of ten; a property, a hub that
# knows it, a predicate that touches it and the time it was created go by other
# orders of the same sizes.  Facts and sources take theirs from entities.
my $class = sub {
	my ($salt) = @_;
	my $place = "(i * $salt % 20011)";

	return "CASE WHEN $place < 1 THEN 'one' WHEN $place < 11 THEN 'ten' WHEN $place < 111 THEN 'hundred'"
	  . " WHEN $place < 1111 THEN 'thousand' ELSE 'most' END";
};

sql(qq{
	SET client_min_messages = warning;
	SELECT graphmem.create_graph('default');
	CREATE TABLE made AS SELECT i, 'e' || i AS name, @{[ $class->(7) ]} AS kind,
		@{[ $class->(101) ]} AS property, @{[ $class->(977) ]} AS hub, @{[ $class->(3001) ]} AS predicate
	FROM generate_series(1, $ROWS) i;
	CREATE FUNCTION vector(seed bigint, dim int) RETURNS real[] LANGUAGE sql IMMUTABLE AS \$\$
		SELECT array_agg((('x' || substr(md5(seed || '/' || d), 1, 7))::bit(28)::int / 134217728.0 - 1)::real ORDER BY d)
		FROM generate_series(1, dim) d \$\$;
	INSERT INTO graphmem.entities (graph_id, name, kind, properties)
		SELECT graphmem.current_graph_id(), name, kind, jsonb_build_object('class', property) FROM made ORDER BY i;
	INSERT INTO graphmem.facts (subject, predicate, object, confidence, source, properties, valid_from, valid_to)
		SELECT 'hub ' || hub, 'at', name, (1 + i % 10) / 10.0, 's' || i % 12000, jsonb_build_object('class', property),
			CASE WHEN i % 3 = 0 THEN '2020-01-01'::timestamptz END, CASE WHEN i % 3 = 0 THEN '2021-01-01'::timestamptz END
		FROM made ORDER BY i;
	INSERT INTO graphmem.facts (subject, predicate, object, confidence, source)
		SELECT name, predicate, 'e' || (i * 7919 % $ROWS + 1), (1 + i % 7) / 7.0, 's' || i * 5 % 12000
		FROM made WHERE predicate <> 'most' ORDER BY i;
	UPDATE graphmem.facts SET confidence = 0.55 WHERE predicate = 'hundred';
	UPDATE graphmem.sources SET kind = m.kind, metadata = jsonb_build_object('class', m.property)
		FROM made m WHERE sources.name = 's' || m.i;
	SELECT graphmem.create_vector_space('entities', 16, metric => 'cosine', ef_construction => 60);
	SELECT graphmem.create_vector_space('facts', 16, 'fact', 'l2', ef_construction => 60);
	SELECT graphmem.create_vector_space('sources', 16, 'source', 'ip', ef_construction => 60);
	INSERT INTO graphmem.embeddings (graph_id, space_id, item_id, embedding)
		SELECT s.graph_id, s.space_id, e.entity_id, vector(e.entity_id, 16)
		FROM graphmem.vector_spaces s, graphmem.entities e WHERE s.name = 'entities' AND e.name LIKE 'e%';
	INSERT INTO graphmem.embeddings (graph_id, space_id, item_id, embedding)
		SELECT s.graph_id, s.space_id, t.fact_id, vector(t.fact_id, 16)
		FROM graphmem.vector_spaces s, (SELECT DISTINCT fact_id FROM graphmem.triples) t WHERE s.name = 'facts';
	INSERT INTO graphmem.embeddings (graph_id, space_id, item_id, embedding)
		SELECT s.graph_id, s.space_id, c.source_id, vector(c.source_id, 16)
		FROM graphmem.vector_spaces s, graphmem.sources c WHERE s.name = 'sources';
	ANALYZE;
});

# The brute force: which items match, by the tables alone.
sql(q{
	CREATE TABLE stated AS SELECT a.fact_id, 1 - exp(sum(ln(greatest(1 - a.confidence * c.reliability, 1e-30)))) AS stated
		FROM graphmem.assertions a JOIN graphmem.sources c USING (source_id) GROUP BY 1;
	CREATE FUNCTION counts(predicates text[], conf real, at timestamptz, OUT triple_id bigint, OUT fact_id bigint,
		OUT subject_id bigint, OUT object_id bigint, OUT properties jsonb) RETURNS SETOF record LANGUAGE sql STABLE AS $$
		SELECT t.triple_id, t.fact_id, t.subject_id, t.object_id, t.properties
		FROM graphmem.triples t JOIN graphmem.predicates p USING (predicate_id)
			LEFT JOIN stated s ON s.fact_id = t.fact_id
		WHERE t.expired_at = 'infinity' AND t.valid_from <= coalesce(at, statement_timestamp())
			AND t.valid_to > coalesce(at, statement_timestamp())
			AND (predicates IS NULL OR p.name = ANY(predicates))
			AND coalesce(s.stated, t.confidence) >= conf - 1e-6 $$;
	CREATE FUNCTION expected(target text, kinds text[], class text, ids bigint[], hub text, predicates text[],
		conf real, at timestamptz) RETURNS SETOF bigint LANGUAGE plpgsql STABLE AS $$
	#variable_conflict use_column
	BEGIN
		RETURN QUERY EXECUTE $q$
		WITH f AS MATERIALIZED (SELECT * FROM counts($6, $7, $8)),
		near AS MATERIALIZED (SELECT entity_id AS id FROM graphmem.entities WHERE name = $5
			UNION SELECT f.object_id FROM f JOIN graphmem.entities h ON h.entity_id = f.subject_id WHERE h.name = $5),
		kind AS MATERIALIZED (SELECT entity_id AS id FROM graphmem.entities WHERE kind = ANY($2)) $q$
		|| CASE target WHEN 'entity' THEN $q$
			SELECT e.entity_id FROM graphmem.entities e JOIN graphmem.embeddings m ON m.item_id = e.entity_id
				JOIN graphmem.vector_spaces s USING (space_id)
			WHERE s.name = 'entities' AND ($2 IS NULL OR e.kind = ANY($2)) AND ($3 IS NULL OR e.properties ->> 'class' = $3)
				AND ($5 IS NULL OR e.entity_id IN (SELECT id FROM near))
				AND ($6 IS NULL OR e.entity_id IN (SELECT subject_id FROM f UNION ALL SELECT object_id FROM f))
				AND ($4 IS NULL OR e.entity_id = ANY($4)) $q$
		WHEN 'fact' THEN $q$
			SELECT DISTINCT f.fact_id FROM f
			WHERE ($2 IS NULL OR f.subject_id IN (SELECT id FROM kind) OR f.object_id IN (SELECT id FROM kind))
				AND ($3 IS NULL OR f.properties ->> 'class' = $3)
				AND ($5 IS NULL OR f.subject_id IN (SELECT id FROM near) OR f.object_id IN (SELECT id FROM near))
				AND ($4 IS NULL OR f.fact_id = ANY($4)) $q$
		ELSE $q$
			SELECT c.source_id FROM graphmem.sources c
			WHERE ($2 IS NULL OR c.kind = ANY($2)) AND ($3 IS NULL OR c.metadata ->> 'class' = $3)
				AND ($5 IS NULL AND $6 IS NULL OR c.source_id IN (SELECT a.source_id FROM graphmem.assertions a JOIN f USING (fact_id)
					WHERE $5 IS NULL OR f.subject_id IN (SELECT id FROM near) OR f.object_id IN (SELECT id FROM near)))
				AND ($4 IS NULL OR c.source_id = ANY($4)) $q$ END
		USING target, kinds, class, ids, hub, predicates, conf, at;
	END $$;
	CREATE TABLE question AS SELECT q, vector(-q, 16) AS v FROM generate_series(1, 4) q;
	CREATE TABLE truth AS SELECT s.name AS space, q.q, m.item_id,
			CASE s.metric WHEN 'l2' THEN sqrt(sum((a.x - b.x) ^ 2)) WHEN 'ip' THEN -sum(a.x * b.x)
				ELSE 1 - sum(a.x * b.x) / sqrt(sum(a.x * a.x) * sum(b.x * b.x)) END AS d
		FROM graphmem.embeddings m JOIN graphmem.vector_spaces s USING (space_id), question q,
			unnest(m.embedding::float8[], q.v::float8[]) WITH ORDINALITY AS u(x, y, o), LATERAL (SELECT u.x) a, LATERAL (SELECT u.y) b(x)
		GROUP BY s.name, s.metric, q.q, m.item_id;
	CREATE UNIQUE INDEX ON truth (space, q, item_id);
	ANALYZE truth;
	-- one call against the brute force: what is wrong, else NULL; recall of the default search
	CREATE FUNCTION compare(target text, nth int, k int, kinds text[], class text, ids bigint[], hub text, predicates text[],
		conf real, at timestamptz, OUT wrong text, OUT matching int, OUT found_share float8) LANGUAGE plpgsql AS $$
	#variable_conflict use_column
	DECLARE
		sp text := CASE target WHEN 'entity' THEN 'entities' WHEN 'fact' THEN 'facts' ELSE 'sources' END;
		v real[] := (SELECT v FROM question WHERE q = nth);
		match bigint[] := ARRAY(SELECT * FROM expected(target, kinds, class, ids, hub, predicates, conf, at));
		best bigint[] := ARRAY(SELECT item_id FROM truth WHERE space = sp AND q = nth AND item_id = ANY(match) ORDER BY d LIMIT k);
		got bigint[];
		bad int;
		way boolean;
	BEGIN
		matching := cardinality(match);
		FOREACH way IN ARRAY '{t,f}'::boolean[] LOOP
			SELECT array_agg(s.item_id ORDER BY s.rank), count(*) FILTER (WHERE abs(s.distance - t.d) > 1e-4 OR t.d IS NULL)
			INTO got, bad
			FROM graphmem.vector_search(v, k, sp, kinds, predicates,
				CASE WHEN class IS NOT NULL THEN jsonb_build_object('class', class) END, ids,
				CASE WHEN hub IS NOT NULL THEN ARRAY[hub] END, 1, conf, at, exact => way) s
			LEFT JOIN truth t ON t.space = sp AND t.q = nth AND t.item_id = s.item_id;
			got := coalesce(got, '{}');
			IF cardinality(got) <> least(k, matching) THEN
				wrong := format('%s rows of %s', cardinality(got), matching);
			ELSIF NOT got <@ match THEN
				wrong := 'a row that does not match';
			ELSIF bad > 0 THEN
				wrong := 'a distance';
			ELSIF way AND (SELECT bool_or(abs(a.d - b.d) > 1e-5) FROM unnest(got, best) u(x, y)
					JOIN truth a ON a.space = sp AND a.q = nth AND a.item_id = x
					JOIN truth b ON b.space = sp AND b.q = nth AND b.item_id = y) THEN
				wrong := format('%s for %s', got, best);
			END IF;
			EXIT WHEN wrong IS NOT NULL;
		END LOOP;
		SELECT count(*) / greatest(cardinality(best), 1)::float8 INTO found_share
		FROM unnest(got) g WHERE g = ANY(best);
		IF cardinality(best) = 0 THEN
			found_share := 1;
		END IF;
	END $$;
});

# until the indexes are there
foreach my $space (qw(entities facts sources))
{
	sql("SELECT count(*) FROM graphmem.vector_search((SELECT v FROM question LIMIT 1), 1, '$space')");
	ok($node->poll_query_until('g', qq{
		SELECT index_state = 'ready' AND pending = 0 AND indexed = rows FROM graphmem.stat_vector WHERE space = '$space'}),
		"space $space has an index");
}

# Filters alone and in pairs.
my %filters = (
	kinds => [ map { "kinds => '{$_}'" } 'one', 'ten', 'hundred', 'thousand', 'most', 'none',
		'one,ten,hundred,thousand,most' ],
	class => [ map { "class => '$_'" } qw(one ten hundred thousand most none) ],
	ids => [ map { "ids => ARRAY(SELECT item_id FROM truth WHERE q = 1 AND space = sp ORDER BY item_id * 7919 % 20011 LIMIT $_)" }
		0, 1, 10, 1000, 10000 ],
	hub => [ map { "hub => 'hub $_'" } qw(one ten hundred thousand most nowhere) ],
	predicates => [ map { "predicates => '{$_}'" } 'one', 'ten', 'hundred', 'thousand', 'at', 'none', 'at,ten' ],
	conf => [ map { "conf => $_" } 0.2, 0.55, 0.95 ],
	at => [ map { "at => '$_'" } '2020-06-01', '2010-01-01' ],
);
my @names = sort keys %filters;

sub call_of
{
	my ($target, $nth, $k, @given) = @_;
	my %value = map { /^(\w+) => (.*)$/s } @given;
	my $space = { entity => 'entities', fact => 'facts', source => 'sources' }->{$target};

	$value{ids} =~ s/\bsp\b/'$space'/ if defined $value{ids};
	return "compare('$target', $nth, $k, " . join(', ',
		map { defined $value{$_} ? $value{$_} . ($_ eq 'at' ? '::timestamptz' : '') : $_ eq 'conf' ? '0' : 'NULL' }
		qw(kinds class ids hub predicates conf at)) . ')';
}

foreach my $target (qw(entity fact source))
{
	my @calls = map { call_of($target, $_, $K) } 1 .. 4;
	my $n = 0;

	foreach my $a (@names)
	{
		push @calls, call_of($target, 1 + $n++ % 4, $n % 3 ? $K : 150, $_) foreach @{ $filters{$a} };
		foreach my $b (grep { $_ gt $a } @names)
		{
			foreach my $x (@{ $filters{$a} })
			{
				# every fourth: all selectivities of either meet some of the other
				push @calls, call_of($target, 1 + $n % 4, $n % 5 ? $K : 150, $x, $_)
				  foreach grep { $n++ % 4 == 0 } @{ $filters{$b} };
			}
		}
	}
	my $all = join ', ', map { '(' . ($_ =~ s/'/''/gr =~ s/(.*)/'$1'/sr) . ')' } @calls;
	my @rows = lines(qq{
		CREATE TEMP TABLE done (call text, wrong text, matching int, found_share float8);
		DO \$do\$ DECLARE c text; BEGIN
			FOR c IN SELECT * FROM (VALUES $all) v LOOP
				EXECUTE 'INSERT INTO done SELECT \$1, * FROM ' || c USING c;
			END LOOP; END \$do\$;
		SELECT call || ': ' || wrong FROM done WHERE wrong IS NOT NULL;
		SELECT 'summary', count(*), count(DISTINCT matching), avg(found_share), min(found_share) FROM done});
	my (undef, $count, $sizes, $recall) = split /\|/, pop @rows;

	is(join("\n", @rows), '', "$target: $count calls are what the tables say");
	cmp_ok($sizes, '>=', 20, "$target: of many selectivities ($sizes)");
	cmp_ok($recall, '>=', 0.93, "$target: recall of the default search with filters ($recall)");
}

# Entities that came later are hidden by known_at.
sql(q{UPDATE graphmem.entities SET created_at = '2001-01-01' WHERE properties ->> 'class' IN ('ten', 'thousand')});
foreach my $kinds ("NULL", "'{most}'", "'{hundred}'")
{
	my ($got, $want) = split /\|/, sql(qq{
		SELECT (SELECT array_agg(item_id ORDER BY rank) FROM graphmem.vector_search(v, 20, 'entities', kinds => $kinds,
				known_at => '2002-01-01', exact => true)),
			(SELECT array_agg(item_id ORDER BY d) FROM (SELECT t.item_id, t.d FROM truth t JOIN graphmem.entities e ON e.entity_id = t.item_id
				WHERE space = 'entities' AND q = 1 AND e.created_at < '2002-01-01' AND ($kinds IS NULL OR kind = ANY($kinds))
				ORDER BY d LIMIT 20) b) FROM question WHERE q = 1});
	is($got, $want, "known at a time, kinds $kinds");
}

# How searches were done is counted.
{
	my @before = split /\|/, sql(q{SELECT searches, index_searches, exact_searches FROM graphmem.stat_vector WHERE space = 'entities'});

	sql(q{SELECT count(*) FROM question q, graphmem.vector_search(q.v, 10, 'entities');
		SELECT count(*) FROM question q, graphmem.vector_search(q.v, 10, 'entities', exact => true);
		SELECT count(*) FROM question q, graphmem.vector_search(q.v, 10, 'entities', item_ids => '{1,2,3}')});
	my @after = split /\|/, sql(q{SELECT searches, index_searches, exact_searches FROM graphmem.stat_vector WHERE space = 'entities'});

	is(join('|', map { $after[$_] - $before[$_] } 0 .. 2), '12|4|8', 'searches are counted by how they were done');
}

# similar leaves the entity itself out; a batch gives what single calls give.
is(sql(q{SELECT count(*), count(*) FILTER (WHERE s.item = e.name) FROM (SELECT name FROM graphmem.entities WHERE name LIKE 'e%'
		ORDER BY name LIMIT 20) e, LATERAL graphmem.similar(e.name, 10, 'entities') s}), '200|0', 'similar leaves the entity out');
is(sql(q{SELECT count(*), bool_and(b.item_id = s.item_id AND b.distance = s.distance) FROM
		graphmem.vector_search_batch((SELECT array_agg(v ORDER BY q) FROM question), 10, 'entities', exact => true) b
		JOIN LATERAL (SELECT * FROM question q, LATERAL graphmem.vector_search(q.v, 10, 'entities', exact => true) v WHERE q.q = b.query_no) s
		USING (rank)}), '40|t', 'a batch of exact searches');
is(sql(q{SELECT count(*), bool_and(b.item_id = s.item_id AND b.distance = s.distance) FROM
		graphmem.vector_search_batch((SELECT array_agg(v ORDER BY q) FROM question), 10, 'entities') b
		JOIN LATERAL (SELECT * FROM question q, LATERAL graphmem.vector_search(q.v, 10, 'entities') v WHERE q.q = b.query_no) s
		USING (rank)}), '40|t', 'a batch by the index');

# many rows, more than there are, few candidates
is(sql("SELECT count(*), count(DISTINCT item_id) FROM question q, graphmem.vector_search(q.v, 100000, 'entities') WHERE q = 1"),
	"$ROWS|$ROWS", 'more rows than there are');
is(sql("SELECT count(*) FROM question q, graphmem.vector_search(q.v, 3000, 'entities', ef_search => 1) WHERE q = 1"),
	'3000', 'many rows with few candidates');
is(sql(q{SET graphmem.ef_search = 400; SELECT count(*) >= 39 FROM question q, graphmem.vector_search(q.v, 10, 'entities') s
		JOIN LATERAL (SELECT item_id FROM truth t WHERE t.space = 'entities' AND t.q = q.q ORDER BY d LIMIT 10) t USING (item_id)}),
	't', 'ef_search as a setting');

# the vector leg of fusion_query, whose entity hits are those of the index
is(sql(q{SELECT bool_and(f.entity_id = s.item_id) FROM question q,
		LATERAL graphmem.fusion_query(q.v, match_count => 5, space => 'entities', graph_weight => 0, confidence_weight => 0, ef_search => 200) f
		JOIN LATERAL graphmem.vector_search(q.v, 5, 'entities', ef_search => 200) s ON s.rank = f.rank WHERE q.q = 1}), 't',
	'fusion_query ranks by the same search');
is(sql(q{SELECT count(*) FROM question q, LATERAL graphmem.fusion_query(q.v, match_count => 5, space => 'facts') f WHERE q.q = 1}), '5',
	'and over facts');

# Recall by metric and quantisation, by recall_check and by the tables.
foreach my $metric (qw(cosine l2 ip))
{
	foreach my $quantisation (qw(int8 f16 none))
	{
		my $space = "${metric}_$quantisation";

		sql(qq{SELECT graphmem.create_vector_space('$space', 16, metric => '$metric', quantisation => '$quantisation', ef_construction => 60);
			INSERT INTO graphmem.embeddings (graph_id, space_id, item_id, embedding)
			SELECT n.graph_id, n.space_id, m.item_id, m.embedding FROM graphmem.vector_spaces n, graphmem.embeddings m
				JOIN graphmem.vector_spaces s USING (space_id) WHERE n.name = '$space' AND s.name = 'entities' ORDER BY m.item_id LIMIT 12000;
			SELECT count(*) FROM graphmem.vector_search((SELECT v FROM question LIMIT 1), 1, '$space')});
		$node->poll_query_until('g', qq{SELECT indexed = 12000 FROM graphmem.stat_vector WHERE space = '$space'});
		my ($recall, $least, $rows, $advised) = split /\|/, sql(qq{
			SELECT max(recall) FILTER (WHERE ef_search = 200), min(min_recall), count(*), count(*) FILTER (WHERE advised)
			FROM graphmem.recall_check('$space', 100, 10, 200, 0.9)});

		cmp_ok($recall, '>=', $metric eq 'ip' ? 0.9 : 0.95, "$space: recall_check finds $recall");
		is($advised, 1, "$space: one ef_search is advised");
		cmp_ok($rows, '>=', 2, "$space: $rows were tried");
		my $share = sql(qq{
			SELECT avg((SELECT count(*) FROM graphmem.vector_search(p.embedding, 10, '$space', ef_search => 200) a
				JOIN graphmem.vector_search(p.embedding, 10, '$space', exact => true) b USING (item_id))) / 10
			FROM (SELECT embedding FROM graphmem.embeddings ORDER BY item_id LIMIT 50) p});
		cmp_ok($share, '>=', $metric eq 'ip' ? 0.9 : 0.95, "$space: and exact search $share");
	}
}

# Recall is sampled in the background.
$node->append_conf('postgresql.conf', 'graphmem.recall_sample_rate = 6000');
$node->reload;
ok($node->poll_query_until('g', q{SELECT count(*) = 12 FROM graphmem.stat_vector WHERE sampled_recall BETWEEN 0.5 AND 1 AND sampled_at <= now()}),
	'the recall of every index is sampled');
$node->append_conf('postgresql.conf', 'graphmem.recall_sample_rate = 0');
$node->reload;

# What is refused names the row.
fails_like(q{INSERT INTO graphmem.vectors (item, embedding, space) VALUES ('e1', '{1,2}', 'entities')}, qr/e1/, 'a wrong dimension');
fails_like(q{INSERT INTO graphmem.vectors (item, embedding, space) SELECT 'e2', array_fill('NaN'::real, ARRAY[16]), 'entities'}, qr/e2/, 'NaN');
fails_like(q{INSERT INTO graphmem.vectors (item, embedding, space) SELECT 'e3', array_fill('Infinity'::real, ARRAY[16]), 'entities'}, qr/e3/,
	'infinity');
fails_like(q{INSERT INTO graphmem.vectors (item, embedding, space) SELECT 'e4', array_fill(0::real, ARRAY[16]), 'entities'}, qr/e4/,
	'a zero vector under cosine');
fails_like(q{SELECT * FROM graphmem.vector_search((SELECT v FROM question LIMIT 1), space => 'entities', ef_search => 0)},
	qr/"ef_search" must be between 1 and 100000/, 'ef_search below 1');

is(sql('SELECT count(*) FROM graphmem.check()'), '0', 'the images are sound');
$node->stop;
done_testing();
