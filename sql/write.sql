--
-- The functions that write
--
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set SHOW_CONTEXT never
SELECT graphmem.current_graph_id('no such graph');
SELECT graphmem.create_graph('write_test') > 0 AS created;
SET graphmem.graph = 'write_test';
SELECT graphmem.current_graph_id() = graphmem.current_graph_id('write_test') AS same;

-- the default graph comes with its first fact, and goes with a rollback
BEGIN;
RESET graphmem.graph;
DELETE FROM graphmem.graphs WHERE name = 'default';
SELECT graphmem.current_graph_id();
SELECT count(*) FROM graphmem.facts;
SELECT graphmem.add_triple('a', 'p', 'b') > 0 AS added;
SELECT graphmem.current_graph_id() IS NOT NULL AS there;
SELECT subject, predicate, object FROM graphmem.facts;
ROLLBACK;

-- add_triple
SELECT graphmem.add_triple('Ada', 'knows', 'Charles', source => 'letter', confidence => 0.5) AS ada \gset
SELECT graphmem.add_triple('Ada', 'knows', 'Charles') = :ada AS same;
SELECT graphmem.add_triple('Ada', 'knows', 'Charles', valid_from => '2020-01-01') = :ada AS same;
SELECT graphmem.add_triple('Ada', 'knows', 'Charles', graph => 'nowhere');
SELECT graphmem.add_triple(NULL, 'knows', 'Charles');
SELECT graphmem.add_triple('Ada', 'born', '1815', object_type => 'xsd:gYear', properties => '{"certain": true}') <> :ada AS other;
SELECT graphmem.add_triple('Ada', 'born', '1815', confidence => 'Infinity');
SELECT subject, predicate, object, object_type, confidence, properties, sources FROM graphmem.facts ORDER BY 2;
-- rows of one transaction
CREATE FUNCTION states(n int) RETURNS bigint LANGUAGE sql AS
$$ SELECT count(graphmem.add_triple('n' || i, 'next', 'n' || i + 1)) FROM generate_series(1, n) i $$;
SELECT states(100), states(100);
SELECT count(*) FROM graphmem.facts WHERE predicate = 'next';

-- add_entity
SELECT graphmem.add_entity('Ada', 'person', '{"a": 1, "b": 1}') AS ada \gset
SELECT graphmem.add_entity('Ada', properties => '{"b": 2}') = :ada AS same;
SELECT graphmem.add_entity('Ada', 'countess') = :ada AS same;
SELECT graphmem.add_entity('Ada') = :ada AS same;
SELECT graphmem.add_entity('Ada', literal_type => '@en') <> :ada AS other;
SELECT graphmem.add_entity('') > 0 AS empty;
SELECT name, kind, properties, literal_type FROM graphmem.entities
WHERE graph_id = graphmem.current_graph_id() AND name IN ('Ada', '') ORDER BY 1, 4 NULLS FIRST;
SELECT graphmem.add_entity(NULL);
SELECT graphmem.add_entity('Ada', properties => '[1]');

-- add_source
SELECT graphmem.add_source('doc', 'Some text.', 'page', 'http://example.org/', 'session 1', 0.5, '{"a": 1}') AS doc \gset
SELECT graphmem.add_source('doc', reliability => 0.75, metadata => '{"b": 2}') = :doc AS same;
SELECT name, content, kind, uri, session, reliability, metadata FROM graphmem.sources WHERE source_id = :doc;
SELECT graphmem.add_source('doc', reliability => 'NaN');
SELECT graphmem.add_source(NULL);
SELECT graphmem.add_source('doc', metadata => '1');

-- set_predicate
SELECT graphmem.set_predicate('next', "symmetric" => true, weight => 2.5) > 0 AS set;
SELECT name, functional, "symmetric", weight FROM graphmem.predicates
WHERE graph_id = graphmem.current_graph_id() ORDER BY 1;
SELECT graphmem.set_predicate('unknown', functional => true);
SELECT graphmem.set_predicate('next', weight => 0);
SELECT graphmem.set_predicate('next', weight => 'NaN');
SELECT graphmem.set_predicate(NULL);

