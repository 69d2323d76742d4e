"""The loops through SQL, beside plain C (floor.c) on the same data.

Queries run inside the server, a plpgsql loop over a table of questions with a
prepared statement for each, so that the time is the server's alone.
"""

import math
import os
import subprocess
import sys

import numpy as np

import generate
import measure
from measure import Session, say

WORK = os.environ["WORK"]
ROUNDS = 3
FLOOR_TIMES = 2.0       # through SQL at most so many times the floor,
CALL_US = 40.0          # and what a call costs in any case

QUESTIONS = """
CREATE TABLE questions (n int PRIMARY KEY, seed text, other text, words text, vector real[]);
ALTER TABLE questions ALTER vector SET STORAGE PLAIN;
"""

# {0}: a query of two columns about q, a row of questions
LOOP = """
CREATE OR REPLACE FUNCTION ask(how_many int, OUT firsts bigint[], OUT seconds float8[])
LANGUAGE plpgsql AS $ask$
DECLARE
    q record;
    first bigint;
    second float8;
BEGIN
    FOR q IN SELECT * FROM questions ORDER BY n LIMIT how_many LOOP
        first := NULL;
        second := NULL;
        {0} INTO first, second;
        firsts := firsts || first;
        seconds := seconds || second;
    END LOOP;
END $ask$;
"""


def per_call(session, query, how_many):
    """CPU and wall microseconds a call, the best of three rounds, and the
    answers."""
    session.run(LOOP.replace("{0}", query))
    best = math.inf, math.inf
    for turn in range(1 + ROUNDS):
        answers = session.run("SELECT firsts, seconds FROM ask(%d)" % how_many)[0]
        if turn > 0:            # the first one plans, and may load the image
            best = min(best, (session.cpu, session.wall))
    return best[0] / how_many * 1e6, best[1] / how_many * 1e6, answers


def add_loop(table, what, times, floor, same=None):
    cpu, wall = times
    verdict = "met" if cpu <= FLOOR_TIMES * floor + CALL_US else "MISSED"
    if same is not None:
        verdict += ", same answers" if same else ", ANSWERS DIFFER"
    table.add(what, "%.1f us" % cpu, "%.1f us in C; wall %.1f" % (floor, wall),
              "%.2f" % (cpu / floor), "<= %.2f + %.0f us" % (FLOOR_TIMES, CALL_US), verdict)


def run_floor(*arguments):
    """What each line says: name -> (microseconds of floor, of core, their checks)."""
    done = subprocess.run([os.path.join(WORK, "floor")] + list(arguments),
                          stdout=subprocess.PIPE, text=True, check=True)
    lines = {}
    for line in done.stdout.splitlines()[1:]:
        name, floor, core, _, floor_check, core_check = line.split("\t")
        lines[name] = [None if cell == "-" else float(cell)
                       for cell in (floor, core, floor_check, core_check)]
    return lines


# ---- graph ----

def write_graph(path, triples):
    with open(path, "wb") as out:
        np.array([triples.nodes, len(triples)], np.uint32).tofile(out)
        for column in (triples.s, triples.p, triples.o):
            column.astype(np.int32).tofile(out)
        triples.confidence.tofile(out)


def choose_seeds(triples, n):
    used = np.unique(np.concatenate([triples.s, triples.o]))
    return np.random.default_rng(1).choice(used, n, replace=False)


def compare_with_cte(session):
    """reach against a recursive CTE on a small graph; how many seeds agree."""
    small = generate.rmat(10, 4000)
    offset = 10 ** 9
    graph_id = session.value("SELECT graphmem.create_graph('small')")
    session.run("INSERT INTO graphmem.entities (entity_id, graph_id, name)"
                " SELECT i + %s, %s, 'small ' || i FROM generate_series(0, %s) AS i",
                (offset, graph_id, small.nodes - 1))
    session.run("INSERT INTO graphmem.predicates (predicate_id, graph_id, name)"
                " SELECT i + %s, %s, 'p' || i FROM generate_series(0, %s) AS i",
                (offset, graph_id, generate.PREDICATES - 1))
    session.run("INSERT INTO graphmem.triples (graph_id, subject_id, predicate_id, object_id)"
                " SELECT %s, s + %s, p + %s, o + %s FROM unnest(%s, %s, %s) AS u(s, p, o)",
                (graph_id, offset, offset, offset,
                 small.s.tolist(), small.p.tolist(), small.o.tolist()))
    session.run("CREATE TABLE arcs AS SELECT subject_id AS a, object_id AS b FROM graphmem.triples"
                " WHERE graph_id = %s UNION SELECT object_id, subject_id FROM graphmem.triples"
                " WHERE graph_id = %s", (graph_id, graph_id))
    session.run("CREATE INDEX ON arcs (a, b)")
    same = tried = 0
    for seed in choose_seeds(small, 5).tolist():
        for hops in (1, 2, 3):
            expected = session.run("""
                WITH RECURSIVE walk (node, hops) AS (
                    SELECT %s::bigint, 0
                    UNION SELECT b, hops + 1 FROM walk JOIN arcs ON a = node WHERE hops < %s)
                SELECT count(DISTINCT node) - 1, sum(DISTINCT node) - %s FROM walk""",
                                   (seed + offset, hops, seed + offset))
            found = session.run("SELECT * FROM graphmem.reach(%s, %s, graph => 'small')",
                                ("small %d" % seed, hops))
            tried += 1
            same += [int(x) for x in expected[0]] == [int(x) for x in found[0]]
    return same, tried


