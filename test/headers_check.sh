#!/bin/sh
# Compiles the server's layers against the headers of other majors than the one
# at hand, taken from newer Debian releases on the machine's own mirror into a
# temporary directory.  Nothing is installed.
#
#	test/headers_check.sh [MAJOR...]	default: 17 18

set -u
cd "$(dirname "$0")/.." || exit 1
. test/lib/server.sh

gm_packages gcc libc6-dev libpq-dev
work=$(mktemp -d "${TMPDIR:-/tmp}/graphmem-headers.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT

# The mirror that serves the installed release's main section.
. /etc/os-release
mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' \
	'Created-By: Packages' | awk -v codename="${VERSION_CODENAME:-}" \
	'$2 == codename && $3 == "main" { print $1; exit }')
[ -n "$mirror" ] || gm_die "apt knows no mirror of this release; run apt-get update"

apt_tmp()			# SUITE APT-COMMAND...
{
	root=$work/$1
	mkdir -p "$root/lists/partial" "$root/cache/archives/partial" "$root/sources"
	touch "$root/status"
	echo "deb $mirror $1 main" >"$root/sources.list"
	shift
	(cd "$work" && "$@" -q -q -o Dir::Etc::sourcelist="$root/sources.list" \
		-o Dir::Etc::sourceparts="$root/sources" -o Dir::State::lists="$root/lists" \
		-o Dir::State::status="$root/status" -o Dir::Cache="$root/cache" \
		-o Acquire::Languages=none -o APT::Sandbox::User=root)
}

# what the newer release's C library declares, and its headers so leave out
echo 'extern __SIZE_TYPE__ strlcpy(char *, const char *, __SIZE_TYPE__);' >"$work/newer_libc.h"

failed=0
for major in ${*:-17 18}; do
	package=postgresql-server-dev-$major
	found=
	for suite in trixie trixie-backports forky sid; do
		apt_tmp $suite apt-get update >"$work/log" 2>&1 || continue
		if apt_tmp $suite apt-get download "$package" >>"$work/log" 2>&1; then
			found=$suite
			break
		fi
	done
	if [ -z "$found" ]; then
		echo "SKIP: $package is not on the mirror"
		tail -n 3 "$work/log"
		continue
	fi
	dpkg-deb -x "$work/${package}"_*.deb "$work/$major"
	headers=$work/$major/usr/include/postgresql/$major/server
	version=$(find "$headers" -name pg_config.h -exec sed -n 's/#define PG_VERSION "\(.*\)"/\1/p' {} +)
	errors=0
	for file in src/*.c src/api/*.c src/image/*.c src/shm/*.c src/worker/*.c; do
		[ -f "$file" ] || continue
		${CC:-cc} -std=gnu11 -O2 -fPIC -fno-strict-aliasing -fwrapv -Wall -Wextra -Werror \
			-Wdeclaration-after-statement -Wno-unused-parameter \
			-Wno-missing-field-initializers -Wno-sign-compare -D_GNU_SOURCE \
			-include "$work/newer_libc.h" -Isrc -I"$headers" -c -o "$work/out.o" "$file" || errors=$((errors + 1))
	done
	echo "PostgreSQL $version ($found): $errors files do not compile"
	failed=$((failed + errors))
done
[ $failed -eq 0 ]
