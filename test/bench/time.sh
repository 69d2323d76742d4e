#!/bin/sh
# Time: answers about other times on real data, replaying dated events, and what
# history costs queries about now.  No part of pass or fail.
#
#	test/bench/time.sh				all sections
#	test/bench/time.sh SECTION...	of these:
#		wikidata	as-of questions with known answers, from wikidata12k
#		events		icews14 replayed in batches beside an oracle over the raw file
#		history		queries about now, with 10 past versions a fact and without
#
# Settings, from the environment:
#	QUICK=1			parts of the data, a minute; figures of this size prove nothing
#	SCALE			the graph of the last section: 2^SCALE entities (16), 8 facts each
#	DATA			folder of real data sets (../shared/data); the first two sections
#					are left out without it; the scorer is in ../eval beside it
#	PG_CONFIG		the server
#
# Figures are left in build/bench: time.json, time.md, unless answers differ,
# which is an error.

set -eu
cd "$(dirname "$0")/../.." || exit 1
. test/lib/server.sh

if [ "${1:-}" != --inside ]; then
	DATA=$(cd "${DATA:-../shared/data}" 2>/dev/null && pwd -P || echo "${DATA:-../shared/data}")
	gm_packages gcc libc6-dev liblapacke-dev libopenblas-dev libxxhash-dev make perl python3-numpy python3-scipy python3-psycopg2
	gm_find_server
	gm_work_dir
	gm_copy_tree "$WORK/tree"
	gm_private_prefix
	gm_as_user "$WORK/tree" env -i PATH="$BIN:/usr/bin:/bin" LANG=C.UTF-8 HOME="$WORK" \
		WORK="$WORK" BIN="$BIN" TMPDIR="$WORK" DATA="$DATA" QUICK="${QUICK:-}" \
		SCALE="${SCALE:-}" \
		test/bench/time.sh --inside "$@"
	mkdir -p build/bench
	cp "$WORK"/results/* build/bench/
	exit
fi
shift

printf '\n== building against %s\n' "$("$BIN/pg_config" --version)"
gm_build

# commits are to cost what they cost
gm_measure "fsync = on" test/bench/asof.py "$@"
