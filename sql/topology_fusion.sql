--
-- The topology leg of fusion_query, the view topology, and searches of computed
-- spaces, whose rows are made by hand here.  The scoring itself is checked
-- against an oracle in test/unit/test_fusion.c.
--
SET client_min_messages = warning;
SELECT graphmem.create_graph('tf') > 0 AS created;
SET graphmem.graph = 'tf';
\set SHOW_CONTEXT never

SELECT count(graphmem.add_triple(s, 'knows', o, confidence => 0.5)) FROM (VALUES
	('a', 'b'), ('b', 'c'), ('c', 'd'), ('x', 'y'), ('y', 'z')) f(s, o);
SELECT graphmem.add_entity('x', 'person') > 0 AS x, graphmem.add_entity('hermit') > 0 AS hermit;

CREATE FUNCTION fused(seeds text[], w real DEFAULT 1, v real[] DEFAULT NULL, kinds text[] DEFAULT NULL,
	predicates text[] DEFAULT NULL, k int DEFAULT 10, g real DEFAULT 0, c real DEFAULT 0)
RETURNS TABLE (rank bigint, entity text, score numeric, vector numeric, graph numeric,
	topology numeric, confidence numeric, hops int, path text)
LANGUAGE sql AS $$
SELECT f.rank, f.entity, round(f.score::numeric, 3), round(f.vector_score::numeric, 3),
	round(f.graph_score::numeric, 3), round(f.topology_score::numeric, 3),
	round(f.confidence::numeric, 3), f.hops, f.path
FROM graphmem.fusion_query(v, NULL, seeds, k, kinds => kinds, predicates => predicates,
	graph_weight => g, confidence_weight => c, topology_weight => w, method => 'hops', damping => 0.5,
	exact => true) f ORDER BY f.rank
$$;

-- by name, as a computation would store them: shape NULL is provisional
CREATE FUNCTION computed(space text, dim int, state text DEFAULT 'ready') RETURNS int LANGUAGE sql AS $$
INSERT INTO graphmem.vector_spaces (graph_id, name, dim, origin, state)
VALUES (graphmem.current_graph_id(), space, dim, 'topology', state) RETURNING space_id
$$;
CREATE FUNCTION place(in_space text, entity text, v real[], s bigint DEFAULT 7) RETURNS bigint LANGUAGE sql AS $$
INSERT INTO graphmem.topology_vectors (space_id, entity_id, graph_id, shape, embedding)
SELECT p.space_id, e.entity_id, p.graph_id, s, v
FROM graphmem.vector_spaces p JOIN graphmem.entities e USING (graph_id)
WHERE p.graph_id = graphmem.current_graph_id() AND p.name = in_space AND e.name = entity
RETURNING entity_id
$$;

--
-- Without a computed space the leg is not there
--
SELECT entity, score, topology FROM fused('{a}', c => 1);
SELECT * FROM fused('{a}');
SELECT count(*) FROM graphmem.topology;

--
-- Spaces: "topology", else the only one that is complete
--
SELECT computed('drawn', 2) > 0 AS drawn;
SELECT count(place('drawn', e, v, s)) FROM (VALUES ('a', '{4,0}'::real[], 7), ('b', '{0,1}', 7),
	('c', '{0,-1}', 7), ('x', '{3,4}', 7), ('z', '{1,0}', NULL)) p(e, v, s);
SELECT * FROM fused('{a}');
SELECT computed('half made', 2, 'computing') > 0 AS half_made;
SELECT count(place('half made', e, '{1,1}')) FROM unnest('{a,b,c}'::text[]) e;
SELECT entity, topology FROM fused('{a}', k => 2);
SELECT count(*) FROM graphmem.similar('a', space => 'half made');
SELECT computed('other', 3) > 0 AS other;
SELECT entity, topology FROM fused('{a}', c => 1, k => 2);
SELECT count(place('other', e, v)) FROM (VALUES ('a', '{1,0,0}'::real[]), ('d', '{1,0,0}')) p(e, v);
UPDATE graphmem.vector_spaces SET name = 'topology'
WHERE graph_id = graphmem.current_graph_id() AND name = 'other';
SELECT entity, topology FROM fused('{a}', k => 2);
SELECT graphmem.drop_vector_space('topology') AS vectors;

