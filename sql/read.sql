-- The reading functions on small graphs made by hand: what each returns, in
-- which order, and what it says to wrong arguments.
SET client_min_messages = warning;
CREATE DATABASE graphmem_read TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C';
\connect graphmem_read
SET client_min_messages = warning;
CREATE EXTENSION graphmem CASCADE;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\pset null '-'

-- how a statement ends: nothing, or what the error says
CREATE FUNCTION pg_temp.fails(VARIADIC statements text[])
RETURNS TABLE (statement text, state text, message text, detail text, hint text)
LANGUAGE plpgsql AS $$
BEGIN
	FOREACH statement IN ARRAY statements LOOP
		state := NULL; message := NULL; detail := NULL; hint := NULL;
		BEGIN
			EXECUTE 'SELECT * FROM graphmem.' || statement;
		EXCEPTION WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
				detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
		END;
		RETURN NEXT;
	END LOOP;
END $$;

-- ---- nothing there ----
-- The graph "default" need not exist; another one must.
SELECT graphmem.current_graph_id();
SELECT * FROM graphmem.match();
SELECT * FROM graphmem.neighbors('Ada');
SELECT * FROM graphmem.traverse('{Ada}');
SELECT * FROM graphmem.reach('Ada');
SELECT * FROM graphmem.shortest_path('Ada', 'Ada');
SELECT * FROM graphmem.paths('Ada', 'Bob');
SELECT * FROM graphmem.subgraph('{Ada}');
SELECT * FROM graphmem.pagerank();
SELECT * FROM graphmem.pagerank('{Ada}');
SELECT * FROM graphmem.components();
SELECT * FROM graphmem.confidence();
SELECT * FROM graphmem.estimate_memory();
SELECT count(*) FROM graphmem.graphs;
SELECT * FROM pg_temp.fails(
	'match(graph => ''nowhere'')', 'neighbors(''a'', graph => ''nowhere'')',
	'traverse(''{a}'', graph => ''nowhere'')', 'reach(''a'', graph => ''nowhere'')',
	'shortest_path(''a'', ''b'', graph => ''nowhere'')', 'paths(''a'', ''b'', graph => ''nowhere'')',
	'subgraph(''{a}'', graph => ''nowhere'')', 'pagerank(graph => ''nowhere'')',
	'components(graph => ''nowhere'')', 'confidence(graph => ''nowhere'')',
	'estimate_memory(''nowhere'')', 'current_graph_id(''nowhere'')', 'match(graph => '''')',
	'match(graph => ''Default'')');
SET graphmem.graph = 'nowhere';
SELECT * FROM pg_temp.fails('match()', 'facts', 'vectors', 'current_graph_id()');
RESET graphmem.graph;

-- a graph without anything in it is an empty one
INSERT INTO graphmem.graphs (graph_id, name) VALUES (1, 'default'), (2, 'other'), (3, 'empty');
SELECT * FROM graphmem.match(graph => 'empty');
SELECT * FROM graphmem.reach('a', graph => 'empty');
SELECT * FROM graphmem.pagerank(graph => 'empty');
SELECT * FROM graphmem.components(graph => 'empty');

-- ---- the graph of most of what follows ----
INSERT INTO graphmem.entities (entity_id, graph_id, name, literal_type, kind) VALUES
	(8, 1, 'Ada', '@en', NULL), (7, 1, '42', 'string', NULL), (6, 1, '42', 'int', 'number'),
	(5, 1, 'Eve', NULL, 'person'), (4, 1, 'Dee', NULL, NULL), (3, 1, 'Cid', NULL, 'robot'),
	(2, 1, 'Bob', NULL, 'person'), (1, 1, 'Ada', NULL, 'person'), (9, 1, 'word', '', NULL);
INSERT INTO graphmem.aliases (graph_id, name, entity_id) VALUES
	(1, 'Countess', 1), (1, 'Bob', 3), (1, 'word', 4);
INSERT INTO graphmem.predicates (predicate_id, graph_id, name, "symmetric") VALUES
	(5, 1, 'unused', false), (4, 1, 'called', false), (3, 1, 'age', false),
	(2, 1, 'likes', false), (1, 1, 'knows', true);
INSERT INTO graphmem.triples (triple_id, fact_id, graph_id, subject_id, predicate_id, object_id, confidence) VALUES
	(110, 10, 1, 4, 4, 9, 1), (109, 9, 1, 3, 1, 4, 0.8), (108, 8, 1, 1, 2, 2, 0.3), (107, 7, 1, 1, 4, 8, 1),
	(106, 6, 1, 2, 3, 7, 1), (105, 5, 1, 1, 3, 6, 1), (104, 4, 1, 3, 2, 3, 0.4), (103, 3, 1, 3, 2, 1, 0.9),
	(102, 2, 1, 2, 2, 3, 0.5), (101, 1, 1, 1, 1, 2, 1);
INSERT INTO graphmem.sources (source_id, graph_id, name, reliability) VALUES
	(12, 1, 'rumour', 0.5), (11, 1, 'book', 1), (13, 1, 'liar', 0);
INSERT INTO graphmem.assertions (fact_id, source_id, graph_id, confidence, asserted_at) VALUES
	(3, 12, 1, 0.4, '2010-01-01'), (3, 11, 1, 0.5, '2020-01-01'), (9, 13, 1, 1, '2020-01-01');
-- the other graph uses the same names for other things
INSERT INTO graphmem.entities (entity_id, graph_id, name) VALUES (21, 2, 'Ada'), (22, 2, 'Bob');
INSERT INTO graphmem.predicates (predicate_id, graph_id, name) VALUES (21, 2, 'knows');
INSERT INTO graphmem.triples (triple_id, fact_id, graph_id, subject_id, predicate_id, object_id, confidence)
	VALUES (201, 21, 2, 22, 21, 21, 0.25);

-- ---- match: eight patterns, rows by triple_id ----
SELECT * FROM graphmem.match();
SELECT triple_id FROM graphmem.match(subject => 'Ada');
SELECT triple_id FROM graphmem.match(predicate => 'likes');
SELECT triple_id FROM graphmem.match(object => 'Cid');
SELECT triple_id FROM graphmem.match('Ada', 'likes');
SELECT triple_id FROM graphmem.match('Cid', object => 'Cid');
SELECT triple_id FROM graphmem.match(predicate => 'likes', object => 'Cid');
SELECT triple_id FROM graphmem.match('Cid', 'likes', 'Cid');
-- a symmetric predicate is matched as it was stated
SELECT triple_id FROM graphmem.match('Bob', 'knows');
SELECT triple_id FROM graphmem.match(predicate => 'knows', object => 'Ada');
-- an entity before an alias before a literal; object_type asks for a literal
SELECT triple_id, subject FROM graphmem.match('Countess', 'age');
SELECT triple_id, object, object_type FROM graphmem.match(object => 'Ada');
SELECT triple_id, object, object_type FROM graphmem.match(object => 'Ada', object_type => '@en');
SELECT triple_id, object, object_type FROM graphmem.match(object => '42');
SELECT triple_id, object, object_type FROM graphmem.match(object => '42', object_type => 'string');
SELECT triple_id, object, object_type FROM graphmem.match(object_type => 'string');
SELECT triple_id, object, object_type FROM graphmem.match(subject => 'Dee', object_type => '');
SELECT triple_id, object, object_type FROM graphmem.match(object => 'word', object_type => '');
SELECT triple_id, object FROM graphmem.match(object => 'word');
SELECT triple_id FROM graphmem.match(object => 'Cid', object_type => 'int');
-- names that are not there, and a predicate that nothing uses
SELECT count(*) FROM graphmem.match('nobody');
SELECT count(*) FROM graphmem.match(predicate => 'nothing');
SELECT count(*) FROM graphmem.match('Ada', 'likes', 'nobody');
SELECT count(*) FROM graphmem.match(predicate => 'unused');
SELECT count(*) FROM graphmem.match('ada');
-- how many, how sure
SELECT triple_id FROM graphmem.match(match_count => 2);
SELECT triple_id FROM graphmem.match('Ada', match_count => 2);
SELECT count(*) FROM graphmem.match(match_count => 0);
SELECT count(*) FROM graphmem.match(match_count => 9223372036854775807);
SELECT triple_id, confidence FROM graphmem.match(min_confidence => 0.5);
SELECT triple_id, confidence FROM graphmem.match(min_confidence => 1, predicate => 'likes');
-- NULL is the default
SELECT count(*) FROM graphmem.match(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
-- two graphs
SELECT * FROM graphmem.match(graph => 'other');
SET graphmem.graph = 'other';
SELECT triple_id, subject FROM graphmem.match();
SELECT triple_id, subject FROM graphmem.match(graph => 'default', match_count => 1);
SELECT a.triple_id, b.triple_id FROM graphmem.match('Bob') a, graphmem.match('Bob', graph => 'default') b;
RESET graphmem.graph;
-- in the target list, and joined to itself
SELECT (graphmem.match('Bob')).triple_id;
SELECT a.subject, b.object FROM graphmem.match(predicate => 'likes') a
	JOIN graphmem.match(predicate => 'likes') b ON b.subject = a.object ORDER BY a.triple_id, b.triple_id;

-- ---- neighbors: outgoing first, then by predicate, neighbour and triple ----
SELECT triple_id, subject, predicate, object, neighbor, direction, confidence FROM graphmem.neighbors('Ada');
SELECT triple_id, neighbor, direction FROM graphmem.neighbors('Ada', 'out');
SELECT triple_id, neighbor, direction FROM graphmem.neighbors('Ada', 'in');
-- knows is symmetric: it leads from Bob to Ada too
SELECT triple_id, neighbor, direction FROM graphmem.neighbors('Bob', 'out');
SELECT triple_id, neighbor, direction FROM graphmem.neighbors('Bob', 'in');
-- the self-loop comes once
SELECT triple_id, neighbor, direction FROM graphmem.neighbors('Cid');
SELECT triple_id, neighbor, direction FROM graphmem.neighbors('Cid', 'out');
SELECT triple_id, neighbor, direction FROM graphmem.neighbors('Cid', 'in');
SELECT triple_id, neighbor FROM graphmem.neighbors('Ada', NULL, '{likes,called,nothing,NULL}');
SELECT triple_id FROM graphmem.neighbors('Ada', predicates => '{}');
SELECT triple_id FROM graphmem.neighbors('Ada', predicates => '{nothing}');
SELECT triple_id FROM graphmem.neighbors('Ada', predicates => '{NULL}');
SELECT triple_id FROM graphmem.neighbors('Ada', match_count => 2);
SELECT triple_id FROM graphmem.neighbors('Ada', match_count => 0);
SELECT triple_id, confidence FROM graphmem.neighbors('Ada', min_confidence => 0.6);
SELECT triple_id FROM graphmem.neighbors('Eve');
SELECT triple_id FROM graphmem.neighbors('nobody');
SELECT triple_id, neighbor FROM graphmem.neighbors('42');
SELECT triple_id, neighbor FROM graphmem.neighbors('Countess', 'in');

-- ---- traverse ----
SELECT * FROM graphmem.traverse('{Ada}');
SELECT rank, entity, hops, path_ids FROM graphmem.traverse('{Ada}', 2, 'dfs');
SELECT rank, entity, hops, path_ids FROM graphmem.traverse('{Ada}', 0);
SELECT rank, entity, hops, path_ids FROM graphmem.traverse('{Ada}', 2147483647, match_count => 3);
SELECT rank, entity, hops, path_ids FROM graphmem.traverse('{Ada}', 9, 'dfs', 3);
SELECT rank, entity, hops, path_ids FROM graphmem.traverse('{Ada}', match_count => 0);
-- several seeds, some of them twice, unknown or NULL
SELECT rank, entity, hops, path FROM graphmem.traverse('{Dee,Ada,nobody,NULL,Countess}', 1);
SELECT count(*) FROM graphmem.traverse('{}');
SELECT count(*) FROM graphmem.traverse('{NULL}');
SELECT count(*) FROM graphmem.traverse('{nobody}');
-- against the arrow, and both ways over a symmetric predicate
SELECT entity, hops, path FROM graphmem.traverse('{Bob}', 9, direction => 'out');
SELECT entity, hops, path FROM graphmem.traverse('{Bob}', 9, direction => 'in');
-- kinds limits what is returned, not what is walked over
SELECT rank, entity, kind, hops FROM graphmem.traverse('{Bob}', 3, kinds => '{number,person}');
SELECT rank, entity, kind, hops FROM graphmem.traverse('{Bob}', 3, kinds => '{number,person}', match_count => 2);
SELECT count(*) FROM graphmem.traverse('{Bob}', 3, kinds => '{}');
SELECT count(*) FROM graphmem.traverse('{Bob}', 3, kinds => '{NULL,nothing}');
SELECT entity, hops FROM graphmem.traverse('{Ada}', 9, predicates => '{likes}', direction => 'out');
SELECT entity, hops FROM graphmem.traverse('{Ada}', 9, min_confidence => 0.85);
SELECT count(*) FROM graphmem.traverse('{Ada}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);

-- ---- reach: distinct entities without the seed, and the sum of their ids ----
SELECT * FROM graphmem.reach('Ada');
SELECT * FROM graphmem.reach('Ada', 0);
SELECT * FROM graphmem.reach('Ada', 1);
SELECT * FROM graphmem.reach('Ada', 2147483647);
SELECT * FROM graphmem.reach('Ada', 1, 'in');
SELECT * FROM graphmem.reach('Cid', 1, 'out', '{likes}');
SELECT * FROM graphmem.reach('Eve', 5);
SELECT * FROM graphmem.reach('nobody', 5);
SELECT (graphmem.reach('Ada', NULL, NULL, NULL, NULL, NULL, NULL, NULL)).count;

-- ---- shortest_path, paths ----
SELECT * FROM graphmem.shortest_path('Ada', 'Dee');
SELECT hops, cost, path_ids FROM graphmem.shortest_path('Ada', 'Dee', direction => 'out');
-- the likelier way from Cid to Bob is over Ada; from Ada to Bob the parallel fact counts
SELECT hops, round(cost::numeric, 4) AS cost, confidence, path FROM graphmem.shortest_path('Cid', 'Bob', 'confidence');
SELECT hops, round(cost::numeric, 4) AS cost, confidence, path FROM graphmem.shortest_path('Cid', 'Bob', 'confidence', 1);
SELECT hops, cost, path_ids FROM graphmem.shortest_path('Ada', 'Bob');
SELECT hops, cost, path_ids FROM graphmem.shortest_path('Ada', 'Bob', predicates => '{likes}');
SELECT hops FROM graphmem.shortest_path('Ada', 'Dee', max_hops => 1);
SELECT hops FROM graphmem.shortest_path('Ada', 'Bob', max_hops => 0);
SELECT hops FROM graphmem.shortest_path('Ada', 'Eve');
SELECT hops FROM graphmem.shortest_path('Ada', 'nobody');
SELECT * FROM graphmem.shortest_path('Ada', 'Countess');
SELECT * FROM graphmem.shortest_path('Eve', 'Eve', max_hops => 0);
-- book says 0.5, rumour 0.4 of which half counts: 1 - 0.5 * 0.8; the liar's fact has none
SELECT hops, confidence, path_ids FROM graphmem.shortest_path('Cid', 'Ada', 'confidence', 1);
SELECT hops, confidence, path_ids FROM graphmem.shortest_path('Cid', 'Dee', 'confidence');
SELECT hops, confidence, path_ids FROM graphmem.shortest_path('Cid', 'Dee');
SELECT rank, hops, cost, path_ids, entities FROM graphmem.paths('Ada', 'Cid');
SELECT rank, hops, path_ids FROM graphmem.paths('Ada', 'Cid', 100, 100);
SELECT rank, hops, path_ids FROM graphmem.paths('Ada', 'Cid', 2);
SELECT rank, hops, path_ids FROM graphmem.paths('Ada', 'Cid', 0);
SELECT rank, hops, path_ids FROM graphmem.paths('Ada', 'Cid', 9, 1);
SELECT rank, hops, path_ids FROM graphmem.paths('Ada', 'Cid', 2147483647, 2147483647, direction => 'out');
SELECT rank, hops, round(cost::numeric, 4) AS cost, confidence, path_ids FROM graphmem.paths('Ada', 'Cid', 9, weight => 'confidence');
SELECT rank, hops, path_ids, entities, entity_ids FROM graphmem.paths('Cid', 'Cid');
SELECT count(*) FROM graphmem.paths('Ada', 'Eve');
SELECT count(*) FROM graphmem.paths('nobody', 'Eve');
SELECT count(*) FROM graphmem.paths('Ada', 'Cid', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);

-- ---- subgraph: both ends within max_hops ----
SELECT * FROM graphmem.subgraph('{Bob}');
SELECT triple_id, hops FROM graphmem.subgraph('{Bob}', 2);
SELECT triple_id, hops FROM graphmem.subgraph('{Cid}', 0);
SELECT triple_id, hops FROM graphmem.subgraph('{Cid,Ada,Cid}', 0);
SELECT triple_id, hops FROM graphmem.subgraph('{Bob}', 2, 4);
SELECT count(*) FROM graphmem.subgraph('{Bob}', 2, 0);
SELECT triple_id, hops FROM graphmem.subgraph('{Dee}', 2, direction => 'in');
SELECT count(*) FROM graphmem.subgraph('{nobody,NULL}', 2);
SELECT count(*) FROM graphmem.subgraph('{}');

-- ---- pagerank ----
-- the walk from a leaf starts anywhere; scores sum to 1
SELECT rank, entity, kind, round(score::numeric, 6) AS score FROM graphmem.pagerank();
SELECT round(sum(score)::numeric, 9) FROM graphmem.pagerank(match_count => NULL);
SELECT rank, entity, round(score::numeric, 6) AS score FROM graphmem.pagerank(damping => 0);
SELECT count(*), round(sum(score)::numeric, 6) FROM graphmem.pagerank(damping => 0.999, direction => 'out');
SELECT rank, entity, round(score::numeric, 6) AS score FROM graphmem.pagerank(max_iterations => 0, match_count => 2);
SELECT rank, entity FROM graphmem.pagerank(match_count => 2, kinds => '{robot,number}');
SELECT rank, entity FROM graphmem.pagerank(match_count => 0);
SELECT rank, entity, round(score::numeric, 6) AS score FROM graphmem.pagerank(predicates => '{}', match_count => 1);
-- as seen from seeds: only what can be reached
SELECT rank, entity, round(score::numeric, 4) AS score FROM graphmem.pagerank('{Ada}', epsilon => 1e-9);
SELECT rank, entity, round(score::numeric, 4) AS score FROM graphmem.pagerank('{Eve}');
SELECT rank, entity, round(score::numeric, 4) AS score FROM graphmem.pagerank('{Eve,Ada,Countess,nobody,NULL}', 3, epsilon => 1e-9);
SELECT rank, entity, round(score::numeric, 4) AS score FROM graphmem.pagerank('{Ada}', damping => 0);
SELECT count(*) FROM graphmem.pagerank('{nobody}');
SELECT count(*) FROM graphmem.pagerank('{}');
SELECT count(*) FROM graphmem.pagerank(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);

-- ---- components ----
SELECT * FROM graphmem.components();
SELECT * FROM graphmem.components(min_size => 2, match_count => 3);
SELECT component_id, component_size, count(*) FROM graphmem.components(predicates => '{likes,knows}') GROUP BY 1, 2 ORDER BY 2 DESC, 1;
SELECT * FROM graphmem.components(min_confidence => 0.95, min_size => 2);
SELECT count(*) FROM graphmem.components(min_size => 100);
SELECT count(*) FROM graphmem.components(match_count => 0);
SELECT count(*) FROM graphmem.components(NULL, NULL, NULL, NULL, NULL, NULL, NULL);

-- ---- confidence and its parts ----
SELECT * FROM graphmem.confidence();
SELECT triple_id, confidence FROM graphmem.confidence('Cid', 'likes', 'Ada');
SELECT triple_id, confidence, prior, source_confidence, sources
	FROM graphmem.confidence('Cid', 'likes', 'Ada', known_at => 'infinity');
SELECT count(*) FROM graphmem.confidence('nobody');
SELECT triple_id, confidence FROM graphmem.confidence(object => '42', object_type => 'string');
SELECT count(*) FROM graphmem.confidence(NULL, NULL, NULL, NULL, NULL, NULL, NULL);

SELECT part, items, bytes > 0 AS more_than_nothing FROM graphmem.estimate_memory();

-- ---- time: half-open, open at both ends, known apart from valid ----
INSERT INTO graphmem.graphs (graph_id, name) VALUES (4, 'time');
SET graphmem.graph = 'time';
INSERT INTO graphmem.entities (entity_id, graph_id, name) VALUES (31, 4, 'x'), (32, 4, 'y'), (33, 4, 'z');
INSERT INTO graphmem.predicates (predicate_id, graph_id, name) VALUES (31, 4, 'p');
INSERT INTO graphmem.triples (triple_id, fact_id, graph_id, subject_id, predicate_id, object_id, confidence,
	valid_from, valid_to, recorded_at, expired_at) VALUES
	(301, 301, 4, 31, 31, 32, 1, '-infinity', 'infinity', '2001-01-01', 'infinity'),
	(302, 302, 4, 31, 31, 33, 1, '2010-01-01', '2020-01-01', '2001-01-01', 'infinity'),
	(303, 303, 4, 32, 31, 33, 1, '2120-01-01', 'infinity', '2001-01-01', 'infinity'),
	(304, 304, 4, 33, 31, 31, 0.5, '-infinity', 'infinity', '2001-01-01', '2011-01-01'),
	(305, 304, 4, 33, 31, 31, 0.75, '-infinity', 'infinity', '2011-01-01', 'infinity'),
	(306, 306, 4, 33, 31, 33, 1, '-infinity', '2115-01-01', '-infinity', 'infinity');
INSERT INTO graphmem.sources (source_id, graph_id, name) VALUES (31, 4, 's'), (32, 4, 't');
INSERT INTO graphmem.assertions (fact_id, source_id, graph_id, confidence, asserted_at) VALUES
	(301, 31, 4, 0.5, '2005-01-01'), (301, 32, 4, 0.5, '2006-01-01');
SELECT triple_id, confidence, valid_from, valid_to FROM graphmem.match();
SELECT t AS as_of, array_agg(triple_id) FROM (VALUES
	('-infinity'::timestamptz), ('2009-12-31 23:59:59.999999'), ('2010-01-01'), ('2019-12-31 23:59:59.999999'),
	('2020-01-01'), (NULL), ('2114-12-31 23:59:59.999999'), ('2115-01-01'), ('2120-01-01'), ('infinity')) v (t),
	graphmem.match(as_of => t) GROUP BY t ORDER BY t;
SELECT t AS known_at, array_agg(triple_id ORDER BY triple_id), min(confidence) FROM (VALUES
	('-infinity'::timestamptz), ('2000-12-31'), ('2001-01-01'), ('2004-12-31'), ('2005-01-01'), ('2006-01-01'),
	('2010-12-31 23:59:59.999999'), ('2011-01-01'), (NULL), ('2200-01-01'), ('infinity')) v (t),
	graphmem.match(known_at => t) GROUP BY t ORDER BY t;
SELECT t AS known_at, c.confidence, c.prior, c.source_confidence, c.sources FROM (VALUES
	('2004-12-31'::timestamptz), ('2005-01-01'), ('2006-01-01'), (NULL)) v (t),
	graphmem.confidence('x', 'p', 'y', known_at => t) c ORDER BY t;
SELECT triple_id FROM graphmem.match(known_at => '2004-01-01', min_confidence => 0.9);
SELECT triple_id FROM graphmem.match(known_at => '2005-01-01', min_confidence => 0.9);
-- every function looks through the same window
SELECT triple_id, direction FROM graphmem.neighbors('z', as_of => '2015-01-01', known_at => '2005-01-01');
SELECT entity, hops, path_ids FROM graphmem.traverse('{x}', direction => 'out', as_of => '2015-01-01');
SELECT entity, hops, path_ids FROM graphmem.traverse('{x}', direction => 'out', as_of => '2120-01-01');
SELECT entity, hops, path_ids FROM graphmem.traverse('{x}', direction => 'out');
SELECT * FROM graphmem.reach('x', 1, 'out', as_of => '2015-01-01');
SELECT path_ids FROM graphmem.shortest_path('x', 'z', direction => 'out', as_of => '2015-01-01');
SELECT path_ids FROM graphmem.shortest_path('x', 'z', direction => 'out', as_of => '2130-01-01');
SELECT path_ids FROM graphmem.shortest_path('x', 'z', direction => 'out');
SELECT path_ids, confidence FROM graphmem.paths('z', 'x', weight => 'confidence', known_at => '2010-01-01');
SELECT triple_id, hops FROM graphmem.subgraph('{x}', as_of => '2015-01-01');
SELECT entity, round(score::numeric, 4) FROM graphmem.pagerank(direction => 'out', known_at => '2000-01-01');
SELECT component_id, entity FROM graphmem.components(known_at => '2000-01-01');
SELECT component_id, entity FROM graphmem.components(known_at => '2001-01-01', as_of => '2000-01-01');
-- versions: UPDATE of facts expires one row and adds another
SELECT clock_timestamp() AS before \gset
SELECT pg_sleep(0.01);
UPDATE graphmem.facts SET confidence = 0.25 WHERE triple_id = 305;
SELECT pg_sleep(0.01);
SELECT fact_id, confidence, triple_id <> 305 AS new FROM graphmem.match('z', object => 'x');
SELECT fact_id, confidence, triple_id FROM graphmem.match('z', object => 'x', known_at => :'before');
SELECT fact_id, confidence FROM graphmem.match('z', object => 'x', known_at => clock_timestamp());
UPDATE graphmem.facts SET valid_to = '2050-01-01' WHERE fact_id = 304;
SELECT confidence, valid_from, valid_to FROM graphmem.match('z', object => 'x', as_of => '2049-12-31');
SELECT count(*) FROM graphmem.match('z', object => 'x', as_of => '2050-01-01');
SELECT confidence, valid_to FROM graphmem.match('z', object => 'x', as_of => '2050-01-01', known_at => :'before');
-- a fact that begins and ends within the session
INSERT INTO graphmem.facts (subject, predicate, object, valid_from, valid_to)
	VALUES ('y', 'p', 'x', clock_timestamp() + '1 s', clock_timestamp() + '2.5 s');
SELECT count(*) FROM graphmem.match('y', object => 'x');
SELECT pg_sleep(1.2);
SELECT count(*) FROM graphmem.match('y', object => 'x');
SELECT count(*) FROM graphmem.neighbors('y', 'out');
SELECT pg_sleep(1.5);
SELECT count(*) FROM graphmem.match('y', object => 'x');
RESET graphmem.graph;

-- ---- names ----
INSERT INTO graphmem.graphs (graph_id, name) VALUES (5, E'qu"o''te\n\\ 図');
INSERT INTO graphmem.entities (entity_id, graph_id, name) VALUES
	(51, 5, ''), (52, 5, E'line\nbreak'), (53, 5, E'\'"\\'), (54, 5, 'Αδα'), (55, 5, 'چارلز'), (56, 5, '😀'),
	(57, 5, repeat('x', 10 * 1024 * 1024)), (58, 5, repeat('x', 10 * 1024 * 1024) || 'y'), (59, 5, 'NULL'), (60, 5, ' ');
INSERT INTO graphmem.predicates (predicate_id, graph_id, name) VALUES (51, 5, ''), (52, 5, '知り合い'),
	(53, 5, repeat('p', 10 * 1024 * 1024));
INSERT INTO graphmem.triples (triple_id, fact_id, graph_id, subject_id, predicate_id, object_id)
	SELECT 500 + i, 500 + i, 5, i, 51 + i % 2, i + 1 FROM generate_series(51, 59) i;
INSERT INTO graphmem.triples (triple_id, fact_id, graph_id, subject_id, predicate_id, object_id)
	VALUES (590, 590, 5, 60, 53, 51);
SET graphmem.graph = E'qu"o''te\n\\ 図';
SELECT triple_id, subject, predicate, object FROM graphmem.match(match_count => 5);
SELECT triple_id, object FROM graphmem.match('', '知り合い');
SELECT triple_id FROM graphmem.match(E'\'"\\', '知り合い', 'Αδα');
SELECT triple_id FROM graphmem.match('NULL');
SELECT triple_id FROM graphmem.neighbors('');
SELECT entity, hops FROM graphmem.traverse(ARRAY['چارلز'], 1);
SELECT path FROM graphmem.shortest_path('', '😀', direction => 'out');
SELECT length(subject), md5(subject), length(object) FROM graphmem.match(repeat('x', 10 * 1024 * 1024));
SELECT triple_id, length(predicate) FROM graphmem.match(predicate => repeat('p', 10 * 1024 * 1024));
SELECT hops, length(path), length(entities[4]) FROM graphmem.shortest_path('Αδα', 'NULL', direction => 'out');
RESET graphmem.graph;

-- ---- wrong arguments ----
SELECT * FROM pg_temp.fails(
	'match(match_count => -1)', 'match(min_confidence => -0.1)', 'match(min_confidence => 1.5)',
	'match(min_confidence => ''NaN'')',
	'neighbors(NULL)', 'neighbors(''Ada'', ''up'')', 'neighbors(''Ada'', match_count => -1)',
	'neighbors(''Ada'', predicates => ''{{likes},{knows}}'')',
	'traverse(NULL)', 'traverse(''{Ada}'', -1)', 'traverse(''{Ada}'', traversal_order => ''BFS'')',
	'traverse(''{Ada}'', match_count => -9223372036854775808)', 'traverse(''{{Ada,Bob}}'')',
	'reach(NULL)', 'reach(''Ada'', -2147483648)', 'reach(''Ada'', direction => '''')',
	'shortest_path(NULL, ''Ada'')', 'shortest_path(''Ada'', NULL)', 'shortest_path(''Ada'', ''Bob'', ''length'')',
	'shortest_path(''Ada'', ''Bob'', max_hops => -1)', 'shortest_path(''nobody'', ''Bob'', max_hops => -1)',
	'paths(NULL, ''Ada'')', 'paths(''Ada'', ''Bob'', -1)', 'paths(''Ada'', ''Bob'', max_hops => -1)',
	'paths(''Ada'', ''Bob'', weight => '''')', 'subgraph(NULL)', 'subgraph(''{Ada}'', -1)',
	'subgraph(''{Ada}'', match_count => -1)',
	'pagerank(match_count => -1)', 'pagerank(damping => 1)', 'pagerank(damping => -0.01)', 'pagerank(damping => ''NaN'')',
	'pagerank(epsilon => 0)', 'pagerank(epsilon => ''infinity'')', 'pagerank(max_iterations => -1)',
	'components(min_size => -1)', 'components(match_count => -1)',
	'match(as_of => ''294277-01-01'')');
-- and what passes at the edge
SELECT * FROM pg_temp.fails('match(min_confidence => 0)', 'match(min_confidence => 1)', 'pagerank(damping => 0.999)',
	'pagerank(epsilon => 1)', 'pagerank(epsilon => 1e-12)', 'components(min_size => 0)',
	'match(as_of => ''294276-12-31'')', 'match(known_at => ''4713-01-01 BC'')');
-- settings stand in for arguments that are not given
SET graphmem.damping = 0;
SELECT rank, entity, round(score::numeric, 4) AS score FROM graphmem.pagerank('{Ada}');
RESET graphmem.damping;
SET graphmem.damping = 1;
SET graphmem.ppr_epsilon = 0;
SET graphmem.nonsense = 1;

-- ---- the same call, the same rows, whatever the order in the table ----
CREATE TEMP TABLE answers AS
SELECT 0 AS run, (SELECT array_agg(t) FROM graphmem.match() t)::text AS match,
	(SELECT array_agg(t) FROM graphmem.traverse('{Ada}', 5) t)::text AS traverse,
	(SELECT array_agg(t) FROM graphmem.pagerank() t)::text AS pagerank,
	(SELECT array_agg(t) FROM graphmem.pagerank('{Bob,Dee}') t)::text AS personal,
	(SELECT array_agg(t) FROM graphmem.paths('Ada', 'Cid', 9) t)::text AS paths,
	(SELECT array_agg(t) FROM graphmem.neighbors('Cid') t)::text AS neighbors;
DO $$
BEGIN
	FOR i IN 1..3 LOOP
		-- rewrites move the rows about
		UPDATE graphmem.entities SET created_at = now() WHERE graph_id = 1 AND entity_id % 3 = i % 3;
		UPDATE graphmem.triples SET properties = '{}' WHERE graph_id = 1 AND triple_id % 3 = i % 3;
		UPDATE graphmem.predicates SET created_at = now() WHERE graph_id = 1 AND predicate_id % 3 = i % 3;
		INSERT INTO answers
		SELECT i, (SELECT array_agg(t) FROM graphmem.match() t)::text,
			(SELECT array_agg(t) FROM graphmem.traverse('{Ada}', 5) t)::text,
			(SELECT array_agg(t) FROM graphmem.pagerank() t)::text,
			(SELECT array_agg(t) FROM graphmem.pagerank('{Bob,Dee}') t)::text,
			(SELECT array_agg(t) FROM graphmem.paths('Ada', 'Cid', 9) t)::text,
			(SELECT array_agg(t) FROM graphmem.neighbors('Cid') t)::text;
	END LOOP;
END $$;
SELECT count(*), count(DISTINCT (match, traverse, pagerank, personal, paths, neighbors)) FROM answers;

\connect postgres
DROP DATABASE graphmem_read;
