# A reader inside the image: the worker's end takes nothing from it, and what
# it leaves by an error it leaves for good, so that memory is used again.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Graphmem;
use Workers;

sub stop_functions
{
	my ($node, $database) = @_;

	$node->safe_psql($database, q{
		CREATE FUNCTION stop(point text, at bool) RETURNS void
			AS '$libdir/graphmem', 'graphmem_stop_point' LANGUAGE C STRICT;
		CREATE FUNCTION stopped(point text) RETURNS bool
			AS '$libdir/graphmem', 'graphmem_stopped' LANGUAGE C STRICT});
	return;
}

sub is_stopped
{
	my ($node, $database, $point) = @_;

	return wait_for(20, sub { $node->safe_psql($database, "SELECT stopped('$point')") eq 't' });
}

# Bytes that a graph has given up and cannot use again, after a few changes.
sub retired_after_changes
{
	my ($node, $database) = @_;

	$node->safe_psql($database, qq{SELECT graphmem.add_triple('a', 'q', 'x$_') > 0}) foreach 1 .. 20;
	answers($node, $database);
	sleep 1;
	$node->safe_psql($database, q{SELECT graphmem.add_triple('a', 'q', 'y') > 0});
	answers($node, $database);
	wait_for(2, sub { $node->safe_psql($database, q{SELECT retired_bytes = 0 FROM graphmem.stat_graph}) eq 't' });
	return $node->safe_psql($database, q{SELECT retired_bytes FROM graphmem.stat_graph});
}

foreach my $conf ('', "min_dynamic_shared_memory = '64MB'\n")
{
	my $mode = $conf eq '' ? 'segments of their own' : 'segments in main memory';
	my $node = start_node($conf eq '' ? 'sections' : 'sections_main', $conf);

	create_database($node, 'sections');
	stop_functions($node, 'sections');
	first_use($node, 'sections');
	answers($node, 'sections');
	ok(wait_for_worker($node, 'sections'), "$mode: a worker");

	# ---- the worker ends while a reader looks ----
	my $gate = $node->background_psql('sections', on_error_stop => 1);
	my $reader = $node->background_psql('sections', on_error_stop => 0);
	my $pid = worker_pid($node, 'sections');

	$reader->query(q{SELECT count(*) FROM graphmem.neighbors('a')});
	$gate->query(q{SELECT stop('reader_entered', true)});
	$reader->query_until(qr/asked/, q{\echo asked
		SELECT string_agg(neighbor, ' ') FROM graphmem.neighbors('a');
		\echo answered
	});
	ok(is_stopped($node, 'sections', 'reader_entered'), "$mode: a reader is inside");
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
	ok(wait_for(20, sub { worker_pid($node, 'sections') ne $pid && state_of($node, 'sections') eq 'ready' }),
		"$mode: the worker ends and comes back");
	$gate->query(q{SELECT stop('reader_entered', false)});
	like($reader->query_until(qr/answered/, ''), qr/^b\n/m, "$mode: the reader answers from what it had");
	$node->safe_psql('sections', q{SELECT graphmem.add_triple('a', 'p', 'c')});
	is($reader->query(q{SELECT string_agg(neighbor, ' ') FROM graphmem.neighbors('a');}),
		'b c', "$mode: and then from the new generation");
	is($reader->query(q{SELECT path FROM graphmem.stat_backend;}), 'shared', "$mode: shared");
	$reader->quit;

	# ---- a reader that is cancelled inside ----
	is(retired_after_changes($node, 'sections'), 0, "$mode: memory is used again");
	$gate->query(q{SELECT stop('reader_entered', true)});
	my $caught = $node->background_psql('sections', on_error_stop => 0);
	$caught->query(q{SET statement_timeout = '500ms'; BEGIN;});
	is( $caught->query(q{
			DO $$
			BEGIN
				PERFORM count(*) FROM graphmem.neighbors('a');
				RAISE 'it was not cancelled';
			EXCEPTION WHEN query_canceled THEN
				RAISE NOTICE 'caught';
			END $$;
			SET statement_timeout = 0;
			SELECT 'cancelled';}),
		'cancelled', "$mode: cancelled inside, in a subtransaction");
	$gate->query(q{SELECT stop('reader_entered', false)});
	is(retired_after_changes($node, 'sections'), 0,
		"$mode: it is out, though its transaction is still open");
	is($caught->query(q{SELECT count(*) > 20 FROM graphmem.neighbors('a');}), 't', "$mode: and reads again");
	$caught->query(q{COMMIT;});
	$caught->quit;

	# ---- one that holds memory back ----
	$gate->query(q{SELECT stop('reader_entered', true)});
	my $slow = $node->background_psql('sections', on_error_stop => 0);
	$slow->query_until(qr/asked/, q{\echo asked
		SELECT count(*) > 20 FROM graphmem.neighbors('a');
		\echo answered
	});
	ok(is_stopped($node, 'sections', 'reader_entered'), "$mode: a reader stays inside");
	my $terminated = $node->safe_psql('sections', q{
		SELECT pid FROM pg_stat_activity WHERE query LIKE '%neighbors%' AND state = 'active' AND pid <> pg_backend_pid()});
	$node->safe_psql('sections', qq{SELECT graphmem.add_triple('a', 'q', 'z$_') > 0}) foreach 1 .. 5;
	$node->safe_psql('sections', q{SELECT graphmem.wait_for_sync()});
	cmp_ok($node->safe_psql('sections', q{SELECT retired_bytes FROM graphmem.stat_graph}),
		'>', 0, "$mode: what it may look at stays");
	$node->safe_psql('sections', "SELECT pg_terminate_backend($terminated)");
	ok(wait_for(10, sub {
		$node->safe_psql('sections', "SELECT count(*) FROM pg_stat_activity WHERE pid = $terminated") eq '0' }),
		"$mode: it is terminated");
	eval { $slow->quit };
	$gate->query(q{SELECT stop('reader_entered', false)});
	is(retired_after_changes($node, 'sections'), 0, "$mode: and its memory is used again");
	$gate->quit;

	# ---- memory goes back when nobody needs it ----
	my $before = $node->safe_psql('sections', q{SELECT sum(bytes) FROM graphmem.stat_memory});
	foreach my $i (1 .. 5)
	{
		$pid = worker_pid($node, 'sections');
		$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
		ok(wait_for_worker($node, 'sections', $pid), "$mode: restart $i");
		is(answers($node, 'sections') =~ s/ .*//r, 'b', "$mode: answered after restart $i");
	}
	cmp_ok($node->safe_psql('sections', q{SELECT sum(bytes) FROM graphmem.stat_memory}),
		'<=', $before, "$mode: restarts leave nothing behind");
	if ($conf eq '')
	{
		my $segments = () = glob('/dev/shm/PostgreSQL.*');
		note "$segments segments";
	}
	$node->stop;
}

done_testing();
