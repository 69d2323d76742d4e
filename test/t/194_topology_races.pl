# What comes in between while topology embeddings are computed and kept current:
# entities that go, transactions that hold them, processes that end with work
# left, spaces that come and go without end.

use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Graphmem;
use Workers;

my $db = 'races';
my $node = start_node('topology_races', q{
	max_worker_processes = 12
	max_prepared_transactions = 10
	max_logical_replication_workers = 0
	graphmem.topology_threshold = 0
});

create_database($node, $db);

sub value
{
	my ($sql) = @_;

	return $node->safe_psql($db, $sql);
}

value(q{
	CREATE FUNCTION stop(point text, at bool) RETURNS void AS 'graphmem', 'graphmem_stop_point' LANGUAGE C STRICT;
	CREATE FUNCTION stopped(point text) RETURNS bool AS 'graphmem', 'graphmem_stopped' LANGUAGE C STRICT;
	INSERT INTO graphmem.facts (subject, predicate, object)
	SELECT 'n' || i, 'links', 'n' || i * 7 % 100 FROM generate_series(1, 300) i;
	CREATE VIEW without_vector AS
		SELECT e.name FROM graphmem.entities e
		WHERE EXISTS (SELECT FROM graphmem.triples t WHERE e.entity_id IN (t.subject_id, t.object_id)
				AND t.expired_at = 'infinity')
			AND NOT EXISTS (SELECT FROM graphmem.topology_vectors v JOIN graphmem.vector_spaces s USING (space_id)
				WHERE v.entity_id = e.entity_id AND s.name = 'topology')});

# Holds a stop point while the code runs.
sub stopped_at
{
	my ($point, $code) = @_;
	my $session = $node->background_psql($db);

	$session->query_safe("SELECT stop('$point', true)");
	$code->($session);
	$session->query_safe("SELECT stop('$point', false)");
	$session->quit;
	return;
}

sub comes_to
{
	my ($point) = @_;

	return wait_for(60, sub { value("SELECT stopped('$point')") eq 't' });
}

sub no_jobs
{
	return wait_for(60, sub { value('SELECT count(*) FROM graphmem.stat_progress_topology') eq '0' });
}

sub topology_pid
{
	return $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'graphmem topology'");
}

sub refresh
{
	my %run = (out => '', err => '');

	$run{handle} = IPC::Run::start(
		[ $node->installed_command('psql'), '-XAtq', '-d', $node->connstr($db), '-c',
			'SELECT state FROM graphmem.refresh_topology()' ],
		'<', \undef, '>', \$run{out}, '2>', \$run{err});
	return \%run;
}

sub finish
{
	my ($run) = @_;

	$run->{handle}->finish;
	return $run->{out} . $run->{err};
}

# 1. Entities go while their vectors are computed, others are held by whoever is
# about to remove them.
my $run;
stopped_at('topology_computing', sub {
	$run = refresh();
	ok(comes_to('topology_computing'), 'it computes');
	value(q{DELETE FROM graphmem.triples t USING graphmem.entities e WHERE e.name = 'n299' AND e.entity_id IN (t.subject_id, t.object_id);
		DELETE FROM graphmem.entities WHERE name = 'n299'});
	value(q{SELECT graphmem.merge_entities('n298', 'n297')});
});
is(finish($run), "done\n", 'entities that go meanwhile do not end the computation');
is(value('SELECT count(*) FROM without_vector'), '0', 'all others have vectors');
is(value(q{SELECT count(*) FROM graphmem.check()}), '0', 'nothing refers to what is gone');

stopped_at('topology_computing', sub {
	$run = refresh();
	ok(comes_to('topology_computing'), 'it computes again');
	value(q{BEGIN; SELECT FROM graphmem.entities WHERE name = 'n296' FOR UPDATE; PREPARE TRANSACTION 'held'});
});
is(finish($run), "done\n", 'who holds an entity does not end it either');
is(value('SELECT string_agg(name, chr(32)) FROM without_vector'), 'n296', 'that one has no vector');
value("ROLLBACK PREPARED 'held'");
ok(wait_for(60, sub { value('SELECT count(*) FROM without_vector') eq '0' }), 'until it is let go');

