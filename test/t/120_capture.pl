# Every way to change the tables reaches the image: whatever a transaction did,
# the shared image equals the tables afterwards, and what it sees of its own
# changes before it ends is what a private image shows it.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Graphmem;

my $seed = $ENV{CAPTURE_SEED} // 1;
note("CAPTURE_SEED=$seed");

my $node = start_node('capture', "max_prepared_transactions = 4\n");
create_database($node, 'capture');

$node->safe_psql('capture', q{
	INSERT INTO graphmem.facts (subject, predicate, object, source, confidence)
	SELECT 'e' || i, 'p' || i % 3, 'e' || i * 7 % 50, 's' || i % 5, 0.5 + i % 5 / 10.0
	FROM generate_series(1, 200) i;
	SELECT count(graphmem.set_embedding('e' || i, ARRAY[cos(i), sin(i)]::real[])) FROM generate_series(1, 50) i;
	SELECT graphmem.add_triple('x', 'p', 'y', graph => graphs.name)
	FROM (SELECT 'other' AS name, graphmem.create_graph('other')) graphs;
});

# The shared image answers, and is what the tables say.
sub sound
{
	my ($what) = @_;
	my $out = $node->safe_psql('capture', q{
		SET graphmem.sync_timeout = '60s';
		SELECT graphmem.wait_for_sync();
		SELECT count(*) > 0 FROM graphmem.match() WHERE triple_id IS NOT NULL;
		SELECT path || coalesce(': ' || reason, '') FROM graphmem.stat_backend;
		SELECT c::text FROM graphmem.check() c;});

	like($out, qr/^t\n[tf]\n(shared)$/, "$what: sound");
	return;
}

sub sql
{
	my ($what, $sql) = @_;

	$node->safe_psql('capture', $sql);
	sound($what);
	return;
}

sound('at first');

# ---- kinds of rows and of statements ----

sql('entity', q{INSERT INTO graphmem.entities (graph_id, name, kind) VALUES (1, 'new', 'k')});
sql('literal', q{SELECT graphmem.add_triple('new', 'year', '1815', object_type => 'xsd:gYear')});
sql('kind', q{UPDATE graphmem.entities SET kind = 'other' WHERE name = 'new'});
sql('kind gone', q{UPDATE graphmem.entities SET kind = NULL WHERE name = 'new'});
sql('name', q{UPDATE graphmem.entities SET name = 'newer' WHERE name = 'new'});
sql('alias', q{
	INSERT INTO graphmem.aliases (graph_id, name, entity_id)
	SELECT graph_id, 'alias of ' || name, entity_id FROM graphmem.entities WHERE name IN ('e1', 'e2')});
sql('alias of another', q{
	UPDATE graphmem.aliases SET entity_id = (SELECT entity_id FROM graphmem.entities WHERE name = 'e3')
	WHERE name = 'alias of e1'});
sql('predicate', q{SELECT graphmem.set_predicate('p1', "symmetric" => true, weight => 3)});
sql('triple', q{SELECT graphmem.add_triple('newer', 'p1', 'e1', 'a new source', 0.3)});
sql('triple closed', q{UPDATE graphmem.triples SET valid_to = now() WHERE triple_id % 10 = 3});
sql('versions', q{UPDATE graphmem.facts SET confidence = 0.25 WHERE subject = 'e5'});
sql('erased', q{DELETE FROM graphmem.facts WHERE subject = 'e6'});
sql('source', q{SELECT graphmem.add_source('s1', reliability => 0.5, session => 'here', kind => 'book')});
sql('assertion', q{UPDATE graphmem.assertions SET confidence = 0.1 WHERE source_id % 2 = 0});
sql('assertion gone', q{DELETE FROM graphmem.assertions WHERE fact_id % 7 = 0});
sql('space', q{SELECT graphmem.create_vector_space('l2', 3, target => 'source', metric => 'l2')});
sql('vector', q{SELECT graphmem.set_embedding('s2', '{1,2,3}', space => 'l2')});
sql('vector changed', q{SELECT graphmem.set_embedding('s2', '{3,2,1}', space => 'l2')});
sql('vector gone', q{DELETE FROM graphmem.embeddings WHERE item_id % 5 = 0});
sql('space gone', q{SELECT graphmem.drop_vector_space('l2')});
sql('entity gone', q{
	WITH gone AS (DELETE FROM graphmem.triples t USING graphmem.entities e
		WHERE e.name = 'e7' AND e.entity_id IN (t.subject_id, t.object_id))
	SELECT;
	DELETE FROM graphmem.entities WHERE name = 'e7'});
