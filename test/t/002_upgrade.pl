# Versions: 1.0 is there, updating to where one is changes nothing, and
# dropping leaves nothing behind.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Graphmem;

my $node = start_node('versions');
$node->safe_psql('postgres', 'CREATE DATABASE versions');

sub objects
{
	return $node->safe_psql('versions', q{
		SELECT 'relation', n.nspname || '.' || c.relname FROM pg_class c
			JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
		UNION ALL
		SELECT 'function', p.oid::regprocedure::text FROM pg_proc p
			JOIN pg_namespace n ON n.oid = p.pronamespace
			WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
		UNION ALL
		SELECT 'schema', nspname FROM pg_namespace
		UNION ALL
		SELECT 'type', t.oid::regtype::text FROM pg_type t
			JOIN pg_namespace n ON n.oid = t.typnamespace
			WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
		UNION ALL
		SELECT 'trigger', tgname FROM pg_trigger WHERE NOT tgisinternal
		UNION ALL
		SELECT 'event trigger', evtname FROM pg_event_trigger
		UNION ALL
		SELECT 'default privileges', oid::text FROM pg_default_acl
		UNION ALL
		SELECT 'extension', extname FROM pg_extension
		ORDER BY 1, 2});
}

my $before = objects();

is( $node->safe_psql('versions', q{
		SELECT string_agg(version, ' ' ORDER BY version)
		FROM pg_available_extension_versions WHERE name = 'graphmem'}),
	'1.0',
	'version 1.0 is there');
is( $node->safe_psql('versions', q{
		SELECT superuser, trusted, relocatable, schema, requires
		FROM pg_available_extension_versions WHERE name = 'graphmem' AND version = '1.0'}),
	't|f|f|graphmem|{pg_trgm}',
	'what the control file promises');

my ($status, $out, $err) = $node->psql('versions', 'CREATE EXTENSION graphmem');
isnt($status, 0, 'pg_trgm is required');
like($err, qr/required extension "pg_trgm" is not installed/, 'and named');
is(objects(), $before, 'and nothing is left of the attempt');

$node->safe_psql('versions',
	'SET client_min_messages = warning; CREATE EXTENSION graphmem CASCADE');
is( $node->safe_psql('versions', q{
		SELECT string_agg(extname || ' ' || extversion, ', ' ORDER BY extname)
		FROM pg_extension WHERE extname = 'graphmem'}),
	'graphmem 1.0',
	'created from nothing with what it requires');

my $tables = tables_of($node, 'versions');
is(join(' ', grep { $tables->{$_} ne '' } sort keys %$tables),
	'', 'a new installation holds no rows, which a restore would meet again');

my $fresh = objects();
($status, $out, $err) = $node->psql('versions', 'ALTER EXTENSION graphmem UPDATE');
is($status, 0, 'ALTER EXTENSION UPDATE');
like($err, qr/version "1.0" of extension "graphmem" is already installed/, 'says so');
is(objects(), $fresh, 'and changes nothing');

$node->safe_psql('versions', q{
	SELECT graphmem.add_triple('a', 'b', 'c', 'd');
	SELECT graphmem.set_embedding('a', '{1,2}')});
$node->safe_psql('versions',
	'SET client_min_messages = warning; DROP EXTENSION graphmem CASCADE; DROP EXTENSION pg_trgm CASCADE');
# PostgreSQL makes the schema that a control file names before the extension is
# there to own it, and so lets it stay, empty.
is(objects() =~ s/^schema\|graphmem\n//mr, $before, 'DROP EXTENSION leaves nothing');

$node->safe_psql('versions',
	'SET client_min_messages = warning; CREATE EXTENSION graphmem CASCADE');
is(objects(), $fresh, 'created again, the same objects');

$node->stop;
done_testing();
