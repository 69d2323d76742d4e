#!/usr/bin/env python3
"""WordNet as a graph: facts, sources and vectors from Debian's wordnet-base.

    wordnet.py --out DIR [--dict DIR] [--dim N]    write the files below
    wordnet.py --query DIR TEXT                    print TEXT's vector as real[]

Files in DIR, in COPY's text format:
    facts.tsv      subject, predicate, object, source, subject_kind, object_kind
    sources.tsv    name, kind, content: a synset's words and its gloss
    entities.tsv   name, kind
    vectors.tsv    name, embedding
    vectors.npy    the same as a matrix, a row for each row of entities.tsv
    words.npz      what --query needs: words, their vectors and weights

Names.  A synset is named after its first word with the word's part of speech
and sense number, "dog (n1)": unique, readable, and its word is found by full
text and by trigrams.

Facts.  Every pointer of a synset, those between single words lifted to their
synsets, repeated ones once.  Each is asserted by the source "gloss:NAME" of
the synset it starts from.

Vectors.  Made from words and glosses alone; no relation is read for them.
    1. A text per synset: its words, then its gloss with examples.  Words are
       lower case, without the commonest English ones, reduced to base forms by
       WordNet's rules of detachment where the result is a word of WordNet.
    2. Words that occur at least twice are counted together, within WINDOW
       words at 1 / distance, and every word of the synset with every word of
       its gloss at weight 1.  The counts become positive pointwise mutual
       information with contexts smoothed by the power 0.75.
    3. A truncated singular value decomposition (randomised with a fixed seed,
       Halko, Martinsson and Tropp 2011) gives each word U * sqrt(S), length 1.
    4. A text is the sum of its words' vectors, weighted by the inverse document
       frequency, those of the synset's own words doubled; minus the mean of
       all texts, and again of length 1.
A question's vector is made by steps 1 and 4 from the same words.
"""

import argparse
import collections
import math
import os
import re
import sys

import numpy as np
import scipy.sparse as sparse

DICT = "/usr/share/wordnet"
WINDOW = 5
MIN_COUNT = 2
SEED = 20
POWER_ITERATIONS = 2
OVERSAMPLING = 20
OWN_WORD_WEIGHT = 2.0
DECIMALS = 4            # of the vectors' elements
JUDGED = 2000
RANDOM_PAIRS = 200000

FILES = (("noun", "n"), ("verb", "v"), ("adj", "a"), ("adv", "r"))
KINDS = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}

# pointer symbols of wninput(5); "\" is a pertainym of adjectives and the
# adjective that an adverb comes from
PREDICATES = {
    "!": "antonym", "@": "hypernym", "@i": "instance_hypernym",
    "~": "hyponym", "~i": "instance_hyponym",
    "#m": "member_holonym", "#s": "substance_holonym", "#p": "part_holonym",
    "%m": "member_meronym", "%s": "substance_meronym", "%p": "part_meronym",
    "=": "attribute", "+": "derivationally_related", "*": "entailment",
    ">": "cause", "^": "also_see", "$": "verb_group", "&": "similar_to",
    "<": "participle_of", "\\": "pertainym",
    ";c": "domain_topic", "-c": "member_of_topic",
    ";r": "domain_region", "-r": "member_of_region",
    ";u": "domain_usage", "-u": "member_of_usage",
}

STOP_WORDS = frozenset("""
a an and are as at be been being but by can could did do does for from had has
have he her him his how i if in into is it its may me might more most my no not
of on one or our s she should so some such than that the their them then there
these they this those to us was we were what when where which while who whom
whose why will with would you your t etc e g
""".split())

DETACHMENT = (("ies", "y"), ("sses", "ss"), ("ches", "ch"), ("shes", "sh"),
              ("xes", "x"), ("zes", "z"), ("ses", "s"), ("men", "man"), ("s", ""),
              ("es", "e"), ("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", ""))

Synset = collections.namedtuple("Synset", "name kind words gloss pointers")


