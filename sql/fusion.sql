--
-- fusion_query: legs, weights, filters, proofs, and what is refused.  The
-- scoring itself is checked against an oracle in test/unit/test_fusion.c.
--
SET client_min_messages = warning;
SELECT graphmem.create_graph('f') > 0 AS created;
SET graphmem.graph = 'f';
\set SHOW_CONTEXT never

SELECT count(graphmem.add_triple(s, p, o, c, confidence => w)) FROM (VALUES
	('ada', 'knows', 'charles', 'letter', 0.9),
	('charles', 'built', 'engine', 'report', 0.8),
	('ada', 'wrote', 'notes', 'letter', 1.0),
	('notes', 'about', 'engine', 'study', 0.5),
	('charles', 'born_in', 'london', 'report', 1.0),
	('dickens', 'born_in', 'portsmouth', 'novel', 1.0),
	('dickens', 'lived_in', 'london', 'novel', 0.7)) f(s, p, o, c, w);
SELECT count(graphmem.add_entity(n, k, pr)) FROM (VALUES
	('ada', 'person', '{"born": 1815}'::jsonb), ('charles', 'person', '{"born": 1791}'),
	('dickens', 'person', '{"born": 1812}'), ('engine', 'machine', NULL),
	('london', 'city', NULL), ('hermit', 'person', NULL)) e(n, k, pr);
SELECT count(graphmem.add_source(n, c, session => s)) FROM (VALUES
	('letter', 'My dear Babbage, I send you my notes', 'monday'),
	('report', 'On the mechanism that the inventor has built', 'monday'),
	('novel', 'It was the best of times', 'tuesday')) s(n, c, s);
SELECT count(graphmem.set_embedding(n, v)) FROM (VALUES ('ada', '{1,0,0}'::real[]),
	('charles', '{1,1,0}'), ('engine', '{0,1,0}'), ('hermit', '{0,0,1}'),
	('dickens', '{-1,0,0}')) e(n, v);

CREATE FUNCTION fused(v real[] DEFAULT NULL, q text DEFAULT NULL, seeds text[] DEFAULT NULL,
	k int DEFAULT 10, hops int DEFAULT 2, predicates text[] DEFAULT NULL, kinds text[] DEFAULT NULL,
	filter jsonb DEFAULT NULL, sources text[] DEFAULT NULL, sessions text[] DEFAULT NULL,
	conf real DEFAULT 0, as_of timestamptz DEFAULT NULL, known_at timestamptz DEFAULT NULL,
	wv real DEFAULT NULL, wt real DEFAULT NULL, wg real DEFAULT NULL, wc real DEFAULT NULL,
	wr real DEFAULT NULL, method text DEFAULT 'hops')
RETURNS TABLE (rank bigint, entity text, score numeric, vector numeric, words numeric,
	graph numeric, confidence numeric, hops int, path text, from_sources text[])
LANGUAGE sql AS $$
SELECT f.rank, f.entity, round(f.score::numeric, 3), round(f.vector_score::numeric, 3),
	round(f.text_score::numeric, 3), round(f.graph_score::numeric, 3),
	round(f.confidence::numeric, 3), f.hops, f.path, f.sources
FROM graphmem.fusion_query(v, q, seeds, k, hops, predicates, kinds, filter, sources, sessions, conf,
	as_of, known_at, wv, wt, wg, NULL, wc, wr, method, 0.5) f ORDER BY f.rank
$$;

--
-- One way to ask at a time
--
SELECT * FROM fused(seeds => '{ada}');
SELECT * FROM fused(seeds => '{ada}', hops => 1);
SELECT entity, hops, path FROM fused(seeds => '{ada}', hops => 0);
SELECT entity, score, hops FROM fused(seeds => '{ada,dickens,nobody}', k => 3);
SELECT count(*) FROM fused(seeds => '{nobody}');
SELECT count(*) FROM fused(seeds => '{}');
SELECT entity, vector, graph > 0 AS graph, hops FROM fused('{1,0,0}', k => 4);
SELECT entity, words, hops, path FROM fused(q => 'london', k => 3);
-- a source found by its content leads to what it says
SELECT entity, words > 0 AS words, hops, from_sources FROM fused(q => 'mechanism', hops => 0)
	ORDER BY entity;
SELECT count(*) FROM fused(q => 'zzzzqqq');
SELECT count(*) FROM fused(q => '');

