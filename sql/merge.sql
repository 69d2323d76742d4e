--
-- Merging entities, taking merges back, aliases
--
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set SHOW_CONTEXT never
SELECT graphmem.create_graph('merge_test') > 0 AS created;
SET graphmem.graph = 'merge_test';

-- every table of the graph, as text
CREATE FUNCTION rows_of_graph(OUT tab text, OUT r text) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
	FOREACH tab IN ARRAY '{entities, aliases, predicates, triples, sources, assertions, supersessions,
		functional_keys, vector_spaces, embeddings, accesses, activations, merge_rows}'::text[]
	LOOP
		FOR r IN EXECUTE format('SELECT t::text FROM graphmem.%I t WHERE graph_id = $1', tab)
			USING graphmem.current_graph_id()
		LOOP
			RETURN NEXT;
		END LOOP;
	END LOOP;
END
$$;
CREATE TABLE kept (tab text, r text);

-- what falls together, and what does not
SELECT graphmem.add_entity('Bob', properties => '{"a": 1}') > 0 AS added, graphmem.add_entity('Robert', 'person', '{"a": 2, "b": 3}') > 0 AS added;
INSERT INTO graphmem.facts (subject, predicate, object, source, confidence, valid_from, valid_to) VALUES
	('Bob', 'knows', 'Ann', 's1', 0.5, NULL, NULL),
	('Robert', 'knows', 'Ann', 's2', 0.75, NULL, NULL),
	('Ann', 'knows', 'Robert', 's2', 1, NULL, NULL),
	('Robert', 'likes', 'Bob', NULL, 1, NULL, NULL),
	('Bob', 'works at', 'Acme', 's1', 1, '2000-01-01', '2010-01-01'),
	('Robert', 'works at', 'Acme', 's2', 0.25, '2005-01-01', '2020-01-01'),
	('Robert', 'works at', 'Acme', 's3', 1, '2021-01-01', '2022-01-01'),
	('Bob', 'lives in', 'Rome', 's1', 1, '2000-01-01', '2001-01-01'),
	('Robert', 'lives in', 'Rome', 's1', 1, '2001-01-01', NULL);
SELECT graphmem.add_alias('Robert', 'Rob') > 0 AS added;
SELECT graphmem.set_embedding('Robert', '{1,2}') > 0 AS set;
INSERT INTO graphmem.accesses (entity_id, graph_id, access_count, last_access)
SELECT entity_id, graph_id, entity_id - min(entity_id) OVER () + 1, '2020-01-01' FROM graphmem.entities
WHERE graph_id = graphmem.current_graph_id() AND name IN ('Bob', 'Robert');
INSERT INTO graphmem.activations (graph_id, session, entity_id, activation, updated_at)
SELECT graph_id, 'x', entity_id, CASE name WHEN 'Bob' THEN 0.25 ELSE 0.75 END, '2020-01-01' FROM graphmem.entities
WHERE graph_id = graphmem.current_graph_id() AND name IN ('Bob', 'Robert');
INSERT INTO kept SELECT * FROM rows_of_graph();

SELECT * FROM graphmem.merge_entities('Bob', 'Robert', dry_run => true);
SELECT count(*) FROM (TABLE kept EXCEPT ALL SELECT * FROM rows_of_graph()) d;
SELECT facts, joined, removed, aliases, vectors FROM graphmem.merge_entities('Bob', 'Robert');
SELECT t.subject, t.predicate, t.object, t.confidence, t.valid_from, t.valid_to,
	(SELECT array_agg(c.name ORDER BY c.name) FROM graphmem.assertions a JOIN graphmem.sources c USING (source_id)
	 WHERE a.fact_id = t.fact_id) AS sources
FROM (SELECT s.name AS subject, p.name AS predicate, o.name AS object, x.*
	FROM graphmem.triples x JOIN graphmem.entities s ON s.entity_id = x.subject_id
	JOIN graphmem.predicates p USING (predicate_id) JOIN graphmem.entities o ON o.entity_id = x.object_id
	WHERE x.graph_id = graphmem.current_graph_id()) t ORDER BY 1, 2, 3, 5;
SELECT name, kind, properties FROM graphmem.entities WHERE graph_id = graphmem.current_graph_id() ORDER BY 1;
SELECT item, embedding FROM graphmem.vectors;
SELECT access_count FROM graphmem.accesses WHERE graph_id = graphmem.current_graph_id();
SELECT activation FROM graphmem.activations WHERE graph_id = graphmem.current_graph_id();
SELECT * FROM graphmem.check();

