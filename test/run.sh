#!/bin/sh
# Every test of graphmem in one command, as root or not.  What is missing is
# installed; the system's PostgreSQL stays as it is; nothing is left behind.
#
#	test/run.sh				all stages
#	test/run.sh STAGE...	source, build, unit, sanitize, threads, regress, isolation, tap
#
# Settings: PG_CONFIG picks the server.  The last line is "N passed, N failed".

set -u
cd "$(dirname "$0")/.." || exit 1
. test/lib/server.sh

ALL_STAGES="source unit sanitize threads regress isolation tap"
PACKAGES="gcc libc6-dev liblapacke-dev libopenblas-dev libxxhash-dev make perl binutils
	libipc-run-perl python3-networkx python3-numpy python3-psycopg2 python3-rdflib python3-scipy"

if [ "${1:-}" != --inside ]; then
	gm_packages $PACKAGES
	gm_find_server
	gm_work_dir
	gm_copy_tree "$WORK/tree"
	gm_private_prefix
	gm_as_user "$WORK/tree" env -i PATH="$BIN:$PATH" LANG=C.UTF-8 HOME="$WORK" \
		WORK="$WORK" BIN="$BIN" TMPDIR="$WORK" \
		test/run.sh --inside ${*:-$ALL_STAGES}
	exit
fi
shift

passed=0
failed=0
skipped=0
LOGS=$WORK/logs
mkdir -p "$LOGS"

stage()
{
	printf '\n== %s\n' "$1"
}

# Counts the cases in a log of TAP lines; a program that ends badly without
# having reported a failure is one itself.
count_tap()				# NAME STATUS LOG
{
	ok=$(grep -c '^ok ' "$3")
	not_ok=$(grep -c '^not ok ' "$3")
	skips=$(grep -c '^ok .*# [Ss][Kk][Ii][Pp]' "$3")
	if [ "$2" -ne 0 ] && [ "$not_ok" -eq 0 ]; then
		not_ok=1
	elif [ "$ok" -eq 0 ] && [ "$not_ok" -eq 0 ] && ! grep -q '^1\.\.0' "$3"; then
		not_ok=1			# reported nothing at all
	fi
	ok=$((ok - skips))
	passed=$((passed + ok))
	failed=$((failed + not_ok))
	skipped=$((skipped + skips))
	printf '%-40s %4d passed, %d failed' "$1" "$ok" "$not_ok"
	[ "$skips" -eq 0 ] || printf ', %d skipped' "$skips"
	printf '\n'
	grep -i '^ok .*# skip\|^1\.\.0.*# skip' "$3"
	if [ "$not_ok" -ne 0 ]; then
		echo "--- what it said"
		grep -v '^ok ' "$3" | tail -n 60
		echo "---"
	fi
}

# Counts the tests of pg_regress and its kin: until 15 "test x ... ok", then TAP.
count_regress()			# NAME STATUS LOG DIFFS
{
	ok=$(grep -c '^ok \|^test .* \.\.\. ok' "$3")
	not_ok=$(grep -c '^not ok \|^test .* \.\.\. FAILED\|^test .* \.\.\. failed' "$3")
	[ "$2" -eq 0 ] || [ "$not_ok" -ne 0 ] || not_ok=1
	passed=$((passed + ok))
	failed=$((failed + not_ok))
	printf '%-40s %4d passed, %d failed\n' "$1" "$ok" "$not_ok"
	if [ "$not_ok" -ne 0 ]; then
		grep '^not ok \|FAILED\|failed' "$3" || tail -n 20 "$3"
		if [ -s "$4" ]; then
			echo "--- end of $(basename "$4")"
			tail -n 150 "$4"
			echo "---"
		fi
	fi
}

build()
{
	[ -z "${built:-}" ] || return "$built"
	# the extension's own assertions work against a server without them
	gm_build PROFILE="-DUSE_ASSERT_CHECKING -DGM_STOP_POINTS"
	built=$?
	if [ $built -ne 0 ]; then
		failed=$((failed + 1))
		echo "the build failed"
	fi
	return $built
}

stage_source()
{
	stage "source"
	test/check_source.sh >"$LOGS/source" 2>&1
	count_tap "source" $? "$LOGS/source"
}

stage_build()
{
	stage "build"
	build && test/check_source.sh graphmem.so >"$LOGS/module" 2>&1
	count_tap "module" $? "$LOGS/module"
}

# The tests in which threads play writer and readers.  Where addresses are
# spread more widely than the sanitizer can bear it says so and ends.
THREAD_TESTS="test_epoch test_apply test_hnsw test_topology"

