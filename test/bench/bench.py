#!/usr/bin/env python3
"""The measured claims of graphmem beside their baselines, in one table.

    bench.py [SECTION...]       copy, load, graph, sync, vectors, fusion, text

Started by run.sh, on whose server it works; settings are described there.
Every figure is the CPU time of the one backend that did the work, with the
wall time beside it: CPU time bears other work on the machine better.
"""

import os
import re
import subprocess
import sys
import time

import generate
import graph
import loops
import measure
import report
import sync
from measure import Session, median, say

QUICK = bool(os.environ.get("QUICK"))
WORK = os.environ["WORK"]
DATA = os.environ["DATA"]


def setting(name, normal, quick):
    return int(os.environ.get(name) or (quick if QUICK else normal))


SCALE = setting("SCALE", 18, 15)
EDGES = setting("EDGES", 8_000_000, 500_000)
ROWS = min(setting("ROWS", 1_000_000, 100_000), EDGES)
NAMES = setting("NAMES", 1_000_000, 50_000)
SCALES = [int(word) for word in (os.environ.get("SCALES") or ("12 13 14" if QUICK else "15 17 19")).split()]
ROUNDS = 2       # bare, ours, ours, bare
COLUMNS = ("triple_id fact_id subject_id predicate_id object_id confidence"
           " valid_from valid_to recorded_at expired_at").split()
TARGET_IDS, TARGET_FACTS, TARGET_LOAD, TARGET_BYTES = 0.60, 0.40, 4.0, 64.0
TARGET_LEG_MS = 5.0


def at(name):
    return os.path.join(WORK, name)


def rate(rows, seconds):
    return "%.0f rows/s" % (rows / seconds)


# ---- COPY ----

def contents(session, table):
    """What must be the same in both tables."""
    return session.run("SELECT count(*), sum(subject_id), sum(object_id),"
                       " sum(subject_id * predicate_id), round(sum(confidence)::numeric, 0)"
                       " FROM " + table)


def copy_ids(table, triples):
    """Median rows/s, by CPU and by wall, of the bare table and of triples."""
    graph_id = measure.create_database("bench_ids", "bench")
    generate.write_ids(at("ids.tsv"), triples, graph_id)
    times = {"bare": [], "graphmem.triples": []}
    with Session("bench_ids") as session:
        measure.fill_dictionary(session, graph_id, triples.nodes)
        session.run("CREATE TABLE bare (LIKE graphmem.triples INCLUDING ALL)")
        indexes = [session.value("SELECT count(*) FROM pg_index WHERE indrelid = %s::regclass", (t,))
                   for t in times]
        assert indexes[0] == indexes[1], indexes
        session.run("VACUUM ANALYZE graphmem.entities, graphmem.predicates")
        for turn in range(ROUNDS):
            for name in sorted(times, reverse=turn % 2 == 1):
                session.run("TRUNCATE " + name)
                session.run("CHECKPOINT")
                session.run("COPY %s (graph_id, subject_id, predicate_id, object_id, confidence)"
                            " FROM '%s'" % (name, at("ids.tsv")))
                times[name].append((session.cpu, session.wall))
                say("  %-18s %6.2f s CPU  %6.2f s" % (name, session.cpu, session.wall))
        assert contents(session, "bare") == contents(session, "graphmem.triples")
    cpu, wall = ({name: median([pair[i] for pair in pairs]) for name, pairs in times.items()}
                 for i in (0, 1))
    for unit, seconds in (("CPU", cpu), ("wall", wall)):
        table.at_least("COPY of %d id triples, %s" % (len(triples), unit),
                       rate(len(triples), seconds["graphmem.triples"]),
                       rate(len(triples), seconds["bare"]) + " without triggers",
                       seconds["bare"] / seconds["graphmem.triples"], TARGET_IDS)
    return cpu["bare"], wall["bare"]


