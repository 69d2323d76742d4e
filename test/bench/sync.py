"""The shared image: how soon it shows a commit, what capture costs writers,
what a connection and a call cost, and how fast the worker is.

Sessions that write beside the measured one are pgbench processes.  Where two
variants are compared they take turns, and medians are compared.
"""

import math
import os
import re
import subprocess
import threading
import time

import generate
import measure
from measure import Session, median, say

WORK = os.environ["WORK"]

TARGET_VISIBLE_US, TARGET_VISIBLE_P99_MS = 100.0, 5.0
TARGET_CAPTURE_ASYNC, TARGET_CAPTURE_SYNC, TARGET_COPY = 0.85, 0.95, 0.50
TARGET_FIRST_MS, TARGET_PSS = 20.0, 0.05
TARGET_CALL_US = 30.0
TARGET_BOOT = 4.0
TARGET_ROWS, TARGET_BEHIND_MS = 100_000, 1000.0
TARGET_IDLE = 0.001             # of one CPU
TARGET_GRAPH_BYTES, TARGET_COLD_MS, TARGET_GIVEN_BACK = 32768, 5.0, 0.95
BYTES_A_TRIPLE = 64

WRITERS, WRITERS_RATE = 2, 400  # beside what is measured: sessions, transactions a second in all
CONNECTIONS = 50


def at(name):
    return os.path.join(WORK, name)


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def in_us(seconds):
    return "%.0f us" % (seconds * 1e6)


def in_ms(seconds):
    return "%.2f ms" % (seconds * 1e3)


# ---- pgbench ----

def script(name, statements):
    with open(at(name), "w") as out:
        out.write(statements)
    return at(name)


def pgbench(database, file, *options):
    return ["pgbench", "-n", "-M", "prepared", "-f", file] + [str(o) for o in options] + [database]