-- an alias is found wherever a name is
SELECT a.name, e.name FROM graphmem.aliases a JOIN graphmem.entities e USING (entity_id)
WHERE a.graph_id = graphmem.current_graph_id() ORDER BY 1;
SELECT count(*) FROM graphmem.match('Rob');
SELECT count(*) FROM graphmem.match(object => 'Robert');
SELECT count(*) FROM graphmem.neighbors('Rob');
SELECT entity, hops FROM graphmem.traverse('{Rob}', 1);
SELECT count FROM graphmem.reach('Rob', 1);
SELECT path FROM graphmem.shortest_path('Rob', 'Acme');
SELECT path FROM graphmem.paths('Rome', 'Robert', 1);
SELECT count(*) FROM graphmem.subgraph('{Rob}');
SELECT entity FROM graphmem.pagerank('{Rob}', 1);
SELECT count(*) FROM graphmem.confidence('Rob', 'knows');
SELECT item FROM graphmem.vector_search('{1,2}', near => '{Rob}', max_hops => 0);
SELECT graphmem.set_embedding('Ann', '{1,1}') > 0 AS set;
SELECT item FROM graphmem.similar('Rob');
SELECT entity FROM graphmem.fusion_query(seeds => '{Rob}', match_count => 1);
SELECT entity FROM graphmem.fusion_query(query_text => 'Who is Rob?', match_count => 1);
SELECT graphmem.add_triple('Rob', 'knows', 'Ann') = (SELECT triple_id FROM graphmem.match('Bob', 'knows', 'Ann')) AS same;
INSERT INTO graphmem.facts (subject, predicate, object, subject_kind) VALUES ('Carl', 'knows', 'Rob', 'person');
SELECT object FROM graphmem.facts WHERE subject = 'Carl';
UPDATE graphmem.entities SET kind = NULL WHERE name = 'Ann' AND graph_id = graphmem.current_graph_id();
SELECT graphmem.add_alias('Ann', 'Annie') > 0 AS added;
INSERT INTO graphmem.facts (subject, predicate, object, subject_kind) VALUES ('Annie', 'knows', 'Carl', 'woman');
SELECT kind FROM graphmem.entities WHERE name = 'Ann' AND graph_id = graphmem.current_graph_id();
SELECT graphmem.set_embedding('Rob', '{2,2}') = (SELECT entity_id FROM graphmem.entities
	WHERE graph_id = graphmem.current_graph_id() AND name = 'Bob') AS same;
INSERT INTO graphmem.vectors (item, embedding) VALUES ('Robert', '{3,2}');
SELECT item, embedding FROM graphmem.vectors WHERE item = 'Bob';
SELECT entity, other FROM graphmem.duplicate_candidates('Rob', min_score => 0);

-- what came since stays, what the merge did goes
DELETE FROM graphmem.facts WHERE subject = 'Ann' AND object = 'Bob';
SELECT facts, joined, removed, aliases, vectors FROM graphmem.unmerge_entities('Rob', 'Robert');
SELECT subject, predicate, object, confidence, sources FROM graphmem.facts ORDER BY 1, 2, 3;
SELECT item, embedding FROM graphmem.vectors ORDER BY 1;
SELECT name, kind, properties FROM graphmem.entities WHERE graph_id = graphmem.current_graph_id() ORDER BY 1;
SELECT * FROM graphmem.check();
\set VERBOSITY terse
SELECT graphmem.unmerge_entities('Bob', 'Robert');
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY default
SELECT graphmem.unmerge_entities('Bob', 'Roberta');
SELECT graphmem.unmerge_entities(0);
SELECT graphmem.unmerge_entities(-1);
SELECT graphmem.unmerge_entities(NULL);

-- nothing came since: exactly as it was
TRUNCATE kept;
INSERT INTO kept SELECT * FROM rows_of_graph();
SELECT merge_id FROM graphmem.merge_entities('Robert', 'Bob') \gset
SELECT subject, object, confidence FROM graphmem.facts WHERE subject = 'Robert' AND object = 'Ann';
SELECT merge_id = :merge_id AS same FROM graphmem.unmerge_entities(:merge_id);
SELECT count(*) FROM (TABLE kept EXCEPT ALL SELECT * FROM rows_of_graph()) d;
SELECT count(*) FROM (SELECT * FROM rows_of_graph() EXCEPT ALL TABLE kept) d;

-- a fact that fell together was changed: nothing is done
SELECT merge_id FROM graphmem.merge_entities('Bob', 'Robert') \gset
UPDATE graphmem.facts SET confidence = 0.125 WHERE subject = 'Bob' AND object = 'Ann';
SELECT graphmem.unmerge_entities('Bob', 'Robert');
SELECT count(*) FROM graphmem.entities WHERE graph_id = graphmem.current_graph_id() AND name = 'Robert';
-- deleted, it stays so
DELETE FROM graphmem.facts WHERE subject = 'Bob' AND object = 'Ann';
SELECT facts, joined, removed FROM graphmem.unmerge_entities('Bob', 'Robert');
SELECT subject, predicate, object FROM graphmem.facts WHERE object = 'Ann' ORDER BY 1, 2, 3;
SELECT * FROM graphmem.check();

