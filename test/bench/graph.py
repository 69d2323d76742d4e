"""The graph through SQL: beside plain C (floor.c) and what others do
(rivals.py) on the same data, with the same answers.

Queries run inside the server (loops.py), so that the time is the server's
alone.  A rival is asked as many of the questions as fit in a few seconds, and
is compared with what graphmem takes for the very same ones.
"""

import lzma
import os
import statistics
import threading

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

import generate
import measure
import rivals
import sync
from loops import LOOP, QUESTIONS, per_call, add_loop, run_floor, write_graph
from measure import Session, median, say

WORK = os.environ["WORK"]

TARGET_REACH_2, TARGET_REACH_3, TARGET_PATH = 50.0, 30.0, 20.0      # times faster than SQL
SLOW_SQL_US = 5000.0            # 3 hops count where SQL takes longer
TARGET_PPR_US, TARGET_PPR_TIMES = 150.0, 1.5
# GAP's single-thread times on kron18, microseconds, and how often they may be taken
GAP = {"pagerank to 1e-4": 208000.0, "components": 14800.0, "BFS": 11500.0}
TARGET_GAP = 2.0
TARGET_ROW_US = 0.5
TARGET_CLIENTS = 1.1
TARGET_FLAT = 0.2
SMALL_FLOOR_US = 5.0            # of which a call through SQL is a multiple by itself

REACH = "SELECT count, checksum FROM graphmem.reach(q.seed, %d)"
PATH = "SELECT hops, cost FROM graphmem.shortest_path(q.seed, q.other)"
PPR = "SELECT entity_id, score FROM graphmem.pagerank(ARRAY[q.seed], 1, epsilon => %s)"
PPR_MASS = "SELECT count(*), sum(score) FROM graphmem.pagerank(ARRAY[q.seed], NULL, epsilon => %s)"
# ends as GAP's does
WHOLE_RANK = "graphmem.pagerank(match_count => %s, epsilon => 1e-4, max_iterations => 20)"

WALKS = (
    # what, line of floor.c, most questions, query, which answers the floor's check adds up, SQL forms
    ("reach, 1 hop", "reach 1", 200, REACH % 1, 1, rivals.sql_reach(1)),
    ("reach, 2 hops", "reach 2", 200, REACH % 2, 1, rivals.sql_reach(2)),
    ("reach, 3 hops", "reach 3", 50, REACH % 3, 1, rivals.sql_reach(3)),
    ("shortest path", "shortest path", 200, PATH, 0, rivals.SQL_PATH),
)


# ---- data ----

def rows_of(folder, name, header):
    with lzma.open(os.path.join(folder, name + ".tsv.xz"), "rt", encoding="utf-8") as file:
        if header:
            next(file)
        for line in file:
            yield line.rstrip("\n").split("\t")


def read_triples(folder, file, header):
    """A data set's distinct triples; what they are called plays no part."""
    entities, predicates, found = {}, {}, set()
    for row in rows_of(folder, file, header):
        s, p, o = row[:3] if len(row) > 2 else (row[0], "", row[1])
        found.add((entities.setdefault(s, len(entities)), predicates.setdefault(p, len(predicates)),
                   entities.setdefault(o, len(entities))))
    s, p, o = np.array(sorted(found), np.int64).T
    return generate.Triples(len(entities), s, p, o, np.ones(len(s), np.float32))


REAL = (
    # folder, file, whether it has a header line
    ("wn18rr", "train", False),
    ("wordnet", "triples", False),
    ("musique_openie", "triples", True),
    ("2wikimultihopqa", "mentions", True),
    ("wikidata12k", "facts", True),
    ("ppi", "edges", False),
)


def fill(database, graph, triples):
    """A database with the graph, without the indexes that loading never reads."""
    graph_id = measure.create_database(database, graph)
    path = os.path.join(WORK, database + ".bin")
    generate.write_binary(path, triples, graph_id)
    with Session(database) as session:
        measure.fill_dictionary(session, graph_id, triples.nodes, int(triples.p.max()) + 1)
        # filling these would take minutes
        for index in ("spo", "pos", "osp", "fact", "functional"):
            session.run("DROP INDEX graphmem.triples_" + index)
        session.run("SET session_replication_role = replica")
        session.run("COPY graphmem.triples (graph_id, subject_id, predicate_id, object_id, confidence)"
                    " FROM '%s' (FORMAT binary)" % path)
        session.run("VACUUM (ANALYZE, FREEZE)")
        session.run("CHECKPOINT")
    os.unlink(path)


