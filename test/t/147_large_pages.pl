# Extents lie where large pages can be mapped, in the worker and in sessions, and
# their room is given back with them; where the server's own settings speak
# against it, they stay where the server has put them.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use Graphmem;

plan skip_all => 'large pages are asked for on Linux only' if $^O ne 'linux';

my $LARGE_PAGE = 2 * 1024 * 1024;
my $LENGTH = 150000;				# a chain of so many facts
my $ROUNDS = $ENV{GRAPHMEM_ROUNDS} // 12;	# of a graph that comes and goes
my $node = start_node('large_pages', "graphmem.memory_limit = 1GB\n");
my $session;

create_database($node, 'g');

sub create_chain
{
	$node->safe_psql('g', qq{
		SELECT graphmem.create_graph('chain');
		ALTER DATABASE g SET graphmem.graph = 'chain';
		SET graphmem.graph = 'chain';
		INSERT INTO graphmem.facts (subject, predicate, object)
		SELECT 'n' || i, 'next', 'n' || i + 1 FROM generate_series(1, $LENGTH) i});
	return;
}

# the whole chain, in the shared image, by a session that stays; then its process
sub ask
{
	my ($name) = @_;
	my $answer;

	$session = $node->background_psql('g', on_error_stop => 1);
	ok($node->poll_query_until('g', qq{
		SELECT count(*) FROM graphmem.neighbors('n7');
		SELECT path = 'shared' FROM graphmem.stat_backend}, "2\nt"), "$name: the image is shared");
	$answer = $session->query("SELECT count(*) FROM graphmem.match(predicate => 'next')");
	is($answer, $LENGTH, "$name: every fact is there");
	is($session->query('SELECT path FROM graphmem.stat_backend'), 'shared', "$name: from the shared image");
	return $session->query('SELECT pg_backend_pid()');
}

sub worker
{
	return $node->safe_psql('g', 'SELECT pid FROM graphmem.stat_worker WHERE pid IS NOT NULL');
}

# addresses where a process maps extents of a large page and more; their sizes are
# powers of two, which the worker's area is not
sub large_extents
{
	my ($pid) = @_;
	my @begins;

	foreach my $line (split /\n/, slurp_file("/proc/$pid/maps"))
	{
		next unless $line =~ m{^([0-9a-f]+)-([0-9a-f]+) .*/dev/shm/PostgreSQL\.};
		my ($begin, $size) = (hex($1), hex($2) - hex($1));

		push @begins, $begin if $size >= $LARGE_PAGE && ($size & ($size - 1)) == 0;
	}
	return @begins;
}

sub misplaced
{
	return scalar grep { $_ % $LARGE_PAGE != 0 } @_;
}

sub drop_chain
{
	my ($name) = @_;

	$session->quit;
	$node->safe_psql('g', q{SELECT graphmem.drop_graph('chain')});
	ok($node->poll_query_until('g', qq{
			SELECT sum(bytes) < 4 * $LARGE_PAGE FROM graphmem.stat_memory WHERE part = 'extents'}),
		"$name: extents are given back");
	return;
}

create_chain();
my $pid = ask('by default');
my @own = large_extents($pid);
my @workers = large_extents(worker());

cmp_ok(scalar @own, '>', 0, 'the session maps large extents');
is(scalar @own, scalar @workers, 'as many as the worker');
is(misplaced(@own), 0, 'where large pages can be mapped');
is(misplaced(@workers), 0, 'so does the worker');
drop_chain('by default');
cmp_ok(scalar(large_extents(worker())), '<', scalar @workers, 'the worker has unmapped them');

# ---- graphs that come and go leave no room taken in a session that looks at each ----

sub mappings
{
	my ($pid) = @_;
	my ($bytes, $lines) = (0, 0);

	foreach my $line (split /\n/, slurp_file("/proc/$pid/maps"))
	{
		$bytes += hex($2) - hex($1) if $line =~ /^([0-9a-f]+)-([0-9a-f]+) /;
		$lines++;
	}
	return ($bytes, $lines);
}

my @sizes;
my $shared = 0;

$session = $node->background_psql('g', on_error_stop => 1);
$pid = $session->query('SELECT pg_backend_pid()');
$node->safe_psql('g', qq{
	SELECT graphmem.create_graph('passing');
	INSERT INTO graphmem.graphs (name, residency) VALUES ('other', 'pinned');
	SET graphmem.graph = 'passing';
	INSERT INTO graphmem.facts (subject, predicate, object)
	SELECT 'n' || i, 'next', 'n' || i + 1 FROM generate_series(1, 60000) i});
foreach my $round (1 .. $ROUNDS)
{
	$node->safe_psql('g', q{UPDATE graphmem.graphs SET residency = 'auto' WHERE name = 'passing'});
	$node->poll_query_until('g', qq{
		SELECT count(*) FROM graphmem.match('n7', graph => 'passing');
		SELECT path = 'shared' FROM graphmem.stat_backend}, "1\nt") or die;
	$session->query(q{SELECT count(*) FROM graphmem.match(graph => 'passing')});
	$shared++ if $session->query('SELECT path FROM graphmem.stat_backend') eq 'shared' &&
		large_extents($pid) > 0;
	$node->safe_psql('g', $round == $ROUNDS ? q{SELECT graphmem.drop_graph('passing')} :
		q{UPDATE graphmem.graphs SET residency = 'none' WHERE name = 'passing'});
	$node->poll_query_until('g', qq{
		SELECT sum(bytes) < 4 * $LARGE_PAGE FROM graphmem.stat_memory WHERE part = 'extents'}) or die;
	$session->query(q{SELECT count(*) FROM graphmem.match(graph => 'other')});
	push @sizes, [ mappings($pid), mappings(worker()) ];
}
is($shared, $ROUNDS, "in each of $ROUNDS rounds a large extent was mapped");
foreach my $who (0, 1)
{
	my @name = ('the session', 'the worker');
	my ($bytes, $lines) = map { $sizes[-1][ 2 * $who + $_ ] - $sizes[ $ROUNDS / 2 ][ 2 * $who + $_ ] } (0, 1);

	cmp_ok($bytes, '<', 4 * $LARGE_PAGE, "$name[$who] has not grown");
	cmp_ok($lines, '<', $ROUNDS / 4, "$name[$who] has not more mappings");
}
$session->quit;

$node->append_conf('postgresql.conf', "huge_pages = off\n");
$node->restart;
create_chain();
ask('huge_pages = off');
drop_chain('huge_pages = off');

# extents are parts of the main segment then
$node->append_conf('postgresql.conf', "huge_pages = try\nmin_dynamic_shared_memory = 128MB\n");
$node->restart;
create_chain();
$pid = ask('memory set aside');
is(scalar(large_extents($pid)), 0, 'no segments of their own');
drop_chain('memory set aside');
create_chain();
ask('memory set aside, again');
drop_chain('memory set aside, again');
$node->stop;

done_testing();
