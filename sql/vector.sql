--
-- vector_search and similar: spaces of entities, facts and sources, each
-- filter, and what is refused.
--
SET client_min_messages = warning;
SELECT graphmem.create_graph('v') > 0 AS created;
SET graphmem.graph = 'v';

-- errors without their position and context
\set VERBOSITY default
\set SHOW_CONTEXT never

SELECT count(graphmem.add_triple(s, p, o, c, confidence => w)) FROM (VALUES
	('ada', 'knows', 'charles', 'letter', 0.9),
	('charles', 'built', 'engine', 'report', 0.8),
	('ada', 'wrote', 'notes', 'letter', 1.0),
	('notes', 'about', 'engine', 'notes', 0.5),
	('mary', 'knows', 'ada', 'letter', 0.3)) f(s, p, o, c, w);
SELECT count(graphmem.add_entity(n, k, pr)) FROM (VALUES
	('ada', 'person', '{"born": 1815, "tags": ["x", "y"]}'::jsonb),
	('charles', 'person', '{"born": 1791}'), ('mary', 'person', NULL),
	('engine', 'machine', '{"born": 1837}'), ('alone', 'person', NULL)) e(n, k, pr);
SELECT graphmem.create_vector_space('plane', 2, metric => 'l2') > 0 AS plane;
SELECT count(graphmem.set_embedding(n, v, 'plane')) FROM (VALUES
	('ada', '{0,0}'::real[]), ('charles', '{3,4}'), ('engine', '{6,8}'), ('notes', '{0,1}'),
	('alone', '{-1,0}')) e(n, v);

CREATE FUNCTION hits(q real[], k int DEFAULT 10, sp text DEFAULT 'plane', kinds text[] DEFAULT NULL,
	predicates text[] DEFAULT NULL, filter jsonb DEFAULT NULL, ids bigint[] DEFAULT NULL,
	near text[] DEFAULT NULL, hops int DEFAULT 2, conf real DEFAULT 0,
	as_of timestamptz DEFAULT NULL, known_at timestamptz DEFAULT NULL)
RETURNS TABLE (rank bigint, item text, kind text, distance numeric, similarity numeric)
LANGUAGE sql AS $$
SELECT v.rank, v.item, v.kind, round(v.distance::numeric, 4), round(v.similarity::numeric, 4)
FROM graphmem.vector_search(q, k, sp, kinds, predicates, filter, ids, near, hops, conf,
	as_of, known_at) v ORDER BY v.rank
$$;

--
-- Order, ties, counts
--
SELECT * FROM hits('{0,0}');
SELECT * FROM hits('{0,0}', 2);
SELECT * FROM hits('{0,0}', 0);
SELECT count(*) FROM graphmem.vector_search('{0,0}', NULL, 'plane');
SELECT count(*) FROM graphmem.vector_search('{0,0}', 2147483647, 'plane');
-- equally far: by id
SELECT item FROM hits('{0,0}', ids => (SELECT array_agg(entity_id ORDER BY name DESC)
	FROM graphmem.entities WHERE name IN ('notes', 'alone', 'ada')));
-- the only space is found without its name
SELECT item FROM graphmem.vector_search('{6,8}', 1);

--
-- Filters are guarantees: as many rows as match
--
SELECT item FROM hits('{0,0}', kinds => '{machine}');
SELECT item FROM hits('{0,0}', kinds => '{machine,person}');
SELECT count(*) FROM hits('{0,0}', kinds => '{}');
SELECT count(*) FROM hits('{0,0}', kinds => '{unknown}');
SELECT item FROM hits('{6,8}', 1, predicates => '{knows}');
SELECT item FROM hits('{0,0}', predicates => '{built,about}');
SELECT item FROM hits('{0,0}', predicates => '{built,about}', conf => 0.6);
SELECT count(*) FROM hits('{0,0}', predicates => '{}');
SELECT item FROM hits('{0,0}', filter => '{"born": 1791}');
SELECT item FROM hits('{0,0}', filter => '{"tags": ["y"]}');
SELECT count(*) FROM hits('{0,0}', filter => '{}');
SELECT count(*) FROM hits('{0,0}', filter => '[]');
SELECT count(*) FROM hits('{0,0}', ids => '{}');
SELECT count(*) FROM hits('{0,0}', ids => '{-5,NULL,0}');
SELECT item FROM hits('{0,0}', near => '{mary}', hops => 1);
SELECT item FROM hits('{0,0}', near => '{mary}', hops => 2);
SELECT item FROM hits('{0,0}', near => '{mary,nobody}', hops => 2, conf => 0.4);
SELECT count(*) FROM hits('{0,0}', near => '{nobody}');
SELECT item FROM hits('{0,0}', near => '{engine}', hops => 1, kinds => '{person}',
	filter => '{"born": 1791}');