def drop(database):
    with Session("postgres") as session:
        session.run("DROP DATABASE %s" % database)


def choose_seeds(triples, n):
    """Nodes of the largest component, so that there is a path from each to each."""
    links = coo_matrix((np.ones(len(triples), np.int8), (triples.s, triples.o)),
                       shape=(triples.nodes, triples.nodes))
    _, part = connected_components(links, directed=False)
    inside = np.flatnonzero(part == np.bincount(part).argmax())
    return np.random.default_rng(1).choice(inside, min(n, len(inside)), replace=False)


def prepare(session, triples, n):
    """Questions in the database, the image in shared memory, and floor.c's lines."""
    graph, seed_file = os.path.join(WORK, "graph.bin"), os.path.join(WORK, "seeds")
    seeds = choose_seeds(triples, n)
    write_graph(graph, triples)
    np.savetxt(seed_file, seeds + 1, "%d")
    say("  floor.c on %d seeds" % len(seeds))
    floor = run_floor("-g", graph, "-S", seed_file)
    os.unlink(graph)
    names = [generate.person(i) for i in seeds.tolist()]
    ids = (seeds + 1).tolist()
    session.run(QUESTIONS)
    session.run("INSERT INTO questions (n, seed, other, seed_id, other_id) SELECT * FROM unnest(%s, %s, %s, %s, %s)",
                (list(range(len(ids))), names, names[1:] + names[:1], ids, ids[1:] + ids[:1]))
    session.run("SET work_mem = '256MB'")
    sync.load_shared(session, "SELECT count FROM graphmem.reach('%s', 1)" % names[0])
    return floor, len(ids)


# ---- one graph beside the floor and the rivals ----

def same_sum(answers, check):
    total = sum(x for x in answers if x is not None)
    return abs(total - check) <= 1e-8 * abs(check)      # floor.c prints ten digits


def verdict_of(same):
    return "same answers" if same else "ANSWERS DIFFER"


def in_time(us):
    return "%.1f us" % us if us < 1000 else "%.2f ms" % (us / 1e3) if us < 1e6 else "%.1f s" % (us / 1e6)


def target_of(what, data, best):
    if what == "reach, 2 hops" and data.startswith("R-MAT"):
        return TARGET_REACH_2
    if what == "reach, 3 hops" and not data.startswith("R-MAT") and best > SLOW_SQL_US:
        return TARGET_REACH_3
    return TARGET_PATH if what == "shortest path" else None


