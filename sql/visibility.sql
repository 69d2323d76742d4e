-- What a call sees of changes: those its snapshot sees, its own included, and
-- no others, however the image was come by.
SET client_min_messages = warning;
CREATE DATABASE graphmem_visibility TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C';
\connect graphmem_visibility
SET client_min_messages = warning;
CREATE EXTENSION graphmem CASCADE;
RESET client_min_messages;
SET timezone = 'UTC';
\pset null '-'

INSERT INTO graphmem.facts (subject, predicate, object, source, confidence) VALUES
	('a', 'p', 'b', 'book', 0.5), ('b', 'p', 'c', NULL, 1);
INSERT INTO graphmem.vectors (item, embedding) VALUES ('a', '{1,0}'), ('b', '{0,1}');

-- one column per function: what it makes of the graph
CREATE TEMP VIEW look AS
SELECT (SELECT count(*) FROM graphmem.match()) AS match,
	(SELECT string_agg(neighbor, '') FROM graphmem.neighbors('b')) AS neighbors,
	(SELECT string_agg(entity, '') FROM graphmem.traverse('{a}', 5)) AS traverse,
	(SELECT count FROM graphmem.reach('a', 5)) AS reach,
	(SELECT hops FROM graphmem.shortest_path('a', 'd')) AS shortest,
	(SELECT count(*) FROM graphmem.paths('a', 'c', 9)) AS paths,
	(SELECT count(*) FROM graphmem.subgraph('{a,d}')) AS subgraph,
	(SELECT count(*) FROM graphmem.pagerank()) AS pagerank,
	(SELECT count(*) FROM graphmem.pagerank('{a}')) AS personal,
	(SELECT count(DISTINCT component_id) FROM graphmem.components()) AS components,
	(SELECT confidence FROM graphmem.confidence('a', 'p', 'b')) AS confidence,
	(SELECT string_agg(item, '') FROM graphmem.vector_search('{1,0}')) AS vectors,
	(SELECT string_agg(item, '') FROM graphmem.similar('a')) AS similar,
	(SELECT string_agg(entity, '' ORDER BY entity) FROM graphmem.fusion_query(seeds => '{a}', max_hops => 9)) AS fusion,
	(SELECT items FROM graphmem.estimate_memory() WHERE part = 'triples') AS memory,
	(SELECT count(*) FROM graphmem.facts) AS facts;

SELECT * FROM look;

-- ---- own changes, before they are committed and after they are not ----
BEGIN;
INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('c', 'p', 'd');
INSERT INTO graphmem.vectors (item, embedding) VALUES ('d', '{0.5,0.5}');
SELECT * FROM look;
DELETE FROM graphmem.triples;
SELECT * FROM look;
ROLLBACK;
SELECT * FROM look;

-- savepoints: the first change of the transaction is in one
BEGIN;
SELECT match, reach FROM look;
SAVEPOINT one;
INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('c', 'p', 'd');
SELECT * FROM look;
ROLLBACK TO one;
SELECT * FROM look;
INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('a', 'p', 'c');
SELECT match, reach, paths FROM look;
ROLLBACK TO one;
SELECT match, reach, paths FROM look;
COMMIT;

-- a savepoint after a change, rolled back to with nothing else between
BEGIN;
INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('c', 'p', 'd');
SELECT match, shortest FROM look;
SAVEPOINT one;
DELETE FROM graphmem.triples WHERE triple_id = 1;
SELECT match, shortest FROM look;
ROLLBACK TO one;
SELECT match, shortest FROM look;
SAVEPOINT two;
INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('d', 'p', 'e');
SAVEPOINT three;
INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('e', 'p', 'f');
RELEASE three;
SELECT match, reach FROM look;
ROLLBACK TO two;
SELECT match, reach FROM look;
RELEASE one;
SELECT match, reach FROM look;
ROLLBACK;
SELECT match, reach FROM look;

-- a statement that fails
BEGIN;
INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('c', 'p', 'd');
SAVEPOINT one;
INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('d', 'p', 'e'), ('e', 'p', NULL);
SELECT 1;
ROLLBACK TO one;
SELECT match, reach FROM look;
ROLLBACK;

-- blocks of PL/pgSQL with and without an error, between reads
DO $$
DECLARE
	seen bigint[];