def read_senses(folder, part):
    """(word, offset) -> sense number, from an index file."""
    senses = {}
    with open(os.path.join(folder, "index." + part), encoding="utf-8") as lines:
        for line in lines:
            if line.startswith(" "):
                continue                # the licence
            fields = line.split()
            offsets = fields[-int(fields[2]):]
            for number, offset in enumerate(offsets, 1):
                senses[fields[0], offset] = number
    return senses


def read_synsets(folder):
    """Key -> Synset, in the order of the files."""
    synsets = {}
    names = set()
    for part, pos in FILES:
        senses = read_senses(folder, part)
        with open(os.path.join(folder, "data." + part), encoding="utf-8") as lines:
            for line in lines:
                if line.startswith(" "):
                    continue
                data, _, gloss = line.partition("|")
                fields = data.split()
                offset, n_words = fields[0], int(fields[3], 16)
                words = [re.sub(r"\((a|p|ip)\)$", "", word)
                         for word in fields[4:4 + 2 * n_words:2]]
                at = 4 + 2 * n_words
                n_pointers = int(fields[at])
                pointers = []
                for i in range(n_pointers):
                    symbol, target, target_pos, _ = fields[at + 1 + 4 * i:at + 5 + 4 * i]
                    pointers.append((PREDICATES[symbol], target_pos + target))
                number = senses[words[0].lower(), offset]
                words = [word.replace("_", " ") for word in words]
                name = "%s (%s%d)" % (words[0], pos, number)
                if name in names:
                    sys.exit("two synsets are called %s" % name)
                names.add(name)
                synsets[pos + offset] = Synset(name, KINDS[pos], words,
                                               gloss.strip(), pointers)
    return synsets


def facts(synsets):
    """Every (subject key, predicate, object key) once, in order of appearance."""
    seen = set()
    for key, synset in synsets.items():
        for predicate, target in synset.pointers:
            fact = (key, predicate, target)
            if fact not in seen:
                seen.add(fact)
                yield fact


class Words:
    """Base forms, and later the vector and the weight of each."""

    def __init__(self, forms):
        self.forms = forms              # every single word of WordNet
        self.cache = {}

    def base(self, token):
        known = self.cache.get(token)
        if known is None:
            known = token
            for suffix, ending in DETACHMENT:
                if token.endswith(suffix) and len(token) > len(suffix) + 1:
                    stem = token[:-len(suffix)] + ending
                    if stem in self.forms:
                        known = stem
                        break
            self.cache[token] = known
        return known

    def split(self, text):
        return [self.base(token) for token in re.findall(r"[^\W\d_]+", text.lower())
                if token not in STOP_WORDS]


def count_pairs(texts, index):
    """Sparse symmetric matrix of weighted co-occurrence."""
    rows, cols, weights = [], [], []
    for own, gloss in texts:
        own = [index[w] for w in own if w in index]
        gloss = [index[w] for w in gloss if w in index]
        for distance in range(1, WINDOW + 1):
            rows += gloss[:-distance]
            cols += gloss[distance:]
            weights += [1.0 / distance] * max(0, len(gloss) - distance)
        for word in set(own):
            rows += [word] * len(gloss)
            cols += gloss
            weights += [1.0] * len(gloss)
    n = len(index)
    pairs = sparse.coo_matrix((weights, (rows, cols)), shape=(n, n),
                              dtype=np.float32).tocsr()
    return (pairs + pairs.T).tocsr()


def positive_information(counts):
    """Positive pointwise mutual information, contexts smoothed."""
    word = np.asarray(counts.sum(axis=1)).ravel()
    context = word ** 0.75
    context /= context.sum()
    pairs = counts.tocoo()
    value = np.log(pairs.data / (word[pairs.row] * context[pairs.col]))
    keep = value > 0
    return sparse.csr_matrix((value[keep].astype(np.float32),
                              (pairs.row[keep], pairs.col[keep])), shape=counts.shape)


def unit(vectors):
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)


