-- Administration: which path answered, waiting, loading again, comparing with
-- the tables, and the views; what is the same on every machine.
SET client_min_messages = warning;
CREATE DATABASE graphmem_admin TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C';
\connect graphmem_admin
SET client_min_messages = warning;
CREATE EXTENSION graphmem CASCADE;
CREATE ROLE regress_graphmem_admin;
RESET client_min_messages;
\pset null '-'
SET graphmem.sync_timeout = '60s';

-- ---- before anything was asked ----
SELECT * FROM graphmem.stat_backend;
SELECT graph_id, graph, state FROM graphmem.stat_graph;
SELECT part FROM graphmem.stat_memory WHERE part IN ('limit', 'private', 'private limit');
SELECT * FROM graphmem.stat_progress_load;
SELECT count(*) FROM graphmem.stat_worker;
SELECT * FROM graphmem.check();
SELECT * FROM graphmem.check('default');

-- ---- shared ----
SELECT graphmem.wait_for_sync();
INSERT INTO graphmem.graphs (graph_id, name, residency) VALUES (1, 'default', 'auto'), (2, 'kept out', 'none'), (3, 'empty', 'pinned');
INSERT INTO graphmem.facts (subject, predicate, object, source) VALUES
	('Ada', 'wrote', 'Note G', 'letter'), ('Note G', 'about', 'engine', 'letter'), ('Ada', 'born', '1815', NULL);
SELECT graphmem.set_embedding('Ada', '{1,0}') > 0 AS set;
SELECT object FROM graphmem.match('Ada');
SELECT path, reason, graph_id, graph, calls_shared, calls_overlay, calls_private, attached_bytes > 0 AS attached
FROM graphmem.stat_backend;
SELECT state, behind, parked, oldest_parked, overflows, blocked_by, last_error, hint FROM graphmem.stat_worker;
SELECT graph_id, graph, residency, state, reason, entities, triples, vectors FROM graphmem.stat_graph ORDER BY 1;
SELECT graphmem.wait_for_sync(), graphmem.wait_for_sync(0), graphmem.wait_for_sync(timeout_ms => 60000);

-- own changes are laid over it, and go with the transaction
BEGIN;
INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('Ada', 'met', 'Faraday');
SELECT object FROM graphmem.match('Ada', 'met');
SELECT path, reason FROM graphmem.stat_backend;
SELECT * FROM graphmem.check();
ROLLBACK;
SELECT object FROM graphmem.match('Ada', 'met');
SELECT path, reason FROM graphmem.stat_backend;

-- why not
SET graphmem.shared_image = off;
SELECT object FROM graphmem.match('Ada', 'wrote');
SELECT path, reason FROM graphmem.stat_backend;
SELECT * FROM graphmem.check('default');
RESET graphmem.shared_image;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT object FROM graphmem.match('Ada', 'wrote');
SELECT path, reason FROM graphmem.stat_backend;
COMMIT;
SELECT count(*) FROM graphmem.match(graph => 'kept out');
SELECT path, reason, graph_id, graph FROM graphmem.stat_backend;
SELECT calls_shared, calls_overlay, calls_private FROM graphmem.stat_backend;
SELECT graphmem.stat_reset();
SELECT calls_shared, calls_overlay, calls_private, waits, wait_time, last_wait FROM graphmem.stat_backend;

-- ---- image and tables ----
SELECT * FROM graphmem.check();
SELECT * FROM graphmem.check('empty');
SELECT * FROM graphmem.check('nowhere');
UPDATE graphmem.entities SET kind = 'person' WHERE name = 'Ada';
DELETE FROM graphmem.facts WHERE object = 'Note G';
SELECT * FROM graphmem.check('default');

-- ---- loaded again ----
SELECT loads FROM graphmem.stat_graph WHERE graph = 'default';
SELECT graphmem.rebuild('default');
SELECT object FROM graphmem.match('Ada');
SELECT loads FROM graphmem.stat_graph WHERE graph = 'default';
-- one's own transaction goes on with the image that is there
BEGIN;
SELECT graphmem.rebuild();
SELECT object FROM graphmem.match('Ada');
SELECT path, reason, last_wait < 1000 AS soon FROM graphmem.stat_backend;
ROLLBACK;
SELECT object FROM graphmem.match('Ada');
SELECT loads FROM graphmem.stat_graph WHERE graph = 'default';
SELECT graphmem.rebuild();
SELECT object FROM graphmem.match('Ada');
SELECT path, reason FROM graphmem.stat_backend;
SELECT loads FROM graphmem.stat_graph WHERE graph = 'default';
SELECT graphmem.rebuild('nowhere');
SELECT graphmem.wait_for_sync(-1);
BEGIN READ ONLY;
SELECT graphmem.rebuild();
ROLLBACK;

-- ---- privileges ----
SET ROLE regress_graphmem_admin;
SELECT count(*) FROM graphmem.stat_worker;
SELECT count(*) FROM graphmem.stat_backend;
SELECT graphmem.wait_for_sync();
SELECT * FROM graphmem.stat_graph;
SELECT * FROM graphmem.check();
SELECT graphmem.rebuild();
SELECT graphmem.stat_reset();
RESET ROLE;
GRANT SELECT, UPDATE ON graphmem.graphs TO regress_graphmem_admin;
ALTER TABLE graphmem.graphs ENABLE ROW LEVEL SECURITY;
CREATE POLICY above_one ON graphmem.graphs USING (graph_id > 1);
SET ROLE regress_graphmem_admin;
SELECT graph FROM graphmem.stat_graph ORDER BY 1;
SELECT graphmem.rebuild('empty');
SELECT graphmem.rebuild('default');
RESET ROLE;

\connect postgres
SET client_min_messages = warning;
DROP DATABASE graphmem_admin;
DROP ROLE regress_graphmem_admin;
