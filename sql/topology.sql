--
-- refresh_topology, cancel_topology and their views: small graphs of every kind
-- by every method, what is refused, estimates, privileges.
--
SET client_min_messages = warning;
\set VERBOSITY default
\set SHOW_CONTEXT never

-- other tests leave graphs behind
CREATE FUNCTION mine() RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
SELECT '{cycle,cliques,star,loops,isolated,single,none,apart,relations}'::text[] $$;

-- a graph by its edges "a b, a c, ..."
CREATE FUNCTION fill(graph text, edges text, predicate text DEFAULT 'p') RETURNS bigint LANGUAGE sql AS $$
SELECT count(graphmem.add_triple(split_part(e, ' ', 1), predicate, split_part(e, ' ', 2), graph => fill.graph))
FROM unnest(string_to_array(edges, ', ')) e
$$;

-- what a space holds: vectors, those of their length, as only finite numbers give: 1, by fastrp at most
-- the sum of its weights
CREATE VIEW held AS
SELECT g.name AS graph, v.name AS space, v.space_id, v.state, count(t.embedding) AS vectors,
	count(t.entity_id) FILTER (WHERE t.embedding IS NULL) AS none,
	count(*) FILTER (WHERE CASE v.parameters ->> 'method' WHEN 'fastrp' THEN l.length BETWEEN 0.001 AND 5.42
		ELSE abs(l.length - 1) < 1e-3 END) AS of_length,
	count(t.entity_id) FILTER (WHERE cardinality(t.embedding) <> v.dim) AS other_dim,
	count(t.entity_id) FILTER (WHERE t.shape IS NULL) AS provisional
FROM graphmem.vector_spaces v JOIN graphmem.graphs g USING (graph_id)
	LEFT JOIN graphmem.topology_vectors t USING (space_id)
	LEFT JOIN LATERAL (SELECT sqrt(sum(x::float8 * x)) AS length FROM unnest(t.embedding) x) l ON true
WHERE v.origin = 'topology' AND g.name = ANY (mine()) GROUP BY 1, 2, 3, 4;

CREATE FUNCTION cosine(graph text, space text, a text, b text) RETURNS numeric LANGUAGE sql AS $$
SELECT round(s.similarity::numeric, 3) FROM graphmem.similar(a, 1000, space => cosine.space, graph => cosine.graph) s
WHERE s.item = b
$$;

SELECT count(graphmem.create_graph(g)) FROM unnest(mine()) g;
SELECT fill('cycle', string_agg('n' || i || ' n' || (i + 1) % 12, ', ')) FROM generate_series(0, 11) i;
SELECT fill('cliques', string_agg(format('%s%s %s%s', c, i, c, j), ', ') || ', a1 b1')
FROM unnest('{a,b}'::text[]) c, generate_series(1, 6) i, generate_series(i + 1, 6) j;
SELECT fill('star', string_agg('hub leaf' || i, ', ')) FROM generate_series(1, 9) i;
SELECT fill('loops', 'a a, b b, a b, b c, c c');
SELECT fill('isolated', 'a b, b c') + count(graphmem.add_entity(x, graph => 'isolated')) FROM unnest('{alone,lonely}'::text[]) x;
-- one entity in five has no direction by FastRP in four dimensions, as its id has it
INSERT INTO graphmem.entities (entity_id, graph_id, name) SELECT 1000000007, graph_id, 'a' FROM graphmem.graphs WHERE name = 'single';
SELECT fill('single', 'a a');
SELECT graphmem.add_entity('alone', graph => 'none') > 0 AS one_without_facts;
SELECT fill('apart', 'a b, b c, c a, x y, y z, z x');
SELECT fill('relations', 'a b, b c, c d, d a'), fill('relations', 'a b, a c, b d', 'q'), fill('relations', 'b a', 'r');

