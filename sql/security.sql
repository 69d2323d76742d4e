-- Who may read, what row security leaves of an answer, and what a hostile
-- search_path can do; labels and comments of what the extension installs.
SET client_min_messages = warning;
CREATE DATABASE graphmem_security TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C';
\connect graphmem_security
SET client_min_messages = warning;
CREATE EXTENSION graphmem CASCADE;
CREATE ROLE regress_graphmem_none;
CREATE ROLE regress_graphmem_reader;
CREATE ROLE regress_graphmem_some;
CREATE ROLE regress_graphmem_attacker;
RESET client_min_messages;
\pset null '-'
\set SHOW_CONTEXT never

-- ---- a graph, and one that holds what the policies below will leave of it ----
INSERT INTO graphmem.graphs (graph_id, name) VALUES (1, 'all'), (2, 'visible');
SET graphmem.graph = 'all';
INSERT INTO graphmem.entities (entity_id, graph_id, name, kind)
	SELECT i, 1, 'e' || i, CASE WHEN i % 7 = 0 THEN 'secret' WHEN i % 3 = 0 THEN 'third' END FROM generate_series(1, 60) i;
INSERT INTO graphmem.aliases (graph_id, name, entity_id)
	SELECT 1, 'alias ' || i, i FROM generate_series(1, 60, 3) i;
-- an alias of a hidden entity hides no name
INSERT INTO graphmem.entities (entity_id, graph_id, name, literal_type) VALUES (61, 1, 'shared', 'text');
INSERT INTO graphmem.aliases (graph_id, name, entity_id) VALUES (1, 'shared', 7);
INSERT INTO graphmem.predicates (predicate_id, graph_id, name, "symmetric", weight) VALUES
	(1, 1, 'p', false, 1), (2, 1, 'q', true, 3), (3, 1, 'secret', false, 1);
INSERT INTO graphmem.triples (triple_id, fact_id, graph_id, subject_id, predicate_id, object_id, confidence, properties)
	SELECT i, i, 1, i * 37 % 60 + 1, i % 2 + 1, (i * 11 + i / 60) % 60 + 1, (i % 10) / 10.0,
		CASE WHEN i % 13 = 0 THEN '{"secret": true}'::jsonb END
	FROM generate_series(1, 180) i;
INSERT INTO graphmem.triples (triple_id, fact_id, graph_id, subject_id, predicate_id, object_id) VALUES
	(201, 201, 1, 61, 1, 1), (202, 202, 1, 1, 3, 50);
INSERT INTO graphmem.sources (source_id, graph_id, name, kind, content, reliability)
	SELECT i, 1, 's' || i, CASE WHEN i % 4 = 0 THEN 'secret' END, 'about e' || i || ' and e' || i + 1, 0.5
	FROM generate_series(1, 10) i;
INSERT INTO graphmem.assertions (graph_id, fact_id, source_id, confidence)
	SELECT 1, i, i * 7 % 10 + 1, 0.7 FROM generate_series(1, 180, 2) i UNION ALL
	SELECT 1, i, (i * 7 + 5) % 10 + 1, 0.9 FROM generate_series(1, 180, 4) i;
INSERT INTO graphmem.vector_spaces (space_id, graph_id, name, dim) VALUES (1, 1, 'default', 2), (2, 2, 'default', 2);
INSERT INTO graphmem.embeddings (space_id, item_id, graph_id, embedding)
	SELECT 1, i, 1, ARRAY[cos(i), sin(i)] FROM generate_series(1, 60) i;

INSERT INTO graphmem.entities (entity_id, graph_id, name, kind, literal_type)
	SELECT 1000 + entity_id, 2, name, kind, literal_type FROM graphmem.entities
	WHERE graph_id = 1 AND kind IS DISTINCT FROM 'secret';
INSERT INTO graphmem.aliases (graph_id, name, entity_id)
	SELECT 2, a.name, e.entity_id + 1000 FROM graphmem.aliases a JOIN graphmem.entities e USING (entity_id)
	WHERE a.graph_id = 1 AND e.kind IS DISTINCT FROM 'secret' ORDER BY alias_id;
INSERT INTO graphmem.predicates (predicate_id, graph_id, name, "symmetric", weight)
	SELECT 1000 + predicate_id, 2, name, "symmetric", weight FROM graphmem.predicates WHERE graph_id = 1 AND name <> 'secret';
