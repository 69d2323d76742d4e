#!/bin/sh
# The campaign of crashes and disturbances in one command: installs what is
# missing, builds, runs torture.py on a server of its own, takes everything
# away again.  Exit status 1 if a violation was found; then the server's log and
# the log of acknowledged commits stay.
#
#	test/torture/run.sh		half an hour
#
# Settings, from the environment:
#	MINUTES		how long (30)
#	SEED		repeats the choices, though not their interleaving
#	EVENTS		only these events, separated by commas
#	PRELOAD=1	shared_preload_libraries
#	KEEP		folder for the logs of a run with violations (build/torture)
#	PG_CONFIG	the server

set -u
cd "$(dirname "$0")/../.." || exit 1
. test/lib/server.sh

KEEP=${KEEP:-$(pwd -P)/build/torture}
gm_packages gcc libc6-dev liblapacke-dev libopenblas-dev libxxhash-dev make perl python3-psycopg2
gm_find_server
gm_work_dir
gm_copy_tree "$WORK/tree"
gm_private_prefix
(cd "$WORK/tree" && gm_build PROFILE=-DUSE_ASSERT_CHECKING) || exit 1
mkdir -p "$WORK/campaign"
gm_as_user "$WORK/tree" env -i PATH="$BIN:/usr/bin:/bin" LANG=C.UTF-8 HOME="$WORK" TMPDIR="$WORK" \
	/usr/bin/python3 test/torture/torture.py --bin "$BIN" --work "$WORK/campaign" \
	--minutes "${MINUTES:-30}" ${SEED:+--seed "$SEED"} ${EVENTS:+--events "$EVENTS"} ${PRELOAD:+--preload}
status=$?
if [ $status -ne 0 ]; then
	mkdir -p "$KEEP"
	cp "$WORK/campaign/server.log" "$WORK/campaign/acknowledged.log" "$KEEP" &&
		gm_say "logs are in $KEEP"
fi
exit $status