sql('key changed', q{UPDATE graphmem.aliases SET alias_id = alias_id + 1000});
sql('row in the place of another', q{
	WITH gone AS (DELETE FROM graphmem.aliases WHERE name = 'alias of e2' RETURNING *)
	INSERT INTO graphmem.aliases (alias_id, graph_id, name, entity_id)
	SELECT alias_id, graph_id, 'again', entity_id FROM gone});
sql('inserted or updated', q{
	INSERT INTO graphmem.sources (source_id, graph_id, name)
	SELECT source_id, graph_id, name FROM graphmem.sources WHERE graph_id = 1
	ON CONFLICT (source_id) DO UPDATE SET reliability = 0.75});

# contents too long to be carried are read where they lie
sql('long name', q{SELECT graphmem.add_triple(repeat('long ', 4000), 'p1', repeat('name ', 2000))});
sql('long name changed', q{UPDATE graphmem.entities SET name = repeat('other ', 4000) WHERE name = repeat('name ', 2000)});
sql('long name gone', q{
	DELETE FROM graphmem.facts WHERE subject = repeat('long ', 4000);
	DELETE FROM graphmem.entities WHERE name IN (repeat('other ', 4000), repeat('long ', 4000));
	VACUUM graphmem.entities});
sql('wide vectors', q{
	SELECT graphmem.create_vector_space('wide', 4000);
	SELECT count(graphmem.set_embedding('e' || i, ARRAY(
		SELECT (i + j)::real FROM generate_series(1, 4000) j), space => 'wide'))
	FROM generate_series(1, 5) i});
sql('wide vectors changed', q{
	UPDATE graphmem.embeddings e SET embedding = (SELECT array_agg(x ORDER BY n DESC) FROM unnest(e.embedding) WITH ORDINALITY u (x, n))
	WHERE cardinality(embedding) = 4000;
	VACUUM graphmem.embeddings});
sql('wide vectors gone', q{
	SELECT graphmem.drop_vector_space('wide');
	VACUUM graphmem.embeddings});

# what the image does not keep costs nothing
{
	my $changes = q{SELECT tickets FROM graphmem.stat_worker};
	my $before = $node->safe_psql('capture', $changes);

	$node->safe_psql('capture', q{
		UPDATE graphmem.entities SET properties = '{"a": 1}' WHERE entity_id < 20;
		UPDATE graphmem.sources SET content = 'text', metadata = '{"b": 2}';
		UPDATE graphmem.triples SET properties = '{"c": 3}' WHERE triple_id < 20});
	is($node->safe_psql('capture', $changes), $before, 'properties and contents are not handed over');
	sound('properties and contents');
}

# ---- COPY, TRUNCATE, replica mode, rollbacks ----

sql('COPY', q{
COPY graphmem.entities (entity_id, graph_id, name) FROM stdin;
900001	1	copied 1
900002	1	copied 2
\.
COPY graphmem.triples (triple_id, fact_id, graph_id, subject_id, predicate_id, object_id) FROM stdin;
900001	900001	1	900001	1	900002
900002	900002	1	900002	1	900001
\.
});
sql('replica mode', q{
	SET session_replication_role = replica;
	INSERT INTO graphmem.entities (entity_id, graph_id, name) VALUES (900003, 1, 'replicated');
	UPDATE graphmem.entities SET kind = 'copy' WHERE entity_id = 900001;
	DELETE FROM graphmem.triples WHERE triple_id = 900002});
sql('TRUNCATE', q{TRUNCATE graphmem.aliases});
sql('COPY FREEZE', q{
BEGIN;
TRUNCATE graphmem.aliases;
COPY graphmem.aliases (graph_id, name, entity_id) FROM stdin (FREEZE);
1	frozen	900001
\.
COMMIT;
});
sql('TRUNCATE taken back', q{
	BEGIN;
	INSERT INTO graphmem.aliases (graph_id, name, entity_id) VALUES (1, 'stays', 900002);
	SAVEPOINT one;
	TRUNCATE graphmem.aliases;
	ROLLBACK TO one;
	UPDATE graphmem.aliases SET name = 'still there' WHERE name = 'stays';
	COMMIT});
sql('rolled back', q{
	BEGIN;
	DELETE FROM graphmem.triples WHERE triple_id < 50;
	ROLLBACK});
sql('one graph dropped, another created', q{
	BEGIN;
	SELECT graphmem.drop_graph('other');
	SELECT graphmem.create_graph('third');
	SELECT graphmem.add_triple('x', 'p', 'z', graph => 'third');
	COMMIT});
is( $node->safe_psql('capture', q{SELECT object FROM graphmem.match(graph => 'third')}),
	'z', 'the new graph is there');
sql('table rewritten', q{
	INSERT INTO graphmem.entities (entity_id, graph_id, name) VALUES (900004, 1, 'before');
	VACUUM FULL graphmem.entities;
	INSERT INTO graphmem.entities (entity_id, graph_id, name) VALUES (900005, 1, 'after')});