INSERT INTO graphmem.triples (triple_id, fact_id, graph_id, subject_id, predicate_id, object_id, confidence)
	SELECT 1000 + triple_id, 1000 + fact_id, 2, 1000 + subject_id, 1000 + predicate_id, 1000 + object_id, confidence
	FROM graphmem.triples t
	WHERE graph_id = 1 AND properties IS NULL AND predicate_id <> 3
		AND EXISTS (SELECT FROM graphmem.entities e WHERE entity_id = t.subject_id + 1000)
		AND EXISTS (SELECT FROM graphmem.entities e WHERE entity_id = t.object_id + 1000);
INSERT INTO graphmem.sources (source_id, graph_id, name, kind, content, reliability)
	SELECT 1000 + source_id, 2, name, kind, content, reliability FROM graphmem.sources
	WHERE graph_id = 1 AND kind IS DISTINCT FROM 'secret';
INSERT INTO graphmem.assertions (graph_id, fact_id, source_id, confidence)
	SELECT 2, 1000 + fact_id, 1000 + source_id, confidence FROM graphmem.assertions a
	WHERE graph_id = 1 AND EXISTS (SELECT FROM graphmem.triples t WHERE t.fact_id = a.fact_id + 1000)
		AND EXISTS (SELECT FROM graphmem.sources s WHERE s.source_id = a.source_id + 1000);
INSERT INTO graphmem.embeddings (space_id, item_id, graph_id, embedding)
	SELECT 2, 1000 + item_id, 2, embedding FROM graphmem.embeddings m
	WHERE graph_id = 1 AND EXISTS (SELECT FROM graphmem.entities e WHERE entity_id = m.item_id + 1000);
SELECT count(setval(('graphmem.' || sequencename)::regclass, 100000)) > 0 AS ids_left FROM pg_sequences WHERE schemaname = 'graphmem';
SELECT graph_id, count(*) FROM graphmem.triples GROUP BY 1 ORDER BY 1;

-- ---- the calls, and what comes of them: an answer as text, or the error ----
CREATE SCHEMA ask;
GRANT USAGE ON SCHEMA ask TO PUBLIC;
CREATE TABLE ask.calls (id int PRIMARY KEY, call text, columns text);
GRANT SELECT ON ask.calls TO PUBLIC;
INSERT INTO ask.calls VALUES
	(1, 'match(match_count => 1000)', 'subject, predicate, object, confidence'),
	(2, 'match(''shared'')', 'object'),
	(3, 'match(min_confidence => 0.5)', 'subject, predicate, object, confidence'),
	(4, 'neighbors(''e1'')', 'neighbor, predicate, direction, confidence'),
	(5, 'traverse(''{e1}'', 3)', 'rank, entity, hops, path'),
	(6, 'reach(''e1'', 9)', 'count'),
	(7, 'shortest_path(''e1'', ''e60'', ''confidence'')', 'hops, cost, path'),
	(8, 'paths(''e1'', ''e60'', 5, 3)', 'rank, path'),
	(9, 'subgraph(''{e2}'', 1)', 'subject, predicate, object, hops'),
	(10, 'pagerank(match_count => NULL)', 'rank, entity, kind, score'),
	(11, 'pagerank(''{e1}'', NULL)', 'rank, entity, kind, score'),
	(12, 'components()', 'component_size, entity'),
	(13, 'confidence()', 'subject, predicate, object, confidence, prior, source_confidence, sources'),
	(14, 'vector_search(''{1,0}'', 10)', 'rank, item, distance'),
	(15, 'similar(''e1'', 10, near => ''{e1}'')', 'rank, item, distance'),
	(16, 'fusion_query(''{1,0}'', ''about e7 e9'', ''{e3}'')', 'rank, entity, score, path, confidence, sources'),
	(17, 'estimate_memory()', 'part'),
	(18, 'facts', 'subject, predicate, object, confidence, sources'),
	(19, 'vectors', 'item, embedding');