--
-- Every method on every graph: nodes with a fact have a vector, others none; a
-- single node has no direction that propagation could tell
--
SELECT g.name, m.method, r.nodes, r.arcs, r.memory > 0 AS memory, r.state
FROM graphmem.graphs g, unnest('{spectral,walk,propagation,fastrp}'::text[]) WITH ORDINALITY m(method, n),
	LATERAL graphmem.refresh_topology(m.method, 4, space => m.method, graph => g.name) r
WHERE g.name = ANY (mine()) ORDER BY g.graph_id, m.n;
SELECT graph, space, state, vectors, none, of_length, other_dim, provisional FROM held
ORDER BY graph COLLATE "C", space COLLATE "C";
SELECT count(*) AS violations FROM unnest(mine()) g, LATERAL graphmem.check(g);
SELECT DISTINCT state, vectors IS NOT NULL AS counted, computed_at > now() - interval '1 hour' AS dated,
	seconds >= compute_seconds AS timed, dim, parameters ->> 'space' = space AS named
FROM graphmem.stat_topology WHERE graph = ANY (mine());

-- within a clique alike, between two of them not
SELECT m AS method, cosine('cliques', m, 'a2', 'a3') > cosine('cliques', m, 'a2', 'b2') + 0.2 AS within, cosine('cliques', m, 'a2', 'b2') < 0.7 AS between
FROM unnest('{spectral,walk,propagation,fastrp}'::text[]) m;
-- of the two triangles nobody is between
SELECT m AS method, cosine('apart', m, 'a', 'b') > cosine('apart', m, 'a', 'x') AS nearer
FROM unnest('{spectral,walk,propagation,fastrp}'::text[]) m;
-- leaves of a star differ in nothing
SELECT m AS method, cosine('star', m, 'leaf1', 'leaf7') FROM unnest('{spectral}'::text[]) m;

--
-- The same again: the same bits; another seed: others
--
CREATE FUNCTION bits(graph text, space text) RETURNS text LANGUAGE sql AS $$
SELECT md5(string_agg(t.entity_id || ' ' || t.shape || ' ' || t.embedding::text, ' ' ORDER BY t.entity_id))
FROM graphmem.topology_vectors t JOIN graphmem.vector_spaces v USING (space_id) JOIN graphmem.graphs g ON g.graph_id = v.graph_id
WHERE g.name = bits.graph AND v.name = bits.space
$$;
CREATE TEMP TABLE before AS SELECT m, bits('cliques', m), (SELECT space_id FROM held h WHERE h.graph = 'cliques' AND h.space = m)
FROM unnest('{spectral,walk,propagation,fastrp}'::text[]) m;
SELECT m, r.state, r.method, r.dim FROM before, LATERAL graphmem.refresh_topology(space => m, graph => 'cliques') r;
SELECT m, b.bits = bits('cliques', m) AS same, b.space_id <> h.space_id AS new
FROM before b JOIN held h ON h.graph = 'cliques' AND h.space = b.m;
SELECT state FROM graphmem.refresh_topology(space => 'fastrp', seed => 9223372036854775807, graph => 'cliques');
SELECT b.bits = bits('cliques', m) AS same, (t.parameters -> 'seed')::bigint AS seed
FROM before b JOIN graphmem.stat_topology t ON t.graph = 'cliques' AND t.space = b.m WHERE m = 'fastrp';

--
-- What counts: predicates, confidence, options, and what is taken over
--
SELECT nodes, arcs FROM graphmem.refresh_topology('spectral', 2, space => 's', graph => 'relations');
SELECT nodes, arcs FROM graphmem.refresh_topology('spectral', 2, space => 's', predicates => '{q,nobody,q}', graph => 'relations');
SELECT method, dim, nodes, arcs FROM graphmem.refresh_topology(space => 's', graph => 'relations');
SELECT nodes, arcs FROM graphmem.refresh_topology(space => 's', predicates => '{}', graph => 'relations');
SELECT vectors FROM held WHERE graph = 'relations' AND space = 's';
SELECT nodes, arcs FROM graphmem.refresh_topology('walk', 2, space => 's', weighted => true,
	options => '{"window": 3, "normalize": false}', graph => 'relations');
