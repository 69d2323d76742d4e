#!/usr/bin/env python3
"""Approximate vector search through SQL beside hnswlib in process and pgvector.

    vector.py [SECTION...]      core, search, batch, clients, restart, inserts

Started by vector.sh, on whose server it works; settings are described there.
Recall is recall@10 against exact answers.  At a recall between two measured
ones a time is interpolated, its logarithm over that of what is missed.  Of
several rounds, in which the rivals take turns, the fastest counts.
"""

import collections
import json
import math
import os
import subprocess
import sys
import threading
import time

import measure
import rivals
import vector_sets
from measure import Session, say

QUICK = bool(os.environ.get("QUICK"))
WORK = os.environ["WORK"]
M = 16
EF_CONSTRUCTION = 200
EF_INSERTS = 64
K = 10
ROUNDS = 1 if QUICK else 3
EFFORTS = (10, 14, 20, 28, 40, 56, 72, 100, 140, 200, 280, 400, 560, 800, 1130, 1600)
EQUAL_EFFORT = 100              # where recall-for-ef is compared
MOST_PGVECTOR = 1000            # its hnsw.ef_search
RECALLS = (0.95, 0.99)
SINGLE_ROWS, BATCH_ROWS, AT_ONCE = (1000, 3000, 100) if QUICK else (10000, 40000, 100)
PATIENCE = 180                  # seconds in which an index must come on

TARGET_HNSWLIB = {"wordnet": (2.0, 2.0), "synth": (1.2, 1.2)}
TARGET_PGVECTOR = {"wordnet": (5.0, 8.0), "synth": (8.0, 8.0)}
TARGET_BUILD, TARGET_TWO = 0.5, 1.7
TARGET_INSERTS, TARGET_RECALL_LOST = 5000.0, 0.01
TARGET_MEMORY, TARGET_CLIENTS, TARGET_FIRST_MS, TARGET_START_S = 1.15, 1.1, 20.0, 5.0

HNSWLIB, CORE, SQL, PGVECTOR = "hnswlib in process", "graphmem in process", "graphmem, SQL", "pgvector"

SEARCH = "SELECT item_id FROM graphmem.vector_search(%%s, %d, space => 'v', ef_search => $2)" % K
# the vector as bytes is the cheapest parameter, as pgvector's own type is the cheapest for it
SEARCHES = {form: "search %s %s" % (form, SEARCH % value)
            for form, value in (("bytea", "graphmem.to_vector($1)"), ("real[]", "$1"))}
SEARCH_EXACT = "SELECT item_id FROM graphmem.vector_search($1, %d, space => 'v', exact => true)" % K
SEARCH_BATCH = "SELECT query_no, item_id FROM graphmem.vector_search_batch($1, %d, space => 'v'%%s)" % K


def at(name):
    return os.path.join(WORK, name)


# ---- programs that take commands ----

