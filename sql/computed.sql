--
-- Computed vector spaces: what memory makes of rows that another process writes
--

\set SHOW_CONTEXT never
SELECT graphmem.create_graph('computed') AS graph_id \gset
SET graphmem.graph = 'computed';
SELECT count(graphmem.add_triple('n' || i, 'next', 'n' || i % 8 + 1)) AS facts FROM generate_series(1, 8) i;
CREATE FUNCTION pg_temp.fill(space int, graph int, shift int) RETURNS bigint LANGUAGE sql AS $$
	WITH filled AS (
		INSERT INTO graphmem.topology_vectors (space_id, entity_id, graph_id, shape, embedding)
		SELECT space, e.entity_id, graph, 1, ARRAY[(substr(e.name, 2)::int * 7 + shift) % 8 + 1, 1]
		FROM graphmem.entities e WHERE e.graph_id = graph RETURNING 1)
	SELECT count(*) FROM filled $$;
-- the two nearest of n1, by the image in memory and by the table itself
CREATE FUNCTION pg_temp.near(name text) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(item, ' ' ORDER BY rank) FROM graphmem.similar('n1', 2, space => name) $$;
CREATE FUNCTION pg_temp.truth(name text) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(n, ' ' ORDER BY c, i) FROM (
		SELECT e.name AS n, e.entity_id AS i, 1 - (q.embedding[1] * v.embedding[1] + 1)
			/ sqrt((q.embedding[1] ^ 2 + 1) * (v.embedding[1] ^ 2 + 1)) AS c
		FROM graphmem.vector_spaces s JOIN graphmem.topology_vectors v USING (space_id)
			JOIN graphmem.entities e USING (entity_id),
			LATERAL (SELECT w.embedding FROM graphmem.topology_vectors w JOIN graphmem.entities x USING (entity_id)
				WHERE w.space_id = s.space_id AND x.name = 'n1') q
		WHERE s.name = truth.name AND s.graph_id = graphmem.current_graph_id() AND e.name <> 'n1'
		ORDER BY 3, 2 LIMIT 2) t $$;

INSERT INTO graphmem.vector_spaces (graph_id, name, dim, origin) VALUES (:graph_id, 'topology', 2, 'topology')
	RETURNING space_id AS first \gset
SELECT pg_temp.fill(:first, :graph_id, 0) AS rows;
SELECT pg_temp.near('topology'), pg_temp.near('topology') = pg_temp.truth('topology') AS same;
SELECT * FROM graphmem.check('computed');

-- it is meant by its name only
SELECT count(*) AS rows FROM graphmem.similar('n1');
SELECT count(*) AS rows FROM graphmem.vector_search('{1,1}');
SELECT count(*) AS rows FROM graphmem.vector_search('{1,1}', 3, space => 'topology');
SELECT count(*) AS rows FROM graphmem.fusion_query('{1,1}', seeds => '{n1}') WHERE vector_score > 0;
SELECT graphmem.create_vector_space('mine', 2) > 0 AS created;
SELECT graphmem.set_embedding('n5', '{1,0}') > 0 AS written;
SELECT item FROM graphmem.vector_search('{1,1}');
SELECT entity FROM graphmem.fusion_query('{1,1}') WHERE vector_score > 0;
SELECT part, items FROM graphmem.estimate_memory() WHERE part = 'vectors';

-- and written by nobody else
SELECT graphmem.set_embedding('n1', '{1,0}', 'topology');
\echo :LAST_ERROR_SQLSTATE
SELECT graphmem.set_embeddings('{n1}', '{1,0}', 2, 'topology');
INSERT INTO graphmem.vectors (item, embedding, space) VALUES ('n1', '{1,0}', 'topology');
INSERT INTO graphmem.embeddings (graph_id, space_id, item_id, embedding) VALUES (:graph_id, :first, 1, '{1,0}');
\echo :LAST_ERROR_SQLSTATE
SELECT graphmem.create_vector_space('topology', 2);
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY terse
INSERT INTO graphmem.vector_spaces (graph_id, name, dim, origin, target) VALUES (:graph_id, 'x', 2, 'topology', 'fact');
INSERT INTO graphmem.vector_spaces (graph_id, name, dim, origin, full_precision) VALUES (:graph_id, 'x', 2, 'topology', 'table');
INSERT INTO graphmem.vector_spaces (graph_id, name, dim, state) VALUES (:graph_id, 'x', 2, 'computing');
\set VERBOSITY default

-- one that is being computed cannot be searched yet
BEGIN;
INSERT INTO graphmem.vector_spaces (graph_id, name, dim, origin, state) VALUES (:graph_id, '~topology', 2, 'topology', 'computing')
	RETURNING space_id AS unfinished \gset
