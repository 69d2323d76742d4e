# Calls that run long are seen from another session while they run and no
# longer: at their end, after an error in whatever subtransaction, after the
# end of their process; others' are seen to run only.  Calls are counted by
# function over all sessions.
#
# Each call is held when it first looks at the clock until it has run long
# enough to show itself, and again when it has.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Graphmem;
use Workers;

my $node = start_node('progress');
create_database($node, 'progress');

$node->safe_psql('progress', q{
	CREATE FUNCTION stop(point text, at bool) RETURNS void AS 'graphmem', 'graphmem_stop_point' LANGUAGE C STRICT;
	CREATE FUNCTION stopped(point text) RETURNS bool AS 'graphmem', 'graphmem_stopped' LANGUAGE C STRICT;
	CREATE ROLE asker LOGIN;
	CREATE ROLE stranger LOGIN;
	CREATE ROLE watcher LOGIN IN ROLE pg_read_all_stats;
	GRANT SELECT ON ALL TABLES IN SCHEMA graphmem TO asker;
	SELECT graphmem.create_graph('other');
	INSERT INTO graphmem.facts (subject, predicate, object)
	SELECT 'n' || i, 'next', 'n' || i + 1 FROM generate_series(1, 40000) i;
	INSERT INTO graphmem.vectors (item, embedding)
	SELECT 'n' || i, (SELECT array_agg(sin(i * j)) FROM generate_series(1, 256) j) FROM generate_series(1, 20000) i;
	SET graphmem.graph = 'other';
	INSERT INTO graphmem.facts (subject, predicate, object)
	SELECT 'n' || i, 'next', 'n' || i + 1 FROM generate_series(1, 5000) i;
});

my $observer = $node->background_psql('progress', on_error_stop => 1);
my $shown = q{SELECT usename, function, phase, done >= 0, total, records >= 0 FROM graphmem.stat_progress_query};

sub stop_at
{
	my ($point, $at) = @_;

	$observer->query_safe("SELECT stop('$point', $at)");
	return;
}

sub reached
{
	my ($point) = @_;

	return wait_for(60, sub { $observer->query_safe("SELECT stopped('$point')") eq 't' });
}

# Runs a statement in the background up to where it is shown.
sub start_call
{
	my ($session, $statement) = @_;

	stop_at('call_looked', 'true');
	stop_at('call_shown', 'true');
	$session->query_until(qr/begun/, "\\echo begun\n$statement;\n\\echo ended\n");
	ok(reached('call_looked'), "$statement looks at the clock");
	$observer->query_safe('SELECT pg_sleep(0.2)');
	stop_at('call_looked', 'false');
	ok(reached('call_shown'), '... and shows itself');
	return;
}

sub end_call
{
	my ($session) = @_;

	stop_at('call_shown', 'false');
	$session->query_until(qr/ended/, '');
	return;
}

my $asker = $node->background_psql('progress', extra_params => [ '-U', 'asker' ], on_error_stop => 0);
$asker->query_safe(q{SET graphmem.sync_timeout = '60s'; SELECT graphmem.wait_for_sync()});
my $admin = $node->background_psql('progress');

my $user = $admin->query_safe('SELECT current_user');

is($observer->query_safe($shown), '', 'nothing runs long');

# ---- what is shown, by function ----

foreach my $case (
	[ $asker, q{SELECT count(*) FROM graphmem.pagerank(damping => 0.999, epsilon => 1e-12, max_iterations => 2000)},
		'asker|pagerank|iterating|t|2000|t' ],
	[ $asker, q{SELECT count(*) FROM graphmem.match()}, 'asker|match|returning rows|t||t' ],
	[ $asker, q{SELECT count(*) FROM graphmem.vector_search((SELECT embedding FROM graphmem.embeddings LIMIT 1), 5, exact => true)},
		'asker|vector_search|vectors|t|20000|t' ],
	[ $asker, q{SELECT count(*) FROM graphmem.pagerank('{n1}', damping => 0.999, epsilon => 1e-9)}, 'asker|pagerank|walking|t||t' ],
	[ $admin, q{SET graphmem.shared_image = off; SELECT count(*) FROM graphmem.match('n1')},
		"$user|match|loading a private image|t||t" ],
	[ $admin, q{SELECT graphmem.set_embeddings(array_agg('m' || i), array_agg(i::real), 1, NULL, 'other') FROM generate_series(1, 5000) i},
		"$user|set_embeddings|vectors|t|5000|t" ],
	[ $admin, q{SELECT graphmem.drop_graph('other')}, "$user|drop_graph|deleting rows|t|15|t" ])
{
	my ($session, $statement, $expected) = @$case;

	start_call($session, $statement);
	is($observer->query_safe($shown), $expected, '... as it is');
	end_call($session);
	is($observer->query_safe($shown), '', '... and no longer when it has ended');
}

