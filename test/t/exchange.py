"""Files out of psql and into it, for 180_exchange.pl: prints TAP lines.

Random graphs with names of all sorts go out by \\copy and into another graph;
both must be equal.  Files of the memory server, written as JSON.stringify
writes them, must come back byte for byte.  A file that is broken at a random
line must be refused by that line's number and leave nothing.
"""

import json
import os
import random
import subprocess
import sys

import psycopg2

seed, connstr, folder = int(sys.argv[1]), sys.argv[2], sys.argv[3]
rng = random.Random(seed)
db = psycopg2.connect(connstr)
db.autocommit = True
cursor = db.cursor()

LINES = "WITH (FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02')"
COLUMNS = ("subject, predicate, object, source, confidence, valid_from, valid_to, properties,"
           " subject_kind, object_kind, object_type")
XSD_STRING = "http://www.w3.org/2001/XMLSchema#string"
PIECES = ["a", "B", "0", " ", "_:", ":", ".", "-", "@", "en", "^", '"', "\\", "\\u0041", "\\.", "\\N", "<", ">",
          "\t", "\n", "\r", "#", "{", "|", "\x01", "\x02", "\x1f", "\x7f", "\x85", "\u00e9", "e\u0301",
          "\u2028", "\u202e", "\ufeff", "\ufffe", "\uffff", "\U0001f600", "\U0010ffff", "NULL", "'", "/", ","]


def ok(good, what):
    print("%sok - %s" % ("" if good else "not ", what), flush=True)


def note(text):
    print("# " + text.replace("\n", "\n# "), flush=True)


def path(name):
    return os.path.join(folder, name)


def psql(graph, *commands):
    """Runs \\copy commands in one psql; its error text, empty if it had none."""
    script = "SET graphmem.graph = '%s';\n" % graph + "\n".join(commands) + "\n"
    run = subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", connstr, "-f", "-"],
                         input=script.encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return run.stderr.decode()


def create(graph):
    cursor.execute("SELECT graphmem.create_graph(%s)", (graph,))
    cursor.execute("SELECT set_config('graphmem.graph', %s, false)", (graph,))


def rows(query, *args):
    cursor.execute(query, args)
    return cursor.fetchall()


def term():
    return "".join(rng.choice(PIECES) for _ in range(rng.randrange(4)))


FACTS = """SELECT s.name, s.kind, p.name, o.name, o.kind, o.literal_type, t.confidence, t.valid_from::text,
        t.valid_to::text, t.properties::text, (SELECT jsonb_object_agg(c.name, a.confidence)::text
            FROM graphmem.assertions a JOIN graphmem.sources c USING (source_id) WHERE a.fact_id = t.fact_id)
    FROM graphmem.triples t JOIN graphmem.graphs g USING (graph_id) JOIN graphmem.entities s ON s.entity_id = subject_id
        JOIN graphmem.predicates p USING (predicate_id) JOIN graphmem.entities o ON o.entity_id = object_id
    WHERE g.name = %s AND t.expired_at = 'infinity'"""


def facts(graph):
    return sorted(rows(FACTS, graph), key=repr)


def same_facts(a, b, what):
    x, y = facts(a), facts(b)
    ok(x == y and x, "%s: %d facts" % (what, len(x)))
    for one in [f for f in x if f not in y][:3]:
        note("missing %r" % (one,))
    for one in [f for f in y if f not in x][:3]:
        note("new %r" % (one,))


def fill(graph, plain):
    """A random graph; plain: with no more than N-Triples can hold."""
    create(graph)
    given = []
    for _ in range(3000):
        kind = lambda: None if plain or rng.random() < 0.7 else term()
        given.append((term(), term(), term(), None if plain or rng.random() < 0.5 else term(),
                      None if plain or rng.random() < 0.3 else round(rng.random(), 3),
                      None if plain else rng.choice([None, None, "1999-12-31 23:59:59.123456+00"]),
                      None if plain else rng.choice([None, None, "2900-01-01 00:00:00+00"]),
                      None if plain or rng.random() < 0.7 else json.dumps({term(): [term(), 1.5, None]}).replace("\\u0000", ""),
                      kind(), kind(), None if rng.random() < 0.5 else rng.choice(["@en", "@de-AT", XSD_STRING, term()])))
    for one in given:
        try:
            cursor.execute("INSERT INTO graphmem.facts (" + COLUMNS + ") VALUES (" + ", ".join(["%s"] * 11) + ")", one)
        except psycopg2.errors.ExclusionViolation:
            pass


def rows_of_facts():
    fill("rows", False)
    for number, form in enumerate(["FORMAT text", "FORMAT csv", "FORMAT csv, HEADER", "FORMAT binary"]):
        graph = "rows %d" % number
        file = path("rows.%d" % number)
        create(graph)
        error = psql("rows", "\\copy (SELECT * FROM graphmem.export_facts()) TO '%s' WITH (%s)" % (file, form),
                     "SET graphmem.graph = '%s';" % graph,
                     "\\copy graphmem.facts (%s) FROM '%s' WITH (%s)" % (COLUMNS, file, form))
        if error:
            note(error)
        same_facts("rows", graph, "facts go out and in (%s)" % form)


