--
-- The views facts and vectors: INSERT, COPY, UPDATE, DELETE
--
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set SHOW_CONTEXT never
SELECT graphmem.create_graph('facts_test') > 0 AS created;
SET graphmem.graph = 'facts_test';
CREATE VIEW versions AS
SELECT s.name AS s, p.name AS p, o.name AS o, round(t.confidence::numeric, 2) AS confidence,
	t.valid_from, t.valid_to, t.expired_at = 'infinity' AS open, t.functional,
	dense_rank() OVER (ORDER BY t.fact_id) AS fact
FROM graphmem.triples t
	JOIN graphmem.entities s ON s.entity_id = t.subject_id
	JOIN graphmem.predicates p USING (predicate_id)
	JOIN graphmem.entities o ON o.entity_id = t.object_id
WHERE t.graph_id = graphmem.current_graph_id();

-- an absent graph is never created, but for the default
INSERT INTO graphmem.facts (subject, predicate, object) SELECT 'a', 'p', 'b' WHERE false;
BEGIN;
SET LOCAL graphmem.graph = 'no such graph';
INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('a', 'p', 'b');
ROLLBACK;
SET graphmem.graph = 'no such graph';
SELECT * FROM graphmem.facts;
SET graphmem.graph = 'facts_test';

-- stating, and stating again
INSERT INTO graphmem.facts (subject, predicate, object, source, confidence) VALUES
	('Ada', 'wrote to', 'Charles', 'letter 1', 0.8),
	('Ada', 'wrote to', 'Charles', 'letter 2', 0.5),
	('Ada', 'wrote to', 'Charles', 'letter 1', 0.75),
	('Ada', 'wrote to', 'Ada', NULL, NULL);
SELECT subject, predicate, object, source, confidence, sources FROM graphmem.facts ORDER BY 1, 2, 3;
SELECT c.name, a.confidence FROM graphmem.assertions a JOIN graphmem.sources c USING (source_id)
WHERE a.graph_id = graphmem.current_graph_id() ORDER BY 1;
INSERT INTO graphmem.facts (subject, predicate, object, sources) VALUES
	('Ada', 'wrote to', 'Mary', '{letter 3, letter 4}');
INSERT INTO graphmem.facts (subject, predicate, object, sources) VALUES
	('Ada', 'wrote to', 'Mary', '{letter 3, NULL}');

-- kinds, literals, empty and strange names
INSERT INTO graphmem.facts (subject, predicate, object, subject_kind, object_kind, object_type) VALUES
	('Ada', 'born', '1815', 'person', NULL, 'xsd:gYear'),
	('Ada', 'number', '1815', 'engine', 'year', NULL),
	('', '', '', NULL, NULL, ''),
	('naïve "quoted" ''name''', E'new\nline', '日本語', NULL, NULL, '@ja'),
	('e' || U&'\0301', 'is not', 'é', NULL, NULL, NULL);
SELECT subject, predicate, object, subject_kind, object_kind, object_type FROM graphmem.facts
WHERE predicate <> 'wrote to' ORDER BY predicate COLLATE "C", object COLLATE "C";

-- values that are refused
INSERT INTO graphmem.facts (subject, predicate, object) VALUES (NULL, 'p', 'o');
INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('s', NULL, 'o');
INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('s', 'p', NULL);
INSERT INTO graphmem.facts (subject, predicate, object, confidence) VALUES ('s', 'p', 'o', 'NaN');
INSERT INTO graphmem.facts (subject, predicate, object, confidence) VALUES ('s', 'p', 'o', 1.5);
INSERT INTO graphmem.facts (subject, predicate, object, confidence) VALUES ('s', 'p', 'o', -0.5);
INSERT INTO graphmem.facts (subject, predicate, object, properties) VALUES ('s', 'p', 'o', '[]');
INSERT INTO graphmem.facts (subject, predicate, object, valid_from, valid_to)
VALUES ('s', 'p', 'o', '2020-01-01', '2020-01-01');
SELECT count(*) FROM versions WHERE s = 's';