class Comparison:
    """One graph's: the session it is measured in, and the budget of seconds that
    a rival has for each kind of question."""

    def __init__(self, table, data, session, budget):
        self.table, self.data, self.session, self.budget = table, data, session, budget

    def ours(self, query, n):
        cpu, wall, answers = per_call(self.session, query, n)
        path, reason = self.session.run("SELECT path, reason FROM graphmem.stat_backend")[0]
        if path != "shared":
            self.table.add("answered from a %s image" % path, reason, "", "", "", "MISSED")
        return cpu, wall, answers

    def rival(self, what, name, form, query, most, ours, timeout=60):
        """A rival's CPU a call, and ours for the same questions; None: too slow."""
        theirs = rivals.slow_call(self.session, LOOP, form, most, self.budget, timeout)
        if theirs is None:
            self.table.add("%s, %s" % (what, name), "over %d s" % timeout, "", "", "", "too slow")
            return None
        n = theirs["n"]
        cpu, _, answers = ours if n == most else self.ours(query, n)
        same = all(list(a) == list(b) for a, b in zip(answers, theirs["answers"]))
        self.table.add("%s, %s" % (what, name), in_time(theirs["cpu"]),
                       "%s graphmem; wall %s; %d questions" % (in_time(cpu), in_time(theirs["wall"]), n),
                       "%.1f" % (theirs["cpu"] / cpu), "", verdict_of(same))
        return {"theirs": theirs["cpu"], "ours": cpu, "n": n, "times": theirs["cpu"] / cpu}

    def best_sql(self, what, forms, query, most, ours):
        found = [self.rival(what, name, form, query, most, ours) for name, form in forms.items()]
        found = [f for f in found if f is not None]
        if not found:
            return None
        best = min(found, key=lambda f: f["theirs"])
        target = target_of(what, self.data, best["theirs"])
        if target is None:
            self.table.add("%s, times faster than the faster SQL form" % what, "%.1f" % best["times"])
        else:
            self.table.at_least("%s, times faster than the faster SQL form" % what, in_time(best["ours"]),
                                in_time(best["theirs"]) + " SQL", best["times"], target)
        return best

    def walks(self, floor, n, age):
        gives_up = False
        for what, line, most, query, checked, forms in WALKS:
            most = min(most, n)
            ours = self.ours(query, most)
            add_loop(self.table, what, ours[:2], floor[line][0], same_sum(ours[2][checked], floor[line][2]))
            sql = self.best_sql(what, forms, query, most, ours)
            peer = None
            form = age.form(self.session, what) if age else None
            if form and not (gives_up and what.startswith("reach")):
                peer = self.rival(what, age.name, form, query, most, ours, 30)
                gives_up = peer is None or peer["theirs"] > 1e6
            self.table.compare(self.data, what, ours[0], wall=ours[1], floor=floor[line][0],
                               sql=sql and sql["theirs"], sql_times=sql and sql["times"], sql_questions=sql and sql["n"],
                               age=peer and peer["theirs"], age_times=peer and peer["times"],
                               age_questions=peer and peer["n"])

    def ranks(self, floor, n, targets):
        for epsilon in ("1e-4", "1e-6"):
            line = floor["ppr " + epsilon]
            what = "pagerank from a seed, epsilon " + epsilon
            cpu, wall, _ = self.ours(PPR % epsilon, n)
            beside = "%.1f us in C; wall %.1f" % (line[0], wall)
            if targets and epsilon == "1e-4":
                self.table.at_most(what + ", us", "%.1f us" % cpu, beside, cpu, TARGET_PPR_US)
            elif targets:
                self.table.at_most(what, "%.1f us" % cpu, beside, cpu / line[0], TARGET_PPR_TIMES)
            else:
                self.table.add(what, "%.1f us" % cpu, beside, "%.2f" % (cpu / line[0]))
            self.table.compare(self.data, what, cpu, wall=wall, floor=line[0])
        # the same mass is pushed, though not in the same order
        _, _, answers = self.ours(PPR_MASS % "1e-4", n)
        ours, theirs = sum(answers[1]), floor["ppr 1e-4"][2]
        self.table.add("mass that pagerank pushed, epsilon 1e-4", "%.4f" % ours, "%.4f in C" % theirs,
                       "%.4f" % (ours / theirs), "", verdict_of(abs(ours / theirs - 1) < 0.02))

    def whole(self, floor, n, gap):
        """PageRank, components and BFS; gap: compare with GAP's times too."""
        bfs = min(20, n)
        for what, line, questions, query, check_query, checked in (
                ("pagerank to 1e-4", "pagerank to 1e-4", 1, "SELECT entity_id, score FROM " + WHOLE_RANK % "1",
                 "SELECT count(*), sum(score * score) FROM " + WHOLE_RANK % "NULL", 1),
                ("components", "components", 1,
                 "SELECT component_id, component_size FROM graphmem.components(match_count => 1)",
                 "SELECT count(DISTINCT component_id), count(*) FROM graphmem.components()", 0),
                ("BFS", "reach, all hops", bfs, REACH % 100, None, 1)):
            cpu, wall, answers = self.ours(query, questions)
            if check_query:
                _, _, answers = self.ours(check_query, questions)
            add_loop(self.table, "whole graph, " + what, (cpu, wall), floor[line][0],
                     same_sum(answers[checked], floor[line][2]))
            if gap:
                self.table.at_most("whole graph, %s, beside GAP" % what, in_time(cpu), in_time(GAP[what]) + " GAP",
                                   cpu / GAP[what], TARGET_GAP)
            self.table.compare(self.data, "whole graph, " + what, cpu, wall=wall, floor=floor[line][0],
                               gap=GAP[what] if gap else None)