def copy_facts(table, triples, bare):
    generate.write_facts(at("facts.tsv"), triples)
    times = {}
    measure.create_database("bench_facts", "bench")
    with Session("bench_facts") as session:
        for new in (True, False):
            if not new:
                session.run("TRUNCATE graphmem.triples, graphmem.assertions")
                session.run("VACUUM ANALYZE graphmem.entities")
            session.run("CHECKPOINT")
            session.run("COPY graphmem.facts (subject, predicate, object, confidence) FROM '%s'"
                        % at("facts.tsv"))
            times[new] = session.cpu, session.wall
            say("  names %-12s %6.2f s CPU  %6.2f s"
                % ("new" if new else "there", session.cpu, session.wall))
        found = session.value("SELECT count(*) FROM graphmem.facts")
        assert found == len(triples), found
        names = session.value("SELECT count(*) FROM graphmem.entities")
    with Session("postgres") as session:
        session.run("DROP DATABASE bench_facts")
    for new, pair in times.items():
        for i, unit in enumerate(("CPU", "wall")):
            seconds = pair[i]
            table.at_least("COPY of %d text facts, %d names %s, %s"
                           % (len(triples), names, "new" if new else "there", unit),
                           rate(len(triples), seconds), rate(len(triples), bare[i]) + " ids, bare",
                           bare[i] / seconds, TARGET_FACTS)


def section_copy(table, triples):
    table.title("COPY")
    part = triples.first(ROWS)
    bare = copy_ids(table, part)
    copy_facts(table, part, bare)
    with Session("postgres") as session:
        session.run("DROP DATABASE bench_ids")


# ---- loading an image ----

FIRST_QUERY = "SELECT count FROM graphmem.reach('%s', 1)" % generate.person(0)


def load_once(counted, columns):
    """Seconds of both scans and the load, and the memory that the load took."""
    figures = {"counted": [], "passed": []}
    with Session("bench_kron") as session:
        session.run("SET graphmem.shared_image = off")
        for _ in range(2):
            session.run(counted)
            figures["counted"].append((session.cpu, session.wall))
            session.run("SELECT %s FROM graphmem.triples WHERE graph_id = 1 OFFSET %d"
                        % (columns, EDGES))
            figures["passed"].append((session.cpu, session.wall))
        figures = {name: tuple(map(min, zip(*pairs))) for name, pairs in figures.items()}
        before = session.status_bytes("RssAnon")
        session.run(FIRST_QUERY)
        figures["load"] = session.cpu, session.wall
        figures["bytes"] = session.status_bytes("RssAnon") - before
        session.run(FIRST_QUERY)
        assert session.wall < figures["load"][1] / 10, "the image was not kept"
    say("  scan %.2f s CPU %.2f s, counting %.2f s CPU %.2f s, load %.2f s CPU %.2f s"
        % (figures["passed"] + figures["counted"] + figures["load"]))
    return figures


def section_load(table, triples):
    table.title("Loading a private image")
    columns = ", ".join(COLUMNS)
    counted = "SELECT %s FROM graphmem.triples WHERE graph_id = 1" % ", ".join(
        "count(%s)" % column for column in COLUMNS)
    with Session("bench_kron") as session:
        assert session.run(counted)[0] == (EDGES,) * len(COLUMNS)
        estimate = {part: (items, size) for part, items, size in
                    session.run("SELECT * FROM graphmem.estimate_memory()")}
        names = int(session.value("SELECT sum(octet_length(name)) FROM graphmem.entities"))
        # a virtual machine's host hands out memory that was never touched slowly
        say("  a load to warm up")
        session.run("SET graphmem.shared_image = off")
        session.run(FIRST_QUERY)
    rounds = [load_once(counted, columns) for _ in range(1 if QUICK else 2)]
    best = {name: tuple(map(min, zip(*(r[name] for r in rounds))))
            for name in ("load", "counted", "passed")}
    for i, unit in enumerate(("CPU", "wall")):
        load = best["load"][i]
        for scan, text in (("passed", "sequential scan of its columns"),
                           ("counted", "scan counting each column")):
            table.at_most("load of %d triples and %d entities, %s" % (EDGES, triples.nodes, unit),
                          "%.2f s" % load, "%.2f s %s" % (best[scan][i], text),
                          load / best[scan][i], TARGET_LOAD)
    grown = min(r["bytes"] for r in rounds) - names
    table.at_most("bytes a triple, growth of the backend less names", "%d MB" % (grown >> 20),
                  "%d MB names" % (names >> 20), grown / EDGES, TARGET_BYTES)
    items, size = estimate["triples"]
    table.at_most("bytes a triple, estimate_memory()", "%d MB" % (size >> 20),
                  "%d MB entities" % (estimate["entities"][1] >> 20), int(size) / items, TARGET_BYTES)


