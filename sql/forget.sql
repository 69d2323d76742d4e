-- What forgetting takes, what it leaves, and whom it refuses.
SELECT graphmem.create_graph('forget') > 0 AS created;
SET graphmem.graph = 'forget';

CREATE FUNCTION pg_temp.left_over(OUT what text, OUT names text) RETURNS SETOF record
LANGUAGE sql AS $$
	SELECT 'entities', string_agg(concat_ws('^', name, literal_type), ', ' ORDER BY name COLLATE "C", literal_type)
	FROM graphmem.entities WHERE graph_id = graphmem.current_graph_id()
	UNION ALL
	SELECT 'predicates', string_agg(name, ', ' ORDER BY name COLLATE "C")
	FROM graphmem.predicates WHERE graph_id = graphmem.current_graph_id()
	UNION ALL
	SELECT 'sources', string_agg(name, ', ' ORDER BY name COLLATE "C")
	FROM graphmem.sources WHERE graph_id = graphmem.current_graph_id()
	UNION ALL
	SELECT 'facts', string_agg(concat_ws(' ', subject, predicate, object, sources::text), ', ' ORDER BY subject COLLATE "C", object COLLATE "C")
	FROM graphmem.facts
$$;

-- only what one source alone states goes, and the names that nothing else names
INSERT INTO graphmem.facts (subject, predicate, object, source) VALUES
	('ada', 'knows', 'bob', 'letter'), ('ada', 'knows', 'cyd', 'letter'), ('ada', 'knows', 'cyd', 'diary'),
	('ada', 'wrote to', 'dan', 'letter'), ('eve', 'knows', 'fay', NULL), ('eve', 'rated', 'bob', 'letter');
SELECT graphmem.add_triple('ada', 'born', '1815', 'letter', object_type => 'year') > 0 AS literal;
SELECT graphmem.set_predicate('rated', weight => 2) > 0 AS weighted;
-- past, future and expired versions
SELECT graphmem.add_triple('ada', 'knows', 'bob', 'letter', valid_from => '2150-01-01', valid_to => '2160-01-01') > 0 AS refused;
SELECT graphmem.add_triple('gus', 'knows', 'ada', 'letter', valid_to => '1900-01-01') > 0 AS past;
UPDATE graphmem.facts SET confidence = 0.5 WHERE object = 'dan';
SELECT graphmem.set_embedding('bob', '{1,2}') > 0 AS entity, graphmem.set_embedding('cyd', '{1,2}') > 0 AS kept;
SELECT graphmem.create_vector_space('facts', 2, 'fact') > 0, graphmem.create_vector_space('sources', 2, 'source') > 0;
SELECT graphmem.set_embedding('letter', '{1,2}', 'sources') > 0 AS source,
	graphmem.set_embedding((SELECT fact_id::text FROM graphmem.facts WHERE object = 'dan'), '{1,2}', 'facts') > 0 AS fact;
INSERT INTO graphmem.aliases (graph_id, name, entity_id)
	SELECT graph_id, 'bobby', entity_id FROM graphmem.entities WHERE name = 'bob' AND graph_id = graphmem.current_graph_id();
INSERT INTO graphmem.merges (graph_id, kept_id, gone_id, gone_name)
	SELECT graph_id, entity_id, 1, 'robert' FROM graphmem.entities WHERE name = 'bob' AND graph_id = graphmem.current_graph_id();
INSERT INTO graphmem.accesses (entity_id, graph_id)
	SELECT entity_id, graph_id FROM graphmem.entities WHERE name IN ('bob', 'cyd') AND graph_id = graphmem.current_graph_id();
INSERT INTO graphmem.activations (entity_id, graph_id, session)
	SELECT entity_id, graph_id, 'now' FROM graphmem.entities WHERE name IN ('bob', 'cyd') AND graph_id = graphmem.current_graph_id();
INSERT INTO graphmem.supersessions (graph_id, old_fact_id, new_fact_id, old_triple_id, undone_at)
	SELECT graphmem.current_graph_id(), o.fact_id, n.fact_id, o.triple_id, now()
	FROM graphmem.facts o, graphmem.facts n WHERE o.object = 'fay' AND n.object = 'dan';