def load_age(table, session, nodes):
    version = rivals.offers(session, "age")
    if version is None:
        return None
    age = rivals.Age(version)
    seconds = age.load(session, nodes)
    before = session.status_bytes("RssAnon")
    session.run(LOOP.replace("{0}", age.form(session, "reach, 1 hop")))
    session.run("SELECT ask(1)")
    table.add(age.name + ", first query of a session", in_time(session.wall * 1e6),
              "%d MB of its own; loaded in %.1f s" % ((session.status_bytes("RssAnon") - before) >> 20, seconds))
    return age


def compare_graph(table, database, data, triples, quick, big):
    with Session(database) as session:
        floor, n = prepare(session, triples, 50 if quick else 200)
        comparison = Comparison(table, data, session, 1 if quick else 5)
        if big:
            cpu, wall, _ = per_call(session, "SELECT 1, 1", n)
            table.add("a statement that does nothing, SELECT 1", "%.1f us" % cpu, "wall %.1f us" % wall)
            cpu, wall, _ = per_call(session, "SELECT * FROM graphmem.reach('nobody', 1)", n)
            table.add("a call that finds nothing, reach('nobody', 1)", "%.1f us" % cpu, "wall %.1f us" % wall)
        arcs, seconds = rivals.create_arcs(session, triples)
        table.add("%d triples, %d nodes" % (len(triples), triples.nodes), "%d arcs for SQL" % arcs,
                  "loaded and indexed in %.1f s" % seconds)
        age = load_age(table, session, triples.nodes)
        comparison.walks(floor, n, age)
        comparison.ranks(floor, n, big)
        if big:
            comparison.whole(floor, n, len(triples) == 8_000_000 and triples.nodes == 2 ** 18)
        return floor, n


# ---- rows that are returned ----

ROW_FORMS = (
    # function, most questions, call of all rows, call of one
    ("traverse, 2 hops", 20, "graphmem.traverse(ARRAY[q.seed], 2)", "graphmem.reach(q.seed, 2)"),
    ("pagerank", 1, WHOLE_RANK % "NULL", WHOLE_RANK % "1"),
    ("components", 1, "graphmem.components()", "graphmem.components(match_count => 1)"),
    ("neighbors", 200, "graphmem.neighbors(q.seed)", "graphmem.neighbors(q.seed, match_count => 1)"),
    ("match", 200, "graphmem.match(q.seed)", "graphmem.match(q.seed, match_count => 1)"),
    ("subgraph, 1 hop", 20, "graphmem.subgraph(ARRAY[q.seed], 1)",
     "graphmem.subgraph(ARRAY[q.seed], 1, match_count => 1)"),
)


def returned_rows(table, session, n):
    for what, most, all_rows, one in ROW_FORMS:
        most = min(most, n)
        counted = "SELECT count(*), NULL::float8 FROM "
        many, _, answers = per_call(session, counted + all_rows, most)
        single, _, ones = per_call(session, counted + one, most)
        rows = (sum(answers[0]) - sum(ones[0])) / most
        table.at_most("us a returned row, %s, %.0f rows a call" % (what, rows + 1), in_time(many),
                      in_time(single) + " the one-row form", (many - single) / max(rows, 1), TARGET_ROW_US)


# ---- two clients at once ----

class Client(threading.Thread):
    def __init__(self, database, statement, start):
        super().__init__()
        self.database, self.statement, self.start_line, self.cpu, self.failed = database, statement, start, 0.0, None

    def run(self):
        try:
            with Session(self.database) as session:
                session.run("SELECT ask(20)")
                self.start_line.wait(60)
                session.run(self.statement)
                self.cpu = session.cpu
        except Exception as error:      # told by the thread that waits
            self.failed = error
            self.start_line.abort()


