# graphmem: build, tests and demonstration
#
#	make, make install		build and install against $(PG_CONFIG)
#	make check				every test, on a private server; installs what is missing
#	make unit [SAN=...]		unit tests of src/core, without a server
#	make demo [KEEP=1]		WordNet in a throw-away server, with a short session
#	make bench [QUICK=1] [PEERS=1] [UPDATE=1]	measured claims, beside rivals;
#							no part of pass or fail
#	make bench-vector [QUICK=1] [PEERS=1]	vector search beside hnswlib and pgvector
#	make bench-time [QUICK=1]	answers about other times, replay, what history costs
#	make bench-quality [QUICK=1]	what embeddings are worth, and cost
#	make torture [MINUTES=30]	crashes and disturbances under writers and readers
#	make fuzz [MINUTES=6]	a coverage-guided fuzzer over every decoder of bytes and text
#	make headers-check		compile against the headers of newer majors

MODULE_big = graphmem
EXTENSION = graphmem
EXTVERSION = $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" graphmem.control)
DATA = $(sort $(wildcard graphmem--*.sql))
PGFILEDESC = "graphmem - graph memory in PostgreSQL"

CORE_SRCS = $(sort $(wildcard src/core/*.c))
# A module of its own, since OpenBLAS would start threads in whatever loads it;
# what needs no OpenBLAS is in both.
COMPUTE_SRCS = $(sort $(wildcard src/compute/*.c))
PLAIN_COMPUTE_SRCS = src/compute/csr.c src/compute/options.c
COMPUTE_ENTRY = src/graphmem_compute.c
SERVER_SRCS = $(filter-out $(COMPUTE_ENTRY),$(sort $(wildcard src/*.c src/api/*.c src/image/*.c \
	src/shm/*.c src/worker/*.c)))
INCLUDED = $(wildcard src/*.h src/*/*.h)
CORE_OBJS = $(CORE_SRCS:.c=.o)
COMPUTE_OBJS = $(COMPUTE_SRCS:.c=.o)
COMPUTE_ENTRY_OBJ = $(COMPUTE_ENTRY:.c=.o)
# of core/, what compute/ uses
COMPUTE_CORE_OBJS = $(filter src/core/hash.o src/core/vec_%.o src/core/code%.o,$(CORE_OBJS))
OBJS = $(CORE_OBJS) $(PLAIN_COMPUTE_SRCS:.c=.o) $(SERVER_SRCS:.c=.o)

# make valgrind lowers it, for true line numbers
CORE_OPTIMIZE = -O3
WARNINGS = -Wall -Wextra -Werror -Wdeclaration-after-statement \
	-Wno-unused-parameter -Wno-missing-field-initializers

PG_CPPFLAGS = -Isrc
# The server's own headers compare signed with unsigned.
PG_CFLAGS = -std=gnu11 $(WARNINGS) -Wno-sign-compare
# Version 15 declares entry points without visibility, so the linker hides the
# rest; one list serves every major.
SHLIB_LINK = -Wl,--version-script=src/graphmem.map -lm

# Bitcode would let the server inline these functions into expressions; none
# is small enough for that to pay.
override with_llvm = no

# The server for installcheck must have pg_trgm; both suites find the extension
# created.
TEST_EXTENSIONS = --load-extension=pg_trgm --load-extension=graphmem
REGRESS = $(patsubst sql/%.sql,%,$(sort $(wildcard sql/*.sql)))
REGRESS_OPTS = --inputdir=. $(TEST_EXTENSIONS)
ISOLATION = $(patsubst test/specs/%.spec,%,$(sort $(wildcard test/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test --outputdir=output_iso $(TEST_EXTENSIONS)

# OpenBLAS itself, not what alternatives make of libblas and liblapack: its
# headers have a directory of their own, whose name tells the build's threads,
# and LAPACKE's library would bring the alternatives along unless it is linked in.
BLAS_CFLAGS = $(addprefix -I,$(firstword $(wildcard /usr/include/*/openblas-pthread \
	/usr/include/*/openblas-*)))
BLAS_HEADERS = cblas.h lapacke.h
BLAS_LIBS = $(firstword $(wildcard $(shell $(CC) -print-file-name=liblapacke.a)) -llapacke) -lopenblas
COMPUTE_MODULE = graphmem_compute$(DLSUFFIX)

EXTRA_CLEAN = $(COMPUTE_OBJS) $(COMPUTE_ENTRY_OBJ) $(COMPUTE_MODULE) build tmp_check tmp_check_iso output_iso results

# Targets that need no installed server headers come without PGXS, whose own
# "check" would take the name.
OWN_TARGETS = check check-source unit unit-programs topology-core list-regress list-isolation demo \
	bench bench-vector bench-time bench-quality torture sqlsmith valgrind fuzz fuzz-programs headers-check
PG_CONFIG ?= pg_config

ifneq ($(if $(MAKECMDGOALS),$(filter-out $(OWN_TARGETS),$(MAKECMDGOALS)),all),)
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
ifeq ($(wildcard $(PGXS)),)
$(error the server headers are missing (Debian: postgresql-server-dev-15 or later); "make check" and "make demo" install them)
endif
include $(PGXS)

all: $(COMPUTE_MODULE)
install: install-compute
uninstall: uninstall-compute

$(OBJS) $(COMPUTE_OBJS) $(COMPUTE_ENTRY_OBJ): $(INCLUDED)
# without the server's include path: core/ cannot come to depend on it
$(CORE_OBJS): override CPPFLAGS := -Isrc
$(COMPUTE_OBJS): override CPPFLAGS := -Isrc $(BLAS_CFLAGS)
$(CORE_OBJS) $(COMPUTE_OBJS): override CFLAGS += $(CORE_OPTIMIZE) -fvisibility=hidden -Wsign-compare
$(COMPUTE_OBJS): | blas-headers
$(shlib): src/graphmem.map

$(COMPUTE_MODULE): $(COMPUTE_OBJS) $(COMPUTE_ENTRY_OBJ) $(COMPUTE_CORE_OBJS) src/graphmem_compute.map
	$(CC) $(CFLAGS) $(filter %.o,$^) $(LDFLAGS) $(LDFLAGS_SL) -shared -o $@ \
		-Wl,--version-script=src/graphmem_compute.map -Wl,--no-undefined $(BLAS_LIBS) -lm

blas-headers:
	@for header in $(BLAS_HEADERS); do \
		echo "#include <$$header>" | $(CC) $(CPPFLAGS) $(BLAS_CFLAGS) -E -o /dev/null - 2>/dev/null || \
		{ echo "the headers of OpenBLAS or LAPACKE are missing (Debian: libopenblas-dev, liblapacke-dev)" >&2; \
		exit 1; }; \
	done

install-compute: $(COMPUTE_MODULE)
	$(MKDIR_P) '$(DESTDIR)$(pkglibdir)'
	$(INSTALL_SHLIB) $(COMPUTE_MODULE) '$(DESTDIR)$(pkglibdir)/$(COMPUTE_MODULE)'

uninstall-compute:
	rm -f '$(DESTDIR)$(pkglibdir)/$(COMPUTE_MODULE)'

.PHONY: blas-headers install-compute uninstall-compute
else
check:
	@exec test/run.sh
endif

check-source:
	@exec test/check_source.sh

demo:
	@KEEP='$(KEEP)' exec test/demo/run.sh

bench:
	@exec test/bench/run.sh

bench-vector:
	@exec test/bench/vector.sh

bench-time:
	@exec test/bench/time.sh

bench-quality:
	@exec test/bench/quality.sh

torture:
	@MINUTES='$(MINUTES)' exec test/torture/run.sh

sqlsmith:
	@QUERIES='$(QUERIES)' exec test/sqlsmith/run.sh

valgrind:
	@TESTS='$(TESTS)' exec test/valgrind/run.sh

fuzz:
	@MINUTES='$(MINUTES)' exec test/fuzz/run.sh

headers-check:
	@exec test/headers_check.sh

list-regress:
	@echo $(REGRESS)

list-isolation:
	@echo $(ISOLATION)

# ---- unit tests: the core as a static library, a program per test file ----
# SAN takes what -fsanitize= takes; each choice has its own directory.

comma = ,
UNIT_DIR = build/unit$(if $(SAN),-$(subst $(comma),-,$(SAN)))
UNIT_CFLAGS = -std=gnu11 -O2 -g $(WARNINGS) -fno-strict-aliasing -pthread \
	$(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer) \
	$(if $(findstring thread,$(SAN)),-Wno-tsan)
UNIT_OBJS = $(CORE_SRCS:src/core/%.c=$(UNIT_DIR)/core/%.o)
UNIT_TESTS = $(patsubst test/unit/%.c,$(UNIT_DIR)/%,$(sort $(wildcard test/unit/test_*.c)))
UNIT_COMPUTE_OBJS = $(COMPUTE_SRCS:src/compute/%.c=$(UNIT_DIR)/compute/%.o)
UNIT_COMPUTE_TESTS = $(filter $(UNIT_DIR)/test_topology%,$(UNIT_TESTS))
UNIT_RUNS = $(UNIT_TESTS:=.run)

unit: $(UNIT_RUNS)

unit-programs: $(UNIT_TESTS)

$(UNIT_OBJS): $(UNIT_DIR)/core/%.o: src/core/%.c $(INCLUDED)
	@mkdir -p $(@D)
	$(CC) $(UNIT_CFLAGS) -Isrc -c -o $@ $<

$(UNIT_DIR)/libcore.a: $(UNIT_OBJS)
	@rm -f $@
	$(AR) rcs $@ $^

$(UNIT_COMPUTE_OBJS): $(UNIT_DIR)/compute/%.o: src/compute/%.c $(INCLUDED)
	@mkdir -p $(@D)
	$(CC) $(UNIT_CFLAGS) $(BLAS_CFLAGS) -Wsign-compare -Isrc -c -o $@ $<

$(UNIT_DIR)/libcompute.a: $(UNIT_COMPUTE_OBJS)
	@rm -f $@
	$(AR) rcs $@ $^

$(UNIT_COMPUTE_TESTS): $(UNIT_DIR)/%: test/unit/%.c $(wildcard test/unit/*.h) \
		$(UNIT_DIR)/libcompute.a $(UNIT_DIR)/libcore.a
	$(CC) $(UNIT_CFLAGS) $(BLAS_CFLAGS) -Isrc -Itest/unit -o $@ $< \
		$(UNIT_DIR)/libcompute.a $(UNIT_DIR)/libcore.a $(BLAS_LIBS) -lm

$(filter-out $(UNIT_COMPUTE_TESTS),$(UNIT_TESTS)): $(UNIT_DIR)/%: test/unit/%.c $(wildcard test/unit/*.h) $(UNIT_DIR)/libcore.a
	$(CC) $(UNIT_CFLAGS) -Isrc -Itest/unit -o $@ $< $(UNIT_DIR)/libcore.a -lm

$(UNIT_RUNS): %.run: %
	$<

# ---- embeddings in process, for measurements: optimized as the core is ----

TOPOLOGY_SRCS = test/bench/topology_core.c $(COMPUTE_SRCS) $(CORE_SRCS)

topology-core: build/topology_core

build/topology_core: $(TOPOLOGY_SRCS) $(INCLUDED) test/unit/teams.h
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(CORE_OPTIMIZE) -g $(WARNINGS) -fno-strict-aliasing -pthread \
		$(BLAS_CFLAGS) -Isrc -Itest/unit -o $@ $(TOPOLOGY_SRCS) $(BLAS_LIBS) -lm

# ---- fuzz targets: clang's libFuzzer, the core built with its counters ----
# fuzz_queue takes a file of shm/ besides, and headers of the server for it.

FUZZ_DIR = build/fuzz-programs
FUZZ_CC = clang
FUZZ_SAN = address,undefined
FUZZ_CFLAGS = -std=gnu11 -O1 -g $(WARNINGS) -fno-strict-aliasing -fno-omit-frame-pointer \
	-fno-sanitize-recover=all -Isrc -Itest/unit
FUZZ_OBJS = $(CORE_SRCS:src/core/%.c=$(FUZZ_DIR)/core/%.o)
FUZZ_TARGETS = $(patsubst test/fuzz/%.c,$(FUZZ_DIR)/%,$(sort $(wildcard test/fuzz/fuzz_*.c)))

fuzz-programs: $(FUZZ_TARGETS)

$(FUZZ_OBJS): $(FUZZ_DIR)/core/%.o: src/core/%.c $(INCLUDED)
	@mkdir -p $(@D)
	$(FUZZ_CC) $(FUZZ_CFLAGS) -fsanitize=fuzzer-no-link,$(FUZZ_SAN) -c -o $@ $<

$(FUZZ_DIR)/fuzz_queue: override FUZZ_CFLAGS += -Wno-sign-compare \
	-isystem $(shell $(PG_CONFIG) --includedir-server 2>/dev/null) src/shm/queue.c
$(FUZZ_DIR)/fuzz_queue: src/shm/queue.c

$(FUZZ_TARGETS): $(FUZZ_DIR)/%: test/fuzz/%.c test/fuzz/fuzz.h $(wildcard test/unit/*.h) $(FUZZ_OBJS)
	$(FUZZ_CC) $(FUZZ_CFLAGS) -fsanitize=fuzzer,$(FUZZ_SAN) -o $@ $< $(FUZZ_OBJS) -lm

.PHONY: $(OWN_TARGETS) $(UNIT_RUNS)
