# Every public function with every argument in turn NULL, extreme, malformed or
# unknown, the optional ones at random besides: no internal error, no crash, and
# the session goes on to answer rightly.

use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;

use BadInput;
use Graphmem;

my $node = start_node('bad_input');
bad_database($node, 'bad');

$node->safe_psql('bad', q{
	CREATE TABLE bad_values (type text, value text);
	INSERT INTO bad_values
	SELECT type, unnest(v) FROM (VALUES
		('text', ARRAY['NULL', '', 'Ada', 'Nobody', 'default', 'empty', 'letter', '-1', 'both', 'knows',
			'confidence', '1815', 'Lady', 'facts', 'sources', E'\x01', 'a & | ! b:*', '[1e400]', '[',
			repeat('x', 1000000)]),
		('text[]', ARRAY['NULL', '{}', '{Ada,NULL,Bob}', '{{Ada,Bob},{Cid,x}}', '{knows}', '{nobody}',
			'[-5:-4]={Ada,Bob}', array_fill('Ada'::text, ARRAY[100000])::text]),
		('real[]', ARRAY['NULL', '{}', '{1,0,0}', '{1,0}', '{0,0,0}', '{NULL,1,2}', '{NaN,1,1}',
			'{inf,1,1}', '{{1,0},{0,1}}', '{3e38,3e38,3e38}', '{1e-45,0,0}', '[-7:-5]={1,1,1}',
			array_fill(1::real, ARRAY[16001])::text]),
		('bigint[]', ARRAY['NULL', '{}', '{1,2,3}', '{NULL,1}', '{{1,2}}', '{-1,9223372036854775807}']),
		('integer', ARRAY['NULL', '0', '1', '-1', '2147483647', '-2147483648', '16001']),
		('bigint', ARRAY['NULL', '0', '1', '-1', '9223372036854775807', '-9223372036854775808']),
		('real', ARRAY['NULL', '0', '1', '-1', 'NaN', 'inf', '-inf', '3e38', '1e-45', '0.999']),
		('double precision', ARRAY['NULL', '0', '1', '-1', 'NaN', 'inf', '-inf', '1e308', '1e-320']),
		('timestamp with time zone', ARRAY['NULL', 'infinity', '-infinity', '4713-01-01 BC', '294276-01-01']),
		('boolean', ARRAY['NULL', 'true', 'false']),
		('name', ARRAY['NULL', '', 'graph_id', 'name', 'ctid', 'no such column']),
		('regclass', ARRAY['NULL', '0', '4294967295', 'graphmem.graphs', 'graphmem.facts', 'graphmem.triples_spo']),
		('jsonb', ARRAY['NULL', 'null', '{}', '[]', '1', '"x"', '{"a":{"b":[1]}}'])) v(type, v);

	CREATE TABLE results (call text, state text, message text);

	-- A value as SQL; which is NULL draws one.
	CREATE FUNCTION literal(type text, which text) RETURNS text LANGUAGE sql VOLATILE AS $$
		SELECT CASE value WHEN 'NULL' THEN 'NULL' ELSE quote_literal(value) END || '::' || $1
		FROM (SELECT which AS value WHERE which IS NOT NULL
			UNION ALL (SELECT b.value FROM bad_values b WHERE b.type = $1 ORDER BY random() LIMIT 1)) v
		LIMIT 1 $$;
});

my $calls = q{
	SELECT setseed(0.25);
	DO $$
	DECLARE f record; call text;
	BEGIN
		FOR f IN
			SELECT p.proname, p.proargnames, b.value, a.o AS at, p.pronargs - p.pronargdefaults AS required,
				ARRAY(SELECT format_type(t, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY u(t, o) ORDER BY o) AS types
			FROM pg_proc p CROSS JOIN unnest(p.proargtypes) WITH ORDINALITY a(type, o)
				JOIN bad_values b ON b.type = format_type(a.type, NULL)
				CROSS JOIN generate_series(1, 3) WHERE p.pronamespace = 'graphmem'::regnamespace AND p.prokind = 'f'
			ORDER BY p.proname, a.o, b.value
		LOOP
			SELECT format('SELECT count(*) FROM graphmem.%I(%s)', f.proname, string_agg(format('%I => %s', f.proargnames[o],
				CASE WHEN o = f.at THEN literal(type, f.value)
					WHEN o <= f.required AND type = 'text' AND random() < 0.8 THEN literal(type, 'Ada')
					WHEN o <= f.required AND type = 'real[]' AND random() < 0.8 THEN literal(type, '{1,0,0}')
					ELSE literal(type, NULL) END), ', '))
			INTO call
			FROM unnest(f.types) WITH ORDINALITY u(type, o)
			WHERE o <= f.required OR o = f.at OR random() < 0.2;
			BEGIN
				EXECUTE call;
				RAISE EXCEPTION 'undone' USING ERRCODE = 'P9999';
			EXCEPTION WHEN OTHERS THEN
				INSERT INTO results VALUES (left(call, 300), SQLSTATE, left(SQLERRM, 200));
			END;
		END LOOP;
	END $$;
	SELECT count(*), sum(triple_id) FROM graphmem.match();
};

my $started = $node->safe_psql('bad', 'SELECT pg_postmaster_start_time()');
my $control = $node->safe_psql('bad', 'SELECT count(*), sum(triple_id) FROM graphmem.match()');
my ($status, $out, $err) = $node->psql('bad', $calls);

is($status, 0, 'the session lives on') or diag($err);
is((split /\n/, $out)[-1], $control, 'and answers rightly');
cmp_ok($node->safe_psql('bad', 'SELECT count(*) FROM results'), '>', 4000, 'calls made');
is($node->safe_psql('bad', q{SELECT DISTINCT ON (state, message) state, message, call FROM results
	WHERE state !~ '^(P9999|22|23|427)' AND NOT (state = '25001' AND call ~ 'refresh_topology')}), '', 'no other kind of error');

# more than a writer keeps in memory, in rows larger than a batch
is(($node->psql('bad', q{
	UPDATE graphmem.facts SET properties = jsonb_build_object('x', repeat('y', 20000000)) WHERE subject = 'Cid';
	INSERT INTO graphmem.facts (subject, predicate, object) SELECT 's' || i, 'p', 'o' FROM generate_series(1, 10) i;
	INSERT INTO graphmem.facts (subject, predicate, object, subject_kind)
	SELECT 's' || i, 'p', 'o', repeat('k', 3000000) FROM generate_series(1, 10) i;
	SELECT count(kind) FROM graphmem.entities WHERE length(kind) = 3000000;
}, on_error_stop => 1))[1], 10, 'large values are written');
is($node->safe_psql('bad', 'SELECT pg_postmaster_start_time()'), $started, 'no restart');
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC|TRAP:/, 'no crash');

$node->stop;
done_testing();
