# Extreme and wrong values of every setting, and every function under them; names
# of every sort of character come back as they were given, byte by byte.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use BadInput;
use Graphmem;

srand($ENV{BAD_SEED} // 1);

my $node = start_node('settings');
bad_database($node, 'bad');

# ---- settings ----

my @settings = map { [ split /\|/, $_, -1 ] } split /\n/, $node->safe_psql('bad', q{
	SELECT graphmem.current_graph_id() \gset
	SELECT name, context, vartype, min_val, max_val, array_to_string(enumvals, ',') FROM pg_settings
	WHERE name LIKE 'graphmem.%' ORDER BY name});
my (@user, @server);

cmp_ok(scalar @settings, '>', 20, 'settings are found');
foreach my $setting (@settings)
{
	my ($name, $context, $type, $min, $max, $values) = @$setting;
	my @try = ('', 'x', 'NaN', 'inf', '-1', '0', '1', '1e400', '99999999999999999999', 'on', 'off', '1MB', '1TB', '1us', '1d',
		"\x{c3}\x{a9}", 'x' x 100000);

	push @try, $min, $max if $min ne '';
	push @try, $min - 1, $max + 1 if $min ne '' && $type eq 'integer';
	push @try, split /,/, $values;
	push @{ $context eq 'user' ? \@user : \@server }, map { [ $name, $_ ] } @try;
}

my @functions = grep { !$_->{volatile} } public_functions($node, 'bad');
my @calls = map { my $f = $_; 'SELECT count(*) FROM graphmem.' . $f->{name} . '('
	  . join(', ', map { literal($_, 1) } @{ $f->{types} }[ 0 .. $f->{required} - 1 ]) . ')' } @functions;
my @under = (q{SELECT count(*) FROM graphmem.fusion_query('{1,0,0}', 'engine', '{Ada}')},
	q{SELECT count(*) FROM graphmem.pagerank('{Ada}')}, q{SELECT count(*) FROM graphmem.match()});
my @statements;

foreach my $one (@user)
{
	push @statements, "SELECT set_config('$one->[0]', '$one->[1]', false)", @under, pick(\@calls), "RESET $one->[0]";
}
my $before = control($node, 'bad', 1);
my $states = run_session($node, 'bad', 'settings of a session', \@statements);
unexpected('settings of a session', \@statements, $states, qr/^53400$/);
is(join(' ', grep { $statements[$_] =~ /^RESET/ && $states->[$_] ne '' } 0 .. $#statements), '', 'each can be set back');

# several at once
@statements = ();
for (1 .. 150)
{
	push @statements, 'RESET ALL\; SET client_min_messages = error', map({ "SELECT set_config('$_->[0]', '$_->[1]', false)" } map { pick(\@user) } 1 .. 12),
		@under, pick(\@calls);
}
$states = run_session($node, 'bad', 'several settings', \@statements);
unexpected('several settings', \@statements, $states, qr/^53400$/);
is(control($node, 'bad', 1), $before, 'all answers are as before');

# those of the server: refused, or taken by the worker
my %refused;
foreach my $one (@server)
{
	my ($status) = $node->psql('bad', "ALTER SYSTEM SET $one->[0] = '$one->[1]'", stderr => \my $err);

	next if $status != 0;
	$node->reload;
	my $answer = $node->safe_psql('bad', q{
		SET graphmem.sync_timeout = '60s';
		SELECT count(*) FROM graphmem.add_triple('Ada', 'knows', 'Bob');
		SELECT count(*) FROM graphmem.neighbors('Ada')});
	$refused{"$one->[0] = $one->[1]"} = $answer if $answer ne "1\n4";
	$node->safe_psql('bad', "ALTER SYSTEM RESET $one->[0]");
}
$node->reload;
is(join("\n", map { "$_: $refused{$_}" } sort keys %refused), '', 'queries are answered under every setting of the server');
ok($node->poll_query_until('bad', q{
		SELECT state = 'ready' FROM graphmem.stat_worker, (SELECT count(*) FROM graphmem.match()) c}), 'and the worker is there again');
is(control($node, 'bad', 1), $before, 'all answers are as before');

# ---- names ----

# code points, written as chr() and so free of what the script's encoding does
my @names = (
	q{''}, q{' '}, q{' leading and trailing '}, q{chr(9) || chr(10) || chr(13)}, q{'it''s "quoted"'}, q{'a\b\\\\c'}, q{'%s %n $1 :x'},
	q{'{a,b}'}, q{'NULL'}, q{'null'}, q{'-[x]->'}, q{'<-'}, q{'(n1)'}, q{chr(1)}, q{chr(127)}, q{chr(128)}, q{chr(160)},
	q{'a' || chr(8205) || 'b'}, q{'a' || chr(8203) || 'b'}, q{chr(8238) || 'abc' || chr(8236)}, q{chr(8207) || chr(1513)},
	q{'e' || chr(769)}, q{chr(233)}, q{chr(65533)}, q{chr(65279) || 'bom'}, q{chr(65535)}, q{chr(128512)}, q{chr(1114111)},
	q{chr(128104) || chr(8205) || chr(128105)}, q{chr(304) || chr(305) || chr(223) || chr(7838)}, q{chr(64257) || 'sh'}, q{chr(8232) || chr(8233)},
	q{'\ud800'}, q{'\u0000'}, q{U&'\D83D\DE01'}, q{repeat(chr(769), 5000)}, q{repeat('x', 1000000)}, q{repeat(chr(128512), 250000)});

$node->safe_psql('bad', 'CREATE TABLE names (n serial, name text); INSERT INTO names (name) VALUES '
	  . join(', ', map { "($_)" } @names));
is($node->safe_psql('bad', 'SELECT count(*), count(DISTINCT name COLLATE "C") FROM names'), (scalar @names) . '|' . (scalar @names), 'names are distinct');
$node->safe_psql('bad', q{
	SELECT graphmem.create_graph('names');
	SET graphmem.graph = 'names';
	INSERT INTO graphmem.facts (subject, predicate, object, source)
	SELECT name, name, lead(name, 1, 'end') OVER (ORDER BY n), name FROM names;
	INSERT INTO graphmem.aliases (graph_id, name, entity_id)
	SELECT graphmem.current_graph_id(), 'alias ' || a.name, e.entity_id
	FROM names a JOIN graphmem.entities e ON e.name = a.name COLLATE "C" AND e.graph_id = graphmem.current_graph_id();
});
foreach my $image (qw(on off))
{
	my $where = $image eq 'on' ? 'shared' : 'private';
	my $prefix = "SET graphmem.graph = 'names'; SET graphmem.shared_image = $image; SET graphmem.sync_timeout = '60s';";
	my $differ = sub {
		my ($what, $query) = @_;
		is($node->safe_psql('bad', "$prefix SELECT string_agg(n::text, ' ') FROM names a WHERE NOT EXISTS ($query)"), '', "$where: $what");
	};

	$differ->('facts', 'SELECT FROM graphmem.facts f WHERE f.subject = a.name AND f.predicate = a.name AND f.sources = ARRAY[a.name]');
	$differ->('match', 'SELECT FROM graphmem.match(a.name) m WHERE m.subject = a.name AND m.predicate = a.name');
	$differ->('match by predicate', 'SELECT FROM graphmem.match(predicate => a.name) m WHERE m.subject = a.name');
	$differ->('neighbors', q{SELECT FROM graphmem.neighbors(a.name, 'out', ARRAY[a.name]) m WHERE m.subject = a.name});
	$differ->('aliases', q{SELECT FROM graphmem.match('alias ' || a.name) m WHERE m.subject = a.name});
	$differ->('confidence', q{SELECT FROM graphmem.confidence(a.name) m WHERE m.sources = ARRAY[a.name]});
	$differ->('fusion_query', q{SELECT FROM graphmem.fusion_query(seeds => ARRAY[a.name]) m WHERE m.entity = a.name AND m.sources @> ARRAY[]::text[]});
	$differ->('shortest_path', q{SELECT FROM graphmem.shortest_path(a.name, 'end', direction => 'out') m
		WHERE m.entities[1] = a.name AND strpos(m.path, a.name) > 0 AND m.hops = (SELECT max(n) FROM names) - a.n + 1});
	$differ->('traverse', q{SELECT FROM graphmem.traverse(ARRAY[a.name], 0) m WHERE m.entity = a.name});
}
is($node->safe_psql('bad', 'SET client_min_messages = error; SELECT * FROM graphmem.check()'), '', 'the image is sound');
$node->safe_psql('bad', q{COPY (SELECT subject, predicate, object FROM graphmem.match(graph => 'names')) TO '} . $node->data_dir . q{/names.copy'});
$node->safe_psql('bad', q{
	SELECT graphmem.create_graph('copied');
	SET graphmem.graph = 'copied';
	COPY graphmem.facts (subject, predicate, object) FROM '} . $node->data_dir . q{/names.copy'});
is($node->safe_psql('bad', q{
	SELECT count(*) FROM (SELECT subject, predicate, object FROM graphmem.match(graph => 'names')
		EXCEPT ALL SELECT subject, predicate, object FROM graphmem.match(graph => 'copied')) x}), '0', 'COPY out and in again');

unlike(slurp_file($node->logfile), qr/XX000|terminated by signal|PANIC|TRAP:/, 'no crash');
$node->stop;

done_testing();
