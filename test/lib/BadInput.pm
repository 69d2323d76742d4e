# BadInput.pm: a small database, bad values of every type, and sessions that are
# given one bad statement after the other, for the tests of what a user can do
# wrong.
package BadInput;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Graphmem;

our @EXPORT = qw(bad_database public_functions bad_values pick run_session unexpected literal control);

# What is not an internal error but said in words that a user can act upon: bad
# data, violated constraints, unknown or unfit names and types, what is not
# supported, limits.
our $expected = qr/^(?:22|23|0A000$|427|428|42601$|42602$|42622$|54|55000$)/;

my $fixture = q{
	INSERT INTO graphmem.facts (subject, predicate, object, source, confidence, valid_from, valid_to,
		subject_kind, object_kind, object_type)
	VALUES
		('Ada', 'knows', 'Bob', 'letter', 0.9, NULL, NULL, 'person', 'person', NULL),
		('Bob', 'knows', 'Cid', 'letter', 0.8, NULL, NULL, 'person', NULL, NULL),
		('Cid', 'likes', 'Ada', 'book', 0.5, NULL, NULL, NULL, NULL, NULL),
		('Ada', 'knows', 'Ada', NULL, 0.5, NULL, NULL, NULL, NULL, NULL),
		('Ada', 'born', '1815', NULL, 1, NULL, NULL, NULL, NULL, 'int'),
		('Ada', 'lived', 'Oslo', 'book', 0, '2001-01-01', '2002-01-01', NULL, 'place', NULL);
	SELECT graphmem.set_predicate('born', functional => true);
	SELECT graphmem.add_source('letter', content => 'Ada writes to Bob about the engine', session => 's');
	SELECT graphmem.set_embedding('Ada', '{1,0,0}'), graphmem.set_embedding('Bob', '{0.5,0.5,0}');
	SELECT graphmem.create_vector_space('facts', 2, target => 'fact', metric => 'l2'),
		graphmem.create_vector_space('sources', 2, target => 'source', metric => 'ip');
	SELECT graphmem.set_embedding(fact_id::text, '{0,1}', space => 'facts') FROM graphmem.facts;
	SELECT graphmem.set_embedding('letter', '{0,1}', space => 'sources'), graphmem.create_graph('empty');
	INSERT INTO graphmem.aliases (graph_id, name, entity_id)
	SELECT graph_id, 'Lady', entity_id FROM graphmem.entities WHERE name = 'Ada';
	UPDATE graphmem.facts SET confidence = 0.7 WHERE subject = 'Bob';
	INSERT INTO graphmem.accesses (entity_id, graph_id) SELECT entity_id, graph_id FROM graphmem.entities LIMIT 2;
	INSERT INTO graphmem.activations (entity_id, graph_id, session)
	SELECT entity_id, graph_id, 's' FROM graphmem.entities LIMIT 2;
	INSERT INTO graphmem.supersessions (graph_id, old_fact_id, old_triple_id)
	SELECT graph_id, fact_id, triple_id FROM graphmem.triples LIMIT 1;
	INSERT INTO graphmem.merges (graph_id, kept_id, gone_id, gone_name)
	SELECT graph_id, entity_id, 1000, 'gone' FROM graphmem.entities LIMIT 1;
	INSERT INTO graphmem.merge_rows (merge_id, graph_id, relation, row_id, other_id, change)
	SELECT merge_id, graph_id, 'facts', 1000, 1001, 'joined' FROM graphmem.merges;
	INSERT INTO graphmem.vector_spaces (graph_id, name, dim, origin)
	SELECT graph_id, 'topology', dim, 'topology' FROM graphmem.vector_spaces WHERE space_id = 1;
	INSERT INTO graphmem.topology_vectors (space_id, entity_id, graph_id, embedding)
	SELECT v.space_id, e.item_id, e.graph_id, e.embedding FROM graphmem.embeddings e, graphmem.vector_spaces v
	WHERE e.space_id = 1 AND v.name = 'topology';
};