# 2. New entities, one of which is held: the others do not wait for it.
value(q{BEGIN; INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('prepared', 'links', 'n1'); PREPARE TRANSACTION 'new'});
value(q{SELECT graphmem.add_triple('fresh', 'links', 'n1')});
ok(wait_for(60, sub { value(q{SELECT count(*) FROM graphmem.topology WHERE entity = 'fresh'}) eq '1' }),
	'a new entity has a vector beside one that is prepared');
value("COMMIT PREPARED 'new'");
ok(wait_for(60, sub { value(q{SELECT count(*) FROM graphmem.topology WHERE entity = 'prepared'}) eq '1' }),
	'which has one once it is committed');

# 3. What a process leaves behind when it is told to end is the next one's.
stopped_at('topology_computing', sub {
	value(q{SELECT state FROM graphmem.refresh_topology(space => 'first', wait => false)});
	value(q{SELECT state FROM graphmem.refresh_topology(space => 'second', wait => false)});
	ok(comes_to('topology_computing'), 'one computes, another waits, nobody waits for them');
	is(value('SELECT pg_terminate_backend(' . topology_pid() . ', 10000)'), 't', 'the process is ended');
});
ok(no_jobs(), 'what waited is taken up');
is(value(q{SELECT string_agg(space, ' ') FROM graphmem.stat_topology WHERE space IN ('first', 'second') AND state = 'ready'}),
	'second', 'and done; what was under way is not');
stopped_at('topology_computing', sub {
	value(q{SELECT state FROM graphmem.refresh_topology(space => 'third', wait => false)});
	ok(comes_to('topology_computing'), 'one computes');
	my $pid = topology_pid();

	value(qq{SELECT graphmem.add_triple('late', 'links', 'n1'), pg_terminate_backend($pid)});
});
ok(wait_for(60, sub { value(q{SELECT count(*) FROM graphmem.topology WHERE space = 'topology' AND entity = 'late'}) eq '1' }),
	'a new entity that the ended process has not seen has a vector');

# 4. What is counted of spaces goes with them, and with their graph.
my $counted = q{SELECT count(*) FROM graphmem.stat_get_topology() t WHERE NOT EXISTS
	(SELECT FROM graphmem.vector_spaces v WHERE v.space_id = t.space_id)};
value(q{SELECT graphmem.create_graph('passing')});
value(q{SET graphmem.graph = 'passing'; SELECT graphmem.add_triple('a', 'links', 'b')});
value(q{SELECT state FROM graphmem.refresh_topology(graph => 'passing')});
ok(wait_for(60, sub { value(q{SELECT looked_at IS NOT NULL FROM graphmem.stat_topology WHERE graph = 'passing'}) eq 't' }),
	'the space of another graph is looked at');
value(q{SELECT graphmem.drop_graph('passing')});
ok(wait_for(60, sub { value($counted) eq '0' }), 'its counts go with the graph');

# more spaces than there are entries come, are searched and go
value(q{DO $$
BEGIN
	FOR i IN 1 .. 4200 LOOP
		PERFORM graphmem.create_vector_space('passing', 2);
		PERFORM count(*) FROM graphmem.vector_search('{1, 0}'::real[], 1, space => 'passing');
		PERFORM graphmem.drop_vector_space('passing');
		COMMIT;
	END LOOP;
END $$});
value(q{SELECT graphmem.create_vector_space('last', 2)});
value(q{SELECT graphmem.set_embedding('n1', '{1, 0}', space => 'last')});
value(q{SELECT count(*) FROM graphmem.vector_search('{1, 0}'::real[], 1, space => 'last')});
is(value(q{SELECT exact_searches FROM graphmem.stat_vector WHERE space = 'last'}), '1', 'there is room for one that stays');

$node->stop;
done_testing();
