--
-- Text search: what the indexes hold, and what fusion_query finds by it
--
\set SHOW_CONTEXT never
\pset null (null)

-- words of any script, stemmed; stop words count for whole names only
SELECT graphmem.search_name_vector(7, 'The Analytical Engines of O''Brien') AS v;
SELECT graphmem.search_name_vector(7, 'analytical ENGINES; (the) of... o''brien!') =
	graphmem.search_name_vector(7, 'Analytical engines the of O-Brien') AS same;
SELECT graphmem.search_vector(7, 'AC/DC e-mails user@example.com, 3.14 and C++') AS v;
SELECT graphmem.search_vector(7, E'Машины машина ÉCOLE\u00a0école') AS v;
SELECT graphmem.search_vector(7, E'\u5206\u6790\u673a, \u673a') =
	E'''7:\u5206\u6790'' ''7:\u6790\u673a'' ''7:\u673a'''::tsvector AS pairs;
SELECT graphmem.search_name_vector(7, 'the'), graphmem.search_name_vector(8, 'the');
SELECT graphmem.search_name_vector(7, ''), graphmem.search_vector(7, ''), graphmem.search_vector(7, NULL);
SELECT graphmem.search_name('The  Analytical-Engine, O''Brien''s'), graphmem.search_name('!?'), graphmem.search_name('');

-- whatever the length, nothing fails
SELECT length(graphmem.search_name_vector(7, repeat('name ', 2000000))),
	length(graphmem.search_name(repeat('x', 10000000))) < 600 AS bounded;
SELECT length(graphmem.search_vector(7, repeat('x', 3000000)));
SELECT length(graphmem.search_vector(7, repeat(E'\u00e9', 3000000)));
SELECT length(graphmem.search_vector(7, string_agg(md5(i::text), ' '))) > 5000 AS many
FROM generate_series(1, 100000) i;
SELECT length(graphmem.search_vector(7, string_agg(chr(19968 + i % 90 * 7919 % 20000) ||
	chr(19968 + i * 13 % 20000), '' ORDER BY i))) > 5000 AS many FROM generate_series(1, 200000) i;

-- find(): names and how they were found
SELECT graphmem.create_graph('text_test') > 0 AS created;
SET graphmem.graph = 'text_test';
CREATE FUNCTION find(query text, n int DEFAULT 3) RETURNS TABLE (entity text, text_score numeric)
LANGUAGE sql AS $$
	SELECT entity, round(text_score::numeric, 2) FROM graphmem.fusion_query(query_text => query,
		match_count => 100, max_hops => 1) WHERE text_score > 0 ORDER BY text_score DESC, entity_id LIMIT n
$$;
SELECT count(graphmem.add_entity(name)) FROM unnest(ARRAY[
	'Analytical Engine', 'Difference Engine', 'Albert Einstein', 'Ada Lovelace', 'Einstein', 'The Who',
	'University of Oxford', 'Oxford', 'the', '!!!', E'\u5206\u6790\u673a', 'Чарльз Бэббидж',
	'photosynthesis', 'AC/DC', '100% "quoted" \ name', repeat('long ', 3000000) || 'end']) name;
SELECT count(graphmem.add_entity('Engine ' || i)) FROM generate_series(1, 2000) i;
SELECT graphmem.add_triple('Ada Lovelace', 'wrote about', 'Analytical Engine', source => 'notes') > 0 AS added;
UPDATE graphmem.sources SET content = 'The first computer programs, for Babbage''s machine' WHERE name = 'notes';

SELECT * FROM find('Who invented the analytical engine?', 1);
SELECT * FROM find('ANALYTICAL engine', 1);
SELECT * FROM find('analytical engines', 1);
SELECT * FROM find('engine 77', 1);
SELECT * FROM find('Albert Einstien', 1);
SELECT * FROM find('fotosynthesis', 1);
SELECT * FROM find('Where was Albert Einstien born?', 1);
SELECT * FROM find('the who', 1);
SELECT * FROM find('the', 1);
SELECT * FROM find('!!!', 1);
SELECT * FROM find('oxford', 2);
SELECT * FROM find('чарльз бэббидж', 1);
SELECT entity = E'\u5206\u6790\u673a' AS found FROM find(E'\u8c01\u53d1\u660e\u4e86\u5206\u6790\u673a', 1);
SELECT * FROM find('100% "QUOTED" name', 1);
SELECT * FROM find('ac dc', 1);
SELECT left(entity, 9) FROM find(repeat('long ', 3000000), 1);
-- by what a source says
SELECT entity FROM find('first programs of a computer', 5) ORDER BY 1;
-- nothing to find, nothing to trip over
SELECT count(*) FROM find('of and to');
SELECT count(*) FROM find('''\ & | ! <-> :* ( ) zzzz:AB');
SELECT count(*) FROM find(repeat('zzzz ', 200000));
SELECT count(*) FROM find(E'\U0001F680\U0001F680 \u0645\u0646');
-- the same by whatever search_path and threshold
SET pg_trgm.similarity_threshold = 1;
BEGIN;
SET LOCAL search_path = pg_temp;
SELECT entity FROM public.find('Albert Einstien', 1);
SHOW pg_trgm.similarity_threshold;
COMMIT;
RESET pg_trgm.similarity_threshold;

-- a graph finds its own only
SELECT graphmem.create_graph('text_other') > 0 AS created;
SELECT graphmem.add_entity('Analytical Engine', graph => 'text_other') > 0 AS added;
SELECT count(*), count(DISTINCT graph_id) FROM graphmem.entities WHERE name = 'Analytical Engine';
SELECT entity_id = (SELECT e.entity_id FROM graphmem.entities e WHERE e.name = 'Analytical Engine'
	AND graph_id = graphmem.current_graph_id('text_other')) AS own
FROM graphmem.fusion_query(query_text => 'analytical engine', graph => 'text_other');

-- row security: the same search over the visible rows
CREATE ROLE regress_text_reader;
GRANT USAGE ON SCHEMA graphmem TO regress_text_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA graphmem TO regress_text_reader;
ALTER TABLE graphmem.entities ENABLE ROW LEVEL SECURITY;
CREATE POLICY no_difference ON graphmem.entities FOR SELECT TO regress_text_reader
	USING (name <> 'Difference Engine');
SET ROLE regress_text_reader;
SELECT * FROM find('Who invented the analytical engine?', 1);
SELECT * FROM find('Difference Engine', 1);
SELECT * FROM find('Albert Einstien', 1);
RESET ROLE;
SELECT * FROM find('Difference Engine', 1);
ALTER TABLE graphmem.entities DISABLE ROW LEVEL SECURITY;
DROP POLICY no_difference ON graphmem.entities;
DROP OWNED BY regress_text_reader;
DROP ROLE regress_text_reader;
DROP FUNCTION find(text, int);
RESET graphmem.graph;
SELECT graphmem.drop_graph('text_test') >= 0 AS dropped, graphmem.drop_graph('text_other') >= 0 AS dropped;
