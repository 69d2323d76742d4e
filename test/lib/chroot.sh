# chroot.sh: a newer Debian in a directory, and commands inside it.  Sourced
# after server.sh; needs root.
#
#	gm_chroot_make DIR SUITE	the base system of SUITE, unless DIR has it
#	gm_chroot_install DIR NAME...	install packages in it
#	gm_chroot_run DIR CMD...	run CMD there, as root, in /
#
# Each command has its own mounts and processes (namespaces): when it ends, by
# whatever signal, the kernel takes both away, and DIR is a plain directory.

# The mirror that serves the installed release's main section.
gm_mirror()
{
	codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
	apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
		awk -v codename="$codename" '$2 == codename && $3 == "main" { print $1; exit }'
}

gm_chroot_run()
{
	chroot_dir=$1
	shift
	# shellcheck disable=SC2016 # for the inner shell
	unshare --mount --propagation private --pid --fork --kill-child sh -c '
		dir=$1
		shift
		mount -t proc proc "$dir/proc" &&
		mount -t tmpfs -o mode=1777 tmpfs "$dir/dev/shm" || exit 125
		exec chroot "$dir" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
			LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"' sh "$chroot_dir" "$@"
}

gm_chroot_make()
{
	dir=$1
	suite=$2
	[ "$(id -u)" -eq 0 ] || gm_die "a chroot is made by root only"
	[ ! -f "$dir/etc/made-by-graphmem" ] || return 0
	mirror=$(gm_mirror)
	[ -n "$mirror" ] || gm_die "apt knows no mirror of this release; run apt-get update"
	mkdir -p "$dir"
	gm_say "making a chroot of Debian $suite"
	unshare --mount --propagation private debootstrap --variant=minbase "$suite" "$dir" "$mirror" \
		>"$dir/debootstrap.log" 2>&1 || { tail -n 20 "$dir/debootstrap.log" >&2; return 1; }
	printf 'deb %s %s main\n' "$mirror" "$suite" >"$dir/etc/apt/sources.list"
	# how this machine reaches its mirror
	apt-config dump | grep -E '^Acquire::(https?|Retries|Check-Valid-Until|Check-Date)' \
		>"$dir/etc/apt/apt.conf.d/90machine" || true
	[ ! -f /etc/resolv.conf ] || cp -L /etc/resolv.conf "$dir/etc/resolv.conf"
	[ ! -f /etc/hosts ] || cp -L /etc/hosts "$dir/etc/hosts"
	mkdir -p "$dir/etc/postgresql-common/createcluster.d"
	echo "create_main_cluster = false" >"$dir/etc/postgresql-common/createcluster.d/none.conf"
	printf '#!/bin/sh\nexit 101\n' >"$dir/usr/sbin/policy-rc.d"
	chmod 755 "$dir/usr/sbin/policy-rc.d"
	gm_chroot_run "$dir" apt-get -q -y update >"$dir/apt.log" 2>&1 ||
		{ tail -n 20 "$dir/apt.log" >&2; return 1; }
	touch "$dir/etc/made-by-graphmem"
}

gm_chroot_install()
{
	dir=$1
	shift
	gm_say "installing in it: $*"
	gm_chroot_run "$dir" apt-get -q -y install --no-install-recommends "$@" >>"$dir/apt.log" 2>&1 ||
		{ tail -n 20 "$dir/apt.log" >&2; return 1; }
}