-- one merge on another
SELECT count(graphmem.add_triple('e' || i, 'q', 'common')) FROM generate_series(1, 4) i;
SELECT count(graphmem.merge_entities(k, g)) FROM (VALUES ('e3', 'e4'), ('e1', 'e2'), ('e1', 'e3')) v(k, g);
SELECT subject, predicate, object FROM graphmem.match(object => 'common');
\set VERBOSITY terse
SELECT graphmem.unmerge_entities('e3', 'e4');
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY default
SELECT facts, joined, removed FROM graphmem.unmerge_entities('e1', 'e3');
SELECT facts, joined, removed FROM graphmem.unmerge_entities('e3', 'e4');
SELECT facts, joined, removed FROM graphmem.unmerge_entities('e1', 'e2');
SELECT subject, predicate, object FROM graphmem.match(object => 'common');

-- the name was taken since
SELECT facts FROM graphmem.merge_entities('e1', 'e2');
INSERT INTO graphmem.entities (graph_id, name) SELECT graphmem.current_graph_id(), 'e2';
\set VERBOSITY terse
SELECT graphmem.unmerge_entities('e1', 'e2');
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY default
DELETE FROM graphmem.entities WHERE graph_id = graphmem.current_graph_id() AND name = 'e2';
SELECT facts FROM graphmem.unmerge_entities('e1', 'e2');

-- the one that was kept is gone
SELECT facts FROM graphmem.merge_entities('e1', 'e2');
DELETE FROM graphmem.facts WHERE subject = 'e1';
DELETE FROM graphmem.entities WHERE graph_id = graphmem.current_graph_id() AND name = 'e1';
\set VERBOSITY terse
SELECT graphmem.unmerge_entities(max(merge_id)) IS NULL AS undone FROM graphmem.merges;
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY default

-- functional predicates
INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('f1', 'born in', 'Rome'), ('f2', 'born in', 'Paris'), ('f3', 'born in', 'Rome');
SELECT graphmem.set_predicate('born in', functional => true) > 0 AS set;
SELECT graphmem.merge_entities('f1', 'f2');
SELECT graphmem.merge_entities('f1', 'f2', dry_run => true);
SELECT facts, joined, removed FROM graphmem.merge_entities('f1', 'f3');
SELECT facts, joined, removed FROM graphmem.merge_entities('Rome', 'Paris');
SELECT facts, joined, removed FROM graphmem.merge_entities('f1', 'f2');
SELECT subject, object FROM graphmem.match(predicate => 'born in');

-- what supersedes what
SELECT graphmem.add_triple('u', 'lives in', 'old') AS a, graphmem.add_triple('u', 'lives in', 'new') AS b \gset
INSERT INTO graphmem.supersessions (graph_id, old_fact_id, new_fact_id, old_triple_id)
SELECT x.graph_id, x.fact_id, y.fact_id, x.triple_id FROM graphmem.triples x, graphmem.triples y WHERE x.triple_id = :a AND y.triple_id = :b;
TRUNCATE kept;
INSERT INTO kept SELECT * FROM rows_of_graph();
SELECT facts, joined, removed FROM graphmem.merge_entities('new', 'old');
SELECT count(*) FROM graphmem.supersessions WHERE graph_id = graphmem.current_graph_id();
SELECT facts, joined, removed FROM graphmem.unmerge_entities('new', 'old');
SELECT count(*) FROM (TABLE kept EXCEPT ALL SELECT * FROM rows_of_graph()) d;

-- arguments
SELECT graphmem.merge_entities('f1', 'f1');
SELECT graphmem.merge_entities('f1', 'f2');
SELECT graphmem.merge_entities('f1', 'nobody');
SELECT graphmem.merge_entities(NULL, 'f1');
SELECT graphmem.merge_entities('f1', NULL);
SELECT graphmem.add_triple('f1', 'age', '7', object_type => 'int') > 0 AS added;
SELECT graphmem.merge_entities('f1', '7');
SELECT graphmem.merge_entities('f1', 'u', graph => 'nowhere');
SELECT graphmem.create_graph('merge_other') > 0 AS created;
SELECT graphmem.add_entity('there', graph => 'merge_other') > 0 AS added;
SELECT graphmem.merge_entities('f1', 'there');
SELECT graphmem.drop_graph('merge_other');