--
-- Together: a leg that was asked for and has nothing to say counts 0
--
SELECT rank, entity, score, vector, words, hops FROM fused('{1,0,0}', 'charles', '{engine}', k => 4);
SELECT entity, vector, words, graph IS NULL AS no_graph
	FROM fused('{1,0,0}', 'charles', k => 2, wg => 0);
SELECT entity, vector, words FROM fused('{1,0,0}', 'charles', k => 2, wv => 0, wg => 0, wc => 0);
SELECT entity, score = vector AS only_vector
	FROM fused('{0,0,1}', k => 3, wg => 0, wc => 0);
SELECT bool_and(score = confidence) AS only_confidence FROM fused(seeds => '{ada}', wg => 0, wc => 1);
-- facts of this transaction are as new as can be
SELECT bool_and(score > 0.99) AS new FROM fused(seeds => '{ada}', wg => 0, wc => 0, wr => 1);

--
-- Both methods, the same paths
--
SELECT a.entity, a.path = b.path AS same_path, b.graph > 0 AS ppr
FROM fused(seeds => '{ada}') a JOIN fused(seeds => '{ada}', method => 'ppr') b USING (entity)
ORDER BY a.entity;

--
-- Filters inside the walk
--
SELECT entity, path FROM fused(seeds => '{ada}', predicates => '{knows,born_in}');
SELECT entity FROM fused(seeds => '{ada}', predicates => '{}');
SELECT entity FROM fused(seeds => '{ada}', conf => 0.85) ORDER BY entity;
SELECT entity, path FROM fused(seeds => '{ada}', sources => '{letter}');
SELECT entity FROM fused(seeds => '{ada}', sessions => '{monday}') ORDER BY entity;
SELECT entity FROM fused(seeds => '{ada,dickens}', sessions => '{tuesday}') ORDER BY entity;
SELECT count(*) FROM fused(seeds => '{ada}', sources => '{letter}', sessions => '{tuesday}');
SELECT count(*) FROM fused(seeds => '{ada}', sources => '{nothing}');
SELECT entity FROM fused('{1,0,0}', sources => '{novel}');
SELECT count(*) FROM fused('{1,0,0}', 'ada', '{ada}', known_at => '2000-01-01');
SELECT entity FROM fused(seeds => '{ada}', as_of => '2000-01-01') ORDER BY entity;

--
-- Filters of the rows: what does not match is walked over all the same, and k
-- rows come if k match
--
SELECT entity, path FROM fused(seeds => '{ada}', kinds => '{machine,city}');
SELECT entity FROM fused('{1,0,0}', kinds => '{person}', k => 4);
SELECT entity FROM fused('{1,0,0}', kinds => '{machine}', k => 1);
SELECT entity FROM fused('{1,0,0}', filter => '{"born": 1812}');
SELECT count(*) FROM fused('{1,0,0}', filter => '{}', k => 100);
SELECT count(*) FROM fused('{1,0,0}', kinds => '{}');
-- also where the walk is cut off at once
SET graphmem.ppr_epsilon = 1;
SELECT entity FROM fused(seeds => '{ada}', method => 'ppr') ORDER BY entity;
RESET graphmem.ppr_epsilon;

--
-- Spaces of facts and sources lead to entities
--
SELECT graphmem.create_vector_space('said', 2, target => 'fact') > 0 AS said;
SELECT count(graphmem.set_embedding(fact_id::text, v, 'said')) FROM (VALUES
	('knows', '{1,0}'::real[]), ('lived_in', '{0,1}')) e(p, v), graphmem.match() m
	WHERE m.predicate = e.p;
SELECT entity, vector, hops FROM fused('{1,0.001}', hops => 0);
SELECT graphmem.create_vector_space('read', 4, target => 'source') > 0 AS read;
SELECT graphmem.set_embedding('report', '{1,0,0,0}', 'read') > 0 AS set;
SELECT entity, vector, hops, from_sources FROM fused('{1,0,0,0}', hops => 0);
SELECT entity, round(vector::numeric, 3) AS vector FROM graphmem.fusion_query('{1,0.001}', space => 'said', max_hops => 0,
	match_count => 2) f(rank, id, entity, kind, score, vector);

--
-- Self-loops, parallel facts, literals
--
SELECT count(graphmem.add_triple(s, p, o, object_type => t, confidence => w)) FROM (VALUES
	('ada', 'is', 'ada', NULL, 1.0), ('ada', 'met', 'charles', NULL, 1.0),
	('ada', 'age', '36', 'xsd:integer', 1.0)) f(s, p, o, t, w);