CREATE FUNCTION ask.answer(call text, columns text, OUT state text, OUT answer text)
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
	EXECUTE format('SELECT coalesce(array_agg(ROW(%s)::text)::text, '''') FROM graphmem.%s', columns, call) INTO answer;
	state := 'answered';
EXCEPTION WHEN OTHERS THEN
	state := SQLSTATE || ' ' || SQLERRM;
END $$;
CREATE VIEW ask.answers AS SELECT id, substring(call FROM '\w+') AS function, a.* FROM ask.calls, ask.answer(call, columns) a;
GRANT SELECT ON ask.answers TO PUBLIC;
-- views run functions as whoever asks
SELECT state, count(*), count(NULLIF(answer, '')) AS with_rows FROM ask.answers GROUP BY 1;

-- ---- no privilege ----
-- this session has just answered it all for another role
SET ROLE regress_graphmem_none;
SELECT function, state FROM ask.answers ORDER BY id;
RESET ROLE;
GRANT SELECT ON ALL TABLES IN SCHEMA graphmem TO regress_graphmem_reader;
SET ROLE regress_graphmem_reader;
SELECT state, count(*), count(NULLIF(answer, '')) AS with_rows FROM ask.answers GROUP BY 1;
SELECT left(state, 5) AS state FROM ask.answer('add_triple(''a'', ''b'', ''c'')', '1');
SELECT left(state, 5) AS state FROM ask.answer('create_graph(''a'')', '1');
SELECT left(state, 5) AS state FROM ask.answer('drop_graph(''all'')', '1');
RESET ROLE;
-- one table is enough to refuse
CREATE FUNCTION ask.without(relation regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	said text;
BEGIN
	EXECUTE format('REVOKE SELECT ON %s FROM regress_graphmem_reader', relation);
	SET LOCAL ROLE regress_graphmem_reader;
	SELECT string_agg(DISTINCT state, '; ') INTO said FROM ask.answers WHERE function IN ('match', 'pagerank', 'confidence');
	RESET ROLE;
	EXECUTE format('GRANT SELECT ON %s TO regress_graphmem_reader', relation);
	RETURN said;
END $$;
SELECT t, ask.without(('graphmem.' || t)::regclass)
FROM unnest('{graphs,entities,aliases,predicates,triples,sources,assertions,vector_spaces,merges}'::text[]) t;
-- privileges are asked for at every call, also while an old snapshot keeps its image
SET ROLE regress_graphmem_reader;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) > 0 AS seen FROM graphmem.match();
RESET ROLE;
REVOKE SELECT ON graphmem.triples FROM regress_graphmem_reader;
SET ROLE regress_graphmem_reader;
SAVEPOINT one;
SELECT count(*) > 0 AS seen FROM graphmem.match();
ROLLBACK;
SELECT count(*) > 0 AS seen FROM graphmem.match();
RESET ROLE;

-- ---- row security ----
GRANT SELECT ON ALL TABLES IN SCHEMA graphmem TO regress_graphmem_some;
ALTER TABLE graphmem.entities ENABLE ROW LEVEL SECURITY;
ALTER TABLE graphmem.triples ENABLE ROW LEVEL SECURITY;
ALTER TABLE graphmem.sources ENABLE ROW LEVEL SECURITY;
ALTER TABLE graphmem.predicates ENABLE ROW LEVEL SECURITY;
CREATE POLICY open ON graphmem.entities FOR SELECT TO regress_graphmem_some USING (kind IS DISTINCT FROM 'secret');
CREATE POLICY open ON graphmem.triples FOR SELECT TO regress_graphmem_some USING (properties IS NULL);
CREATE POLICY open ON graphmem.sources FOR SELECT TO regress_graphmem_some USING (kind IS DISTINCT FROM 'secret');
CREATE POLICY open ON graphmem.predicates FOR SELECT TO regress_graphmem_some USING (name <> 'secret');
-- what it computes over all equals, to the last bit, what it computes over the graph of visible rows
SET ROLE regress_graphmem_some;
CREATE TEMP TABLE of_all AS SELECT * FROM ask.answers;
SET graphmem.graph = 'visible';
CREATE TEMP TABLE of_visible AS SELECT * FROM ask.answers;
SET graphmem.graph = 'all';
SELECT id, function, a.state, v.state AS of_visible, a.answer = v.answer AS same, a.answer <> '' AS rows
FROM of_all a JOIN of_visible v USING (id, function) ORDER BY id;
-- and differs from what there is
RESET ROLE;
SELECT count(*) AS functions, count(*) FILTER (WHERE a.answer <> b.answer) AS differ
FROM ask.answers a JOIN of_all b USING (id) WHERE a.function NOT IN ('estimate_memory');
SET graphmem.graph = 'visible';
SELECT count(*) FILTER (WHERE a.answer <> b.answer) AS differ FROM ask.answers a JOIN of_visible b USING (id);
SET graphmem.graph = 'all';
-- roles in turns, in one transaction and under one snapshot
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM graphmem.match();
SET LOCAL ROLE regress_graphmem_some;
SELECT count(*) FROM graphmem.match();
SELECT count(*) FROM graphmem.neighbors('e7');
SET LOCAL ROLE regress_graphmem_reader;
SELECT count(*) FROM graphmem.match();
RESET ROLE;
SELECT count(*) FROM graphmem.match();
SELECT count(*) FROM graphmem.neighbors('e7');
COMMIT;
-- a policy may depend on what changes within a statement
CREATE POLICY by_setting ON graphmem.triples AS RESTRICTIVE FOR SELECT TO regress_graphmem_some
	USING (triple_id % 10 = current_setting('ask.digit', true)::int);
SET ROLE regress_graphmem_some;
SELECT i, set_config('ask.digit', i::text, true),
	(SELECT count(DISTINCT triple_id % 10) FROM graphmem.match(match_count => 1000 + i)) AS digits,
	(SELECT min(triple_id % 10) FROM graphmem.match(match_count => 1000 + i)) AS digit FROM generate_series(1, 3) i;
-- off: an error rather than part of the rows; nothing changes for those who see all
SET row_security = off;
SELECT left(state, 5) AS state, count(*) FROM ask.answers GROUP BY 1 ORDER BY 1;
RESET ROLE;
SELECT count(*) FROM graphmem.match();
RESET row_security;
DROP POLICY by_setting ON graphmem.triples;
-- a policy that itself asks the graph
CREATE FUNCTION ask.near(bigint) RETURNS bool LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
	RETURN EXISTS (SELECT FROM graphmem.traverse('{e1}', 2, graph => 'all') WHERE entity_id = $1);
END $$;
CREATE POLICY by_graph ON graphmem.entities AS RESTRICTIVE FOR SELECT TO regress_graphmem_some USING (ask.near(entity_id));
SET ROLE regress_graphmem_some;
SELECT count(*) AS entities, (SELECT count(*) FROM graphmem.entities) AS visible FROM graphmem.components();
RESET ROLE;
DROP POLICY by_graph ON graphmem.entities;
ALTER TABLE graphmem.entities DISABLE ROW LEVEL SECURITY;
ALTER TABLE graphmem.triples DISABLE ROW LEVEL SECURITY;
ALTER TABLE graphmem.sources DISABLE ROW LEVEL SECURITY;
ALTER TABLE graphmem.predicates DISABLE ROW LEVEL SECURITY;

-- ---- a search_path that begins with someone else's operators, functions and tables ----
CREATE SCHEMA evil AUTHORIZATION regress_graphmem_attacker;
GRANT USAGE ON SCHEMA evil TO PUBLIC;
SET ROLE regress_graphmem_attacker;
DO $$
DECLARE
	types regtype[] := '{bool,int2,int4,int8,float4,float8,numeric,text,name,"char",bytea,oid,timestamptz,interval,jsonb,
		tsvector,tsquery,anyarray,anyelement,anynonarray,anycompatible,anycompatiblearray,anycompatiblenonarray}';
	one record;
	n int := 0;
BEGIN
	FOR one IN
		SELECT oprname, NULLIF(oprleft, 0)::regtype AS l, oprright::regtype AS r, oprresult::regtype AS result FROM pg_operator
		WHERE oprnamespace = 'pg_catalog'::regnamespace
			AND (oprleft = ANY (types) OR oprleft = 0) AND oprright = ANY (types)
	LOOP
		n := n + 1;
		EXECUTE format('CREATE FUNCTION evil.attack_%s(%s) RETURNS %s LANGUAGE plpgsql AS %L', n,
			concat_ws(', ', one.l, one.r), one.result,
			format('BEGIN RAISE EXCEPTION %L; END', 'attacked by operator ' || replace(one.oprname, '%', '%%')));
		EXECUTE format('CREATE OPERATOR evil.%s (PROCEDURE = evil.attack_%s, %s RIGHTARG = %s)', one.oprname, n,
			'LEFTARG = ' || one.l || ',', one.r);
	END LOOP;
	RAISE NOTICE 'hundreds of operators: %', n > 300;
	n := 0;
	FOR one IN
		SELECT DISTINCT ON (proname, oidvectortypes(proargtypes)) proname, proargtypes, prorettype FROM pg_proc
		WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind = 'f' AND NOT proretset
			AND proname IN ('now', 'statement_timestamp', 'clock_timestamp', 'lower', 'upper', 'length', 'octet_length',
				'md5', 'hashtext', 'to_tsvector', 'plainto_tsquery', 'to_tsquery', 'ts_rank', 'ts_rank_cd', 'numnode',
				'array_length', 'cardinality', 'greatest', 'nextval', 'set_config', 'text', 'abs', 'sign', 'round')
	LOOP
		BEGIN
			EXECUTE format('CREATE FUNCTION evil.%I(%s) RETURNS %s LANGUAGE plpgsql AS
				''BEGIN RAISE EXCEPTION ''''attacked by function''''; END''', one.proname, oidvectortypes(one.proargtypes),
				one.prorettype::regtype);
			n := n + 1;
		EXCEPTION WHEN OTHERS THEN
			NULL;			-- takes pseudo-types
		END;
	END LOOP;
	RAISE NOTICE 'dozens of functions: %', n > 50;
