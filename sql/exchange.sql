--
-- Import and export: N-Triples, rows of facts, tables of edges, memory.jsonl
--
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set SHOW_CONTEXT never

--
-- N-Triples
--
SELECT graphmem.create_graph('nt') > 0 AS created;
SET graphmem.graph = 'nt';
INSERT INTO graphmem.ntriples VALUES
	('<http://a/s> <http://a/p> <http://a/o> .'),
	(NULL),
	('# a comment'),
	(E'_:b.1 <http://a/p> "plain" . # behind\r'),
	(E'\t<http://a/s>\t<http://a/p>"typed"^^<http://www.w3.org/2001/XMLSchema#string>.\n\n'
	 '<http://a/s> <http://a/p> "1"^^<http://www.w3.org/2001/XMLSchema#integer> .'),
	('<http://a/\u00e9\U0001F600> <http://a/p> "\t\"\\\n"@de-AT .'),
	('<http://a/s> <http://a/p> <http://a/o> .');
SELECT subject, predicate, object, object_type FROM graphmem.facts
ORDER BY subject COLLATE "C", object COLLATE "C";
SELECT line FROM graphmem.ntriples ORDER BY line COLLATE "C";

-- an error names line and column; nothing of the statement is kept
INSERT INTO graphmem.ntriples VALUES
	('<http://a/new> <http://a/p> <http://a/o> .'), (E'# two lines\n'), (NULL), (E'\r\n\n<é> <p> "x"@ .');
INSERT INTO graphmem.ntriples VALUES ('<http://a/new> <http://a/p> <http://a/o>');
INSERT INTO graphmem.ntriples VALUES ('<http://a/new> <http://a/p> "\ud83d\ude00" .');
INSERT INTO graphmem.ntriples VALUES ('<http://a/new> <http://a/p> "\u0000" .');
INSERT INTO graphmem.ntriples VALUES ('"literal" <http://a/p> <http://a/o> .');
INSERT INTO graphmem.ntriples VALUES ('<a b> <http://a/p> <http://a/o> .');
SELECT count(*) FROM graphmem.entities WHERE name = 'http://a/new';
UPDATE graphmem.ntriples SET line = '<a> <b> <c> .';
DELETE FROM graphmem.ntriples;
CREATE VIEW other AS SELECT 'x'::text AS line;
CREATE TRIGGER other_row INSTEAD OF INSERT ON other FOR EACH ROW EXECUTE FUNCTION graphmem.ntriples_trigger();
INSERT INTO other VALUES ('<a> <b> <c> .');
SELECT graphmem.ntriples_trigger();
DROP VIEW other;