CREATE TEMP TABLE dry AS SELECT * FROM graphmem.forget_source('letter', dry_run => true);
SELECT * FROM pg_temp.left_over();
CREATE TEMP TABLE real AS SELECT * FROM graphmem.forget_source('letter');
TABLE real;
SELECT * FROM dry FULL JOIN real USING (what) WHERE dry.rows IS DISTINCT FROM real.rows;
SELECT * FROM pg_temp.left_over();
SELECT count(*) FROM graphmem.check('forget');

-- the same statement again, and names that are not there
SELECT graphmem.forget_source('letter');
SELECT graphmem.forget_source(NULL);
SELECT graphmem.forget_source('diary', graph => 'no such graph');
SELECT graphmem.forget_entity('bob', dry_run => true);
SELECT graphmem.forget_entity(NULL);

-- an entity: by an alias, at either end, with what was stated by whomever
INSERT INTO graphmem.facts (subject, predicate, object, source) VALUES
	('hal', 'likes', 'ivy', 'a'), ('ivy', 'likes', 'jim', 'b'), ('hal', 'likes', 'jim', 'a'), ('ivy', 'likes', 'ivy', NULL);
INSERT INTO graphmem.aliases (graph_id, name, entity_id)
	SELECT graph_id, 'ivory', entity_id FROM graphmem.entities WHERE name = 'ivy' AND graph_id = graphmem.current_graph_id();
SELECT * FROM graphmem.forget_entity('ivory') WHERE rows > 0;
-- an entity before a literal of the same name; else the literals, whatever their types
SELECT graphmem.add_triple('hal', 'age', '42', object_type => 'int') > 0, graphmem.add_triple('hal', 'says', '42', object_type => '') > 0,
	graphmem.add_triple('42', 'is', 'jim') > 0;
SELECT * FROM graphmem.forget_entity('42') WHERE rows > 0;
SELECT * FROM graphmem.forget_entity('42') WHERE rows > 0;
-- one without facts
SELECT graphmem.add_entity('alone', 'kind') > 0 AS added;
SELECT * FROM graphmem.forget_entity('alone') WHERE rows > 0;
SELECT * FROM pg_temp.left_over();
SELECT count(*) FROM graphmem.check('forget');

-- what the facts of the source had superseded is as if they had not been stated
SELECT graphmem.add_triple('mia', 'lives in', 'oslo', 'old') > 0, graphmem.set_predicate('lives in', functional => true) > 0;
SELECT graphmem.add_triple('mia', 'lives in', 'rome', 'wrong', valid_from => '2020-01-01') > 0;
SELECT graphmem.add_triple('mia', 'lives in', 'bern', 'wrong', valid_from => '2021-01-01') > 0;
SELECT graphmem.add_triple('mia', 'lives in', 'bonn', 'old', valid_from => '2022-01-01') > 0;
CREATE TEMP TABLE dry_steps AS SELECT * FROM graphmem.forget_source('wrong', dry_run => true);
CREATE TEMP TABLE real_steps AS SELECT * FROM graphmem.forget_source('wrong');
SELECT * FROM dry_steps FULL JOIN real_steps USING (what) WHERE dry_steps.rows IS DISTINCT FROM real_steps.rows;
SELECT * FROM real_steps WHERE rows > 0;
SELECT object, valid_from AT TIME ZONE 'UTC' AS valid_from, valid_to AT TIME ZONE 'UTC' AS valid_to, sources
	FROM graphmem.history('mia') WHERE expired_at IS NULL ORDER BY valid_from NULLS FIRST;
SELECT count(*) FROM graphmem.check('forget');

-- a merge that could bring an erased fact back
INSERT INTO graphmem.facts (subject, predicate, object, source, properties) VALUES
	('nan', 'likes', 'tea', 'd', '{"secret": 1}'), ('nan b', 'likes', 'tea', 'd', '{"secret": 2}'), ('nan', 'likes', 'jim', 'e', NULL);
SELECT count(*) > 0 AS merged FROM graphmem.merge_entities('nan', 'nan b');
SELECT * FROM graphmem.forget_source('d') WHERE rows > 0;
SELECT count(*) AS left_over FROM graphmem.merge_rows WHERE old::text LIKE '%secret%' OR new::text LIKE '%secret%';
SELECT count(*) FROM graphmem.check('forget');

-- merges into what was merged itself, of entities and of facts
INSERT INTO graphmem.facts (subject, predicate, object, source) VALUES
	('deep a', 'likes', 'x', 'd'), ('deep b', 'likes', 'y', 'd'), ('deep c', 'likes', 'z', 'd');
