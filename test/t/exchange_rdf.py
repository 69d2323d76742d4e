"""What rdflib makes of the N-Triples that graphmem wrote, and graphmem of its,
for 180_exchange.pl: prints TAP lines."""

import os
import random
import subprocess
import sys

import psycopg2
import rdflib

seed, connstr, folder = int(sys.argv[1]), sys.argv[2], sys.argv[3]
rng = random.Random(seed)
db = psycopg2.connect(connstr)
db.autocommit = True
cursor = db.cursor()
LINES = "WITH (FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02')"
XSD = "http://www.w3.org/2001/XMLSchema#"
# no backslash before "u0041": rdflib 6 takes "\\u0041" for "A"
PIECES = ["a", "Z", " ", "\t", "\n", "\r", "\b", "\f", '"', "'", "\\", "#", "<", ">", "@en", "^^", ".",
          "\x03", "\x1f", "\x7f", "\x85", "\u00e9", "e\u0301", "\u2028", "\ufeff", "\U0001f600", "\U0010ffff"]


def ok(good, what):
    print("%sok - %s" % ("" if good else "not ", what), flush=True)


def psql(graph, command):
    run = subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", connstr, "-f", "-"],
                         input=("SET graphmem.graph = '%s';\n%s\n" % (graph, command)).encode(),
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if run.stderr:
        print("# " + run.stderr.decode().replace("\n", "\n# "))


def create(graph):
    cursor.execute("SELECT graphmem.create_graph(%s)", (graph,))
    cursor.execute("SELECT set_config('graphmem.graph', %s, false)", (graph,))


def iri():
    return "http://example.org/" + "".join(rng.choice("abc/#?=.-_~%é😀") for _ in range(rng.randrange(6)))


def label():
    """ASCII: rdflib reads no others."""
    return "_:" + rng.choice("abc019") + "".join(rng.choice(["a", "-", ".", "0"]) for _ in range(rng.randrange(4))) + "z"


def text():
    return "".join(rng.choice(PIECES) for _ in range(rng.randrange(8)))


def of_rdflib(term):
    if isinstance(term, rdflib.Literal):
        kind = "@" + term.language if term.language else str(term.datatype or XSD + "string")
        return (str(term), kind.lower() if kind[0] == "@" else kind)
    return ("_:" if isinstance(term, rdflib.BNode) else str(term), None)


def triples(file):
    graph = rdflib.Graph()
    graph.parse(file, format="nt")
    return sorted((of_rdflib(s), of_rdflib(p), of_rdflib(o)) for s, p, o in graph)


def of_graphmem(name, kind):
    if kind is None and name.startswith("_:"):
        return ("_:", None)
    return (name, kind.lower() if kind is not None and kind[0] == "@" else kind)


create("of graphmem")
for _ in range(1500):
    cursor.execute("INSERT INTO graphmem.facts (subject, predicate, object, object_type) VALUES (%s, %s, %s, %s)",
                   (rng.choice([iri, label])(), iri()) +
                   rng.choice([lambda: (iri(), None), lambda: (label(), None),
                               lambda: (text(), rng.choice([XSD + "string", "@en", "@de-AT", XSD + "normalString", iri()]))])())
file = os.path.join(folder, "graphmem.nt")
psql("of graphmem", "\\copy (SELECT line FROM graphmem.ntriples) TO '%s' %s" % (file, LINES))
cursor.execute("SELECT subject, predicate, object, object_type FROM graphmem.facts")
have = sorted((of_graphmem(s, None), (p, None), of_graphmem(o, t)) for s, p, o, t in cursor.fetchall())
found = triples(file)
for one in [t for t in found if t not in have][:2] + [t for t in have if t not in found][:2]:
    print("# only one has %r" % (one,))
ok(found == have, "rdflib reads %d facts as graphmem has them" % len(have))

create("of rdflib")
graph = rdflib.Graph()
graph.parse(file, format="nt")
other = os.path.join(folder, "rdflib.nt")
graph.serialize(destination=other, format="nt", encoding="utf-8")
psql("of rdflib", "\\copy graphmem.ntriples FROM '%s' %s" % (other, LINES))
cursor.execute("SELECT subject, predicate, object, object_type FROM graphmem.facts")
ok(sorted((of_graphmem(s, None), (p, None), of_graphmem(o, t)) for s, p, o, t in cursor.fetchall()) == have,
   "graphmem reads what rdflib wrote")
print("done")
