# pg_dump and restore, into a new database and into a new cluster: the same
# rows in every table but the caches, the same sequences, the same answers.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Graphmem;

my $node = start_node('origin');
create_database($node, 'origin');

# ---- something in every table, with names that are hard to quote ----

$node->safe_psql('origin', q{
	INSERT INTO graphmem.facts (subject, predicate, object, source, confidence,
		valid_from, valid_to, properties, subject_kind, object_kind, object_type)
	VALUES
		('Ada Lovelace', 'wrote', 'Note G', 'letter 1', 0.9, NULL, NULL, NULL, 'person', 'text', NULL),
		('Ada Lovelace', 'knows', 'Charles Babbage', 'letter 1', 0.8, NULL, NULL, NULL, 'person', 'person', NULL),
		('Ada Lovelace', 'knows', 'Charles Babbage', 'letter 2', 0.5, NULL, NULL, NULL, NULL, NULL, NULL),
		('Charles Babbage', 'designed', 'Analytical Engine', 'book', 1, NULL, NULL, '{"page": 7}', NULL, 'machine', NULL),
		('Note G', 'about', 'Analytical Engine', 'book', 0.7, NULL, NULL, NULL, NULL, NULL, NULL),
		('Ada Lovelace', 'born_in', 'London', NULL, 1, NULL, NULL, NULL, NULL, 'place', NULL),
		('Ada Lovelace', 'lived_in', 'Ockham Park', NULL, 0.6, '1835-07-08', '1838-01-01', NULL, NULL, 'place', NULL),
		('Ada Lovelace', 'birth year', '1815', NULL, 1, NULL, NULL, NULL, NULL, NULL, 'xsd:gYear'),
		(E'tab\there', E'line\nbreak', E'back\\\\slash', 'quote '' and "', 1, NULL, NULL, NULL, NULL, NULL, NULL),
		('Αδα', '知り合い', 'چارلز', NULL, 1, NULL, NULL, NULL, NULL, NULL, NULL),
		('', 'empty name of', repeat('x', 20000), NULL, 1, NULL, NULL, NULL, NULL, NULL, NULL);
	SELECT graphmem.set_predicate('born_in', functional => true);
	SELECT graphmem.set_predicate('knows', "symmetric" => true, weight => 2);
	SELECT graphmem.add_triple('Mary Somerville', 'born_in', 'Jedburgh');
	SELECT graphmem.add_triple('Mary Somerville', 'lives_in', 'Burntisland');
	SELECT graphmem.set_predicate('lives_in', functional => true);
	BEGIN;
	INSERT INTO graphmem.facts (subject, predicate, object, source, valid_from) VALUES
		('Mary Somerville', 'lives_in', 'London', 'letter 2', '1816-01-01'),
		('Mary Somerville', 'lives_in', 'Florence', 'letter 2', '1833-01-01');
	INSERT INTO graphmem.facts (subject, predicate, object, valid_from) VALUES
		('Mary Somerville', 'lives_in', 'Rome', '1833-01-01'), ('Mary Somerville', 'lives_in', 'Naples', '1865-01-01');
	COMMIT;
	SELECT graphmem.supersede('Mary Somerville', 'born_in', 'Jedburgh', 'Jedburgh, Scotland', '1780-12-26', 'more precise', 'letter 2');
	SELECT graphmem.retract('Mary Somerville', 'lives_in', 'London', as_of => '1820-01-01', reason => 'Chelsea');
	UPDATE graphmem.facts SET confidence = 0.75 WHERE subject = 'Note G';
	SELECT graphmem.add_source('letter 3', content => 'Ada writes about the engine again',
		kind => 'letter', session => 's1', reliability => 0.5, metadata => '{"year": 1843}');
	INSERT INTO graphmem.vectors (item, embedding) VALUES
		('Ada Lovelace', '{1,0,0}'), ('Charles Babbage', '{0.9,0.1,0}'),
		('Analytical Engine', '{0,1,0}'), ('London', '{0,0,1}'),
		('never in a fact', '{0.1,0.2,0.3}');
	SELECT graphmem.create_vector_space('passages', 2, target => 'source', metric => 'l2');
	SELECT graphmem.set_embedding('letter 3', '{0.5,0.25}', space => 'passages');

	INSERT INTO graphmem.aliases (graph_id, name, entity_id)
	SELECT graph_id, 'Countess of Lovelace', entity_id FROM graphmem.entities WHERE name = 'Ada Lovelace';
	SELECT graphmem.add_triple('Londinium', 'capital of', 'Britannia', 'letter 3');
	SELECT graphmem.set_embedding('Londinium', '{0.25,0,1}');
	SELECT graphmem.merge_entities('London', 'Londinium');
	INSERT INTO graphmem.functional_keys (subject_id, predicate_id, graph_id, changes)
	SELECT subject_id, predicate_id, graph_id, 3 FROM graphmem.triples WHERE functional
	ON CONFLICT DO NOTHING;
	INSERT INTO graphmem.accesses (entity_id, graph_id, access_count)
	SELECT entity_id, graph_id, 5 FROM graphmem.entities WHERE name = 'London';
	INSERT INTO graphmem.activations (graph_id, session, entity_id, activation)
	SELECT graph_id, 's1', entity_id, 0.5 FROM graphmem.entities WHERE name = 'London';
	INSERT INTO graphmem.vector_spaces (graph_id, name, dim, origin)
	SELECT graph_id, 'topology', 3, 'topology' FROM graphmem.graphs WHERE name = 'default';
	INSERT INTO graphmem.topology_vectors (space_id, entity_id, graph_id, embedding)
	SELECT v.space_id, e.entity_id, e.graph_id, '{1,2,3}' FROM graphmem.vector_spaces v, graphmem.entities e
	WHERE v.name = 'topology' AND e.name = 'London';

	SELECT graphmem.create_graph('other');
	SET graphmem.graph = 'other';
	INSERT INTO graphmem.facts (subject, predicate, object, source, confidence)
	VALUES ('Ada Lovelace', 'is', 'someone else', 'another world', 0.4);
	SELECT graphmem.set_embedding('Ada Lovelace', '{3,4,5,6}');
});

