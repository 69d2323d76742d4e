--
-- Time: what supersedes what, supersede, retract, undo_supersede, history
--
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set SHOW_CONTEXT never
SELECT graphmem.create_graph('time_test') > 0 AS created;
SET graphmem.graph = 'time_test';

-- ids are those of this test, times are dates or now
ALTER TABLE graphmem.supersessions ALTER supersession_id RESTART WITH 700001;
CREATE VIEW steps AS
SELECT row_number() OVER (ORDER BY supersession_id) AS step, * FROM graphmem.supersessions
WHERE graph_id = graphmem.current_graph_id();
CREATE FUNCTION day(value timestamptz) RETURNS text LANGUAGE sql STABLE AS
$$ SELECT CASE WHEN value IS NULL THEN 'open' WHEN value > '2025-01-01' AND value < '2100-01-01' THEN 'now'
	ELSE value::date::text END $$;
CREATE FUNCTION past(subject text, predicate text DEFAULT NULL, object text DEFAULT NULL,
	OUT object text, OUT type text, OUT valid_from text, OUT valid_to text, OUT held bool, OUT status text,
	OUT step bigint, OUT superseded_by text, OUT reason text, OUT automatic bool, OUT undone bool, OUT sources text[])
RETURNS SETOF record LANGUAGE sql AS
$$ SELECT h.object, h.object_type, day(h.valid_from), day(h.valid_to), h.expired_at IS NULL, h.status,
	s.step, h.superseded_by, h.reason, h.automatic, h.undone_at IS NOT NULL, h.sources
FROM graphmem.history(past.subject, past.predicate, past.object) WITH ORDINALITY h LEFT JOIN steps s USING (supersession_id)
ORDER BY h.ordinality $$;
CREATE FUNCTION undo(number bigint) RETURNS bool LANGUAGE sql AS
$$ SELECT graphmem.undo_supersede(supersession_id) IS NOT NULL FROM steps WHERE step = number $$;
CREATE VIEW open AS
SELECT s.name AS s, p.name AS p, o.name AS o, day(NULLIF(t.valid_from, '-infinity')) AS valid_from,
	day(NULLIF(t.valid_to, 'infinity')) AS valid_to, dense_rank() OVER (ORDER BY t.fact_id) AS fact,
	round(t.confidence::numeric, 2) AS confidence, t.properties
FROM graphmem.triples t
	JOIN graphmem.entities s ON s.entity_id = t.subject_id
	JOIN graphmem.predicates p USING (predicate_id)
	JOIN graphmem.entities o ON o.entity_id = t.object_id
WHERE t.graph_id = graphmem.current_graph_id() AND t.expired_at = 'infinity'
ORDER BY t.subject_id, t.predicate_id, t.valid_from, t.object_id;

INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('setup', 'lives', 'here'), ('setup', 'knows', 'all');
SELECT graphmem.set_predicate('lives', functional => true) > 0 AS set;

-- now: restated, superseded, nothing valid
INSERT INTO graphmem.facts (subject, predicate, object, source) VALUES ('a', 'lives', 'Rome', 's1');
INSERT INTO graphmem.facts (subject, predicate, object, source) VALUES ('a', 'lives', 'Rome', 's2');
INSERT INTO graphmem.facts (subject, predicate, object, source) VALUES ('a', 'lives', 'Oslo', 's1');
SELECT * FROM past('a');
SELECT object, sources FROM graphmem.facts WHERE subject = 'a';
SELECT count(*), count(*) FILTER (WHERE valid_to IS NULL) AS open FROM graphmem.match('a', 'lives');
SELECT changes FROM graphmem.functional_keys k JOIN graphmem.entities e ON e.entity_id = k.subject_id
WHERE e.name = 'a' AND k.graph_id = graphmem.current_graph_id();
INSERT INTO graphmem.facts (subject, predicate, object, valid_from, valid_to) VALUES
	('gap', 'lives', 'early', '2000-01-01', '2010-01-01'), ('gap', 'lives', 'late', '2200-01-01', NULL);
INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('gap', 'lives', 'between');
INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('gap', 'lives', 'then');
SELECT s, o, valid_from, valid_to FROM open WHERE s = 'gap';

