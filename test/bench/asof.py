#!/usr/bin/env python3
"""Answers about other times, replaying events, and what history costs.

    asof.py [SECTION...]       wikidata, events, history

Started by time.sh, on whose server it works; settings are described there.
"""

import bisect
import collections
import datetime
import json
import os
import random
import subprocess
import sys
import time

import numpy as np

import generate
import graph
import loops
import measure
import sync
from measure import Session, say

QUICK = bool(os.environ.get("QUICK"))
WORK = os.environ["WORK"]
DATA = os.environ["DATA"]
SECTIONS = ["wikidata", "events", "history"]
SCALE = int(os.environ.get("SCALE") or (12 if QUICK else 16))
SCORER = os.path.join(os.path.dirname(DATA), "eval", "score_asof.py")

BATCH = 100             # facts a transaction
EVENTS = 9_000 if QUICK else 1_000_000
MOMENTS = 20 if QUICK else 100
TARGET_RATE = 5000      # facts a second
PAST = 10               # versions a fact
FACTS_EACH = 8
TARGET_HISTORY = 1.05
CALLS = 200 if QUICK else 2000
DIM, VECTORS = 24, 2000 if QUICK else 30000
TURNS = 5 if QUICK else 15      # of the two databases, side by side


def verdict(right):
    return "same answers" if right else "ANSWERS DIFFER"


def rows_of(folder, name):
    return list(graph.rows_of(os.path.join(DATA, folder), name, True))


# ---- wikidata12k ----

def intervals(rows):
    """Half-open years by (subject, predicate, object).  A fact that ended in the
    year in which it began again is stated twice for that year: what overlaps is
    joined.  Of one whose begin is not known, only its last year is certain.
    Then how many end before they begin, were joined, have no begin."""
    stated = collections.defaultdict(list)
    backwards = joined = beginless = 0
    for s, p, o, begin, end, _ in rows:
        beginless += not begin
        begin, end = int(begin or end), int(end) + 1 if end else None
        if end is not None and end <= begin:
            backwards += 1
            continue
        stated[s, p, o].append((begin, end))
    for fact, spans in stated.items():
        spans.sort(key=lambda span: span[0])
        kept = [spans[0]]
        for begin, end in spans[1:]:
            before, until = kept[-1]
            if until is None or begin < until:
                kept[-1] = before, None if until is None or end is None else max(until, end)
                joined += 1
            else:
                kept.append((begin, end))
        stated[fact] = kept
    return stated, backwards, joined, beginless


def first_day(number):
    return "\\N" if number is None else "%04d-01-01" % number


def load_wikidata(session, stated):
    path = os.path.join(WORK, "facts.tsv")
    with open(path, "w", encoding="utf-8") as out:
        for (s, p, o), spans in stated.items():
            out.writelines("%s\t%s\t%s\t%s\t%s\n" % (s, p, o, first_day(a), first_day(b)) for a, b in spans)
    session.run("COPY graphmem.facts (subject, predicate, object, valid_from, valid_to) FROM %s", (path,))
    return session.wall


def retired(session, stated):
    """Facts that hold in other years than the file says, or are retired."""
    wanted = collections.Counter((s, p, o, a, b) for (s, p, o), spans in stated.items() for a, b in spans)
    found = collections.Counter(session.run(
        "SELECT s.name, p.name, o.name, extract(year FROM t.valid_from)::int,"
        "  extract(year FROM nullif(t.valid_to, 'infinity'))::int"
        " FROM graphmem.triples t JOIN graphmem.entities s ON s.entity_id = t.subject_id"
        "  JOIN graphmem.predicates p USING (predicate_id) JOIN graphmem.entities o ON o.entity_id = t.object_id"
        " WHERE t.expired_at = 'infinity'"))
    return sum((wanted - found).values()) + sum((found - wanted).values())


def score(*arguments):
    done = subprocess.run([sys.executable, SCORER] + list(arguments) + ["--json"], stdout=subprocess.PIPE, text=True,
                          check=True)
    return json.loads(done.stdout)


def answer_asof(session, asked):
    """The scorer's lines.  Every second question is put to the year's last day."""
    path = os.path.join(WORK, "answers.tsv")
    with open(path, "w", encoding="utf-8") as out:
        for i, (s, p, asked_year) in enumerate(asked):
            session.cursor.execute("SELECT object FROM graphmem.match(%s, %s, as_of => %s)",
                                   (s, p, "%04d-%s" % (int(asked_year), ("01-01", "12-31 23:59:59")[i % 2])))
            out.writelines("%s\t%s\t%s\t%s\n" % (s, p, asked_year, o) for (o,) in session.cursor.fetchall())
    return path