SELECT method, dim FROM graphmem.refresh_topology(space => 's', options => '{"negative": 2}', graph => 'relations');
SELECT jsonb_pretty(parameters - '{blas,seconds,compute_seconds,computed_at,memory,members}'::text[])
FROM graphmem.stat_topology WHERE graph = 'relations' AND space = 's';
SELECT graphmem.add_triple('a', 'p', 'never', confidence => 0, graph => 'relations') > 0 AS of_confidence_0;
SELECT nodes FROM graphmem.refresh_topology(space => 's', graph => 'relations');
SELECT nodes FROM graphmem.refresh_topology(space => 's', weighted => false, graph => 'relations');
SELECT method FROM graphmem.refresh_topology('netmf', 2, space => 's', graph => 'relations')
UNION ALL SELECT method FROM graphmem.refresh_topology('prone', 2, space => 's', graph => 'relations');
SELECT state FROM graphmem.refresh_topology('fastrp', 2, space => 's', options => '{"weights": [0.5, 0.1], "self_weight": 0.3}',
	graph => 'relations');
SELECT parameters -> 'options' AS options FROM graphmem.stat_topology WHERE graph = 'relations' AND space = 's';

-- a row without a vector says that there is none; everything else leaves it alone
SELECT count(*) FROM graphmem.graphs g JOIN graphmem.topology_vectors t USING (graph_id) JOIN graphmem.vector_spaces v USING (space_id)
WHERE g.name = 'single' AND v.name = 'propagation' AND t.embedding IS NULL AND t.shape IS NOT NULL;
SET graphmem.graph = 'single';
SELECT space, entity, cardinality(embedding) FROM graphmem.topology ORDER BY space COLLATE "C";
SELECT count(*) FROM graphmem.similar('a', 5, space => 'propagation');
UPDATE graphmem.topology_vectors t SET embedding = '{1,2,3,4}' FROM graphmem.vector_spaces v
WHERE v.space_id = t.space_id AND v.name = 'propagation' AND t.graph_id = graphmem.current_graph_id();
SELECT count(*) FROM graphmem.vector_search('{1,2,3,4}', 5, space => 'propagation');
UPDATE graphmem.topology_vectors t SET embedding = NULL FROM graphmem.vector_spaces v
WHERE v.space_id = t.space_id AND v.name = 'propagation' AND t.graph_id = graphmem.current_graph_id();
SELECT count(*) FROM graphmem.vector_search('{1,2,3,4}', 5, space => 'propagation');
SELECT count(*) AS violations FROM graphmem.check();
\set VERBOSITY terse
UPDATE graphmem.topology_vectors t SET shape = NULL FROM graphmem.vector_spaces v
WHERE v.space_id = t.space_id AND v.name = 'propagation' AND t.graph_id = graphmem.current_graph_id();
\set VERBOSITY default
SELECT graphmem.drop_vector_space('propagation') AS vectors, graphmem.drop_vector_space('fastrp') AS of_one;
RESET graphmem.graph;

-- parameters and names that somebody wrote by hand
UPDATE graphmem.vector_spaces SET parameters = parameters ||
	'{"aligned": "maybe", "nodes": 1e400, "seconds": "long", "compute_seconds": [1], "blank": {}}'
WHERE name = 'walk' AND graph_id = (SELECT graph_id FROM graphmem.graphs WHERE name = 'star');
SELECT compute_seconds, seconds FROM graphmem.stat_topology WHERE graph = 'star' AND space = 'walk';
SELECT method, state FROM graphmem.refresh_topology(space => 'walk', graph => 'star');
UPDATE graphmem.vector_spaces SET parameters = '[1]'
WHERE name = 'walk' AND graph_id = (SELECT graph_id FROM graphmem.graphs WHERE name = 'star');
SELECT method, dim, seconds FROM graphmem.stat_topology WHERE graph = 'star' AND space = 'walk';
SELECT method, state FROM graphmem.refresh_topology(space => 'walk', graph => 'star');
UPDATE graphmem.vector_spaces SET name = 'stroll'
WHERE name = 'walk' AND graph_id = (SELECT graph_id FROM graphmem.graphs WHERE name = 'star');
SELECT state FROM graphmem.refresh_topology(space => 'stroll', graph => 'star');
SELECT space, parameters ->> 'space' AS named FROM graphmem.stat_topology WHERE graph = 'star' AND space IN ('walk', 'stroll');