SELECT pg_temp.fill(:unfinished, :graph_id, 3) AS rows;
SAVEPOINT a;
SELECT pg_temp.near('~topology');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO a;
UPDATE graphmem.vector_spaces SET state = 'ready' WHERE space_id = :unfinished;
SELECT pg_temp.near('~topology'), pg_temp.near('~topology') = pg_temp.truth('~topology') AS same;
ROLLBACK;

-- the new one takes the place of the old one: seen by the transaction itself, taken back with it
INSERT INTO graphmem.vector_spaces (graph_id, name, dim, origin) VALUES (:graph_id, 'next', 2, 'topology')
	RETURNING space_id AS second \gset
SELECT pg_temp.fill(:second, :graph_id, 3) AS rows;
SELECT * FROM graphmem.check('computed');
BEGIN;
SELECT graphmem.add_triple('n1', 'next', 'n9') > 0 AS added;
INSERT INTO graphmem.topology_vectors (space_id, entity_id, graph_id, embedding)
	SELECT :second, entity_id, graph_id, '{9,1}' FROM graphmem.entities WHERE name = 'n9';
SELECT pg_temp.near('topology');
SAVEPOINT a;
DELETE FROM graphmem.vector_spaces WHERE space_id = :first;
SELECT pg_temp.near('topology');
ROLLBACK TO a;
SELECT pg_temp.near('topology'), pg_temp.near('topology') = pg_temp.truth('topology') AS same;
DELETE FROM graphmem.vector_spaces WHERE space_id = :first;
UPDATE graphmem.vector_spaces SET name = 'topology' WHERE space_id = :second;
SELECT pg_temp.near('topology'), pg_temp.near('topology') = pg_temp.truth('topology') AS same;
ROLLBACK;
SELECT pg_temp.near('topology'), pg_temp.near('topology') = pg_temp.truth('topology') AS same;
BEGIN;
DELETE FROM graphmem.vector_spaces WHERE space_id = :first;
UPDATE graphmem.vector_spaces SET name = 'topology' WHERE space_id = :second;
COMMIT;
SELECT pg_temp.near('topology'), pg_temp.near('topology') = pg_temp.truth('topology') AS same;
SELECT count(*) AS rows FROM graphmem.topology_vectors WHERE space_id = :first;
SELECT * FROM graphmem.check('computed');

-- deleted and made again under its id, at once
BEGIN;
DELETE FROM graphmem.vector_spaces WHERE space_id = :second;
INSERT INTO graphmem.vector_spaces (space_id, graph_id, name, dim, origin) VALUES (:second, :graph_id, 'topology', 2, 'topology');
INSERT INTO graphmem.topology_vectors (space_id, entity_id, graph_id, embedding)
	SELECT :second, entity_id, graph_id, '{2,1}' FROM graphmem.entities WHERE graph_id = :graph_id AND name IN ('n1', 'n7');
SELECT pg_temp.near('topology');
COMMIT;
SELECT pg_temp.near('topology');
SELECT * FROM graphmem.check('computed');

-- a node that goes takes its vector along; single rows change like any others
UPDATE graphmem.topology_vectors SET embedding = '{5,1}', shape = NULL WHERE space_id = :second;
SELECT item, round(similarity::numeric, 4) AS similarity FROM graphmem.similar('n1', space => 'topology');
SELECT vectors FROM graphmem.stat_graph WHERE graph = 'computed';
SELECT count(*) > 0 AS forgotten FROM graphmem.forget_entity('n7');
SELECT pg_temp.near('topology'), (SELECT count(*) FROM graphmem.topology_vectors WHERE space_id = :second) AS rows;
SELECT * FROM graphmem.check('computed');

-- who may read the other tables but not this one
CREATE ROLE regress_graphmem_computed;
GRANT SELECT ON ALL TABLES IN SCHEMA graphmem TO regress_graphmem_computed;
SET ROLE regress_graphmem_computed;
SELECT count(*) AS rows FROM graphmem.vector_search('{1,1}', space => 'topology');
RESET ROLE;
REVOKE SELECT ON graphmem.topology_vectors FROM regress_graphmem_computed;
SET ROLE regress_graphmem_computed;
SELECT count(*) AS rows FROM graphmem.vector_search('{1,1}', space => 'topology');
SELECT count(*) AS rows FROM graphmem.vector_search('{1,1}', space => 'mine');
RESET ROLE;
DROP OWNED BY regress_graphmem_computed;
DROP ROLE regress_graphmem_computed;

SELECT graphmem.drop_vector_space('topology');
SELECT graphmem.drop_vector_space('topology');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM graphmem.check('computed');
INSERT INTO graphmem.vector_spaces (graph_id, name, dim, origin) VALUES (:graph_id, 'topology', 2, 'topology')
	RETURNING space_id AS third \gset
SELECT pg_temp.fill(:third, :graph_id, 1) AS rows;
SELECT graphmem.drop_graph('computed');
SELECT count(*) AS rows FROM graphmem.topology_vectors WHERE graph_id = :graph_id;
