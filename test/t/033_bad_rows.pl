# Every column of every table and of the views, given bad values by INSERT, UPDATE,
# COPY and MERGE: refused in words that a user can act upon, or accepted, and then
# the image is equal to the tables.

use strict;
use warnings;

use List::Util qw(shuffle);
use PostgreSQL::Test::Utils;
use Test::More;

use BadInput;
use Graphmem;

srand($ENV{BAD_SEED} // 1);

my $node = start_node('bad_rows');
bad_database($node, 'bad');

# Text forms, as COPY takes them; \N is NULL.
my %bad = (
	'text' => [ '\N', '', 'Ada', 'default', 'x' x 1001, 'auto', 'entity', "\x{c2}\x{a0}", "\\\\", 'infinity' ],
	'text[]' => [ '\N', '{}', '{NULL}', '{{a},{b}}' ],
	'real[]' => [ '\N', '{}', '{1,0,0}', '{1,0}', '{0,0,0}', '{NULL,1,1}', '{NaN,1,1}', '{inf,0,0}', '{{1,0,0}}',
		'{3e38,3e38,3e38}', '{9e18,0,0}', '{1e-18,0,0}', '{1e-45,0,0}', '[5:7]={1,2,3}', '{1,2,3,4}' ],
	'integer' => [ '\N', '0', '1', '-1', '2', '2147483647', '-2147483648', '2147483648' ],
	'bigint' => [ '\N', '0', '1', '-1', '2', '9223372036854775807', '-9223372036854775808', '9223372036854775808' ],
	'real' => [ '\N', '0', '1', '-1', '2', '1e-45', '3e38', 'NaN', 'Infinity', '1e39' ],
	'timestamp with time zone' => [ '\N', 'infinity', '-infinity', '4713-01-01 BC', '294276-12-31', '2001-06-01',
		'294277-01-01' ],
	'boolean' => [ '\N', 't', 'f', 'maybe' ],
	'jsonb' => [ '\N', 'null', '{}', '[]', '1', '{"a":1}', '{' ]);

my @columns = map { [ split /\|/ ] } split /\n/, $node->safe_psql('bad', q{
	SELECT c.relname, a.attname, format_type(a.atttypid, NULL), c.relkind
	FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
	WHERE c.relnamespace = 'graphmem'::regnamespace
		AND (c.relkind = 'r' OR c.relkind = 'v' AND EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid))
	ORDER BY c.relname, a.attnum});
my %of;

push @{ $of{ $_->[0] } }, $_ foreach @columns;
is(join(', ', grep { my $type = $_; !$bad{$type} } sort { $a cmp $b } map { $_->[2] } @columns), '',
	'there are bad values for every type of column');
cmp_ok(scalar keys %of, '>=', 17, 'tables and views are found');
is(join(' ', grep { $node->safe_psql('bad', "SELECT count(*) FROM graphmem.$_") eq '0' } grep { $_ ne 'functional_keys' } sort keys %of),
	'', 'none of them is empty');

sub quoted
{
	my ($value) = @_;

	return $value eq '\N' ? 'NULL' : "'" . ($value =~ s/\\\\/\\/gr) . "'";
}

my $directory = "$PostgreSQL::Test::Utils::tmp_check/rows";
my $files = 0;

mkdir $directory;

