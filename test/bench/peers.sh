#!/bin/sh
# The benchmark beside Apache AGE and pgvector, which Debian packages for newer
# servers than the installed one: in a chroot of a newer release that this
# script makes, with graphmem built there too.  Needs root; leaves nothing.
#
#	test/bench/peers.sh [SECTION...]		run.sh with the peers beside it (graph vectors fusion)
#	test/bench/peers.sh --vector [SECTION...]	vector.sh with pgvector beside it
#	test/bench/peers.sh --check [STAGE...]	test/run.sh there: the tests on that server
#
# Settings, from the environment, besides those of run.sh:
#	SUITE	sid (PostgreSQL 18), trixie (17)
#	CHROOT	a directory for the chroot, kept and used again; else a temporary one

set -eu
cd "$(dirname "$0")/../.." || exit 1
. test/lib/server.sh
. test/lib/chroot.sh

[ "$(id -u)" -eq 0 ] || gm_die "peers are measured in a chroot, which only root can make"
DATA=${DATA:-../shared/data}
gm_packages debootstrap
gm_work_dir
ROOT=${CHROOT:-$WORK/root}

# Servers run in the chroot alone and end with their namespace: the process ids
# that they leave in files are not this machine's.
gm_stop_servers()
{
	:
}

gm_chroot_make "$ROOT" "${SUITE:-sid}" || gm_die "could not make the chroot"

major=$(gm_chroot_run "$ROOT" apt-cache pkgnames postgresql- | sed -n 's/^postgresql-\([0-9]*\)-age$/\1/p' |
	sort -rn | while read -r m; do
		! gm_chroot_run "$ROOT" apt-cache pkgnames "postgresql-$m-pgvector" | grep -qx "postgresql-$m-pgvector" || { echo "$m"; break; }
	done)
[ -n "$major" ] || gm_die "${SUITE:-sid} has no server with both Apache AGE and pgvector"
gm_chroot_install "$ROOT" gcc g++ libc6-dev liblapacke-dev libopenblas-dev libxxhash-dev make perl binutils libipc-run-perl wordnet-base \
	libhnswlib-dev libpq-dev python3-networkx python3-numpy python3-scipy python3-psycopg2 python3-matplotlib \
	"postgresql-$major" "postgresql-server-dev-$major" "postgresql-$major-age" \
	"postgresql-$major-pgvector" || gm_die "could not install the peers"

rm -rf "$ROOT/srv/graphmem" "$ROOT/srv/shared"
gm_copy_tree "$ROOT/srv/graphmem"
if [ "${1:-}" = --check ]; then
	shift
	status=0
	gm_chroot_run "$ROOT" env PG_CONFIG="/usr/lib/postgresql/$major/bin/pg_config" \
		/srv/graphmem/test/run.sh "$@" || status=$?
	exit $status
fi
if [ "${1:-}" = --vector ]; then
	shift
	gm_chroot_run "$ROOT" env PG_CONFIG="/usr/lib/postgresql/$major/bin/pg_config" QUICK="${QUICK:-}" \
		SETS="${SETS:-}" /srv/graphmem/test/bench/vector.sh "$@"
	mkdir -p build/bench
	cp "$ROOT"/srv/graphmem/build/bench/vector.* build/bench/
	exit
fi
if [ -d "$DATA" ]; then
	mkdir -p "$ROOT/srv/shared"
	cp -rL "$DATA" "$ROOT/srv/shared/data"
fi
[ $# -gt 0 ] || set -- graph vectors fusion
gm_chroot_run "$ROOT" env PG_CONFIG="/usr/lib/postgresql/$major/bin/pg_config" QUICK="${QUICK:-}" \
	SCALE="${SCALE:-}" EDGES="${EDGES:-}" ROWS="${ROWS:-}" NAMES="${NAMES:-}" SCALES="${SCALES:-}" \
	/srv/graphmem/test/bench/run.sh "$@"
mkdir -p build/bench
cp "$ROOT"/srv/graphmem/build/bench/results.* build/bench/
[ -z "${UPDATE:-}" ] || test/bench/update.sh