SELECT count(*) FROM graphmem.merge_entities('deep b', 'deep a');
SELECT count(*) FROM graphmem.merge_entities('deep c', 'deep b');
SELECT * FROM graphmem.forget_source('d', dry_run => true) WHERE what = 'merges';
SELECT * FROM graphmem.forget_source('d') WHERE rows > 0;
SELECT count(*) AS left_over FROM graphmem.merges WHERE gone_name LIKE 'deep%';
SELECT count(*) AS left_over FROM graphmem.merge_rows WHERE old::text LIKE '%deep%' OR new::text LIKE '%deep%';
INSERT INTO graphmem.facts (subject, predicate, object, source, properties) VALUES
	('ned', 'likes', 'oak', 'd', '{"secret": 1}'), ('ned b', 'likes', 'oak', 'd', '{"secret": 2}'), ('ned', 'likes', 'elm', 'e', NULL),
	('ned', 'likes', 'oak b', 'd', '{"secret": 3}'), ('oak', 'is', 'tree', 'e', NULL), ('elm', 'is', 'tree', 'e', NULL);
SELECT count(*) FROM graphmem.merge_entities('ned', 'ned b');
SELECT count(*) FROM graphmem.merge_entities('oak b', 'oak');
SELECT count(*) FROM graphmem.forget_source('d');
SELECT count(*) AS left_over FROM graphmem.merge_rows WHERE old::text LIKE '%secret%' OR new::text LIKE '%secret%';

-- a merge that could bring back, without a source, what only the erased one stated
INSERT INTO graphmem.facts (subject, predicate, object, source) VALUES
	('pam', 'likes', 'ivy', 'e'), ('pam b', 'likes', 'ivy', 'd'), ('pam b', 'likes', 'fern', 'e');
SELECT count(*) FROM graphmem.merge_entities('pam', 'pam b');
SELECT * FROM graphmem.forget_source('d') WHERE rows > 0;
SELECT count(*) FROM graphmem.unmerge_entities('pam', 'pam b');
SELECT subject, object, sources FROM graphmem.facts WHERE subject LIKE 'pam%' ORDER BY 1, 2;
SELECT count(*) FROM graphmem.check('forget');

-- gone with a rollback's undoing
BEGIN;
SELECT * FROM graphmem.forget_entity('hal') WHERE rows > 0;
SELECT count(*) FROM graphmem.match('hal');
ROLLBACK;
SELECT count(*) FROM graphmem.match('hal');

-- whoever may not delete may not forget, and row security hides nothing
CREATE ROLE forget_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA graphmem TO forget_reader;
SET ROLE forget_reader;
SELECT * FROM graphmem.forget_source('a', dry_run => true) WHERE rows > 0;
SELECT graphmem.forget_source('a');
RESET ROLE;
GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA graphmem TO forget_reader;
ALTER TABLE graphmem.triples ENABLE ROW LEVEL SECURITY;
CREATE POLICY even ON graphmem.triples USING (triple_id % 2 = 0);
SET ROLE forget_reader;
SELECT graphmem.forget_source('a');
SELECT graphmem.forget_source('a', dry_run => true);
RESET ROLE;
DROP POLICY even ON graphmem.triples;
ALTER TABLE graphmem.triples DISABLE ROW LEVEL SECURITY;

-- statistics hold names: renewed, or who may not is told
ANALYZE graphmem.entities;
SELECT count(*) FROM pg_stats WHERE schemaname = 'graphmem'
	AND (tablename, attname) IN (('sources', 'content'), ('entities', 'properties'), ('entities_name_key', 'name_key'), ('entities_search', 'search_name'));
SET ROLE forget_reader;
SELECT * FROM graphmem.forget_source('a') WHERE rows > 0;
RESET ROLE;
ANALYZE graphmem.entities;
INSERT INTO graphmem.facts (subject, predicate, object, source, subject_kind) VALUES ('kim', 'likes', 'lou', 'c', 'odd kind');
ANALYZE graphmem.entities;
SELECT count(*) FROM graphmem.forget_entity('kim');
SELECT s.attname FROM pg_stats s WHERE schemaname = 'graphmem' AND tablename = 'entities'
	AND s::text ~ 'kim|odd kind';

REVOKE ALL ON ALL TABLES IN SCHEMA graphmem FROM forget_reader;
DROP ROLE forget_reader;
RESET graphmem.graph;
SELECT graphmem.drop_graph('forget') >= 0 AS dropped;
