#!/bin/sh
# The measured claims in one command: installs what is missing, builds, starts a
# throw-away server, measures, takes everything away again.  No part of pass or
# fail.
#
#	test/bench/run.sh				all sections
#	test/bench/run.sh SECTION...	copy, load, graph, sync, vectors, fusion, text
#
# Settings, from the environment:
#	QUICK=1			small data, two minutes; figures of this size prove nothing
#	SCALE, EDGES	the R-MAT graph: 2^SCALE nodes (18), EDGES triples (8000000)
#	SCALES			sizes at which the ratio to plain C is taken, 2^SCALE nodes ("15 17 19")
#	ROWS			rows of each COPY (1000000)
#	NAMES			names of the text section (1000000)
#	DATA			folder of real data sets (../shared/data)
#	PG_CONFIG		the server
#	PEERS=1			beside Apache AGE and pgvector: peers.sh
#	UPDATE=1		publish: README's table and test/bench/results.svg
#
# All figures are left in build/bench: results.json, results.md, results.svg,
# unless answers differ, which is an error.

set -eu
cd "$(dirname "$0")/../.." || exit 1
. test/lib/server.sh

if [ "${1:-}" != --inside ]; then
	DATA=$(cd "${DATA:-../shared/data}" 2>/dev/null && pwd -P || echo "${DATA:-../shared/data}")
	if [ -n "${UPDATE:-}" ] && [ -n "${QUICK:-}" ]; then
		gm_die "figures of QUICK are not to be published: UPDATE without QUICK"
	fi
	if [ -n "${PEERS:-}" ]; then
		exec test/bench/peers.sh "$@"
	fi
	gm_packages gcc libc6-dev liblapacke-dev libopenblas-dev libxxhash-dev make perl wordnet-base python3-numpy python3-scipy python3-psycopg2 \
		python3-matplotlib
	gm_find_server
	gm_work_dir
	gm_copy_tree "$WORK/tree"
	gm_private_prefix
	gm_as_user "$WORK/tree" env -i PATH="$BIN:/usr/bin:/bin" LANG=C.UTF-8 HOME="$WORK" \
		WORK="$WORK" BIN="$BIN" TMPDIR="$WORK" DATA="$DATA" QUICK="${QUICK:-}" \
		SCALE="${SCALE:-}" EDGES="${EDGES:-}" ROWS="${ROWS:-}" NAMES="${NAMES:-}" \
		SCALES="${SCALES:-}" \
		test/bench/run.sh --inside "$@"
	mkdir -p build/bench
	cp "$WORK"/results/* build/bench/
	[ -z "${UPDATE:-}" ] || test/bench/update.sh
	exit
fi
shift

say()
{
	printf '\n== %s\n' "$*"
}

say "building against $("$BIN/pg_config" --version)"
gm_build
if [ -f test/bench/floor.c ]; then
	cc -std=gnu11 -O3 -Isrc -o "$WORK/floor" test/bench/floor.c src/core/*.c -lm
fi

gm_measure '' test/bench/bench.py "$@"