BEGIN
	seen := seen || (SELECT count(*) FROM graphmem.match());
	PERFORM graphmem.add_triple('c', 'p', 'd');
	seen := seen || (SELECT count(*) FROM graphmem.match());
	BEGIN
		PERFORM graphmem.add_triple('d', 'p', 'e');
		seen := seen || (SELECT count(*) FROM graphmem.match());
		RAISE division_by_zero;
	EXCEPTION WHEN division_by_zero THEN
		seen := seen || (SELECT count(*) FROM graphmem.match());
	END;
	BEGIN
		PERFORM graphmem.add_triple('d', 'p', 'e');
	EXCEPTION WHEN division_by_zero THEN
		NULL;
	END;
	seen := seen || (SELECT count FROM graphmem.reach('a', 9));
	DELETE FROM graphmem.facts WHERE subject = 'd';
	seen := seen || (SELECT count FROM graphmem.reach('a', 9));
	RAISE NOTICE 'seen %', seen;
	RAISE EXCEPTION 'all of it undone';
END $$;
SELECT match, reach FROM look;
-- a chain, each link found by reading what was written before
DO $$
DECLARE
	last text := 'c';
BEGIN
	FOR i IN 1..20 LOOP
		PERFORM graphmem.add_triple(last, 'then', 'link ' || i);
		SELECT entity INTO last FROM graphmem.traverse('{c}', 100, predicates => '{then}', direction => 'out')
		ORDER BY hops DESC LIMIT 1;
	END LOOP;
	RAISE NOTICE 'last %, reach %', last, (SELECT count FROM graphmem.reach('c', 100, 'out', '{then}'));
END $$;
DELETE FROM graphmem.facts WHERE predicate = 'then';
DELETE FROM graphmem.entities WHERE name LIKE 'link %';
SELECT match, reach, pagerank FROM look;
-- commits in between
DO $$
BEGIN
	PERFORM graphmem.add_triple('c', 'p', 'd');
	COMMIT;
	RAISE NOTICE 'committed: %', (SELECT count(*) FROM graphmem.match());
	DELETE FROM graphmem.triples WHERE object_id = (SELECT entity_id FROM graphmem.entities WHERE name = 'd');
	ROLLBACK;
	RAISE NOTICE 'rolled back: %', (SELECT count(*) FROM graphmem.match());
	DELETE FROM graphmem.triples WHERE object_id = (SELECT entity_id FROM graphmem.entities WHERE name = 'd');
	DELETE FROM graphmem.entities WHERE name = 'd';
	RAISE NOTICE 'deleted: %', (SELECT count(*) FROM graphmem.match());
END $$;

-- ---- cursors, prepared statements ----
BEGIN;
DECLARE plain CURSOR FOR SELECT neighbor FROM graphmem.neighbors('b');
DECLARE held CURSOR WITH HOLD FOR SELECT neighbor FROM graphmem.neighbors('b');
DECLARE late CURSOR FOR SELECT neighbor FROM graphmem.neighbors('b');
FETCH 1 FROM plain;
INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('b', 'p', 'd');
DELETE FROM graphmem.facts WHERE subject = 'a';
SELECT neighbors FROM look;
FETCH ALL FROM plain;
-- never fetched from until now
FETCH ALL FROM late;
FETCH 1 FROM held;
CLOSE plain;
COMMIT;
SELECT neighbors FROM look;
FETCH ALL FROM held;
CLOSE held;
DELETE FROM graphmem.facts WHERE object = 'd';
DELETE FROM graphmem.entities WHERE name = 'd';
INSERT INTO graphmem.facts (subject, predicate, object, source, confidence) VALUES ('a', 'p', 'b', 'book', 0.5);

PREPARE ask (text) AS SELECT neighbor, direction FROM graphmem.neighbors($1);
EXECUTE ask('c');
BEGIN;
INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('c', 'p', 'd');
EXECUTE ask('c');
ROLLBACK;
EXECUTE ask('c');
SET plan_cache_mode = force_generic_plan;
EXECUTE ask('c');
EXECUTE ask(NULL);
RESET plan_cache_mode;
DEALLOCATE ask;

-- ---- statements that read and write at once ----
BEGIN;
-- what a statement writes it does not read
INSERT INTO graphmem.facts (subject, predicate, object)
	SELECT object, 'inverse of ' || predicate, subject FROM graphmem.match();