def ask_latency(table, session, what):
    """Server's microseconds of match over the questions, about then and about now."""
    then = loops.per_call(session, "SELECT count(*), 0 FROM graphmem.match(q.s, q.p, as_of => q.at)", CALLS)
    now = loops.per_call(session, "SELECT count(*), 0 FROM graphmem.match(q.s, q.p)", CALLS)
    known = loops.per_call(session, "SELECT count(*), 0 FROM graphmem.match(q.s, q.p, as_of => q.at,"
                           " known_at => now())", CALLS)
    rows = [sum(x or 0 for x in times[2][0]) for times in (then, now)]
    table.add(what + ", match as of then", "%.1f us" % then[0], "%.1f us now" % now[0], "%.2f" % (then[0] / now[0]),
              "", "%d rows beside %d" % tuple(rows))
    table.add(what + ", and by what is known", "%.1f us" % known[0], "%.1f us now" % now[0],
              "%.2f" % (known[0] / now[0]))


def put_questions(session, rows):
    session.run("CREATE TABLE questions (n int PRIMARY KEY, s text, p text, at timestamptz)")
    session.run("INSERT INTO questions SELECT row_number() OVER (), u.* FROM unnest(%s, %s, %s::timestamptz[]) AS u",
                tuple(list(column) for column in zip(*rows)))


def section_wikidata(table):
    table.title("wikidata12k: answers as of a year")
    facts, asked = rows_of("wikidata12k", "facts"), rows_of("wikidata12k", "asof")
    stated, backwards, joined, beginless = intervals(facts)
    table.add("facts left out, ending before they begin", str(backwards), "of %d" % len(facts))
    table.add("facts without a begin, loaded as valid in their last year only", str(beginless), "of %d" % len(facts))
    table.add("facts joined to one that they overlap", str(joined), "of %d" % len(facts))
    measure.create_database("bench_wikidata", "bench")
    with Session("bench_wikidata") as session:
        session.run("SET timezone = 'UTC'")
        seconds = load_wikidata(session, stated)
        rows = sum(map(len, stated.values()))
        table.add("COPY into facts", "%.0f facts/s" % (rows / seconds), "%d facts" % rows)
        wrongly = retired(session, stated)
        table.add("facts retired that the intervals do not retire", str(wrongly), "", "", "0",
                  "met" if wrongly == 0 else "MISSED")
        sync.load_shared(session, "SELECT count(*) FROM graphmem.match('Q1')")
        answers = answer_asof(session, [row[:3] for row in asked])
        path = os.path.join(DATA, "wikidata12k", "%s.tsv.xz")
        ours = score(answers, path % "asof")
        latest = score("--baseline", "latest", path % "facts", path % "asof")
        for what in ("precision", "recall", "F1", "exact"):
            table.add("%d questions, %s" % (ours["questions"], what), "%.4f" % ours[what],
                      "%.4f latest wins" % latest[what], "", "1.000", "met" if ours[what] == 1 else "MISSED")
        put_questions(session, [(s, p, "%04d-07-01" % int(y)) for s, p, y, *_ in asked])
        ask_latency(table, session, "wikidata12k")
    drop("bench_wikidata")
    return ["wikidata12k: %d questions: precision %.4f, recall %.4f, F1 %.4f, exact %.4f" % (
                ours["questions"], ours["precision"], ours["recall"], ours["F1"], ours["exact"]),
            "wikidata12k: %d facts left out, %d wrongly retired, %d without a begin loaded as valid in their last year only"
            % (backwards, wrongly, beginless)]


def drop(database):
    with Session("postgres") as session:
        session.run("DROP DATABASE " + database)


# ---- icews14 ----

def next_day(day):
    return (datetime.date.fromisoformat(day) + datetime.timedelta(1)).isoformat()


