-- where facts come from: any number of sources for a fact, each once

SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SELECT graphmem.create_graph('provenance') > 0 AS created;
SET graphmem.graph = 'provenance';
CREATE VIEW pg_temp.stated AS
SELECT s.name AS subject, o.name AS object, c.name AS source, a.confidence, a.asserted_at = pg_catalog.now() AS now
FROM graphmem.assertions a JOIN graphmem.sources c USING (source_id) JOIN graphmem.triples t USING (fact_id)
	JOIN graphmem.entities s ON s.entity_id = t.subject_id JOIN graphmem.entities o ON o.entity_id = t.object_id
WHERE a.graph_id = graphmem.current_graph_id() AND t.expired_at = 'infinity';

-- a source and what is known of it; what is given again replaces, metadata is merged
SELECT graphmem.add_source('letter', 'Dear Charles', 'letter', 'file:letter', 'monday', 0.5, '{"page": 1}') > 0 AS added;
SELECT graphmem.add_source('letter', uri => 'file:letter.txt', metadata => '{"box": 2}') =
	graphmem.add_source('letter') AS same;
SELECT name, session, kind, uri, content, reliability, metadata FROM graphmem.sources WHERE graph_id = graphmem.current_graph_id();

-- the same fact again adds an assertion, not a second fact, whatever its confidence
INSERT INTO graphmem.facts (subject, predicate, object, source, confidence) VALUES ('Ada', 'knows', 'Charles', 'letter', 0.9);
INSERT INTO graphmem.facts (subject, predicate, object, source, confidence) VALUES ('Ada', 'knows', 'Charles', 'diary', 0.25);
INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('Ada', 'knows', 'Charles');
INSERT INTO graphmem.facts (subject, predicate, object, sources) VALUES ('Ada', 'knows', 'Charles', '{}');
SELECT graphmem.add_triple('Ada', 'knows', 'Charles', 'ledger', 0.75) = max(triple_id) AS same_row FROM graphmem.facts;
SELECT subject, object, source, confidence, sources FROM graphmem.facts;
SELECT source, confidence FROM pg_temp.stated ORDER BY source;
-- by the same source: a later statement of it
BEGIN;
INSERT INTO graphmem.facts (subject, predicate, object, source, confidence) VALUES ('Ada', 'knows', 'Charles', 'diary', 0.5);
SELECT source, confidence, now FROM pg_temp.stated ORDER BY source;
COMMIT;
SELECT count(*) FROM graphmem.triples WHERE graph_id = graphmem.current_graph_id();

-- several at once, by either column, each once; shown in the order in which they came to be known
INSERT INTO graphmem.facts (subject, predicate, object, source, sources, confidence) VALUES
	('Ada', 'knows', 'Mary', 'zeta', '{letter, alpha, zeta, alpha}', 0.5),
	('Ada', 'knows', 'Mary', NULL, '{{alpha, beta}, {letter, gamma}}', 0.25);
SELECT object, sources FROM graphmem.facts WHERE object = 'Mary';
SELECT source, confidence FROM pg_temp.stated WHERE object = 'Mary' ORDER BY source;
SELECT sources FROM graphmem.confidence('Ada', 'knows', 'Mary');
COPY graphmem.facts (subject, predicate, object, source, sources, confidence) FROM stdin;
Ada	knows	Jane	book	\N	0.5
Ada	knows	Jane	\N	{book,"a, \\"b\\""}	0.75
\.
SELECT object, sources FROM graphmem.facts WHERE object = 'Jane';
-- no NULL among them, none of it is written
INSERT INTO graphmem.facts (subject, predicate, object, sources) VALUES ('Ada', 'knows', 'Zoe', '{one, NULL}');
SELECT count(*) FROM graphmem.sources WHERE name = 'one';
-- sources are added by stating, not by UPDATE
UPDATE graphmem.facts SET sources = '{other}' WHERE object = 'Mary';
UPDATE graphmem.facts SET source = 'other' WHERE object = 'Mary';
DELETE FROM graphmem.assertions a USING graphmem.sources c WHERE c.source_id = a.source_id AND c.name = 'zeta';
SELECT sources FROM graphmem.facts WHERE object = 'Mary';
-- a fact of another validity is one of its own, with its own sources
INSERT INTO graphmem.facts (subject, predicate, object, source, valid_from, valid_to) VALUES
	('Ada', 'lived in', 'Bath', 'book', '1820-01-01', '1830-01-01'),
	('Ada', 'lived in', 'Bath', 'diary', '1840-01-01', '1850-01-01'),
	('Ada', 'lived in', 'Bath', 'letter', '1841-01-01', '1842-01-01');
