--
-- Referential integrity, keys of names, graphs created and dropped
--

\set SHOW_CONTEXT never
-- The oracle: rows that refer to nothing or to another graph, by plain joins.
CREATE FUNCTION pg_temp.dangling() RETURNS TABLE (child text, rows bigint)
LANGUAGE sql AS $$
WITH facts AS (SELECT DISTINCT fact_id, graph_id FROM graphmem.triples),
items AS (
	SELECT 'entity' AS target, entity_id AS item_id, graph_id FROM graphmem.entities
	UNION ALL SELECT 'source', source_id, graph_id FROM graphmem.sources
	UNION ALL SELECT 'fact', fact_id, graph_id FROM facts)
SELECT * FROM (
	SELECT 'entities', count(*) FROM graphmem.entities c
		WHERE NOT EXISTS (SELECT FROM graphmem.graphs p WHERE p.graph_id = c.graph_id)
	UNION ALL SELECT 'triples', count(*) FROM graphmem.triples c
		WHERE NOT EXISTS (SELECT FROM graphmem.graphs p WHERE p.graph_id = c.graph_id)
		OR (c.subject_id, c.graph_id) NOT IN (SELECT entity_id, graph_id FROM graphmem.entities)
		OR (c.object_id, c.graph_id) NOT IN (SELECT entity_id, graph_id FROM graphmem.entities)
		OR (c.predicate_id, c.graph_id) NOT IN (SELECT predicate_id, graph_id FROM graphmem.predicates)
	UNION ALL SELECT 'assertions', count(*) FROM graphmem.assertions c
		WHERE (c.fact_id, c.graph_id) NOT IN (SELECT fact_id, graph_id FROM facts)
		OR (c.source_id, c.graph_id) NOT IN (SELECT source_id, graph_id FROM graphmem.sources)
	UNION ALL SELECT 'supersessions', count(*) FROM graphmem.supersessions c
		WHERE (c.old_fact_id, c.graph_id) NOT IN (SELECT fact_id, graph_id FROM facts)
		OR (c.new_fact_id IS NOT NULL AND
			(c.new_fact_id, c.graph_id) NOT IN (SELECT fact_id, graph_id FROM facts))
	UNION ALL SELECT 'aliases', count(*) FROM graphmem.aliases c
		WHERE (c.entity_id, c.graph_id) NOT IN (SELECT entity_id, graph_id FROM graphmem.entities)
	UNION ALL SELECT 'functional_keys', count(*) FROM graphmem.functional_keys c
		WHERE (c.subject_id, c.graph_id) NOT IN (SELECT entity_id, graph_id FROM graphmem.entities)
		OR (c.predicate_id, c.graph_id) NOT IN (SELECT predicate_id, graph_id FROM graphmem.predicates)
	UNION ALL SELECT 'accesses', count(*) FROM graphmem.accesses c
		WHERE (c.entity_id, c.graph_id) NOT IN (SELECT entity_id, graph_id FROM graphmem.entities)
	UNION ALL SELECT 'activations', count(*) FROM graphmem.activations c
		WHERE (c.entity_id, c.graph_id) NOT IN (SELECT entity_id, graph_id FROM graphmem.entities)
	UNION ALL SELECT 'topology_vectors', count(*) FROM graphmem.topology_vectors c
		LEFT JOIN graphmem.vector_spaces s USING (space_id)
		WHERE s.space_id IS NULL OR s.graph_id <> c.graph_id
		OR (c.entity_id, c.graph_id) NOT IN (SELECT entity_id, graph_id FROM graphmem.entities)
	UNION ALL SELECT 'embeddings', count(*) FROM graphmem.embeddings c
		LEFT JOIN graphmem.vector_spaces s USING (space_id)
		WHERE s.space_id IS NULL OR s.graph_id <> c.graph_id
		OR (s.target, c.item_id, c.graph_id) NOT IN (SELECT target, item_id, graph_id FROM items)) AS all_of (child, n)
WHERE n > 0
$$;

-- Rows per table of the graphs of this test.
CREATE FUNCTION pg_temp.contents() RETURNS TABLE (child text, rows bigint)
LANGUAGE plpgsql AS $$
BEGIN
	FOREACH child IN ARRAY '{entities,predicates,triples,sources,assertions,supersessions,aliases,functional_keys,accesses,activations,vector_spaces,embeddings}'::text[]
	LOOP
		EXECUTE format('SELECT count(*) FROM graphmem.%I WHERE graph_id BETWEEN 900001 AND 900009', child) INTO rows;
		RETURN NEXT;
	END LOOP;
	child := 'topology_vectors';
	SELECT count(*) INTO rows FROM graphmem.topology_vectors WHERE space_id BETWEEN 900001 AND 900009;
	RETURN NEXT;
