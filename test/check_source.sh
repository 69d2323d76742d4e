#!/bin/sh
# Rules that the sources keep, as TAP.
#
#	test/check_source.sh				what can be read in the files
#	test/check_source.sh graphmem.so	what can be read in the modules
#
# A rule fails with the lines that break it.

cd "$(dirname "$0")/.." || exit 2
LC_ALL=C
export LC_ALL

# rule DESCRIPTION: passes when standard input is empty
rule()
{
	lines=$(cat)
	if [ -z "$lines" ]; then
		echo "ok - $1"
	else
		echo "not ok - $1"
		printf '%s\n' "$lines" | sed 's/^/#   /'
	fi
}

# TAP's numbers and plan, and the exit status
numbered()
{
	awk '/^(not )?ok - / { n++; bad += /^not/; sub(/ok -/, "ok " n " -") }
		{ print }
		END { print "1.." n; exit bad > 0 }'
}

sql_entry_points()
{
	grep -ho "'graphmem_[a-z0-9_]*'" graphmem--*.sql | tr -d "'" | sort -u
}

# BLAS and LAPACK by the name of its own library only: what alternatives make of
# libblas may start threads, and gives other results
check_compute_module()
{
	nm -D --defined-only "$1" | awk '{print $3}' |
		grep -Ev '^(Pg_magic_func|graphmem_compute_api)$' |
		rule "the module that computes exports its table only"
	{
		nm -D --defined-only "$1" | awk '{print $3}' | grep -qx graphmem_compute_api ||
			echo graphmem_compute_api
	} | rule "and that it does export"
	readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' |
		grep -E '^lib(blas|cblas|lapack|lapacke)\.' |
		rule "it takes BLAS and LAPACK from OpenBLAS"
	readelf -d "$2" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -E 'blas|lapack|gomp' |
		rule "the other module needs no OpenBLAS"
}

check_module()
{
	nm -D --defined-only "$1" | awk '{print $3}' |
		grep -Ev '^(Pg_magic_func|_PG_init|pg_finfo_graphmem_[a-z0-9_]+|graphmem_[a-z0-9_]+)$' |
		rule "the module exports its entry points only"
	for symbol in $(sql_entry_points); do
		nm -D --defined-only "$1" | awk '{print $3}' |
			grep -qx "pg_finfo_$symbol" || echo "$symbol"
	done | rule "every function of the script is in the module"
	# stop points are test builds' own: tests create their functions
	for symbol in $(nm -D --defined-only "$1" | awk '{print $3}' |
		sed -n 's/^pg_finfo_//p' | grep -vx 'graphmem_stop_point\|graphmem_stopped'); do
		sql_entry_points | grep -qx "$symbol" || echo "$symbol"
	done | rule "every entry point of the module is in the script"
}

# Directories of src/ and what each may include besides itself and, above
# core/, the files of src/ itself.
allowed()
{
	case $1 in
		core) echo core ;;
		compute) echo "compute core" ;;
		shm) echo "shm core top" ;;
		image) echo "image shm core top" ;;
		worker) echo "worker image shm compute core top" ;;
		api) echo "api worker image shm compute core top" ;;
		top) echo "core top" ;;
		entry) echo "api worker image shm core top" ;;
	esac
}

check_files()
{
	all_sources=$(find src -name '*.[ch]' | sort)
	core_sources=$(find src/core -name '*.[ch]' | sort)
	text_files=$(find . -path ./.git -prune -o -path ./build -prune -o -type f \
		\( -name '*.[ch]' -o -name '*.sql' -o -name '*.sh' -o -name '*.pl' -o -name '*.pm' \
		-o -name '*.py' -o -name '*.spec' -o -name '*.md' -o -name Makefile -o -name '*.control' \) \
		-print | sort)

	for file in $all_sources; do
		layer=$(echo "$file" | cut -d/ -f2)
		case $file in
			src/graphmem.c) layer=entry ;;
			src/*/*) ;;
			*) layer=top ;;
		esac
		grep -n '^#[[:space:]]*include "' "$file" | while IFS= read -r line; do
			header=$(echo "$line" | sed 's/^[^"]*"\([^"]*\)".*/\1/')
			[ -f "src/$header" ] || continue
			case $header in
				*/*) target=${header%%/*} ;;
				*) target=top ;;
			esac
			case " $(allowed "$layer") " in
				*" $target "*) ;;
				*) echo "$file:$line" ;;
			esac
		done
	done | rule "includes point one way: api, worker -> image, shm -> core, compute -> core"

	grep -n '^#[[:space:]]*include "' $core_sources | grep -v 'include "core/' |
		rule "core includes libc and core only"
	grep -nE '\b(ereport|elog|palloc0?|pfree|Assert|CHECK_FOR_INTERRUPTS|fprintf|printf|abort|exit) *\(' $core_sources |
		grep -v '^[^:]*:[0-9]*:[[:space:]]*\*' |
		rule "core neither reports nor ends the process"
	grep -n 'include "core/' $core_sources | grep -v '"core/[a-z0-9_]*\.h"' |
		rule "core has no directories below it"
	grep -ln 'PG_VERSION_NUM' $all_sources | grep -v '^src/compat\.h$' |
		rule "compat.h alone asks for the server's version"
	grep -n 'include "postgres\.h"' $(find src -name '*.h') |
		rule "no header includes postgres.h"
	for file in $(echo "$all_sources" | grep '\.c$' | grep -v '^src/\(core\|compute\)/'); do
		[ "$(sed -n 's/^#[[:space:]]*include[[:space:]]*//p' "$file" | head -n 1)" = '"postgres.h"' ] ||
			echo "$file"
	done | rule "every file above core includes postgres.h first"
	for file in $(find src test/unit -name '*.h'); do
		grep -q '^#ifndef GM_[A-Z0-9_]*_H$' "$file" || echo "$file"
	done | grep -v '/\(stop_points\|calls\)\.h$' | rule "every header has its guard"
	for file in $all_sources; do
		sed -n 3p "$file" | grep -qx " \* $(basename "$file")" || echo "$file"
	done | rule "every file begins with its name and purpose"
	# these look for the operator = by its bare name; import_age has a search_path of its own
	grep -nE '"[^"]*(CASE [a-z_.]+ WHEN|\bNULLIF *\(| IS (NOT )?DISTINCT FROM| IN \(| BETWEEN |\bJOIN .* USING *\()' \
		$(echo "$all_sources" | grep '\.c$' | grep -v '^src/api/fn_import\.c$') |
		rule "no statement finds an operator by search_path"
	grep -nE '\b(T[O]DO|F[I]XME|X[X]X)\b' $text_files |
		rule "no unfinished business"
	grep -nE '(^|[^A-Za-z0-9._-])/(work|home|tmp/dev)/' $text_files |
		rule "no path of one machine"
	grep -n '[[:space:]]$' $text_files | grep -v '^\./expected/\|^\./test/expected/' |
		rule "no blanks at the ends of lines"
	grep -nP '^ {4}' $(find src test/unit -name '*.[ch]') |
		rule "C is indented by tabs"
	for file in sql/*.sql test/specs/*.spec; do
		[ -f "$file" ] || continue
		name=$(basename "$file")
		name=${name%.*}
		case $file in
			sql/*) [ -f "expected/$name.out" ] ;;
			*) [ -f "test/expected/$name.out" ] ;;
		esac || echo "$file"
	done | rule "every test has its expected output"
}

if [ $# -gt 0 ]; then
	{ check_module "$1"; check_compute_module "$(dirname "$1")/graphmem_compute.so" "$1"; } | numbered
else
	check_files | numbered
fi
