#!/usr/bin/env python3
"""What duplicate_candidates finds of known duplicates, by signal and by their sum.

    duplicates.py CONNECTION DATA [--share 0.1] [--seed 1] [--times N]

CONNECTION is a libpq connection string of a database with the extension, DATA a
directory with triples.tsv.xz (subject, predicate, object) and, for vectors,
lsa256_entities.txt.xz beside lsa256_entities.f16.npy.

A share of the entities gets a double: its name misspelled, in other case and
punctuation, with its words turned round, cut to initials, or another name
altogether; three facts in ten go over to it, as many are stated of both, and its
vector is the entity's with noise of 0.7 its length, or absent.  A pair is right if
it is an entity and its double.  Pairs of two entities without a double are left out: the data has
duplicates that nobody labelled.

Precision, recall and F1 are printed for each signal alone and for the sum, at
the best threshold and at 0.5, for means of several orders and weights: what
the defaults were chosen by.  --times N: how long graphs of N entities take.
"""
import argparse
import csv
import itertools
import lzma
import random
import time

import numpy
import psycopg2
import psycopg2.extras


def misspell(rng, name):
    at = rng.randrange(len(name))
    letter = rng.choice("abcdefghijklmnopqrstuvwxyz")
    return rng.choice([name[:at] + name[at + 1:], name[:at] + letter + name[at:], name[:at] + letter + name[at + 1:],
                       name[:at] + name[at:at + 2][::-1] + name[at + 2:]])


def punctuate(rng, name):
    name = rng.choice([str.upper, str.lower, str.title])(name)
    return rng.choice([name + ".", "The " + name, name.replace(" ", "-"), name.replace(" ", "  "), '"%s"' % name])


def turn(rng, name):
    words = name.split()
    return words[-1] + ", " + " ".join(words[:-1]) if len(words) > 1 else misspell(rng, name)


def initials(rng, name):
    words = name.split()
    return " ".join([w[0] + "." for w in words[:-1]] + words[-1:]) if len(words) > 1 else misspell(rng, name)


def rename(rng, name):
    return "Q" + "".join(rng.choice("0123456789") for _ in range(9))


WAYS = {"misspelled": misspell, "punctuated": punctuate, "turned": turn, "initials": initials, "renamed": rename}


def load(connection, data, share, seed):
    rng = random.Random(seed)
    noise = numpy.random.default_rng(seed)
    with lzma.open(data + "/triples.tsv.xz", "rt") as f:
        facts = [tuple(r[:3]) for r in itertools.islice(csv.reader(f, delimiter="\t", quoting=csv.QUOTE_NONE), 1, None)]
    facts = sorted(set(t for t in facts if len(t) == 3 and all(t)))
    names = sorted(set(t[0] for t in facts) | set(t[2] for t in facts))
    with lzma.open(data + "/lsa256_entities.txt.xz", "rt") as f:
        known = {n: i for i, n in enumerate(f.read().split("\n"))}
    lsa = numpy.load(data + "/lsa256_entities.f16.npy").astype("float32")
    doubled, taken = {}, set(names)
    for name in rng.sample(names, int(len(names) * share)):
        way = rng.choice(list(WAYS))
        other = WAYS[way](rng, name)
        if other not in taken and other.strip():
            taken.add(other)
            doubled[name] = (other, way)
    stated = []
    for fact in facts:
        forms = {(fact[0], fact[2])}
        for end in (0, 1):
            for form in list(forms):
                if form[end] in doubled:
                    double = list(form)
                    double[end] = doubled[form[end]][0]
                    dice = rng.random()
                    if dice < 0.6:
                        forms.add(tuple(double))
                    if dice < 0.3:
                        forms.remove(form)
        stated += [(s, fact[1], o) for s, o in sorted(forms)]
    facts = stated
    there = set(t[0] for t in facts) | set(t[2] for t in facts)
    doubled = {n: d for n, d in doubled.items() if n in there and d[0] in there}
    names = [n for n in names if n in there]
    vectors = []
    for name in names:
        i = known.get(name.lower())
        if i is None or numpy.linalg.norm(lsa[i]) < 1e-3:
            continue
        vector = lsa[i] / numpy.linalg.norm(lsa[i])
        vectors.append((name, vector.tolist()))
        if name in doubled and rng.random() < 0.8:
            other = noise.standard_normal(len(vector)).astype("float32")
            vectors.append((doubled[name][0], (vector + 0.7 * other / numpy.linalg.norm(other)).tolist()))
    with connection.cursor() as cursor:
        cursor.execute("SELECT graphmem.create_graph('duplicates'); SET graphmem.graph = 'duplicates'")
        psycopg2.extras.execute_values(
            cursor, "INSERT INTO graphmem.facts (subject, predicate, object) VALUES %s", facts, page_size=5000)
        cursor.execute("SELECT graphmem.create_vector_space('default', 256)")
        psycopg2.extras.execute_values(
            cursor, "INSERT INTO graphmem.vectors (item, embedding) VALUES %s", vectors,
            template="(%s, %s::real[])", page_size=1000)
        cursor.execute("ANALYZE graphmem.triples, graphmem.entities, graphmem.embeddings")
    print("%d facts, %d entities, %d vectors, %d doubles" % (len(facts), len(names), len(vectors), len(doubled)))
    return doubled


