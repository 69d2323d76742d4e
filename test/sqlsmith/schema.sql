-- What sqlsmith finds: the caller's tables with arguments of every type, views
-- that call graphmem's functions for each row of them, and a function for each
-- way to call one and each type it returns, since sqlsmith itself calls neither
-- set-returning functions nor any with fewer arguments than they have.  Run by
-- a superuser; the role smith and the graphs of workload.py exist.

CREATE SCHEMA smith;
CREATE SCHEMA sieve;
GRANT USAGE ON SCHEMA smith, sieve TO smith;

-- Words that functions know; types of their own, so that names of entities
-- do not come where a word is due.
CREATE TYPE smith.direction AS ENUM ('both', 'out', 'in');
CREATE TYPE smith.traversal_order AS ENUM ('bfs', 'dfs');
CREATE TYPE smith.weight AS ENUM ('hops', 'confidence');
CREATE TYPE smith.method AS ENUM ('ppr', 'hops');
CREATE TYPE smith.graph AS ENUM ('small', 'middle', 'it''s "large"', 'ticking', 'default', 'no such graph');
CREATE TYPE smith.space AS ENUM ('default', 'f', 's', 'no such space');
CREATE TYPE smith.target AS ENUM ('entity', 'fact', 'source');
CREATE TYPE smith.metric AS ENUM ('cosine', 'l2', 'ip');
CREATE TYPE smith.residency AS ENUM ('auto', 'pinned', 'none');
CREATE TYPE smith.quantisation AS ENUM ('int8', 'f16', 'none');
CREATE TYPE smith.full_precision AS ENUM ('image', 'table');

-- the one with index i, from the first to the last and again
CREATE FUNCTION smith.pick(choices anycompatiblearray, i int) RETURNS anycompatible
LANGUAGE sql IMMUTABLE AS $$ SELECT choices[1 + i % cardinality(choices)] $$;

CREATE FUNCTION smith.any_of(choices anycompatiblearray) RETURNS anycompatible
LANGUAGE sql VOLATILE AS $$ SELECT choices[1 + floor(random() * cardinality(choices))::int] $$;

