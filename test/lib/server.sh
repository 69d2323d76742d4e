# server.sh: what the shell drivers of tests, demonstration and benchmark
# share.  Sourced, with the repository's root as working directory.
#
#	gm_packages NAME...		install the Debian packages that are missing
#	gm_find_server			sets PG_CONFIG and PG_MAJOR; installs a server if there is none
#	gm_work_dir				sets WORK, a directory that goes with all its servers at exit
#	gm_private_prefix		sets BIN: the server's programs in a private copy below WORK
#	gm_build [MAKE ARGS]	build the tree in the working directory, install it there
#	gm_as_user DIR CMD...	run CMD in DIR, as root as an unprivileged user
#
# The server derives the places of its libraries and data from that of its own
# program, so a copy of the programs and links to the rest make an installation
# that can be added to without touching the system's.

GM_MAJORS="18 17 16 15"

gm_say()
{
	printf '%s\n' "$*" >&2
}

gm_die()
{
	gm_say "$*"
	exit 1
}

gm_may_install()
{
	[ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null
}

gm_apt()
{
	as_root=
	[ "$(id -u)" -eq 0 ] || as_root="sudo -n"
	log=$(mktemp)
	if ! $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@" >"$log" 2>&1; then
		tail -n 20 "$log" >&2
		rm -f "$log"
		gm_die "apt-get $* failed"
	fi
	rm -f "$log"
}

gm_packages()
{
	missing=
	for package in "$@"; do
		case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) in
			"install ok installed") ;;
			*) missing="$missing $package" ;;
		esac
	done
	[ -n "$missing" ] || return 0
	gm_may_install || gm_die "missing packages, and no right to install them; run:
    sudo apt-get install$missing"
	gm_say "installing$missing"
	gm_apt update
	# shellcheck disable=SC2086 # a list of words
	gm_apt install --no-install-recommends $missing
}

# the newest major that the package archive offers, or nothing
gm_offered_major()
{
	for major in $GM_MAJORS; do
		if [ -n "$(apt-cache search --names-only "^postgresql-server-dev-$major\$" 2>/dev/null)" ]; then
			echo "$major"
			return
		fi
	done
}