-- times: entities that were not there yet, facts that were not valid yet
SELECT count(*) FROM hits('{0,0}', known_at => '2000-01-01');
SELECT count(*) FROM hits('{0,0}', known_at => 'infinity');
SELECT count(*) FROM hits('{0,0}', as_of => '2000-01-01');
SELECT graphmem.add_triple('ada', 'met', 'alone', valid_from => '1833-01-01',
	valid_to => '1834-01-01') > 0 AS added;
SELECT item FROM hits('{0,0}', predicates => '{met}');
SELECT item FROM hits('{0,0}', predicates => '{met}', as_of => '1833-06-01');

--
-- Facts
--
SELECT graphmem.create_vector_space('facts', 2, target => 'fact', metric => 'ip') > 0 AS facts;
SELECT count(graphmem.set_embedding(t.fact_id::text, ARRAY[t.fact_id, 1]::real[], 'facts'))
FROM graphmem.match() m JOIN graphmem.triples t USING (triple_id) WHERE m.predicate <> 'met';
SELECT v.item, v.kind, v.distance < 0 AS negative, v.similarity > 0.5 AS similar,
	v.item_id = t.fact_id AS is_fact
FROM graphmem.vector_search('{1,0}', space => 'facts') v
	JOIN graphmem.triples t ON t.fact_id = v.item_id ORDER BY v.rank;
SELECT item FROM hits('{1,0}', sp => 'facts', predicates => '{knows}');
SELECT item FROM hits('{1,0}', sp => 'facts', kinds => '{machine}');
SELECT item FROM hits('{1,0}', sp => 'facts', conf => 0.85);
SELECT item FROM hits('{1,0}', sp => 'facts', near => '{mary}', hops => 0);
SELECT item FROM hits('{1,0}', sp => 'facts', ids => ARRAY[(SELECT m.fact_id FROM
	graphmem.match('notes') m)]);
UPDATE graphmem.triples SET properties = '{"page": 7}' WHERE triple_id =
	(SELECT triple_id FROM graphmem.match('notes'));
SELECT item FROM hits('{1,0}', sp => 'facts', filter => '{"page": 7}');
SELECT count(*) FROM hits('{1,0}', sp => 'facts', known_at => '2000-01-01');

--
-- Sources
--
SELECT graphmem.create_vector_space('texts', 3, target => 'source') > 0 AS texts;
SELECT count(graphmem.add_source(n, kind => k, metadata => m)) FROM (VALUES
	('letter', 'mail', '{"year": 1840}'::jsonb), ('report', 'paper', NULL), ('notes', 'paper', NULL))
	s(n, k, m);
SELECT count(graphmem.set_embedding(n, v, 'texts')) FROM (VALUES ('letter', '{1,0,0}'::real[]),
	('report', '{0,1,0}'), ('notes', '{-1,0,0}')) e(n, v);
SELECT * FROM hits('{2,0,0}', sp => 'texts');
SELECT item FROM hits('{2,0,0}', sp => 'texts', kinds => '{paper}');
SELECT item FROM hits('{2,0,0}', sp => 'texts', predicates => '{about,built}');
SELECT item FROM hits('{2,0,0}', sp => 'texts', predicates => '{about,built}', conf => 0.6);
SELECT item FROM hits('{2,0,0}', sp => 'texts', near => '{engine}', hops => 0);
SELECT item FROM hits('{2,0,0}', sp => 'texts', filter => '{"year": 1840}');
SELECT count(*) FROM hits('{2,0,0}', sp => 'texts', known_at => '2000-01-01');

