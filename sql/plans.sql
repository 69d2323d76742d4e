-- What the planner is told: rows of a call by its arguments, from the shared
-- image, from the tables' statistics, or from neither; and the plans that come
-- of it.
SET client_min_messages = warning;
CREATE DATABASE graphmem_plans TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C';
\connect graphmem_plans
SET client_min_messages = warning;
CREATE EXTENSION graphmem CASCADE;
CREATE ROLE regress_graphmem_plans;
RESET client_min_messages;
\pset null '-'
SET graphmem.sync_timeout = '60s';

-- rows and costs of the function's node
CREATE FUNCTION planned(call text, OUT rows bigint, OUT cost numeric) LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT JSON) SELECT * FROM graphmem.' || call INTO plan;
	plan := plan -> 0 -> 'Plan';
	rows := plan ->> 'Plan Rows';
	cost := plan ->> 'Total Cost';
END $$;

-- estimate and truth
CREATE FUNCTION compared(call text, OUT planned bigint, OUT actual bigint) LANGUAGE plpgsql AS $$
BEGIN
	SELECT rows INTO planned FROM planned(call);
	EXECUTE 'SELECT count(*) FROM graphmem.' || call INTO actual;
END $$;

-- ---- nothing known: what the definition says ----
SELECT call, rows FROM unnest(ARRAY['match()', 'match(''n1'')', 'neighbors(''n1'')', 'traverse(''{n1}'')', 'reach(''n1'')', 'pagerank()',
	'components()', 'vector_search(''{1,0}'', 500)', 'fusion_query(seeds => ''{n1}'')']) AS call, planned(call);

-- ---- a graph: a ring, and a hub that knows everybody; p1 is 9 of 10 facts ----
INSERT INTO graphmem.facts (subject, predicate, object)
SELECT 'n' || i, CASE WHEN i % 10 = 0 THEN 'p2' ELSE 'p1' END, 'n' || i % 2000 + 1 FROM generate_series(1, 2000) i;
INSERT INTO graphmem.facts (subject, predicate, object)
SELECT 'hub', 'knows', 'n' || i FROM generate_series(1, 2000) i;
ALTER TABLE graphmem.embeddings SET (autovacuum_enabled = off);
INSERT INTO graphmem.vectors (item, embedding) SELECT 'n' || i, ARRAY[cos(i), sin(i)] FROM generate_series(1, 500) i;
CREATE TABLE docs (name text PRIMARY KEY, body text);
INSERT INTO docs SELECT 'n' || i, repeat('x', 100) FROM generate_series(1, 20000) i;
ANALYZE docs;

-- ---- statistics of the tables, in a session that has not asked yet ----
ANALYZE graphmem.entities, graphmem.triples;
SELECT rows AS vectors_not_counted_yet FROM planned('vector_search(''{1,0}'', 20)');
ANALYZE graphmem.entities, graphmem.predicates, graphmem.triples, graphmem.embeddings;
\connect graphmem_plans
\pset null '-'
SET graphmem.sync_timeout = '60s';
SELECT rows AS all_facts FROM planned('match()');
SELECT rows AS of_a_predicate FROM planned('match(predicate => ''p1'')');
SELECT rows AS of_any_subject FROM planned('match(''n1'')');
SELECT rows AS of_any_object FROM planned('match(object => ''n1'')');
SELECT rows > 500 AS a_hub_is_two_hops_away FROM planned('traverse(''{n1}'', 2)');
SELECT rows AS entities FROM planned('pagerank(match_count => NULL)');

-- ---- the image: names are looked up ----
SELECT count FROM graphmem.reach('n1', 1);
SELECT call, planned, actual FROM unnest(ARRAY[
	'match()', 'match(''n1'')', 'match(''hub'')', 'match(''hub'', ''p1'')', 'match(object => ''n1'')',
	'match(predicate => ''p2'')', 'match(predicate => ''knows'')', 'match(''hub'', object => ''n1'')',
	'match(''nobody'')', 'match(predicate => ''nothing'')', 'match(match_count => 7)', 'match(match_count => 0)',
	'confidence(''hub'', ''knows'')',
	'neighbors(''n1'')', 'neighbors(''hub'')', 'neighbors(''hub'', ''in'')', 'neighbors(''n1'', predicates => ''{p1}'')',
	'traverse(''{n1}'', 0)', 'traverse(''{n1}'', 1)', 'traverse(''{n1,n7}'', 1)',
	'traverse(''{n1}'', 3, match_count => 5)', 'traverse(''{nobody}'')',
	'shortest_path(''n1'', ''n9'')', 'paths(''n1'', ''n9'')', 'paths(''n1'', ''n9'', 2)',
	'pagerank()', 'pagerank(match_count => NULL)', 'components()', 'components(3)',
	'vector_search(''{1,0}'')', 'vector_search(''{1,0}'', NULL)', 'vector_search(''{1,0}'', 100)', 'vector_search(''{1,0}'', 1000)',
	'vector_search(''{1,0}'', item_ids => ''{1,2,3}'')', 'similar(''n1'', 4)',
	'vector_search_batch(''{{1,0},{0,1},{1,1}}'', 4)', 'vector_search_batch(''{1,0,0,1}'')', 'vector_search_batch(''{}'', 4)',
	'fusion_query(seeds => ''{n1}'')', 'fusion_query(seeds => ''{n1}'', match_count => 25)'
]) AS call, compared(call);
-- two hops lead over the hub to everybody, if it may be crossed
SELECT call, planned BETWEEN actual / 3 AND actual * 3 AS near FROM unnest(ARRAY[
	'traverse(''{hub}'', 1)', 'traverse(''{n1}'', 2)', 'traverse(''{n1}'', 1000000)', 'traverse(''{hub}'', 2)', 'subgraph(''{n1}'', 1)', 'subgraph(''{hub}'', 1)',
	'subgraph(''{n1}'', 2)', 'pagerank(''{n1}'', NULL)']) AS call, compared(call);