-- validity: inside, overlapping, disjoint
INSERT INTO graphmem.facts (subject, predicate, object, valid_from, valid_to)
VALUES ('Bob', 'works at', 'Acme', '2010-01-01', '2015-01-01');
INSERT INTO graphmem.facts (subject, predicate, object, source, valid_from, valid_to)
VALUES ('Bob', 'works at', 'Acme', 'cv', '2011-01-01', '2012-01-01');
INSERT INTO graphmem.facts (subject, predicate, object, valid_from, valid_to)
VALUES ('Bob', 'works at', 'Acme', '2014-01-01', '2016-01-01');
INSERT INTO graphmem.facts (subject, predicate, object, valid_from)
VALUES ('Bob', 'works at', 'Acme', '2009-01-01');
INSERT INTO graphmem.facts (subject, predicate, object, valid_from, valid_to) VALUES
	('Bob', 'works at', 'Acme', '2005-01-01', '2006-01-01'),
	('Bob', 'works at', 'Acme', '2005-02-01', '2007-01-01');
-- without a validity it is about now: the gap after 2015
INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('Bob', 'works at', 'Acme');
INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('Bob', 'works at', 'Acme');
SELECT s, p, o, valid_from, valid_to, open FROM versions WHERE s = 'Bob' ORDER BY valid_from;
SELECT count(DISTINCT fact) FROM versions WHERE s = 'Bob';
SELECT subject, valid_from, valid_to FROM graphmem.facts WHERE subject = 'Bob';

-- UPDATE writes versions
UPDATE graphmem.facts SET confidence = 0.25 WHERE subject = 'Ada' AND object = 'Charles';
UPDATE graphmem.facts SET confidence = 0.25 WHERE subject = 'Ada' AND object = 'Charles';
SELECT o, confidence, open FROM versions WHERE s = 'Ada' AND o = 'Charles' ORDER BY open, confidence;
SELECT count(DISTINCT fact_id), count(*), bool_and(recorded_at < expired_at) AS sound
FROM graphmem.triples t JOIN graphmem.entities o ON o.entity_id = t.object_id
WHERE o.name = 'Charles' AND t.graph_id = graphmem.current_graph_id();
-- any number of changes in one transaction is one version
BEGIN;
UPDATE graphmem.facts SET confidence = 0.3 WHERE subject = 'Ada' AND object = 'Charles';
SAVEPOINT s;
UPDATE graphmem.facts SET confidence = 0.4 WHERE subject = 'Ada' AND object = 'Charles';
ROLLBACK TO s;
SELECT o, confidence, open FROM versions WHERE s = 'Ada' AND o = 'Charles' ORDER BY open, confidence;
UPDATE graphmem.facts SET confidence = 0.5, properties = '{"a": 1}' WHERE subject = 'Ada' AND object = 'Charles';
UPDATE graphmem.facts SET valid_to = '2000-01-01' WHERE subject = 'Ada' AND object = 'Charles';
INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('Ada', 'wrote to', 'Charles');
COMMIT;
SELECT o, confidence, valid_from, valid_to, open FROM versions WHERE s = 'Ada' AND o = 'Charles'
ORDER BY open, valid_from, confidence;
UPDATE graphmem.facts SET valid_from = '1999-01-01' WHERE subject = 'Ada' AND object = 'Charles';
UPDATE graphmem.facts SET subject = 'Eve' WHERE subject = 'Ada';
UPDATE graphmem.facts SET source = 'x' WHERE subject = 'Ada';
UPDATE graphmem.facts SET confidence = 2 WHERE subject = 'Ada';
UPDATE graphmem.facts SET valid_to = valid_from WHERE subject = 'Bob';
UPDATE graphmem.facts SET confidence = confidence FROM generate_series(1, 3) WHERE subject = 'Bob';
UPDATE graphmem.facts SET confidence = 0.9 FROM generate_series(1, 3) WHERE subject = 'Bob';
SELECT count(*) FROM versions WHERE s = 'Bob' AND NOT open;
-- nor may a change reach into the next version
INSERT INTO graphmem.facts (subject, predicate, object, valid_from, valid_to) VALUES
	('Shift', 'p', 'o', '2000-01-01', '2100-01-01'), ('Shift', 'p', 'o', '2100-01-01', '2200-01-01');
UPDATE graphmem.facts SET valid_from = '2001-01-01', valid_to = '2100-06-01' WHERE subject = 'Shift';

-- DELETE erases every version
DELETE FROM graphmem.facts WHERE subject = 'Ada' AND object = 'Mary';
SELECT count(*) FROM versions WHERE o = 'Mary';
SELECT count(*) FROM graphmem.assertions a
WHERE NOT EXISTS (SELECT FROM graphmem.triples t WHERE t.fact_id = a.fact_id);

