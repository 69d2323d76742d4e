--
-- fusion_query: a source stands for the facts of it that the query may see, also
-- where thousands of those that it may not come before them.
--
SET client_min_messages = warning;
CREATE TEMP TABLE stated AS
	SELECT n, 'subject ' || n % 40 AS s, 'p' || n % 3 AS p, 'object ' || n AS o FROM generate_series(1, 5000) AS n;

-- all of it, of which the last 300 facts are left; beside it a graph of nothing else
SELECT graphmem.create_graph('all of it') > 0 AS created;
SELECT graphmem.create_graph('what is left') > 0 AS created;
SELECT graphmem.add_source('ledger', 'harbour engine ledger', graph => g) > 0 AS added
	FROM unnest(ARRAY['all of it', 'what is left']) AS g;
SET graphmem.graph = 'all of it';
INSERT INTO graphmem.facts (subject, predicate, object, source) SELECT s, p, o, 'ledger' FROM stated ORDER BY n;
SELECT now() AS before \gset
UPDATE graphmem.triples SET expired_at = now() WHERE graph_id = graphmem.current_graph_id()
	AND fact_id < (SELECT max(fact_id) - 299 FROM graphmem.triples WHERE graph_id = graphmem.current_graph_id());
CREATE TEMP TABLE left_over AS SELECT subject, predicate, object FROM graphmem.match() ORDER BY fact_id;
-- a source with more facts than count, the first of which stand for it
INSERT INTO graphmem.facts (subject, predicate, object, source)
	SELECT 'clerk ' || n % 9, 'wrote', 'page ' || n, 'journal' FROM generate_series(1, 2500) AS n ORDER BY n;
SELECT graphmem.add_source('journal', 'glacier violin journal') > 0 AS added;
SET graphmem.graph = 'what is left';
INSERT INTO graphmem.facts (subject, predicate, object, source) SELECT subject, predicate, object, 'ledger' FROM left_over;

CREATE FUNCTION pg_temp.fused(g text, words text, known timestamptz DEFAULT NULL)
RETURNS TABLE (entity text, score numeric, hops int)
LANGUAGE sql AS $$
	SELECT f.entity, round(f.score::numeric, 5), f.hops
	FROM graphmem.fusion_query(query_text => words, match_count => 10000, known_at => known, graph => g) AS f
$$;
CREATE FUNCTION pg_temp.beside(g text, other text, words text, OUT entities bigint, OUT missing bigint, OUT wrong bigint)
LANGUAGE sql AS $$
	SELECT (SELECT count(*) FROM pg_temp.fused(other, words)),
		(SELECT count(*) FROM (SELECT * FROM pg_temp.fused(other, words) EXCEPT SELECT * FROM pg_temp.fused(g, words)) AS m),
		(SELECT count(*) FROM (SELECT * FROM pg_temp.fused(g, words) EXCEPT SELECT * FROM pg_temp.fused(other, words)) AS w)
$$;

SELECT * FROM pg_temp.beside('all of it', 'what is left', 'harbour engine');
SET graphmem.shared_image = off;
SELECT * FROM pg_temp.beside('all of it', 'what is left', 'harbour engine');
RESET graphmem.shared_image;

-- no more than a thousand stand for it, also as it was known before
SELECT count(*) FROM pg_temp.fused('all of it', 'harbour engine', :'before')
	WHERE hops = 0 AND entity LIKE 'object %';
SELECT count(*) FROM pg_temp.fused('all of it', 'glacier violin')
	WHERE hops = 0 AND entity LIKE 'page %';

SELECT graphmem.drop_graph(g) IS NOT NULL AS dropped FROM unnest(ARRAY['all of it', 'what is left']) AS g;