-- other entities, other costs
SELECT (planned('match(''hub'')')).cost > 50 * (planned('match(''n1'')')).cost AS a_hub_costs_more,
	(planned('reach(''n1'', 3)')).cost > 5 * (planned('reach(''n1'', 1)')).cost AS so_do_hops,
	(planned('pagerank()')).cost > (planned('pagerank(''{n1}'')')).cost AS and_whole_graphs,
	(planned('match(match_count => 10)')).cost < (planned('match()')).cost / 10 AS limits_save;
SELECT (planned('neighbors(''hub'', match_count => 5)')).cost < (planned('neighbors(''hub'')')).cost / 10 AS limits_save,
	(planned('neighbors(''hub'', match_count => 5, as_of => now())')).cost > 2 * (planned('neighbors(''hub'', match_count => 5)')).cost AS but_not_in_the_past;

-- ---- values that come later ----
PREPARE q(text, bigint) AS SELECT * FROM graphmem.match($1, match_count => $2);
CREATE FUNCTION executed(call text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT JSON) EXECUTE ' || call INTO plan;
	RETURN plan -> 0 -> 'Plan' ->> 'Plan Rows';
END $$;
SET plan_cache_mode = force_custom_plan;
SELECT executed('q(''hub'', NULL)'), executed('q(''hub'', 12)'), executed('q(NULL, NULL)');
SET plan_cache_mode = force_generic_plan;
SELECT executed('q(''hub'', NULL)');
RESET plan_cache_mode;
SELECT rows FROM planned('match(match_count => (SELECT 7))');
SELECT rows FROM planned('vector_search((SELECT ''{1,0}''::real[]), (SELECT 7))');