-- what arrives late slots in; a version with an end outlasts what is shorter
INSERT INTO graphmem.facts (subject, predicate, object, valid_from) VALUES ('b', 'lives', 'C', '2010-01-01');
INSERT INTO graphmem.facts (subject, predicate, object, valid_from) VALUES ('b', 'lives', 'A', '2000-01-01');
INSERT INTO graphmem.facts (subject, predicate, object, valid_from, valid_to) VALUES ('b', 'lives', 'B', '2002-01-01', '2004-01-01');
SELECT s, o, valid_from, valid_to, fact - min(fact) OVER () AS fact FROM open WHERE s = 'b';
-- disjoint: nothing is closed
INSERT INTO graphmem.facts (subject, predicate, object, valid_from, valid_to) VALUES ('b', 'lives', 'Z', '1990-01-01', '1995-01-01');
-- also one with an open end
INSERT INTO graphmem.facts (subject, predicate, object, valid_from, valid_to) VALUES ('b', 'lives', 'D', '2011-01-01', '2012-01-01');
SELECT s, o, valid_from, valid_to, fact - min(fact) OVER () AS fact FROM open WHERE s = 'b';
-- the same start: the later one
INSERT INTO graphmem.facts (subject, predicate, object, valid_from) VALUES ('b', 'lives', 'E', '2011-01-01');
SELECT s, o, valid_from, valid_to FROM open WHERE s = 'b';
-- the same object: within, partly
INSERT INTO graphmem.facts (subject, predicate, object, valid_from, valid_to, source) VALUES ('b', 'lives', 'Z', '1991-01-01', '1992-01-01', 's1');
SELECT o, f.sources FROM past('b') f (o) WHERE o = 'Z';
INSERT INTO graphmem.facts (subject, predicate, object, valid_from, valid_to) VALUES ('b', 'lives', 'Z', '1989-01-01', '1992-01-01');
INSERT INTO graphmem.facts (subject, predicate, object, valid_from, valid_to) VALUES ('b', 'lives', 'Z', '1991-01-01', '1997-01-01');
SELECT s, o, valid_from, valid_to FROM open WHERE s = 'b';
SELECT object, type, valid_from, valid_to, held, status, superseded_by, automatic, undone FROM past('b');

-- rows of one statement count in the order given; so do statements of a transaction
INSERT INTO graphmem.facts (subject, predicate, object, source)
SELECT 'c', 'lives', 'place ' || g, 's1' FROM generate_series(1, 4) g;
BEGIN;
INSERT INTO graphmem.facts (subject, predicate, object, valid_from) VALUES ('d', 'lives', 'A', '2000-01-01');
INSERT INTO graphmem.facts (subject, predicate, object, valid_from) VALUES ('d', 'lives', 'B', '2001-01-01');
INSERT INTO graphmem.facts (subject, predicate, object, valid_from) VALUES ('d', 'lives', 'C', '2001-01-01');
INSERT INTO graphmem.facts (subject, predicate, object, valid_from) VALUES ('d', 'lives', 'D', '2002-01-01'), ('d', 'lives', 'E', '2003-01-01');
SAVEPOINT s;
INSERT INTO graphmem.facts (subject, predicate, object, valid_from) VALUES ('d', 'lives', 'F', '2004-01-01');
ROLLBACK TO s;
COMMIT;
SELECT object, valid_from, valid_to, held, status, superseded_by FROM past('c');
SELECT object, valid_from, valid_to, held, status, superseded_by FROM past('d');
SELECT count(*) AS seen_by_nobody FROM graphmem.triples WHERE recorded_at = expired_at AND graph_id = graphmem.current_graph_id();
-- add_triple too, with the id of the version
SELECT graphmem.add_triple('e', 'lives', 'A', valid_from => '2000-01-01') < graphmem.add_triple('e', 'lives', 'B', valid_from => '2001-01-01') AS in_order;
SELECT graphmem.add_triple('e', 'lives', 'A', valid_from => '2000-06-01', valid_to => '2000-07-01') =
	(SELECT triple_id FROM graphmem.match('e', as_of => '2000-06-01')) AS restated;