-- functional predicates
INSERT INTO graphmem.facts (subject, predicate, object) VALUES
	('France', 'capital', 'Paris'), ('Italy', 'capital', 'Rome'), ('Italy', 'city', 'Rome'), ('Italy', 'city', 'Milan');
SELECT graphmem.set_predicate('capital', functional => true) > 0 AS set;
SELECT graphmem.set_predicate('city', functional => true);
INSERT INTO graphmem.facts (subject, predicate, object, valid_from) VALUES
	('Spain', 'capital', 'Madrid', '1561-01-01'), ('Spain', 'capital', 'Toledo', '1560-01-01');
INSERT INTO graphmem.facts (subject, predicate, object, valid_from, valid_to) VALUES ('France', 'capital', 'Vichy', '1940-07-01', '1944-08-20');
INSERT INTO graphmem.facts (subject, predicate, object, valid_from) VALUES ('France', 'capital', 'Paris', '1944-08-20');
INSERT INTO graphmem.facts (subject, predicate, object, valid_from) VALUES ('France', 'capital', 'Lyon', '2020-01-01');
UPDATE graphmem.facts SET valid_from = '2019-01-01' WHERE object = 'Lyon';
SELECT s, p, o, valid_from, valid_to, functional FROM versions WHERE p = 'capital' AND open ORDER BY 1, 3, 4;
SELECT graphmem.set_predicate('capital', functional => false) > 0 AS set;
SELECT count(*) FROM versions WHERE functional;

-- aliases name entities
INSERT INTO graphmem.aliases (graph_id, name, entity_id)
SELECT graph_id, 'Lady Lovelace', entity_id FROM graphmem.entities
WHERE name = 'Ada' AND literal_type IS NULL AND graph_id = graphmem.current_graph_id();
INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('Lady Lovelace', 'likes', 'numbers');
SELECT subject, object FROM graphmem.facts WHERE predicate = 'likes';

-- COPY both ways
CREATE TEMP TABLE dump AS SELECT * FROM graphmem.facts;
SELECT graphmem.create_graph('facts_copy') > 0 AS created;
COPY (SELECT subject, predicate, object, confidence FROM graphmem.facts WHERE subject = 'Italy' ORDER BY 2, 3) TO stdout;
SET graphmem.graph = 'facts_copy';
COPY graphmem.facts (subject, predicate, object, source, confidence, valid_from, valid_to, properties) FROM stdin;
Italy	capital	Rome	atlas	0.5	\N	\N	{"page": 7}
Italy	capital	Rome	map	1	\N	\N	\N
back\\slash	tab\there	\N	\N	\N	\N	\N	\N
\.
COPY graphmem.facts (subject, predicate, object, source, confidence, valid_from, valid_to, properties) FROM stdin;
Italy	capital	Rome	atlas	0.5	\N	\N	{"page": 7}
Italy	capital	Rome	map	1	\N	\N	\N
back\\slash	tab\there	new\nline	\N	\N	2020-01-01	\N	\N
\.
SELECT subject, predicate, object, confidence, valid_from, properties, sources FROM graphmem.facts ORDER BY subject COLLATE "C", object COLLATE "C";
DELETE FROM graphmem.facts;
INSERT INTO graphmem.facts SELECT * FROM dump;
SELECT count(*) AS differing FROM (
	(SELECT subject, predicate, object, confidence, valid_from, valid_to, properties, subject_kind, object_kind, object_type,
		(SELECT array_agg(x ORDER BY x) FROM unnest(sources) x) FROM dump
	 EXCEPT
	 SELECT subject, predicate, object, confidence, valid_from, valid_to, properties, subject_kind, object_kind, object_type,
		(SELECT array_agg(x ORDER BY x) FROM unnest(sources) x) FROM graphmem.facts)) d;
SELECT count(*) = (SELECT count(*) FROM dump) AS complete FROM graphmem.facts;

