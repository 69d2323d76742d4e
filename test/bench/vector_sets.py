#!/usr/bin/env python3
"""The sets of vectors of bench-vector, with queries and exact answers.

    vector_sets.py DIR TRUTH_PROGRAM [SET...]   for the programs without a server

Files in DIR for each set, in the formats of vector.h: SET.base, SET.queries,
SET.truth (the indexed rows alone) and SET.more.truth (those that are inserted
later, too).
"""

import collections
import os
import subprocess
import sys

import numpy as np

import generate

Set = collections.namedtuple("Set", "name what metric rows more queries dim inserts")

SEED = 20240607
DEMO = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../demo")


def sets(quick):
    """name -> Set; what: for the reader; more: rows inserted later."""
    if quick:
        return {"wordnet": Set("wordnet", "made up, in WordNet's place", "cosine", 20000, 0, 300, 300, False),
                "synth": Set("synth", "clusters of 16 dimensions in 128", "l2", 40000, 4000, 500, 128, True)}
    return {"wordnet": Set("wordnet", "glosses of WordNet, asked by parts of them", "cosine", 117659, 0, 1000, 300, False),
            "synth": Set("synth", "clusters of 16 dimensions in 128", "l2", 500000, 50000, 2000, 128, True)}


def write(path, rows):
    with open(path, "wb") as out:
        np.array(rows.shape, np.int32).tofile(out)
        np.ascontiguousarray(rows, np.float32).tofile(out)


def read(path):
    """Rows, mapped."""
    n, dim = np.fromfile(path, np.int32, 2)
    return np.memmap(path, np.float32, "r", 8, (int(n), int(dim)))


def questions(files, n):
    """Vectors of n questions: six words of a gloss, from its third on."""
    sys.path.insert(0, DEMO)
    import wordnet
    model = wordnet.Model.load(os.path.join(files, "words.npz"))
    with open(os.path.join(files, "sources.tsv"), encoding="utf-8") as lines:
        glosses = [line.rstrip("\n").split("\t")[2].split(": ", 1)[1].split() for line in lines]
    found = []
    for i in np.random.default_rng(SEED).permutation(len(glosses)):
        vector = model.embed(" ".join(glosses[i][2:8]))
        if vector is not None and vector.any():
            found.append(vector)
        if len(found) == n:
            return np.array(found, np.float32)
    raise RuntimeError("too few glosses")


def wordnet(folder, queries):
    """Every synset that has a vector."""
    files = os.path.join(folder, "wordnet")
    subprocess.run([sys.executable, os.path.join(DEMO, "wordnet.py"), "--out", files], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    rows = np.load(os.path.join(files, "vectors.npy")).astype(np.float32)
    return rows[rows.any(axis=1)], questions(files, queries)


def make(folder, truth, chosen, quick, k=10):
    """Writes the files of a set; the set, with its true number of rows."""
    def at(kind):
        return os.path.join(folder, "%s.%s" % (chosen.name, kind))

    if chosen.name == "wordnet" and not quick:
        rows, queries = wordnet(folder, chosen.queries)
        chosen = chosen._replace(rows=len(rows))
    else:
        rows, queries = generate.gaussians(chosen.rows + chosen.more, chosen.dim, chosen.queries, SEED)
    write(at("base"), rows)
    write(at("queries"), queries)
    for kind, n in (("truth", chosen.rows), ("more.truth", chosen.rows + chosen.more)):
        subprocess.run([truth, at("base"), at("queries"), chosen.metric, str(k), str(n), at(kind)], check=True)
    return chosen


def main():
    folder, truth = sys.argv[1:3]
    os.makedirs(folder, exist_ok=True)
    quick = bool(os.environ.get("QUICK"))
    known = sets(quick)
    for name in sys.argv[3:] or known:
        print(make(folder, truth, known[name], quick))


if __name__ == "__main__":
    main()