-- UPDATE does not supersede: it is refused
UPDATE graphmem.facts SET valid_from = '2002-06-01' WHERE subject = 'd' AND object = 'E';
UPDATE graphmem.facts SET valid_from = '2003-06-01', confidence = 0.5 WHERE subject = 'd' AND object = 'E';
SELECT o, valid_from, valid_to, confidence FROM open WHERE s = 'd';
INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('setup', 'knows', 'more');
SELECT graphmem.set_predicate('knows', functional => true);
INSERT INTO graphmem.facts (subject, predicate, object, valid_from, valid_to) VALUES
	('f', 'visits', 'A', '2000-01-01', '2002-01-01'), ('f', 'visits', 'B', '2001-01-01', '2003-01-01');
SELECT graphmem.set_predicate('visits', functional => true);

-- undo, last in first out and in the middle
INSERT INTO graphmem.facts (subject, predicate, object, valid_from, confidence, properties)
VALUES ('g', 'lives', 'A', '2000-01-01', 0.25, '{"k": 1}');
INSERT INTO graphmem.facts (subject, predicate, object, valid_from) VALUES ('g', 'lives', 'B', '2001-01-01');
INSERT INTO graphmem.facts (subject, predicate, object, valid_from) VALUES ('g', 'lives', 'C', '2002-01-01');
INSERT INTO graphmem.facts (subject, predicate, object, valid_from) VALUES ('g', 'lives', 'D', '2003-01-01');
SELECT max(step) AS last FROM steps \gset
SELECT undo(:last - 1) AS undone;
SELECT o, valid_from, valid_to, fact - min(fact) OVER () AS fact, confidence, properties FROM open WHERE s = 'g';
SELECT object, valid_from, valid_to, held, status, step - :last AS step, superseded_by, undone FROM past('g');
-- the step from C to D was taken again from B
SELECT undo(:last);
SELECT undo(:last + 1) AS undone;
SELECT undo(:last - 2) AS undone;
SELECT o, valid_from, valid_to, fact - min(fact) OVER () AS fact, confidence, properties FROM open WHERE s = 'g';
SELECT undo(:last - 2);
SELECT graphmem.undo_supersede(0);
SELECT graphmem.undo_supersede(NULL);

-- a short claim within an open one: taken back, in the middle, and then what came after it
INSERT INTO graphmem.facts (subject, predicate, object, valid_from, confidence, properties)
VALUES ('v', 'lives', 'Paris', '1900-01-01', 0.25, '{"k": 1}');
INSERT INTO graphmem.facts (subject, predicate, object, valid_from, valid_to) VALUES ('v', 'lives', 'Vichy', '1940-01-01', '1945-01-01');
SELECT max(step) AS last FROM steps \gset
SELECT o, valid_from, valid_to, fact - min(fact) OVER () AS fact, confidence, properties FROM open WHERE s = 'v';
SELECT undo(:last) AS undone;
SELECT o, valid_from, valid_to, fact - min(fact) OVER () AS fact, confidence, properties FROM open WHERE s = 'v';
INSERT INTO graphmem.facts (subject, predicate, object, valid_from, valid_to) VALUES ('v', 'lives', 'Vichy', '1940-01-01', '1945-01-01');
INSERT INTO graphmem.facts (subject, predicate, object, valid_from) VALUES ('v', 'lives', 'Lyon', '2010-01-01');
INSERT INTO graphmem.facts (subject, predicate, object, valid_from, valid_to) VALUES ('v', 'lives', 'Tours', '1914-01-01', '1915-01-01');
INSERT INTO graphmem.facts (subject, predicate, object, valid_from, valid_to) VALUES ('v', 'lives', 'Vence', '1941-01-01', '1942-01-01');
SELECT undo(:last + 1) AS undone;
SELECT o, valid_from, valid_to, fact - min(fact) OVER () AS fact, confidence FROM open WHERE s = 'v';
SELECT object, valid_from, valid_to, held, status, step - :last AS step, superseded_by, undone FROM past('v', 'lives', 'Paris');
-- Lyon, Tours, and the step to Vence that was taken again
SELECT undo(:last + 2) AS undone, undo(:last + 3) AS undone, undo(:last + 5) AS undone;
SELECT o, valid_from, valid_to, fact - min(fact) OVER () AS fact, confidence, properties FROM open WHERE s = 'v';
-- as supersede knows no end, it closes for good
SELECT graphmem.supersede('v', 'lives', 'Paris', 'Nice', '1950-01-01') > 0 AS superseded;
SELECT o, valid_from, valid_to FROM open WHERE s = 'v';