END
$$;

--
-- Keys of names
--

-- equal keys exactly for equal names
WITH names (name, type) AS (VALUES
	('a', NULL), ('a', ''), ('a', 'b'), ('ab', ''), ('ab', NULL), ('', 'ab'), ('', NULL), ('', ''),
	('b', 'a'), (E'\x01', NULL), (repeat('x', 199), NULL), (repeat('x', 200), NULL), (repeat('x', 201), NULL),
	(repeat('x', 100), repeat('x', 100)), (repeat('x', 99), repeat('x', 101)),
	(repeat('x', 200), 'x'), (repeat('x', 200), ''), (repeat('x', 201), ''), (repeat('x', 199), 'xx'),
	(repeat('x', 10000), NULL), (repeat('x', 10001), NULL), ('x', repeat('x', 10000)), ('', repeat('x', 10001)))
SELECT count(*) AS names, count(DISTINCT graphmem.name_key(name, type)) AS keys,
	max(length(graphmem.name_key(name, type))) AS longest,
	bool_and(graphmem.name_key(name, type) = graphmem.name_key(name || '', type || '')) AS stable
FROM names;
SELECT graphmem.name_key('ab', 'c'), graphmem.name_key('ab'), graphmem.name_key(NULL) IS NULL AS none;

--
-- Graphs
--