def clients_cpu(database, statement, number):
    """CPU seconds a client, of so many at once."""
    start = threading.Barrier(number)
    clients = [Client(database, statement, start) for _ in range(number)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    for client in clients:
        if client.failed:
            raise client.failed
    return statistics.mean(client.cpu for client in clients)


def two_clients(table, database, n, quick):
    rounds = 3 if quick else 7
    for what, query in (("reach, 2 hops", REACH % 2), ("shortest path", PATH),
                        ("pagerank from a seed, epsilon 1e-4", PPR % "1e-4")):
        with Session(database) as session:
            cpu, _, _ = per_call(session, query, n)
        repeats = max(1, int(0.4e6 / (cpu * n)))
        statement = "SELECT count((ask(%d)).firsts) FROM generate_series(1, %d)" % (n, repeats)
        seconds = {1: [], 2: []}
        for turn in range(rounds):
            for number in (1, 2) if turn % 2 == 0 else (2, 1):
                seconds[number].append(clients_cpu(database, statement, number))
        one, two = (median(seconds[i]) / (n * repeats) * 1e6 for i in (1, 2))
        table.at_most("two clients, server CPU a query, %s" % what, "%.1f us" % two, "%.1f us with one" % one,
                      two / one, TARGET_CLIENTS)


# ---- from one million to sixteen ----

def measured_size(session, triples, n):
    floor, n = prepare(session, triples, n)
    empty = per_call(session, "SELECT * FROM graphmem.reach('nobody', 1)", n)[0]
    sizes = {}
    for what, line, query, checked in (("reach, 2 hops", "reach 2", REACH % 2, 1),
                                       ("shortest path", "shortest path", PATH, 0),
                                       ("pagerank from a seed, epsilon 1e-4", "ppr 1e-4", PPR % "1e-4", None)):
        cpu, _, answers = per_call(session, query, n)
        same = checked is None or same_sum(answers[checked], floor[line][2])
        sizes[what] = cpu, empty, floor[line][0], same
    return sizes


def flatness(table, scales, quick):
    """Graphs of one mean degree; the time beyond that of an empty call, by the
    floor's for the same questions."""
    found = {}
    for scale in scales:
        triples = generate.rmat(scale, 2 ** scale * 125 // 4 if scale < 18 else 8_000_000 * 2 ** (scale - 18))
        say("  %d triples" % len(triples))
        fill("bench_size", "kron", triples)
        with Session("bench_size") as session:
            for what, figures in measured_size(session, triples, 50 if quick else 200).items():
                found.setdefault(what, []).append((len(triples),) + figures)
        drop("bench_size")
    for what, sizes in found.items():
        ratios = [(cpu - empty) / floor for _, cpu, empty, floor, _ in sizes]
        middle = median(ratios)
        for (edges, cpu, empty, floor, same), ratio in zip(sizes, ratios):
            table.add("%s, %.3g million triples" % (what, edges / 1e6), "%.1f us" % cpu,
                      "%.1f us in C; an empty call %.1f" % (floor, empty), "%.2f" % ratio, "", verdict_of(same))
        line = ("%s, largest departure from the median ratio" % what, "%.2f to %.2f" % (min(ratios), max(ratios)),
                "%.2f the median" % middle)
        departure = max(abs(ratio / middle - 1) for ratio in ratios)
        if min(floor for _, _, _, floor, _ in sizes) < SMALL_FLOOR_US:
            table.add(*line, "%.2f" % departure, "", "no ratio to so small a floor")
        else:
            table.at_most(*line, departure, TARGET_FLAT)


# ---- the section ----

def section_graph(table, triples, data_folder, scales, quick):
    data = "R-MAT 2^%d" % (triples.nodes.bit_length() - 1)
    table.title("Graph: %s, %d triples, CPU a call through SQL" % (data, len(triples)))
    _, n = compare_graph(table, "bench_kron", data, triples, quick, True)
    table.title("Rows that are returned, %s" % data)
    with Session("bench_kron") as session:
        session.run("SET work_mem = '256MB'")
        returned_rows(table, session, n)
    table.title("Two clients at once, %s" % data)
    two_clients(table, "bench_kron", n, quick)
    for folder, file, header in REAL:
        path = os.path.join(data_folder, folder)
        if not os.path.isfile(os.path.join(path, file + ".tsv.xz")):
            table.title("Graph: " + folder)
            table.add("SKIP", "no %s.tsv.xz in %s" % (file, folder))
            continue
        real = read_triples(path, file, header)
        table.title("Graph: %s, %d triples" % (folder, len(real)))
        fill("bench_real", folder, real)
        compare_graph(table, "bench_real", folder, real, quick, False)
        drop("bench_real")
    table.title("The ratio to plain C from small to large, R-MAT")
    flatness(table, scales, quick)