-- in the way: a later step, a correction of the validity, another fact
INSERT INTO graphmem.facts (subject, predicate, object, valid_from, valid_to) VALUES ('h', 'lives', 'A', '2000-01-01', '2010-01-01');
INSERT INTO graphmem.facts (subject, predicate, object, valid_from) VALUES ('h', 'lives', 'C', '2005-01-01');
INSERT INTO graphmem.facts (subject, predicate, object, valid_from) VALUES ('h', 'lives', 'B', '2002-01-01');
SELECT max(step) AS last FROM steps \gset
SELECT undo(:last - 1);
SELECT undo(:last) AS undone, undo(:last - 1) AS undone;
SELECT o, valid_from, valid_to FROM open WHERE s = 'h';
INSERT INTO graphmem.facts (subject, predicate, object, valid_from) VALUES ('i', 'lives', 'A', '2000-01-01');
INSERT INTO graphmem.facts (subject, predicate, object, valid_from) VALUES ('i', 'lives', 'B', '2300-01-01');
SELECT max(step) AS last FROM steps \gset
UPDATE graphmem.facts SET confidence = 0.5, properties = '{"corrected": true}' WHERE subject = 'i';
SELECT undo(:last) AS undone;
SELECT o, valid_from, valid_to, confidence, properties FROM open WHERE s = 'i';
INSERT INTO graphmem.facts (subject, predicate, object, valid_from) VALUES ('i', 'lives', 'B', '2300-01-01');
UPDATE graphmem.facts SET valid_to = '2200-01-01' WHERE subject = 'i';
SELECT undo(:last + 1);
INSERT INTO graphmem.facts (subject, predicate, object, valid_from) VALUES ('j', 'lives', 'A', '2000-01-01');
INSERT INTO graphmem.facts (subject, predicate, object, valid_from) VALUES ('j', 'lives', 'B', '2000-01-01');
SELECT graphmem.retract('j', 'lives', 'B') > 0 AS retracted;
INSERT INTO graphmem.facts (subject, predicate, object, valid_from) VALUES ('j', 'lives', 'C', '1999-01-01');
SELECT max(step) AS last FROM steps \gset
SELECT undo(:last);
SELECT undo(:last - 1);
SELECT o, valid_from, valid_to FROM open WHERE s = 'j';

-- supersede: any predicate, types, restated, errors
SELECT graphmem.add_triple('k', 'knows', 'A', valid_from => '2000-01-01') > 0 AS added;
SELECT graphmem.add_triple('k', 'knows', 'other', valid_from => '2000-01-01') > 0 AS added;
SELECT graphmem.supersede('k', 'knows', 'A', 'B', '2005-01-01', 'better', 's3', 0.5) > 0 AS superseded;
SELECT object, valid_from, valid_to, status, superseded_by, reason, automatic, sources FROM past('k');
SELECT graphmem.supersede('k', 'knows', 'other', 'B', '2006-01-01') > 0 AS superseded;
SELECT o, valid_from, valid_to, confidence FROM open WHERE s = 'k';
SELECT max(step) AS last FROM steps \gset
SELECT undo(:last - 1);
SELECT undo(:last) AS undone, undo(:last - 1) AS undone;
SELECT o, valid_from, valid_to, confidence FROM open WHERE s = 'k';
SELECT graphmem.supersede('k', 'knows', 'A', 'B') > 0 AS now;
SELECT o, valid_from, valid_to FROM open WHERE s = 'k';
SELECT graphmem.add_triple('l', 'age', '41', object_type => 'int', valid_from => '2300-01-01', valid_to => '2400-01-01') > 0 AS added;
SELECT graphmem.supersede('l', 'age', '41', '42') > 0 AS whole;
SELECT object, type, valid_from, valid_to, held, status, superseded_by FROM past('l');
SELECT graphmem.supersede('l', 'age', '42', '43', '2400-01-01');
SELECT graphmem.supersede('l', 'age', '42', '42');
SELECT graphmem.supersede('l', 'age', '41', '43');
SELECT graphmem.supersede('l', 'age', '42', '43', object_type => 'text');
SELECT graphmem.supersede('l', 'age', '99', '43');
SELECT graphmem.supersede('nobody', 'age', '42', '43');
SELECT graphmem.supersede('l', 'nothing', '42', '43');
SELECT graphmem.supersede('l', 'age', '42', '43', confidence => 2);
SELECT graphmem.supersede('l', 'age', '42', NULL);
SELECT graphmem.supersede('l', 'age', '42', '43', graph => 'nowhere');
SELECT graphmem.supersede('d', 'lives', 'A', 'X', '2002-01-01');
SELECT graphmem.supersede('d', 'lives', 'A', 'X', '1999-01-01');
-- cycles
INSERT INTO graphmem.facts (subject, predicate, object, valid_from, valid_to) VALUES
	('m', 'knows', 'A', '2010-01-01', '2020-01-01'), ('m', 'knows', 'B', '2015-01-01', '2018-01-01');
