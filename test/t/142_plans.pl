# What a session's planner remembers of an image is of that graph, also where
# the next worker has put another one into the same place.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Graphmem;
use Workers;

my $node = start_node('plans');
create_database($node, 'plans');

my %facts = (few => 10, many => 50);

foreach my $graph (sort keys %facts)
{
	$node->safe_psql('plans', qq{
		SELECT graphmem.create_graph('$graph');
		SET graphmem.graph = '$graph';
		INSERT INTO graphmem.facts (subject, predicate, object)
		SELECT 'n' || i, 'p', 'm' || i FROM generate_series(1, $facts{$graph}) i});
}

my $session = $node->background_psql('plans', on_error_stop => 1);
$session->query_safe(q{SET graphmem.sync_timeout = '60s'});

# Both graphs are the first that their worker loads.
foreach my $graph (sort keys %facts)
{
	my $before = worker_pid($node, 'plans');

	$node->safe_psql('plans', "SELECT pg_terminate_backend($before, 30000)") if $before ne '';
	is($session->query_safe(qq{
			SELECT count(*) FROM graphmem.match(graph => '$graph');
			SELECT path FROM graphmem.stat_backend}), "$facts{$graph}\nshared", "$graph: the image answers");
	like($session->query_safe("EXPLAIN SELECT * FROM graphmem.match(graph => '$graph')"),
		qr/ rows=$facts{$graph} /, "$graph: and its numbers are planned with");
}

$session->quit;
$node->stop;
done_testing();