def replay(session, events, remember):
    """Inserts the events in batches; seconds, and after some batches the clock's
    time and how many were in by then."""
    insert = session.cursor.mogrify
    statements = []
    for at in range(0, len(events), BATCH):
        rows = b",".join(insert("(%s,%s,%s,%s,%s)", (s, p, o, day, next_day(day)))
                         for s, p, o, day, _ in events[at:at + BATCH])
        statements.append(b"INSERT INTO graphmem.facts (subject, predicate, object, valid_from, valid_to) VALUES " + rows)
    commits = []
    spent = cpu = 0.0
    for i, statement in enumerate(statements):
        before, started = session.backend_cpu(), time.perf_counter()
        session.cursor.execute(statement)
        spent += time.perf_counter() - started
        cpu += session.backend_cpu() - before
        if i in remember:
            session.cursor.execute("SELECT clock_timestamp()")
            commits.append((session.cursor.fetchone()[0], min((i + 1) * BATCH, len(events))))
    return spent, cpu, commits


class Oracle:
    """What holds when, from the raw file; a day's events by the order of their arrival."""

    def __init__(self, events):
        self.by_day = collections.defaultdict(list)
        self.numbers = collections.defaultdict(list)
        for number, (s, p, o, day, _) in enumerate(events):
            self.by_day[day].append((s, p, o))
            self.numbers[day].append(number)

    def at(self, moment, arrived=None):
        day = moment.date().isoformat()
        found = self.by_day.get(day, [])
        return sorted(found if arrived is None else found[:bisect.bisect_left(self.numbers[day], arrived)])


def compare_moments(session, oracle, days, commits, dice):
    """How many answers differ, of how many, as of random moments and as known then."""
    wrong = asked = 0
    for i in range(MOMENTS):
        moment = datetime.datetime.fromisoformat(dice.choice(days)).replace(tzinfo=datetime.timezone.utc)
        moment += datetime.timedelta(microseconds=(0, 86_399_999_999, dice.randrange(86_400_000_000))[i % 3])
        known = dice.choice(commits)
        for when, arrived in ((None, None), known):
            found = session.run("SELECT subject, predicate, object FROM graphmem.match(as_of => %s, known_at => %s)",
                                (moment, when))
            wanted = oracle.at(moment, arrived)
            wrong += sorted(found) != wanted
            subjects = {s for s, _, _ in wanted}
            for s in dice.sample(sorted(subjects), min(5, len(subjects))):
                found = session.run("SELECT subject, predicate, object FROM"
                                    " graphmem.match(%s, as_of => %s, known_at => %s)", (s, moment, when))
                wrong += sorted(found) != [row for row in wanted if row[0] == s]
                asked += 1
            asked += 1
    return wrong, asked


def section_events(table):
    table.title("icews14: replayed in time order, %d a transaction, one client" % BATCH)
    events = sorted(rows_of("icews14", "events"), key=lambda row: row[3])[:EVENTS]
    dice = random.Random(14)
    batches = (len(events) + BATCH - 1) // BATCH
    remember = set(dice.sample(range(batches), min(40, batches)))
    for setting in ("on", "off"):
        measure.create_database("bench_events", "bench")
        with Session("bench_events") as session:
            session.run("SET timezone = 'UTC'")
            session.run("SET synchronous_commit = " + setting)
            seconds, cpu, commits = replay(session, events, remember)
            rate = len(events) / seconds
            table.add("%d events, synchronous_commit %s" % (len(events), setting), "%.0f facts/s" % rate,
                      "%.0f us of CPU each" % (cpu / len(events) * 1e6), "%.2f" % (rate / TARGET_RATE),
                      ">= %d" % TARGET_RATE if setting == "on" else "",
                      ("met" if rate >= TARGET_RATE else "MISSED") if setting == "on" else "")
            if setting == "on":
                rows = session.value("SELECT count(*) FROM graphmem.triples WHERE expired_at = 'infinity'")
                table.add("facts afterwards", str(rows), "%d events" % len(events), "", "", verdict(rows == len(events)))
                sync.load_shared(session, "SELECT count(*) FROM graphmem.match('China')")
                days = sorted({row[3] for row in events})
                wrong, asked = compare_moments(session, Oracle(events), days, commits, dice)
                table.add("answers about %d moments that differ" % MOMENTS, str(wrong), "of %d" % asked, "", "0",
                          verdict(wrong == 0))
                chosen = [(s, p, day + " 12:00:00+00") for s, p, _, day, _ in dice.sample(events, CALLS)]
                put_questions(session, chosen)
                ask_latency(table, session, "icews14")
        drop("bench_events")


# ---- what history costs ----

ARCS = """
CREATE TABLE arcs (graph_id int, s bigint, p bigint, o bigint, c real, n bigint GENERATED ALWAYS AS IDENTITY)
"""

