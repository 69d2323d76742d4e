#!/bin/sh
# What topology embeddings are worth and what they cost, beside published figures
# and the same methods in numpy and scipy.  No part of pass or fail.
#
#	test/bench/quality.sh				all sections
#	test/bench/quality.sh SECTION...	of these:
#		core		in process: node classes of PPI (and of BlogCatalog, if it is there), scores of
#					WordNet's triples
#		speed		in process: time and memory on R-MAT graphs of 1 to 16 million edges
#		scipy		the reference programs on the graph of 8 million triples, 6 minutes
#		sql			the same as core, through SQL (but BlogCatalog)
#		server		time through SQL; queries, commits and shutdown meanwhile
#
# Settings, from the environment:
#	SHARED=../shared	where eval/ (scorers) and data/ are
#	QUICK=1				few splits, a small graph; figures of this kind prove nothing
#	MEMBERS=2			processes that compute, of the first three sections
#	PG_CONFIG			the server of the last two
#
# Figures are left in build/bench: quality.json, topology.json.

set -eu
cd "$(dirname "$0")/../.." || exit 1
. test/lib/server.sh

if [ "${1:-}" = --inside ]; then
	shift
	printf '\n== building against %s\n' "$("$BIN/pg_config" --version)"
	gm_build
	# pages that all processes share must fit: the images' and those of computing
	gm_measure "max_worker_processes = 16" test/bench/topology.py "$@"
fi

SHARED=$(cd "${SHARED:-../shared}" 2>/dev/null && pwd -P) ||
	gm_die "scorers and data are not there; SHARED names the directory of eval/ and data/"
[ $# -gt 0 ] || set -- core speed scipy sql server
in_process=
in_server=
for section in "$@"; do
	case $section in
		core|speed|scipy) in_process="$in_process $section" ;;
		sql|server) in_server="$in_server $section" ;;
		*) gm_die "unknown section $section; there are: core speed scipy sql server" ;;
	esac
done
gm_packages gcc libc6-dev liblapacke-dev libopenblas-dev make perl python3-numpy python3-psycopg2 \
	python3-scipy python3-sklearn
mkdir -p build/bench
gm_work_dir
if [ -n "$in_process" ]; then
	make -s topology-core
	# shellcheck disable=SC2086 # a list of words
	OPENBLAS_NUM_THREADS=${OPENBLAS_NUM_THREADS:-2} PYTHONPATH="$SHARED/eval" SHARED="$SHARED" \
		QUICK="${QUICK:-}" MEMBERS="${MEMBERS:-2}" WORK="$WORK" \
		/usr/bin/python3 test/bench/quality.py $in_process
fi
if [ -n "$in_server" ]; then
	gm_find_server
	gm_copy_tree "$WORK/tree"
	gm_private_prefix
	# shellcheck disable=SC2086 # a list of words
	gm_as_user "$WORK/tree" env -i PATH="$BIN:/usr/bin:/bin" LANG=C.UTF-8 HOME="$WORK" \
		WORK="$WORK" BIN="$BIN" TMPDIR="$WORK" SHARED="$SHARED" QUICK="${QUICK:-}" \
		test/bench/quality.sh --inside $in_server
	cp "$WORK"/results/* build/bench/
fi
