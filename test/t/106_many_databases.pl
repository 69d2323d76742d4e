# One database more than may have a worker: it is answered privately, view and log
# say what the limit is, and a database that is dropped makes room.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Graphmem;
use Workers;

my $most = 48;
my $node = start_node('many');

# nobody's worker is of interest, so there need be no slots for them
create_database($node, 'first');
$node->safe_psql('first', q{SELECT graphmem.add_triple('a', 'p', 'b')});
$node->append_conf('postgresql.conf', "max_worker_processes = 0\n");
$node->restart;
foreach my $number (2 .. $most + 1)
{
	$node->safe_psql('postgres', "CREATE DATABASE d$number TEMPLATE first STRATEGY file_copy");
}
foreach my $database ('first', map { "d$_" } 2 .. $most)
{
	answers($node, $database);
}
is(state_of($node, "d$most"), 'no worker slot', "database $most has a place");

my $more = 'd' . ($most + 1);
my $offset = -s $node->logfile;
is($node->safe_psql($more, 'SELECT state, hint FROM graphmem.stat_worker'),
	"not started|$most other databases of this server have used graphmem, which is the limit: "
	  . 'queries are answered from private images until one of those databases is dropped.',
	'the next one finds the limit in its view');
is( $node->safe_psql($more, q{
		SELECT neighbor FROM graphmem.neighbors('a');
		SELECT path, reason FROM graphmem.stat_backend}),
	"b\nprivate|no place in the control structure", '... is answered privately');
is(log_count($node, qr/no graphmem worker for database \d+: $most others have one/, $offset), 1, '... and logged');
is($node->safe_psql('first', q{SELECT hint LIKE '%max_worker_processes%' FROM graphmem.stat_worker}),
	't', 'the others are told of what is in their way');

$node->safe_psql('postgres', 'DROP DATABASE d2');
is(answers($node, $more), 'b', 'a database is dropped');
is(state_of($node, $more), 'no worker slot', '... and the one too many has its place');

$node->stop;
done_testing();