# One bad value in one row.
sub statements
{
	my ($table, $column, $type, $kind, $value) = @_;
	my @all = map { $_->[1] } @{ $of{$table} };
	my $row = "(SELECT * FROM graphmem.$table ORDER BY random() LIMIT 1) r";
	my $changed = join ', ', map { $_ eq $column ? quoted($value) . "::$type" : qq{"$_"} } @all;
	my $identity = $table eq 'graphs' ? 'graph_id' : $all[0];
	my $names = join ', ', map { qq{"$_"} } @all;
	my $without = join ', ', map { qq{"$_"} } grep { $_ ne $identity } @all;
	my $changed_without = join ', ',
	  map { $_ eq $column ? quoted($value) . "::$type" : qq{"$_"} } grep { $_ ne $identity } @all;
	my $file = "$directory/" . $files++;
	my @row = split /\t/, $node->{row}{$table}, -1;
	my @statements = (
		"INSERT INTO graphmem.$table ($names) SELECT $changed FROM $row",
		"COPY graphmem.$table ($names) FROM '$file'");

	append_to_file($file, join("\t", map { $all[$_] eq $column ? $value : $row[$_] } 0 .. $#all) . "\n");
	push @statements, "INSERT INTO graphmem.$table ($without) SELECT $changed_without FROM $row"
	  if $column ne $identity && $kind eq 'r';
	push @statements, $kind eq 'r'
	  ? ( "UPDATE graphmem.$table SET \"$column\" = " . quoted($value) . "::$type WHERE ctid = (SELECT ctid FROM graphmem.$table ORDER BY random() LIMIT 1)",
		"MERGE INTO graphmem.$table t USING (SELECT 1) s ON true WHEN MATCHED THEN UPDATE SET \"$column\" = " . quoted($value) . "::$type" )
	  : ( "UPDATE graphmem.$table SET \"$column\" = " . quoted($value) . "::$type WHERE $all[0] = (SELECT $all[0] FROM graphmem.$table ORDER BY random() LIMIT 1)" );
	push @statements, "DELETE FROM graphmem.$table WHERE \"$column\" = " . quoted($value) . "::$type"
	  unless $value eq '\N' || $type eq 'real[]';
	return @statements;
}

# ---- each statement alone, undone ----

foreach my $table (keys %of)
{
	$node->{row}{$table} = (split /\n/, $node->safe_psql('bad',
		"COPY (SELECT " . join(', ', map { qq{"$_->[1]"} } @{ $of{$table} }) . " FROM graphmem.$table LIMIT 1) TO STDOUT"))[0]
	  // join("\t", ('1') x @{ $of{$table} });
}
my @statements;
foreach my $column (@columns)
{
	push @statements, statements(@$column, $_) foreach @{ $bad{ $column->[2] } };
}
my $before = control($node, 'bad', 1);
my $restarted = $node->safe_psql('bad', 'SELECT pg_postmaster_start_time()');
my $also = qr/^21000$/;		# MERGE that touches a row twice
my $look = q{SELECT count(*) FROM graphmem.graphs g, LATERAL graphmem.match(graph => g.name)\; }
  . q{SELECT count(*) FROM graphmem.pagerank('{Ada}')\; }
  . q{SELECT count(*) FROM graphmem.vector_spaces v, LATERAL graphmem.similar('Ada', space => v.name) }
  . q{WHERE v.target = 'entity' AND v.graph_id = graphmem.current_graph_id()\; }
  . q{SELECT count(*) FROM graphmem.confidence()};
my @pairs = map { ("ROLLBACK\\; BEGIN\\; $_", $look) } @statements;
my $states = run_session($node, 'bad', 'one bad value', \@pairs);
my %blind;

unexpected('one bad value', \@pairs, $states, qr/^(?:21000|25P02)$/);
for (my $i = 0; $i < @pairs; $i += 2)
{
	my $seen = $states->[ $i + 1 ];

	$blind{$seen} //= substr($pairs[$i], 0, 300) if $seen ne ($states->[$i] eq '' ? '' : '25P02');
}
is(join("\n", map { "$_: $blind{$_}" } sort keys %blind), '', 'what is accepted can be read');
is(control($node, 'bad', 1), $before, 'all answers are as before');

# ---- what is accepted stays, and the image follows ----

foreach my $round (1 .. 4)
{
	my @some = grep { !/^DELETE|^MERGE/ || rand() < 0.05 } shuffle(@statements);

	$#some = 1500 if $#some > 1500;
	$states = run_session($node, 'bad', "bad values that stay, round $round", \@some);
	unexpected("bad values that stay, round $round", \@some, $states, $also);
	is($node->safe_psql('bad', 'SET client_min_messages = error; SELECT * FROM graphmem.check() LIMIT 20'), '', '... and the image is sound');
	is(control($node, 'bad', 1), control($node, 'bad', 0), '... and equals the tables');
	is($node->safe_psql('bad', q{
		SELECT count(*) FROM graphmem.graphs g, LATERAL graphmem.match(graph => g.name) \gset
		SELECT path, reason FROM graphmem.stat_backend}), 'shared|',
		'... and answers');
}

is($node->safe_psql('bad', 'SELECT pg_postmaster_start_time()'), $restarted, 'no restart');
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC|TRAP:/, 'no crash');
$node->stop;

done_testing();