END $$;
CREATE FUNCTION evil.match() RETURNS int LANGUAGE sql AS 'SELECT 1/0';
CREATE FUNCTION evil.similarity(text, text) RETURNS real LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''attacked by function''; END';
CREATE FUNCTION evil.current_graph_id(text DEFAULT NULL) RETURNS int LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''attacked by function''; END';
CREATE FUNCTION evil.name_key(text, text DEFAULT NULL) RETURNS bytea LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''attacked by function''; END';
CREATE TABLE evil.graphs (graph_id int, name text);
CREATE TABLE evil.triples (triple_id bigint);
CREATE TABLE evil.entities (entity_id bigint);
CREATE TABLE evil.pg_class (oid oid);
CREATE DOMAIN evil.text AS pg_catalog.text CHECK (false);
CREATE DOMAIN evil.int8 AS pg_catalog.int8 CHECK (false);
RESET ROLE;
GRANT SELECT ON ALL TABLES IN SCHEMA graphmem TO regress_graphmem_reader;
CREATE TABLE ask.unharmed AS SELECT id, answer FROM ask.answers;
GRANT SELECT ON ask.unharmed TO PUBLIC;
-- a new session: nothing prepared under a better path is left
\connect -
SET graphmem.graph = 'all';
SET search_path = evil, pg_catalog;
SELECT 1 = 1;
RESET search_path;
CREATE OR REPLACE FUNCTION ask.answer(call text, columns text, OUT state text, OUT answer text)
LANGUAGE plpgsql SET search_path = evil, pg_catalog AS $$
BEGIN
	EXECUTE pg_catalog.concat('SELECT coalesce(pg_catalog.array_agg(ROW(', columns,
		')::pg_catalog.text)::pg_catalog.text, '''') FROM graphmem.', call) INTO answer;
	state := 'answered';
EXCEPTION WHEN OTHERS THEN
	state := pg_catalog.concat(SQLSTATE, ' ', SQLERRM);
END $$;
SET ROLE regress_graphmem_reader;
SELECT a.function, a.state, a.answer = u.answer AS same FROM ask.answers a JOIN ask.unharmed u USING (id) ORDER BY id;
RESET ROLE;
-- the writers too
CREATE TABLE ask.writes (id int, call text);
INSERT INTO ask.writes VALUES
	(1, 'SELECT graphmem.create_graph(''new'', settings => ''{"a": 1}'')'),
	(2, 'SELECT graphmem.add_triple(''a'', ''p'', ''b'', source => ''s'', confidence => 0.5, properties => ''{"a": 1}'', graph => ''new'')'),
	(3, 'SELECT graphmem.add_triple(''a'', ''p'', ''b'', valid_from => ''2020-01-01'', valid_to => ''2021-01-01'', graph => ''new'')'),
	(4, 'SELECT graphmem.add_entity(''a'', ''kind'', ''{"a": 1}'', graph => ''new'')'),
	(5, 'SELECT graphmem.add_source(''s'', ''content'', ''kind'', ''uri'', ''session'', 0.5, ''{"a": 1}'', graph => ''new'')'),
	(6, 'SELECT graphmem.set_predicate(''p'', functional => true, "symmetric" => true, weight => 2, graph => ''new'')'),
	(7, 'SELECT graphmem.create_vector_space(''v'', 2, graph => ''new'')'),
	(8, 'SELECT graphmem.set_embedding(''a'', ''{1,0}'', ''v'', ''new'')'),
	(9, 'SELECT graphmem.set_embeddings(''{a,b}'', ''{1,0,0,1}'', 2, graph => ''new'')'),
	(10, 'INSERT INTO graphmem.facts (subject, predicate, object, source, subject_kind) VALUES (''c'', ''p'', ''d'', ''s'', ''k''), (''e'', ''q'', ''d'', NULL, NULL)'),
	(11, 'UPDATE graphmem.facts SET confidence = 0.5'),
	(12, 'INSERT INTO graphmem.vectors (item, embedding) VALUES (''x'', ''{1,2}'')'),
	(13, 'UPDATE graphmem.vectors SET embedding = ''{2,1}'''),
	(14, 'DELETE FROM graphmem.vectors'),
	(15, 'DELETE FROM graphmem.facts'),
	(16, 'SELECT graphmem.drop_vector_space(''v'', ''new'')'),
	(17, 'SELECT graphmem.drop_graph(''new'')');