SELECT graphmem.supersede('m', 'knows', 'B', 'A', '2016-01-01') > 0 AS superseded;
SELECT graphmem.supersede('m', 'knows', 'A', 'B', '2015-06-01');
INSERT INTO graphmem.facts (subject, predicate, object, valid_from, valid_to) VALUES ('m', 'knows', 'C', '2012-01-01', '2013-01-01');
UPDATE graphmem.triples t SET valid_to = '2017-01-01' FROM graphmem.entities e WHERE e.entity_id = t.object_id AND e.name = 'A'
	AND t.graph_id = graphmem.current_graph_id() AND t.valid_to = '2020-01-01';
UPDATE graphmem.triples t SET valid_to = '2030-01-01' FROM graphmem.entities e WHERE e.entity_id = t.object_id AND e.name = 'B'
	AND t.graph_id = graphmem.current_graph_id() AND t.valid_from = '2015-01-01' AND t.expired_at = 'infinity';
SELECT graphmem.supersede('m', 'knows', 'A', 'B', '2016-06-01');

-- retract: again and again, also in one transaction, and back
SELECT graphmem.retract('a', 'lives', 'Oslo', reason => 'wrong person') > 0 AS retracted;
SELECT o, valid_from, valid_to FROM open WHERE s = 'a';
BEGIN;
INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('n', 'lives', 'A');
SELECT graphmem.retract('n', 'lives', 'A') > 0 AS retracted;
INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('n', 'lives', 'A');
SELECT graphmem.retract('n', 'lives', 'A') > 0 AS retracted;
INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('n', 'lives', 'A'), ('n', 'knows', 'A');
SELECT graphmem.retract('n', 'knows', 'A') > 0 AS retracted;
INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('n', 'knows', 'A');
SELECT graphmem.retract('n', 'knows', 'A') > 0 AS retracted;
COMMIT;
SELECT object, held, status FROM past('n');
SELECT max(step) AS last FROM steps \gset
SELECT undo(:last) AS undone;
SELECT p, o, valid_from, valid_to FROM open WHERE s = 'n';
SELECT graphmem.retract('b', 'lives', 'Z', as_of => '2005-01-01');
SELECT graphmem.retract('b', 'lives', 'Z', as_of => '1993-01-01') > 0 AS retracted;
SELECT graphmem.retract('b', 'lives', 'Z');
SELECT object, valid_from, valid_to, held, status, reason FROM past('a', 'lives', 'Oslo');

-- what goes on behind a short claim ends none that began later, in whatever order they are stated
INSERT INTO graphmem.facts (subject, predicate, object, valid_from, valid_to) VALUES
	('w', 'lives', 'Paris', '1900-01-01', NULL), ('w', 'lives', 'Vichy', '1940-01-01', '1945-01-01'),
	('w', 'lives', 'Bordeaux', '1942-01-01', NULL),
	('x', 'lives', 'Paris', '1900-01-01', NULL), ('x', 'lives', 'Bordeaux', '1942-01-01', NULL),
	('x', 'lives', 'Vichy', '1940-01-01', '1945-01-01');