GRAPH_LOOPS = (
    # what, line of floor.c, most calls, query, which answers its check adds up
    ("reach, 1 hop", "reach 1", 10 ** 9,
     "SELECT count, checksum FROM graphmem.reach(q.seed, 1)", 1),
    ("reach, 2 hops", "reach 2", 10 ** 9,
     "SELECT count, checksum FROM graphmem.reach(q.seed, 2)", 1),
    ("reach, 3 hops", "reach 3", 50,
     "SELECT count, checksum FROM graphmem.reach(q.seed, 3)", 1),
    ("shortest_path", "shortest path", 10 ** 9,
     "SELECT hops, cost FROM graphmem.shortest_path(q.seed, q.other)", 0),
    ("pagerank from a seed, epsilon 1e-4", "ppr 1e-4", 10 ** 9,
     "SELECT entity_id, score FROM graphmem.pagerank(ARRAY[q.seed], 1, epsilon => 1e-4)", None),
    ("pagerank from a seed, epsilon 1e-6", "ppr 1e-6", 10 ** 9,
     "SELECT entity_id, score FROM graphmem.pagerank(ARRAY[q.seed], 1, epsilon => 1e-6)", None),
)


def same_sum(answers, check):
    total = sum(x for x in answers if x is not None)
    return abs(total - check) <= 1e-8 * abs(check)      # floor.c prints ten digits


def section_loops(table, triples, quick):
    table.title("Loops over the graph, CPU a call through SQL beside plain C")
    graph, seed_file = os.path.join(WORK, "graph.bin"), os.path.join(WORK, "seeds")
    seeds = choose_seeds(triples, 50 if quick else 200)
    write_graph(graph, triples)
    np.savetxt(seed_file, seeds + 1, "%d")
    say("  floor.c on %d seeds" % len(seeds))
    floor = run_floor("-g", graph, "-S", seed_file)
    names = [generate.person(i) for i in seeds.tolist()]
    with Session("bench_kron") as session:
        session.run(QUESTIONS)
        session.run("INSERT INTO questions (n, seed, other) SELECT * FROM unnest(%s, %s, %s)",
                    (list(range(len(names))), names, names[1:] + names[:1]))
        cpu, wall, _ = per_call(session, "SELECT 1, 1", len(names))
        table.add("a statement that does nothing, SELECT 1", "%.1f us" % cpu, "wall %.1f us" % wall)
        cpu, wall, _ = per_call(session, "SELECT * FROM graphmem.reach('nobody', 1)", len(names))
        table.add("a call that finds nothing, reach('nobody', 1)", "%.1f us" % cpu,
                  "wall %.1f us" % wall)
        for what, line, most, query, checked in GRAPH_LOOPS:
            cpu, wall, answers = per_call(session, query, min(most, len(names)))
            add_loop(table, what, (cpu, wall), floor[line][0],
                     None if checked is None else same_sum(answers[checked], floor[line][2]))
        # the same mass is pushed, though not in the same order
        _, _, answers = per_call(session, "SELECT count(*), sum(score) FROM graphmem.pagerank("
                                 "ARRAY[q.seed], NULL, epsilon => 1e-4)", len(names))
        ours, theirs = sum(answers[1]), floor["ppr 1e-4"][2]
        table.add("mass that pagerank pushed, epsilon 1e-4", "%.4f" % ours, "%.4f in C" % theirs,
                  "%.4f" % (ours / theirs), "", "same answers" if abs(ours / theirs - 1) < 0.02
                  else "ANSWERS DIFFER")
        same, tried = compare_with_cte(session)
        table.add("reach equal to a recursive CTE, small graph", "%d of %d" % (same, tried), "", "",
                  "", "same answers" if same == tried else "ANSWERS DIFFER")


# ---- vectors and fusion ----

def literal(vector):
    return "{" + ",".join("%.6g" % x for x in vector) + "}"


def load_generated(session):
    """Names and vectors that were made up."""
    vectors, queries = generate.gaussians(20000, 300, 50)
    names = [generate.person(i) for i in range(len(vectors))]
    path = os.path.join(WORK, "vectors.tsv")
    with open(path, "w") as out:
        out.writelines("%s\t%s\n" % (name, literal(v)) for name, v in zip(names, vectors))
    session.run("COPY graphmem.vectors (item, embedding) FROM %s", (path,))
    return names, vectors, queries, names[:len(queries)]


