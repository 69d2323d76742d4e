#!/bin/sh
# Random queries over graphmem's functions in one command: installs what is
# missing, builds with assertions, lets sqlsmith loose on a server of its own,
# takes everything away again.  Exit status 1 if something was found; then the
# server's messages about it stay.
#
#	test/sqlsmith/run.sh		100,000 queries
#
# Settings, from the environment:
#	QUERIES		how many (100000)
#	SEED		the first of the seeds, one a round; with a writer beside it a
#				round does not repeat exactly
#	MODES		only these rounds, separated by commas (sqlsmith.py lists them)
#	KEEP		folder for what was found (build/sqlsmith)
#	PG_CONFIG	the server

set -u
cd "$(dirname "$0")/../.." || exit 1
. test/lib/server.sh

KEEP=${KEEP:-$(pwd -P)/build/sqlsmith}
gm_packages binutils gcc libc6-dev liblapacke-dev libopenblas-dev libxxhash-dev make perl python3-psycopg2 sqlsmith
gm_find_server
gm_work_dir
gm_copy_tree "$WORK/tree"
gm_private_prefix
(cd "$WORK/tree" && gm_build PROFILE=-DUSE_ASSERT_CHECKING) || exit 1
mkdir -p "$WORK/campaign/found"
gm_as_user "$WORK/tree" env -i PATH="$BIN:/usr/bin:/bin" LANG=C.UTF-8 HOME="$WORK" TMPDIR="$WORK" \
	/usr/bin/python3 test/sqlsmith/sqlsmith.py --bin "$BIN" --work "$WORK/campaign" \
	--queries "${QUERIES:-100000}" ${SEED:+--seed "$SEED"} ${MODES:+--modes "$MODES"}
status=$?
if [ $status -ne 0 ]; then
	mkdir -p "$KEEP"
	cp -R "$WORK/campaign/found/." "$KEEP" && gm_say "what was found is in $KEEP"
fi
exit $status