CREATE TABLE ask.edges AS SELECT * FROM (VALUES ('a'::text, 'b'::text, 1), ('b', 'a', 2)) AS e (a, b, n);
INSERT INTO ask.writes VALUES
	(101, 'SELECT graphmem.create_graph(''new'')'),
	(102, 'INSERT INTO graphmem.ntriples VALUES (''<a> <p> "b"@en .'')'),
	(103, 'INSERT INTO graphmem.memory_jsonl VALUES (''{"type":"entity","name":"a","entityType":"k","observations":["b","b"]}'')'),
	(104, 'SELECT graphmem.import_edges(''ask.edges'', ''a'', ''b'', vertices => ''ask.edges'', id_column => ''a'', graph => ''new'')'),
	(105, 'SELECT graphmem.import_edges(''ask.edges'', ''a'', ''b'', fact_source => ''s'', graph => ''new'')'),
	(106, 'SELECT pg_catalog.count(*) FROM graphmem.ntriples, graphmem.memory_jsonl, graphmem.export_facts()'),
	(107, 'SELECT graphmem.drop_graph(''new'')'),
	(201, 'SELECT graphmem.create_graph(''new'')'),
	(202, 'INSERT INTO graphmem.facts (subject, predicate, object, source) VALUES (''a'', ''p'', ''b'', ''s''), (''aa'', ''r'', ''d'', ''s''), (''aa'', ''q'', ''c'', ''t''), (''a'', ''q'', ''c'', ''s'')'),
	(203, 'SELECT graphmem.set_predicate(''p'', functional => true)'),
	(204, 'INSERT INTO graphmem.facts (subject, predicate, object, source) VALUES (''a'', ''p'', ''d'', ''s'')'),
	(205, 'SELECT graphmem.supersede(''aa'', ''q'', ''c'', ''d'', source => ''s'')'),
	(206, 'SELECT graphmem.retract(''aa'', ''r'', ''d'')'),
	(207, 'SELECT graphmem.undo_supersede(pg_catalog.max(supersession_id)) FROM graphmem.supersessions'),
	(208, 'SELECT pg_catalog.count(h) FROM graphmem.history(''a'') h, graphmem.changes()'),
	(209, 'SELECT pg_catalog.count(d) FROM graphmem.duplicate_candidates(min_score => 0) d'),
	(210, 'SELECT pg_catalog.count(d) FROM graphmem.duplicate_candidates(''a'', min_score => 0) d'),
	(211, 'SELECT pg_catalog.count(m) FROM graphmem.merge_entities(''a'', ''aa'') m'),
	(212, 'SELECT pg_catalog.count(u) FROM graphmem.merges, LATERAL graphmem.unmerge_entities(merge_id) AS u WHERE gone_name OPERATOR(pg_catalog.=) ''aa'''),
	(213, 'SELECT pg_catalog.count(m) FROM graphmem.merge_entities(''a'', ''aa'') m'),
	(214, 'SELECT graphmem.add_alias(''a'', ''alpha'')'),
	(215, 'SELECT pg_catalog.count(f) FROM graphmem.forget_source(''t'', dry_run => true) f'),
	(216, 'SELECT pg_catalog.count(f) FROM graphmem.forget_source(''t'') f'),
	(217, 'SELECT pg_catalog.count(f) FROM graphmem.forget_entity(''alpha'') f'),
	(218, 'SELECT pg_catalog.count(r) FROM graphmem.refresh_topology(estimate => true) r'),
	(219, 'SELECT graphmem.set_notify(true)'),
	(220, 'SELECT graphmem.drop_graph(''new'')');