--
-- Candidates: near by topology, with the path that leads there, or none
--
SELECT * FROM fused('{a}', g => 1, c => 1);
SELECT entity, topology, hops, path FROM fused('{a}', predicates => '{}');
SELECT entity, topology, hops FROM fused('{a}', kinds => '{person}');
-- two starting points: the mean of their directions
SELECT entity, topology FROM fused('{a,b}');
-- one of them without a vector; none with one; opposite ones
SELECT entity, topology FROM fused('{hermit,b}');
SELECT entity, score, topology FROM fused('{hermit}', c => 1);
SELECT entity, score, topology FROM fused('{hermit}');
SELECT count(*) AS rows, count(topology) AS legs, max(score) FROM fused('{b,c}');
-- no more than graphmem.vector_candidates of them
SET graphmem.vector_candidates = 1;
SELECT entity, topology, hops FROM fused('{a}', k => 1);
SELECT entity, topology, hops FROM fused('{y}', k => 3);
RESET graphmem.vector_candidates;
-- from vectors
SELECT count(graphmem.set_embedding(e, v)) FROM (VALUES ('a', '{1,0,0}'::real[]), ('d', '{0,1,0}')) p(e, v);
SET graphmem.vector_candidates = 1;
SELECT entity, score, vector, topology FROM fused(NULL, v => '{1,0,0}', k => 3);
RESET graphmem.vector_candidates;
-- the default, and off
SELECT bool_and(topology_score IS NULL) AS off FROM graphmem.fusion_query(seeds => '{a}');
SET graphmem.topology_weight = 1;
SELECT entity, round(topology_score::numeric, 3) AS topology FROM graphmem.fusion_query(seeds => '{a}', match_count => 2);
RESET graphmem.topology_weight;

--
-- Changes of this transaction, and a private image: the same
--
CREATE TABLE rows_shared AS SELECT * FROM fused('{a,y}', g => 1, c => 1);
SELECT path FROM graphmem.stat_backend;
BEGIN ISOLATION LEVEL SERIALIZABLE;
CREATE TABLE rows_private AS SELECT * FROM fused('{a,y}', g => 1, c => 1);
SELECT path FROM graphmem.stat_backend;
COMMIT;
SELECT count(*), count(topology) AS legs FROM rows_shared;
TABLE rows_shared EXCEPT TABLE rows_private;
TABLE rows_private EXCEPT TABLE rows_shared;
BEGIN;
SELECT place('drawn', 'hermit', '{2,0}') > 0 AS placed;
SELECT entity, topology, hops FROM fused('{a}', k => 3);
SELECT path FROM graphmem.stat_backend;
ROLLBACK;
SELECT entity, topology FROM fused('{a}', k => 2);

--
-- Searches of a computed space need its name
--
SELECT item, round(similarity::numeric, 3) AS similarity FROM graphmem.similar('a', space => 'drawn');
SELECT count(*) FROM graphmem.similar('y', space => 'drawn');
SELECT count(*) FROM graphmem.similar('nobody', space => 'drawn');
SELECT item FROM graphmem.vector_search('{1,0}', 2, space => 'drawn');
SELECT query, item FROM graphmem.vector_search_batch('{{1,0},{0,1}}', 1, space => 'drawn') b(query, rank, id, item);
SELECT * FROM graphmem.vector_search('{1,0}', 2);
SELECT * FROM graphmem.similar('a', space => 'topology');
SELECT * FROM graphmem.vector_search('{1,0,0}', space => 'drawn');
-- with a vector that fits none of the user's spaces
SELECT count(*) FROM graphmem.fusion_query('{1,0}');
SELECT space, origin, state, rows, index_state FROM graphmem.stat_vector
WHERE graph = 'tf' ORDER BY space_id;
SELECT recall, advised FROM graphmem.recall_check('drawn', 3, 2);

--
-- The view
--
SELECT graph, space, entity, kind, embedding, provisional FROM graphmem.topology ORDER BY entity_id;
SELECT bool_and(t.entity = e.name) AS same FROM graphmem.topology t JOIN graphmem.entities e USING (entity_id);
CREATE ROLE regress_graphmem_topology;
SET ROLE regress_graphmem_topology;
SELECT count(*) FROM graphmem.topology;
RESET ROLE;
GRANT SELECT ON ALL TABLES IN SCHEMA graphmem TO regress_graphmem_topology;
SET ROLE regress_graphmem_topology;
SELECT count(*) FROM graphmem.topology;
SELECT entity, topology_score > 0.99 AS near
FROM graphmem.fusion_query(seeds => '{a}', topology_weight => 1, match_count => 2, graph_weight => 0);
INSERT INTO graphmem.topology (space, entity, embedding) VALUES ('drawn', 'hermit', '{1,1}');
RESET ROLE;
REVOKE SELECT ON ALL TABLES IN SCHEMA graphmem FROM regress_graphmem_topology;
DROP ROLE regress_graphmem_topology;

DROP TABLE rows_shared, rows_private;
DROP FUNCTION fused, computed, place;
SELECT graphmem.drop_graph('tf') > 0 AS dropped;