my @questions = (
	q{SELECT name, residency FROM graphmem.graphs ORDER BY graph_id},
	q{SELECT * FROM graphmem.facts ORDER BY triple_id},
	q{SELECT * FROM graphmem.vectors ORDER BY space, item_id},
	q{SELECT * FROM graphmem.match()},
	q{SELECT * FROM graphmem.match('Ada Lovelace', as_of => '1836-01-01')},
	q{SELECT * FROM graphmem.match('Countess of Lovelace')},
	q{SELECT * FROM graphmem.match(graph => 'other')},
	q{SELECT * FROM graphmem.history('Mary Somerville')},
	q{SELECT * FROM graphmem.match('Mary Somerville', as_of => '1840-01-01')},
	q{SELECT * FROM graphmem.neighbors('Charles Babbage')},
	q{SELECT * FROM graphmem.neighbors(E'tab\there')},
	q{SELECT * FROM graphmem.traverse(ARRAY['London'], 4)},
	q{SELECT * FROM graphmem.reach('Ada Lovelace', 3)},
	q{SELECT * FROM graphmem.shortest_path('London', 'Analytical Engine')},
	q{SELECT * FROM graphmem.paths('Ada Lovelace', 'Analytical Engine', 5)},
	q{SELECT * FROM graphmem.pagerank(ARRAY['London'])},
	q{SELECT * FROM graphmem.components()},
	q{SELECT * FROM graphmem.confidence('Ada Lovelace', 'knows')},
	q{SELECT * FROM graphmem.vector_search('{1,0.5,0}', 10)},
	q{SELECT * FROM graphmem.vector_search('{0.5,0}', 10, space => 'passages')},
	q{SELECT * FROM graphmem.similar('Ada Lovelace')},
	q{SELECT * FROM graphmem.fusion_query('{1,0,0}', 'engine', ARRAY['London'])},
	q{SELECT * FROM graphmem.fusion_query(query_text => 'lovelace', graph => 'other')},
);

sub answers
{
	my ($at, $database) = @_;
	my %answers;

	foreach my $question (@questions)
	{
		my ($status, $out, $err) = $at->psql($database, $question);
		$answers{$question} = $status == 0 ? $out : "failed: $err";
	}
	return \%answers;
}

my $tables = tables_of($node, 'origin');
my $sequences = sequences_of($node, 'origin');
my $answers = answers($node, 'origin');