-- every name there is comes back: each with each as subject, predicate, object and type
CREATE TABLE odd (name text);
INSERT INTO odd VALUES (''), (' '), ('a b'), ('_:b'), ('_:b.'), ('_:b:c'), ('_:'), ('_: '), ('<a>'), ('"a"'), ('"a"@en'),
	('@en'), ('@en-GB-x1'), ('@'), ('@en-'), ('^^'), ('\u0041'), ('\'), ('.'), ('#'), (E'\t\n\r\b\f'), (E'\x01\x02\x1f\x7f'),
	('{}|^`'), (U&'\00E9\0301\202E\FEFF\FFFE\FFFF\+01F600\+10FFFF'), (U&'\0085\2028\2029'), ('http://a/b?c=d#e'),
	('http://www.w3.org/2001/XMLSchema#string'), ('\.');
SELECT graphmem.create_graph('odd') > 0 AS created;
SET graphmem.graph = 'odd';
INSERT INTO graphmem.facts (subject, predicate, object) SELECT s.name, p.name, o.name FROM odd s, odd p, odd o;
INSERT INTO graphmem.facts (subject, predicate, object, object_type) SELECT s.name, 'p', o.name, t.name FROM odd s, odd o, odd t;
CREATE TABLE lines AS SELECT line FROM graphmem.ntriples;
SELECT count(*), count(DISTINCT line), count(*) FILTER (WHERE line ~ '[\x01-\x1f\x7f]') AS control FROM lines;
SELECT graphmem.create_graph('odd again') > 0 AS created;
SET graphmem.graph = 'odd again';
INSERT INTO graphmem.ntriples SELECT line FROM lines;
SELECT count(*) FROM graphmem.facts;
CREATE VIEW odd_facts AS SELECT g.name AS graph, s.name AS s, p.name AS p, o.name AS o, o.literal_type AS t
FROM graphmem.triples JOIN graphmem.graphs g USING (graph_id) JOIN graphmem.entities s ON s.entity_id = subject_id
	JOIN graphmem.predicates p USING (predicate_id) JOIN graphmem.entities o ON o.entity_id = object_id;
SELECT count(*) AS differences FROM (
	(SELECT s, p, o, t FROM odd_facts WHERE graph = 'odd' EXCEPT SELECT s, p, o, t FROM odd_facts WHERE graph = 'odd again')
	UNION ALL
	(SELECT s, p, o, t FROM odd_facts WHERE graph = 'odd again' EXCEPT SELECT s, p, o, t FROM odd_facts WHERE graph = 'odd')) d;
DROP VIEW odd_facts;

-- what is current only, and no literal as subject
SELECT graphmem.create_graph('now') > 0 AS created;
SET graphmem.graph = 'now';
INSERT INTO graphmem.facts (subject, predicate, object, valid_from, valid_to) VALUES
	('a', 'p', 'past', NULL, '2000-01-01'), ('a', 'p', 'now', '2000-01-01', NULL), ('a', 'p', 'later', '2900-01-01', NULL);
SELECT line FROM graphmem.ntriples;
SELECT graphmem.ntriples_line('a b', NULL, '_:p', '1', 'xsd:int'), graphmem.ntriples_line('a', NULL, 'p', NULL, NULL);
SELECT graphmem.ntriples_line('a', 'xsd:string', 'p', 'o', NULL);

--
-- Rows of facts
--
SELECT graphmem.create_graph('rows') > 0 AS created;
SET graphmem.graph = 'rows';
INSERT INTO graphmem.facts (subject, predicate, object, source, confidence, valid_from, valid_to, properties, subject_kind, object_kind, object_type) VALUES
	('Ada', 'wrote', 'Note G', 'letter', 0.5, NULL, NULL, '{"a": [1, null]}', 'person', 'text', NULL),
	('Ada', 'wrote', 'Note G', 'book', 0.25, NULL, NULL, NULL, NULL, NULL, NULL),
	('Ada', 'wrote', 'Note A', NULL, 0.1, NULL, NULL, NULL, NULL, NULL, NULL),
	('Ada', 'wrote', 'Note A', 'letter', 0.7, NULL, NULL, NULL, NULL, NULL, NULL),
	('Ada', 'lived in', 'London', 'book', NULL, '1815-12-10', '1835-07-08', NULL, NULL, NULL, NULL),
	('Ada', 'lived in', 'London', 'letter', 0.3, '1840-01-01', NULL, NULL, NULL, NULL, NULL),
	('Ada', 'will be', 'known', '', NULL, '2900-01-01 00:00:00.000001', NULL, NULL, NULL, NULL, NULL),
	('', '', '', NULL, 0, NULL, NULL, '{}', '', NULL, ''),
	('Ada', 'born', '1815', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'xsd:gYear');
UPDATE graphmem.facts SET confidence = 0.9 WHERE object = 'Note A';
SELECT * FROM graphmem.export_facts() ORDER BY subject COLLATE "C", predicate COLLATE "C", object COLLATE "C", valid_from, confidence;
CREATE TABLE exported AS SELECT * FROM graphmem.export_facts();
CREATE VIEW stated AS
SELECT g.name AS graph, s.name AS s, s.kind AS sk, p.name AS p, o.name AS o, o.kind AS ok, o.literal_type, t.confidence,
	t.valid_from, t.valid_to, t.properties,
	(SELECT jsonb_object_agg(c.name, a.confidence) FROM graphmem.assertions a JOIN graphmem.sources c USING (source_id)
		WHERE a.fact_id = t.fact_id) AS assertions
FROM graphmem.triples t JOIN graphmem.graphs g USING (graph_id) JOIN graphmem.entities s ON s.entity_id = subject_id
	JOIN graphmem.predicates p USING (predicate_id) JOIN graphmem.entities o ON o.entity_id = object_id
WHERE t.expired_at = 'infinity';
SELECT graphmem.create_graph('rows again') > 0 AS created;
SET graphmem.graph = 'rows again';
INSERT INTO graphmem.facts (subject, predicate, object, source, confidence, valid_from, valid_to, properties, subject_kind, object_kind, object_type)
SELECT * FROM exported;
SELECT count(*) AS facts FROM stated WHERE graph = 'rows again';
SELECT count(*) AS differences FROM (
	(SELECT to_jsonb(x.*) - 'graph' FROM stated x WHERE graph = 'rows' EXCEPT SELECT to_jsonb(x.*) - 'graph' FROM stated x WHERE graph = 'rows again')
	UNION ALL
	(SELECT to_jsonb(x.*) - 'graph' FROM stated x WHERE graph = 'rows again' EXCEPT SELECT to_jsonb(x.*) - 'graph' FROM stated x WHERE graph = 'rows')) d;
SELECT count(*) AS same FROM (SELECT * FROM graphmem.export_facts() INTERSECT SELECT * FROM exported) e;
SELECT count(*) FROM graphmem.export_facts('rows');
SELECT count(*) FROM graphmem.export_facts('no such graph');

-- an error of the end of the statement names the row
\set SHOW_CONTEXT errors
INSERT INTO graphmem.facts (subject, predicate, object, valid_from, valid_to) VALUES
	('zoo', 'p', 'o', NULL, NULL), ('Ada', 'lived in', 'London', '1830-01-01', '1850-01-01');
\set SHOW_CONTEXT never

--
-- Tables of edges
--
CREATE TABLE "Edge list" (src text, dst text, rel text, weight numeric, note text);
INSERT INTO "Edge list" VALUES
	('a', 'b', 'knows', 1.10, NULL), ('b', 'c', 'knows', 12345678901234567890.123456789, 'x'),
	('a', 'b', 'knows', 2, 'again'), ('a', 'b', 'likes', NULL, NULL), ('a', 'a', 'knows', 3, '');
SELECT graphmem.create_graph('edges') > 0 AS created;
SET graphmem.graph = 'rows';
SELECT graphmem.import_edges('"Edge list"', 'src', 'dst', 'rel', fact_source => 'list', graph => 'edges');
SELECT graphmem.import_edges('"Edge list"', 'src', 'dst', 'rel', graph => 'edges');
SET graphmem.graph = 'edges';
SELECT subject, predicate, object, properties, sources FROM graphmem.facts ORDER BY 1, 2, 3;
CREATE TABLE bare (a int, b int);
INSERT INTO bare VALUES (1, 2), (1, 2), (2, 3);
SELECT graphmem.import_edges('bare', 'a', 'b', predicate => 'to');
SELECT subject, predicate, object, properties FROM graphmem.facts WHERE predicate = 'to' ORDER BY 1, 2, 3;

CREATE TABLE vertices (id bigint, label text, class text, born date, tags text[], empty jsonb);
INSERT INTO vertices VALUES (1, 'Ada', 'person', '1815-12-10', '{x,y}', '{"n": null}'), (2, 'Engine', NULL, NULL, NULL, NULL),
	(3, 'alone', 'person', NULL, NULL, NULL);
CREATE TABLE links (id int, a int, b int, kind text);
INSERT INTO links VALUES (1, 1, 2, 'programs'), (2, 1, 2, 'programs'), (3, 2, 1, 'runs for');
SELECT graphmem.create_graph('vertices') > 0 AS created;
SET graphmem.graph = 'vertices';
INSERT INTO graphmem.entities (graph_id, name, properties) VALUES (graphmem.current_graph_id(), 'Ada', '{"old": 1, "id": 7}');
SELECT graphmem.import_edges('links', 'a', 'b', 'kind', vertices => 'vertices', id_column => 'id',
	name_column => 'label', kind_column => 'class');
SELECT subject, predicate, object, properties, subject_kind, object_kind FROM graphmem.facts ORDER BY 1, 2, 3;
SELECT name, kind, properties FROM graphmem.entities WHERE graph_id = graphmem.current_graph_id() ORDER BY 1;

-- what is refused, leaving nothing
SELECT graphmem.create_graph('refused') > 0 AS created;
SET graphmem.graph = 'refused';
SELECT graphmem.import_edges(NULL, 'a', 'b');
SELECT graphmem.import_edges('graphmem.triples_spo', 'subject_id', 'object_id');
SELECT graphmem.import_edges('links', NULL, 'b');
SELECT graphmem.import_edges('links', 'a', 'no');
SELECT graphmem.import_edges('links', 'a', 'b', id_column => 'id');
SELECT graphmem.import_edges('links', 'a', 'b', vertices => 'vertices');
SELECT graphmem.import_edges('links', 'a', 'b', vertices => 'vertices', id_column => 'class');
SELECT graphmem.import_edges('links', 'a', 'b', graph => 'no such graph');
INSERT INTO links VALUES (4, 1, 9, 'dangles');
SELECT graphmem.import_edges('links', 'a', 'b', vertices => 'vertices', id_column => 'id');
UPDATE links SET b = NULL WHERE id = 4;
\set SHOW_CONTEXT errors
SELECT graphmem.import_edges('links', 'a', 'b', vertices => 'vertices', id_column => 'id');
\set SHOW_CONTEXT never
DELETE FROM links WHERE id = 4;
INSERT INTO vertices VALUES (4, 'Ada');
SELECT graphmem.import_edges('links', 'a', 'b', vertices => 'vertices', id_column => 'id', name_column => 'label');
SELECT count(*) FROM graphmem.entities WHERE graph_id = graphmem.current_graph_id();
CREATE FUNCTION steal(links) RETURNS text LANGUAGE sql AS 'SELECT ''stolen''';
SELECT graphmem.import_edges('links', 'steal', 'b');

-- Apache AGE
SELECT graphmem.agtype_to_jsonb(v) FROM (VALUES
	('{"a": 1.50::numeric, "b": 12345678901234567890.12345678901234567890::numeric, "c": [1.0, -2, NaN, -Infinity, Infinity, null]}'),
	('{"NaN": "x::numeric \" NaN \\", "id": 7}::vertex'),
	('[{"id": 1}::vertex, {"id": 2, "properties": {}}::edge]::path'), ('"é\u0001"'), ('NaN::numeric')) t(v);
\set VERBOSITY sqlstate
SELECT graphmem.agtype_to_jsonb('{"a": Name}');
SELECT graphmem.agtype_to_jsonb('"a');
\set VERBOSITY default
SELECT graphmem.import_age(NULL);

--
-- memory.jsonl
--
CREATE TABLE memory (no serial, line text);
INSERT INTO memory (line) VALUES
	('{"type":"entity","name":"Zed","entityType":"person","observations":["b","a","b","","\u0001\b\t\n\f\r\"\\/é😀"]}'),
	('{"type":"entity","name":"Ada","entityType":"","observations":[]}'),
	('{"type":"entity","name":"","entityType":"x","observations":["a"]}'),
	('{"type":"entity","name":"Zed","entityType":"robot","observations":["c","b","c"]}'),
	('{"type":"entity","name":"Zed","entityType":"robot","observations":[]}'),
	('{"type":"entity","name":"Bob","entityType":"person","observations":["a"]}'),
	('{"type":"relation","from":"Zed","to":"Nobody","relationType":"knows"}'),
	('{"type":"relation","from":"Ada","to":"Bob","relationType":"observation"}'),
	('{"type":"relation","from":"Zed","to":"a","relationType":"observation"}'),
	('{"type":"relation","from":"Zed","to":"Nobody","relationType":"knows"}'),
	('{"type":"relation","from":"Ada","to":"Ada","relationType":""}');
SELECT graphmem.create_graph('memory') > 0 AS created;
SET graphmem.graph = 'memory';
INSERT INTO graphmem.memory_jsonl SELECT line FROM memory ORDER BY no;
SELECT line FROM graphmem.memory_jsonl;
SELECT (SELECT string_agg(line, E'\n') FROM graphmem.memory_jsonl) = (SELECT string_agg(line, E'\n' ORDER BY no) FROM memory) AS same;
SELECT subject, object, object_type FROM graphmem.match('Zed', 'observation', 'a');
SELECT name, kind FROM graphmem.entities WHERE graph_id = graphmem.current_graph_id() AND literal_type IS NULL ORDER BY entity_id;

-- again changes nothing, and what comes later comes last
INSERT INTO graphmem.memory_jsonl SELECT line FROM memory ORDER BY no;
SELECT (SELECT string_agg(line, E'\n') FROM graphmem.memory_jsonl) = (SELECT string_agg(line, E'\n' ORDER BY no) FROM memory) AS same;
INSERT INTO graphmem.memory_jsonl VALUES
	('{"to":"Eve","relationType":"knows","from":"Bob","type":"relation","extra":{"a":[1]}}' || E'\r\n \n'
	 '{"observations":["z","a"],"name":"Bob","entityType":"robot","type":"entity"}'),
	('{"type":"entity","name":"Aaa","entityType":"x","observations":[]}');
UPDATE graphmem.facts SET confidence = 0.5 WHERE subject = 'Bob' AND object = 'a';
DELETE FROM graphmem.facts WHERE subject = 'Zed' AND object = 'b';
SELECT line FROM graphmem.memory_jsonl;

-- out of one graph and into another
CREATE TABLE memory_lines AS SELECT line FROM graphmem.memory_jsonl;
SELECT graphmem.create_graph('memory again') > 0 AS created;
SET graphmem.graph = 'memory again';
INSERT INTO graphmem.memory_jsonl SELECT line FROM memory_lines;
SELECT (SELECT string_agg(line, E'\n') FROM graphmem.memory_jsonl) = (SELECT string_agg(line, E'\n') FROM memory_lines) AS same;

-- a graph of another origin: kinds are none, literals lose their types
SELECT graphmem.create_graph('other') > 0 AS created;
SET graphmem.graph = 'other';
INSERT INTO graphmem.facts (subject, predicate, object, object_type, properties) VALUES
	('a', 'observation', 'o', 'http://www.w3.org/2001/XMLSchema#string', '{"memory_repeats": "none"}'),
	('a', 'observation', '1', 'xsd:int', NULL), ('a', 'p', 'b', NULL, '{"memory_repeats": []}');
SELECT line FROM graphmem.memory_jsonl;
DELETE FROM graphmem.memory_jsonl;

-- what is refused, leaving nothing
DO $$
DECLARE
	bad text;
	context text;
BEGIN
	FOREACH bad IN ARRAY ARRAY['a\u0000', 'a\ud800', 'a\udc00\ud800', 'a\x', 'a' || chr(1)]
	LOOP
		BEGIN
			INSERT INTO graphmem.memory_jsonl VALUES ('{"type":"entity","name":"new","entityType":"x","observations":[]}'),
				(''), (E'\n{"type":"entity","entityType":"x","observations":[],"name":"' || bad || '"}');
		EXCEPTION WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS context = PG_EXCEPTION_CONTEXT;
			RAISE NOTICE '% %', SQLSTATE, substring(context FROM 'memory.jsonl, line [0-9]*');
		END;
	END LOOP;
END
$$;
INSERT INTO graphmem.memory_jsonl VALUES ('{"type":"entity","name":"new","entityType":"x","observations":["a", 1]}');
INSERT INTO graphmem.memory_jsonl VALUES ('{"type":"entity","name":"new","entityType":"x","observations":{}}');
INSERT INTO graphmem.memory_jsonl VALUES ('{"type":"entity","name":"new","entityType":"x"}');
INSERT INTO graphmem.memory_jsonl VALUES ('{"type":"entity","name":1,"entityType":"x","observations":[]}');
INSERT INTO graphmem.memory_jsonl VALUES ('{"type":"relation","from":"new","to":"new"}');
INSERT INTO graphmem.memory_jsonl VALUES ('{"type":"thing","name":"new"}');
INSERT INTO graphmem.memory_jsonl VALUES ('["entity"]');
\set VERBOSITY sqlstate
INSERT INTO graphmem.memory_jsonl VALUES ('{"type":"entity"');
INSERT INTO graphmem.memory_jsonl VALUES (repeat('[', 100000));
\set VERBOSITY default
SELECT count(*) FROM graphmem.entities WHERE name = 'new';
SELECT * FROM graphmem.check();

--
-- Privileges are those of the tables
--
CREATE ROLE exchange_reader;
CREATE ROLE exchange_writer;
GRANT SELECT ON ALL TABLES IN SCHEMA graphmem TO exchange_reader, exchange_writer;
GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA graphmem TO exchange_writer;
GRANT SELECT ON bare TO exchange_reader, exchange_writer;
SET ROLE exchange_writer;
SET graphmem.graph = 'other';
INSERT INTO graphmem.ntriples VALUES ('<x> <y> <z> .');
INSERT INTO graphmem.memory_jsonl VALUES ('{"type":"entity","name":"x","entityType":"t","observations":["o"]}');
SELECT graphmem.import_edges('bare', 'a', 'b');
SELECT graphmem.import_edges('links', 'a', 'b');
SET ROLE exchange_reader;
SELECT count(*) FROM graphmem.ntriples;
SELECT count(*) FROM graphmem.memory_jsonl;
SELECT count(*) FROM graphmem.export_facts();
INSERT INTO graphmem.ntriples VALUES ('<x> <y> <z> .');
INSERT INTO graphmem.memory_jsonl VALUES ('{"type":"entity","name":"x","entityType":"t","observations":[]}');
SELECT graphmem.import_edges('bare', 'a', 'b', predicate => 'new');
RESET ROLE;
CREATE ROLE exchange_nobody;
SET ROLE exchange_nobody;
SELECT count(*) FROM graphmem.ntriples;
SELECT count(*) FROM graphmem.memory_jsonl;
SELECT count(*) FROM graphmem.export_facts();
RESET ROLE;

DROP OWNED BY exchange_reader, exchange_writer, exchange_nobody;
DROP ROLE exchange_reader, exchange_writer, exchange_nobody;
DROP VIEW stated;
DROP FUNCTION steal(links);
DROP TABLE odd, lines, exported, "Edge list", bare, vertices, links, memory, memory_lines;
