#!/bin/sh
# WordNet as a graph memory, from nothing to a session, in one command: installs
# what is missing, builds, starts a throw-away server on a private socket, loads,
# shows, and takes everything away again.  KEEP=1 leaves the server running.

set -eu
cd "$(dirname "$0")/../.." || exit 1
. test/lib/server.sh

DATABASE=wordnet
QUESTION=${QUESTION:-"disease spread by mosquitoes"}

if [ "${1:-}" != --inside ]; then
	gm_packages gcc libc6-dev liblapacke-dev libopenblas-dev libxxhash-dev make wordnet-base python3-numpy python3-scipy
	gm_find_server
	gm_work_dir
	gm_copy_tree "$WORK/tree"
	gm_private_prefix
	gm_as_user "$WORK/tree" env -i PATH="$BIN:/usr/bin:/bin" LANG=C.UTF-8 HOME="$WORK" \
		WORK="$WORK" BIN="$BIN" KEEP="${KEEP:-}" QUESTION="$QUESTION" PAGER= \
		test/demo/run.sh --inside || exit
	if [ -n "${KEEP:-}" ]; then
		trap - EXIT HUP INT TERM
		cat <<-END

		The server is running.  To enter it:
		    $BIN/psql -h $WORK -U graphmem $DATABASE
		To stop it and take it away:
		    kill -INT \$(head -n 1 $WORK/data/postmaster.pid); sleep 1; rm -rf $WORK
		END
	fi
	exit 0
fi

say()
{
	printf '\n== %s\n' "$*"
}

export PGHOST="$WORK" PGUSER=graphmem PGDATABASE=$DATABASE PSQLRC=/dev/null
files=$WORK/files
db()
{
	psql -X -q -v ON_ERROR_STOP=1 "$@"
}

say "building against $("$BIN/pg_config" --version)"
gm_build

say "making vectors of words and glosses (a minute)"
/usr/bin/python3 test/demo/wordnet.py --out "$files"

say "starting a server in $WORK"
"$BIN/initdb" -D "$WORK/data" -U graphmem -A trust --no-sync -E UTF8 \
	--locale=C.UTF-8 >"$WORK/initdb.log" 2>&1 || { cat "$WORK/initdb.log"; exit 1; }
cat >>"$WORK/data/postgresql.conf" <<CONF
listen_addresses = ''
unix_socket_directories = '$WORK'
unix_socket_permissions = 0700
shared_buffers = 256MB
max_wal_size = 2GB
fsync = off
CONF
"$BIN/pg_ctl" -D "$WORK/data" -l "$WORK/server.log" -w start >/dev/null ||
	{ cat "$WORK/server.log"; exit 1; }
db -d postgres -c "CREATE DATABASE $DATABASE"
db -o /dev/null -c "SET client_min_messages = warning; CREATE EXTENSION graphmem CASCADE" \
	-c "SELECT graphmem.create_graph('wordnet')" \
	-c "ALTER DATABASE $DATABASE SET graphmem.graph = 'wordnet'" \
	-c "ALTER DATABASE $DATABASE SET graphmem.private_memory_limit = '1GB'"

say "loading"
copy()
{
	/usr/bin/python3 test/demo/copy_in.py "$@"
}
copy "$files/sources.tsv" "glosses as sources" \
	"CREATE TEMP TABLE incoming (name text, kind text, content text)" \
	"COPY incoming FROM STDIN" \
	"INSERT INTO graphmem.sources (graph_id, name, kind, content)
	 SELECT graphmem.current_graph_id(), name, kind, content FROM incoming"
copy "$files/facts.tsv" "facts" \
	"COPY graphmem.facts (subject, predicate, object, source, subject_kind, object_kind) FROM STDIN"
# synsets without a pointer are in no fact
copy "$files/entities.tsv" "synsets" \
	"CREATE TEMP TABLE incoming (name text, kind text)" \
	"COPY incoming FROM STDIN" \
	"SELECT count(graphmem.add_entity(i.name, i.kind)) FROM incoming i
	 WHERE NOT EXISTS (SELECT FROM graphmem.entities e
		WHERE e.graph_id = graphmem.current_graph_id()
		AND graphmem.name_key(e.name, e.literal_type) = graphmem.name_key(i.name))"
copy "$files/vectors.tsv" "vectors" \
	"COPY graphmem.vectors (item, embedding) FROM STDIN"
db -c "VACUUM (ANALYZE)"

say "a session"
vector=$(/usr/bin/python3 test/demo/wordnet.py --query "$files" "$QUESTION")
db -v question="$QUESTION" -v vector="$vector" -f test/demo/session.sql 2>&1
[ -n "$KEEP" ] || "$BIN/pg_ctl" -D "$WORK/data" -m fast -w stop >/dev/null