# ---- who sees it ----

start_call($asker, q{SELECT count(*) FROM graphmem.match()});
is($observer->query_safe(q{
	SELECT p.pid = a.pid, p.datid = d.oid, p.datname
	FROM graphmem.stat_progress_query p JOIN pg_stat_activity a ON a.usename = 'asker'
		JOIN pg_database d ON d.datname = current_database()}), 't|t|progress', 'process and database');
is($node->safe_psql('progress', $shown, extra_params => [ '-U', 'stranger' ]), '|||||', 'a stranger sees that there is a call');
is($node->safe_psql('progress', $shown, extra_params => [ '-U', 'watcher' ]), 'asker|match|returning rows|t||t',
	'a member of pg_read_all_stats sees it all');
is($node->safe_psql('progress', $shown, extra_params => [ '-U', 'asker' ]), 'asker|match|returning rows|t||t',
	'and so does the role itself');
is($node->safe_psql('postgres', q{
	SET client_min_messages = warning;
	CREATE EXTENSION graphmem CASCADE;
	SELECT count(*) FROM graphmem.stat_progress_query}), '0', 'another database has calls of its own');
end_call($asker);

# ---- calls that end by an error ----

my $cancel = q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE usename = 'asker'};

start_call($asker, q{SELECT count(*) FROM graphmem.match()});
$observer->query_safe($cancel);
$asker->query_until(qr/ended/, '');
is($observer->query_safe($shown), '', 'a call that was cancelled is no longer shown');
stop_at('call_shown', 'false');

start_call($asker, q{DO $$ BEGIN PERFORM count(*) FROM graphmem.match(); EXCEPTION WHEN query_canceled THEN PERFORM pg_advisory_lock(1); END $$});
$observer->query_safe('SELECT pg_advisory_lock(1)');
$observer->query_safe($cancel);
ok(wait_for(60, sub {
	$observer->query_safe(q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 1 AND NOT granted}) == 1 }),
	'a block has caught the cancellation and goes on');
is($observer->query_safe($shown), '', '... without the call');
$observer->query_safe('SELECT pg_advisory_unlock(1)');
end_call($asker);
$asker->{stderr} = '';		# the errors that were meant to be
is($asker->query_safe(q{SELECT count(*) FROM graphmem.match('n1')}), '1', 'the session goes on');

start_call($asker, q{SELECT count(*) FROM graphmem.match()});
$observer->query_safe(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'asker'});
ok(wait_for(60, sub { $observer->query_safe($shown) eq '' }), 'a process that was terminated shows nothing');
stop_at('call_shown', 'false');

# ---- counters ----

my $counters = q{SELECT calls, rows, records, timed_calls, total_time > 0, mean_time > 0 FROM graphmem.stat_function WHERE function = 'match'};

$observer->query_safe('SELECT graphmem.stat_reset()');
is($observer->query_safe($counters), '0|0|0|0|f|', 'stat_reset() starts anew');
foreach my $round (1 .. 3)
{
	$node->safe_psql('progress', q{SELECT * FROM graphmem.match('n7')});
}
$observer->query_safe(q{SELECT * FROM graphmem.match('nobody')});
is($observer->query_safe($counters), '4|3|3|0|f|', 'calls of all sessions are counted, of those that are gone too');
is($observer->query_safe(q{SELECT function, rows, records, call_time FROM graphmem.stat_backend}), 'match|0|0|',
	'the last call of this one');
$node->psql('progress', q{SELECT * FROM graphmem.match('n7', match_count => -1)});
$observer->query_safe(q{SET graphmem.track_timing = on});
$observer->query_safe(q{SELECT count(*) FROM graphmem.match()});
is($observer->query_safe($counters), '5|40003|40003|1|t|t', 'not those that failed; time if it was asked for');
is($observer->query_safe(q{SELECT function, rows, records, call_time > 0 FROM graphmem.stat_backend}), 'match|40000|40000|t',
	'... of the last call too');
$observer->query_safe(q{SELECT * FROM graphmem.reach('n1', 3)});
is($observer->query_safe(q{SELECT calls, rows, records FROM graphmem.stat_function WHERE function = 'reach'}), '1|1|5',
	'records are those that a walk looked at');
$observer->query_safe(q{SELECT * FROM graphmem.check()});
is($observer->query_safe(q{SELECT string_agg(function, ' ') FROM graphmem.stat_function WHERE calls > 0}), 'check match reach',
	'and no others');

$observer->quit;
$admin->quit;
$node->stop;
done_testing();
