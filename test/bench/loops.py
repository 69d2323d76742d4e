"""Calls through SQL, beside plain C (floor.c) on the same data; vectors, fusion.

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
import rivals
from measure import Session, say

WORK = os.environ["WORK"]
ROUNDS = 3
FLOOR_TIMES = 1.5       # through SQL at most so many times the floor,
CALL_US = 40.0          # and what a call costs in any case
TARGET_BEYOND_LEGS_US = 60.0

QUESTIONS = """
CREATE TABLE questions (n int PRIMARY KEY, seed text, other text, words text, vector real[],
    seed_id int, other_id int, starts text[], word_starts text[]);
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
    cpu, wall, answers = per_call(session, "SELECT max(item_id), max(distance) FROM graphmem.vector_search("
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
    table.compare("%d × %d vectors" % (n, dim), "10 nearest, exact", cpu, wall=wall,
                  floor=floor["scan %d x %d" % (n, dim)][0])
    table.add("its recall@10 against numpy", "%.3f" % recall, "", "", "",
              "same answers" if recall >= 0.999 else "ANSWERS DIFFER")
    return cpu, wall, answers


def beside_pgvector(table, session, names, vectors, queries, ours):
    """pgvector's exact scan and its index over the same vectors; its version or
    None."""
    version = rivals.offers(session, "vector")
    if version is None:
        return None
    cpu, wall, (firsts, _) = ours
    n, dim = vectors.shape
    rivals.create_pgvectors(session, dim)
    session.run("SET work_mem = '256MB'")
    most = len(queries)
    exact = rivals.slow_call(session, LOOP, rivals.PG_NEAREST, most, 10, 60)
    same = sum(a == b for a, b in zip(firsts, exact["answers"][0])) / exact["n"]
    table.add("pgvector %s, exact" % version, "%.1f us" % exact["cpu"],
              "%.1f us graphmem; wall %.1f" % (cpu, exact["wall"]), "%.1f" % (exact["cpu"] / cpu), "",
              "same answers" if same >= 0.98 else "ANSWERS DIFFER")
    table.comparisons[-1].update(pgvector=exact["cpu"], pgvector_times=exact["cpu"] / cpu)
    seconds = rivals.index_pgvectors(session)
    ids = dict(session.run("SELECT name, entity_id FROM graphmem.entities"))
    truth = [{ids[names[i]] for i in nearest(vectors, query, 10)} for query in queries]
    for effort in (40, 200):
        session.run("SET hnsw.ef_search = %d" % effort)
        found = rivals.slow_call(session, LOOP, rivals.PG_NEAREST, most, 10, 60)
        hits = sum(len(truth[i] & {row[0] for row in session.run(
            "SELECT item FROM pgvectors ORDER BY embedding <=> (SELECT vector::vector FROM questions WHERE n = %s)"
            " LIMIT 10", (i,))}) for i in range(most))
        table.add("pgvector %s, hnsw, ef_search %d" % (version, effort), "%.1f us" % found["cpu"],
                  "%.1f us graphmem, exact; wall %.1f; recall@10 %.3f; built in %.0f s"
                  % (cpu, found["wall"], hits / (10 * most), seconds), "%.2f" % (found["cpu"] / cpu))
    session.run("SET hnsw.ef_search = 100")
    return version


# Another ranking than fusion_query's, so that the answers are not compared.
def beside_multi_pass(table, session, version, n, ours):
    arcs = session.run("SELECT subject_id - 1, object_id - 1 FROM graphmem.triples")
    s, o = np.array(arcs, np.int64).T
    count = int(max(s.max(), o.max())) + 1
    rivals.create_arcs(session, generate.Triples(count, s, o, o, None))
    found = rivals.slow_call(session, LOOP, rivals.MULTI_PASS, n, 10, 60)
    cpu, wall = ours
    table.add("20 nearest by pgvector %s, 2 hops by joins, 10 best" % version, "%.2f ms" % (found["cpu"] / 1e3),
              "%.2f ms fusion_query; wall %.2f" % (cpu / 1e3, found["wall"] / 1e3), "%.2f" % (found["cpu"] / cpu))
    table.compare("WordNet, vectors and facts", "fusion: by vector (multi-pass)", cpu, wall=wall,
                  pgvector=found["cpu"], pgvector_times=found["cpu"] / cpu)


# What fusion_query costs beyond its legs, each asked for by itself.  They are
# asked one after another, since a scan of all vectors leaves the caches cold
# for what comes after it, in fusion_query too.  The leg of words has no
# function of its own: it is what a fusion by words takes beyond one that starts
# from the very entities that the words hit.
BY_VECTOR = ("(SELECT max(item_id) FROM graphmem.vector_search(q.vector,"
             " current_setting('graphmem.vector_candidates')::int))")
BY_WORDS = "(SELECT max(score) FROM graphmem.fusion_query(query_text => q.words))"
FROM_WORDS = "(SELECT max(score) FROM graphmem.fusion_query(seeds => q.word_starts))"
WALK = "(SELECT max(score) FROM graphmem.pagerank(q.starts, 10))"
LEGS = {
    "all": "SELECT max(entity_id), max(score) FROM graphmem.fusion_query(q.vector, q.words)",
    "apart": "SELECT %s, %s + %s" % (BY_VECTOR, BY_WORDS, WALK),
    "vector": "SELECT %s, 0" % BY_VECTOR,
    "from words": "SELECT %s, %s" % (BY_VECTOR, FROM_WORDS),
    "walk": "SELECT %s, %s" % (BY_VECTOR, WALK),
}


def legs_add_up(table, session, n):
    for column, arguments in (("starts", "q.vector, q.words"), ("word_starts", "query_text => q.words")):
        session.run("UPDATE questions AS q SET %s = COALESCE((SELECT array_agg(entity) FROM graphmem.fusion_query("
                    "%s, match_count => 1000, max_hops => 0) WHERE hops = 0), '{}')" % (column, arguments))
    session.run("VACUUM FULL questions")
    for i, query in enumerate(LEGS.values()):
        session.run(LOOP.replace("ask(", "ask_%d(" % i).replace("{0}", query))
    rounds = []
    for turn in range(10):
        figures = {}
        for i, leg in enumerate(LEGS):
            session.run("SELECT firsts FROM ask_%d(%d)" % (i, n))
            figures[leg] = session.cpu / n * 1e6
        if turn > 0:            # the first one plans
            rounds.append(figures)
    parts = {leg: measure.median([r[leg] for r in rounds]) for leg in LEGS}
    more = measure.median([r["all"] - r["apart"] + (r["from words"] - r["vector"]) for r in rounds])
    table.at_most("us of fusion_query by vector and words beyond its legs", "%.0f us" % parts["all"],
                  "apart %.0f (vector %.0f, walk %.0f), less %.0f us from the words' hits"
                  % (parts["apart"], parts["vector"], parts["walk"] - parts["vector"],
                     parts["from words"] - parts["vector"]), more, TARGET_BEYOND_LEGS_US)


FUSION_PARTS = (
    ("vector only", "query_embedding => q.vector"),
    ("text only", "query_text => q.words"),
    ("seed only", "seeds => ARRAY[q.seed]"),
    ("vector and text", "query_embedding => q.vector, query_text => q.words"),
    ("all three", "query_embedding => q.vector, query_text => q.words, seeds => ARRAY[q.seed]"),
    ("all three, method hops", "query_embedding => q.vector, query_text => q.words,"
     " seeds => ARRAY[q.seed], method => 'hops'"),
)


def fuse(table, session, n, pgvector):
    for what, arguments in FUSION_PARTS:
        cpu, wall, _ = per_call(session, "SELECT max(entity_id), max(score) FROM"
                                " graphmem.fusion_query(%s)" % arguments, n)
        table.add("fusion_query, " + what, "%.2f ms" % (cpu / 1e3), "wall %.2f ms" % (wall / 1e3))
        if what == "vector only" and pgvector:
            beside_multi_pass(table, session, pgvector, n, (cpu, wall))
        elif what in ("vector only", "vector and text"):
            table.compare("WordNet, vectors and facts", "fusion: " + what.replace("only", "alone"), cpu, wall=wall)
    legs_add_up(table, session, n)


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
        ours = search_vectors(table, session, names, vectors, queries)
        pgvector = beside_pgvector(table, session, names, vectors, queries, ours)
        if fusion and quick:
            table.add("fusion_query", "skipped: QUICK has no WordNet")
        elif fusion:
            fuse(table, session, len(queries), pgvector)