# The newest installed major with headers, else the newest with a server, else
# the newest that the package archive offers.
gm_find_server()
{
	if [ -n "${PG_CONFIG:-}" ]; then
		PG_CONFIG=$(command -v "$PG_CONFIG") || gm_die "PG_CONFIG does not name a program"
	else
		PG_MAJOR=
		for major in $GM_MAJORS; do
			dir=/usr/lib/postgresql/$major
			if [ -x $dir/bin/postgres ] && [ -f $dir/lib/pgxs/src/makefiles/pgxs.mk ]; then
				PG_MAJOR=$major
				break
			fi
		done
		for major in $GM_MAJORS; do
			[ -z "$PG_MAJOR" ] || break
			[ ! -x /usr/lib/postgresql/$major/bin/postgres ] || PG_MAJOR=$major
		done
		if [ -z "$PG_MAJOR" ]; then
			PG_MAJOR=$(gm_offered_major)
			if [ -z "$PG_MAJOR" ] && gm_may_install; then
				gm_apt update		# a new machine has no lists
				PG_MAJOR=$(gm_offered_major)
			fi
		fi
		[ -n "$PG_MAJOR" ] || gm_die "no PostgreSQL from 15 to 18 is installed or can be installed"
		gm_packages "postgresql-$PG_MAJOR" "postgresql-server-dev-$PG_MAJOR"
		PG_CONFIG=/usr/lib/postgresql/$PG_MAJOR/bin/pg_config
	fi
	PG_MAJOR=$("$PG_CONFIG" --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/')
}

gm_stop_servers()
{
	find "$WORK" -name postmaster.pid -type f 2>/dev/null | while read -r file; do
		pid=$(head -n 1 "$file" 2>/dev/null)
		[ -n "$pid" ] || continue
		kill -INT "$pid" 2>/dev/null || continue
		for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
			[ -e "$file" ] || break
			sleep 0.1
		done
		[ ! -e "$file" ] || kill -QUIT "$pid" 2>/dev/null
	done
}

gm_leave()
{
	status=$?
	trap - EXIT INT TERM HUP
	gm_stop_servers
	cd / && rm -rf "$WORK"
	exit $status
}

gm_work_dir()
{
	WORK=$(mktemp -d "${TMPDIR:-/tmp}/graphmem.XXXXXX") || exit 1
	WORK=$(cd "$WORK" && pwd -P)
	chmod 755 "$WORK"
	trap gm_leave EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
}

# $1 and $2 to their longest common directory
gm_common_dir()
{
	a=$1
	while :; do
		case $2/ in
			"$a"/*) break ;;
		esac
		a=${a%/*}
	done
	printf '%s' "$a"
}

gm_private_prefix()
{
	bindir=$("$PG_CONFIG" --bindir)
	root=$bindir
	for what in --pkglibdir --sharedir --includedir; do
		root=$(gm_common_dir "$root" "$("$PG_CONFIG" $what)")
	done
	prefix=$WORK/server
	BIN=$prefix${bindir#"$root"}
	mkdir -p "${BIN%/*}"
	cp -rL "$bindir" "$BIN"
	for what in --pkglibdir --sharedir --includedir; do
		from=$("$PG_CONFIG" $what)
		to=$prefix${from#"$root"}
		mkdir -p "${to%/*}"
		cp -rs "$from" "$to"
	done
	[ "$("$BIN/pg_config" --pkglibdir)" != "$("$PG_CONFIG" --pkglibdir)" ] ||
		gm_die "the server at $bindir cannot be relocated"
}

# Output is shown only when the build fails.
gm_build()
{
	if ! make -s -j2 install PG_CONFIG="$BIN/pg_config" "$@" >"$WORK/build.log" 2>&1; then
		grep -v '^/usr/bin/mkdir\|^/usr/bin/install' "$WORK/build.log" | tail -n 40 >&2
		return 1
	fi
}

# The tree as it stands, without what was built in it.
gm_copy_tree()
{
	mkdir -p "$1"
	tar -cf - --exclude=./.git --exclude=./build --exclude='*.o' --exclude='*.so' \
		--exclude='*.bc' --exclude='./tmp_check*' . | tar -xf - -C "$1"
}

# postgres where it exists, since that is who runs servers on Debian
gm_unprivileged()
{
	if id postgres >/dev/null 2>&1; then
		echo postgres
	else
		echo nobody
	fi
}

gm_as_user()
{
	dir=$1
	shift
	if [ "$(id -u)" -ne 0 ]; then
		(cd "$dir" && "$@")
		return
	fi
	user=$(gm_unprivileged)
	chown -R "$user" "$WORK"
	(cd "$dir" && HOME=$WORK runuser -u "$user" -- "$@")
}

# gm_measure SETTING PROGRAM ARG...: a server for measuring, with one more setting,
# and the program of test/bench that asks it; ends as that does.
gm_measure()
{
	setting=$1
	program=$2
	shift 2
	printf '\n== starting a server in %s\n' "$WORK"
	"$BIN/initdb" -D "$WORK/data" -U graphmem -A trust --no-sync -E UTF8 \
		--locale=C.UTF-8 >"$WORK/initdb.log" 2>&1 || { cat "$WORK/initdb.log"; exit 1; }
	# An eighth of the machine's memory, 2 GB at most; pgvector reads its index in there.
	buffers=$(awk '/^MemTotal/ { mb = $2 / 8192; print int(mb < 2048 ? mb : 2048) }' /proc/meminfo)
	# Autovacuum would work in the middle of a measurement, and its transactions
	# would make sessions load their images again.
	cat >>"$WORK/data/postgresql.conf" <<-CONF
		listen_addresses = ''
		unix_socket_directories = '$WORK'
		unix_socket_permissions = 0700
		shared_buffers = ${buffers}MB
		max_wal_size = 16GB
		checkpoint_timeout = 1h
		fsync = off
		autovacuum = off
		max_parallel_workers_per_gather = 0
		jit = off
		graphmem.memory_limit = 0
		$setting
	CONF
	"$BIN/pg_ctl" -D "$WORK/data" -l "$WORK/server.log" -w start >/dev/null ||
		{ cat "$WORK/server.log"; exit 1; }
	status=0
	RESULTS="$WORK/results" PGHOST="$WORK" PGUSER=graphmem /usr/bin/python3 "$program" "$@" || status=$?
	[ $status -eq 0 ] || tail -n 20 "$WORK/server.log" >&2
	"$BIN/pg_ctl" -D "$WORK/data" -m immediate -w stop >/dev/null
	exit $status
}