-- ---- what a call would refuse, its plan need not ----
SELECT call, rows FROM unnest(ARRAY[
	'match(match_count => -1)', 'neighbors(NULL)', 'neighbors(''n1'', ''sideways'')', 'traverse(NULL)', 'traverse(''{}'')',
	'traverse(''{n1}'', -1)', 'traverse(''{{n1},{n2}}'', 1)', 'traverse(ARRAY[NULL, ''n1''], 1)', 'vector_search(NULL)', 'vector_search(''{1,0}'', -5)',
	'pagerank(''{n1}'', epsilon => 0)', 'pagerank(''{n1}'', damping => ''NaN'')', 'match(graph => ''nowhere'')', 'match(graph => '''')'
]) AS call, planned(call);

SELECT (planned('pagerank(''{n1}'', damping => 100)')).cost > 0 AS costs_something;

-- ---- whose statistics ----
-- the image's numbers are for those who may read the tables
SET ROLE regress_graphmem_plans;
EXPLAIN (COSTS OFF) SELECT * FROM graphmem.match('hub');
SELECT rows FROM planned('match(''hub'')');
SELECT rows FROM planned('match(''nobody'')');
SELECT * FROM graphmem.match('hub');
RESET ROLE;
SELECT rows FROM planned('match(''hub'')');

-- ---- plans ----
-- a few rows: one look into the index for each; many: the table once
EXPLAIN (COSTS OFF) SELECT m.object, d.body FROM graphmem.match('n1') m JOIN docs d ON d.name = m.object;
EXPLAIN (COSTS OFF) SELECT m.object, d.body FROM graphmem.match() m JOIN docs d ON d.name = m.object;
EXPLAIN (COSTS OFF) SELECT m.object, d.body FROM graphmem.match(match_count => 5) m JOIN docs d ON d.name = m.object;
EXPLAIN (COSTS OFF) SELECT f.entity, d.body FROM graphmem.fusion_query(seeds => '{n1}') f JOIN docs d ON d.name = f.entity;
EXPLAIN (COSTS OFF) SELECT r.entity, d.body FROM graphmem.pagerank(match_count => NULL) r JOIN docs d ON d.name = r.entity;
EXPLAIN (COSTS OFF) SELECT v.item, d.body FROM graphmem.vector_search('{1,0}') v JOIN docs d ON d.name = v.item;
-- the smaller of two results drives
EXPLAIN (COSTS OFF) SELECT * FROM graphmem.match('hub') h JOIN graphmem.match('n1') n ON h.object = n.object;
-- once for each row that it depends on; once in all where it does not
EXPLAIN (COSTS OFF) SELECT count(*) FROM docs d, graphmem.reach('n1', 3) r WHERE d.name < 'n11';
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SELECT graphmem.stat_reset();
SELECT count(*) FROM (SELECT * FROM docs WHERE name < 'n1002') d JOIN graphmem.match('n1') m ON d.name >= m.object;
SELECT calls_shared FROM graphmem.stat_backend;
RESET enable_hashjoin;
RESET enable_mergejoin;
-- the same argument again is remembered
CREATE TABLE visits AS SELECT i, 'n' || i % 5 + 1 AS name FROM generate_series(1, 1000) i;
ANALYZE visits;
EXPLAIN (COSTS OFF) SELECT count(*) FROM visits v, graphmem.traverse(ARRAY[v.name], 2) t;
SELECT graphmem.stat_reset();
SELECT count(*) FROM visits v, graphmem.traverse(ARRAY[v.name], 1) t;
SELECT calls_shared FROM graphmem.stat_backend;

-- ---- two graphs: the mean of them until one was asked for ----
SELECT graphmem.create_graph('small') > 0 AS created;
SET graphmem.graph = 'small';
INSERT INTO graphmem.facts (subject, predicate, object) SELECT 'a', 'to', 'b' || i FROM generate_series(1, 10) i;
RESET graphmem.graph;
ANALYZE graphmem.entities, graphmem.predicates, graphmem.triples, graphmem.embeddings;
SELECT rows FROM planned('match(graph => ''small'')');
SELECT count(*) FROM graphmem.match(graph => 'small');
SELECT rows FROM planned('match(graph => ''small'')');
-- a change is seen without another call
SET graphmem.graph = 'small';
INSERT INTO graphmem.facts (subject, predicate, object) SELECT 'c', 'to', 'b' || i FROM generate_series(1, 5) i;
SELECT graphmem.wait_for_sync();
SELECT rows FROM planned('match()');
SELECT rows FROM planned('match(''c'')');

-- ---- literals ----
RESET graphmem.graph;
SELECT count(graphmem.add_triple('n' || i, 'is', 'true', object_type => 'boolean')) FROM generate_series(1, 30) i;
SELECT graphmem.wait_for_sync();
SELECT call, planned, actual FROM unnest(ARRAY[
	'match(object => ''true'', object_type => ''boolean'')', 'match(object => ''true'', object_type => ''text'')',
	'match(object => ''n1'', object_type => ''text'')', 'match(object => ''true'')',
	'confidence(NULL, ''is'', ''true'', object_type => ''boolean'')']) AS call, compared(call);

-- ---- arguments that are functions ----
CREATE FUNCTION slow_vector() RETURNS real[] STABLE LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'slow_vector'; RETURN '{1,0}'; END $$;
CREATE FUNCTION slow_name() RETURNS text STABLE LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'slow_name'; RETURN 'hub'; END $$;
SELECT rows FROM planned('vector_search(slow_vector(), 20)');
SELECT rows FROM planned('fusion_query(slow_vector(), slow_name())');
-- once for rows, once for cost
SELECT rows FROM planned('traverse(ARRAY[slow_name()], 1)');
-- one that makes the session let go of the image that the plan is about
SELECT count(graphmem.create_graph('tour' || i)) FROM generate_series(1, 70) i;
SELECT count(graphmem.add_triple('a', 'to', 'b', graph => 'tour' || i)) FROM generate_series(1, 70) i;
CREATE FUNCTION tour() RETURNS text STABLE LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 70 LOOP
		PERFORM graphmem.reach('a', graph => 'tour' || i);
	END LOOP;
	RETURN 'hub';
END $$;
SELECT count FROM graphmem.reach('hub', 1);
SELECT rows > 1 AS as_the_tables_have_it FROM planned('neighbors(tour())');
SELECT count(graphmem.drop_graph('tour' || i)) FROM generate_series(1, 70) i;
\connect postgres
SET client_min_messages = warning;
DROP DATABASE graphmem_plans;
DROP ROLE regress_graphmem_plans;