def load_wordnet(session):
    """WordNet as the demonstration has it; a question is a synset's vector with
    noise."""
    files = os.path.join(WORK, "wordnet")
    say("  making WordNet's vectors (a minute)")
    subprocess.run([sys.executable, "test/demo/wordnet.py", "--out", files], check=True,
                   stdout=subprocess.DEVNULL)
    session.run("CREATE TEMP TABLE incoming (name text, kind text, content text)")
    session.run("COPY incoming FROM %s", (os.path.join(files, "sources.tsv"),))
    session.run("INSERT INTO graphmem.sources (graph_id, name, kind, content)"
                " SELECT graphmem.current_graph_id(), name, kind, content FROM incoming")
    for view, columns, file in (
            ("facts", "subject, predicate, object, source, subject_kind, object_kind", "facts"),
            ("vectors", "item, embedding", "vectors")):
        session.run("COPY graphmem.%s (%s) FROM '%s/%s.tsv'" % (view, columns, files, file))
        say("  %s: %.1f s CPU, %.1f s" % (view, session.cpu, session.wall))
    session.run("VACUUM ANALYZE")
    with open(os.path.join(files, "entities.tsv"), encoding="utf-8") as file:
        names = [line.split("\t")[0] for line in file]
    vectors = np.load(os.path.join(files, "vectors.npy")).astype(np.float32)
    rng = np.random.default_rng(2)
    chosen = rng.choice(len(names), 50, replace=False)
    noise = rng.standard_normal((len(chosen), vectors.shape[1])) * 0.2 / math.sqrt(vectors.shape[1])
    return names, vectors, (vectors[chosen] + noise).astype(np.float32), [names[i] for i in chosen]


def nearest(vectors, query, k):
    """Rows of the k smallest cosine distances."""
    lengths = np.linalg.norm(vectors, axis=1)
    cosine = vectors @ query / np.where(lengths > 0, lengths, 1)
    return np.argsort(-cosine, kind="stable")[:k]


def search_vectors(table, session, names, vectors, queries):
    n, dim = vectors.shape
    floor = run_floor("-s", "6", "-e", "200", "-n", "8", "-v", str(n), "-d", str(dim))
    cpu, wall, _ = per_call(session, "SELECT max(item_id), max(distance) FROM graphmem.vector_search("
                            "q.vector, 10, exact => true)", len(queries))
    hits = 0
    for number, query in enumerate(queries):
        found = {row[0] for row in session.run(
            "SELECT v.item FROM questions q, graphmem.vector_search(q.vector, 10, exact => true) v"
            " WHERE n = %s", (number,))}
        hits += len(found & {names[i] for i in nearest(vectors, query, 10)})
    recall = hits / (10 * len(queries))
    add_loop(table, "vector_search, exact, %d x %d" % (n, dim), (cpu, wall),
             floor["scan %d x %d" % (n, dim)][0])
    table.add("its recall@10 against numpy", "%.3f" % recall, "", "", "",
              "same answers" if recall >= 0.999 else "ANSWERS DIFFER")


FUSION_PARTS = (
    ("vector only", "query_embedding => q.vector"),
    ("text only", "query_text => q.words"),
    ("seed only", "seeds => ARRAY[q.seed]"),
    ("vector and text", "query_embedding => q.vector, query_text => q.words"),
    ("all three", "query_embedding => q.vector, query_text => q.words, seeds => ARRAY[q.seed]"),
    ("all three, method hops", "query_embedding => q.vector, query_text => q.words,"
     " seeds => ARRAY[q.seed], method => 'hops'"),
)


def fuse(table, session, n):
    for what, arguments in FUSION_PARTS:
        cpu, wall, _ = per_call(session, "SELECT max(entity_id), max(score) FROM"
                                " graphmem.fusion_query(%s)" % arguments, n)
        table.add("fusion_query, " + what, "%.2f ms" % (cpu / 1e3), "wall %.2f ms" % (wall / 1e3))


def section_vectors(table, quick, fusion):
    table.title("Vectors and fusion, CPU a call through SQL")
    measure.create_database("bench_words", "words")
    with Session("bench_words") as session:
        names, vectors, queries, seeds = load_generated(session) if quick else load_wordnet(session)
        session.run(QUESTIONS)
        # a question in words: the beginning of a gloss
        session.run("INSERT INTO questions (n, seed, vector, words)"
                    " SELECT i, s, v::real[], (SELECT array_to_string((string_to_array("
                    " c.content, ' '))[2:8], ' ') FROM graphmem.sources c WHERE c.name = 'gloss:' || s)"
                    " FROM unnest(%s, %s, %s) AS u(i, s, v)",
                    (list(range(len(queries))), seeds, [literal(q) for q in queries]))
        search_vectors(table, session, names, vectors, queries)
        if fusion and quick:
            table.add("fusion_query", "skipped: QUICK has no WordNet")
        elif fusion:
            fuse(table, session, len(queries))
