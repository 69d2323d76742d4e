# Every public function with bad values for some or all of its arguments, by
# position and by name, as different roles, read only, with little memory, under
# short timeouts and beside objects that mimic what it uses: errors that a user
# can act upon, never an internal one, and the same answers afterwards.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use BadInput;
use Graphmem;

my $seed = $ENV{BAD_SEED} // 1;
my $each = 25;		# calls of each function in each session

srand($seed);
note "BAD_SEED=$seed";

my $node = start_node('bad_calls');
bad_database($node, 'bad');

my @functions = public_functions($node, 'bad');
my %types = map { $_ => 1 } map { @{ $_->{types} } } @functions;

cmp_ok(scalar @functions, '>', 30, 'functions are found');
is(join(', ', grep { !defined bad_values($_) } sort keys %types), '', 'there are bad values for every type of argument');

# ---- calls ----

# Required arguments are mild, so that what comes after them is looked at too.
sub call
{
	my ($f, $badness) = @_;
	my $last = $#{ $f->{types} };
	my $by_position = rand() < 0.3 ? int(rand($last + 2)) : 0;
	my @arguments;

	for my $i (0 .. $last)
	{
		my $needed = $i < $f->{required} || $i < $by_position;

		next unless $needed || rand() < $badness;
		push @arguments, ($i < $by_position ? '' : qq{"$f->{names}[$i]" => })
			. literal($f->{types}[$i], $needed);
	}
	return "graphmem.$f->{name}(" . join(', ', @arguments) . ')';
}

sub calls
{
	my ($count) = @_;
	my @calls;

	foreach my $f (@functions)
	{
		push @calls, map { 'SELECT count(*) FROM ' . call($f, pick([ 0.1, 0.3, 1 ])) } 1 .. $count;
	}
	return \@calls;
}

