-- The demonstration's session.  Variables: question, vector (its embedding).

\pset footer off
\pset format wrapped
\pset columns 120
\pset null ''
CREATE TEMP TABLE question AS
SELECT :'question'::text AS words, :'vector'::real[] AS vector;
\echo '--- The question:' :question
\set ECHO queries

\echo
\echo '--- What was loaded'
SELECT (SELECT count(*) FROM graphmem.entities) AS entities,
	(SELECT count(*) FROM graphmem.triples) AS facts,
	(SELECT count(*) FROM graphmem.sources) AS sources,
	(SELECT count(*) FROM graphmem.embeddings) AS vectors,
	pg_size_pretty(pg_database_size(current_database())) AS on_disk;

\echo
\echo '--- Neighbours.  The first query starts the worker, which reads the graph into shared memory.'
\timing on
SELECT subject, predicate, object
FROM graphmem.neighbors('dog (n1)', match_count => 8);
\timing off

\echo
\echo '--- How two things hang together'
\timing on
SELECT hops, path FROM graphmem.shortest_path('dog (n1)', 'computer (n1)');
\timing off

\echo
\echo '--- Nearest vectors to a question.  The first search reads the vectors into memory.'
\timing on
SELECT v.rank, v.item, v.kind, round(v.similarity::numeric, 3) AS similarity
FROM question q, graphmem.vector_search(q.vector, 5) v ORDER BY v.rank;
\timing off

\echo
\echo '--- The same question to vectors, words and graph at once'
\timing on
SELECT f.rank, f.entity, round(f.score::numeric, 3) AS score,
	round(f.vector_score::numeric, 2) AS vector, round(f.text_score::numeric, 2) AS text,
	round(f.graph_score::numeric, 2) AS graph, f.hops, f.path
FROM question q, graphmem.fusion_query(q.vector, q.words, match_count => 8) f
ORDER BY f.rank;
\timing off

\echo
\echo '--- Two facts that WordNet lacks, added and used at once'
INSERT INTO graphmem.facts (subject, predicate, object, source, confidence)
VALUES ('Tu Youyou', 'discovered', 'artemisinin', 'chat of today', 0.9),
	('artemisinin', 'treats', 'malaria (n1)', 'chat of today', 0.8);
\timing on
SELECT subject, predicate, object, confidence FROM graphmem.match(subject => 'Tu Youyou');

\echo
\echo '--- The question again, starting from her: each row with the path that proves it'
SELECT f.rank, f.entity, round(f.score::numeric, 3) AS score, f.hops, f.path, f.sources
FROM question q, graphmem.fusion_query(q.vector, seeds => ARRAY['Tu Youyou'],
	graph_weight => 3, max_hops => 4, match_count => 7) f
ORDER BY f.rank;
\timing off
