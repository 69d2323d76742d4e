#!/bin/sh
# A fuzzer over every decoder of bytes and text, in one command: installs what
# is missing, builds, runs each target, takes everything away again.  Exit
# status 1 if one found something; then the input, what it did and the seed
# stay in build/fuzz.  A finding ends its target, not the others.
#
#	test/fuzz/run.sh				six minutes
#	make fuzz-programs && build/fuzz-programs/fuzz_NAME build/fuzz/fuzz_NAME-crash-...
#									runs an input again
#
# Targets, each with what must hold on top of its file:
#	fuzz_rows		bytes of changes and rows between backends and worker
#	fuzz_apply		streams of changes applied to an image, against a fresh image
#	fuzz_queue		the queue that carries them
#	fuzz_words		texts cut into words, of names, contents and questions
#	fuzz_ntriples	texts read as N-Triples, and their terms written again
#	fuzz_vectors	vectors of any bits, and searches by them
#	fuzz_hnsw_file	files of indexes of vectors, and searches and changes after
#	sql_fuzz		arguments of every SQL function, as text and in binary, on a
#					server of its own (sql_fuzz.py)
#
# Settings, from the environment:
#	MINUTES		how long, shared by the targets (6)
#	TARGETS		only these, separated by blanks
#	SEED		repeats the choices
#	KEEP		folder for findings (build/fuzz)
#	PG_CONFIG	the server

set -u
cd "$(dirname "$0")/../.." || exit 1
. test/lib/server.sh

KEEP=${KEEP:-$(pwd -P)/build/fuzz}
MINUTES=${MINUTES:-6}
SEED=${SEED:-$(date +%s)}
TARGETS=${TARGETS:-fuzz_rows fuzz_apply fuzz_queue fuzz_words fuzz_ntriples fuzz_vectors fuzz_hnsw_file sql_fuzz}

# those that are there
keep()
{
	mkdir -p "$KEEP"
	for file in "$@"; do
		if [ -f "$file" ]; then
			cp "$file" "$KEEP" && gm_say "kept $KEEP/${file##*/}"
		fi
	done
}

# the last number behind a word of libFuzzer's report
figure()
{
	sed -n "s/.*$1\([0-9]*\).*/\1/p" "$WORK/fuzz/$target.log" | tail -n 1
}

run_program()
{
	program=$WORK/tree/build/fuzz-programs/$target
	mkdir -p "$WORK/fuzz/$target"
	gm_as_user "$WORK/fuzz" env FUZZ_SEEDS="$WORK/fuzz/$target" "$program" || return 1
	gm_as_user "$WORK/fuzz" "$program" -max_total_time="$seconds" -seed="$SEED" -max_len=4096 \
		-timeout=60 -rss_limit_mb=4096 -print_final_stats=1 -artifact_prefix="$WORK/fuzz/$target-" \
		"$target" >"$WORK/fuzz/$target.log" 2>&1
	status=$?
	printf '%-13s %10s executions %7s edges covered %7s inputs in the corpus\n' "$target" \
		"$(figure 'number_of_executed_units: ')" "$(figure ' cov: ')" "$(figure ' corp: ')"
	[ $status -ne 0 ] || return 0
	grep -m 5 'must hold\|runtime error\|ERROR: \|SUMMARY: ' "$WORK/fuzz/$target.log"
	keep "$WORK/fuzz/$target.log" "$WORK/fuzz/$target"-*
	return 1
}

run_sql()
{
	mkdir -p "$WORK/fuzz/server"
	gm_as_user "$WORK/tree" env -i PATH="$BIN:/usr/bin:/bin" LANG=C.UTF-8 HOME="$WORK" TMPDIR="$WORK" \
		/usr/bin/python3 test/fuzz/sql_fuzz.py --bin "$BIN" --work "$WORK/fuzz/server" \
		--seconds "$seconds" --seed "$SEED" && return 0
	keep "$WORK/fuzz/server/server.log" "$WORK/fuzz/server/sql_fuzz.log"
	return 1
}

count=0
for target in $TARGETS; do
	[ -f "test/fuzz/$target.c" ] || [ -f "test/fuzz/$target.py" ] || gm_die "no target $target"
	count=$((count + 1))
done
seconds=$(awk "BEGIN { s = int($MINUTES * 60 / $count); print s < 1 ? 1 : s }") ||
	gm_die "MINUTES must be a number"

gm_packages gcc clang libc6-dev liblapacke-dev libopenblas-dev libxxhash-dev make perl python3-psycopg2
gm_packages "libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev"
gm_find_server
gm_work_dir
gm_copy_tree "$WORK/tree"
gm_private_prefix
(cd "$WORK/tree" && gm_build PROFILE=-DUSE_ASSERT_CHECKING) || exit 1
make -s -C "$WORK/tree" fuzz-programs PG_CONFIG="$BIN/pg_config" || exit 1
mkdir -p "$WORK/fuzz"
chmod 755 "$WORK/fuzz"

gm_say "$seconds seconds each, SEED=$SEED"
found=0
for target in $TARGETS; do
	case $target in
		fuzz_*) run_program || found=1 ;;
		*) run_sql || found=1 ;;
	esac
done
exit $found