-- vectors of the user, smoothed: those that have none take their neighbours'
SELECT graphmem.create_vector_space('mine', 2, graph => 'isolated') > 0 AS mine;
SELECT count(graphmem.set_embedding(n, v, 'mine', graph => 'isolated'))
FROM (VALUES ('a', '{3,4}'::real[]), ('alone', '{1,0}')) e(n, v);
SELECT dim, nodes, state FROM graphmem.refresh_topology('smooth', space => 'smooth', source_space => 'mine',
	options => '{"damping": 0.25}', graph => 'isolated');
SELECT e.name, t.embedding FROM graphmem.topology_vectors t JOIN graphmem.vector_spaces v USING (space_id)
	JOIN graphmem.entities e USING (entity_id) WHERE v.name = 'smooth' ORDER BY e.name COLLATE "C";
SELECT dim FROM graphmem.refresh_topology(space => 'smooth', graph => 'isolated');

--
-- Estimates compute nothing, and see own changes
--
SELECT space, method, dim, nodes, arcs, memory > 0 AS memory, seconds > 0 AS seconds, state
FROM graphmem.refresh_topology(space => 'x', estimate => true, graph => 'cycle');
SELECT count(*) AS spaces FROM held WHERE space = 'x';
BEGIN;
SELECT fill('cycle', 'n0 more');
SELECT nodes FROM graphmem.refresh_topology(estimate => true, graph => 'cycle');
SELECT state FROM graphmem.refresh_topology(graph => 'cycle');
ROLLBACK;
BEGIN READ ONLY;
SELECT nodes FROM graphmem.refresh_topology(estimate => true, graph => 'cycle');
SELECT state FROM graphmem.refresh_topology(graph => 'cycle');
ROLLBACK;

--
-- What is refused
--
SELECT state FROM graphmem.refresh_topology('node2vec', graph => 'cycle');
SELECT state FROM graphmem.refresh_topology(dim => 0, graph => 'cycle');
SELECT state FROM graphmem.refresh_topology(dim => 513, graph => 'cycle');
SELECT state FROM graphmem.refresh_topology(space => '', graph => 'cycle');
SELECT state FROM graphmem.refresh_topology(graph => 'nowhere');
SELECT state FROM graphmem.refresh_topology(predicates => '{nobody}', graph => 'cycle');
SELECT state FROM graphmem.refresh_topology(predicates => '{NULL}', graph => 'cycle');
SELECT state FROM graphmem.refresh_topology(space => 'mine', graph => 'isolated');
SELECT state FROM graphmem.refresh_topology('spectral', options => '[]', graph => 'cycle');
SELECT state FROM graphmem.refresh_topology('spectral', options => '{"window": 3}', graph => 'cycle');
SELECT state FROM graphmem.refresh_topology('walk', options => '{"windows": 3}', graph => 'cycle');
SELECT state FROM graphmem.refresh_topology('walk', options => '{"window": 0}', graph => 'cycle');
SELECT state FROM graphmem.refresh_topology('walk', options => '{"window": 2.5}', graph => 'cycle');
SELECT state FROM graphmem.refresh_topology('walk', options => '{"window": "3"}', graph => 'cycle');
SELECT state FROM graphmem.refresh_topology('walk', options => '{"window": null}', graph => 'cycle');
SELECT state FROM graphmem.refresh_topology('walk', options => '{"window": [3]}', graph => 'cycle');
SELECT state FROM graphmem.refresh_topology('walk', options => '{"align": 1}', graph => 'cycle');
SELECT state FROM graphmem.refresh_topology('propagation', options => '{"mu": 1e400}', graph => 'cycle');
SELECT state FROM graphmem.refresh_topology('fastrp', options => '{"weights": 1}', graph => 'cycle');
SELECT state FROM graphmem.refresh_topology('fastrp', options => '{"weights": [1, "2"]}', graph => 'cycle');
SELECT state FROM graphmem.refresh_topology('smooth', graph => 'isolated');
SELECT state FROM graphmem.refresh_topology('smooth', source_space => 'nowhere', graph => 'isolated');
SELECT state FROM graphmem.refresh_topology('smooth', source_space => 'smooth', graph => 'isolated');
SELECT state FROM graphmem.refresh_topology('smooth', 3, source_space => 'mine', graph => 'isolated');
SELECT state FROM graphmem.refresh_topology('spectral', source_space => 'mine', graph => 'isolated');
SELECT graphmem.create_vector_space('spectral', 2, graph => 'cycle');
-- what is asked for must not be longer than 8191 bytes as JSON
SELECT count(graphmem.add_triple('n0', repeat('x', 900) || i, 'n1', graph => 'cycle')) FROM generate_series(1, 12) i;
SELECT state FROM graphmem.refresh_topology(predicates => (SELECT array_agg(repeat('x', 900) || i) FROM generate_series(1, 12) i), graph => 'cycle');