-- statements within statements, writable CTEs, errors in the middle
SELECT graphmem.create_graph('facts_nest') > 0 AS created;
SET graphmem.graph = 'facts_nest';
CREATE FUNCTION nested(name text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO graphmem.facts (subject, predicate, object) VALUES (name, 'inner', 'x');
	BEGIN
		INSERT INTO graphmem.facts (subject, predicate, object)
		SELECT name, 'lost', CASE i WHEN 3 THEN NULL ELSE i::text END FROM generate_series(1, 3) i;
	EXCEPTION WHEN null_value_not_allowed THEN
		PERFORM graphmem.add_triple(name, 'caught', 'x');
	END;
	RETURN name;
END $$;
INSERT INTO graphmem.facts (subject, predicate, object) SELECT nested('n' || i), 'outer', 'x' FROM generate_series(1, 3) i;
SELECT predicate, string_agg(subject, ' ' ORDER BY subject) FROM graphmem.facts GROUP BY 1 ORDER BY 1;
WITH a AS (INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('cte', 'a', 'x')),
	b AS (INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('cte', 'b', 'x')),
	c AS (DELETE FROM graphmem.facts WHERE predicate = 'caught'),
	d AS (UPDATE graphmem.facts SET confidence = 0.5 WHERE predicate = 'inner')
INSERT INTO graphmem.facts (subject, predicate, object) SELECT nested('m'), 'outer', 'x';
SELECT predicate, confidence, string_agg(subject, ' ' ORDER BY subject) FROM graphmem.facts GROUP BY 1, 2 ORDER BY 1;
BEGIN;
SAVEPOINT a;
INSERT INTO graphmem.facts (subject, predicate, object) SELECT 'gone', 'p', CASE i WHEN 9 THEN NULL ELSE i::text END FROM generate_series(1, 9) i;
ROLLBACK TO a;
INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('kept', 'p', 'x');
COMMIT;
SELECT subject, object FROM graphmem.facts WHERE predicate = 'p';

-- many rows and long names in one statement
SELECT graphmem.create_graph('facts_many') > 0 AS created;
SET graphmem.graph = 'facts_many';
INSERT INTO graphmem.facts (subject, predicate, object, source)
SELECT 'e' || i % 100, 'p' || i % 3, 'e' || i % 170, 's' || i % 7 FROM generate_series(1, 20000) i;
SELECT count(*), count(DISTINCT (subject_id, predicate_id, object_id)) FROM graphmem.triples WHERE graph_id = graphmem.current_graph_id();
SELECT count(*) FROM (SELECT DISTINCT i % 100, i % 3, i % 170 FROM generate_series(1, 20000) i) x;
SELECT count(*) FROM graphmem.assertions WHERE graph_id = graphmem.current_graph_id();
SELECT count(*) FROM (SELECT DISTINCT i % 100, i % 3, i % 170, i % 7 FROM generate_series(1, 20000) i) x;
-- more names than a statement keeps in memory
INSERT INTO graphmem.facts (subject, predicate, object)
SELECT repeat(chr(97 + i % 4), 10000000), 'long', 'x' || i FROM generate_series(1, 8) i;
SELECT length(name), count(*) FROM graphmem.entities WHERE graph_id = graphmem.current_graph_id() AND length(name) > 10 GROUP BY 1;
SELECT count(*) FROM graphmem.facts WHERE predicate = 'long';

-- privileges and row security of the caller
CREATE ROLE regress_facts;
GRANT USAGE ON SCHEMA graphmem TO regress_facts;
GRANT SELECT ON ALL TABLES IN SCHEMA graphmem TO regress_facts;
GRANT INSERT, UPDATE, DELETE ON graphmem.facts TO regress_facts;
SELECT graphmem.create_graph('facts_role') > 0 AS created;
SET graphmem.graph = 'facts_role';
INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('seen', 'p', 'o'), ('hidden', 'p', 'o');
SET ROLE regress_facts;
INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('role', 'p', 'o');
UPDATE graphmem.facts SET confidence = 0.5;
DELETE FROM graphmem.facts;
RESET ROLE;
GRANT INSERT ON graphmem.entities, graphmem.predicates, graphmem.triples TO regress_facts;
CREATE POLICY regress_facts ON graphmem.entities TO regress_facts USING (name <> 'hidden') WITH CHECK (name <> 'forbidden');
ALTER TABLE graphmem.entities ENABLE ROW LEVEL SECURITY;
SET ROLE regress_facts;
INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('role', 'p', 'o'), ('seen', 'p', 'role');
INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('forbidden', 'p', 'o');
INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('hidden', 'p', 'o2');
SELECT subject, predicate, object FROM graphmem.facts ORDER BY 1, 3;
RESET ROLE;
ALTER TABLE graphmem.entities DISABLE ROW LEVEL SECURITY;
DROP POLICY regress_facts ON graphmem.entities;
REVOKE ALL ON ALL TABLES IN SCHEMA graphmem FROM regress_facts;
REVOKE ALL ON SCHEMA graphmem FROM regress_facts;
DROP ROLE regress_facts;

-- vectors
SELECT graphmem.create_graph('vectors_test') > 0 AS created;
SET graphmem.graph = 'vectors_test';
INSERT INTO graphmem.vectors (item, embedding) VALUES ('Ada', '{1,2,3}'), ('Bob', '{1,2,4}'), ('Ada', '{5,5,5}');
SELECT item, embedding, space, target FROM graphmem.vectors ORDER BY 1;
SELECT name, target, dim, metric FROM graphmem.vector_spaces WHERE graph_id = graphmem.current_graph_id();
INSERT INTO graphmem.vectors (item, embedding) VALUES ('Cid', '{1,2,3}'), ('Ada', '{1,2}');
INSERT INTO graphmem.vectors (item, embedding) VALUES ('Ada', '{1,NaN,3}');
INSERT INTO graphmem.vectors (item, embedding) VALUES ('Ada', '{1,2,-Infinity}');
INSERT INTO graphmem.vectors (item, embedding) VALUES ('Ada', '{0,0,0}');
INSERT INTO graphmem.vectors (item, embedding) VALUES ('Ada', '{1e30,1,1}');
INSERT INTO graphmem.vectors (item, embedding) VALUES ('Ada', '{1,NULL,1}');
INSERT INTO graphmem.vectors (item, embedding) VALUES ('Ada', '{}');
INSERT INTO graphmem.vectors (item, embedding) VALUES ('Ada', '{{1,2,3}}');
INSERT INTO graphmem.vectors (item, embedding) VALUES ('Ada', NULL);
INSERT INTO graphmem.vectors (item, embedding) VALUES (NULL, '{1,2,3}');
INSERT INTO graphmem.vectors (item, embedding, space) VALUES ('Ada', '{1,2,3}', 'nowhere');
COPY graphmem.vectors (item, embedding) FROM stdin;
Cid	{7,8,9}
\.
UPDATE graphmem.vectors SET embedding = '{9,9,9}' WHERE item = 'Bob';
UPDATE graphmem.vectors SET embedding = '{9,9}' WHERE item = 'Bob';
UPDATE graphmem.vectors SET item = 'Eve' WHERE item = 'Bob';
DELETE FROM graphmem.vectors WHERE item = 'Ada';
SELECT item, embedding, space, target FROM graphmem.vectors ORDER BY 1;
SELECT graphmem.create_vector_space('sources', 2, 'source', 'l2') > 0 AS created;
SELECT graphmem.create_vector_space('facts', 2, 'fact', 'ip') > 0 AS created;
INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('s', 'p', 'o');
INSERT INTO graphmem.vectors (item, embedding, space) VALUES ('doc', '{0,0}', 'sources');
INSERT INTO graphmem.vectors (item, embedding, space) SELECT fact_id::text, '{1,2}', 'facts' FROM graphmem.facts;
INSERT INTO graphmem.vectors (item, embedding, space) VALUES ('0', '{1,2}', 'facts');
INSERT INTO graphmem.vectors (item, embedding, space) VALUES ('not a number', '{1,2}', 'facts');
INSERT INTO graphmem.vectors (item, embedding, space, target) VALUES ('doc', '{1,2}', 'sources', 'entity');
SELECT space, target, count(*) FROM graphmem.vectors GROUP BY 1, 2 ORDER BY 1;
INSERT INTO graphmem.vectors (item, embedding)
SELECT 'v' || i, ARRAY[i, 1, 1] FROM generate_series(1, 20000) i;
SELECT count(*), sum(embedding[1]) FROM graphmem.vectors WHERE item LIKE 'v%';

DROP VIEW versions;
DROP FUNCTION nested(text);
RESET graphmem.graph;
SELECT name, graphmem.drop_graph(name) >= 0 AS dropped FROM graphmem.graphs
WHERE name IN ('facts_test', 'facts_copy', 'facts_nest', 'facts_many', 'facts_role', 'vectors_test') ORDER BY 1;

-- a graph made, and looked at by the view, within one statement
DO $$
BEGIN
	PERFORM graphmem.create_graph('made within');
	PERFORM set_config('graphmem.graph', 'made within', true);
	PERFORM count(*) FROM graphmem.facts;
	INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('a', 'p', 'b');
	RAISE NOTICE '% facts', (SELECT count(*) FROM graphmem.facts);
	PERFORM graphmem.drop_graph('made within');
END
$$;