def orthonormal(columns):
    """An orthonormal basis of the columns' span, by Cholesky factors twice."""
    for _ in range(2):
        factor = np.linalg.cholesky((columns.T @ columns).astype(np.float64))
        columns = columns @ np.linalg.inv(factor).T.astype(np.float32)
    return columns


def word_vectors(information, dim):
    random = np.random.RandomState(SEED)
    transposed = information.T.tocsr()
    basis = random.standard_normal(
        (information.shape[1], dim + OVERSAMPLING)).astype(np.float32)
    for _ in range(POWER_ITERATIONS):
        basis = orthonormal(transposed @ orthonormal(information @ basis))
    basis = orthonormal(information @ basis)
    projected = transposed @ basis
    squares, u = np.linalg.eigh((projected.T @ projected).astype(np.float64))
    largest = squares.argsort()[::-1][:dim]
    u = basis @ u[:, largest].astype(np.float32)
    # the sign of a singular vector is free: make its largest element positive
    u *= np.sign(u[np.abs(u).argmax(axis=0), np.arange(dim)])
    return unit(u * squares[largest].astype(np.float32) ** 0.25)


class Model:
    """What turns a text into a vector."""

    def __init__(self, forms, listed, weights, vectors, mean):
        self.words = Words(forms)
        self.listed = listed
        self.index = {word: i for i, word in enumerate(listed)}
        self.weights = weights
        self.vectors = vectors
        self.mean = mean

    def save(self, path):
        np.savez(path, forms=np.array(sorted(self.words.forms)),
                 listed=np.array(self.listed), weights=self.weights,
                 vectors=self.vectors, mean=self.mean)

    @classmethod
    def load(cls, path):
        with np.load(path) as f:
            return cls(set(f["forms"].tolist()), f["listed"].tolist(), f["weights"],
                       f["vectors"], f["mean"])

    def sums(self, texts):
        """A row per (own words, other words); 0 where none is known."""
        rows, cols, values = [], [], []
        for row, (own, gloss) in enumerate(texts):
            for factor, words in ((OWN_WORD_WEIGHT, own), (1.0, gloss)):
                for word in words:
                    if word in self.index:
                        rows.append(row)
                        cols.append(self.index[word])
                        values.append(factor * self.weights[self.index[word]])
        shape = (len(texts), len(self.listed))
        return unit(sparse.csr_matrix((np.array(values, np.float32), (rows, cols)),
                                      shape=shape) @ self.vectors)

    def embed(self, text):
        vector = self.sums([([], self.words.split(text))])
        return unit(vector - self.mean)[0] if vector.any() else None


def make_vectors(synsets, dim):
    """A Model, and a row for every synset; rows of 0 have no known word."""
    words = Words({w.lower() for s in synsets.values() for w in s.words if w.isalpha()})
    texts = [(words.split(" ".join(s.words)), words.split(s.gloss))
             for s in synsets.values()]
    frequency = collections.Counter()
    documents = collections.Counter()
    for own, gloss in texts:
        frequency.update(own)
        frequency.update(gloss)
        documents.update(set(own + gloss))
    listed = sorted(w for w, n in frequency.items() if n >= MIN_COUNT)
    index = {word: i for i, word in enumerate(listed)}
    weights = np.array([math.log(len(texts) / documents[w]) for w in listed],
                       dtype=np.float32)
    say("%d texts with %d words" % (len(texts), len(listed)))
    information = positive_information(count_pairs(texts, index))
    say("%d pairs of words; reducing to %d dimensions" % (information.nnz, dim))
    model = Model(words.forms, listed, weights, word_vectors(information, dim), None)
    sums = model.sums(texts)
    model.mean = sums.mean(axis=0)
    vectors = unit(sums - model.mean)
    vectors[~sums.any(axis=1)] = 0
    return model, vectors


# ---- files ----

def escaped(text):
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


def write_rows(path, rows):
    with open(path, "w", encoding="utf-8") as out:
        for row in rows:
            out.write("\t".join(escaped(field) for field in row) + "\n")