-- Arguments that no function refuses, named as its parameters are: a column is
-- the argument of every parameter of its name.  Others each time it is read.
CREATE VIEW sieve.fresh_arguments AS
SELECT i AS id,
	'e' || floor(random() * 30) AS subject, smith.any_of('{NULL,p0,p1,NULL,p3}'::text[]) AS predicate,
	smith.any_of(ARRAY[NULL, 'e1', 'l2', NULL, 'a1', 'e3', '']) AS object,
	smith.any_of('{NULL,NULL,NULL,int,@en,""}'::text[]) AS object_type,
	smith.any_of('{e0,e7,e1,a0,l1,r2,no such name,e12}'::text[]) AS entity,
	smith.any_of('{e0,a2,e2,e3}'::text[]) AS seed, 'e' || floor(random() * 7) AS a, 'e' || floor(random() * 11) AS b,
	smith.any_of(ARRAY['{e0}', '{e1,e2,e3}', '{}', '{NULL,e5}', '{a0,l1,no such name}']::text[])::text[] AS seeds,
	smith.any_of(ARRAY[NULL, '{p0,p1}', NULL, '{}', '{p3,no such name,NULL}']::text[])::text[] AS predicates,
	smith.any_of(ARRAY[NULL, NULL, '{k1}', '{}', '{k1,k2,NULL}']::text[])::text[] AS kinds,
	smith.any_of(ARRAY[NULL, NULL, NULL, '{s0,s1}', '{}']::text[])::text[] AS sources,
	smith.any_of(ARRAY[NULL, NULL, '{x}', '{}']::text[])::text[] AS sessions,
	smith.any_of(ARRAY[NULL, NULL, '{e0,e1}', NULL, '{}']::text[])::text[] AS near,
	smith.any_of(ARRAY[NULL, NULL, NULL, '{1,2,3,4,5,6,7,8}', '{}', '{NULL,-1}']::text[])::bigint[] AS item_ids,
	smith.any_of('{1,0,NULL,10,3,100,7,2147483647}'::int[]) AS match_count,
	smith.any_of('{2,0,1,NULL,3,4,2,7,100}'::int[]) AS max_hops,
	smith.any_of('{1,NULL,2}'::bigint[]) AS min_size, smith.any_of('{100,1,NULL}'::int[]) AS max_iterations,
	smith.any_of('{NULL,64,1}'::int[]) AS ef_search, smith.any_of('{NULL,0,60}'::int[]) AS rrf_k,
	smith.any_of('{0,0,NULL,0.3,1,1e-30}'::real[]) AS min_confidence,
	smith.any_of('{NULL,0,0.5,0.99}'::real[]) AS damping, smith.any_of('{NULL,1e-3,1e-9}'::float8[]) AS epsilon,
	smith.any_of('{NULL,0.5,1000}'::real[]) AS semantic_weight, smith.any_of('{NULL,0,1}'::real[]) AS text_weight,
	smith.any_of('{NULL,1,0.25}'::real[]) AS graph_weight, smith.any_of('{NULL,0}'::real[]) AS topology_weight,
	smith.any_of('{NULL,1,0}'::real[]) AS confidence_weight, smith.any_of('{NULL,0,0.5}'::real[]) AS recency_weight,
	smith.any_of('{NULL,NULL,2003-01-01,NULL,infinity,-infinity,2104-01-01}'::timestamptz[]) AS as_of,
	smith.any_of('{NULL,NULL,NULL,2004-01-01,infinity,NULL,-infinity,2104-01-01}'::timestamptz[]) AS known_at,
	smith.any_of(ARRAY[NULL, NULL, '{"a": 1}', '{}', '{"a": {"b": [1, null]}}']::jsonb[]) AS filter,
	smith.any_of(ARRAY['words about e1 and e2', NULL, 'e3', '', E'\u00e9\U0001F600 "e1" & !| <->', 'the of and']) AS query_text,
	(SELECT array_agg(sin(random() * 8 + j + i)::real ORDER BY j) FROM generate_series(1, 8) AS j) AS query_embedding,
	smith.any_of('{both,out,in,NULL}'::smith.direction[]) AS direction,
	smith.any_of('{bfs,dfs,NULL}'::smith.traversal_order[]) AS traversal_order,
	smith.any_of('{hops,confidence,NULL}'::smith.weight[]) AS weight,
	smith.any_of('{ppr,hops,NULL}'::smith.method[]) AS method,
	smith.any_of(ARRAY[NULL, NULL, 'small', 'it''s "large"', 'ticking']::smith.graph[]) AS graph,
	smith.any_of('{NULL,default}'::smith.space[]) AS space,
	random() < 0.5 AS exact
FROM generate_series(0, 13) AS i;
CREATE TABLE smith.arguments AS SELECT * FROM sieve.fresh_arguments;

-- Arguments that one or another function refuses.
CREATE TABLE smith.odd AS
SELECT i AS id,
	smith.pick(ARRAY['', 'e1', repeat('long ', 2000), NULL, E'\u00e9', 'E1', E'e1\n', '%', 'both', '{"a":1}'], i) AS word,
	smith.pick('{-1,0,1,2147483647,-2147483648,NULL,16000,100}'::int[], i) AS number,
	smith.pick('{-1,0,9223372036854775807,-9223372036854775808,NULL,4294967296,4294967295}'::bigint[], i) AS large,
	smith.pick('{NaN,Infinity,-Infinity,-0,1.0000001,1e-45,3.4e38,NULL,-0.1}'::real[], i) AS part,
	smith.pick('{NaN,Infinity,-Infinity,-0,1e-308,1.7e308,NULL,0.5}'::float8[], i) AS fraction,
	smith.pick('{infinity,-infinity,4714-11-24 BC,294276-12-31,NULL,2004-01-01}'::timestamptz[], i) AS at,
	smith.pick(ARRAY['{}', '{1,2,3}', '{NaN,1,1,1,1,1,1,1}', '{NULL,1,1,1,1,1,1,1}', '{{1,2},{3,4}}', NULL,
		'{0,0,0,0,0,0,0,0}', '[5:12]={1,2,3,4,5,6,7,8}', '{3e38,3e38,3e38,3e38,3e38,3e38,3e38,3e38}',
		'{1e-45,0,0,0,0,0,0,0}', '{Infinity,0,0,0,0,0,0,0}']::text[], i)::real[] AS vector,
	smith.pick(ARRAY['{}', '{NULL}', '{{e0,e1},{e2,e3}}', '[0:1]={e0,e1}', '{"",e1,e1,e1}', NULL]::text[], i)::text[] AS words,
	smith.pick(ARRAY['{}', '{NULL,1}', '{{1,2},{3,4}}', '{9223372036854775807,0,-1}', NULL]::text[], i)::bigint[] AS ids,
	smith.pick(ARRAY['null', '[]', '{}', '1', '{"a": null}', NULL, '{"a": "b"}', '"x"']::jsonb[], i) AS document,
	smith.pick('{true,false,NULL}'::bool[], i) AS yes,
	smith.pick(enum_range(NULL::smith.graph), i) AS graph, smith.pick(enum_range(NULL::smith.space), i) AS space,
	smith.pick(enum_range(NULL::smith.target), i) AS target, smith.pick(enum_range(NULL::smith.metric), i) AS metric,
	smith.pick(enum_range(NULL::smith.residency), i) AS residency,
	smith.pick(enum_range(NULL::smith.quantisation), i) AS quantisation,
	smith.pick(enum_range(NULL::smith.full_precision), i) AS full_precision
