#!/bin/sh
# What topology embeddings are worth and what they cost, beside published figures
# and the same methods in numpy and scipy.  No part of pass or fail.
#
#	test/bench/quality.sh				all sections
#	test/bench/quality.sh SECTION...	of these:
#		core		in process: PPI's node classes, scores of WordNet's triples
#		speed		in process: time and memory on R-MAT graphs of 1 to 16 million edges
#		scipy		the reference programs on the graph of 8 million triples, 6 minutes
#
# Settings, from the environment:
#	SHARED=../shared	where eval/ (scorers) and data/ are
#	QUICK=1				few splits, a small graph; figures of this kind prove nothing
#	MEMBERS=2			processes that compute
#
# Figures are left in build/bench/quality.json.

set -eu
cd "$(dirname "$0")/../.." || exit 1
. test/lib/server.sh

SHARED=$(cd "${SHARED:-../shared}" 2>/dev/null && pwd -P) ||
	gm_die "scorers and data are not there; SHARED names the directory of eval/ and data/"
gm_packages gcc libc6-dev liblapacke-dev libopenblas-dev make python3-numpy python3-scipy \
	python3-sklearn
gm_work_dir
make -s topology-core
mkdir -p build/bench
OPENBLAS_NUM_THREADS=${OPENBLAS_NUM_THREADS:-2} PYTHONPATH="$SHARED/eval" SHARED="$SHARED" \
	QUICK="${QUICK:-}" MEMBERS="${MEMBERS:-2}" WORK="$WORK" \
	/usr/bin/python3 test/bench/quality.py "$@"