def write_vectors(path, names, vectors):
    """Fixed point, since a table of strings is quicker than formatting."""
    scale = 10 ** DECIMALS
    table = [b"%.*f" % (DECIMALS, i / scale) for i in range(scale + 1)]
    table += [b"-" + text for text in table[:0:-1]]
    with open(path, "wb") as out:
        for name, row in zip(names, np.rint(vectors * scale).astype(np.int32)):
            if row.any():
                numbers = b",".join([table[i] for i in row.tolist()])
                out.write(b"%s\t{%s}\n" % (escaped(name).encode(), numbers))


def write_all(folder, dictionary, dim):
    synsets = read_synsets(dictionary)
    os.makedirs(folder, exist_ok=True)

    def at(name):
        return os.path.join(folder, name)

    fact_list = list(facts(synsets))
    write_rows(at("facts.tsv"), (
        (synsets[a].name, predicate, synsets[b].name, "gloss:" + synsets[a].name,
         synsets[a].kind, synsets[b].kind) for a, predicate, b in fact_list))
    write_rows(at("sources.tsv"), (
        ("gloss:" + s.name, "gloss", "%s: %s" % (", ".join(s.words), s.gloss))
        for s in synsets.values()))
    write_rows(at("entities.tsv"), ((s.name, s.kind) for s in synsets.values()))
    say("%d synsets, %d facts, %d predicates" %
        (len(synsets), len(fact_list), len({f[1] for f in fact_list})))
    model, vectors = make_vectors(synsets, dim)
    model.save(at("words.npz"))
    vectors = np.round(vectors, DECIMALS)
    np.save(at("vectors.npy"), vectors)
    write_vectors(at("vectors.tsv"), (s.name for s in synsets.values()), vectors)
    say("%d vectors written" % vectors.any(axis=1).sum())
    judge(synsets, fact_list, vectors)


def judge(synsets, fact_list, vectors):
    """How often the nearest vector is a related synset, beside random pairs."""
    number = {key: i for i, key in enumerate(synsets)}
    near = [set() for _ in synsets]
    for a, _, b in fact_list:
        near[number[a]].add(number[b])
        near[number[b]].add(number[a])

    def share(firsts, seconds):
        pairs = [(a, b) for a, b in zip(firsts, seconds) if a != b]
        one = sum(b in near[a] for a, b in pairs)
        two = sum(b in near[a] or not near[a].isdisjoint(near[b]) for a, b in pairs)
        return 100 * one / len(pairs), 100 * two / len(pairs)

    random = np.random.RandomState(SEED)
    sample = random.choice(np.flatnonzero(vectors.any(axis=1)), JUDGED, replace=False)
    likeness = vectors[sample] @ vectors.T
    likeness[np.arange(JUDGED), sample] = -2
    pairs = random.randint(0, len(vectors), (2, RANDOM_PAIRS))
    say("of %d synsets, %.1f %% have a nearest vector that WordNet relates to them "
        "and %.1f %% one within 2 hops"
        % ((JUDGED,) + share(sample, likeness.argmax(axis=1))))
    say("of %d random pairs it is %.3f %% and %.2f %%" % ((RANDOM_PAIRS,) + share(*pairs)))


def say(line):
    print("  " + line, file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dict", default=DICT, help="folder of data.noun and its kin")
    parser.add_argument("--dim", type=int, default=300)
    parser.add_argument("--out", metavar="DIR", help="write all files")
    parser.add_argument("--query", metavar=("DIR", "TEXT"), nargs=2,
                        help="print the vector of a text")
    given = parser.parse_args()
    if given.out:
        write_all(given.out, given.dict, given.dim)
    elif given.query:
        vector = Model.load(os.path.join(given.query[0], "words.npz")).embed(given.query[1])
        if vector is None:
            sys.exit("no word of the question is known")
        print("{%s}" % ",".join("%.6f" % x for x in vector))
    else:
        parser.error("one of --out and --query is needed")


if __name__ == "__main__":
    main()