# The current row is the same with and without past ones, and comes last.
CURRENT = """
SELECT a.n * {step}, a.n, a.graph_id, a.s, a.p, a.o, a.c, 'infinity'::timestamptz AS valid_to,
    timestamptz '2002-01-01 UTC' + a.n * interval '1 second' AS valid_from,
    timestamptz '2020-01-01 UTC' + a.n * interval '1 second' AS recorded_at, 'infinity'::timestamptz AS expired_at
FROM arcs a
"""

# Half were corrected, the others held before, of other objects.
BEFORE = """
SELECT a.n * {step} - k, CASE WHEN k % 2 = 0 THEN a.n ELSE a.n * {step} + k + 1000000000 END, a.graph_id, a.s, a.p,
    CASE WHEN k % 2 = 0 THEN a.o ELSE 1 + (a.o * 7919 + k * 104729) % {nodes} END, a.c,
    CASE WHEN k % 2 = 0 THEN timestamptz 'infinity' ELSE since + interval '1 month' END,
    CASE WHEN k % 2 = 0 THEN timestamptz '-infinity' ELSE since END,
    since, CASE WHEN k % 2 = 0 THEN since + interval '1 month' ELSE timestamptz 'infinity' END
FROM arcs a, generate_series(1, {past}) AS k,
    LATERAL (SELECT timestamptz '2001-12-01 UTC' - k * interval '1 month' + a.n * interval '1 second') AS l (since)
"""

COLUMNS = ("triple_id, fact_id, graph_id, subject_id, predicate_id, object_id, confidence, valid_to, valid_from,"
           " recorded_at, expired_at")

QUESTIONS = """
CREATE TABLE questions (n int PRIMARY KEY, seed text, other text, seeds text[], p text, vector real[])
"""

