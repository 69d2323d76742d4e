-- changes(): what became known, and what ceased to be held

SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SELECT graphmem.create_graph('changes_test') > 0 AS created;
SET graphmem.graph = 'changes_test';
CREATE FUNCTION pg_temp.fact(object text) RETURNS bigint LANGUAGE sql AS
$$ SELECT max(t.fact_id) FROM graphmem.triples t JOIN graphmem.entities e ON e.entity_id = t.object_id WHERE e.name = $1 $$;

-- by the view, each statement a transaction of its own
INSERT INTO graphmem.facts (subject, predicate, object, source, confidence) VALUES
	('Ada', 'lives in', 'London', 'letter', 0.5);
UPDATE graphmem.facts SET confidence = 0.75 WHERE subject = 'Ada';
UPDATE graphmem.facts SET confidence = 0.75 WHERE subject = 'Ada';
UPDATE graphmem.facts SET properties = '{"floor": 2}' WHERE subject = 'Ada';
UPDATE graphmem.facts SET valid_to = '2100-01-01', confidence = 0.25 WHERE subject = 'Ada';
UPDATE graphmem.facts SET valid_to = '2110-01-01' WHERE subject = 'Ada';
UPDATE graphmem.facts SET valid_to = NULL WHERE subject = 'Ada';
UPDATE graphmem.facts SET valid_from = '1900-01-01' WHERE subject = 'Ada';
UPDATE graphmem.triples SET expired_at = clock_timestamp() WHERE fact_id = pg_temp.fact('London') AND expired_at = 'infinity';
INSERT INTO graphmem.triples (fact_id, graph_id, subject_id, predicate_id, object_id)
	SELECT fact_id, graph_id, subject_id, predicate_id, object_id FROM graphmem.triples WHERE fact_id = pg_temp.fact('London') LIMIT 1;
-- versions that nobody saw
BEGIN;
INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('Ada', 'knows', 'Charles');
UPDATE graphmem.facts SET confidence = 0.5 WHERE predicate = 'knows';
UPDATE graphmem.facts SET valid_to = '2100-01-01' WHERE predicate = 'knows';
COMMIT;
BEGIN;
INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('Ada', 'knows', 'nobody');
UPDATE graphmem.triples SET expired_at = recorded_at WHERE fact_id = pg_temp.fact('nobody');
COMMIT;
INSERT INTO graphmem.facts (subject, predicate, object, object_type) VALUES ('Ada', 'born', '1815', 'int');
-- stated again: no change, another source
INSERT INTO graphmem.facts (subject, predicate, object, source) VALUES ('Ada', 'lives in', 'London', 'diary');

SELECT change, subject, predicate, object, object_type, confidence, valid_from, valid_to, old_confidence, old_valid_from,
	old_valid_to, sources
FROM graphmem.changes();
SELECT count(*) FROM graphmem.changes() c
WHERE fact_id = pg_temp.fact('London') AND triple_id IN (SELECT triple_id FROM graphmem.triples);

-- a history of known times
INSERT INTO graphmem.entities (graph_id, name) SELECT graphmem.current_graph_id(), n FROM unnest('{x,y,z}'::text[]) n;
INSERT INTO graphmem.aliases (graph_id, name, entity_id)
	SELECT graph_id, 'the x', entity_id FROM graphmem.entities WHERE name = 'x' AND graph_id = graphmem.current_graph_id();
INSERT INTO graphmem.predicates (graph_id, name) SELECT graphmem.current_graph_id(), n FROM unnest('{was,became}'::text[]) n;
CREATE FUNCTION pg_temp.version(fact bigint, predicate text, object text, recorded timestamptz, expired timestamptz,
	valid_from timestamptz, valid_to timestamptz, confidence real DEFAULT 1) RETURNS bigint LANGUAGE sql AS $$
	INSERT INTO graphmem.triples (fact_id, graph_id, subject_id, predicate_id, object_id, recorded_at, expired_at,
		valid_from, valid_to, confidence)
	SELECT $1, s.graph_id, s.entity_id, p.predicate_id, o.entity_id, $4, $5, $6, $7, $8
	FROM graphmem.entities s JOIN graphmem.entities o USING (graph_id) JOIN graphmem.predicates p USING (graph_id)
	WHERE s.name = 'x' AND p.name = $2 AND o.name = $3 RETURNING triple_id $$;
CREATE TEMP TABLE v (what text, triple_id bigint);
INSERT INTO v VALUES
	('added', pg_temp.version(90001, 'was', 'y', '2001-01-01', '2002-01-01', '-infinity', 'infinity')),
	('closed', pg_temp.version(90001, 'was', 'y', '2002-01-01', '2003-01-01', '-infinity', '1999-01-01')),
	('its rest', pg_temp.version(90001, 'was', 'y', '2002-01-01', '2003-01-01', '1999-06-01', 'infinity')),
	('whole again', pg_temp.version(90001, 'was', 'y', '2003-01-01', '2004-01-01', '-infinity', 'infinity')),
	('alike', pg_temp.version(90001, 'was', 'y', '2004-01-01', '2005-01-01', '-infinity', 'infinity')),
	('the successor', pg_temp.version(90002, 'was', 'z', '2002-01-01', 'infinity', '1999-01-01', '1999-06-01')),
	('dead', pg_temp.version(90001, 'was', 'y', '2002-01-01 00:00:01', '2002-01-01 00:00:01', '-infinity', 'infinity')),
	('another predicate', pg_temp.version(90003, 'became', 'z', '2002-01-01', 'infinity', '-infinity', 'infinity'));