--
-- similar
--
SELECT rank, item, kind, distance FROM graphmem.similar('ada', space => 'plane') ORDER BY rank;
SELECT item FROM graphmem.similar('ada', 1, space => 'plane');
SELECT item FROM graphmem.similar('ada', space => 'plane', kinds => '{machine}');
SELECT count(*) FROM graphmem.similar('ada', 0, space => 'plane');
SELECT count(*) FROM graphmem.similar('mary', space => 'plane');
SELECT count(*) FROM graphmem.similar('nobody', space => 'plane');

--
-- Own changes are seen, and gone after a rollback
--
BEGIN;
SELECT graphmem.set_embedding('mary', '{0,0.5}', 'plane') > 0 AS changed;
SELECT item FROM hits('{0,0.5}', 1);
ROLLBACK;
SELECT item FROM hits('{0,0.4}', 1);

--
-- exact => true and ef_search change nothing without an index
--
SELECT count(*) FILTER (WHERE a = b) AS same, count(*) FROM graphmem.vector_search('{3,3}', 4, 'plane', ef_search => 1) a
	FULL JOIN graphmem.vector_search('{3,3}', 4, 'plane', exact => true) b USING (rank);

--
-- Several queries
--
SELECT query_no, rank, item, kind, distance FROM graphmem.vector_search_batch('{{0,0},{6,8},{0,1}}', 2, 'plane');
SELECT query_no, rank, item FROM graphmem.vector_search_batch('{0,0,6,8,0,1}', 1, 'plane', exact => true);
SELECT query_no, rank, item, similarity FROM graphmem.vector_search_batch('{{6,8}}', 1, 'plane');
SELECT count(*) FROM graphmem.vector_search_batch('{{0,0},{6,8}}', 100, 'plane');
SELECT count(*) FROM graphmem.vector_search_batch('{{0,0},{6,8}}', 0, 'plane');
SELECT count(*) FROM graphmem.vector_search_batch('{}', 1, 'plane');
SELECT query_no, item FROM graphmem.vector_search_batch('{{1,0}}', 2, 'facts');
-- each of them as alone
SELECT count(*) AS queries, bool_and(together = alone) AS same FROM (
	SELECT array_agg(b ORDER BY b.rank)::text AS together,
		(SELECT array_agg((b.query_no, s.rank, s.item_id, s.item, s.kind, s.distance, s.similarity) ORDER BY s.rank)
			FROM graphmem.vector_search(ARRAY[b.query_no % 7, b.query_no % 11]::real[], 3, 'plane') s)::text AS alone
	FROM graphmem.vector_search_batch((SELECT array_agg(ARRAY[i % 7, i % 11]::real[] ORDER BY i) FROM generate_series(1, 23) i),
		3, 'plane') b
	GROUP BY b.query_no) q;

--
-- What an index finds, where there is none
--
SELECT ef_search, recall, min_recall, index_us, exact_us >= 0 AS timed, is_current, advised FROM graphmem.recall_check('plane');
SELECT ef_search, recall FROM graphmem.recall_check('plane', 2, 3, 17, 1);
SELECT space, target, dim, metric, quantisation, m, ef_construction
FROM graphmem.stat_vector WHERE graph = 'v' ORDER BY space;

--
-- Without spaces there is nothing to find
--
SELECT graphmem.create_graph('empty') > 0 AS created;
SELECT count(*) FROM graphmem.vector_search('{1,2}', graph => 'empty');
SELECT count(*) FROM graphmem.similar('ada', graph => 'empty');
SELECT count(*) FROM graphmem.vector_search_batch('{{1,2}}', graph => 'empty');
SELECT count(*) FROM graphmem.recall_check(graph => 'empty');
SELECT count(*) FROM graphmem.vector_search('{1,2}', graph => 'default');

