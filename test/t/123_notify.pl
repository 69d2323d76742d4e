# Notification of committed changes, as a client that listens counts it: see
# notify.py.  Once with a worker and once without, since neither worker nor
# shared memory has a part in it.  GRAPHMEM_SEED repeats a run.

use strict;
use warnings;

use File::Basename;
use PostgreSQL::Test::Utils;
use Test::More;

use Graphmem;

my $seed = $ENV{GRAPHMEM_SEED} // int(rand(1000000));
my $python = python_with('psycopg2');
plan skip_all => 'no psycopg2 (Debian: python3-psycopg2)' unless defined $python;
note "seed $seed";

foreach my $workers (8, 0)
{
	my $node = start_node("notify_$workers",
		"max_worker_processes = $workers\nmax_prepared_transactions = 2\n");

	create_database($node, 'notify');
	ok( report_of($python, dirname(__FILE__) . '/notify.py', $node->connstr('notify'), $seed,
			$workers ? 60 : 10, $workers ? 100000 : 1000),
		"$workers worker processes: came to the end");
	$node->stop;
}

# a subscriber's graph notifies if its own setting says so
my $publisher = start_node('notify_publisher',
	"wal_level = logical\nmax_wal_senders = 8\nmax_replication_slots = 8\n");
my $subscriber = start_node('notify_subscriber');
create_database($publisher, 'notify');
create_database($subscriber, 'notify');
$publisher->safe_psql('notify', q{
	SELECT graphmem.add_triple('a', 'p', 'b');
	CREATE PUBLICATION everything FOR TABLE graphmem.graphs, graphmem.entities, graphmem.predicates,
		graphmem.triples});
my $connection = $publisher->connstr . ' dbname=notify';
$subscriber->safe_psql('notify',
	"CREATE SUBSCRIPTION copies CONNECTION '$connection' PUBLICATION everything");
$subscriber->wait_for_subscription_sync($publisher, 'copies', 'notify');
ok( report_of($python, dirname(__FILE__) . '/notify.py', $subscriber->connstr('notify'), 'subscriber',
		$connection),
	'the subscriber came to its end');
$subscriber->stop;
$publisher->stop;

done_testing();