INSERT INTO graphmem.supersessions (graph_id, old_fact_id, new_fact_id, old_triple_id, closed_triple_id, reason, superseded_at, undone_at)
	SELECT graphmem.current_graph_id(), 90001, 90002, o.triple_id, n.triple_id, 'moved', '2002-01-01', '2003-01-01'
	FROM v o, v n WHERE o.what = 'added' AND n.what = 'closed';
INSERT INTO graphmem.supersessions (graph_id, old_fact_id, old_triple_id, reason, superseded_at)
	SELECT graphmem.current_graph_id(), 90001, triple_id, 'never was', '2005-01-01' FROM v WHERE what = 'alike';

SELECT changed_at, change, fact_id, what, predicate, object, valid_from, valid_to, old_valid_from, old_valid_to, reason,
	superseded_by
FROM graphmem.changes('x') LEFT JOIN v USING (triple_id);
-- half-open, in known time; with and without a subject
SELECT changed_at, change, object FROM graphmem.changes('x', '2002-01-01', '2003-01-01');
SELECT changed_at, change, object FROM graphmem.changes(NULL, '2002-01-01', '2003-01-01');
SELECT changed_at, change, object FROM graphmem.changes(since => '2003-01-01', until => '2006-01-01');
SELECT changed_at, change, object FROM graphmem.changes(until => '2002-01-01');
SELECT count(*) FROM graphmem.changes(since => '2002-01-01', until => '2002-01-01');
SELECT count(*) FROM graphmem.changes(since => 'infinity');
SELECT count(*) FROM graphmem.changes('x', until => '-infinity');
-- a part of a time adds up to all of it
SELECT count(*) FROM (
	SELECT * FROM graphmem.changes(until => '2002-06-01')
	UNION ALL SELECT * FROM graphmem.changes(since => '2002-06-01', until => '2005-01-01')
	UNION ALL SELECT * FROM graphmem.changes(since => '2005-01-01')
	EXCEPT ALL SELECT * FROM graphmem.changes()) AS c;
-- filters
SELECT changed_at, change, object FROM graphmem.changes('the x', predicates => '{became, unheard of}');
SELECT changed_at, change, object FROM graphmem.changes(until => '2003-01-01', predicates => '{became}');
SELECT count(*) FROM graphmem.changes(predicates => '{}');
SELECT changed_at, change, fact_id FROM graphmem.changes(match_count => 2);
SELECT count(*) FROM graphmem.changes(match_count => 0);
SELECT count(*) FROM graphmem.changes('y');
SELECT count(*) FROM graphmem.changes('nobody at all');
SELECT count(*) FROM graphmem.changes('x', graph => 'default');
SELECT count(*) FROM graphmem.changes(match_count => -1);
SELECT count(*) FROM graphmem.changes(graph => 'no such graph');

-- without a subject a time is found by an index
SET enable_seqscan = off;
CREATE FUNCTION pg_temp.plan(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		RETURN NEXT substring(line FROM 'using (triples_\w+)');
		RETURN NEXT substring(line FROM 'Bitmap Index Scan on (triples_\w+)');
	END LOOP;
END $$;
SELECT DISTINCT p FROM pg_temp.plan($$SELECT * FROM graphmem.changes(since => '2005-01-01')$$) p WHERE p IS NOT NULL ORDER BY p;
RESET enable_seqscan;

-- notification: what can be told without a second session (the rest: test/t/123_notify.pl)
SELECT graphmem.set_notify() = 'graphmem_' || graphmem.current_graph_id() AS channel;
SELECT settings FROM graphmem.graphs WHERE name = 'changes_test';
SELECT graphmem.set_notify(false) = graphmem.set_notify(NULL, 'changes_test') AS channel;
UPDATE graphmem.graphs SET settings = '{"a": 1}' WHERE name = 'changes_test';
SELECT graphmem.set_notify(enabled => false, graph => 'changes_test') IS NOT NULL AS channel;
SELECT settings FROM graphmem.graphs WHERE name = 'changes_test';
SELECT graphmem.set_notify(graph => 'no such graph');
SELECT graphmem.create_graph('changes_loud', settings => '{"notify": "yes"}');
\set VERBOSITY terse
UPDATE graphmem.graphs SET settings = '{"notify": 1}' WHERE name = 'changes_test';
\set VERBOSITY default
SELECT graphmem.create_graph('changes_loud', settings => '{"notify": true}') > 0 AS created;
CREATE ROLE changes_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA graphmem TO changes_reader;
SET ROLE changes_reader;
SELECT count(*) FROM graphmem.changes('x');
SELECT graphmem.set_notify();
RESET ROLE;
CREATE ROLE changes_nobody;
SET ROLE changes_nobody;
SELECT count(*) FROM graphmem.changes('x');
RESET ROLE;
DROP OWNED BY changes_reader;
DROP ROLE changes_reader, changes_nobody;

SELECT graphmem.drop_graph('changes_loud');
SELECT graphmem.drop_graph('changes_test') > 0 AS dropped;