SELECT max(step) - 4 AS last FROM steps \gset
SELECT s, o, valid_from, valid_to FROM open WHERE s IN ('w', 'x') ORDER BY 1, 3;
SELECT object, valid_from, valid_to, held, status, step - :last AS step, superseded_by FROM past('w');
-- the short one in the middle; then what took its place, with all that it took
SELECT undo(:last) AS undone;
SELECT o, valid_from, valid_to FROM open WHERE s = 'w';
SELECT count(*) AS steps, count(*) FILTER (WHERE created) AS created FROM steps
WHERE step > :last - 1 AND undone_at IS NULL AND new_fact_id = (SELECT fact_id FROM graphmem.triples t
	JOIN graphmem.entities o ON o.entity_id = t.object_id JOIN graphmem.entities s ON s.entity_id = t.subject_id
	WHERE s.name = 'w' AND o.name = 'Bordeaux' AND t.expired_at = 'infinity');
SELECT undo(max(step)) AS undone FROM steps WHERE undone_at IS NULL AND created;
SELECT o, valid_from, valid_to FROM open WHERE s = 'w';
-- one that ends: in a statement of its own, over two that go on; back at once, or a part of it
INSERT INTO graphmem.facts (subject, predicate, object, valid_from, valid_to) VALUES ('w', 'lives', 'Vichy', '1940-01-01', '1950-01-01');
INSERT INTO graphmem.facts (subject, predicate, object, valid_from, valid_to) VALUES ('w', 'lives', 'Vence', '1941-01-01', '1945-01-01');
SELECT max(step) AS last FROM steps \gset
INSERT INTO graphmem.facts (subject, predicate, object, valid_from, valid_to) VALUES ('w', 'lives', 'Tours', '1944-01-01', '1960-01-01');
SELECT step - :last AS step, created, automatic, rest_triple_id IS NOT NULL AS goes_on FROM steps WHERE step > :last ORDER BY 1;
SELECT o, valid_from, valid_to FROM open WHERE s = 'w';
SELECT undo(:last + 2) AS undone;
SELECT o, valid_from, valid_to FROM open WHERE s = 'w';
SELECT undo(:last + 1) AS undone;
SELECT o, valid_from, valid_to FROM open WHERE s = 'w';
-- the same object again is no later claim
INSERT INTO graphmem.facts (subject, predicate, object, valid_from) VALUES ('w', 'lives', 'Paris', '1943-01-01');
INSERT INTO graphmem.facts (subject, predicate, object, valid_from) VALUES ('w', 'lives', 'Vichy', '1943-01-01');
SELECT o, valid_from, valid_to FROM open WHERE s = 'w';

-- what was known
SELECT count(*) AS wrong FROM graphmem.triples t, (SELECT DISTINCT recorded_at AS at FROM graphmem.triples
	UNION SELECT expired_at FROM graphmem.triples WHERE expired_at < 'infinity') k
WHERE t.functional AND t.recorded_at <= k.at AND k.at < t.expired_at AND EXISTS (SELECT FROM graphmem.triples u
	WHERE u.subject_id = t.subject_id AND u.predicate_id = t.predicate_id AND u.triple_id <> t.triple_id
	AND u.recorded_at <= k.at AND k.at < u.expired_at AND u.valid_from < t.valid_to AND t.valid_from < u.valid_to);

-- names that are unknown, aliases
SELECT count(*) FROM graphmem.history('nobody');
SELECT count(*) FROM graphmem.history('a', 'nothing');
SELECT count(*) FROM graphmem.history('a', 'lives', 'nowhere');
SELECT count(*) FROM graphmem.history('a', graph => 'nowhere');
INSERT INTO graphmem.aliases (graph_id, name, entity_id)
SELECT graph_id, 'Ay', entity_id FROM graphmem.entities WHERE name = 'a' AND graph_id = graphmem.current_graph_id();
SELECT object, status FROM past('Ay', 'lives');
SELECT graphmem.retract('Ay', 'lives', 'Rome') > 0 AS retracted;
SELECT object_type, status FROM graphmem.history('l', 'age', '42');
SELECT * FROM graphmem.check();

DROP VIEW open;
DROP FUNCTION past, undo;
DROP VIEW steps;
DROP FUNCTION day;
SELECT graphmem.drop_graph('time_test') > 0 AS dropped;
