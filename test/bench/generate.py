"""Data of the benchmark, made with fixed seeds."""

import numpy as np

PREDICATES = 20
# R-MAT's chances of the four quadrants: (0, 0), (0, 1), (1, 0), (1, 1)
QUADRANTS = (0.57, 0.19, 0.19, 0.05)
CONSONANTS = "bdfgklmnprstvz"
VOWELS = "aeiou"


class Triples:
    """Arrays s, p, o (numbers from 0) and confidence."""

    def __init__(self, nodes, s, p, o, confidence):
        self.nodes, self.s, self.p, self.o, self.confidence = nodes, s, p, o, confidence

    def __len__(self):
        return len(self.s)

    def first(self, n):
        return Triples(self.nodes, self.s[:n], self.p[:n], self.o[:n], self.confidence[:n])


def rmat(scale, edges, seed=18):
    """Distinct triples without self-loops over 2^scale nodes, in random order:
    an R-MAT graph (Chakrabarti, Zhan, Faloutsos 2004) with permuted nodes,
    predicates by Zipf's law, confidence uniform in [0.3, 1)."""
    rng = np.random.default_rng(seed)
    zipf = 1 / np.arange(1, PREDICATES + 1)
    steps = np.cumsum(QUADRANTS)[:3] * 65536
    found = np.empty(0, np.int64)
    while len(found) < edges:
        n = (edges - len(found)) * 5 // 4 + 1000
        s = np.zeros(n, np.int64)
        o = np.zeros(n, np.int64)
        for _ in range(scale):
            quadrant = np.searchsorted(steps, rng.integers(0, 65536, n, np.uint16), "right")
            s = s * 2 + (quadrant >> 1)
            o = o * 2 + (quadrant & 1)
        p = np.searchsorted(np.cumsum(zipf / zipf.sum()), rng.random(n)).clip(0, PREDICATES - 1)
        key = ((s << scale) + o) * PREDICATES + p
        found = np.unique(np.concatenate([found, key[s != o]]))
    key = rng.permutation(found)[:edges]
    name = rng.permutation(1 << scale)
    pair = key // PREDICATES
    return Triples(1 << scale, name[pair >> scale], key % PREDICATES,
                   name[pair & ((1 << scale) - 1)],
                   (0.3 + 0.7 * rng.random(edges)).astype(np.float32))


def gaussians(n, dim, queries, seed=7):
    """Clusters of Pareto sizes in 16 dimensions, turned into dim, with noise:
    n vectors and the queries, of the same distribution."""
    rng = np.random.default_rng(seed)
    clusters, inner = 2000, 16
    basis, _ = np.linalg.qr(rng.standard_normal((dim, inner)))
    center = rng.standard_normal((clusters, inner))
    spread = rng.uniform(0.25, 0.75, clusters)
    share = 0.2 + rng.pareto(2.0, clusters)
    cluster = rng.choice(clusters, n + queries, p=share / share.sum())
    inside = center[cluster] + spread[cluster, None] * rng.standard_normal((n + queries, inner))
    rows = inside @ basis.T + 0.03 * rng.standard_normal((n + queries, dim))
    return rows[:n].astype(np.float32), rows[n:].astype(np.float32)


def person(number):
    """A name like "Bakeli Momura" for each number below 70^6, no two the same."""
    syllables = len(CONSONANTS) * len(VOWELS)
    number = number * 7919 + 12345
    word = ""
    for i in range(6):
        number, syllable = divmod(number, syllables)
        word += CONSONANTS[syllable // len(VOWELS)] + VOWELS[syllable % len(VOWELS)]
    return word[:6].capitalize() + " " + word[6:].capitalize()


def write_ids(path, triples, graph_id):
    """COPY text: graph, subject, predicate, object, confidence; ids from 1."""
    rows = zip((triples.s + 1).tolist(), (triples.p + 1).tolist(), (triples.o + 1).tolist(),
               triples.confidence.tolist())
    with open(path, "w") as out:
        out.writelines("%d\t%d\t%d\t%d\t%.6g\n" % ((graph_id,) + row) for row in rows)


def write_facts(path, triples):
    """COPY text: subject, predicate, object, confidence, by name."""
    names = [person(i) for i in range(triples.nodes)]
    rows = zip(triples.s.tolist(), triples.p.tolist(), triples.o.tolist(),
               triples.confidence.tolist())
    with open(path, "w") as out:
        out.writelines("%s\tpredicate %d\t%s\t%.6g\n" % (names[s], p, names[o], c)
                       for s, p, o, c in rows)


def write_binary(path, triples, graph_id):
    """The columns of write_ids in COPY's binary format."""
    row = np.dtype([("fields", ">i2"), ("l0", ">i4"), ("graph", ">i4"), ("l1", ">i4"), ("s", ">i8"),
                    ("l2", ">i4"), ("p", ">i8"), ("l3", ">i4"), ("o", ">i8"),
                    ("l4", ">i4"), ("c", ">f4")])
    rows = np.zeros(len(triples), row)
    rows["fields"] = 5
    rows["l0"] = rows["l4"] = 4
    rows["l1"] = rows["l2"] = rows["l3"] = 8
    rows["graph"] = graph_id
    rows["s"], rows["p"], rows["o"] = triples.s + 1, triples.p + 1, triples.o + 1
    rows["c"] = triples.confidence
    with open(path, "wb") as out:
        out.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
        rows.tofile(out)
        out.write(b"\xff\xff")