ASKED = [
    # what, query of two numbers, calls
    ("reach, 1 hop", "SELECT count, checksum FROM graphmem.reach(q.seed, 1)", CALLS),
    ("reach, 2 hops", "SELECT count, checksum FROM graphmem.reach(q.seed, 2)", CALLS // 4),
    ("reach, 3 hops", "SELECT count, checksum FROM graphmem.reach(q.seed, 3)", CALLS // 20),
    ("neighbors", "SELECT count(*), sum(triple_id) FROM graphmem.neighbors(q.seed)", CALLS),
    ("match(subject)", "SELECT count(*), sum(triple_id) FROM graphmem.match(q.seed)", CALLS),
    ("match(subject, predicate)", "SELECT count(*), sum(triple_id) FROM graphmem.match(q.seed, q.p)", CALLS),
    ("match(predicate)", "SELECT count(*), sum(triple_id) FROM graphmem.match(NULL, q.p)", 20),
    ("match(predicate), the first 10",
     "SELECT count(*), sum(triple_id) FROM graphmem.match(NULL, q.p, match_count => 10)", CALLS),
    ("shortest path", "SELECT sum(hops), 0 FROM graphmem.shortest_path(q.seed, q.other)", CALLS // 2),
    ("pagerank from a seed, epsilon 1e-4",
     "SELECT count(*), sum(score) FROM graphmem.pagerank(q.seeds, 10, epsilon => 1e-4)", CALLS),
    ("pagerank from a seed, epsilon 1e-6",
     "SELECT count(*), sum(score) FROM graphmem.pagerank(q.seeds, 10, epsilon => 1e-6)", CALLS // 10),
    ("whole graph, pagerank", "SELECT count(*), sum(score) FROM graphmem.pagerank(epsilon => 1e-4)", 3),
    ("whole graph, components", "SELECT count(*), sum(component_size) FROM graphmem.components()", 3),
    ("fusion: by seed", "SELECT count(*), sum(score) FROM graphmem.fusion_query(seeds => q.seeds)", CALLS // 2),
    ("fusion: by text", "SELECT count(*), sum(score) FROM graphmem.fusion_query(query_text => q.seed)", CALLS // 10),
    ("fusion: vectors of entities and facts",
     "SELECT count(*), sum(score) FROM graphmem.fusion_query(q.vector, exact => true, space => 'entities')", CALLS // 10),
    # which of the near ones an index finds is up to how it was built
    ("vector_search of facts", "SELECT count(*), 0 FROM graphmem.vector_search(q.vector, space => 'facts')", CALLS),
    ("vector_search of facts, exact",
     "SELECT count(*), sum(item_id) FROM graphmem.vector_search(q.vector, space => 'facts', exact => true)", CALLS // 10),
]


def fill_versions(database, triples, past):
    """The graph with so many past versions of each fact; vectors of entities and facts."""
    graph_id = measure.create_database(database, "bench")
    path = os.path.join(WORK, database + ".bin")
    generate.write_binary(path, triples, graph_id)
    with Session(database) as session:
        measure.fill_dictionary(session, graph_id, triples.nodes)
        session.run("UPDATE graphmem.entities SET created_at = '2000-01-01'")
        session.run(ARCS)
        session.run("COPY arcs (graph_id, s, p, o, c) FROM '%s' (FORMAT binary)" % path)
        for index in ("spo", "pos", "osp", "functional"):       # only writers need them
            session.run("DROP INDEX graphmem.triples_" + index)
        rows = CURRENT if past == 0 else BEFORE + " UNION ALL " + CURRENT
        session.run("INSERT INTO graphmem.triples (%s) %s ORDER BY 1" % (
            COLUMNS, rows.format(step=PAST + 1, past=past, nodes=triples.nodes)))
        for space, target, items in (("entities", "entity", "entity_id FROM graphmem.entities"),
                                     ("facts", "fact", "n FROM arcs")):
            session.run("SELECT graphmem.create_vector_space(%s, %s, target => %s)", (space, DIM, target))
            session.run("INSERT INTO graphmem.embeddings (space_id, item_id, graph_id, embedding)"
                        " SELECT (SELECT space_id FROM graphmem.vector_spaces WHERE name = %%s), i, %%s,"
                        "  (SELECT array_agg(sin(i * 7.3 + d * mod(i, 101) + d))::real[] FROM generate_series(1, %%s) d)"
                        " FROM (SELECT %s ORDER BY 1 LIMIT %%s) AS items (i)" % items, (space, graph_id, DIM, VECTORS))
        session.run("DROP TABLE arcs")
        session.run("VACUUM (ANALYZE, FREEZE)")
    os.unlink(path)


def ask_setup(database, triples):
    dice = np.random.default_rng(3)
    seeds = graph.choose_seeds(triples, CALLS)
    names = [generate.person(i) for i in seeds.tolist()]
    session = Session(database)
    session.run(QUESTIONS)
    session.run("INSERT INTO questions SELECT row_number() OVER (), s, o, ARRAY[s], 'predicate ' || n %% 20,"
                " NULL FROM unnest(%s, %s) WITH ORDINALITY AS u (s, o, n)", (names, names[1:] + names[:1]))
    for n in range(len(names)):
        session.cursor.execute("UPDATE questions SET vector = %s::real[] WHERE n = %s",
                               ([round(float(x), 4) for x in dice.standard_normal(DIM)], n + 1))
    session.run("SET work_mem = '256MB'")
    sync.load_shared(session, "SELECT count FROM graphmem.reach('%s', 1)" % names[0])
    session.run("SELECT graphmem.wait_for_sync(600000)")
    for _ in range(6000):
        pending = session.value("SELECT coalesce(sum(pending), 0) FROM graphmem.stat_vector")
        if pending == 0:
            return session
        time.sleep(0.1)
    raise RuntimeError("vectors are not indexed")


def near(a, b):
    return len(a) == len(b) and all(
        (x is None) == (y is None) and (x is None or abs(x - y) <= 1e-4 * max(1, abs(x))) for x, y in zip(a, b))


def side_by_side(sessions, query, calls):
    """The best CPU microseconds a call of either session, the median of the
    ratios of turns that followed each other, and the answers.  Which goes first
    alternates, so that other work on the machine hits both alike."""
    turns, answers = ([], []), [None, None]
    for session in sessions:
        session.run(loops.LOOP.replace("{0}", query))
        session.run("SELECT firsts FROM ask(%d)" % calls)        # plans
    for turn in range(TURNS):
        for i in ((0, 1), (1, 0))[turn % 2]:
            answers[i] = sessions[i].run("SELECT firsts, seconds FROM ask(%d)" % calls)[0]
            turns[i].append(sessions[i].cpu / calls * 1e6)
    ratio = measure.median([past / plain for plain, past in zip(*turns)])
    return min(turns[0]), min(turns[1]), ratio, answers


def section_history(table):
    triples = generate.rmat(SCALE, FACTS_EACH << SCALE)
    table.title("queries about now: %d facts, with %d past versions each" % (len(triples), PAST))
    sessions = []
    for database, past in (("bench_plain", 0), ("bench_past", PAST)):
        fill_versions(database, triples, past)
        sessions.append(ask_setup(database, triples))
        rows, size = sessions[-1].run("SELECT triples, bytes FROM graphmem.stat_graph WHERE graph = 'bench'")[0]
        table.add("%s, image" % database, "%.0f MB" % (size / 1e6), "%d versions" % rows)
    for what, query, calls in ASKED:
        plain, past, ratio, answers = side_by_side(sessions, query, calls)
        same = all(near(a, b) for a, b in zip(*answers))
        table.add(what, "%.1f us" % past, "%.1f us without history" % plain, "%.3f" % ratio,
                  "<= %.2f" % TARGET_HISTORY, ("met" if ratio <= TARGET_HISTORY else "MISSED") +
                  ("" if same else ", ANSWERS DIFFER"))
    known = sessions[1]
    for what, query in (("reach, 2 hops", "SELECT count, checksum FROM graphmem.reach(q.seed, 2{0})"),
                        ("pagerank from a seed, epsilon 1e-4",
                         "SELECT count(*), sum(score) FROM graphmem.pagerank(q.seeds, 10, epsilon => 1e-4{0})"),
                        ("vector_search, exact", "SELECT count(*), sum(item_id) FROM graphmem.vector_search(q.vector,"
                         " space => 'entities', exact => true{0})"),
                        ("fusion: by seed", "SELECT count(*), sum(score) FROM graphmem.fusion_query(seeds => q.seeds{0})")):
        now = loops.per_call(known, query.replace("{0}", ""), CALLS // 10)[0]
        for when, argument in (("as_of 2001", ", as_of => '2001-06-01'"), ("known_at 2001", ", known_at => '2001-06-01'"),
                               ("known_at now()", ", known_at => now()")):
            then = loops.per_call(known, query.replace("{0}", argument), CALLS // 10)[0]
            table.add("%s, %s" % (what, when), "%.1f us" % then, "%.1f us about now" % now, "%.2f" % (then / now))
    for session in sessions:
        session.close()
    for database in ("bench_plain", "bench_past"):
        drop(database)


# ---- what a run leaves ----

def markdown(table, machine):
    lines = ["    " + line for line in machine] + [""]
    for row in table.rows:
        if len(row) == 1:
            lines += ["", "## " + row[0], "", "| | measured | beside | ratio | target | |", "|---|---|---|---:|---:|---|"]
        else:
            lines.append("| %s |" % " | ".join(row))
    return "\n".join(lines) + "\n"


def write(table, machine, parameters):
    folder = os.environ["RESULTS"]
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "time.json"), "w", encoding="utf-8") as out:
        json.dump({"machine": machine, "parameters": parameters, "figures": table.rows}, out, indent=1)
        out.write("\n")
    with open(os.path.join(folder, "time.md"), "w", encoding="utf-8") as out:
        out.write(markdown(table, machine))


def main():
    sections = sys.argv[1:] or SECTIONS
    unknown = [name for name in sections if name not in SECTIONS]
    if unknown:
        sys.exit("unknown section %s; there are: %s" % (unknown[0], " ".join(SECTIONS)))
    started = time.perf_counter()
    machine = [line.replace("fsync off", "fsync on") for line in measure.machine()]
    if QUICK:
        machine.append("QUICK: these figures prove nothing")
    say("\n".join(machine))
    table = measure.Table()
    closing = []
    for name, folder, section in (("wikidata", "wikidata12k", section_wikidata), ("events", "icews14", section_events),
                                  ("history", None, section_history)):
        if name not in sections:
            continue
        if folder is not None and not (os.path.isdir(os.path.join(DATA, folder)) and os.path.isfile(SCORER)):
            table.title("%s: left out, no %s in DATA" % (name, folder))
            continue
        closing += section(table) or []
    say("\n" + "\n".join(machine))
    table.show()
    say("\n".join([""] + closing))
    write(table, machine + closing, {"QUICK": QUICK, "SCALE": SCALE, "batch": BATCH, "past": PAST, "sections": sections})
    say("\n%.0f s in all" % (time.perf_counter() - started))
    wrong = [row[0] for row in table.rows if "DIFFER" in row[-1]]
    if wrong:
        sys.exit("answers differ: " + "; ".join(wrong))


if __name__ == "__main__":
    main()
