#!/bin/sh
# Approximate vector search through SQL beside hnswlib in process and, with
# PEERS=1, pgvector, in one command and one run.  No part of pass or fail.
#
#	test/bench/vector.sh				all sections
#	test/bench/vector.sh SECTION...		of these:
#		core		the index in process beside hnswlib's, without SQL
#		search		through SQL: speed at equal recall, building, memory
#		batch		exact search, and several queries at a call
#		clients		two clients; the first search of a connection
#		restart		how soon the index is used again
#		inserts		into a live index, beside a reader
#
# Settings, from the environment:
#	QUICK=1			small data, two minutes; figures of this size prove nothing
#	SETS			sets of vectors ("wordnet synth"), see vector_sets.py
#	PG_CONFIG		the server
#	PEERS=1			beside pgvector: peers.sh
#
# Figures are left in build/bench: vector.json, vector.md.

set -eu
cd "$(dirname "$0")/../.." || exit 1
. test/lib/server.sh

if [ "${1:-}" != --inside ]; then
	if [ -n "${PEERS:-}" ]; then
		exec test/bench/peers.sh --vector "$@"
	fi
	gm_packages gcc g++ libc6-dev liblapacke-dev libopenblas-dev libxxhash-dev make perl wordnet-base libhnswlib-dev libpq-dev \
		python3-numpy python3-scipy python3-psycopg2
	gm_find_server
	gm_work_dir
	gm_copy_tree "$WORK/tree"
	gm_private_prefix
	gm_as_user "$WORK/tree" env -i PATH="$BIN:/usr/bin:/bin" LANG=C.UTF-8 HOME="$WORK" \
		WORK="$WORK" BIN="$BIN" TMPDIR="$WORK" QUICK="${QUICK:-}" SETS="${SETS:-}" \
		test/bench/vector.sh --inside "$@"
	mkdir -p build/bench
	cp "$WORK"/results/* build/bench/
	exit
fi
shift

say()
{
	printf '\n== %s\n' "$*"
}

say "building against $("$BIN/pg_config" --version)"
gm_build
# the core as the extension has it, the rival as its users build it
cc -std=gnu11 -O3 -Isrc -pthread -o "$WORK/vector_core" test/bench/vector_core.c src/core/*.c -lm
c++ -O3 -march=native -o "$WORK/vector_hnswlib" test/bench/vector_hnswlib.cc
cc -std=gnu11 -O3 -march=native -ffast-math -o "$WORK/vector_truth" test/bench/vector_truth.c -lm
cc -std=gnu11 -O2 -I"$("$BIN/pg_config" --includedir)" -o "$WORK/vector_client" test/bench/vector_client.c -lpq -lm

gm_measure "shared_preload_libraries = 'graphmem'" test/bench/vector.py "$@"