SELECT m.valid_from, m.valid_to, array(SELECT c.name FROM graphmem.assertions a JOIN graphmem.sources c USING (source_id)
	WHERE a.fact_id = m.fact_id ORDER BY c.source_id) AS sources
FROM (SELECT * FROM graphmem.match('Ada', 'lived in', as_of => '1825-01-01')
	UNION ALL SELECT * FROM graphmem.match('Ada', 'lived in', as_of => '1845-01-01')) m;
-- a corrected fact keeps them, an erased one leaves none
UPDATE graphmem.facts SET confidence = 0.125 WHERE object = 'Mary';
SELECT confidence, sources FROM graphmem.facts WHERE object = 'Mary';
DELETE FROM graphmem.facts WHERE object = 'Jane';
SELECT count(*) FROM pg_temp.stated WHERE object = 'Jane';

-- confidence by sources: 1 - (1 - confidence * reliability) ...
SELECT confidence, prior, source_confidence, sources FROM graphmem.confidence('Ada', 'knows', 'Charles');
SELECT round((1 - (1 - 0.9 * 0.5) * (1 - 0.5) * (1 - 0.75))::numeric, 4) AS expected;
SELECT graphmem.add_source('letter', reliability => 0) > 0 AS changed;
SELECT confidence FROM graphmem.confidence('Ada', 'knows', 'Charles');

-- what was stated when
CREATE TEMP TABLE moment AS SELECT clock_timestamp() AS at;
INSERT INTO graphmem.facts (subject, predicate, object, source) VALUES ('Ada', 'knows', 'Charles', 'newspaper');
SELECT c.sources FROM moment, graphmem.confidence('Ada', 'knows', 'Charles', known_at => moment.at) c;
SELECT c.sources FROM graphmem.confidence('Ada', 'knows', 'Charles') c;
SELECT c.sources FROM moment, graphmem.fusion_query(seeds => '{Ada}', known_at => moment.at) c WHERE c.entity = 'Charles';
SELECT c.sources FROM graphmem.fusion_query(seeds => '{Ada}') c WHERE c.entity = 'Charles';

-- only what these sources, or sources of these sessions, state
SELECT graphmem.add_source('diary', session => 'tuesday') > 0 AS changed;
SELECT entity FROM graphmem.fusion_query(seeds => '{Ada}', sources => '{gamma}') ORDER BY entity COLLATE "C";
SELECT entity FROM graphmem.fusion_query(seeds => '{Ada}', sessions => '{tuesday}') ORDER BY entity COLLATE "C";
SELECT entity FROM graphmem.fusion_query(seeds => '{Ada}', sources => '{gamma, diary}', sessions => '{tuesday, monday}') ORDER BY entity COLLATE "C";
SELECT count(*) FROM moment, graphmem.fusion_query(seeds => '{Ada}', sources => '{newspaper}');
SELECT count(*) FROM moment, graphmem.fusion_query(seeds => '{Ada}', sources => '{newspaper}', known_at => moment.at);
SELECT count(*) FROM graphmem.fusion_query(seeds => '{Ada}', sources => '{never heard of}');

-- ten thousand sources of one fact, in one row and in many
INSERT INTO graphmem.facts (subject, predicate, object, source, confidence)
	SELECT 'many', 'knows', 'one', 'source ' || i, 0.0001 FROM generate_series(1, 10000) i;
INSERT INTO graphmem.facts (subject, predicate, object, sources, confidence)
	SELECT 'one', 'knows', 'many', array_agg('source ' || i ORDER BY -i), 0.0001 FROM generate_series(1, 10000) i;
INSERT INTO graphmem.facts (subject, predicate, object, source, confidence)
	SELECT 'many', 'knows', 'one', 'source ' || i, 0.0002 FROM generate_series(5001, 10000) i;
SELECT subject, cardinality(sources), sources[1:2], sources[10000] FROM graphmem.facts WHERE 'many' IN (subject, object) ORDER BY subject;
SELECT subject, cardinality(sources), round(source_confidence::numeric, 4) FROM graphmem.confidence(predicate => 'knows')
WHERE 'many' IN (subject, object) ORDER BY subject;
SELECT entity, cardinality(sources) FROM graphmem.fusion_query(seeds => '{many}', sources => '{source 77}');
SELECT * FROM graphmem.check('provenance');
SELECT graphmem.drop_graph('provenance') > 0 AS dropped;