-- aliases
SELECT graphmem.add_alias('u', 'you') > 0 AS added;
SELECT graphmem.add_alias('u', 'you');
SELECT graphmem.add_alias('f1', 'u');
SELECT graphmem.add_alias('nobody', 'n');
SELECT graphmem.add_alias('7', 'seven');
SELECT graphmem.add_alias('u', NULL);
SELECT graphmem.drop_alias('you');
SELECT graphmem.drop_alias('you');
SELECT count(*) FROM graphmem.match('you');
-- an entity's own name goes before an alias
INSERT INTO graphmem.aliases (graph_id, name, entity_id)
SELECT graph_id, 'f1', entity_id FROM graphmem.entities WHERE graph_id = graphmem.current_graph_id() AND name = 'u';
SELECT DISTINCT subject FROM graphmem.match('f1');
SELECT entity FROM graphmem.fusion_query(query_text => 'f1', match_count => 1);
-- full text finds aliases, whole, by a word, misspelled
SELECT graphmem.add_alias('u', 'Grand Duchess Olga') > 0 AS added;
SELECT entity FROM graphmem.fusion_query(query_text => 'grand duchess olga', match_count => 1);
SELECT entity FROM graphmem.fusion_query(query_text => 'Where did Olga live?', match_count => 1);
SELECT entity FROM graphmem.fusion_query(query_text => 'Grand Dutchess', match_count => 1);
SELECT graphmem.drop_alias('Grand Duchess Olga');
SELECT entity FROM graphmem.fusion_query(query_text => 'grand duchess olga');

-- candidates
SELECT graphmem.create_graph('merge_pairs') > 0 AS created;
SET graphmem.graph = 'merge_pairs';
INSERT INTO graphmem.facts (subject, predicate, object) VALUES
	('Ada Lovelace', 'wrote', 'Notes'), ('LOVELACE, Ada', 'wrote', 'Notes'), ('A. Lovelace', 'knew', 'Charles Babbage'),
	('Charles Babage', 'built', 'Engine'), ('Charles Babbage', 'built', 'Engine'),
	('Q1', 'capital of', 'France'), ('Paris', 'capital of', 'France'), ('Paris', 'on', 'Seine'), ('Q1', 'on', 'Seine');
SELECT rank, entity, other, score, name_score, vector_score, neighbor_score FROM graphmem.duplicate_candidates(min_score => 0.25);
SELECT entity, other FROM graphmem.duplicate_candidates('Paris', neighbor_weight => 3);
SELECT count(*) FROM graphmem.set_embeddings('{Q1,Notes,Engine}', '{1,0,0.9,0.1,0,1}', 2);
SELECT entity, other, vector_score FROM graphmem.duplicate_candidates('Notes', min_score => 0, match_count => 1);
SELECT count(*) FROM graphmem.duplicate_candidates('nobody');
-- with an entity: what the whole graph has of it, with the same scores
SELECT e.name, p.other, p.score, p.name_score, p.vector_score, p.neighbor_score
FROM graphmem.entities e, graphmem.duplicate_candidates(min_score => 0, match_count => NULL) p
WHERE e.graph_id = graphmem.current_graph_id() AND e.entity_id = p.entity_id
EXCEPT SELECT e.name, p.other, p.score, p.name_score, p.vector_score, p.neighbor_score
FROM graphmem.entities e, graphmem.duplicate_candidates(e.name, min_score => 0, match_count => NULL) p
WHERE e.graph_id = graphmem.current_graph_id();
SELECT graphmem.add_alias('Engine', 'Lady Lovelace') > 0 AS added;
SELECT other, name_score FROM graphmem.duplicate_candidates('Engine', min_score => 0, vector_weight => 0, match_count => 1);
SELECT other, name_score FROM graphmem.duplicate_candidates('A. Lovelace', min_score => 0) WHERE other = 'Engine';
SELECT count(*) FROM graphmem.duplicate_candidates('Paris', kinds => '{person}');
SELECT count(*) FROM graphmem.duplicate_candidates('Paris', space => 'nowhere');
SELECT count(*) FROM graphmem.duplicate_candidates('Paris', match_count => -1);
SELECT count(*) FROM graphmem.duplicate_candidates(min_score => 1.5);
SELECT count(*) FROM graphmem.duplicate_candidates(name_weight => 'NaN');
SELECT count(*) FROM graphmem.duplicate_candidates('Paris', vector_weight => -1);
SELECT count(*) FROM graphmem.duplicate_candidates(neighbor_weight => 'infinity');
SELECT count(*) FROM graphmem.duplicate_candidates(name_weight => 0, vector_weight => 0, neighbor_weight => 0);
SELECT count(*) FROM graphmem.duplicate_candidates(kinds => '{person}');
SELECT count(*) FROM graphmem.duplicate_candidates(graph => 'nowhere');
SELECT count(*) FROM graphmem.duplicate_candidates(space => 'nowhere');

SELECT graphmem.drop_graph('merge_pairs') > 0 AS dropped, graphmem.drop_graph('merge_test') > 0 AS dropped;
SELECT count(*) FROM graphmem.merge_rows;
DROP FUNCTION rows_of_graph();
DROP TABLE kept;
