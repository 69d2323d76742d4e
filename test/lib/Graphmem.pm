# Graphmem.pm: a server and short forms of queries for the TAP tests.
package Graphmem;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(start_node create_database tables_of sequences_of);

# A running server with a database that has the extension.
sub start_node
{
	my ($name) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
	$node->append_conf('postgresql.conf', "timezone = 'UTC'\nfsync = off\n");
	$node->start;
	return $node;
}

sub create_database
{
	my ($node, $database) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database,
		'SET client_min_messages = warning; CREATE EXTENSION graphmem CASCADE');
	return;
}

# Name => all rows as text, in an order of their own.
sub tables_of
{
	my ($node, $database) = @_;
	my %rows;

	foreach my $table (
		split /\n/, $node->safe_psql($database, q{
			SELECT relname FROM pg_class
			WHERE relnamespace = 'graphmem'::regnamespace AND relkind = 'r'
			ORDER BY relname}))
	{
		$rows{$table} = $node->safe_psql($database,
			qq{SELECT t::text FROM graphmem.$table t ORDER BY t::text COLLATE "C"});
	}
	return \%rows;
}

sub sequences_of
{
	my ($node, $database) = @_;

	return $node->safe_psql($database, q{
		SELECT sequencename, last_value FROM pg_sequences
		WHERE schemaname = 'graphmem' ORDER BY sequencename});
}

1;