FROM generate_series(0, 39) AS i;

-- Tables of somebody who uses graphmem.
CREATE TABLE smith.documents (id int PRIMARY KEY, title text UNIQUE, author text, body text, written timestamptz,
	stars real, embedding real[], tags text[], attributes jsonb);
INSERT INTO smith.documents
SELECT i, 'e' || i, 'e' || i * 7 % 30, 'words about e' || i % 5 || ' and e' || i % 8, '2003-01-01'::timestamptz + i * '100 d'::interval,
	i / 25.0, (SELECT array_agg(cos(i * j)::real ORDER BY j) FROM generate_series(1, 8) AS j),
	ARRAY['e' || i % 4, 'p' || i % 5], jsonb_build_object('a', i % 3)
FROM generate_series(0, 24) AS i;
CREATE TABLE smith.links (src text, rel text, dst text, since timestamptz, PRIMARY KEY (src, rel, dst));
INSERT INTO smith.links
SELECT 'e' || i, 'p' || i % 5, 'e' || i * 7 % 30, '2002-01-01'::timestamptz + i * '30 d'::interval
FROM generate_series(0, 29) AS i;

-- For each function of graphmem: <name>_<n>_<type> with its first n parameters
-- for each type that it returns; if it reads also views <name>_of, over arguments,
-- and <name>_by, where every other argument is of another row.
DO $$
DECLARE
	f record;
	n int;
	result record;
	parameters text;
	given text;
	named text;
	call text;
BEGIN
	FOR f IN
		SELECT p.oid, p.proname, p.pronargs, p.pronargdefaults, p.provolatile, p.prorettype, p.proretset,
			p.prorettype = 'record'::regtype AS rows, p.proargnames AS names,
			ARRAY(SELECT CASE WHEN t.typname IS NULL THEN a.type::regtype::text ELSE 'smith.' || t.typname END
				FROM unnest(p.proargtypes) WITH ORDINALITY AS a (type, place)
				LEFT JOIN pg_type t ON t.typnamespace = 'smith'::regnamespace AND t.typtype = 'e'
					AND t.typname = p.proargnames[a.place] AND a.type = 'text'::regtype
				ORDER BY a.place) AS types
		FROM pg_proc p
		WHERE p.pronamespace = 'graphmem'::regnamespace AND p.prokind = 'f'
			AND p.prorettype NOT IN ('trigger'::regtype, 'void'::regtype, 'internal'::regtype)
	LOOP
		FOR n IN
			SELECT DISTINCT x FROM unnest(ARRAY[f.pronargs - f.pronargdefaults, 1, 3, 5, f.pronargs]) AS x
			WHERE x BETWEEN f.pronargs - f.pronargdefaults AND f.pronargs
		LOOP
			SELECT string_agg(f.types[i], ', ' ORDER BY i),
				string_agg(CASE WHEN f.types[i] LIKE 'smith.%' THEN '$' || i || '::text' ELSE '$' || i END, ', ' ORDER BY i)
			INTO parameters, given
			FROM generate_series(1, n) AS i;
			call := format('graphmem.%I(%s)', f.proname, COALESCE(given, ''));
			FOR result IN
				SELECT 'count' AS name, 'bigint' AS type, 'count(*)' AS expression WHERE f.rows
				UNION ALL
				SELECT DISTINCT ON (a.type) translate(a.type::regtype::text, '[] ', 's'), a.type::regtype::text,
					format('x.%I', f.names[a.place])
				FROM pg_proc p, unnest(p.proallargtypes, p.proargmodes) WITH ORDINALITY AS a (type, mode, place)
				WHERE p.oid = f.oid AND f.rows AND a.mode = 'o'
				UNION ALL
				SELECT 'value', f.prorettype::regtype::text, NULL WHERE NOT f.rows
			LOOP
				EXECUTE format('CREATE FUNCTION smith.%I(%s) RETURNS %s LANGUAGE sql %s PARALLEL %s AS %L',
					concat_ws('_', f.proname, n, result.name), COALESCE(parameters, ''), result.type,
					CASE f.provolatile WHEN 'v' THEN 'VOLATILE' ELSE 'STABLE' END,
					CASE f.provolatile WHEN 'v' THEN 'UNSAFE' ELSE 'RESTRICTED' END,
					CASE WHEN f.rows THEN format('SELECT %s FROM %s AS x LIMIT 1', result.expression, call)
						ELSE 'SELECT ' || call END);
			END LOOP;
		END LOOP;
		IF f.rows AND f.provolatile = 's' THEN
			FOR n IN 1 .. 2 LOOP
				SELECT string_agg(format('%I => %s.%I::%s', f.names[i], CASE i % n WHEN 0 THEN 'a' ELSE 'b' END, f.names[i],
					CASE WHEN f.types[i] LIKE 'smith.%' THEN 'text' ELSE f.types[i] END), ', ')
				INTO named
				FROM generate_series(1, f.pronargs) AS i
				WHERE EXISTS (SELECT FROM pg_attribute
					WHERE attrelid = 'smith.arguments'::regclass AND attname = f.names[i]);
				EXECUTE format('CREATE VIEW smith.%I AS SELECT a.id AS argument, x.*
					FROM smith.arguments a JOIN smith.arguments b ON b.id = 13 - a.id, LATERAL graphmem.%I(%s) AS x',
					f.proname || CASE n WHEN 1 THEN '_of' ELSE '_by' END, f.proname, named);
			END LOOP;
		END IF;
	END LOOP;
