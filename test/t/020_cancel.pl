# Cancel, timeout and termination in the middle of a load and of every long
# search are obeyed at once; the session goes on, and its memory does not grow.

use strict;
use warnings;

use IPC::Run;
use List::Util qw(max);
use PostgreSQL::Test::Utils;
use Test::More;

use Graphmem;

my $entities = 40000;
my $triples = 480000;
my $promised = 100;		# ms
my $allowed = 1000;		# ms: the machine may be busy with something else

# loads are a session's own where the image is private
my $node = start_node('cancel', "graphmem.shared_image = off\n");
create_database($node, 'cancel');

# A ring of 12 links each with some shortcuts; subjects in order keep the insert short.
$node->safe_psql('cancel', qq{
	INSERT INTO graphmem.graphs (graph_id, name) VALUES (1, 'default'), (2, 'small');
	INSERT INTO graphmem.predicates (predicate_id, graph_id, name) VALUES (1, 1, 'p'), (2, 2, 'p');
	INSERT INTO graphmem.entities (entity_id, graph_id, name, literal_type)
		SELECT i, 1, 'n' || i, 'x' FROM generate_series(1, $entities) i;
	INSERT INTO graphmem.entities (entity_id, graph_id, name) VALUES (1000001, 2, 'a'), (1000002, 2, 'b');
	INSERT INTO graphmem.triples (triple_id, fact_id, graph_id, subject_id, predicate_id, object_id, confidence)
		SELECT i, i, 1, 1 + i / 12, 1,
			1 + (i / 12 + CASE WHEN i % 600 = 0 THEN 100 + i % 4999 ELSE (i % 12) * (i % 12 + 1) / 2 END + 1) % $entities,
			(i % 10 + 1) / 10.0
		FROM generate_series(0, $triples - 1) i;
	INSERT INTO graphmem.triples (triple_id, fact_id, graph_id, subject_id, predicate_id, object_id)
		VALUES ($triples + 1000, $triples + 1000, 2, 1000001, 2, 1000002);
});
$node->safe_psql('cancel', q{
	CREATE FUNCTION rss_anon() RETURNS bigint LANGUAGE sql AS
		$$ SELECT substring(pg_read_file('/proc/self/status') FROM 'RssAnon:\s+(\d+)')::bigint $$;

	-- Waits until the session of that name has run its statement for so long, sends it the
	-- signal, waits until it has ended, and returns how many milliseconds that took, or
	-- NULL where it ended by itself.
	CREATE FUNCTION interrupt_after(who text, wait interval, deadly bool) RETURNS float8 LANGUAGE plpgsql AS $$
	DECLARE
		target record;
		seen bool := false;
		sent timestamptz;
		stop_at timestamptz := clock_timestamp() + '60 s';
	BEGIN
		LOOP
			PERFORM pg_stat_clear_snapshot();
			SELECT pid, query_start INTO target FROM pg_stat_activity
			WHERE application_name = who AND state = 'active' AND query LIKE '/* here */%';
			EXIT WHEN target.query_start + wait <= clock_timestamp();
			IF seen AND target.pid IS NULL THEN
				RETURN NULL;
			END IF;
			seen := target.pid IS NOT NULL;
			IF clock_timestamp() > stop_at THEN
				RAISE 'there is no statement of % to interrupt', who;
			END IF;
			PERFORM pg_sleep(0.001);
		END LOOP;
		sent := clock_timestamp();
		IF deadly THEN
			PERFORM pg_terminate_backend(target.pid);
		ELSE
			PERFORM pg_cancel_backend(target.pid);
		END IF;
		LOOP
			PERFORM pg_stat_clear_snapshot();
			EXIT WHEN NOT EXISTS (SELECT FROM pg_stat_activity
				WHERE pid = target.pid AND state = 'active' AND query_start = target.query_start);
			PERFORM pg_sleep(0.0005);
		END LOOP;
		RETURN round(1000 * extract(epoch FROM clock_timestamp() - sent), 1);
	END $$;
});

my $worst = 0;

sub judge
{
	my ($what, $took) = @_;

	$worst = max($worst, $took);
	ok($took <= $allowed, "$what: obeyed")
	  or diag("it took $took ms");
	note "$what: $took ms" . ($took > $promised ? " (promised: $promised)" : '');
	return;
}