CREATE FUNCTION ask.write(call text) RETURNS text LANGUAGE plpgsql SET search_path = evil, pg_catalog SET graphmem.graph = 'new' AS $$
BEGIN
	EXECUTE call;
	RETURN 'done';
EXCEPTION WHEN OTHERS THEN
	RETURN pg_catalog.concat(SQLSTATE, ' ', SQLERRM);
END $$;
\pset tuples_only on
SELECT format('SELECT %s, ask.write(%L)', id, call) FROM ask.writes ORDER BY id \gexec
\pset tuples_only off
-- integrity's own statements
SET search_path = evil, pg_catalog;
DELETE FROM graphmem.graphs;
RESET search_path;
SELECT count(*) FROM graphmem.triples;

-- ---- what is installed ----
SELECT provolatile, proparallel, string_agg(DISTINCT proname::text, ' ' ORDER BY proname::text) AS functions
FROM pg_proc WHERE pronamespace = 'graphmem'::regnamespace AND prorettype <> 'trigger'::regtype
GROUP BY 1, 2 ORDER BY 1, 2;
-- safe in a parallel worker where it says so
SELECT count(set_config(name, CASE name WHEN 'force_parallel_mode' THEN 'on' WHEN 'debug_parallel_query' THEN 'on' ELSE '0' END, false))
FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query', 'parallel_setup_cost', 'parallel_tuple_cost');
SELECT graphmem.create_graph('parallel') IS NOT NULL AS created;
SET graphmem.graph = 'parallel';
SELECT graphmem.add_triple('a', 'p', 'b') IS NOT NULL AS added;
SELECT graphmem.current_graph_id() = graph_id AS same FROM graphmem.graphs WHERE name = 'parallel';
SELECT part, items FROM graphmem.estimate_memory();
SELECT subject, predicate, object FROM graphmem.match();
SELECT subject, predicate, object FROM graphmem.facts;
SELECT graphmem.to_vector('[1,2]'), graphmem.search_name('Ada'), length(graphmem.name_key('Ada')) > 0 AS key;
-- nothing runs with its owner's rights, or else under a path of its own
SELECT proname FROM pg_proc WHERE pronamespace = 'graphmem'::regnamespace AND prosecdef
	AND NOT EXISTS (SELECT FROM unnest(proconfig) c WHERE c LIKE 'search_path=%');