END
$$;

-- Views joined with the caller's tables, two calls deep.
CREATE VIEW smith.friends AS
SELECT d.id, d.title, n.predicate, n.neighbor, n.confidence, f.entity, f.score, f.path, f.sources, f.path_ids
FROM smith.documents d
	JOIN LATERAL graphmem.neighbors(d.title, match_count => 2) AS n ON true
	LEFT JOIN LATERAL graphmem.fusion_query(d.embedding, seeds => ARRAY[n.neighbor], match_count => 2) AS f ON true;
CREATE VIEW smith.alike AS
SELECT d.id, d.title, v.item, v.item_id, v.distance, s.hops, s.entities, s.cost
FROM smith.documents d, LATERAL graphmem.vector_search(d.embedding, 2) AS v,
	LATERAL graphmem.shortest_path(d.title, v.item) AS s;
CREATE VIEW smith.linked AS
SELECT l.*, m.fact_id, m.object, m.confidence, r.count, r.checksum
FROM smith.links l
	LEFT JOIN LATERAL graphmem.match(l.src, l.rel) AS m ON m.object <> l.dst
	LEFT JOIN LATERAL graphmem.reach(l.dst, 2, predicates => ARRAY[l.rel]) AS r ON true
WHERE l.since < '2004-01-01';

-- Writes through the views, and what their transaction then reads.
CREATE FUNCTION smith.state(subject text, predicate text, object text, source text, confidence real,
	valid_from timestamptz, valid_to timestamptz, properties jsonb) RETURNS bigint LANGUAGE sql AS $$
INSERT INTO graphmem.facts (subject, predicate, object, source, confidence, valid_from, valid_to, properties)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);
SELECT count(*) FROM graphmem.match($1, $2);
$$;
CREATE FUNCTION smith.state(subject text, object text) RETURNS text LANGUAGE sql AS $$
INSERT INTO graphmem.facts (subject, predicate, object) VALUES ($1, 'p1', $2), ($2, 'p2', $1);
SELECT path FROM graphmem.shortest_path($1, $2);
$$;
CREATE FUNCTION smith.correct(subject text, confidence real, valid_to timestamptz) RETURNS bigint LANGUAGE sql AS $$
UPDATE graphmem.facts f SET confidence = $2, valid_to = $3 WHERE f.subject = $1;
SELECT count FROM graphmem.reach($1);
$$;
CREATE FUNCTION smith.erase(subject text) RETURNS bigint LANGUAGE sql AS $$
DELETE FROM graphmem.facts f WHERE f.subject = $1;
SELECT count(*) FROM graphmem.neighbors($1);
$$;
CREATE FUNCTION smith.put(item text, embedding real[]) RETURNS text LANGUAGE sql AS $$
INSERT INTO graphmem.vectors (item, embedding) VALUES ($1, $2);
SELECT item FROM graphmem.similar($1);
$$;
CREATE FUNCTION smith.retype(subject text, kind text) RETURNS text LANGUAGE sql AS $$
UPDATE graphmem.entities e SET kind = $2, name = e.name || ' again' WHERE e.name = $1;
SELECT entity FROM graphmem.fusion_query(query_text => $1, seeds => ARRAY[$1 || ' again']);
$$;