SELECT entity, path, hops FROM fused(seeds => '{ada}', hops => 1) ORDER BY entity;

--
-- Which spaces: those that have the embedding's dimension
--
SELECT graphmem.create_graph('spaced') > 0 AS created;
SET graphmem.graph = 'spaced';
SELECT graphmem.create_vector_space('small', 2) > 0 AS small, graphmem.create_vector_space('large', 3) > 0 AS large;
SELECT count(graphmem.set_embedding(i, v, s)) FROM (VALUES
	('a', '{1,0}'::real[], 'small'), ('b', '{0,1,0}', 'large')) x(i, v, s);
SELECT entity FROM graphmem.fusion_query('{1,0}');
SELECT entity FROM graphmem.fusion_query('{0,1,0}');
SELECT count(*) FROM graphmem.fusion_query('{1}');
SELECT graphmem.create_vector_space('other', 2) > 0 AS other;
SELECT count(*) FROM graphmem.fusion_query('{1,0}');
SELECT entity FROM graphmem.fusion_query('{1,0}', space => 'small');
SET graphmem.graph = 'f';
SELECT graphmem.drop_graph('spaced') >= 0 AS dropped;

--
-- Without data
--
SELECT graphmem.create_graph('nil') > 0 AS created;
SELECT count(*) FROM graphmem.fusion_query('{1,2}', 'words', '{x}', graph => 'nil');
SELECT count(*) FROM graphmem.fusion_query('{1,2}', 'words', '{x}', graph => 'default');
SELECT count(*) FROM graphmem.fusion_query(seeds => '{ada}', match_count => 0);

--
-- Bad input
--
SELECT * FROM graphmem.fusion_query();
SELECT * FROM graphmem.fusion_query('{1,2,3,4,5}');
SELECT * FROM graphmem.fusion_query('{1,2}', space => 'default');
SELECT * FROM graphmem.fusion_query('{0,0,0}');
SELECT * FROM graphmem.fusion_query(seeds => '{ada}', graph_weight => 0, confidence_weight => 0);
SELECT * FROM graphmem.fusion_query(seeds => '{ada}', method => 'walk');
SELECT * FROM graphmem.fusion_query(seeds => '{ada}', damping => 1);
CREATE FUNCTION state(q text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE q;
	RETURN 'none';
EXCEPTION WHEN OTHERS THEN
	RETURN sqlstate;
END $$;
SELECT a AS arguments, state('SELECT * FROM graphmem.fusion_query(' || a || ')') FROM (VALUES
	(''), ('''{1,2,3,4,5}'''), ('''{1,NULL,3}'''), ('''{1,Infinity,3}'''), ('''{{1},{2}}'''),
	('''{0,0,0}'''), ('''{1,0,0}'', space => ''x'''), ('seeds => ''{{ada}}'''),
	('seeds => ''{ada}'', match_count => -1'), ('seeds => ''{ada}'', max_hops => -1'),
	('seeds => ''{ada}'', max_hops => 101'), ('seeds => ''{ada}'', min_confidence => -0.1'),
	('seeds => ''{ada}'', semantic_weight => -1'), ('seeds => ''{ada}'', text_weight => ''NaN'''),
	('seeds => ''{ada}'', graph_weight => 1001'), ('seeds => ''{ada}'', topology_weight => -1'),
	('seeds => ''{ada}'', confidence_weight => -1'), ('seeds => ''{ada}'', recency_weight => ''Infinity'''),
	('seeds => ''{ada}'', graph_weight => 0, confidence_weight => 0'),
	('seeds => ''{ada}'', method => ''x'''), ('seeds => ''{ada}'', damping => 1'),
	('seeds => ''{ada}'', damping => 0.999'), ('seeds => ''{ada}'', damping => 0'),
	('seeds => ''{ada}'', rrf_k => -1'), ('seeds => ''{ada}'', ef_search => 0'),
	('seeds => ''{ada}'', predicates => ''{{a}}'''), ('seeds => ''{ada}'', kinds => ''{{a}}'''),
	('seeds => ''{ada}'', sources => ''{{a}}'''), ('seeds => ''{ada}'', graph => ''x''')) v(a);

DROP FUNCTION fused, state;
SELECT graphmem.drop_graph('f') > 0 AS dropped, graphmem.drop_graph('nil') >= 0 AS nil;