--
-- Privileges: reads of every table, writes of two; asking and cancelling
--
CREATE ROLE regress_topology_reader;
CREATE ROLE regress_topology_writer IN ROLE regress_topology_reader;
GRANT USAGE ON SCHEMA graphmem TO regress_topology_reader;
SET ROLE regress_topology_writer;
SELECT state FROM graphmem.refresh_topology(graph => 'cycle');
RESET ROLE;
GRANT SELECT ON ALL TABLES IN SCHEMA graphmem TO regress_topology_reader;
SET ROLE regress_topology_writer;
SELECT state FROM graphmem.refresh_topology(estimate => true, graph => 'cycle');
SELECT state FROM graphmem.refresh_topology(graph => 'cycle');
RESET ROLE;
GRANT INSERT, UPDATE, DELETE ON graphmem.vector_spaces TO regress_topology_writer;
SET ROLE regress_topology_writer;
SELECT state FROM graphmem.refresh_topology(graph => 'cycle');
RESET ROLE;
GRANT INSERT, UPDATE, DELETE ON graphmem.topology_vectors TO regress_topology_writer;
SET ROLE regress_topology_writer;
SELECT state FROM graphmem.refresh_topology('spectral', 4, graph => 'cycle');
SELECT graphmem.cancel_topology(graph => 'cycle') AS nothing_to_cancel;
SELECT graphmem.cancel_topology(graph => 'nowhere');
RESET ROLE;
ALTER TABLE graphmem.entities ENABLE ROW LEVEL SECURITY;
SET ROLE regress_topology_writer;
SELECT state FROM graphmem.refresh_topology(graph => 'cycle');
RESET ROLE;
ALTER TABLE graphmem.entities DISABLE ROW LEVEL SECURITY;
SELECT count(*) AS jobs FROM graphmem.stat_progress_topology;

-- a computed space is dropped as any other
SELECT graphmem.drop_vector_space('topology', graph => 'cycle') IS NOT NULL AS dropped;
SELECT count(*) AS spaces FROM held WHERE graph = 'cycle' AND space = 'topology';

DROP OWNED BY regress_topology_reader, regress_topology_writer;
DROP ROLE regress_topology_reader, regress_topology_writer;
SELECT sum(graphmem.drop_graph(g)) > 0 AS dropped FROM unnest(mine()) g;
SELECT count(*) AS spaces FROM held;
DROP VIEW held;
DROP FUNCTION fill, cosine, bits, mine;
