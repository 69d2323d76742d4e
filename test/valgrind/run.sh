#!/bin/sh
# The regression tests and the unit tests under valgrind's memcheck, in one
# command: installs what is missing, builds with assertions and little
# optimization, runs pg_regress against a server of its own whose processes all
# run under memcheck, takes everything away again.
#
#	test/valgrind/run.sh			all of sql/*.sql and test/unit/test_*.c
#
# Settings, from the environment:
#	TESTS		only these, by name: "read fusion test_graph"
#	KEEP		folder for memcheck's reports and pg_regress's output when something
#				was found (build/valgrind)
#	PG_CONFIG	the server
#
# The server is Debian's.  Of what memcheck reports there counts what has
# one of our modules in one of its stacks: where it happened, or where the memory or
# the undefined value came from (report.py).  What the server does wrong by
# itself under graphmem's frames stands in postgres.supp.  memcheck knows what
# malloc hands out, not what palloc does: an overrun within a memory context's
# block is seen only in a server built for it.
#
# Exit status 1 if something was found, or a test failed.

set -u
cd "$(dirname "$0")/../.." || exit 1
. test/lib/server.sh

KEEP=${KEEP:-$(pwd -P)/build/valgrind}
MEMCHECK="valgrind --quiet --vgdb=no --num-callers=40 --track-origins=yes --trace-children=yes --fair-sched=try"

if [ "${1:-}" != --inside ]; then
	gm_packages gcc libc6-dbg libc6-dev liblapacke-dev libopenblas-dev libxxhash-dev make perl \
		python3 valgrind
	gm_find_server
	gm_work_dir
	gm_copy_tree "$WORK/tree"
	gm_private_prefix
	mkdir -p "$WORK/reports" "$WORK/units"
	# gcc guesses more about undefined values the less it optimizes
	(cd "$WORK/tree" && gm_build CORE_OPTIMIZE=-O1 \
		PROFILE="-O1 -g -Wno-maybe-uninitialized -DUSE_ASSERT_CHECKING") || exit 1
	gm_as_user "$WORK/tree" env -i PATH="$BIN:/usr/bin:/bin" LANG=C.UTF-8 HOME="$WORK" \
		WORK="$WORK" BIN="$BIN" TMPDIR="$WORK" TESTS="${TESTS:-}" test/valgrind/run.sh --inside
	status=$?
	if [ $status -ne 0 ]; then
		mkdir -p "$KEEP"
		for what in reports units regress/regression.diffs regress/results regress/log; do
			[ ! -e "$WORK/$what" ] || cp -R "$WORK/$what" "$KEEP"
		done
		gm_say "reports are in $KEEP"
	fi
	exit $status
fi

# memcheck stands in for the program only where a server starts: initdb's
# bootstrap processes have no graphmem in them and would take minutes.
wrap_server()
{
	mv "$BIN/postgres" "$BIN/postgres-plain"
	cat >"$BIN/postgres" <<-WRAPPER
	#!/bin/sh
	case \$1 in
		-D) exec $MEMCHECK --leak-check=no --error-limit=no --xml=yes --xml-file=$WORK/reports/%p.xml \\
			--suppressions=$PWD/test/valgrind/postgres.supp $BIN/postgres-plain "\$@" ;;
		*) exec $BIN/postgres-plain "\$@" ;;
	esac
	WRAPPER
	chmod 755 "$BIN/postgres"
}

units=
for source in test/unit/test_*.c; do
	name=$(basename "$source" .c)
	case " ${TESTS:-$name} " in
		*" $name "*) units="$units $name" ;;
	esac
done
tests=
for name in $(make -s list-regress); do
	case " ${TESTS:-$name} " in
		*" $name "*) tests="$tests $name" ;;
	esac
done
[ -n "$units$tests" ] || gm_die "no test is named \"$TESTS\""
make -s unit-programs >"$WORK/units/build.log" 2>&1 || { cat "$WORK/units/build.log"; exit 1; }

failed=0

# These have no server: every error counts, and every block lost.
for name in $units; do
	began=$(date +%s)
	$MEMCHECK --leak-check=full --show-leak-kinds=definite,indirect,possible \
		--errors-for-leak-kinds=definite,indirect,possible --error-exitcode=99 \
		--log-file="$WORK/units/$name.memcheck" "build/unit/$name" >"$WORK/units/$name.out" 2>&1
	status=$?
	verdict="sound"
	if [ $status -eq 99 ] || [ -s "$WORK/units/$name.memcheck" ]; then
		verdict="ERRORS"
	elif [ $status -ne 0 ]; then
		verdict="FAILED"
	fi
	printf '%-20s %s, %d s\n' "$name" "$verdict" $(($(date +%s) - began))
	if [ "$verdict" != sound ]; then
		failed=$((failed + 1))
		grep '^not ok' "$WORK/units/$name.out"
		head -n 60 "$WORK/units/$name.memcheck"
	fi
done

if [ -n "$tests" ]; then
	wrap_server
	cat >"$WORK/temp.conf" <<-'CONF'
	fsync = off
	max_prepared_transactions = 8
	timezone = 'UTC'
	authentication_timeout = '10 min'
	graphmem.sync_timeout = '10 min'
	CONF
	PGCTLTIMEOUT=600 "$("$BIN/pg_config" --pkglibdir)/pgxs/src/test/regress/pg_regress" --bindir="$BIN" \
		--inputdir=. --outputdir="$WORK/regress" --temp-instance="$WORK/regress/instance" \
		--temp-config="$WORK/temp.conf" --encoding=UTF8 --no-locale \
		--load-extension=pg_trgm --load-extension=graphmem --dbname=graphmem_regress $tests
	if [ $? -ne 0 ]; then
		failed=$((failed + 1))
		[ ! -s "$WORK/regress/regression.diffs" ] || head -n 80 "$WORK/regress/regression.diffs"
	fi
	python3 test/valgrind/report.py "$WORK/reports" || failed=$((failed + 1))
fi

[ $failed -eq 0 ] && echo "memcheck found nothing" || echo "memcheck: $failed of the parts above found something"
[ $failed -eq 0 ]