SELECT subject, predicate, object FROM graphmem.facts ORDER BY subject, predicate, object;
WITH new AS (INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('x', 'p', 'y') RETURNING 1)
SELECT (SELECT count(*) FROM graphmem.match()) AS before, count(*) FROM new;
SELECT match FROM look;
UPDATE graphmem.triples t SET confidence = 0.25 FROM graphmem.match(predicate => 'p') m WHERE m.triple_id = t.triple_id;
SELECT DISTINCT predicate, confidence FROM graphmem.match() ORDER BY 1;
DELETE FROM graphmem.triples WHERE triple_id IN (SELECT triple_id FROM graphmem.match(predicate => 'inverse of p'));
SELECT match FROM look;
ROLLBACK;
-- a volatile function in the list writes, the stable ones beside it see the statement's own snapshot
CREATE FUNCTION pg_temp.add_and_count(name text) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
BEGIN
	PERFORM graphmem.add_triple('c', 'p', name);
	RETURN (SELECT count(*) FROM graphmem.match());
END $$;
CREATE FUNCTION pg_temp.stable_count() RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
	RETURN (SELECT count(*) FROM graphmem.match());
END $$;
BEGIN;
SELECT i, pg_temp.add_and_count('new ' || i) AS inside, (SELECT count(*) + 0 * i FROM graphmem.match()) AS outside,
	pg_temp.stable_count() AS stable FROM generate_series(1, 3) i;
SELECT match FROM look;
ROLLBACK;
-- a trigger on a table of the user's
CREATE TEMP TABLE notes (name text);
CREATE FUNCTION pg_temp.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM graphmem.add_triple('note', 'of', NEW.name);
	RAISE NOTICE 'notes: %', (SELECT count(*) FROM graphmem.match('note'));
	RETURN NEW;
END $$;
CREATE TRIGGER note AFTER INSERT ON notes FOR EACH ROW EXECUTE FUNCTION pg_temp.note();
BEGIN;
INSERT INTO notes VALUES ('a'), ('b');
ROLLBACK;
SELECT match FROM look;

-- ---- each table that an image is made of, changed by hand ----
BEGIN;
COPY graphmem.facts (subject, predicate, object) FROM stdin;
b	q	d
d	q	a
\.
SELECT match, neighbors, traverse, shortest FROM look;
ROLLBACK;
BEGIN;
UPDATE graphmem.triples SET confidence = 0.125 WHERE triple_id = 2;
SELECT triple_id = 2 AS changed, confidence FROM graphmem.match('b', 'p', 'c');
UPDATE graphmem.triples SET valid_to = '2001-01-01' WHERE triple_id = 2;
SELECT match, neighbors, memory, facts FROM look;
ROLLBACK;
BEGIN;
UPDATE graphmem.entities SET name = 'bee', kind = 'insect' WHERE name = 'b';
SELECT match, neighbors, traverse FROM look;
SELECT entity, kind FROM graphmem.traverse('{a}', kinds => '{insect}');
ROLLBACK;
BEGIN;
INSERT INTO graphmem.aliases (graph_id, name, entity_id) SELECT graph_id, 'beta', entity_id FROM graphmem.entities WHERE name = 'b';
SELECT count(*) FROM graphmem.neighbors('beta');
UPDATE graphmem.aliases SET name = 'BETA';
SELECT count(*) FROM graphmem.neighbors('beta');
ROLLBACK;
SELECT count(*) FROM graphmem.neighbors('beta');
BEGIN;
SELECT entity FROM graphmem.traverse('{c}', 9, direction => 'out');
SELECT graphmem.set_predicate('p', "symmetric" => true) IS NOT NULL AS set;
SELECT entity FROM graphmem.traverse('{c}', 9, direction => 'out');
UPDATE graphmem.predicates SET name = 'ppp' WHERE name = 'p';
SELECT predicate FROM graphmem.match() LIMIT 1;
ROLLBACK;
BEGIN;
SELECT graphmem.add_triple('b', 'heavy', 'd') IS NOT NULL AS added;
SELECT entity FROM graphmem.pagerank('{b}', 2);
SELECT graphmem.set_predicate('heavy', weight => 100) IS NOT NULL AS set;
SELECT entity FROM graphmem.pagerank('{b}', 2);
ROLLBACK;
BEGIN;
UPDATE graphmem.sources SET reliability = 0.5;
SELECT confidence FROM look;
UPDATE graphmem.assertions SET confidence = 1;
SELECT confidence FROM look;
UPDATE graphmem.sources SET name = 'tale';
SELECT sources FROM graphmem.confidence('a', 'p', 'b');
DELETE FROM graphmem.assertions;
SELECT confidence, source_confidence, sources FROM graphmem.confidence('a', 'p', 'b');
ROLLBACK;
BEGIN;
UPDATE graphmem.embeddings SET embedding = '{1,1}' WHERE embedding = '{0,1}';
SELECT item, round(similarity::numeric, 4) AS similarity FROM graphmem.vector_search('{1,0}');
SAVEPOINT one;
DELETE FROM graphmem.embeddings;
SELECT vectors FROM look;
ROLLBACK TO one;
SELECT item, round(similarity::numeric, 4) AS similarity FROM graphmem.vector_search('{1,0}');
ROLLBACK;
SELECT item, round(similarity::numeric, 4) AS similarity FROM graphmem.vector_search('{1,0}');
BEGIN;
TRUNCATE graphmem.triples, graphmem.assertions, graphmem.supersessions;
SELECT match, neighbors, traverse, facts, pagerank FROM look;
SAVEPOINT one;
INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('a', 'p', 'z');
SELECT match, traverse FROM look;
ROLLBACK TO one;
SELECT match, traverse FROM look;
ROLLBACK;
SELECT match, neighbors, traverse, facts, pagerank FROM look;
BEGIN;
SELECT graphmem.drop_graph('default');
SELECT match, neighbors, traverse, facts, pagerank FROM look;
ROLLBACK;
BEGIN;
SELECT graphmem.create_graph('default 2') IS NOT NULL AS created;
SET LOCAL graphmem.graph = 'default 2';
SELECT match FROM look;
ROLLBACK;
SELECT match FROM look;
SELECT count(*) FROM graphmem.match(graph => 'default 2');