def measure(pairs, truth):
    """Best F1 with its threshold, and what holds at 0.5."""
    right, best = 0, (0, 0, 0, 1)
    at_half = (0, 0, 0)
    for n, (score, is_right) in enumerate(sorted(pairs, reverse=True), 1):
        right += is_right
        p, r = right / n, right / truth
        f1 = 2 * p * r / (p + r) if right else 0
        if f1 > best[0]:
            best = (f1, p, r, score)
        if score >= 0.5:
            at_half = (f1, p, r)
    return best, at_half


def report(rows, doubled):
    others = {d: n for n, (d, _) in doubled.items()}
    pairs = []
    for a, b, *legs in rows:
        if a in doubled or b in doubled or a in others or b in others:
            right = others.get(a) == b or others.get(b) == a
            pairs.append((legs, right, doubled[others[a] if others.get(a) == b else others[b]][1] if right else None))
    truth = len(doubled)
    print("\n%d candidates that touch a double; of %d doubles found by way:" % (len(pairs), truth), end="")
    for way in WAYS:
        of = sum(w == way for _, w in doubled.values())
        print(" %s %.2f" % (way, sum(p[2] == way for p in pairs) / max(of, 1)), end="")
    print("\n\n%-34s %6s %6s %6s %6s   %6s %6s %6s" % ("order, weights n v s", "F1", "prec", "rec", "at", "F1 .5", "prec", "rec"))
    for order in (1, 2, 3):
        for weights in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1), (2, 1, 1), (1, 1, .5), (2, 1, .5), (2, 2, 1),
                        (3, 2, 1), (1, .5, .25), (1, 1, .25)):
            if order > 1 and sum(w > 0 for w in weights) == 1:
                continue
            scored = []
            for legs, right, _ in pairs:
                there = [(w, s) for w, s in zip(weights, legs) if s is not None and w > 0]
                total = sum(w for w, _ in there)
                if total:
                    scored.append(((sum(w * s ** order for w, s in there) / total) ** (1 / order), right))
            (f1, p, r, at), half = measure(scored, truth)
            print("%-34s %6.3f %6.3f %6.3f %6.3f   %6.3f %6.3f %6.3f"
                  % ("%d  %s" % (order, " ".join("%g" % w for w in weights)), f1, p, r, at, *half))


def times(connection, n, seed):
    """A graph of n entities with five facts each, one in ten with a double."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT graphmem.create_graph('large'); SET graphmem.graph = 'large';"
                       "SELECT setseed(0.%d)" % seed)
        cursor.execute(
            "INSERT INTO graphmem.facts (subject, predicate, object)"
            " SELECT name(i), 'p' || i %% 7, name((random() ^ 3 * %s)::int) FROM generate_series(1, %s) i,"
            " generate_series(1, 5)".replace("name(", "pg_temp.entity_name("), (n - 1, n))
        cursor.execute("ANALYZE graphmem.triples, graphmem.entities")
        for call in ("duplicate_candidates()", "duplicate_candidates(pg_temp.entity_name(%d))" % (n // 2)):
            begin = time.time()
            cursor.execute("SELECT count(*) FROM graphmem." + call)
            print("%s of %d entities: %.1f s, %d rows" % (call, n, time.time() - begin, cursor.fetchone()[0]))


NAMES = """CREATE FUNCTION pg_temp.entity_name(i int) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT initcap(string_agg(substr(md5((i / 10 * (9 + w))::text || w), 1, 4 + (i + w) %% 5), ' '))
        || CASE i %% 10 WHEN 1 THEN 'x' ELSE ' ' || substr(md5(i::text), 1, 5) END FROM generate_series(1, 2) w $$"""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("connection")
    parser.add_argument("data")
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--times", type=int, default=0)
    args = parser.parse_args()
    connection = psycopg2.connect(args.connection)
    connection.autocommit = True
    if args.times:
        with connection.cursor() as cursor:
            cursor.execute(NAMES.replace("%%", "%"))
        times(connection, args.times, args.seed)
        return
    doubled = load(connection, args.data, args.share, args.seed)
    with connection.cursor() as cursor:
        begin = time.time()
        cursor.execute("SELECT entity, other, name_score, vector_score, neighbor_score"
                       " FROM graphmem.duplicate_candidates(match_count => 10000000, min_score => 0)")
        rows = cursor.fetchall()
        print("%d candidates in %.1f s" % (len(rows), time.time() - begin))
    report(rows, doubled)


main()