stage_threads()
{
	stage "threads with the thread sanitizer"
	programs=
	for name in $THREAD_TESTS; do
		[ ! -f "test/unit/$name.c" ] || programs="$programs build/unit-thread/$name"
	done
	if ! make -s -j2 $programs SAN=thread >"$LOGS/threads-build" 2>&1; then
		tail -n 40 "$LOGS/threads-build"
		failed=$((failed + 1))
		return
	fi
	for program in $programs; do
		name=$(basename "$program")-thread
		"$program" >"$LOGS/$name" 2>&1
		status=$?
		if grep -q 'ThreadSanitizer: unexpected memory mapping' "$LOGS/$name"; then
			setarch -R "$program" >"$LOGS/$name" 2>&1
			status=$?
		fi
		count_tap "$name" $status "$LOGS/$name"
	done
}

unit()					# NAME SAN
{
	stage "$1"
	dir=build/unit${2:+-$(echo "$2" | tr , -)}
	if ! make -s -j2 unit-programs SAN="$2" >"$LOGS/unit-build" 2>&1; then
		tail -n 40 "$LOGS/unit-build"
		failed=$((failed + 1))
		return
	fi
	for source in test/unit/test_*.c; do
		name=$(basename "$source" .c)
		"$dir/$name" >"$LOGS/$name" 2>&1
		count_tap "$name" $? "$LOGS/$name"
	done
}

stage_unit()
{
	unit "unit" ""
}

stage_sanitize()
{
	unit "unit with address and undefined-behaviour sanitizers" address,undefined
}

none_there()
{
	skipped=$((skipped + 1))
	echo "SKIP: there is no $1"
}

regress_dir()
{
	echo "$("$BIN/pg_config" --pkglibdir)/pgxs/src/test"
}

temp_config()
{
	cat >"$WORK/temp.conf" <<-'CONF'
	fsync = off
	autovacuum = off
	max_prepared_transactions = 8
	log_statement = none
	timezone = 'UTC'
	CONF
}

stage_regress()
{
	stage "pg_regress"
	tests=$(make -s list-regress)
	[ -n "$tests" ] || { none_there "sql/*.sql"; return; }
	build || return
	temp_config
	"$(regress_dir)/regress/pg_regress" --bindir="$BIN" --inputdir=. \
		--outputdir="$WORK/regress" --temp-instance="$WORK/regress/instance" \
		--temp-config="$WORK/temp.conf" --encoding=UTF8 --no-locale \
		--load-extension=pg_trgm --load-extension=graphmem \
		--dbname=graphmem_regress $tests >"$LOGS/regress" 2>&1
	count_regress "pg_regress" $? "$LOGS/regress" "$WORK/regress/regression.diffs"
}

stage_isolation()
{
	stage "isolation"
	tests=$(make -s list-isolation)
	[ -n "$tests" ] || { none_there "test/specs/*.spec"; return; }
	build || return
	temp_config
	"$(regress_dir)/isolation/pg_isolation_regress" --bindir="$BIN" --inputdir=test \
		--outputdir="$WORK/isolation" --temp-instance="$WORK/isolation/instance" \
		--temp-config="$WORK/temp.conf" --encoding=UTF8 --no-locale \
		--load-extension=pg_trgm --load-extension=graphmem \
		--dbname=graphmem_isolation $tests >"$LOGS/isolation" 2>&1
	count_regress "isolation" $? "$LOGS/isolation" "$WORK/isolation/regression.diffs"
}

stage_tap()
{
	stage "TAP"
	build || return
	PG_REGRESS=$(regress_dir)/regress/pg_regress
	TESTDIR=$WORK/tap TESTDATADIR=$WORK/tap TESTLOGDIR=$WORK/tap/log
	export PG_REGRESS TESTDIR TESTDATADIR TESTLOGDIR
	mkdir -p "$TESTLOGDIR"
	for file in test/t/*.pl; do
		[ -f "$file" ] || { none_there "test/t/*.pl"; break; }
		name=$(basename "$file" .pl)
		perl -I"$(regress_dir)/perl" -Itest/lib "$file" >"$LOGS/$name" 2>&1
		status=$?
		# why a program ended early is in the server's half of the log
		[ $status -eq 0 ] || find "$WORK/tap" -name "regress_log_$name*" \
			-exec grep -A 8 'error running SQL\|: error:' {} + | cut -c 1-400 >>"$LOGS/$name"
		count_tap "$name" $status "$LOGS/$name"
	done
}

printf 'server: %s\n' "$("$BIN/pg_config" --version)"
for one in "$@"; do
	case $one in
		source) stage_source; stage_build ;;
		build|unit|sanitize|threads|regress|isolation|tap) stage_"$one" ;;
		*) gm_die "unknown stage \"$one\"; there are: $ALL_STAGES" ;;
	esac
done

printf '\n'
[ $skipped -eq 0 ] || printf '%d skipped, named above\n' "$skipped"
printf '%d passed, %d failed\n' "$passed" "$failed"
[ $failed -eq 0 ]