# the lower of two in the middle
sub median
{
	my @sorted = sort { $a <=> $b } @_;

	return $sorted[ ($#sorted) / 2 ];
}

# Runs a script in one session and interrupts its statement marked by "here",
# earlier if it ended before that.
sub interrupt
{
	my ($what, $script, $wait, $deadly) = @_;
	my $name = $what =~ s/\W+/_/gr;
	my $file = "$PostgreSQL::Test::Utils::tmp_check/$name.sql";
	my ($out, $err, $took);

	append_to_file($file, $script);
	for (my $try = 0; $try < 5; $try++)
	{
		($out, $err) = ('', '');
		my $psql = IPC::Run::start(
			[
				$node->installed_command('psql'), '-XqAt', '-v', 'VERBOSITY=verbose',
				'-d', $node->connstr('cancel') . " application_name=$name", '-f', $file
			],
			'>', \$out, '2>', \$err);
		$took = $node->safe_psql('cancel',
			"SELECT interrupt_after('$name', '$wait ms', " . ($deadly ? 'true' : 'false') . ')');
		$psql->finish;
		last if $took ne '' && $err ne '';
		$wait *= 0.7;
	}
	judge($what, $took eq '' ? 1e9 : $took);
	like($err, $deadly ? qr/57P01/ : qr/57014/, "$what: as an error");
	return $out;
}

# ---- how long they take when they are let be ----
my ($load_ms) = $node->safe_psql('cancel', q{
	SELECT clock_timestamp() AS start \gset
	SELECT count(*) FROM graphmem.reach('n1');
	SELECT round(1000 * extract(epoch FROM clock_timestamp() - :'start'));
}) =~ /(\d+)\s*$/;
note "the load takes $load_ms ms";

my $again = q{
SELECT count(*) FROM graphmem.match();
SELECT count FROM graphmem.reach('n1', 1000000);
};
my $answer = "$triples\n" . ($entities - 1) . "\n";

# ---- in the load ----
foreach my $percent (10, 30, 50, 70, 90)
{
	my $out = interrupt("load at $percent per cent",
		"/* here */ SELECT count(*) FROM graphmem.reach('n1');\n$again", $load_ms * $percent / 100, 0);
	is($out, $answer, "load at $percent per cent: the session goes on");
}
interrupt("load with a session that ends", "/* here */ SELECT count(*) FROM graphmem.reach('n1');\n",
	$load_ms / 2, 1);

# ---- in searches over the shared image ----
my $first = "SET graphmem.shared_image = on;\nSELECT count FROM graphmem.reach('n1', 1);\n";
my %searches = (
	'pagerank' => q{graphmem.pagerank(epsilon => 1e-12, damping => 0.999, max_iterations => 2147483647)},
	'pagerank from seeds' => q{graphmem.pagerank('{n1}', epsilon => 1e-12, damping => 0.999)},
	'pagerank by time' => q{graphmem.pagerank(epsilon => 1e-12, damping => 0.999, max_iterations => 1000000, known_at => now())},
	'paths' => q{graphmem.paths('n1', 'n25000', 1000000, 1000000)},
	'paths by confidence' => q{graphmem.paths('n1', 'n25000', 1000000, 1000000, 'confidence')},
	'traverse' => q{generate_series(1, 1000) i, LATERAL graphmem.traverse('{n1}', 1000000 - i)},
	'traverse depth first' => q{generate_series(1, 1000) i, LATERAL graphmem.traverse('{n1}', 1000000 - i, 'dfs', match_count => 1)},
	'reach' => q{generate_series(1, 100000) i, LATERAL graphmem.reach('n' || i % 40000 + 1, 1000000, min_confidence => 0.1)},
	'subgraph' => q{generate_series(1, 1000) i, LATERAL graphmem.subgraph('{n1}', 1000000 - i)},
	'components' => q{generate_series(1, 1000) i, LATERAL graphmem.components(match_count => i)},
	'shortest_path' => q{generate_series(1, 100000) i, LATERAL graphmem.shortest_path('n1', 'n' || i % 40000 + 1, 'confidence')},
	'match' => q{generate_series(1, 1000) i, LATERAL graphmem.match(match_count => 1000000 - i)});
foreach my $search (sort keys %searches)
{
	my $out = interrupt($search,
		"$first/* here */ SELECT count(*) FROM $searches{$search};\n$again", 500, 0);
	like($out, qr/\n\Q$answer\E$/, "$search: the session goes on");
}
interrupt('pagerank in a session that ends',
	"$first/* here */ SELECT count(*) FROM $searches{pagerank};\n", 500, 1);

# ---- statement_timeout ----
my $timeout = int($load_ms / 3) + 1;
my ($status, $out, $err) = $node->psql('cancel', qq{
	SELECT clock_timestamp() AS start \\gset
	SET statement_timeout = '$timeout ms';
	SELECT count(*) FROM graphmem.reach('n1');
	RESET statement_timeout;
	SELECT 'took', round(1000 * extract(epoch FROM clock_timestamp() - :'start')::numeric, 1) - $timeout;
	$again
}, on_error_stop => 0);
like($err, qr/canceling statement due to statement timeout/, 'timeout in the load: as an error');
judge('timeout in the load', $out =~ /took\|([\d.]+)/ ? $1 : 1e9);
like($out, qr/\n\Q$answer\E?$/, 'timeout in the load: the session goes on');

# an error that PL/pgSQL catches, and a savepoint, leave nothing half done either
is( $node->safe_psql('cancel', qq{
	BEGIN;
	SET LOCAL statement_timeout = '$timeout ms';
	DO \$\$
	BEGIN
		PERFORM count(*) FROM graphmem.reach('n1');
	EXCEPTION WHEN query_canceled THEN
		NULL;
	END \$\$;
	SET LOCAL statement_timeout = 0;
	$again
	COMMIT;}) . "\n", $answer, 'a cancel that is caught');

# ---- memory ----
($status, $out, $err) = $node->psql('cancel', join('', map { qq{
	SET statement_timeout = '@{[ int($load_ms * ($_ % 9 + 1) / 20) || 1 ]} ms';
	SELECT count(*) FROM graphmem.reach('n1');
	RESET statement_timeout;
	SELECT graphmem.create_graph('another $_') > 0;
	SELECT 'kB', rss_anon();
} } 1 .. 20), on_error_stop => 0);
# a load that came to its end first keeps its image until the next one
my (@kilobytes, @loaded);
push @{ defined $1 ? \@loaded : \@kilobytes }, $2 while $out =~ /^(\d+\n)?(?:t\n)?kB\|(\d+)$/mg;
my $cancelled = () = $err =~ /canceling statement/g;
note "RssAnon after $cancelled cancelled loads: @kilobytes kB" . (@loaded ? "; after others: @loaded kB" : '');
ok($cancelled >= 10, 'loads were cancelled');
is(@kilobytes . ' ' . @loaded, "$cancelled " . (20 - $cancelled), 'the session goes on after each');
my $half = int(@kilobytes / 2);
ok(median(@kilobytes[ $half .. $#kilobytes ]) < median(@kilobytes[ 0 .. $half - 1 ]) + 16 * 1024,
	'cancelled loads leave no memory behind');

($status, $out, $err) = $node->psql('cancel', join('', $first, "SELECT 'kB', rss_anon();\n", map { qq{
	SET statement_timeout = '50 ms';
	SELECT count(*) FROM graphmem.pagerank(epsilon => 1e-12, damping => 0.999, max_iterations => 1000000);
	SELECT count(*) FROM graphmem.traverse('{n1}', 1000000);
	SELECT count(*) FROM graphmem.paths('n1', 'n25000', 1000000, 1000000);
	RESET statement_timeout;
	SELECT 'kB', rss_anon();
} } 1 .. 10), on_error_stop => 0);
@kilobytes = $out =~ /kB\|(\d+)/g;
note "RssAnon after searches that were cancelled: @kilobytes kB";
ok(median(@kilobytes[ 6 .. 10 ]) < median(@kilobytes[ 1 .. 5 ]) + 16 * 1024, 'nor do cancelled searches');

# ---- limits ----
($status, $out, $err) = $node->psql('cancel', qq{
	\\set VERBOSITY verbose
	SET graphmem.private_memory_limit = '16MB';
	SELECT count(*) FROM graphmem.match();
	SELECT 'kB', rss_anon();
	SELECT count(*) FROM graphmem.match();
	SELECT 'small', count(*) FROM graphmem.match(graph => 'small');
	RESET graphmem.private_memory_limit;
	$again
	SET graphmem.private_memory_limit = '1MB';
	SELECT 'small', count(*) FROM graphmem.match(graph => 'small');
}, on_error_stop => 0);
my $refused = () = $err =~ /53400/g;
is($refused, 2, 'an image beyond the limit: 53400');
like($err, qr/DETAIL:.*16 MB/, 'and it says what the limit is');
like($err, qr/HINT:.*estimate_memory/, 'and what to do');
my ($kb) = $out =~ /kB\|(\d+)/;
ok($kb < 64 * 1024, 'before the memory is taken') or diag("$kb kB");
like($out, qr/small\|1\n.*\Q$answer\Esmall\|1$/s, 'others fit, and it does when the limit is raised');

($status, $out, $err) = $node->psql('cancel', qq{
	SET work_mem = '64kB';
	SELECT count(*), sum(hops) > 0 FROM graphmem.traverse('{n1}', 1000000);
	SELECT count(DISTINCT triple_id) FROM graphmem.match();
	SELECT count(*) FROM graphmem.components();
});
is($out, "$entities|t\n$triples\n$entities", 'little work_mem');

note "the slowest took $worst ms";
$node->stop;
done_testing();