SELECT graphmem.create_graph('integrity') > 0 AS created;
SELECT graphmem.create_graph('integrity');
\echo :LAST_ERROR_SQLSTATE
SELECT graphmem.create_graph('integrity pinned', 'pinned', '{"a": 1}') > 0 AS created;
SELECT name, residency, settings FROM graphmem.graphs WHERE name LIKE 'integrity%' ORDER BY name;
SELECT graphmem.create_graph('integrity x', 'always');
\echo :LAST_ERROR_SQLSTATE
SELECT graphmem.create_graph('integrity x', NULL, '[]');
\echo :LAST_ERROR_SQLSTATE
SELECT graphmem.create_graph('');
\echo :LAST_ERROR_SQLSTATE
SELECT graphmem.create_graph(repeat('x', 1001));
\echo :LAST_ERROR_SQLSTATE
SELECT graphmem.create_graph(NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT graphmem.drop_graph('integrity'), graphmem.drop_graph('integrity pinned');
SELECT graphmem.drop_graph('integrity');
\echo :LAST_ERROR_SQLSTATE
SELECT graphmem.drop_graph(NULL);
\echo :LAST_ERROR_SQLSTATE

--
-- Two graphs, 900001 and 900002
--

INSERT INTO graphmem.graphs (graph_id, name) VALUES (900001, 'integrity 1'), (900002, 'integrity 2');
INSERT INTO graphmem.entities (entity_id, graph_id, name)
	SELECT 900000 + i, CASE WHEN i <= 10 THEN 900001 ELSE 900002 END, 'e' || i FROM generate_series(1, 12) i;
INSERT INTO graphmem.predicates (predicate_id, graph_id, name)
	VALUES (900001, 900001, 'p'), (900002, 900001, 'q'), (900003, 900002, 'p');
INSERT INTO graphmem.sources (source_id, graph_id, name)
	VALUES (900001, 900001, 's'), (900002, 900001, 't'), (900003, 900002, 's');
INSERT INTO graphmem.triples (triple_id, fact_id, graph_id, subject_id, predicate_id, object_id, expired_at)
	VALUES (900001, 900001, 900001, 900001, 900001, 900002, '2100-01-01'),
		(900002, 900001, 900001, 900001, 900001, 900002, 'infinity'),
		(900003, 900003, 900001, 900002, 900001, 900003, 'infinity'),
		(900004, 900004, 900002, 900011, 900003, 900012, 'infinity');
INSERT INTO graphmem.vector_spaces (space_id, graph_id, name, target, dim, metric)
	VALUES (900001, 900001, 'of entities', 'entity', 3, 'cosine'), (900002, 900001, 'of facts', 'fact', 3, 'l2'),
		(900003, 900001, 'of sources', 'source', 3, 'ip'), (900004, 900002, 'other', 'entity', 3, 'cosine');
INSERT INTO graphmem.vector_spaces (space_id, graph_id, name, dim, origin) VALUES (900005, 900001, 'computed', 3, 'topology');

--
-- Child side: every reference, absent and of the other graph
--

INSERT INTO graphmem.entities (graph_id, name) VALUES (900003, 'x');
\echo :LAST_ERROR_SQLSTATE
INSERT INTO graphmem.triples (graph_id, subject_id, predicate_id, object_id) VALUES (900003, 900001, 900001, 900003);
INSERT INTO graphmem.triples (graph_id, subject_id, predicate_id, object_id) VALUES (900001, 900099, 900001, 900002);
INSERT INTO graphmem.triples (graph_id, subject_id, predicate_id, object_id) VALUES (900001, 900011, 900001, 900002);
\echo :LAST_ERROR_SQLSTATE
INSERT INTO graphmem.triples (graph_id, subject_id, predicate_id, object_id) VALUES (900001, 900001, 900001, 900099);
INSERT INTO graphmem.triples (graph_id, subject_id, predicate_id, object_id) VALUES (900001, 900001, 900001, 900011);
INSERT INTO graphmem.triples (graph_id, subject_id, predicate_id, object_id) VALUES (900001, 900001, 900099, 900002);
INSERT INTO graphmem.triples (graph_id, subject_id, predicate_id, object_id) VALUES (900001, 900001, 900003, 900002);
INSERT INTO graphmem.assertions (graph_id, fact_id, source_id) VALUES (900003, 900001, 900001);
INSERT INTO graphmem.assertions (graph_id, fact_id, source_id) VALUES (900001, 900002, 900001);
INSERT INTO graphmem.assertions (graph_id, fact_id, source_id) VALUES (900001, 900004, 900001);
INSERT INTO graphmem.assertions (graph_id, fact_id, source_id) VALUES (900001, 900001, 900099);
INSERT INTO graphmem.assertions (graph_id, fact_id, source_id) VALUES (900001, 900001, 900003);
INSERT INTO graphmem.supersessions (graph_id, old_fact_id, old_triple_id) VALUES (900001, 900099, 900001);
INSERT INTO graphmem.supersessions (graph_id, old_fact_id, new_fact_id, old_triple_id) VALUES (900001, 900001, 900099, 900001);
INSERT INTO graphmem.supersessions (graph_id, old_fact_id, new_fact_id, old_triple_id) VALUES (900001, 900001, 900004, 900001);
INSERT INTO graphmem.aliases (graph_id, name, entity_id) VALUES (900001, 'x', 900099);
INSERT INTO graphmem.aliases (graph_id, name, entity_id) VALUES (900001, 'x', 900011);
INSERT INTO graphmem.functional_keys (graph_id, subject_id, predicate_id) VALUES (900001, 900099, 900001);
INSERT INTO graphmem.functional_keys (graph_id, subject_id, predicate_id) VALUES (900001, 900001, 900099);
INSERT INTO graphmem.functional_keys (graph_id, subject_id, predicate_id) VALUES (900001, 900001, 900003);
INSERT INTO graphmem.accesses (graph_id, entity_id) VALUES (900001, 900099);
INSERT INTO graphmem.accesses (graph_id, entity_id) VALUES (900001, 900011);
INSERT INTO graphmem.activations (graph_id, session, entity_id) VALUES (900001, 'x', 900099);
INSERT INTO graphmem.activations (graph_id, session, entity_id) VALUES (900001, 'x', 900011);
\set VERBOSITY sqlstate
INSERT INTO graphmem.topology_vectors (space_id, entity_id, graph_id, embedding) VALUES (900099, 900001, 900001, '{1,2,3}');
INSERT INTO graphmem.predicates (graph_id, name) VALUES (900003, 'p');
INSERT INTO graphmem.sources (graph_id, name) VALUES (900003, 's');
INSERT INTO graphmem.merges (graph_id, kept_id, gone_id, gone_name) VALUES (900003, 900001, 900002, 'gone');
INSERT INTO graphmem.merge_rows (merge_id, graph_id, relation, row_id, other_id, change) VALUES (-1, 900001, 'facts', 1, 2, 'joined');
\echo :LAST_ERROR_SQLSTATE
INSERT INTO graphmem.supersessions (graph_id, old_fact_id, old_triple_id) VALUES (900003, 900001, 900001);
INSERT INTO graphmem.vector_spaces (graph_id, name, dim) VALUES (900003, 'v', 3);
\set VERBOSITY default
INSERT INTO graphmem.topology_vectors (space_id, entity_id, graph_id, embedding) VALUES (900005, 900099, 900001, '{1,2,3}');
INSERT INTO graphmem.topology_vectors (space_id, entity_id, graph_id, embedding) VALUES (900005, 900011, 900001, '{1,2,3}');
INSERT INTO graphmem.topology_vectors (space_id, entity_id, graph_id, embedding) VALUES (900005, 900001, 900002, '{1,2,3}');
INSERT INTO graphmem.topology_vectors (space_id, entity_id, graph_id, embedding) VALUES (900005, 900001, 900001, '{1,2}');
INSERT INTO graphmem.topology_vectors (space_id, entity_id, graph_id, embedding) VALUES (900005, 900001, 900001, '{0,0,0}');
INSERT INTO graphmem.topology_vectors (space_id, entity_id, graph_id, embedding) VALUES (900001, 900001, 900001, '{1,2,3}');
INSERT INTO graphmem.embeddings (graph_id, space_id, item_id, embedding) VALUES (900001, 900005, 900001, '{1,2,3}');
INSERT INTO graphmem.embeddings (graph_id, space_id, item_id, embedding) VALUES (900003, 900001, 900001, '{1,2,3}');
INSERT INTO graphmem.embeddings (graph_id, space_id, item_id, embedding) VALUES (900001, 900099, 900001, '{1,2,3}');
INSERT INTO graphmem.embeddings (graph_id, space_id, item_id, embedding) VALUES (900001, 900001, 900099, '{1,2,3}');
INSERT INTO graphmem.embeddings (graph_id, space_id, item_id, embedding) VALUES (900001, 900001, 900011, '{1,2,3}');
INSERT INTO graphmem.embeddings (graph_id, space_id, item_id, embedding) VALUES (900001, 900002, 900002, '{1,2,3}');
INSERT INTO graphmem.embeddings (graph_id, space_id, item_id, embedding) VALUES (900001, 900003, 900003, '{1,2,3}');
INSERT INTO graphmem.embeddings (graph_id, space_id, item_id, embedding) VALUES (900001, 900004, 900011, '{1,2,3}');
SELECT * FROM pg_temp.contents() WHERE rows > 0;

-- vectors
INSERT INTO graphmem.embeddings (graph_id, space_id, item_id, embedding) VALUES (900001, 900001, 900001, '{1,2}');
\echo :LAST_ERROR_SQLSTATE
INSERT INTO graphmem.embeddings (graph_id, space_id, item_id, embedding) VALUES (900001, 900001, 900001, '{}');
INSERT INTO graphmem.embeddings (graph_id, space_id, item_id, embedding) VALUES (900001, 900001, 900001, '{{1,2,3}}');
INSERT INTO graphmem.embeddings (graph_id, space_id, item_id, embedding) VALUES (900001, 900001, 900001, '{1,2,NULL}');
INSERT INTO graphmem.embeddings (graph_id, space_id, item_id, embedding) VALUES (900001, 900001, 900001, '{1,NaN,3}');
INSERT INTO graphmem.embeddings (graph_id, space_id, item_id, embedding) VALUES (900001, 900001, 900001, '{-Infinity,2,3}');
INSERT INTO graphmem.embeddings (graph_id, space_id, item_id, embedding) VALUES (900001, 900001, 900001, '{0,-0,0}');
INSERT INTO graphmem.embeddings (graph_id, space_id, item_id, embedding) VALUES
	(900001, 900001, 900001, '[0:2]={1,2,3}'), (900001, 900002, 900001, '{0,0,0}'), (900001, 900003, 900001, '{1,2,3}');
UPDATE graphmem.embeddings SET embedding = '{1,2,NaN}' WHERE space_id = 900001;
UPDATE graphmem.embeddings SET item_id = 900099 WHERE space_id = 900001;
UPDATE graphmem.embeddings SET embedding = '{1,2,4}' WHERE space_id = 900001;

-- one error among many rows undoes the statement; the lowest id is named
INSERT INTO graphmem.triples (graph_id, subject_id, predicate_id, object_id)
	SELECT 900001, 900001 + i % 12, 900001, 900004 FROM generate_series(0, 11) i;
COPY graphmem.triples (graph_id, subject_id, predicate_id, object_id) FROM stdin (DELIMITER ',');
900001,900001,900001,900004
900001,900002,900001,900099
\.
SELECT * FROM pg_temp.dangling();

-- updates
UPDATE graphmem.triples SET subject_id = 900099 WHERE triple_id = 900003;
UPDATE graphmem.triples SET object_id = object_id + 9 WHERE triple_id IN (900001, 900002, 900003);
UPDATE graphmem.triples SET predicate_id = 900002, confidence = 0.5 WHERE triple_id = 900003;
UPDATE graphmem.triples SET graph_id = 900002 WHERE triple_id = 900003;
\echo :LAST_ERROR_SQLSTATE
UPDATE graphmem.entities SET graph_id = 900002 WHERE entity_id = 900009;
UPDATE graphmem.entities SET entity_id = 900098 WHERE entity_id = 900009;
UPDATE graphmem.predicates SET graph_id = 900002 WHERE predicate_id = 900002;
UPDATE graphmem.sources SET source_id = 900098 WHERE source_id = 900002;
INSERT INTO graphmem.graphs (graph_id, name) VALUES (900004, 'integrity 4');
UPDATE graphmem.graphs SET graph_id = 900098 WHERE graph_id = 900004;
INSERT INTO graphmem.predicates (graph_id, name) VALUES (900004, 'p');
INSERT INTO graphmem.sources (graph_id, name) VALUES (900004, 's');
INSERT INTO graphmem.merges (graph_id, kept_id, gone_id, gone_name) VALUES (900004, 900001, 900002, 'gone');
INSERT INTO graphmem.merge_rows (merge_id, graph_id, relation, row_id, other_id, change)
	SELECT merge_id, graph_id, 'facts', 1, 2, 'joined' FROM graphmem.merges WHERE graph_id = 900004;
INSERT INTO graphmem.vector_spaces (graph_id, name, dim) VALUES (900004, 'v', 3);
DELETE FROM graphmem.graphs WHERE graph_id = 900004;
SELECT (SELECT count(*) FROM graphmem.predicates WHERE graph_id = 900004) AS predicates,
	(SELECT count(*) FROM graphmem.sources WHERE graph_id = 900004) AS sources,
	(SELECT count(*) FROM graphmem.merges WHERE graph_id = 900004) AS merges,
	(SELECT count(*) FROM graphmem.merge_rows WHERE graph_id = 900004) AS merge_rows,
	(SELECT count(*) FROM graphmem.vector_spaces WHERE graph_id = 900004) AS spaces;
UPDATE graphmem.vector_spaces SET target = 'source' WHERE space_id = 900001;
UPDATE graphmem.vector_spaces SET origin = 'topology' WHERE space_id = 900001;

UPDATE graphmem.vector_spaces SET name = 'renamed', quantisation = 'none' WHERE space_id = 900001;
UPDATE graphmem.entities SET name = 'renamed', entity_id = entity_id WHERE entity_id = 900009;

-- ON CONFLICT and MERGE
INSERT INTO graphmem.accesses (entity_id, graph_id) VALUES (900001, 900001), (900002, 900001);
INSERT INTO graphmem.accesses (entity_id, graph_id) VALUES (900001, 900001), (900003, 900001)
	ON CONFLICT (entity_id) DO UPDATE SET access_count = 7;
INSERT INTO graphmem.accesses (entity_id, graph_id) VALUES (900001, 900001)
	ON CONFLICT (entity_id) DO UPDATE SET entity_id = 900099;
INSERT INTO graphmem.accesses (entity_id, graph_id) VALUES (900001, 900001), (900099, 900001)
	ON CONFLICT (entity_id) DO UPDATE SET access_count = 8;
MERGE INTO graphmem.accesses a USING (VALUES (900001, 900012), (900004, 900004)) AS v (id, new_id) ON a.entity_id = v.id
	WHEN MATCHED THEN UPDATE SET entity_id = v.new_id
	WHEN NOT MATCHED THEN INSERT (entity_id, graph_id) VALUES (v.id, 900001);
MERGE INTO graphmem.accesses a USING (VALUES (900001, 900001), (900097, 900004)) AS v (id, new_id) ON a.entity_id = v.id
	WHEN MATCHED THEN UPDATE SET entity_id = v.new_id
	WHEN NOT MATCHED THEN INSERT (entity_id, graph_id) VALUES (v.id, 900001);
MERGE INTO graphmem.accesses a USING (VALUES (900001, 900005), (900004, 900004)) AS v (id, new_id) ON a.entity_id = v.id
	WHEN MATCHED THEN UPDATE SET entity_id = v.new_id
	WHEN NOT MATCHED THEN INSERT (entity_id, graph_id) VALUES (v.id, 900001);
SELECT entity_id, access_count FROM graphmem.accesses WHERE graph_id = 900001 ORDER BY 1;

-- writable CTEs: parents and children of one statement, several inserts into one table
WITH e AS (INSERT INTO graphmem.entities (entity_id, graph_id, name) VALUES (900020, 900001, 'cte') RETURNING entity_id),
t AS (INSERT INTO graphmem.triples (fact_id, graph_id, subject_id, predicate_id, object_id)
	SELECT 900020, 900001, entity_id, 900001, entity_id FROM e RETURNING fact_id)
INSERT INTO graphmem.assertions (fact_id, source_id, graph_id) SELECT fact_id, 900001, 900001 FROM t;
WITH a AS (INSERT INTO graphmem.triples (graph_id, subject_id, predicate_id, object_id) VALUES (900001, 900099, 900001, 900001)),
b AS (INSERT INTO graphmem.triples (graph_id, subject_id, predicate_id, object_id) VALUES (900001, 900001, 900001, 900001))
SELECT 1;
WITH a AS (INSERT INTO graphmem.triples (graph_id, subject_id, predicate_id, object_id) VALUES (900001, 900001, 900001, 900001)),
b AS (INSERT INTO graphmem.triples (graph_id, subject_id, predicate_id, object_id) VALUES (900001, 900001, 900001, 900098))
SELECT 1;
WITH a AS (INSERT INTO graphmem.aliases (graph_id, name, entity_id) VALUES (900001, 'cte', 900010)),
d AS (DELETE FROM graphmem.entities WHERE entity_id = 900010)
SELECT 1;
SELECT count(*) FROM graphmem.aliases WHERE name = 'cte';
SELECT * FROM pg_temp.dangling();

-- triggers of the user that write to the same table, at depth
CREATE FUNCTION pg_temp.echo() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF pg_trigger_depth() < 3 THEN
		INSERT INTO graphmem.accesses (entity_id, graph_id) VALUES (NEW.entity_id + 1, NEW.graph_id) ON CONFLICT DO NOTHING;
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER a_echo AFTER INSERT ON graphmem.accesses FOR EACH ROW EXECUTE FUNCTION pg_temp.echo();
BEGIN;
INSERT INTO graphmem.accesses (entity_id, graph_id) VALUES (900006, 900001);
SELECT entity_id FROM graphmem.accesses WHERE entity_id > 900005 ORDER BY 1;
ROLLBACK;
INSERT INTO graphmem.accesses (entity_id, graph_id) VALUES (900008, 900001);
DROP TRIGGER a_echo ON graphmem.accesses;

-- savepoints
BEGIN;
INSERT INTO graphmem.entities (entity_id, graph_id, name) VALUES (900030, 900001, 'outer');
SAVEPOINT a;
INSERT INTO graphmem.entities (entity_id, graph_id, name) VALUES (900031, 900001, 'inner');
INSERT INTO graphmem.aliases (graph_id, name, entity_id) VALUES (900001, 'inner', 900031);
ROLLBACK TO a;
INSERT INTO graphmem.aliases (graph_id, name, entity_id) VALUES (900001, 'inner', 900031);
ROLLBACK TO a;
INSERT INTO graphmem.aliases (graph_id, name, entity_id) VALUES (900001, 'outer', 900030);
SAVEPOINT b;
DELETE FROM graphmem.entities WHERE entity_id = 900030;
SELECT count(*) FROM graphmem.aliases WHERE entity_id = 900030;
ROLLBACK TO b;
SELECT count(*) FROM graphmem.aliases WHERE entity_id = 900030;
COMMIT;
DO $$
BEGIN
	BEGIN
		INSERT INTO graphmem.aliases (graph_id, name, entity_id) VALUES (900001, 'nobody', 900099);
	EXCEPTION WHEN foreign_key_violation THEN
		RAISE NOTICE '%', SQLERRM;
	END;
	INSERT INTO graphmem.aliases (graph_id, name, entity_id) VALUES (900001, 'somebody', 900001);
END $$;
SELECT name, entity_id FROM graphmem.aliases WHERE graph_id = 900001 ORDER BY 1;

--
-- Parent side
--

INSERT INTO graphmem.assertions (fact_id, source_id, graph_id)
	VALUES (900001, 900001, 900001), (900003, 900001, 900001), (900003, 900002, 900001);
INSERT INTO graphmem.supersessions (graph_id, old_fact_id, new_fact_id, old_triple_id)
	VALUES (900001, 900001, 900003, 900001), (900001, 900003, NULL, 900003), (900001, 900020, 900003, 900001);
INSERT INTO graphmem.functional_keys (graph_id, subject_id, predicate_id)
	VALUES (900001, 900001, 900001), (900001, 900008, 900002), (900001, 900009, 900002);
INSERT INTO graphmem.activations (graph_id, session, entity_id)
	VALUES (900001, 'x', 900001), (900001, 'x', 900008), (900001, 'y', 900008);
INSERT INTO graphmem.topology_vectors (space_id, entity_id, graph_id, shape, embedding)
	VALUES (900005, 900001, 900001, 7, '{1,2,3}'), (900005, 900008, 900001, NULL, '{1,2,3}');
INSERT INTO graphmem.aliases (graph_id, name, entity_id) VALUES (900001, 'eight', 900008);
INSERT INTO graphmem.embeddings (graph_id, space_id, item_id, embedding)
	VALUES (900001, 900001, 900008, '{1,2,3}'), (900001, 900002, 900003, '{1,2,3}'),
		(900001, 900003, 900002, '{1,2,3}');
SELECT * FROM pg_temp.dangling();
SELECT * FROM pg_temp.contents();

-- refused
DELETE FROM graphmem.entities WHERE entity_id = 900001;
\echo :LAST_ERROR_SQLSTATE
DELETE FROM graphmem.entities WHERE entity_id IN (900003, 900008);
DELETE FROM graphmem.predicates WHERE predicate_id = 900001;
DELETE FROM graphmem.sources WHERE source_id = 900001;
BEGIN;
DELETE FROM graphmem.triples WHERE graph_id = 900002;
DELETE FROM graphmem.graphs WHERE graph_id = 900002;
ROLLBACK;

-- an entity takes with it what is about it only
DELETE FROM graphmem.entities WHERE entity_id = 900008;
SELECT * FROM pg_temp.contents();
-- a predicate, its functional keys
DELETE FROM graphmem.triples WHERE predicate_id = 900002;
DELETE FROM graphmem.predicates WHERE predicate_id = 900002;
SELECT * FROM pg_temp.contents() WHERE child IN ('predicates', 'functional_keys');
-- the first of two versions leaves the fact, the last takes its rows
DELETE FROM graphmem.triples WHERE triple_id = 900001;
SELECT count(*) FROM graphmem.assertions WHERE fact_id = 900001;
DELETE FROM graphmem.triples WHERE triple_id = 900002;
SELECT * FROM pg_temp.contents();
-- a version does not move to another fact
UPDATE graphmem.triples SET fact_id = 900021 WHERE fact_id = 900020;
SELECT count(*) FROM graphmem.assertions WHERE fact_id = 900020;
-- sources and spaces take vectors
DELETE FROM graphmem.sources WHERE source_id = 900002;
SELECT space_id, item_id FROM graphmem.embeddings WHERE graph_id = 900001 ORDER BY 1, 2;
DELETE FROM graphmem.vector_spaces WHERE space_id = 900003;
BEGIN;
DELETE FROM graphmem.vector_spaces WHERE space_id = 900005;
SELECT rows FROM pg_temp.contents() WHERE child = 'topology_vectors';
ROLLBACK;
SELECT space_id, item_id FROM graphmem.embeddings WHERE graph_id = 900001 ORDER BY 1, 2;
SELECT * FROM pg_temp.dangling();

--
-- TRUNCATE, with nothing but this test's rows
--

BEGIN;
INSERT INTO graphmem.triples (fact_id, graph_id, subject_id, predicate_id, object_id) VALUES (900005, 900001, 900005, 900001, 900005);
INSERT INTO graphmem.assertions (fact_id, source_id, graph_id) VALUES (900005, 900001, 900001);
SAVEPOINT a;
TRUNCATE graphmem.entities;
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO a;
TRUNCATE graphmem.predicates;
ROLLBACK TO a;
TRUNCATE graphmem.sources;
ROLLBACK TO a;
TRUNCATE graphmem.triples;
ROLLBACK TO a;
SET LOCAL client_min_messages = warning;
TRUNCATE graphmem.graphs CASCADE;
ROLLBACK TO a;
TRUNCATE graphmem.triples, graphmem.assertions, graphmem.supersessions;
DELETE FROM graphmem.embeddings m USING graphmem.vector_spaces v WHERE v.space_id = m.space_id AND v.target = 'entity';
SAVEPOINT a;
TRUNCATE graphmem.vector_spaces, graphmem.topology_vectors, graphmem.embeddings;
TRUNCATE graphmem.entities;
ROLLBACK TO a;
TRUNCATE graphmem.entities, graphmem.aliases, graphmem.functional_keys, graphmem.accesses, graphmem.activations,
	graphmem.topology_vectors;
TRUNCATE graphmem.predicates, graphmem.sources;
SELECT * FROM pg_temp.dangling();
ROLLBACK;

--
-- drop_graph
--

INSERT INTO graphmem.merges (graph_id, kept_id, gone_id, gone_name) VALUES (900001, 900001, 900002, 'gone');
INSERT INTO graphmem.triples (graph_id, subject_id, predicate_id, object_id)
	SELECT 900001, e.entity_id, 900001, o.entity_id FROM graphmem.entities e, graphmem.entities o
	WHERE e.graph_id = 900001 AND o.graph_id = 900001 AND o.entity_id > 900003
	ON CONFLICT DO NOTHING;
SELECT count(*) AS triples FROM graphmem.triples WHERE graph_id = 900001 \gset

-- what is inserted into the graph on the way is refused, and nothing lost
CREATE FUNCTION pg_temp.meddle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO graphmem.accesses (graph_id, entity_id) VALUES (900001, 900001) ON CONFLICT DO NOTHING;
	RETURN NULL;
END $$;
CREATE TRIGGER z_meddle AFTER DELETE ON graphmem.triples EXECUTE FUNCTION pg_temp.meddle();
SELECT graphmem.drop_graph('integrity 1');
DROP TRIGGER z_meddle ON graphmem.triples;
SELECT count(*) = :triples AS kept FROM graphmem.triples WHERE graph_id = 900001;
-- an error within ends the dropping
DELETE FROM graphmem.entities WHERE entity_id = 900001;

-- privileges and row security of the caller
CREATE ROLE regress_graphmem_integrity;
GRANT USAGE ON SCHEMA graphmem TO regress_graphmem_integrity;
GRANT SELECT ON ALL TABLES IN SCHEMA graphmem TO regress_graphmem_integrity;
SET ROLE regress_graphmem_integrity;
SELECT graphmem.create_graph('integrity 3');
\echo :LAST_ERROR_SQLSTATE
SELECT graphmem.drop_graph('integrity 1');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
GRANT SELECT, INSERT, DELETE ON ALL TABLES IN SCHEMA graphmem TO regress_graphmem_integrity;
ALTER TABLE graphmem.triples ENABLE ROW LEVEL SECURITY;
SET ROLE regress_graphmem_integrity;
SELECT graphmem.drop_graph('integrity 1');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
ALTER TABLE graphmem.triples DISABLE ROW LEVEL SECURITY;
-- checks and cascades read and delete as the owner
REVOKE ALL ON ALL TABLES IN SCHEMA graphmem FROM regress_graphmem_integrity;
GRANT INSERT, SELECT, DELETE ON graphmem.entities TO regress_graphmem_integrity;
GRANT INSERT ON graphmem.triples, graphmem.aliases TO regress_graphmem_integrity;
SET ROLE regress_graphmem_integrity;
INSERT INTO graphmem.entities (entity_id, graph_id, name) VALUES (900040, 900001, 'forty');
INSERT INTO graphmem.aliases (graph_id, name, entity_id) VALUES (900001, 'vierzig', 900040);
INSERT INTO graphmem.triples (graph_id, subject_id, predicate_id, object_id) VALUES (900001, 900040, 900099, 900040);
DELETE FROM graphmem.entities WHERE entity_id = 900040;
RESET ROLE;
SELECT count(*) FROM graphmem.aliases WHERE name = 'vierzig';
GRANT SELECT, INSERT, DELETE ON ALL TABLES IN SCHEMA graphmem TO regress_graphmem_integrity;
SET ROLE regress_graphmem_integrity;
SELECT graphmem.create_graph('integrity 3') > 0 AS created;
SELECT graphmem.drop_graph('integrity 3');
SELECT graphmem.drop_graph('integrity 1') = :triples AS all_triples;
RESET ROLE;
DROP OWNED BY regress_graphmem_integrity;
DROP ROLE regress_graphmem_integrity;
SELECT * FROM pg_temp.contents();
SELECT graphmem.drop_graph('integrity 2');
SELECT * FROM pg_temp.contents() WHERE rows > 0;
SELECT * FROM pg_temp.dangling();

--
-- Restoring a dump: children come first, the owner's session is trusted
--

BEGIN;
SET LOCAL check_function_bodies = off;
SET LOCAL row_security = off;
SELECT set_config('search_path', '', true);
INSERT INTO graphmem.aliases (graph_id, name, entity_id) VALUES (900001, 'early', 900001);
INSERT INTO graphmem.graphs (graph_id, name) VALUES (900001, 'integrity 1');
INSERT INTO graphmem.entities (entity_id, graph_id, name) VALUES (900001, 900001, 'a');
ROLLBACK;
SET session_replication_role = replica;
INSERT INTO graphmem.aliases (graph_id, name, entity_id) VALUES (900001, 'replicated', 900001);
DELETE FROM graphmem.aliases WHERE name = 'replicated';
RESET session_replication_role;