sub function_of
{
	my ($call) = @_;

	return $call =~ /graphmem\.(\w+)\(/ ? $1 : die;
}

# ---- who calls, and under which circumstances ----

$node->safe_psql('bad', q{
	CREATE ROLE reader LOGIN;
	GRANT SELECT ON ALL TABLES IN SCHEMA graphmem TO reader;
	CREATE ROLE nobody LOGIN;

	-- whatever the functions may use, by the same name and raising an error
	CREATE SCHEMA hostile;
	GRANT USAGE ON SCHEMA hostile TO PUBLIC;
	CREATE FUNCTION hostile.trap() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped' USING ERRCODE = 'P0666'; END $$;
	DO $$
	DECLARE
		relation record;
		op record;
		f record;
	BEGIN
		FOR relation IN SELECT relname FROM pg_class
			WHERE relnamespace = 'graphmem'::regnamespace AND relkind IN ('r', 'v')
		LOOP
			EXECUTE format('CREATE VIEW hostile.%I AS SELECT hostile.trap() AS name', relation.relname);
		END LOOP;
		FOR op IN SELECT DISTINCT o.oprname, format_type(o.oprleft, NULL) AS l, format_type(o.oprright, NULL) AS r
			FROM pg_operator o
			WHERE o.oprname IN ('=', '<>', '<', '>', '<=', '>=', '+', '-', '*', '||', '@>', '@@', '~', '&&', '%')
				AND o.oprleft IN ('text'::regtype, 'bytea'::regtype, 'int4'::regtype, 'int8'::regtype,
					'timestamptz'::regtype, 'jsonb'::regtype, 'tsvector'::regtype, 'anyarray'::regtype)
				AND o.oprright <> 0
		LOOP
			EXECUTE format('CREATE FUNCTION hostile.%1$I(%2$s, %3$s) RETURNS bool LANGUAGE sql AS
				''SELECT hostile.trap() IS NULL''', 'op_' || md5(op.oprname || op.l || op.r), op.l, op.r);
			EXECUTE format('CREATE OPERATOR hostile.%1$s (FUNCTION = hostile.%2$I, LEFTARG = %3$s, RIGHTARG = %4$s)',
				op.oprname, 'op_' || md5(op.oprname || op.l || op.r), op.l, op.r);
		END LOOP;
		FOR f IN SELECT n.name FROM (VALUES ('lower(text)'), ('now()'), ('similarity(text, text)'),
			('octet_length(text)'), ('to_tsvector(text)'), ('unnest(anyarray)'), ('count(bigint)'),
			('current_graph_id(text)'), ('name_key(text, text)'), ('set_limit(real)')) n(name)
		LOOP
			EXECUTE 'CREATE FUNCTION hostile.' || f.name || ' RETURNS text LANGUAGE sql AS ''SELECT hostile.trap()''';
		END LOOP;
	END $$;
});

my $before = control($node, 'bad', 1);
my $restarted = $node->safe_psql('bad', 'SELECT pg_postmaster_start_time()');

# What => [ statements before, SQLSTATEs that may come besides ]; * marks what is
# not undone call by call.
my @sessions = (
	[ 'owner', '' ],
	[ 'reader', 'SET ROLE reader;', qr/^42501$/ ],
	[ 'nobody', 'SET ROLE nobody;', qr/^42501$/ ],
	[ 'read only', 'SET default_transaction_read_only = on;', qr/^25006$/ ],
	[ 'serializable', 'SET default_transaction_isolation = serializable;', qr/^40001$/ ],
	[ 'little memory', "SET graphmem.private_memory_limit = '1MB'; SET graphmem.shared_image = off;", qr/^53400$/ ],
	[ 'hostile', 'SET search_path = hostile, pg_catalog;' ],
	[ 'timeouts', '', qr/^57014$/ ]);

foreach my $session (@sessions)
{
	my ($what, $preamble, $also) = @$session;
	my $calls = calls($each);
	my $states;

	# a good call after each tenth bad one
	for (my $i = 10; $i < @$calls; $i += 11)
	{
		splice @$calls, $i, 0, 'SELECT count(*) FROM graphmem.neighbors($$Ada$$)';
	}
	if ($what eq 'timeouts')
	{
		$calls = [ map { ('SET LOCAL statement_timeout = ' . (1 + int(rand(5))) . '\; ') . $_ } @$calls ];
	}
	$calls = [ map { s/count\(\*\)/pg_catalog.count(pg_catalog.pg_backend_pid())/r } @$calls ] if $what eq 'hostile';
	$states = run_session($node, 'bad', $what, $calls, before => $preamble, undo => 1);
	unexpected($what, $calls, $states, $also);
	if ($what eq 'nobody')
	{
		my %answered = map { function_of($calls->[$_]) => 1 } grep { $states->[$_] eq '' } 0 .. $#$calls;

		is(join(' ', grep { !/^stat_get_|^name_key$|^search_|^to_vector$|^agtype_to_jsonb$|^ntriples_line$|^initials$|^check_duplicate_args$/ } sort keys %answered),
			'wait_for_sync', '... and only what needs no table answers');
	}
	elsif ($what ne 'timeouts')
	{
		my %failed = map { $states->[$_] => 1 } grep { $calls->[$_] =~ /neighbors\(\$\$Ada/ } 0 .. $#$calls;

		is(join(' ', sort keys %failed), '', '... and good calls between them succeed');
	}
}
is(control($node, 'bad', 1), $before, 'all answers are as before');
is(control($node, 'bad', 0), $before, '... from private images too');

# ---- calls that stay ----

my $calls = calls($each);
my $states = run_session($node, 'bad', 'calls that stay', $calls);
unexpected('calls that stay', $calls, $states);
is($node->safe_psql('bad', 'SET client_min_messages = error; SELECT * FROM graphmem.check()'), '', 'the image is sound after them');
is(control($node, 'bad', 1), control($node, 'bad', 0), '... and equals the tables');

# ---- messages ----

# the names in a message are not a megabyte long
my @long;
foreach my $f (@functions)
{
	for my $i (0 .. $#{ $f->{types} })
	{
		my ($type, $at) = ($f->{types}[$i], $i);
		my @arguments;

		next unless $type =~ /^text/;
		for my $k (0 .. $#{ $f->{types} })
		{
			push @arguments, qq{"$f->{names}[$k]" => }
			  . ( $k == $i ? ($type eq 'text' ? q{repeat('x', 1000000)} : q{ARRAY[repeat('x', 1000000)]})
				: { 'text' => q{'Ada'}, 'text[]' => q{'{Ada}'}, 'real[]' => q{'{1,0,0}'} }->{ $f->{types}[$k] } // '3')
			  if $k == $i || $k < $f->{required};
		}
		push @long, "graphmem.$f->{name}(" . join(', ', @arguments) . ')';
	}
}
cmp_ok(scalar @long, '>', 50, 'calls with a long name are made');
is($node->safe_psql('bad', 'CREATE TABLE messages (call text, length int); DO $do$ DECLARE call text; BEGIN FOREACH call IN ARRAY ARRAY['
	  . join(', ', map { "\$call\$$_\$call\$" } @long) . q{] LOOP
		BEGIN
			EXECUTE 'SELECT count(*) FROM ' || call;
			RAISE EXCEPTION 'undone';
		EXCEPTION WHEN OTHERS THEN
			INSERT INTO messages VALUES (call, length(SQLERRM));
		END;
	END LOOP; END $do$;
	SELECT call FROM messages WHERE length > 1000}), '', 'messages show the start of a long value');

is($node->safe_psql('bad', 'SELECT pg_postmaster_start_time()'), $restarted, 'no restart');
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC|TRAP:/, 'no crash');
$node->stop;

done_testing();
