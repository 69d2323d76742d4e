# The files of indexes of vectors: a restart uses them; whatever has become of a
# file, or of the tables since, answers are right and check() finds nothing.

use strict;
use warnings;

use File::Copy qw(copy);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

use Graphmem;
use Workers;

my $rows = 12000;
my $node = start_node('index_file',
	"restart_after_crash = on\nwal_level = replica\nmax_wal_senders = 4\n");

# Vectors of 8 dimensions in 50 clumps, the same in every run.
sub vector_of
{
	my ($i, $salt) = @_;

	return "(SELECT array_agg((sin(($i) % 50 * 7.3 + k * 1.7)"
	  . " + (hashint8extended(($i)::bigint * 8 + k, $salt) % 1000) / 2000.0)::real) FROM generate_series(1, 8) k)";
}

sub add_items
{
	my ($on, $database, $from, $to, $salt) = @_;

	$on->safe_psql($database, qq{
		INSERT INTO graphmem.vectors (item, embedding)
		SELECT 'item ' || i, ${\vector_of('i', $salt)} FROM generate_series($from, $to) i});
	return;
}

# Until every vector of the default graph is in its index.
sub wait_for_index
{
	my ($on, $database, $what, $space) = @_;
	my $which = $space // 'default';

	$on->safe_psql($database, qq{SELECT count(*) FROM graphmem.vector_search(
		(SELECT embedding FROM graphmem.vectors LIMIT 1), 1, space => '$which')});
	ok(wait_for(60, sub {
			$on->safe_psql($database, qq{SELECT indexed = rows AND pending = 0 FROM graphmem.stat_vector
				WHERE space = '$which'}) eq 't'}), "$what: indexed");
	return;
}

# Of 40 questions, the part of the 10 nearest that the index finds.
my $recall_query = q{
	WITH question AS (
		SELECT embedding AS e FROM graphmem.vectors WHERE space = 'default' ORDER BY item_id % 997, item_id LIMIT 40)
	SELECT round(avg((SELECT count(*) FROM graphmem.vector_search(e, 10, ef_search => 64) f
		WHERE f.item_id IN (SELECT x.item_id FROM graphmem.vector_search(e, 10, exact => true) x)) / 10.0), 3) FROM question};

# exact searches against the table alone
my $exact_query = q{
	WITH question AS (
		SELECT embedding AS e FROM graphmem.vectors WHERE space = 'default' ORDER BY item_id % 1009, item_id LIMIT 5)
	SELECT count(*) FROM question,
		LATERAL (SELECT array_agg(item_id) AS ids FROM graphmem.vector_search(e, 10, exact => true)) f,
		LATERAL (SELECT array_agg(item_id) AS ids FROM (
			SELECT item_id FROM graphmem.vectors v
			WHERE space = 'default'
			ORDER BY 1 - (SELECT sum(a::float8 * b) / sqrt(sum(a::float8 * a)) / sqrt(sum(b::float8 * b))
				FROM unnest(e, v.embedding) u(a, b)), item_id LIMIT 10) n) t
	WHERE f.ids @> t.ids AND t.ids @> f.ids};

sub is_right
{
	my ($what, $on, $database) = @_;

	$on //= $node;
	$database //= 'files';
	my $recall = $on->safe_psql($database, $recall_query);

	cmp_ok($recall, '>', 0.9, "$what: recall");
	is($on->safe_psql($database, $exact_query), '5', "$what: exact searches");
	is($on->safe_psql($database, 'SELECT * FROM graphmem.check()'), '', "$what: check()");
	return;
}