-- vector spaces
SELECT graphmem.set_embedding('Ada', '{1,2,3}') = :ada AS same;
SELECT name, dim, target, metric FROM graphmem.vector_spaces WHERE graph_id = graphmem.current_graph_id();
SELECT graphmem.create_vector_space('default', 3);
SELECT graphmem.create_vector_space('x', 0);
SELECT graphmem.create_vector_space('x', 16001);
SELECT graphmem.create_vector_space('x', NULL);
SELECT graphmem.create_vector_space('', 1);
SELECT graphmem.create_vector_space('x', 3, 'triple');
SELECT graphmem.create_vector_space('x', 3, metric => 'manhattan');
SELECT graphmem.create_vector_space('x', 3, quantisation => 'int4');
SELECT graphmem.create_vector_space('x', 3, m => 1);
SELECT graphmem.create_vector_space('x', 3, ef_construction => 1);
SELECT graphmem.create_vector_space('x', 3, full_precision => 'disk');
SELECT graphmem.create_vector_space('x', 2, metric => 'l2') > 0 AS created;
SELECT graphmem.set_embedding('Ada', '{0,0}', 'x') = :ada AS same;
SELECT graphmem.set_embedding('Ada', '{0,0}');
SELECT graphmem.set_embedding('Ada', '{1,2}', 'y');
SELECT graphmem.set_embedding('Ada', NULL);
SELECT graphmem.set_embeddings('{u,v,u}', '{1,2,3,4,5,6,7,8,9}', 3);
SELECT graphmem.set_embeddings('{}', '{}', 3);
SELECT graphmem.set_embeddings('{u,v}', '{1,2,3,4,5}', 3);
SELECT graphmem.set_embeddings('{u,v}', '{1,2,3,4,NULL,6}', 3);
SELECT graphmem.set_embeddings('{u,NULL}', '{1,2,3,4,5,6}', 3);
SELECT graphmem.set_embeddings('{u}', '{1,2}', 2);
SELECT graphmem.set_embeddings('{u}', '{1}', NULL);
SELECT graphmem.set_embeddings('{u}', '{1}', 0);
SELECT item, embedding, space FROM graphmem.vectors ORDER BY 3, 1;
SELECT graphmem.drop_vector_space('default');
SELECT graphmem.drop_vector_space('default');
-- the only space is meant where none is named
SELECT graphmem.set_embedding('Bob', '{3,4}') > 0 AS set;
SELECT graphmem.create_vector_space('y', 2) > 0 AS created;
SELECT graphmem.set_embedding('Bob', '{3,4}');
SELECT item, embedding, space FROM graphmem.vectors ORDER BY 3, 1;

-- to_vector
SELECT graphmem.to_vector('[1,2,3]'), graphmem.to_vector(E' {\t1 , -2.5e1,.5 }\n');
SELECT graphmem.to_vector(NULL) IS NULL AS null;
SELECT graphmem.to_vector('[]');
SELECT graphmem.to_vector('1,2');
SELECT graphmem.to_vector('[1,,2]');
SELECT graphmem.to_vector('[1,2');
SELECT graphmem.to_vector('[1,2}');
SELECT graphmem.to_vector('[1 2]');
SELECT graphmem.to_vector('[1,2] x');
SELECT graphmem.to_vector('[1,NaN]');
SELECT graphmem.to_vector('[1e39]');
SELECT array_length(graphmem.to_vector('[' || repeat('1,', 15999) || '1]'), 1);
SELECT graphmem.to_vector('[' || repeat('1,', 16000) || '1]');
SELECT graphmem.to_vector('\x0000803f000020c10000003f'::bytea), graphmem.to_vector('\x00000080'::bytea);
SELECT graphmem.to_vector(NULL::bytea) IS NULL AS null;
SELECT graphmem.to_vector(''::bytea);
SELECT graphmem.to_vector('\x0000803f00'::bytea);
SELECT graphmem.to_vector('\x0000803f0000c07f'::bytea);
SELECT graphmem.to_vector('\x000080ff'::bytea);
SELECT array_length(graphmem.to_vector(decode(repeat('0000803f', 16000), 'hex')), 1);
SELECT graphmem.to_vector(decode(repeat('0000803f', 16001), 'hex'));
SELECT graphmem.to_vector(b) = a AND array_ndims(graphmem.to_vector(b)) = 1 AS same
FROM (VALUES (ARRAY[1.5, -0.25, 3e38]::real[], '\x0000c03f000080bee6b1617f'::bytea)) AS v (a, b);

-- every function asks the tables for privileges
CREATE ROLE regress_write;
GRANT USAGE ON SCHEMA graphmem TO regress_write;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA graphmem TO regress_write;
GRANT SELECT ON ALL TABLES IN SCHEMA graphmem TO regress_write;
SET ROLE regress_write;
SELECT graphmem.add_entity('role');
SELECT graphmem.add_entity('Ada') = :ada AS found;
SELECT graphmem.add_entity('Ada', 'person');
SELECT graphmem.add_triple('Ada', 'knows', 'Bob');
SELECT graphmem.add_source('role');
SELECT graphmem.set_predicate('next', weight => 1);
SELECT graphmem.set_embedding('Ada', '{1,2}', 'x');
SELECT graphmem.create_vector_space('role', 2);
SELECT graphmem.drop_vector_space('x');
RESET ROLE;
REVOKE ALL ON ALL TABLES IN SCHEMA graphmem FROM regress_write;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA graphmem FROM regress_write;
REVOKE ALL ON SCHEMA graphmem FROM regress_write;
DROP ROLE regress_write;

-- an id that was given by hand where the sequence has yet to come
INSERT INTO graphmem.entities (entity_id, graph_id, name)
SELECT nextval('graphmem.entities_entity_id_seq') + 1, graphmem.current_graph_id(), 'by hand';
\set VERBOSITY terse
SELECT graphmem.add_entity('by sequence');
SELECT graphmem.add_entity('by sequence') > 0 AS added;
\set VERBOSITY default

-- ids given by hand may be any number
INSERT INTO graphmem.entities (entity_id, graph_id, name) VALUES (0, graphmem.current_graph_id(), 'zero');
INSERT INTO graphmem.predicates (predicate_id, graph_id, name) VALUES (0, graphmem.current_graph_id(), 'is zero');
SELECT graphmem.add_entity('zero');
SELECT graphmem.set_predicate('is zero', weight => 0.5);
SELECT graphmem.add_triple('zero', 'is zero', 'zero') > 0 AS added;
SELECT subject, predicate, object FROM graphmem.match('zero');

DROP FUNCTION states(int);
RESET graphmem.graph;
SELECT graphmem.drop_graph('write_test') > 0 AS dropped;