# ---- text ----

def section_text(table):
    table.title("Text, %d names and as many contents" % NAMES)
    if NAMES < 500_000:
        table.add("text", "skipped: too few names for the queries")
        return
    measure.create_database("bench_text")
    with Session("postgres") as session:
        # into the search indexes at once, by the VACUUM of text.py
        for option, value in (("gin_pending_list_limit", "2000MB"), ("maintenance_work_mem", "1GB")):
            session.run("ALTER DATABASE bench_text SET %s = '%s'" % (option, value))
    done = subprocess.run([sys.executable, "test/bench/text.py", "dbname=bench_text",
                           "--rows", str(NAMES), "--each", "10" if QUICK else "30"],
                          stdout=subprocess.PIPE, text=True)
    say(done.stdout)
    if done.returncode != 0:
        table.add("text", "failed")
        return
    for line in done.stdout.splitlines():
        cells = re.fullmatch(r"(.+?)\s+(\d+)\s+([\d.]+)\s+([\d.]+)\s+([\d.]+)\s+(\S+)", line)
        if cells:
            what, number, middle, p95, worst, recall = cells.groups()
            table.at_most("%s (%s), median" % (what, number), middle + " ms",
                          "p95 %s, max %s ms, recall@10 %s" % (p95, worst, recall),
                          float(middle), TARGET_LEG_MS)


# ---- the whole ----

SECTIONS = "copy load graph sync vectors fusion text".split()


def main():
    chosen = sys.argv[1:] or SECTIONS
    unknown = [name for name in chosen if name not in SECTIONS]
    if unknown:
        sys.exit("unknown section %s; there are: %s" % (unknown[0], " ".join(SECTIONS)))
    started = time.perf_counter()
    say("\n".join(measure.machine()))
    say("graph     R-MAT of 2^%d nodes, %d triples; COPY of %d; %d names for text%s"
        % (SCALE, EDGES, ROWS, NAMES, "; QUICK: these figures prove nothing" if QUICK else ""))
    say("plan      " + ", ".join(chosen))
    if not os.path.isdir(DATA):
        say("SKIP      real data sets: there is no folder " + DATA)
    table = measure.Table()
    triples = None
    if {"copy", "load", "graph", "sync"} & set(chosen):
        say("\n== making the graph")
        triples = generate.rmat(SCALE, EDGES)
    if "copy" in chosen:
        section_copy(table, triples)
    if {"load", "graph", "sync"} & set(chosen):
        say("\n== filling the tables with the graph")
        graph.fill("bench_kron", "kron", triples)
    if "load" in chosen:
        section_load(table, triples)
    if "graph" in chosen:
        graph.section_graph(table, triples, DATA, SCALES, QUICK)
    if "sync" in chosen:
        sync.section_sync(table, triples, ROWS, COLUMNS, QUICK)
    if {"vectors", "fusion"} & set(chosen):
        loops.section_vectors(table, QUICK, "fusion" in chosen)
    if "text" in chosen:
        section_text(table)
    machine = measure.machine()
    say("\n" + "\n".join(machine))
    say("graph     R-MAT of 2^%d nodes, %d triples; COPY of %d; %d names for text"
        % (SCALE, EDGES, ROWS, NAMES))
    table.show()
    report.write(os.environ["RESULTS"], table, machine,
                 {"QUICK": QUICK, "SCALE": SCALE, "EDGES": EDGES, "ROWS": ROWS, "NAMES": NAMES, "SCALES": SCALES,
                  "sections": chosen})
    say("\n%.0f s in all" % (time.perf_counter() - started))
    wrong = [row[0] for row in table.rows if "DIFFER" in row[-1]]
    if wrong:
        sys.exit("answers differ: " + "; ".join(wrong))


if __name__ == "__main__":
    main()