sub directory
{
	my ($on) = @_;

	return ($on // $node)->data_dir . '/pgsql_tmp_graphmem';
}

# Those that are whole.
sub files
{
	my ($on) = @_;

	return grep { !/\.new$/ } glob(directory($on) . '/pgsql_tmp_*');
}

sub wait_for_files
{
	my ($n, $what) = @_;

	ok(wait_for(60, sub { my @files = files(); @files == $n }), $what)
	  or diag(join(' ', files()));
	return;
}

# Restart, and what the log says of the file then.
sub restart_and_read
{
	my ($what, $expected, %how) = @_;
	my $from = -s $node->logfile;

	$node->stop($how{mode} // 'fast') unless $how{stopped};
	$how{change}->() if $how{change};
	$node->start;
	wait_for_index($node, 'files', $what);
	my $log = substr(slurp_file($node->logfile), $from);

	like($log, $expected, "$what: the log says so") or diag($log);
	is_right($what);
	return $log;
}

sub read_of
{
	my ($n, $m) = @_;

	return qr/index of vector space \d+ of graph \d+ was read from its file: $n of $m nodes/;
}

my $unused = qr/file of the index of vector space \d+ of graph \d+ is not used/;

create_database($node, 'files');
$node->safe_psql('files', q{SELECT graphmem.create_vector_space('default', 8)});
add_items($node, 'files', 1, $rows, 1);
wait_for_index($node, 'files', 'built');
is_right('built');

# ---- it is written, and used ----

wait_for_files(1, 'a file is written while the server runs');
my ($file) = files();

restart_and_read('restart', read_of($rows, $rows));
wait_for_files(1, 'restart: the file is there');

my $old = $node->basedir . "/old_index_file";

copy($file, $old) or die;

# a twelfth is new, which the worker writes only because it ends
$node->safe_psql('files', "UPDATE graphmem.vectors SET embedding = ${\vector_of('item_id', 2)} WHERE item_id % 12 = 0");
wait_for_index($node, 'files', 'changed');
is_right('changed');
restart_and_read('a stop writes the file', read_of($rows, '\d+'));

# ---- tables and file differ ----

# killed after changes that are too few to be written at once
$node->safe_psql('files', "UPDATE graphmem.vectors SET embedding = ${\vector_of('item_id', 3)} WHERE item_id % 20 = 0");
$node->safe_psql('files', "DELETE FROM graphmem.vectors WHERE item_id % 20 = 1");
wait_for_index($node, 'files', 'changed again');
my $log = restart_and_read('a crash with a file that is older', read_of('\d+', '\d+'), mode => 'immediate');
my ($n, $m) = $log =~ /from its file: (\d+) of (\d+) nodes/;
cmp_ok($n // 0, '<', $m // 0, 'not all of its nodes are taken');
cmp_ok($n // 0, '>', 0.8 * $rows, 'but most are');

restart_and_read('an old copy of the file', read_of('\d+', '\d+'), change => sub {
	copy($old, $file) or die;
});
$node->safe_psql('files', "UPDATE graphmem.vectors SET embedding = ${\vector_of('item_id', 4)}");
wait_for_index($node, 'files', 'all changed');
restart_and_read('a file of which nothing is left', qr/$unused: most of its items are gone or have changed/,
	change => sub { copy($old, $file) or die; });
restart_and_read('and then a new one', read_of('\d+', '\d+'));

# ---- damage ----

restart_and_read('deleted', qr/^(?!.*read from its file).*$/s, change => sub { unlink($file) or die; });
foreach my $share (0, 0.4, 0.9999)
{
	restart_and_read("cut off at $share", qr/$unused: it was cut off/, change => sub {
		truncate($file, int($share * -s $file)) or die;
	});
}
foreach my $share (0.2, 0.99999)
{
	restart_and_read("a byte changed at $share", qr/$unused/, change => sub {
		my $at = int($share * -s $file);
		open(my $handle, '+<', $file) or die;
		seek($handle, $at, 0);
		read($handle, my $byte, 1);
		seek($handle, $at, 0);
		print $handle chr(ord($byte) ^ 16);
		close($handle);
	});
}
restart_and_read('other bytes', qr/$unused/, change => sub {
	open(my $handle, '>', $file) or die;
	print $handle 'graphmem' x 5000;
	close($handle);
});
restart_and_read('a directory in its place', qr/could not open file|is not used/, change => sub {
	unlink($file) or die;
	mkdir($file) or die;
});
$node->stop;
rmdir($file) or die;
$node->start;
wait_for_index($node, 'files', 'without the directory');

# ---- of another cluster ----

my $other = start_node('other_cluster');
create_database($other, 'files');
$other->safe_psql('files', q{SELECT graphmem.create_vector_space('default', 8)});
add_items($other, 'files', 1, $rows, 1);
wait_for_index($other, 'files', 'another cluster');
$other->stop;
my ($others) = files($other);
ok(defined $others, 'another cluster: it has a file');
restart_and_read('of another cluster', qr/$unused: it is of another index/, change => sub {
	copy($others, $file) or die;
});

# ---- killed while it is written ----

$node->safe_psql('files', q{
	CREATE FUNCTION stop(point text, at bool) RETURNS void AS 'graphmem', 'graphmem_stop_point' LANGUAGE C STRICT;
	CREATE FUNCTION stopped(point text) RETURNS int AS 'graphmem', 'graphmem_stopped' LANGUAGE C STRICT});

sub change_many
{
	my ($salt) = @_;

	$node->safe_psql('files', "UPDATE graphmem.vectors SET embedding = ${\vector_of('item_id', $salt)} WHERE item_id % 5 = 2");
	return;
}

my $salt = 10;

restart_and_read('before the crashes', read_of('\d+', '\d+'));

sub kill_worker
{
	my ($what, $otherwise) = @_;
	my $from = -s $node->logfile;
	my $said = read_of('\d+', '\d+');

	$said = qr/$said|$otherwise/ if defined $otherwise;
	kill('KILL', worker_pid($node, 'files')) or die;
	ok(wait_for(30, sub { $node->psql('postgres', 'SELECT 1') == 0 && worker_pid($node, 'files') ne '' }),
		"$what: killed");
	wait_for_index($node, 'files', $what);
	like(substr(slurp_file($node->logfile), $from), $said, "$what: a whole file is found");
	is_right($what);
	return;
}

foreach my $point ('worker_file_written', 'worker_file_whole')
{
	$node->safe_psql('files', "SELECT stop('$point', true)");
	change_many($salt++);
	ok(wait_for(60, sub { $node->safe_psql('files', "SELECT stopped('$point')") ne '0' }),
		"a writing stops at $point");
	ok(-e "$file.new", "$point: a new file beside the old one");
	kill_worker("killed at $point");
}

# somewhere after the first block, or when it is whole: each that came to its end
# adds to the nodes that serve no more
foreach my $round (1 .. 4)
{
	$node->safe_psql('files', "SELECT stop('worker_file_written', true)");
	change_many($salt++);
	ok(wait_for(60, sub { $node->safe_psql('files', "SELECT stopped('worker_file_written')") ne '0' }),
		"round $round: a writing has begun");
	$node->safe_psql('files', "SELECT stop('worker_file_written', false)");
	usleep(3000 * $round);
	kill_worker("killed, round $round", qr/$unused: most of its items are gone or have changed/);
}

# ---- who leaves it out ----

$node->backup('copy');
is_deeply([ glob($node->backup_dir . '/copy/pgsql_tmp_graphmem*') ], [], 'a base backup leaves files out');
$node->stop;
command_ok([ 'pg_checksums', '--enable', '-D', $node->data_dir ], 'pg_checksums does not stumble over them');
$node->start;

# ---- left over ----

my $database = $node->safe_psql('files', q{SELECT oid FROM pg_database WHERE datname = 'files'});

$node->stop;
foreach my $name ("${database}_999_1", "${database}_999_1.new", "${database}_1_1.new", '99999_1_1')
{
	copy($file, directory() . "/pgsql_tmp_$name") or die;
}
$node->start;
answers($node, 'files');
ok( wait_for(30, sub { my @all = glob(directory() . '/*'); "@all" eq $file }),
	'files of no graph, of no database and those half written are removed')
  or diag(join(' ', glob(directory() . '/*')));

# ---- off ----

wait_for_index($node, 'files', 'before it is off');
$node->append_conf('postgresql.conf', 'graphmem.index_file = off');
$log = restart_and_read('off', qr/^(?!.*read from its file).*$/s);
$node->append_conf('postgresql.conf', 'graphmem.index_file = on');
restart_and_read('on again', read_of('\d+', '\d+'));

# ---- what they are of goes ----

$node->safe_psql('files', q{SELECT graphmem.create_vector_space('second', 8)});
$node->safe_psql('files', qq{
	INSERT INTO graphmem.vectors (item, embedding, space)
	SELECT 'item ' || i, ${\vector_of('i', 7)}, 'second' FROM generate_series(1, $rows) i});
wait_for_index($node, 'files', 'a second space', 'second');
wait_for_files(2, 'a second space has a file');
$node->safe_psql('files', q{SELECT graphmem.drop_vector_space('second')});
wait_for_files(1, '... which goes with it');
create_database($node, 'gone');
$node->safe_psql('gone', q{SELECT graphmem.create_vector_space('default', 8)});
add_items($node, 'gone', 1, $rows, 1);
wait_for_index($node, 'gone', 'a second database');
wait_for_files(2, 'a second database has a file');
$node->safe_psql('postgres', 'DROP DATABASE gone');
$node->restart;
answers($node, 'files');
wait_for_files(1, '... which the next worker removes');
$node->safe_psql('files', q{SELECT graphmem.drop_graph('default')});
wait_for_files(0, 'dropping the graph removes the file');

done_testing();
