# When images are trusted: triggers that were off, tables that were rewritten,
# and transactions that no worker had heard of when they wrote.

use strict;
use warnings;

use Test::More;

use Graphmem;
use Workers;

my $node = start_node('sound', "max_prepared_transactions = 4\nrestart_after_crash = on\n");

create_database($node, 'sound');
$node->safe_psql('sound', q{SELECT graphmem.add_triple('a', 'p', 'b')});

# The neighbours of a, and how they were found.
sub look
{
	my ($before) = @_;

	return $node->safe_psql('sound', ($before // '') . q{
		SET graphmem.sync_timeout = '60s';
		SELECT string_agg(neighbor, ' ' ORDER BY neighbor) FROM graphmem.neighbors('a');
		SELECT path || coalesce(': ' || reason, '') FROM graphmem.stat_backend});
}

sub sound
{
	my ($neighbors, $what) = @_;

	is(look(), "$neighbors\nshared", $what);
	is($node->safe_psql('sound', 'SELECT count(*) FROM graphmem.check()'), '0', "$what: check()");
	return;
}

sub add
{
	my ($name) = @_;

	return "SELECT graphmem.add_triple('a', 'p', '$name');";
}

# ---- triggers ----

sound('b', 'at first');

my $off = 'ALTER TABLE graphmem.triples DISABLE TRIGGER triples_capture;';
my $on = 'ALTER TABLE graphmem.triples ENABLE ALWAYS TRIGGER triples_capture;';

$node->safe_psql('sound', $off . add('c'));
like(look(), qr/^b c\nprivate: capture triggers are missing or disabled$/, 'a trigger is off');
like($node->safe_psql('sound', 'SELECT state, reason FROM graphmem.stat_graph'),
	qr/^refused\|a capture trigger/, '... is shown');
$node->safe_psql('sound', $on);
sound('b c', 'it is on again');

$node->safe_psql('sound', "BEGIN; $off " . add('d') . " $on COMMIT");
sound('b c d', 'off and on in one transaction');

like(look("BEGIN; $off"), qr/b c d\nprivate: /, 'off in the own transaction only');
sound('b c d', 'which was rolled back');

$node->safe_psql('sound', 'ALTER TABLE graphmem.triples ENABLE TRIGGER triples_capture');
like(look(), qr/\nprivate: /, 'on, but not always');
$node->safe_psql('sound', $on);
sound('b c d', 'always');

# ---- tables ----

$node->safe_psql('sound', 'VACUUM FULL graphmem.triples');
sound('b c d', 'a rewritten table');
$node->safe_psql('sound', 'CREATE INDEX CONCURRENTLY ON graphmem.triples (recorded_at)');
sound('b c d', 'another index');
$node->safe_psql('sound', 'CREATE TABLE child () INHERITS (graphmem.entities)');
like(look(), qr/\nprivate: /, 'a table with a child');
$node->safe_psql('sound', 'DROP TABLE child');
sound('b c d', 'without it');

# ---- transactions under way ----

my $open = $node->background_psql('sound');
my $pid = worker_pid($node, 'sound');

$open->query_safe('BEGIN');
$open->query_safe(add('e'));
$node->safe_psql('sound', "SELECT pg_terminate_backend($pid)");
ok(wait_for_worker($node, 'sound', $pid), 'another worker');
sound('b c d', 'while a transaction of the time before is open');
$open->query_safe('COMMIT');
$open->quit;
sound('b c d e', 'and when it has committed');

$node->safe_psql('sound', 'BEGIN; ' . add('f') . q{PREPARE TRANSACTION 'f'});
$node->safe_psql('sound', 'BEGIN; ' . add('g') . q{PREPARE TRANSACTION 'g'});
sound('b c d e', 'prepared transactions');
$pid = worker_pid($node, 'sound');
kill('KILL', $pid);
ok(wait_for(30, sub { $node->psql('sound', 'SELECT 1') == 0 }), 'the server is back after a crash');
ok(wait_for_worker($node, 'sound', $pid), '... and the worker');
sound('b c d e', '... and the prepared transactions are not seen');
$node->safe_psql('sound', q{COMMIT PREPARED 'f'});
sound('b c d e f', 'one is committed');
$node->safe_psql('sound', q{ROLLBACK PREPARED 'g'});
sound('b c d e f', 'one is rolled back');
is($node->safe_psql('sound', 'SELECT parked FROM graphmem.stat_worker'), '0', 'nothing is left parked');

$node->stop;
done_testing();