-- ---- an image is loaded once ----
-- reads of the table so far, whichever way
CREATE TEMP VIEW scans AS
SELECT seq_scan + idx_scan AS scans FROM pg_stat_xact_user_tables WHERE relid = 'graphmem.triples'::regclass;
-- one statement, many calls
BEGIN;
SELECT scans AS before FROM scans \gset
SELECT count(*), count(DISTINCT n.neighbor) FROM generate_series(1, 1000) i, LATERAL graphmem.neighbors(chr(97 + i % 3)) n;
SELECT scans - :before AS scans FROM scans;
COMMIT;
-- one snapshot, many statements; a savepoint is rolled back in which nothing was written
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT scans AS before FROM scans \gset
SELECT count(*) FROM graphmem.match('a', known_at => 'infinity');
SAVEPOINT one;
SELECT count FROM graphmem.reach('a');
ROLLBACK TO one;
SELECT count FROM graphmem.reach('a');
SELECT entity FROM graphmem.pagerank();
SELECT scans - :before < 2 AS at_most_once FROM scans;
COMMIT;
-- a write of this transaction, and then many reads
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT graphmem.add_triple('a', 'p', 'c') IS NOT NULL AS added;
SELECT scans AS before FROM scans \gset
SELECT count(*) FROM generate_series(1, 100) i, LATERAL graphmem.match('a', match_count => i % 2);
SELECT count(*) FROM generate_series(1, 100) i, LATERAL graphmem.reach('a', i);
SELECT scans - :before AS scans FROM scans;
ROLLBACK;
-- two graphs in turns
INSERT INTO graphmem.graphs (name) VALUES ('other');
BEGIN;
SELECT scans AS before FROM scans \gset
SELECT count(*) FROM generate_series(1, 100) i,
	LATERAL graphmem.match('a', graph => CASE i % 2 WHEN 0 THEN 'default' ELSE 'other' END);
SELECT scans - :before AS scans FROM scans;
COMMIT;
-- many transactions; others of the cluster may end between two of them, but not between all
DO $$
DECLARE
	least_scans bigint;
	before bigint;
BEGIN
	FOR i IN 1..50 LOOP
		COMMIT;
		before := (SELECT scans FROM scans);
		PERFORM count(*) FROM graphmem.match();
		least_scans := least(least_scans, (SELECT scans FROM scans) - before);
	END LOOP;
	RAISE NOTICE 'scans: %', least_scans;
END $$;

-- ---- the extension itself comes and goes ----
SELECT match FROM look;
DROP VIEW look, scans;
DROP EXTENSION graphmem;
SET client_min_messages = warning;
CREATE EXTENSION graphmem;
RESET client_min_messages;
SELECT count(*) FROM graphmem.match();
SELECT graphmem.add_triple('a', 'p', 'b');
SELECT subject, predicate, object FROM graphmem.match();
BEGIN;
SELECT graphmem.add_triple('b', 'p', 'c');
DROP EXTENSION graphmem;
SAVEPOINT one;
SELECT count(*) FROM graphmem.match();
ROLLBACK;
SELECT subject, predicate, object FROM graphmem.match();

\connect postgres
DROP DATABASE graphmem_visibility;