# Type => SQL expressions without their type.
my %bad = (
	'text' => [
		'NULL', map({ "'$_'" } '', 'Ada', 'Nobody', 'default', 'empty', 'letter', '-1', 'both', 'knows',
			'confidence', '1815', 'Lady', 'facts', 'sources', 'a & | ! b:*', '[1e400]', '[', '[1,2', '[1,,2]'),
		q{E'\x01'}, q{U&'\200d\202e'}, q{repeat('x', 1000000)}, q{repeat('[1,', 100000)} ],
	'text[]' => [
		'NULL', map({ "'$_'" } '{}', '{Ada,NULL,Bob}', '{{Ada,Bob},{Cid,x}}', '{knows}', '{nobody}', '{""}',
			'[-5:-4]={Ada,Bob}', '{NULL}'), q{array_fill('Ada'::text, ARRAY[100000])},
		q{ARRAY[repeat('x', 1000000)]} ],
	'real[]' => [
		'NULL', map({ "'$_'" } '{}', '{1,0,0}', '{1,0}', '{0,0,0}', '{NULL,1,2}', '{NaN,1,1}', '{inf,1,1}',
			'{{1,0},{0,1}}', '{3e38,3e38,3e38}', '{1e-45,0,0}', '[-7:-5]={1,1,1}', '[2147483645:2147483647]={1,1,1}'),
		q{array_fill(1::real, ARRAY[16001])}, q{array_fill(1::real, ARRAY[16000])} ],
	'bytea' => [ 'NULL', map { "'\\x$_'" } '', '00', '0000803f', '0000c07f', '0000807f', '00' x 64000, '00' x 64004 ],
	'bigint[]' => [ 'NULL', map { "'$_'" } '{}', '{1,2,3}', '{NULL,1}', '{{1,2}}', '{-1,9223372036854775807}' ],
	'integer' => [ 'NULL', qw(0 1 -1 2 101 2147483647 (-2147483648) 16001) ],
	'bigint' => [ 'NULL', qw(0 1 -1 2 9223372036854775807 '-9223372036854775808') ],
	'real' => [ 'NULL', qw(0 1 -1 'NaN' 'inf' '-inf' 3e38 1e-45 0.999) ],
	'double precision' => [ 'NULL', qw(0 1 -1 'NaN' 'inf' '-inf' 1e308 1e-320) ],
	'timestamp with time zone' => [ 'NULL', map { "'$_'" } 'infinity', '-infinity', '4713-01-01 BC', '294276-01-01',
		'2001-06-01' ],
	'boolean' => [qw(NULL true false)],
	'name' => [ 'NULL', map { "'$_'" } '', 'graph_id', 'name', 'ctid', 'no such column', 'Ada' ],
	'regclass' => [ 'NULL', '0', '4294967295', map { "'$_'" } 'graphmem.graphs', 'graphmem.facts', 'graphmem.triples_spo', 'pg_toast.pg_toast_1255' ],
	'jsonb' => [ 'NULL', map { "'$_'" } 'null', '{}', '[]', '1', '"x"', '{"a":{"b":[1]}}', '{"a":"\u200d"}' ]);

sub bad_values
{
	my ($type) = @_;

	return $bad{$type};
}

sub bad_database
{
	my ($node, $database) = @_;

	create_database($node, $database);
	$node->safe_psql($database, $fixture);
	return;
}

# Name, argument names, argument types, how many have no default; of functions
# that can be called from SQL.
sub public_functions
{
	my ($node, $database) = @_;
	my @functions;

	foreach my $row (
		split /\n/, $node->safe_psql($database, q{
			SELECT p.proname, p.pronargs - p.pronargdefaults, p.provolatile,
				(SELECT string_agg(p.proargnames[o], ',' ORDER BY o) FROM generate_series(1, p.pronargs) o),
				(SELECT string_agg(format_type(t, NULL), ',' ORDER BY o)
				 FROM unnest(p.proargtypes) WITH ORDINALITY u(t, o))
			FROM pg_proc p
			WHERE p.pronamespace = 'graphmem'::regnamespace AND p.prokind = 'f'
				AND p.prorettype <> 'trigger'::regtype AND 'internal'::regtype <> ALL (p.proargtypes::oid[])
			ORDER BY p.proname}))
	{
		my ($name, $required, $volatile, $names, $types) = split /\|/, $row, -1;

		push @functions, {
			name => $name, required => $required, volatile => $volatile eq 'v',
			names => [ split /,/, $names ], types => [ split /,/, $types ] };
	}
	return @functions;
}

sub pick
{
	my ($list) = @_;

	return $list->[ int(rand(@$list)) ];
}