class Program:
    """One of the programs of vector.h."""

    def __init__(self, *words):
        self.process = subprocess.Popen([str(w) for w in words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("%s ended" % self.process.args[0])
        return {name: float(value) for name, value in (word.split("=") for word in line.split())}

    def tell(self, command, *values):
        self.process.stdin.write((command % values if values else command) + "\n")
        self.process.stdin.flush()

    def ask(self, command, *values):
        self.tell(command, *values)
        return self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


def in_process(program, chosen):
    return Program(at(program), *files(chosen), chosen.metric, M, EF_CONSTRUCTION, chosen.rows)


def files(chosen, truth="truth"):
    return [at("sets/%s.%s" % (chosen.name, kind)) for kind in ("base", "queries", truth)]


def client(chosen, truth="truth"):
    program = Program(at("vector_client"), "dbname=" + database(chosen), *files(chosen, truth))
    # a statement is planned once, whatever its parameter
    program.ask("do SET plan_cache_mode = force_generic_plan")
    return program


def database(chosen):
    return "bench_" + chosen.name


def searching(chosen, truth="truth"):
    program = client(chosen, truth)
    program.ask(SEARCHES["bytea"])
    return program


# ---- CPU of the server's processes ----

def stat_fields(pid):
    with open("/proc/%d/stat" % pid) as file:
        return file.read().rsplit(")", 1)[1].split()


def postmaster():
    with open(at("data/postmaster.pid")) as file:
        return int(file.readline())


def graphmem_cpu():
    """Seconds of the workers of all databases and of the processes that have
    ended since the server began, so that a difference counts a helper that has
    come and gone."""
    parent = postmaster()
    fields = stat_fields(parent)
    seconds = (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            if int(stat_fields(int(name))[1]) != parent:
                continue
            with open("/proc/%s/cmdline" % name) as file:
                title = file.read()
            # a session's title has the role, graphmem, too
            if title.startswith("postgres: graphmem ") and "[local]" not in title:
                with open("/proc/%s/schedstat" % name) as file:
                    seconds += int(file.read().split()[0]) / 1e9
        except OSError:
            pass                # it has ended
    return seconds


# ---- the index ----

Build = collections.namedtuple("Build", "cpu wall")


def state(session):
    """Of the one space: a dict of stat_vector's columns."""
    rows = session.run("SELECT row_to_json(s) FROM graphmem.stat_vector AS s WHERE space = 'v'")
    return rows[0][0] if rows else {}


def indexed(now, rows):
    return now.get("rows") == rows and now.get("indexed") == rows and now.get("pending") == 0


def wait_for_index(session, rows, but=None):
    """Until every row has its node, in an index whose build_time is not but;
    wall time of the moment."""
    last, since = None, time.perf_counter()
    while True:
        now = state(session)
        if indexed(now, rows) and now.get("build_time") != (but or 0):
            return time.perf_counter()
        if now.get("indexed") != last:
            last, since = now.get("indexed"), time.perf_counter()
        elif time.perf_counter() - since > PATIENCE:
            raise RuntimeError("the index does not come on: %s" % now)
        time.sleep(0.01)


def set_server(session, name, value):
    session.run("ALTER SYSTEM SET %s = %s" % (name, value))
    session.run("SELECT pg_reload_conf()")
    time.sleep(0.3)


def load_shared(session):
    session.run("SET graphmem.sync_timeout = '30 min'")
    query = "SELECT count(*) FROM graphmem.vector_search((SELECT embedding FROM graphmem.embeddings LIMIT 1), 1)"
    for _ in range(600):
        session.run(query)
        path, reason = session.run("SELECT path, reason FROM graphmem.stat_backend")[0]
        if path == "shared":
            return
        time.sleep(0.1)         # a worker that is starting
    raise RuntimeError("answered by a %s image: %s" % (path, reason))


def build_again(session, rows, helpers):
    """With so many helper workers; 0: by the worker itself."""
    set_server(session, "graphmem.build_workers", helpers)
    before = state(session).get("build_time")
    session.run("SELECT graphmem.rebuild()")
    # a graph that nobody has asked for a minute is loaded when somebody does
    load_shared(session)
    cpu, wall = graphmem_cpu(), time.perf_counter()
    wall = wait_for_index(session, rows, before) - wall
    return Build(graphmem_cpu() - cpu, wall)


def create_space(session, chosen, ef_construction):
    """(space_id, graph_id)"""
    graph_id = session.value("SELECT graphmem.current_graph_id()")
    space_id = session.value("SELECT graphmem.create_vector_space('v', %s, 'entity', %s, m => %s,"
                             " ef_construction => %s)", (chosen.dim, chosen.metric, M, ef_construction))
    return space_id, graph_id


def load_tables(chosen):
    """A database with the rows of the set; its space and graph."""
    graph_id = measure.create_database(database(chosen), "v")
    with Session(database(chosen)) as session:
        measure.fill_dictionary(session, graph_id, chosen.rows + chosen.more)
        space, graph = create_space(session, chosen, EF_CONSTRUCTION)
        with client(chosen) as program:
            program.ask("copy 0 %d 10000 %d %d", chosen.rows, space, graph)
        session.run("VACUUM ANALYZE graphmem.entities, graphmem.embeddings")
    return space, graph


# ---- sweeps ----

def at_recall(points, target, what="wall"):
    """Microseconds at a recall; None beyond what was measured."""
    below = None
    for recall, us in sorted((p["recall"], p[what]) for p in points.values()):
        if recall >= target:
            if below is None:
                return us
            missed = [math.log(max(1 - r, 1e-5)) for r in (below[0], recall, target)]
            share = (missed[2] - missed[0]) / (missed[1] - missed[0])
            return math.exp(math.log(below[1]) + share * (math.log(us) - math.log(below[1])))
        below = recall, us
    return None


def sweep(rivals_there):
    """name -> ef -> what a pass says, the fastest of ROUNDS; the first one ends
    at the last recall of RECALLS."""
    points = {name: {} for name in rivals_there}
    for name, ask in rivals_there.items():
        for ef in EFFORTS:
            if name == PGVECTOR and ef > MOST_PGVECTOR:
                break
            points[name][ef] = ask(ef)
            if points[name][ef]["recall"] >= RECALLS[-1] and ef >= EQUAL_EFFORT:
                break
    for _ in range(ROUNDS):
        for ef in EFFORTS:
            for name, ask in rivals_there.items():
                if ef in points[name]:
                    again = ask(ef)
                    best = points[name][ef]
                    for what in ("wall", "cpu", "median", "p99"):
                        best[what] = min(best[what], again[what])
    return points


def show_sweep(chosen, points):
    say("\n  %s, %d x %d, recall@%d and us a query (cpu)" % (chosen.name, chosen.rows, chosen.dim, K))
    say("  %5s" % "ef" + "".join("%32s" % name for name in points))
    for ef in EFFORTS:
        cells = [points[name].get(ef) for name in points]
        if any(cells):
            say("  %5d" % ef + "".join("%32s" % ("%.4f %8.1f (%.1f)" % (p["recall"], p["wall"], p["cpu"]) if p else "")
                                       for p in cells))


def add_ratios(table, chosen, points):
    """graphmem's queries a second to its rivals', at the recalls of the targets."""
    for i, recall in enumerate(RECALLS):
        us = {name: at_recall(points[name], recall) for name in points}
        cpu = {name: at_recall(points[name], recall, "cpu") for name in points}
        for rival, targets in ((HNSWLIB, TARGET_HNSWLIB), (PGVECTOR, TARGET_PGVECTOR)):
            if SQL not in us or rival not in us:
                continue
            what = "%s: queries/s at recall %.2f, through SQL to %s" % (chosen.name, recall, rival)
            if us[SQL] is None or us[rival] is None:
                table.add(what, verdict="MISSED: no such recall measured")
                continue
            table.at_least(what, "%.1f us, of the server %.1f" % (us[SQL], cpu[SQL]), "%.1f us, CPU %.1f"
                           % (us[rival], cpu[rival]), us[rival] / us[SQL], targets[chosen.name][i])
        if CORE in us and us[CORE] and us[HNSWLIB]:
            table.add("%s: CPU a query at recall %.2f, in process to hnswlib" % (chosen.name, recall),
                      "%.1f us" % cpu[CORE], "%.1f us" % cpu[HNSWLIB], "%.2f" % (cpu[HNSWLIB] / cpu[CORE]))


def add_build(table, chosen, points, builds):
    """CPU of building, and what it has given: recall at the same effort."""
    def said(name):
        return "%.1f s, recall %.4f at ef %d" % (builds[name].cpu, points[name][EQUAL_EFFORT]["recall"], EQUAL_EFFORT)

    for name in (SQL, CORE, PGVECTOR):
        if name == SQL and SQL in builds:
            table.at_most("%s: CPU of building to hnswlib's" % chosen.name, said(SQL), said(HNSWLIB),
                          builds[SQL].cpu / builds[HNSWLIB].cpu, TARGET_BUILD)
        elif name in builds:
            table.add("%s: CPU of building, %s" % (chosen.name, name), said(name), said(HNSWLIB),
                      "%.2f" % (builds[name].cpu / builds[HNSWLIB].cpu))


# ---- sections ----

def build_ours(table, chosen):
    """Every number of helpers once; what two processes took."""
    with Session(database(chosen)) as session:
        load_shared(session)
        wait_for_index(session, chosen.rows)
        times = {}
        for helpers in (0, 1, 2):
            times[helpers] = build_again(session, chosen.rows, helpers)
            say("  built with graphmem.build_workers %d: %.1f s CPU, %.1f s" % ((helpers,) + times[helpers]))
        # the worker links too: with a helper there are two processes
        table.at_least("%s: building by two processes to one" % chosen.name, "%.1f s CPU, %.1f s" % times[1],
                       "%.1f s CPU, %.1f s" % times[0], times[0].wall / times[1].wall, TARGET_TWO)
        table.add("%s: building by three" % chosen.name, "%.1f s CPU, %.1f s" % times[2])
        memory(table, chosen, state(session))
    return times[1]


def memory(table, chosen, now):
    """The space beside what it cannot do without, computed from its numbers."""
    codes = chosen.rows * (chosen.dim + 8)          # and scale and offset
    vectors = chosen.rows * chosen.dim * 4
    links = 4 * chosen.rows * (2 * M + M / (M - 1))     # at level 0 and, on average, above
    least = codes + vectors + links
    table.at_most("%s: memory of the space" % chosen.name,
                  "%.1f MB: codes %.1f, links %.1f, vectors %.1f" % tuple(
                      now[c] / 2 ** 20 for c in ("bytes_total", "bytes_codes", "bytes_links", "bytes_vectors")),
                  "%.1f MB: codes %.1f, room for links %.1f, vectors %.1f" % tuple(
                      x / 2 ** 20 for x in (least, codes, links, vectors)), now["bytes_total"] / least, TARGET_MEMORY)


def prepare_pgvector(chosen):
    """A client that searches its index, how that was built, its bytes; or None."""
    with Session(database(chosen)) as session:
        version = rivals.offers(session, "vector")
        if version is None:
            return None
        say("  building the index of pgvector " + version)
        rivals.create_pgvectors(session, chosen.dim)
        session.run("SET maintenance_work_mem = '4GB'")
        session.run("SET max_parallel_maintenance_workers = 0")
        session.run("CREATE INDEX pgvectors_hnsw ON pgvectors USING hnsw (embedding vector_%s_ops)"
                    " WITH (m = %d, ef_construction = %d)" % (chosen.metric, M, EF_CONSTRUCTION))
        build = Build(session.cpu, session.wall)
        size = session.value("SELECT pg_relation_size('pgvectors_hnsw')")
        session.run("SELECT count(*) FROM pgvectors")
    program = client(chosen)
    program.ask("do SET enable_seqscan = off")
    program.ask("search vector SELECT item FROM pgvectors ORDER BY embedding %s $1 LIMIT %d"
                % ({"cosine": "<=>", "l2": "<->"}[chosen.metric], K))

    def ask(ef):
        program.ask("do SET hnsw.ef_search = %d", ef)
        return program.ask("pass 0")
    return program, ask, build, size


def compare_forms(table, chosen, program):
    """What the form of the parameter costs."""
    times = {}
    for form, search in list(SEARCHES.items()) * ROUNDS:
        program.ask(search)
        times.setdefault(form, []).append(program.ask("pass %d", EFFORTS[2])["wall"])
    table.add("%s: the parameter a real[], ef_search %d" % (chosen.name, EFFORTS[2]), "%.1f us" % min(times["real[]"]),
              "%.1f us as bytea" % min(times["bytea"]))


def section_search(table, chosen, sections, sweeps):
    """hnswlib, the core in process, and, where section search is wanted, SQL."""
    table.title("%s: %d x %d, %s, %s; %d queries"
                % (chosen.name, chosen.rows, chosen.dim, chosen.metric, chosen.what, chosen.queries))
    asks, builds, programs = {}, {}, []
    for name, program in ((HNSWLIB, "vector_hnswlib"),) + (((CORE, "vector_core"),) if "core" in sections else ()):
        programs.append(in_process(program, chosen))
        answer = programs[-1].ask("build 1")
        builds[name] = Build(answer["cpu"], answer["wall"])
        say("  %s built in %.1f s CPU" % (name, answer["cpu"]))
        asks[name] = lambda ef, p=programs[-1]: p.ask("pass %d", ef)
    if "search" in sections:
        builds[SQL] = build_ours(table, chosen)
        ours = searching(chosen)
        programs.append(ours)
        ours.ask("share")
        asks[SQL] = lambda ef: ours.ask("pass %d", ef)
        found = prepare_pgvector(chosen)
        if found:
            programs.append(found[0])
            programs[-1].ask("share")
            asks[PGVECTOR], builds[PGVECTOR] = found[1:3]
            table.add("%s: pgvector's index" % chosen.name, "%.1f MB" % (found[3] / 2 ** 20))
    points = sweep(asks)
    show_sweep(chosen, points)
    if SQL in asks:
        compare_forms(table, chosen, ours)
    sweeps[chosen.name] = points
    add_ratios(table, chosen, points)
    add_build(table, chosen, points, builds)
    if PGVECTOR in builds and chosen.inserts:
        insert_pgvector(table, chosen)
    for program in programs:
        program.close()


def insert_pgvector(table, chosen):
    count = 200 if QUICK else 1000
    with client(chosen) as program:
        answer = program.ask("insert %d %d vector INSERT INTO pgvectors (embedding, item) VALUES ($1, $2::bigint::int)",
                             chosen.rows, chosen.rows + count)
    table.add("%s: pgvector's inserts, a row a commit, ef_construction %d" % (chosen.name, EF_CONSTRUCTION),
              "%.0f a second" % answer["rate"], "%.0f us CPU a row" % answer["cpu"])


def section_batch(table, chosen):
    """Exact answers, one by one and several at a call; the index in batches."""
    with client(chosen) as program:
        program.ask("search real[] " + SEARCH_EXACT)
        single = program.ask("pass 0")
        exact = program.ask("batch 100 " + SEARCH_BATCH % ", exact => true")
        index = program.ask("batch 100 " + SEARCH_BATCH % (", ef_search => %d" % EQUAL_EFFORT))
    same = "same answers" if min(single["recall"], exact["recall"]) >= 0.9999 else "ANSWERS DIFFER"
    table.add("%s: exact, one by one" % chosen.name, "%.0f us" % single["wall"], "cpu %.0f us" % single["cpu"], "", "",
              same)
    table.add("%s: exact, 100 at a call" % chosen.name, "%.0f us" % exact["wall"], "cpu %.0f us" % exact["cpu"],
              "%.2f" % (exact["wall"] / single["wall"]), "", same)
    table.add("%s: by the index, 100 at a call, ef_search %d" % (chosen.name, EQUAL_EFFORT), "%.1f us" % index["wall"],
              "cpu %.1f us; recall %.4f" % (index["cpu"], index["recall"]))


def section_clients(table, chosen):
    """What a query costs with two clients, and the first one of a connection."""
    seconds = 2 if QUICK else 10
    with searching(chosen) as one, searching(chosen) as two:
        one.ask("pass %d", EQUAL_EFFORT)
        two.ask("pass %d", EQUAL_EFFORT)
        alone, pairs = [], []
        for _ in range(ROUNDS):
            alone.append(one.ask("during %d %d", seconds, EQUAL_EFFORT)["cpu"])
            two.tell("during %d %d", seconds, EQUAL_EFFORT)
            answers = [one.ask("during %d %d", seconds, EQUAL_EFFORT), two.answer()]
            pairs.append(sum(a["cpu"] * a["n"] for a in answers) / sum(a["n"] for a in answers))
        table.at_most("%s: server CPU a query, two clients to one, ef_search %d" % (chosen.name, EQUAL_EFFORT),
                      "%.1f us" % min(pairs), "%.1f us" % min(alone), min(pairs) / min(alone), TARGET_CLIENTS)
        firsts = [one.ask("first %d", EQUAL_EFFORT) for _ in range(20)]
    ms = sorted(f["search"] / 1e3 for f in firsts)
    table.at_most("%s: first search of a connection, ms" % chosen.name, "median %.2f ms, longest %.2f ms"
                  % (measure.median(ms), ms[-1]), "%.2f ms to connect" % measure.median([f["connect"] / 1e3 for f in firsts]),
                  measure.median(ms), TARGET_FIRST_MS)


def section_restart(table, chosen):
    """From the server's start until the index is used again."""
    subprocess.run([os.path.join(os.environ["BIN"], "pg_ctl"), "-D", at("data"), "-l", at("server.log"), "-m", "fast",
                    "-w", "restart"], check=True, stdout=subprocess.DEVNULL)
    started = time.perf_counter()
    with Session(database(chosen)) as session, Session(database(chosen)) as watcher:
        asker = threading.Thread(target=load_shared, args=(session,))
        asker.start()
        while watcher.value("SELECT state FROM graphmem.stat_graph") != "ready":
            if time.perf_counter() - started > PATIENCE:
                raise RuntimeError("the graph is not loaded")
            time.sleep(0.01)
        scanned = time.perf_counter()
        used = wait_for_index(watcher, chosen.rows)
        asker.join()
        with searching(chosen) as program:
            answer = program.ask("pass %d", EQUAL_EFFORT)
        load = watcher.value("SELECT load_time FROM graphmem.stat_graph") / 1e3
    table.at_most("%s: restart, s from the image's being there to the index's being used" % chosen.name,
                  "%.2f s" % (used - scanned), "%.2f s from the start to the image, of it loading %.2f s;"
                  " recall %.4f after" % (scanned - started, load, answer["recall"]), used - scanned, TARGET_START_S)


class Watch(threading.Thread):
    """The most rows that were pending, until it is told to end."""

    def __init__(self, name):
        super().__init__()
        self.name_of_database = name
        self.ending = threading.Event()
        self.most = 0

    def run(self):
        with Session(self.name_of_database) as session:
            while not self.ending.wait(0.05):
                self.most = max(self.most, state(session).get("pending") or 0)


def insert_some(table, chosen, session, program, reader, command, rows, total):
    """One way of inserting, beside a reader: until all is indexed."""
    watch = Watch(database(chosen))
    watch.start()
    reader.tell("until %d", EQUAL_EFFORT)
    cpu, started = graphmem_cpu(), time.perf_counter()
    answer = program.ask(command)
    written = time.perf_counter() - started
    all_of_it = wait_for_index(session, total) - started
    cpu = graphmem_cpu() - cpu
    read = reader.ask("end")
    watch.ending.set()
    watch.join()
    way = "a row a commit" if command.startswith("insert") else "%d a commit" % AT_ONCE
    table.at_least("%s: inserts indexed a second, %s, ef_construction %d, beside a reader" % (chosen.name, way, EF_INSERTS),
                   "%.0f, written at %.0f" % (rows / all_of_it, rows / written),
                   "at most %d pending, indexed %.2f s after; us CPU a row: backend %.0f, worker %.0f"
                   % (watch.most, all_of_it - written, answer["cpu"], cpu / rows * 1e6),
                   rows / all_of_it, TARGET_INSERTS)
    table.add("%s: the reader's us a query meanwhile" % chosen.name, "median %.0f, p99 %.0f, longest %.0f"
              % tuple(read[c] for c in ("median", "p99", "longest")))


def section_inserts(table, chosen, space, graph):
    """Into an index of the set's rows with a small ef_construction."""
    name = database(chosen)
    total = chosen.rows + SINGLE_ROWS + BATCH_ROWS
    with Session(name) as session:
        session.run("UPDATE graphmem.vector_spaces SET ef_construction = %s WHERE space_id = %s", (EF_INSERTS, space))
        session.run("SELECT graphmem.rebuild()")
        load_shared(session)
        wait_for_index(session, chosen.rows)
        with client(chosen) as program, searching(chosen) as reader:
            quiet = reader.ask("pass %d", EQUAL_EFFORT)
            table.add("%s: the reader alone, ef_search %d" % (chosen.name, EQUAL_EFFORT), "median %.0f, p99 %.0f, longest"
                      " %.0f" % tuple(quiet[c] for c in ("median", "p99", "longest")))
            insert_some(table, chosen, session, program, reader,
                        "insert %d %d real[] INSERT INTO graphmem.embeddings (space_id, graph_id, embedding, item_id)"
                        " VALUES (%d, %d, $1, $2)" % (chosen.rows, chosen.rows + SINGLE_ROWS, space, graph),
                        SINGLE_ROWS, chosen.rows + SINGLE_ROWS)
            insert_some(table, chosen, session, program, reader, "copy %d %d %d %d %d"
                        % (chosen.rows + SINGLE_ROWS, total, AT_ONCE, space, graph), BATCH_ROWS, total)
        with searching(chosen, "more.truth") as program:
            grown = program.ask("pass %d", EQUAL_EFFORT)["recall"]
            build_again(session, total, 2)
            fresh = program.ask("pass %d", EQUAL_EFFORT)["recall"]
    table.at_most("%s: recall at ef %d lost to a fresh build, after the inserts" % (chosen.name, EQUAL_EFFORT),
                  "%.4f" % grown, "%.4f" % fresh, fresh - grown, TARGET_RECALL_LOST)


SECTIONS = "core search batch clients restart inserts".split()


def one_set(table, chosen, sections, sweeps):
    say("\n== %s: vectors, queries and exact answers" % chosen.name)
    os.makedirs(at("sets"), exist_ok=True)
    chosen = vector_sets.make(at("sets"), at("vector_truth"), chosen, QUICK, K)
    served = set(sections) - {"core"}
    if served:
        space, graph = load_tables(chosen)
    if {"core", "search"} & set(sections):
        section_search(table, chosen, sections, sweeps)
    if "search" not in sections and served:
        table.title(chosen.name)
        with Session(database(chosen)) as session:
            load_shared(session)
            wait_for_index(session, chosen.rows)
    if "batch" in sections:
        section_batch(table, chosen)
    if "clients" in sections:
        section_clients(table, chosen)
    if "restart" in sections:
        section_restart(table, chosen)
    if "inserts" in sections and chosen.inserts:
        section_inserts(table, chosen, space, graph)
    if served:
        with Session("postgres") as session:
            session.run("DROP DATABASE " + database(chosen))


# ---- what a run leaves ----

def markdown(table, machine, sweeps):
    lines = ["    " + line for line in machine] + [""]
    for row in table.rows:
        if len(row) == 1:
            lines += ["", "## " + row[0], "", "| | measured | beside | ratio | target | |", "|---|---|---|---:|---:|---|"]
        else:
            lines.append("| %s |" % " | ".join(row))
    for name, points in sweeps.items():
        lines += ["", "## %s: recall@%d and µs a query" % (name, K), "", "| ef | %s |" % " | ".join(points),
                  "|---:|" + "---:|" * len(points)]
        for ef in EFFORTS:
            cells = [points[rival].get(ef) for rival in points]
            if any(cells):
                lines.append("| %d | %s |" % (ef, " | ".join("%.4f %.1f" % (p["recall"], p["wall"]) if p else ""
                                                             for p in cells)))
    return "\n".join(lines) + "\n"


def write(table, machine, parameters, sweeps):
    folder = os.environ["RESULTS"]
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "vector.json"), "w", encoding="utf-8") as out:
        json.dump({"machine": machine, "parameters": parameters, "figures": table.rows, "sweeps": sweeps}, out,
                  indent=1, ensure_ascii=False)
        out.write("\n")
    with open(os.path.join(folder, "vector.md"), "w", encoding="utf-8") as out:
        out.write(markdown(table, machine, sweeps))


def main():
    sections = sys.argv[1:] or SECTIONS
    unknown = [name for name in sections if name not in SECTIONS]
    if unknown:
        sys.exit("unknown section %s; there are: %s" % (unknown[0], " ".join(SECTIONS)))
    known = vector_sets.sets(QUICK)
    names = (os.environ.get("SETS") or " ".join(known)).split()
    if set(names) - set(known):
        sys.exit("unknown set in SETS; there are: " + " ".join(known))
    started = time.perf_counter()
    parameters = {"QUICK": QUICK, "k": K, "m": M, "ef_construction": EF_CONSTRUCTION, "rounds": ROUNDS,
                  "sets": {name: known[name]._asdict() for name in names}, "sections": sections,
                  "inserts": {"ef_construction": EF_INSERTS, "single": SINGLE_ROWS, "batched": BATCH_ROWS,
                              "at once": AT_ONCE}}
    machine = measure.machine()
    machine.append("vectors   k %d, m %d, ef_construction %d, codes int8, single client, prepared, binary%s"
                   % (K, M, EF_CONSTRUCTION, "; QUICK: these figures prove nothing" if QUICK else ""))
    say("\n".join(machine))
    table = measure.Table()
    sweeps = {}
    for name in names:
        one_set(table, known[name], sections, sweeps)
    say("\n" + "\n".join(machine))
    table.show()
    write(table, machine, parameters, sweeps)
    say("\n%.0f s in all" % (time.perf_counter() - started))
    wrong = [row[0] for row in table.rows if "DIFFER" in row[-1]]
    if wrong:
        sys.exit("answers differ: " + "; ".join(wrong))


if __name__ == "__main__":
    main()