# ---- two-phase commit ----

$node->safe_psql('capture', q{
	BEGIN;
	SELECT graphmem.add_triple('prepared', 'p1', 'e1');
	SAVEPOINT one;
	SELECT graphmem.add_triple('prepared', 'p1', 'not this');
	ROLLBACK TO one;
	SELECT graphmem.add_triple('prepared', 'p1', 'e2');
	PREPARE TRANSACTION 'yes';
	BEGIN;
	SELECT graphmem.add_triple('prepared no', 'p0', 'e1');
	PREPARE TRANSACTION 'no'});
is( $node->safe_psql('capture', q{SELECT count(*) FROM graphmem.match('prepared')}),
	'0', 'a prepared transaction is not seen');
sql('others go on', q{SELECT graphmem.add_triple('meanwhile', 'p1', 'e1')});
sql('ROLLBACK PREPARED', q{ROLLBACK PREPARED 'no'});
sql('COMMIT PREPARED', q{COMMIT PREPARED 'yes'});
is( $node->safe_psql('capture',
		q{SELECT string_agg(object, ',' ORDER BY object) FROM graphmem.match('prepared')}),
	'e1,e2', 'then it is');

# ---- own changes, and what savepoints leave of them ----

# Calls whose answers depend on every table, from the image laid over and from
# a private one.  One that had to be answered privately is a failure.
my $ask = q{
	SELECT md5(string_agg(m::text, ';')) AS a FROM graphmem.match() m \gset
	SELECT md5(string_agg(m::text, ';')) AS b FROM graphmem.vector_search('{1,0}', 1000) m \gset
	SELECT md5(string_agg(m::text, ';')) AS c FROM graphmem.traverse('{e1}', 3) m \gset
	SELECT md5(string_agg(m::text, ';')) AS d FROM graphmem.confidence() m \gset
	SELECT md5(string_agg(m::text, ';')) AS e FROM graphmem.components() m \gset
	SELECT md5(string_agg(m::text, ';')) AS f FROM graphmem.match('the alias') m \gset
	SELECT path || coalesce(': ' || reason, '') AS path FROM graphmem.stat_backend \gset
	\echo :a :b :c :d :e :f :path
};
my $both = "$ask SET graphmem.shared_image = off; $ask SET graphmem.shared_image = on;\n";

srand($seed);

sub any
{
	return $_[ int(rand(@_)) ];
}

