# Every reading function says the same wherever it is called from: in a trigger,
# from a cursor fetched in part, beside LATERAL, prepared without types, with
# parallel plans, in a SECURITY DEFINER function; and in loops of errors that are
# caught it leaves no memory behind.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use BadInput;
use Graphmem;

my $node = start_node('contexts');
bad_database($node, 'bad');

my %good = ('text' => q{'Ada'}, 'text[]' => q{'{Ada,Bob}'}, 'real[]' => q{'{1,0,0}'}, 'integer' => '1');
my %special = (
	fusion_query => [ q{seeds => '{Ada}'}, 'query_text', q{'engine'} ],
	shortest_path => [ q{'Ada', 'Cid'} ],
	paths => [ q{'Ada', 'Cid'} ],
	duplicate_candidates => [ q{min_score => 0} ],
	to_vector => [q{'[1,2,3]'}],
	agtype_to_jsonb => [q{'{"a": 1.5::numeric}'}],
	ntriples_line => [q{'Ada', NULL, 'knows', 'Bob', NULL}],
	current_graph_id => [q{'default'}],
	search_vector => [q{1, 'Ada writes'}],
	search_name_vector => [q{1, 'Ada writes'}]);
my @calls;

foreach my $f (grep { !$_->{volatile} } public_functions($node, 'bad'))
{
	my @required = @{ $f->{types} }[ 0 .. $f->{required} - 1 ];

	next if $f->{name} eq 'check';		# compares what is shared; not so in every context
	next if $f->{name} eq 'recall_check';	# tells how long searches took
	next if $f->{name} =~ /^(duplicate_pairs|duplicates_of|check_duplicate_args)$/;	# parts of duplicate_candidates
	push @calls, {
		name => $f->{name},
		call => "graphmem.$f->{name}("
		  . ($special{ $f->{name} } ? $special{ $f->{name} }[0] : join(', ', map { $good{$_} // die $_ } @required)) . ')',
		bad => $f->{types}[-1] eq 'text' ? "graphmem.$f->{name}("
		  . join(', ', (map { ($good{$_} // die $_) } @required), ($f->{names}[-1] eq 'graph' && $f->{required} < @{ $f->{types} } ? q{graph => 'nowhere'} : ())) . ')' : undef };
}
cmp_ok(scalar @calls, '>', 15, 'functions are found');

sub rows
{
	my ($call) = @_;

	return "SELECT coalesce(md5(string_agg(r::text, '|' ORDER BY r::text)), 'none') FROM $call r";
}

$node->safe_psql('bad', q{
	CREATE ROLE nobody;
	CREATE ROLE reader;
	GRANT SELECT ON ALL TABLES IN SCHEMA graphmem TO reader;
	CREATE TABLE asked (call text, answer text);
	CREATE FUNCTION ask() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		EXECUTE NEW.call INTO NEW.answer;
		RETURN NEW;
	END $$;
	CREATE TRIGGER ask BEFORE INSERT ON asked FOR EACH ROW EXECUTE FUNCTION ask();
	CREATE FUNCTION ask_as_reader(call text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
	DECLARE
		answer text;
	BEGIN
		EXECUTE call INTO answer;
		RETURN answer;
	END $$;
	ALTER FUNCTION ask_as_reader OWNER TO reader;

	-- in all contexts, and of the process, in kB
	CREATE FUNCTION memory_used(OUT contexts bigint, OUT process bigint) LANGUAGE sql AS $$
		SELECT (SELECT sum(total_bytes) FROM pg_backend_memory_contexts) / 1024,
			substring(pg_read_file('/proc/self/status') FROM 'RssAnon:\s+(\d+)')::bigint $$;
	CREATE FUNCTION again(call text, times int) RETURNS int LANGUAGE plpgsql AS $$
	DECLARE
		caught int := 0;
	BEGIN
		FOR i IN 1 .. times LOOP
			BEGIN
				EXECUTE call;
			EXCEPTION WHEN OTHERS THEN
				caught := caught + 1;
			END;
		END LOOP;
		RETURN caught;
	END $$;
});
$node->safe_psql('bad', q{SET graphmem.sync_timeout = '60s'; SELECT graphmem.wait_for_sync()});

foreach my $c (@calls)
{
	my $name = $c->{name};
	my $rows = rows($c->{call});
	my $expected = $node->safe_psql('bad', $rows);
	my $quoted = "\$q\$$rows\$q\$";
	my $cursor = qq{
		BEGIN;
		DECLARE c SCROLL CURSOR FOR SELECT r::text FROM $c->{call} r;
		MOVE ALL c;
		MOVE BACKWARD ALL c;
		FETCH 2 c;
		ROLLBACK;};

	isnt($expected, 'none', "$name: finds something");
	is($node->safe_psql('bad', "INSERT INTO asked VALUES ($quoted) RETURNING answer"), $expected, "$name: in a trigger");
	is($node->safe_psql('bad', "SET ROLE nobody; SELECT public.ask_as_reader($quoted)"), $expected,
		"$name: for another role, with another search_path");
	is($node->safe_psql('bad', $cursor), $node->safe_psql('bad', "SELECT r::text FROM $c->{call} r LIMIT 2"), "$name: from a cursor");
	is($node->safe_psql('bad', qq{
			SELECT set_config(name, 'on', false) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query') \\gset
			SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
			$rows}), $expected, "$name: in a parallel query");
	is($node->safe_psql('bad', "PREPARE p AS $rows; " . 'EXECUTE p; ' x 7), join("\n", ($expected) x 7), "$name: prepared");
	is($node->safe_psql('bad', qq{
			SELECT count(*), count(v.x) FROM (SELECT 1 WHERE false) v(x), LATERAL $c->{call} r;
			SELECT count(DISTINCT r::text) = (SELECT count(DISTINCT r::text) FROM $c->{call} r)
			FROM generate_series(1, 3) v(x), LATERAL $c->{call} r}), "0|0\nt", "$name: beside LATERAL");

	foreach my $loop ([ $c->{call}, 0 ], defined $c->{bad} && $c->{bad} =~ /nowhere/ ? [ $c->{bad}, 300 ] : ())
	{
		my ($call, $caught) = @$loop;
		my ($times, $grown, $process) = split /\|/, $node->safe_psql('bad', qq{
			SET client_min_messages = error;
			SELECT again('SELECT * FROM ' || \$q\$$call\$q\$, 100), memory_used() \\gset
			SELECT * FROM memory_used() \\gset before_
			SELECT again('SELECT * FROM ' || \$q\$$call\$q\$, 300) AS times \\gset
			SELECT :times, contexts - :before_contexts, process - :before_process FROM memory_used()});

		is($times, $caught, "$name: $caught of 300 calls fail in a loop");
		cmp_ok($grown, '<', 256, '... and leave no memory in contexts');
		cmp_ok($process, '<', 4096, '... nor in the process');
	}
}

# parameters whose types are not told
is($node->safe_psql('bad', q{
	PREPARE p AS SELECT count(*) FROM graphmem.neighbors($1, $2, $3, $4, $5, $6, $7, $8);
	EXECUTE p ('Ada', 'both', NULL, 10, 0, NULL, NULL, 'default');
	EXECUTE p ('Nobody', 'in', '{knows}', NULL, NULL, 'infinity', 'infinity', NULL);
	PREPARE f AS SELECT count(*) FROM graphmem.fusion_query($1, $2, $3);
	EXECUTE f ('{1,0,0}', 'engine', '{Ada}');
	SELECT v.x, (SELECT count(*) FROM graphmem.neighbors(v.x)) FROM (VALUES ('Ada'), ('Nobody')) v(x)}),
	"4\n0\n4\nAda|4\nNobody|0", 'parameters without types');
like(($node->psql('bad', "\\set VERBOSITY sqlstate\nSELECT * FROM (VALUES (NULL::text)) v(x), LATERAL graphmem.neighbors(v.x)"))[2],
	qr/22004/, 'a NULL from a row is told of');

unlike(slurp_file($node->logfile), qr/XX000|terminated by signal|PANIC|TRAP:/, 'no crash');
$node->stop;

done_testing();