foreach my $table (sort keys %$tables)
{
	isnt($tables->{$table}, '', "$table has rows to lose");
}
foreach my $question (@questions)
{
	ok( $answers->{$question} ne '' && $answers->{$question} !~ /^failed/,
		"answered: $question")
	  or diag($answers->{$question});
}

is( $node->safe_psql('origin', q{
		SELECT c.relname FROM pg_class c
		WHERE c.relnamespace = 'graphmem'::regnamespace AND c.relkind IN ('r', 'S')
			AND NOT EXISTS (SELECT FROM pg_extension e
				WHERE e.extname = 'graphmem' AND c.oid = ANY (e.extconfig))
		ORDER BY c.relname}),
	'topology_vectors',
	'every table and sequence but the cache is in the dump configuration');
is( $node->safe_psql('origin', q{
		SELECT count(*) FROM pg_class c
		WHERE c.relnamespace = 'graphmem'::regnamespace AND c.relkind IN ('r', 'S', 'v')
			AND NOT EXISTS (SELECT FROM pg_depend d
				WHERE d.objid = c.oid AND d.deptype = 'e')}),
	'0',
	'every table, sequence and view belongs to the extension');

# ---- restored, and compared ----

sub compare
{
	my ($at, $database, $where) = @_;
	my $restored = tables_of($at, $database);

	foreach my $table (sort keys %$tables)
	{
		my $want = $tables->{$table};

		$want = '' if $table eq 'topology_vectors';
		$want = join("\n", grep { !/,topology,/ } split(/\n/, $want)) if $table eq 'vector_spaces';
		is($restored->{$table}, $want, "$where: rows of $table");
	}
	is(sequences_of($at, $database), $sequences, "$where: sequences");
	my $new = answers($at, $database);
	foreach my $question (@questions)
	{
		is($new->{$question}, $answers->{$question}, "$where: $question");
	}

	# the restored graph goes on: no key is given out twice
	$at->safe_psql($database, q{
		SELECT graphmem.add_triple('Ada Lovelace', 'admired', 'Michael Faraday', 'letter 9')});
	is( $at->safe_psql($database,
			q{SELECT object FROM graphmem.match('Ada Lovelace', 'admired')}),
		'Michael Faraday',
		"$where: takes a new fact");

	# what was superseded stays so and can be undone; supersession goes on
	is( $at->safe_psql($database, q{
			SELECT graphmem.undo_supersede(max(supersession_id)) > 0 FROM graphmem.history('Mary Somerville') WHERE reason = 'Chelsea';
			INSERT INTO graphmem.facts (subject, predicate, object, valid_from) VALUES ('Mary Somerville', 'lives_in', 'Sorrento', '1870-01-01');
			SELECT string_agg(object || ' ' || coalesce(valid_to::date::text, 'open'), ', ' ORDER BY valid_from NULLS FIRST)
			FROM graphmem.history('Mary Somerville', 'lives_in') WHERE expired_at IS NULL}),
		"t\nBurntisland 1816-01-01, London 1833-01-01, Rome 1865-01-01, Naples 1870-01-01, Sorrento open",
		"$where: goes on superseding");
	return;
}

my $plain = $node->backup_dir . '/plain.sql';
mkdir $node->backup_dir;
$node->command_ok([ 'pg_dump', '--file', $plain, $node->connstr('origin') ],
	'pg_dump, plain');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok(
	[
		'psql', '--no-psqlrc', '--quiet', '--set', 'ON_ERROR_STOP=1', '--file', $plain,
		$node->connstr('restored')
	],
	'restored by psql');
compare($node, 'restored', 'new database');

my $archive = $node->backup_dir . '/archive';
$node->command_ok([ 'pg_dump', '--format=custom', '--file', $archive, $node->connstr('origin') ],
	'pg_dump, custom');
my $other = start_node('target');
$other->safe_psql('postgres', 'CREATE DATABASE restored');
$other->command_ok(
	[
		'pg_restore', '--exit-on-error', '--jobs=2', '--dbname', $other->connstr('restored'),
		$archive
	],
	'restored by pg_restore, two at a time');
compare($other, 'restored', 'new cluster');

$other->stop;
$node->stop;
done_testing();
