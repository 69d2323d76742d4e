# Graphmem.pm: a server and short forms of queries for the TAP tests.
package Graphmem;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More ();

our @EXPORT = qw(start_node create_database tables_of sequences_of python_with report_of);

# A running server; with lines of configuration.
sub start_node
{
	my ($name, $conf) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
	$node->append_conf('postgresql.conf', "timezone = 'UTC'\nfsync = off\n" . ($conf // ''));
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

# A Python that has the modules, or undef.  Debian's modules go with Debian's
# Python, which need not come first in PATH.
sub python_with
{
	my (@modules) = @_;
	my $import = 'import ' . join(', ', @modules);

	return (grep { system("$_ -c '$import' >/dev/null 2>&1") == 0 } '/usr/bin/python3', 'python3')[0];
}

# Runs a program that prints TAP lines without numbers; true if it came to its
# "done".
sub report_of
{
	my (@command) = @_;
	my $done = 0;

	open(my $lines, '-|', @command) or die "could not start $command[0]: $!";
	while (my $line = <$lines>)
	{
		chomp $line;
		if ($line =~ /^(not )?ok - (.*)/)
		{
			Test::More::ok(!defined $1, $2);
		}
		elsif ($line eq 'done')
		{
			$done = 1;
		}
		elsif ($line =~ s/^# ?//)
		{
			Test::More::note($line);
		}
		else
		{
			Test::More::diag($line);
		}
	}
	close($lines);
	return $done;
}

1;