-- views ask with the rights of whoever reads them
SELECT relname FROM pg_class WHERE relnamespace = 'graphmem'::regnamespace AND relkind = 'v'
	AND NOT coalesce(reloptions, '{}') && '{security_invoker=true,security_invoker=on}'::text[];
-- nobody but the owner has privileges on tables and views, but for those that show how things stand
SELECT relname, relacl FROM pg_class WHERE relnamespace = 'graphmem'::regnamespace AND relkind IN ('r', 'v', 'S')
	AND relname NOT LIKE 'stat\_%'
	AND EXISTS (SELECT FROM aclexplode(relacl) WHERE grantee = 0);
-- everything has a comment
SELECT p.oid::regprocedure AS without_comment FROM pg_proc p
WHERE pronamespace = 'graphmem'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL ORDER BY 1;
SELECT relname AS without_comment FROM pg_class c
WHERE relnamespace = 'graphmem'::regnamespace AND relkind IN ('r', 'v') AND obj_description(c.oid, 'pg_class') IS NULL ORDER BY 1;
SELECT c.relname || '.' || a.attname AS without_comment FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE relnamespace = 'graphmem'::regnamespace AND relkind IN ('r', 'v') AND attnum > 0 AND NOT attisdropped
	AND col_description(c.oid, attnum) IS NULL ORDER BY c.relname, attnum;

\connect postgres
SET client_min_messages = warning;
DROP DATABASE graphmem_security;
DROP ROLE regress_graphmem_none, regress_graphmem_reader, regress_graphmem_some, regress_graphmem_attacker;