# A bad value of the type; one time in two for terms and vectors one that is known.
sub literal
{
	my ($type, $mild) = @_;
	my $value = pick($bad{$type});

	$value = q{'Ada'} if $mild && $type eq 'text' && rand() < 0.6;
	$value = q{'{1,0,0}'} if $mild && $type eq 'real[]' && rand() < 0.6;
	return "$value\::$type";
}

# Runs statements, one a line, in one session; gives back for each whether and
# with which SQLSTATE it failed.  Nothing else may go wrong.
sub run_session
{
	my ($node, $database, $what, $statements, %options) = @_;
	my $name = $what =~ s/\W+/_/gr;
	my $file = "$PostgreSQL::Test::Utils::tmp_check/$name.sql";
	my $before = "SET client_min_messages = error;\n" . ($options{before} // '') . "\n";
	my $first = 1 + ($before =~ tr/\n//);
	my @states = ('') x @$statements;
	my @other;

	unlink $file;
	append_to_file($file, $before);
	foreach my $statement (@$statements)
	{
		die "more than one line: $statement" if $statement =~ /\n/;
		append_to_file($file, $options{undo} ? "ROLLBACK\\; BEGIN\\; $statement;\n" : "$statement;\n");
	}
	append_to_file($file, "ROLLBACK;\n\\echo to the end\n");
	$node->psql($database, '', extra_params => [ '-f', $file, '-v', 'VERBOSITY=sqlstate', '-o', '/dev/null' ],
		on_error_stop => 0, stdout => \my $out, stderr => \my $err, timeout => 600);
	foreach my $line (split /\n/, $err)
	{
		if ($line =~ /^psql:[^:]*:(\d+): ERROR:  (\w{5})$/ && $1 >= $first)
		{
			$states[ $1 - $first ] = $2;
		}
		else
		{
			push @other, $line;
		}
	}
	is($out, 'to the end', "$what: the session lives on");
	is(join("\n", grep { $_ ne '' } @other), '', "$what: nothing else is said");
	return \@states;
}

# Fails for every error that is not expected.
sub unexpected
{
	my ($what, $statements, $states, $also) = @_;
	my (%seen, %count);

	for my $i (0 .. $#$states)
	{
		my $state = $states->[$i];

		$count{ $state eq '' ? 'none' : $state }++;
		next if $state eq '' || $state =~ $expected || (defined $also && $state =~ $also);
		$seen{$state} //= substr($statements->[$i], 0, 300);
	}
	note "$what: " . join(', ', map { "$count{$_} $_" } sort { $count{$b} <=> $count{$a} } keys %count);
	is(join("\n", map { "$_: $seen{$_}" } sort keys %seen), '', "$what: no other kind of error");
	return;
}

# What every reading function says, from the shared image or without it.
sub control
{
	my ($node, $database, $shared) = @_;

	return $node->safe_psql($database, 'SET graphmem.shared_image = ' . ($shared ? 'on' : 'off') . q{;
		SET graphmem.sync_timeout = '60s';
		SELECT 'match', g.name, m.* FROM graphmem.graphs g, LATERAL graphmem.match(graph => g.name) m ORDER BY g.name, m.triple_id;
		SELECT 'pagerank', g.name, m.* FROM graphmem.graphs g, LATERAL graphmem.pagerank(graph => g.name) m ORDER BY g.name, m.rank;
		SELECT 'confidence', g.name, m.* FROM graphmem.graphs g, LATERAL graphmem.confidence(graph => g.name) m ORDER BY g.name, m.triple_id;
		SELECT 'neighbors', e.entity_id, n.* FROM graphmem.entities e JOIN graphmem.graphs g USING (graph_id),
			LATERAL graphmem.neighbors(e.name, graph => g.name) WITH ORDINALITY n ORDER BY e.entity_id, n.ordinality;
		SELECT 'similar', g.name, e.entity_id, n.* FROM graphmem.entities e JOIN graphmem.graphs g USING (graph_id),
			LATERAL graphmem.similar(e.name, space => 'default', graph => g.name) n
		WHERE EXISTS (SELECT FROM graphmem.vector_spaces v
			WHERE v.graph_id = g.graph_id AND v.name = 'default' AND v.target = 'entity')
		ORDER BY g.name, e.entity_id, n.rank});
}

1;
