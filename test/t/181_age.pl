# import_age: a graph of Apache AGE becomes facts, with every property.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Graphmem;

my $node = start_node('age');

plan skip_all => 'Apache AGE is not there (test/bench/peers.sh --check tap has it)'
  if $node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'age'}) eq '0';
create_database($node, 'age');

sub age { return $node->safe_psql('age', "LOAD 'age'; SET search_path = ag_catalog, public; $_[0]"); }

sub cypher
{
	my ($query) = @_;
	return age("SELECT count(*) FROM cypher('Social', \$cypher\$ $query \$cypher\$) AS (r agtype)");
}

sub refused
{
	my ($sql, $state, $what) = @_;
	my ($status, $out, $err) = $node->psql('age', "\\set VERBOSITY sqlstate\n$sql");

	isnt($status, 0, "$what: refused");
	like($err, qr/ERROR:  $state/, "$what: $state");
	return;
}

refused('SELECT graphmem.import_age($$x$$)', '42704', 'no AGE in this database');
$node->safe_psql('age', 'CREATE EXTENSION age');
age(q{SELECT create_graph('Social')});
cypher(q{CREATE (:Person {name: 'Ada', born: 1815, score: 0.1,
	nested: {list: [1, 2.5, 'x', null, {deep: true}], text: 'a::numeric "q" \\\\ é'}}),
	(:Person {name: 'Bob'}), (:Person {name: 'Bob', note: 'another'}), (:City {title: 'London', name: 7}),
	({name: 'bare'}), (:City), (:Person {name: ['a list']}), (:Odd {score: toFloat('Infinity'), age_id: 'mine', name: 'odd one'})});
# a constant of Cypher has no more digits than a float
age(q{INSERT INTO "Social"."Person" (properties) VALUES ('{"name": "Big", "big": 12345678901234567890.123456789::numeric}')});
cypher(q{MATCH (a:Person {name: 'Ada'}), (c:City {title: 'London'}) CREATE (a)-[:LIVED_IN {since: 1835, sure: 0.9::numeric}]->(c)});
cypher(q{MATCH (a:Person {name: 'Ada'}), (b:Person {note: 'another'}) CREATE (a)-[:KNOWS]->(b), (a)-[:KNOWS {again: true}]->(b), (b)-[:KNOWS]->(b)});

refused('SELECT graphmem.import_age($$no such$$)', '42704', 'an unknown AGE graph');
refused('SELECT graphmem.import_age($$Social$$, graph => $$no such$$)', '42704', 'an unknown graph');

is($node->safe_psql('age', q{SELECT graphmem.create_graph('g') > 0; SELECT graphmem.import_age('Social', 'g', fact_source => 'age')}),
	"t\n3", 'as many facts as there are different edges');
$node->safe_psql('age', q{SELECT graphmem.import_age('Social', 'g')});

my $graph = "SET graphmem.graph = 'g'; ";
is($node->safe_psql('age', $graph . q{
	SELECT * FROM (SELECT regexp_replace(name, '[0-9]{10,}', 'ID') AS n, kind, properties - 'age_id' AS p
		FROM graphmem.entities) e ORDER BY n COLLATE "C", p}), join("\n",
	'7|City|{"name": 7, "title": "London"}',
	'Ada|Person|{"born": 1815, "name": "Ada", "score": 0.1, "nested": '
	  . '{"list": [1, 2.5, "x", null, {"deep": true}], "text": "a::numeric \"q\" \\\\ é"}}',
	'Big|Person|{"big": 12345678901234567890.123456789, "name": "Big"}',
	'City ID|City|{}',
	'Person ID|Person|{"name": "Bob"}',
	'Person ID|Person|{"name": ["a list"]}',
	'Person ID|Person|{"name": "Bob", "note": "another"}',
	'bare||{"name": "bare"}',
	'odd one|Odd|{"name": "odd one", "score": "Infinity"}'), 'vertices with kind, name and properties');
is($node->safe_psql('age', $graph . q{
	SELECT count(*) FROM graphmem.entities e
	WHERE properties ->> 'age_id' IS DISTINCT FROM 'mine' AND NOT EXISTS (
		SELECT FROM "Social"._ag_label_vertex v WHERE ag_catalog.graphid_out(v.id)::text = e.properties ->> 'age_id')}), '0',
	'each knows its id of AGE');
is($node->safe_psql('age', $graph . q{
	SELECT * FROM (SELECT regexp_replace(subject, '[0-9]{10,}', 'ID') AS s, predicate, regexp_replace(object, '[0-9]{10,}', 'ID'),
		regexp_replace(properties::text, '[0-9]{10,}', 'ID', 'g'), sources FROM graphmem.facts) f
	ORDER BY s COLLATE "C", predicate}), join("\n",
	'Ada|KNOWS|Person ID|{"edges": [{"age_id": ID}, {"again": true, "age_id": ID}]}|{age}',
	'Ada|LIVED_IN|7|{"sure": 0.9, "since": 1835, "age_id": ID}|{age}',
	'Person ID|KNOWS|Person ID|{"age_id": ID}|{age}'), 'edges with predicate and properties, parallel ones together');

is($node->safe_psql('age', q{SELECT graphmem.create_graph('titles') > 0; SELECT graphmem.import_age('Social', 'titles', 'title');
	SELECT count(*) FROM graphmem.entities JOIN graphmem.graphs g USING (graph_id) WHERE g.name = 'titles' AND entities.name = 'London'}),
	"t\n3\n1", 'names from another property');

$node->safe_psql('age', q{
	CREATE ROLE importer; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA graphmem TO importer});
refused('SET ROLE importer; SELECT graphmem.import_age($$Social$$, $$g$$)', '42501', 'no privilege on the AGE graph');
$node->safe_psql('age', q{
	GRANT USAGE ON SCHEMA ag_catalog, "Social" TO importer;
	GRANT SELECT ON ALL TABLES IN SCHEMA ag_catalog, "Social" TO importer});
is($node->safe_psql('age', q{SET ROLE importer; SELECT graphmem.import_age('Social', 'g')}), '3', 'a role that may read it');
is($node->safe_psql('age', 'SELECT count(*) FROM graphmem.check()'), '0', 'check() finds nothing to complain of');
$node->stop;
done_testing();