--
-- Bad input
--
SELECT * FROM graphmem.vector_search(NULL, space => 'plane');
SELECT * FROM graphmem.vector_search('{}', space => 'plane');
SELECT * FROM graphmem.vector_search('{1,2,3}', space => 'plane');
SELECT * FROM graphmem.vector_search('{1,NULL}', space => 'plane');
SELECT * FROM graphmem.vector_search('{NaN,1}', space => 'plane');
SELECT * FROM graphmem.vector_search('{1,-Infinity}', space => 'plane');
SELECT * FROM graphmem.vector_search('{{1,2},{3,4}}', space => 'plane');
SELECT * FROM graphmem.vector_search('{1e38,0}', space => 'plane');
SELECT * FROM graphmem.vector_search('{0,0,0}', space => 'texts');
SELECT * FROM graphmem.vector_search('{1e-30,0,0}', space => 'texts');
SELECT * FROM graphmem.vector_search('{1,2}', -1, space => 'plane');
SELECT * FROM graphmem.vector_search('{1,2}', space => 'plain');
SELECT * FROM graphmem.vector_search('{1,2}', graph => 'nowhere');
SELECT * FROM graphmem.vector_search('{1,2}', near => '{ada}', max_hops => -1, space => 'plane');
SELECT * FROM graphmem.vector_search('{1,2}', near => '{ada}', max_hops => 101, space => 'plane');
SELECT * FROM graphmem.vector_search('{1,2}', near => '{{ada}}', space => 'plane');
SELECT * FROM graphmem.vector_search('{1,2}', kinds => '{{a,b}}', space => 'plane');
SELECT * FROM graphmem.vector_search('{1,2}', predicates => '{{a,b}}', space => 'plane');
SELECT * FROM graphmem.vector_search('{1,2}', item_ids => '{{1},{2}}', space => 'plane');
SELECT * FROM graphmem.vector_search('{1,2}', min_confidence => 1.5, space => 'plane');
SELECT * FROM graphmem.vector_search('{1,2}', min_confidence => 'NaN', space => 'plane');
SELECT * FROM graphmem.vector_search('{1,2}', ef_search => 0, space => 'plane');
SELECT * FROM graphmem.vector_search('{1,2}', ef_search => 100001, space => 'plane');
SELECT * FROM graphmem.similar(NULL);
SELECT * FROM graphmem.similar('ada', space => 'facts');
SELECT * FROM graphmem.similar('ada', space => 'plain');
SELECT * FROM graphmem.similar('ada', -1, space => 'plane');
SELECT * FROM graphmem.vector_search_batch(NULL, space => 'plane');
SELECT * FROM graphmem.vector_search_batch('{1,2,3}', space => 'plane');
SELECT * FROM graphmem.vector_search_batch('{{1,2,3},{4,5,6}}', space => 'plane');
SELECT * FROM graphmem.vector_search_batch('{{{1,2}}}', space => 'plane');
SELECT * FROM graphmem.vector_search_batch('{{1,2},{3,NULL}}', space => 'plane');
SELECT * FROM graphmem.vector_search_batch('{{1,2},{NaN,4}}', space => 'plane');
SELECT * FROM graphmem.vector_search_batch('{{1,2},{1e38,4}}', space => 'plane');
SELECT * FROM graphmem.vector_search_batch('{{1,2,3},{0,0,0}}', space => 'texts');
SELECT * FROM graphmem.vector_search_batch('{{1,2}}', -1, space => 'plane');
SELECT * FROM graphmem.vector_search_batch('{{1,2}}', ef_search => 0, space => 'plane');
SELECT * FROM graphmem.recall_check('plain');
SELECT * FROM graphmem.recall_check('plane', 0);
SELECT * FROM graphmem.recall_check('plane', match_count => 0);
SELECT * FROM graphmem.recall_check('plane', target_recall => 1.5);
SELECT * FROM graphmem.recall_check('plane', ef_search => 0);

-- their codes
CREATE FUNCTION state(q text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE q;
	RETURN 'none';
EXCEPTION WHEN OTHERS THEN
	RETURN sqlstate;
END $$;
SELECT a AS arguments, state('SELECT * FROM graphmem.vector_search(' || a || ')') FROM (VALUES
	('NULL'), ('''{1}'', space => ''plane'''), ('''{1,NULL}'''), ('''{NaN}'''), ('''{{1},{2}}'''),
	('''{0,0,0}'', space => ''texts'''), ('''{1,2}'', -1'), ('''{1,2}'', space => ''x'''),
	('''{1,2}'', max_hops => 101'), ('''{1,2}'', min_confidence => 2'), ('''{1,2}'', ef_search => 0'),
	('''{1,2}'', graph => ''x'''), ('''{1,2}''')) v(a);

DROP FUNCTION hits, state;
SELECT graphmem.drop_graph('v') > 0 AS dropped, graphmem.drop_graph('empty') >= 0 AS empty;