def transactions_a_second(database, file, seconds, *options):
    done = subprocess.run(pgbench(database, file, "-c", 1, "-T", seconds, *options), check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return float(re.search(r"tps = ([\d.]+)", done.stdout).group(1))


class Beside:
    """Writers at work beside what is measured."""

    def __init__(self, database, file):
        self.process = subprocess.Popen(
            pgbench(database, file, "-c", WRITERS, "-R", WRITERS_RATE, "-T", 3600),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        time.sleep(1)
        return self

    def __exit__(self, *unused):
        self.process.terminate()
        self.process.wait()


# ---- the worker ----

def worker(session):
    return session.value("SELECT pid FROM graphmem.stat_worker")


def process_cpu(pid):
    with open("/proc/%d/schedstat" % pid) as file:      # nanoseconds
        return int(file.read().split()[0]) / 1e9


def load_shared(session, query):
    """Has the worker load the graph, however long that takes; seconds."""
    session.run("SET graphmem.sync_timeout = '30 min'")
    for _ in range(100):
        session.run(query)
        wall = session.wall
        path, reason = session.run("SELECT path, reason FROM graphmem.stat_backend")[0]
        if path == "shared":
            session.run("RESET graphmem.sync_timeout")
            return wall
        time.sleep(0.1)         # a worker that is starting
    raise RuntimeError("answered by a %s image: %s" % (path, reason))


def wait_for_sync(session):
    session.run("SELECT graphmem.wait_for_sync(600000)")
    return session.wall


def count_facts(table, session):
    """In the image and in the table, which only the current graph is in."""
    image = session.value("SELECT triples FROM graphmem.stat_graph WHERE graph = current_setting('graphmem.graph')")
    rows = session.value("SELECT count(*) FROM graphmem.triples")
    table.add("facts in the image afterwards", str(image), "%d in the table" % rows, "", "",
              "same answers" if image == rows else "ANSWERS DIFFER")


# ---- (a) visible after commit ----

def visible(table, triples, quick):
    commits = 300 if quick else 3000
    insert = script("beside.sql", """
\\set s random(1, {nodes})
\\set o random(1, {nodes})
INSERT INTO graphmem.triples (graph_id, subject_id, predicate_id, object_id) VALUES (1, :s, 1 + :s % 5, :o);
""".format(nodes=triples.nodes))
    with Session("bench_kron") as writing, Session("bench_kron") as looking:
        write, look = writing.cursor, looking.cursor
        write.execute("SET synchronous_commit = off")
        write.execute("PREPARE put (text) AS WITH e AS (INSERT INTO graphmem.entities (graph_id, name)"
                      " VALUES (1, $1) RETURNING entity_id)"
                      " INSERT INTO graphmem.triples (graph_id, subject_id, predicate_id, object_id)"
                      " SELECT 1, entity_id, 1, 1 FROM e")
        look.execute("PREPARE look (text) AS SELECT object FROM graphmem.match(subject => $1)")

        def seconds(name):
            began = time.perf_counter()
            look.execute("EXECUTE look (%s)", (name,))
            rows = look.fetchall()
            return time.perf_counter() - began, len(rows)

        seconds(generate.person(0))
        calls, again, waits, stale, private = [], [], [], 0, 0
        with Beside("bench_kron", insert):
            for i in range(commits):
                name = "visible %d" % i
                write.execute("EXECUTE put (%s)", (name,))
                took, rows = seconds(name)
                calls.append(took)
                stale += rows != 1
                look.execute("SELECT last_wait, path FROM graphmem.stat_backend")
                wait, path = look.fetchone()
                waits.append((wait or 0) / 1e3)
                private += path == "private"
                again.append(seconds(name)[0])
        wait_for_sync(looking)
        pure = [seconds("visible %d" % i)[0] for i in range(commits)]
        what = "%d commits beside %d sessions with %d a second" % (commits, WRITERS, WRITERS_RATE)
        table.add("the call alone, nobody writes", in_us(median(pure)), "beside writers %s" % in_us(median(again)))
        table.at_most("visible after commit, median us; " + what, in_us(median(calls)),
                      "%s the call alone" % in_us(median(pure)), median(calls) * 1e6, TARGET_VISIBLE_US)
        table.at_most("visible after commit, p99 ms", in_ms(percentile(calls, 0.99)),
                      "max %s" % in_ms(max(calls)), percentile(calls, 0.99) * 1e3, TARGET_VISIBLE_P99_MS)
        table.add("of it waiting for the worker", in_us(median(waits)), "p99 %s" % in_ms(percentile(waits, 0.99)))
        table.add("commits that were not seen at once", "%d" % stale, "", "", "0", "met" if stale == 0 else "MISSED")
        table.add("calls answered privately", "%d" % private, "", "", "0", "met" if private == 0 else "MISSED")


# ---- (b), (c) what capture costs ----

def capture(session, on):
    """Switches the capture triggers of triples, the integrity triggers stay."""
    for name, in session.run("SELECT tgname FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid"
                             " WHERE tgrelid = 'graphmem.triples'::regclass AND proname LIKE 'capture%'"):
        session.run("ALTER TABLE graphmem.triples %s TRIGGER %s" % ("ENABLE ALWAYS" if on else "DISABLE", name))


def small_database(name, nodes, captured):
    graph_id = measure.create_database(name, "bench")
    with Session(name) as session:
        measure.fill_dictionary(session, graph_id, nodes)
        session.run("INSERT INTO graphmem.triples (graph_id, subject_id, predicate_id, object_id)"
                    " VALUES (%s, 1, 1, 2)", (graph_id,))
        session.run("VACUUM ANALYZE graphmem.entities, graphmem.predicates")
        if captured:
            load_shared(session, FIRST_QUERY)
        else:
            capture(session, False)
    return graph_id


def single_rows(table, triples, quick):
    names = {True: "bench_captured", False: "bench_uncaptured"}
    nodes = min(triples.nodes, 20_000)
    for captured, name in names.items():
        small_database(name, nodes, captured)
    insert = script("single.sql", """
\\set s random(1, {nodes})
\\set o random(1, {nodes})
INSERT INTO graphmem.triples (graph_id, subject_id, predicate_id, object_id)
	VALUES (1, :s, 1, :o) ON CONFLICT DO NOTHING;
""".format(nodes=nodes))
    rounds, seconds = (2, 2) if quick else (15, 2)
    for mode, target in (("off", TARGET_CAPTURE_ASYNC), ("on", TARGET_CAPTURE_SYNC)):
        with Session("postgres") as session:
            # a commit that waits for nothing would not be one
            session.run("ALTER SYSTEM SET fsync = %s" % ("on" if mode == "on" else "off"))
            session.run("SELECT pg_reload_conf()")
            for name in names.values():
                session.run("ALTER DATABASE %s SET synchronous_commit = %s" % (name, mode))
        rates = {True: [], False: []}
        for turn in range(rounds):
            for captured in ((False, True) if turn % 2 == 0 else (True, False)):
                with Session("postgres") as session:
                    session.run("CHECKPOINT")
                rates[captured].append(transactions_a_second(names[captured], insert, seconds))
        ratios = sorted(w / wo for w, wo in zip(rates[True], rates[False]))
        table.at_least("single-row INSERTs with capture, synchronous_commit %s; %d rounds of %d s"
                       % (mode, rounds, seconds), "%.0f/s" % median(rates[True]),
                       "%.0f/s without; paired %.2f to %.2f" % (median(rates[False]), ratios[0], ratios[-1]),
                       median(ratios), target)
    with Session("postgres") as session:
        session.run("ALTER SYSTEM RESET fsync")
        session.run("SELECT pg_reload_conf()")
    with Session(names[True]) as session:
        wait_for_sync(session)
        count_facts(table, session)
    with Session("postgres") as session:
        for name in names.values():
            session.run("DROP DATABASE " + name)


def copies(table, triples, quick):
    """COPY into a table without triggers, with those of integrity, and with all."""
    graph_id = small_database("bench_copy", triples.nodes, True)
    generate.write_ids(at("ids.tsv"), triples, graph_id)
    times = {"bare": [], "integrity": [], "captured": []}
    behind = []
    with Session("bench_copy") as session:
        session.run("CREATE TABLE bare (LIKE graphmem.triples INCLUDING ALL)")
        for turn in range(2 if quick else 3):
            for kind in (list(times) if turn % 2 == 0 else list(times)[::-1]):
                name = "bare" if kind == "bare" else "graphmem.triples"
                if kind != "bare":
                    capture(session, True)
                session.run("TRUNCATE " + name)
                if kind == "integrity":
                    capture(session, False)
                wait_for_sync(session)
                session.run("CHECKPOINT")
                session.run("COPY %s (graph_id, subject_id, predicate_id, object_id, confidence) FROM '%s'"
                            % (name, at("ids.tsv")))
                times[kind].append(session.wall)
                cpu = session.cpu
                if kind == "captured":
                    behind.append(wait_for_sync(session))
                say("  %-10s %.2f s CPU %.2f s" % (kind, times[kind][-1], cpu))
        capture(session, True)
    best = {kind: median(seconds) for kind, seconds in times.items()}
    n = len(triples)
    table.at_least("COPY of %d id triples with capture" % n, "%.0f rows/s" % (n / best["captured"]),
                   "%.0f rows/s without triggers" % (n / best["bare"]), best["bare"] / best["captured"], TARGET_COPY)
    table.add("the same with integrity checks only", "%.0f rows/s" % (n / best["integrity"]), "",
              "%.2f" % (best["bare"] / best["integrity"]))
    table.add("the worker is done after the commit", "%.2f s" % median(behind))
    with Session("postgres") as session:
        session.run("DROP DATABASE bench_copy")


# ---- (d) connections ----

FIRST_QUERY = "SELECT count FROM graphmem.reach('%s', 1)" % generate.person(0)


def first_queries(table, quick):
    firsts, bare = [], []
    for _ in range(5 if quick else 20):
        for times, query in ((firsts, FIRST_QUERY), (bare, "SELECT 1")):
            session = Session("bench_kron")
            began = time.perf_counter()
            session.cursor.execute(query)
            session.cursor.fetchall()
            times.append(time.perf_counter() - began)
            if times is firsts:
                path = session.value("SELECT path FROM graphmem.stat_backend")
                assert path == "shared", path
            session.close()
    table.at_most("first query of a new connection, ms", in_ms(median(firsts)),
                  "max %s; SELECT 1 %s" % (in_ms(max(firsts)), in_ms(median(bare))), median(firsts) * 1e3,
                  TARGET_FIRST_MS)


def server_processes():
    with open(os.path.join(WORK, "data", "postmaster.pid")) as file:
        postmaster = int(file.readline())
    pids = [postmaster]
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open("/proc/%s/stat" % entry) as file:
                    if int(file.read().rsplit(")", 1)[1].split()[1]) == postmaster:
                        pids.append(int(entry))
            except OSError:
                pass
    return pids


def server_memory():
    """Bytes of all the server's processes: proportional shares, so that a page
    that several map counts once, and their page tables."""
    shares = tables = 0
    for pid in server_processes():
        try:
            with open("/proc/%d/smaps_rollup" % pid) as file:
                shares += sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
            with open("/proc/%d/status" % pid) as file:
                tables += sum(int(line.split()[1]) for line in file if line.startswith("VmPTE:"))
        except OSError:
            pass
    return shares * 1024, tables * 1024


def growth(queries):
    """Of the server's memory from 1 to CONNECTIONS connections that each asked."""
    sessions, sizes = [], []
    try:
        for i in range(CONNECTIONS):
            sessions.append(Session("bench_kron"))
            for query in queries:
                sessions[-1].run(query % {"name": generate.person(i), "other": generate.person(1000 + i)})
            if i in (0, CONNECTIONS - 1):
                time.sleep(0.5)
                sizes.append(server_memory())
    finally:
        for session in sessions:
            session.close()
    time.sleep(0.5)
    return tuple(b - a for a, b in zip(*sizes))


def connections(table, image):
    asked = growth(["SELECT count FROM graphmem.reach('%(name)s', 2)",
                    "SELECT count(*) FROM graphmem.neighbors('%(other)s')"])
    bare = growth(["SELECT '%(name)s'"])
    more = asked[0] - bare[0]
    table.at_most("memory (PSS) of connections 2 to %d beyond bare ones" % CONNECTIONS,
                  "%.0f MB" % (more / 2 ** 20), "%d MB image; bare %.0f MB" % (image >> 20, bare[0] / 2 ** 20),
                  max(more, 0) / image, TARGET_PSS)
    table.add("their page tables beyond bare ones", "%.0f MB" % ((asked[1] - bare[1]) / 2 ** 20))


# ---- (e) a small call ----

def small_call(table, quick):
    with Session("bench_kron") as session:
        # a node with few facts
        for i in range(1000):
            facts = session.value("SELECT count(*) FROM graphmem.neighbors(%s)", (generate.person(i),))
            if 3 <= facts <= 6:
                break
    one_file = script("one.sql", "SELECT 1;\n")
    call_file = script("call.sql", "SELECT neighbor, predicate FROM graphmem.neighbors('%s');\n"
                       % generate.person(i))
    rounds, seconds = (3, 2) if quick else (9, 3)
    latency = []
    for _ in range(rounds):
        # one connection that takes both by lot: what holds the machine up holds up both
        done = subprocess.run(pgbench("bench_kron", one_file, "-f", call_file, "-c", 1, "-T", seconds), check=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        scripts = done.stdout.split("SQL script ")[1:]
        latency.append([float(re.search(r"latency average = ([\d.]+) ms", part).group(1)) / 1e3 for part in scripts])
    one, call = (median(times) for times in zip(*latency))
    table.at_most("neighbors of a node with %d facts, prepared, us above SELECT 1" % facts, in_us(call),
                  in_us(one), (call - one) * 1e6, TARGET_CALL_US)


# ---- (f) boot ----

def boot(table, edges, columns):
    query = "SELECT %s FROM graphmem.triples WHERE graph_id = 1 OFFSET %d" % (", ".join(columns), edges)
    scans, loads = [], []
    with Session("bench_kron") as session:
        for _ in range(2):
            session.run(query)
            scans.append((session.cpu, session.wall))
            old = worker(session)
            session.run("SELECT pg_terminate_backend(%s)", (old,))
            while session.value("SELECT pid IS NULL OR pid = %s OR state <> 'ready' FROM graphmem.stat_worker", (old,)):
                time.sleep(0.05)
            cpu = process_cpu(worker(session))
            wall = load_shared(session, FIRST_QUERY)
            loads.append((process_cpu(worker(session)) - cpu, wall))
            say("  scan %.2f s, load %.2f s CPU %.2f s" % (scans[-1][1], loads[-1][1], loads[-1][0]))
    for i, unit in enumerate(("CPU", "wall")):
        scan, load = min(s[i] for s in scans), min(l[i] for l in loads)
        table.at_most("boot: %d triples in the image after the worker's start, %s" % (edges, unit), "%.2f s" % load,
                      "%.2f s sequential scan of its columns" % scan, load / scan, TARGET_BOOT)


# ---- (g) the worker's speed, and its rest ----

class Watch(threading.Thread):
    """How far behind the worker is, how long a query waits and from what it is
    answered, while others write."""

    def __init__(self):
        super().__init__()
        self.ends = threading.Event()
        self.behind, self.waits, self.overlay, self.private = [], [], 0, []

    def run(self):
        with Session("bench_kron") as session:
            while not self.ends.wait(0.02):
                session.cursor.execute("SELECT behind FROM graphmem.stat_worker")
                self.behind.append(session.cursor.fetchone()[0])
                began = time.perf_counter()
                session.cursor.execute(FIRST_QUERY)
                self.waits.append(time.perf_counter() - began)
                session.cursor.execute("SELECT path, reason FROM graphmem.stat_backend")
                path, reason = session.cursor.fetchone()
                self.overlay += path == "overlay"
                if path == "private":
                    self.private.append(reason)


def keep_up(table, what, session, statements, rows):
    """Statements of so many rows each, at TARGET_ROWS rows a second if the writer can."""
    watch = Watch()
    watch.start()
    began = time.perf_counter()
    for i, statement in enumerate(statements):
        session.cursor.execute(statement)
        early = began + (i + 1) * rows / TARGET_ROWS - time.perf_counter()
        if early > 0:
            time.sleep(early)
    wrote = time.perf_counter() - began
    last = wait_for_sync(session)
    watch.ends.set()
    watch.join()
    rate = len(statements) * rows / wrote
    table.add("%s, rows a second for %.0f s" % (what, wrote), "%.0f/s" % rate, "%d rows a transaction" % rows,
              "", ">= %d" % TARGET_ROWS, "met" if rate >= 0.97 * TARGET_ROWS else "the writer was slower")
    table.at_most("the worker is behind after the last commit, ms", in_ms(last),
                  "at most %d batches" % max(watch.behind), last * 1e3, TARGET_BEHIND_MS)
    table.at_most("a query meanwhile, median ms", in_ms(median(watch.waits)),
                  "p99 %s" % in_ms(percentile(watch.waits, 0.99)), median(watch.waits) * 1e3, TARGET_BEHIND_MS)
    table.add("queries answered privately meanwhile",
              "%d of %d" % (len(watch.private), len(watch.waits)),
              "%d by an overlay; %s" % (watch.overlay, ", ".join(sorted(set(watch.private))) or "none"), "", "0",
              "met" if not watch.private else "MISSED")


def speed(table, triples, quick):
    rows, seconds = 1000, 2 if quick else 12
    total = TARGET_ROWS * seconds
    part = triples.first(min(total, len(triples)))
    generate.write_ids(at("rows.tsv"), part, 1)
    with open(at("rows.tsv")) as file:
        lines = file.readlines()
    pieces = []
    for i in range(total // rows):
        pieces.append(at("piece.%d" % i))
        with open(pieces[-1], "w") as out:
            out.writelines(lines[(i * rows + j) % len(lines)] for j in range(rows))
    with Session("bench_kron") as session:
        # a writer that is as fast as one can be: the checks of references are not what is measured
        session.run("SET synchronous_commit = off; SET session_replication_role = replica")
        first = session.value("SELECT nextval('graphmem.triples_triple_id_seq')")
        keep_up(table, "inserted", session, [
            "COPY graphmem.triples (graph_id, subject_id, predicate_id, object_id, confidence) FROM '%s'" % piece
            for piece in pieces], rows)
        session.run("VACUUM ANALYZE graphmem.triples")
        session.run("SET enable_seqscan = off")
        keep_up(table, "deleted", session, [
            "DELETE FROM graphmem.triples WHERE triple_id BETWEEN %d AND %d" % (
                first + 1 + i * rows, first + (i + 1) * rows) for i in range(len(pieces))], rows)
        count_facts(table, session)
    for piece in pieces:
        os.unlink(piece)


def idle(table, quick):
    seconds = 3 if quick else 10
    with Session("bench_kron") as session:
        wait_for_sync(session)
        time.sleep(1)
        pid = worker(session)
        before, began = process_cpu(pid), time.perf_counter()
        held = 0
        for _ in range(seconds * 2):
            time.sleep(0.5)
            held += session.value("SELECT backend_xmin IS NOT NULL OR xact_start IS NOT NULL"
                                  " FROM pg_stat_activity WHERE pid = %s", (pid,))
        used = process_cpu(pid) - before
        wall = time.perf_counter() - began
        table.at_most("CPU of the idle worker, per cent of one", in_ms(used), "of %.0f s" % wall,
                      100 * used / wall, 100 * TARGET_IDLE)
        table.add("looks that found it holding a snapshot", "%d of %d" % (held, seconds * 2), "", "", "0",
                  "met" if held == 0 else "MISSED")


# ---- (h) many graphs ----

ENTITIES, TRIPLES, VECTORS, DIM = 100, 300, 20, 64


def fill_many(session, count):
    """count graphs of ENTITIES entities, TRIPLES triples, VECTORS vectors; ids follow from the graph's."""
    sizes = dict(e=ENTITIES, t=TRIPLES, v=VECTORS, d=DIM, n=count)
    session.run("SET session_replication_role = replica; SET synchronous_commit = off")
    for statement in (
            "INSERT INTO graphmem.graphs (graph_id, name) SELECT g, 'many ' || g FROM generate_series(1, %(n)d) AS g",
            "INSERT INTO graphmem.predicates (predicate_id, graph_id, name) SELECT g * 3 + p, g, 'p' || p"
            " FROM generate_series(1, %(n)d) AS g, generate_series(0, 2) AS p",
            "INSERT INTO graphmem.entities (entity_id, graph_id, name) SELECT g::bigint * %(e)d + i, g,"
            " 'entity ' || i || ' of ' || g FROM generate_series(1, %(n)d) AS g, generate_series(0, %(e)d - 1) AS i",
            "INSERT INTO graphmem.triples (graph_id, subject_id, predicate_id, object_id) SELECT g,"
            " g::bigint * %(e)d + i %% %(e)d, g * 3 + i / %(e)d,"
            " g::bigint * %(e)d + (i * 7 + i / %(e)d + 1) %% %(e)d"
            " FROM generate_series(1, %(n)d) AS g, generate_series(0, %(t)d - 1) AS i",
            "INSERT INTO graphmem.vector_spaces (space_id, graph_id, name, dim)"
            " SELECT g, g, 'default', %(d)d FROM generate_series(1, %(n)d) AS g",
            "INSERT INTO graphmem.embeddings (space_id, item_id, graph_id, embedding)"
            " SELECT g, g::bigint * %(e)d + i, g, (SELECT array_agg(sin(g + i * 31 + j * 7)::real)"
            " FROM generate_series(1, %(d)d) AS j) FROM generate_series(1, %(n)d) AS g, generate_series(0, %(v)d - 1) AS i"):
        session.run(statement % sizes)
        say("  %5.1f s  %s" % (session.wall, statement[:40]))
    session.run("RESET session_replication_role")
    session.run("VACUUM (ANALYZE, FREEZE)")


def used_by_graphs(session):
    return int(session.value("SELECT bytes FROM graphmem.stat_memory WHERE part = 'graphs'"))


def many_graphs(table, quick):
    count = 300 if quick else 10_000
    measure.create_database("bench_many")
    with Session("bench_many") as session:
        fill_many(session, count)
        wait_for_sync(session)
        times, wrong = [], 0
        for g in range(1, count + 1):
            began = time.perf_counter()
            session.cursor.execute("SELECT count(*) FROM graphmem.neighbors('entity 1 of %d', graph => 'many %d')"
                                   % (g, g))
            found = session.cursor.fetchone()[0]
            times.append(time.perf_counter() - began)
            wrong += found != 6
        shared = session.value("SELECT calls_shared FROM graphmem.stat_backend")
        table.add("graphs of %d triples and %d vectors answered from shared memory" % (TRIPLES, VECTORS),
                  "%d of %d" % (shared, count), "", "", "",
                  "same answers" if wrong == 0 else "%d ANSWERS DIFFER" % wrong)
        table.at_most("first query on a cold graph, median ms", in_ms(median(times)), "max %s" % in_ms(max(times)),
                      median(times) * 1e3, TARGET_COLD_MS)
        table.at_most("first query on a cold graph, p99 ms", in_ms(percentile(times, 0.99)), "",
                      percentile(times, 0.99) * 1e3, TARGET_COLD_MS)
        bytes_, names, ready = session.run(
            "SELECT sum(s.bytes)::bigint, (SELECT sum(octet_length(name)) FROM graphmem.entities)::bigint, count(*)"
            " FROM graphmem.stat_graph s WHERE state = 'ready'")[0]
        rest = bytes_ / ready - BYTES_A_TRIPLE * TRIPLES - names / count - VECTORS * DIM * 4
        table.at_most("bytes a graph beyond %d a triple, names and vectors of %d dimensions" % (BYTES_A_TRIPLE, DIM),
                      "%.0f in all" % (bytes_ / ready), "%d ready" % ready, rest, TARGET_GRAPH_BYTES)
        before = used_by_graphs(session)
        drop = min(1000, count // 3)
        session.run("DO $$ BEGIN FOR g IN 1 .. %d LOOP PERFORM graphmem.drop_graph('many ' || g); END LOOP; END $$"
                    % drop)
        say("  %d graphs dropped in %.1f s" % (drop, session.wall))
        wait_for_sync(session)
        time.sleep(1)
        session.run("SELECT * FROM graphmem.neighbors('a', graph => 'many %d')" % count)
        given = before - used_by_graphs(session)
        table.at_least("memory that dropping %d graphs gave back" % drop, "%.1f MB" % (given / 2 ** 20),
                       "%.1f MB they had" % (bytes_ / ready * drop / 2 ** 20), given / (bytes_ / ready * drop),
                       TARGET_GIVEN_BACK)
    with Session("postgres") as session:
        session.run("DROP DATABASE bench_many")


# ---- the section ----

def section_sync(table, triples, rows, columns, quick):
    table.title("The shared image")
    single_rows(table, triples, quick)
    copies(table, triples.first(rows), quick)
    with Session("bench_kron") as session:
        seconds = load_shared(session, FIRST_QUERY)
        image = int(session.value("SELECT bytes FROM graphmem.stat_graph WHERE graph = 'kron'"))
        table.add("image of %d triples" % len(triples), "%d MB" % (image >> 20), "loaded in %.1f s" % seconds)
    first_queries(table, quick)
    connections(table, image)
    small_call(table, quick)
    boot(table, len(triples), columns)
    visible(table, triples, quick)
    speed(table, triples, quick)
    idle(table, quick)
    many_graphs(table, quick)