sub change
{
	my $i = int(rand(40));
	my $j = int(rand(40));
	my $n = int(rand(1e9));

	return any(
		"PERFORM graphmem.add_triple('e$i', 'p" . ($j % 3) . "', 'e$j', 's$j', 0.5);",
		"PERFORM graphmem.add_triple('e$i', 'p$j', 'made $n');",
		"UPDATE graphmem.triples SET confidence = (triple_id % 10) / 10.0 WHERE subject_id % 40 = $i;",
		"DELETE FROM graphmem.triples WHERE object_id % 40 = $i;",
		"UPDATE graphmem.facts SET confidence = 0.$j WHERE subject = 'e$i';",
		"UPDATE graphmem.entities SET name = 'renamed $n ' || entity_id WHERE entity_id % 40 = $i AND entity_id % 3 = 0;",
		"UPDATE graphmem.entities SET kind = 'k$j' WHERE entity_id % 40 = $i;",
		"PERFORM graphmem.set_embedding('e$i', ARRAY[$j, 1]::real[]);",
		"DELETE FROM graphmem.embeddings WHERE item_id % 40 = $j;",
		"DELETE FROM graphmem.assertions WHERE fact_id % 40 = $i;",
		"UPDATE graphmem.sources SET reliability = (source_id % 10) / 10.0 WHERE source_id % 7 = " . $i % 7 . ';',
		"PERFORM graphmem.add_triple('fresh $n', 'p1', 'e$i', 'source $n');",
		"DELETE FROM graphmem.aliases WHERE name = 'the alias';
			INSERT INTO graphmem.aliases (graph_id, name, entity_id)
			SELECT 1, 'the alias', min(entity_id) FROM graphmem.entities WHERE graph_id = 1 AND entity_id % 40 = $i
			HAVING count(*) > 0;");
}

sub block
{
	my ($depth) = @_;
	my $text = 'BEGIN ';

	for (1 .. 1 + int(rand(3)))
	{
		$text .= $depth < 3 && rand() < 0.4 ? block($depth + 1) : change();
	}
	$text .= " RAISE EXCEPTION 'no';" if rand() < 0.3;
	return $text . ' EXCEPTION WHEN raise_exception OR unique_violation THEN NULL; END; ';
}

# a trigger of the user's whose commands come between a command and its triggers
$node->safe_psql('capture', q{
	CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF pg_trigger_depth() < 2 THEN
			UPDATE graphmem.entities SET kind = 'meddled ' || NEW.entity_id
			WHERE entity_id % 40 = (NEW.entity_id + TG_ARGV[0]::int) % 40;
		END IF;
		RETURN NEW;
	END $$;
	CREATE TRIGGER a_after AFTER INSERT OR UPDATE ON graphmem.entities
		FOR EACH ROW EXECUTE FUNCTION meddle(1);
	CREATE TRIGGER b_before BEFORE INSERT ON graphmem.entities
		FOR EACH ROW EXECUTE FUNCTION meddle(2)});

my ($asked, $same, $laid_over) = (0, 0, 0);
foreach my $round (1 .. 12)
{
	my $script = "SET graphmem.sync_timeout = '60s'; BEGIN;\n";
	my @stack;

	foreach my $step (1 .. 25)
	{
		my $dice = rand();

		if ($dice < 0.15)
		{
			push @stack, 's' . @stack;
			$script .= "SAVEPOINT $stack[-1];\n";
		}
		elsif ($dice < 0.25 && @stack)
		{
			$#stack = int(rand(@stack));
			$script .= "ROLLBACK TO $stack[-1];\n";
		}
		elsif ($dice < 0.33 && @stack)
		{
			$#stack = int(rand(@stack));
			$script .= 'RELEASE ' . pop(@stack) . ";\n";
		}
		elsif ($dice < 0.5)
		{
			$script .= $both;
		}
		else
		{
			$script .= 'DO $do$ BEGIN ' . block(0) . " END \$do\$;\n";
		}
	}
	$script .= $both . any('COMMIT', 'ROLLBACK') . ";\n";
	my @answers = split /\n/, $node->safe_psql('capture', $script);
	while (my ($with, $without) = splice(@answers, 0, 2))
	{
		my ($a, $path) = $with =~ /^((?:\S+ ){6})(.*)/;
		my ($b, $private) = $without =~ /^((?:\S+ ){6})(.*)/;

		$asked++;
		$same++ if $a eq $b && $private =~ /^private/;
		$laid_over++ if $path =~ /^(overlay|shared)$/;
		diag("round $round: $with, but $without") if $a ne $b;
		diag("round $round: $path") if $path !~ /^(overlay|shared)$/;
	}
	sound("random changes, round $round");
}
cmp_ok($asked, '>', 50, 'random changes were looked at');
is($same, $asked, 'own changes: the same answers as a private image');
is($laid_over, $asked, 'own changes: none was answered privately');

# ---- large transactions ----

$node->safe_psql('capture', q{
	DROP TRIGGER a_after ON graphmem.entities;
	DROP TRIGGER b_before ON graphmem.entities});
sql('more than the queue holds', q{
	INSERT INTO graphmem.entities (entity_id, graph_id, name)
	SELECT 1000000 + i, 1, 'many ' || i FROM generate_series(1, 30000) i});
sql('more than is carried', q{
	INSERT INTO graphmem.triples (triple_id, fact_id, graph_id, subject_id, predicate_id, object_id)
	SELECT 1000000 + i, 1000000 + i, 1, 1000001 + i % 30000, 1, 1000001 + (i * 7 + i / 30000) % 30000
	FROM generate_series(1, 100000) i;
	VACUUM graphmem.triples});
is( $node->safe_psql('capture', q{
		BEGIN;
		UPDATE graphmem.triples SET confidence = 0.5 WHERE triple_id > 1000000;
		SELECT count(*) FROM graphmem.match(min_confidence => 0.4, match_count => 5);
		SELECT path FROM graphmem.stat_backend;
		ROLLBACK}),
	"5\nprivate", 'own changes beyond what is laid over');
sql('updated', q{
	UPDATE graphmem.triples SET confidence = 0.5 WHERE triple_id > 1000000;
	VACUUM graphmem.triples});
sql('deleted, and vacuumed at once', q{
	DELETE FROM graphmem.triples WHERE triple_id > 1000000;
	VACUUM graphmem.triples});
sql('inserted and deleted', q{
	BEGIN;
	INSERT INTO graphmem.triples (triple_id, fact_id, graph_id, subject_id, predicate_id, object_id)
	SELECT 2000000 + i, 2000000 + i, 1, 1000001 + i % 30000, 1, 1000001 + (i * 7 + i / 30000) % 30000
	FROM generate_series(1, 70000) i;
	DELETE FROM graphmem.triples WHERE triple_id > 2000100;
	COMMIT;
	VACUUM graphmem.triples});

$node->stop;
done_testing();