def ntriples():
    fill("triples", True)
    create("triples again")
    error = psql("triples", "\\copy (SELECT line FROM graphmem.ntriples) TO '%s' %s" % (path("a.nt"), LINES),
                 "SET graphmem.graph = 'triples again';",
                 "\\copy graphmem.ntriples FROM '%s' %s" % (path("a.nt"), LINES),
                 "\\copy (SELECT line FROM graphmem.ntriples) TO '%s' %s" % (path("b.nt"), LINES))
    ok(error == "", "N-Triples go out and in")
    if error:
        note(error)
    same_facts("triples", "triples again", "facts went out and in as N-Triples")
    a, b = (open(path(name), "rb").read().split(b"\n") for name in ("a.nt", "b.nt"))
    ok(sorted(a) == sorted(b), "and out again: the same lines")
    for ends in ("\r\n", "\r", "\n\n"):
        graph = "ends %r" % ends
        graph = graph.replace("'", "").replace("\\", "")
        create(graph)
        with open(path("ends.nt"), "wb") as file:
            file.write(ends.encode().join(a))
        error = psql(graph, "\\copy graphmem.ntriples FROM '%s' %s" % (path("ends.nt"), LINES))
        if error:
            note(error)
        same_facts("triples", graph, "N-Triples with lines that end in %r" % ends)


def broken(view, name, lines, bad, where):
    """A file that is bad at a random line."""
    graph = "broken " + name
    create(graph)
    for _ in range(5):
        at = rng.randrange(len(lines))
        with open(path("broken"), "w", encoding="utf-8", newline="") as file:
            file.write("\n".join(lines[:at] + [bad] + lines[at + 1:]))
        error = psql(graph, "\\copy graphmem.%s FROM '%s' %s" % (view, path("broken"), LINES))
        good = where % (at + 1) in error
        if not good:
            note(error)
        left = rows("SELECT (SELECT count(*) FROM graphmem.entities WHERE graph_id = g.graph_id)"
                    " + (SELECT count(*) FROM graphmem.triples WHERE graph_id = g.graph_id)"
                    " FROM graphmem.graphs g WHERE name = %s", graph)
        ok(good and left == [(0,)], "%s: line %d of %d is to blame, nothing was loaded" % (name, at + 1, len(lines)))


def stringify(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def memory_file():
    names = sorted({term() for _ in range(60)}, key=lambda _: rng.random())
    entities = [{"type": "entity", "name": name, "entityType": term(),
                 "observations": [term() for _ in range(rng.choice([0, 1, 2, 5, 30]))]} for name in names]
    entities += [{"type": "entity", "name": rng.choice(names), "entityType": term(),
                  "observations": [term() for _ in range(rng.randrange(4))]} for _ in range(5)]
    rng.shuffle(entities)
    relations = [{"type": "relation", "from": rng.choice(names), "to": rng.choice(names + ["gone " + term()]),
                  "relationType": rng.choice([term(), "observation", "knows"])} for _ in range(200)]
    relations += rng.sample(relations, 10)
    return [stringify(line) for line in entities + relations]


def memory():
    for number in range(8):
        lines = memory_file()
        graph = "memory %d" % number
        create(graph)
        with open(path("memory.jsonl"), "w", encoding="utf-8", newline="") as file:
            file.write("\n".join(lines))
        error = psql(graph, "\\copy graphmem.memory_jsonl FROM '%s' %s" % (path("memory.jsonl"), LINES),
                     "\\copy (SELECT line FROM graphmem.memory_jsonl) TO PROGRAM 'head -c -1 >%s' %s"
                     % (path("again.jsonl"), LINES))
        if error:
            note(error)
        a, b = (open(path(name), "rb").read() for name in ("memory.jsonl", "again.jsonl"))
        ok(a == b, "memory.jsonl with %d lines comes back byte for byte" % len(lines))
        if a != b:
            for x, y in zip(a.split(b"\n"), b.split(b"\n")):
                if x != y:
                    note("%r\nbecame\n%r" % (x, y))
                    break
    create("memory other")
    error = psql("memory 0", "\\copy (SELECT line FROM graphmem.memory_jsonl) TO '%s' %s" % (path("c.jsonl"), LINES),
                 "SET graphmem.graph = 'memory other';",
                 "\\copy graphmem.memory_jsonl FROM '%s' %s" % (path("c.jsonl"), LINES))
    strip = lambda graph: sorted(((f[0], f[1], f[2], f[3], f[5]) for f in facts(graph)), key=repr)
    ok(error == "" and strip("memory 0") == strip("memory other"), "out of one graph and into another: equal facts")


note("pieces of names: %d" % len(PIECES))
rows_of_facts()
ntriples()
memory()
good = ["<s%d> <p> <o> ." % i for i in range(400)]
broken("ntriples", "N-Triples", good, "<s> <p> \"\u00e9\\q\" .", "on line %d, column 11")
good = memory_file()
for what, line in (("a lone surrogate", '{"type":"entity","name":"\\ud800","entityType":"x","observations":[]}'),
                   ("NUL", '{"type":"relation","from":"a","to":"\\u0000","relationType":"x"}'),
                   ("half a line", '{"type":"relation","fr')):
    broken("memory_jsonl", "memory.jsonl with " + what, good, line, "memory.jsonl, line %d")
print("done")