-- One parameterless function a type: what sqlsmith prefers when it calls.
CREATE FUNCTION smith.entity() RETURNS text LANGUAGE sql STABLE AS $$ SELECT entity FROM graphmem.pagerank(match_count => 1) $$;
CREATE FUNCTION smith.seeds() RETURNS text[] LANGUAGE sql STABLE AS $$ SELECT '{e0,e4,a1}'::text[] $$;
CREATE FUNCTION smith.embedding() RETURNS real[] LANGUAGE sql STABLE AS $$ SELECT '{1,0,0,-1,0,0.5,0,0}'::real[] $$;
CREATE FUNCTION smith.confidence() RETURNS real LANGUAGE sql STABLE AS $$ SELECT max(confidence) FROM graphmem.match() $$;
CREATE FUNCTION smith.score() RETURNS float8 LANGUAGE sql STABLE AS $$ SELECT max(score) FROM graphmem.pagerank('{e1}') $$;
CREATE FUNCTION smith.components() RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT count(*) FROM graphmem.components() $$;
CREATE FUNCTION smith.filter() RETURNS jsonb LANGUAGE sql STABLE AS $$ SELECT '{"a": 1}'::jsonb $$;
CREATE FUNCTION smith.path_ids() RETURNS bigint[] LANGUAGE sql STABLE AS $$ SELECT path_ids FROM graphmem.paths('e0', 'e1') $$;

-- What sqlsmith takes for the catalogue, since it does not name the schema.
-- pg_proc: what it may call.  Of the server's functions a few that make
-- arguments; stat_get_* once each, or most calls would be theirs.
CREATE VIEW sieve.pg_proc AS
SELECT p.*
FROM pg_catalog.pg_proc p
WHERE p.pronamespace IN ('smith'::regnamespace, 'graphmem'::regnamespace)
		AND p.proname NOT IN ('pick', 'any_of', 'search_vector', 'search_name_vector', 'search_name', 'name_key')
		AND (p.proname !~ '^stat_get' OR p.proname ~ 'count$')
	OR p.prokind = 'a' AND p.pronamespace = 'pg_catalog'::regnamespace
	OR p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND NOT p.proretset
		AND p.proname = ANY ('{lower, upper, initcap, left, right, substr, reverse, btrim, replace, md5, chr, repeat, length,
			float4, float8, int4, int8, text, abs, sign, mod, to_timestamp, now, statement_timestamp, clock_timestamp,
			string_to_array, array_length, cardinality, array_to_string, jsonb_typeof, array_to_json, to_jsonb, jsonb_concat,
			date_trunc, isfinite, random, pi, current_setting, timestamptz_pl_interval}');
-- It would write casts to the polymorphic types that many operators take.
CREATE VIEW sieve.pg_type AS
SELECT t.oid, t.typdelim, t.typrelid, t.typelem, t.typarray, COALESCE(u.typname, t.typname) AS typname,
	COALESCE(u.typtype, t.typtype) AS typtype, COALESCE(u.typnamespace, t.typnamespace) AS typnamespace
FROM pg_catalog.pg_type t
	LEFT JOIN (VALUES ('anyrange', 'int4range'), ('anymultirange', 'int4multirange'), ('anyenum', 'smith.direction'))
		AS v (name, instead) ON v.name = t.typname
	LEFT JOIN pg_catalog.pg_type u ON u.oid = v.instead::regtype;
-- It does not quote names of columns.
CREATE VIEW sieve.pg_attribute AS
SELECT attrelid, quote_ident(attname)::name AS attname, atttypid, attisdropped
FROM pg_catalog.pg_attribute;

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA smith TO smith;
GRANT SELECT ON sieve.pg_proc, sieve.pg_type, sieve.pg_attribute TO smith;
ANALYZE;
