#!/usr/bin/env python3
"""WordNet as a graph: facts, sources and vectors from Debian's wordnet-base.

    wordnet.py --out DIR [--dict DIR] [--dim N]    write the files below
    wordnet.py --query DIR TEXT                    print TEXT's vector as real[]
    wordnet.py --judge DIR                         neighbours against relations

Files in DIR, in COPY's text format:
    facts.tsv      subject, predicate, object, source, subject_kind, object_kind
    sources.tsv    name, kind, content: a synset's words and its gloss
    entities.tsv   name, kind
    vectors.tsv    name, embedding
    vectors.npy, words.npy, words.txt    the same vectors and those of words

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
import json
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
POWER_ITERATIONS = 3
OVERSAMPLING = 20
OWN_WORD_WEIGHT = 2.0

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


def word_vectors(information, dim):
    random = np.random.RandomState(SEED)
    basis = random.standard_normal(
        (information.shape[1], dim + OVERSAMPLING)).astype(np.float32)
    for _ in range(POWER_ITERATIONS):
        basis, _ = np.linalg.qr(information @ basis)
        basis, _ = np.linalg.qr(information.T @ basis)
    basis, _ = np.linalg.qr(information @ basis)
    u, s, _ = np.linalg.svd((information.T @ basis).T, full_matrices=False)
    u = (basis @ u)[:, :dim]
    # the sign of a singular vector is free: make its largest element positive
    u *= np.sign(u[np.abs(u).argmax(axis=0), np.arange(u.shape[1])])
    return unit(u * np.sqrt(s[:dim]))


def text_vectors(texts, index, weights, vectors):
    rows, cols, values = [], [], []
    for row, (own, gloss) in enumerate(texts):
        for factor, words in ((OWN_WORD_WEIGHT, own), (1.0, gloss)):
            for word in words:
                if word in index:
                    rows.append(row)
                    cols.append(index[word])
                    values.append(factor * weights[index[word]])
    sums = sparse.csr_matrix((np.array(values, np.float32), (rows, cols)),
                             shape=(len(texts), len(index)))
    return np.asarray(sums @ vectors)


def make_vectors(synsets, dim, say):
    words = Words(single_words(synsets))
    texts = [(words.split(" ".join(s.words)), words.split(s.gloss))
             for s in synsets.values()]
    frequency = collections.Counter()
    documents = collections.Counter()
    for own, gloss in texts:
        frequency.update(own)
        frequency.update(gloss)
        documents.update(set(own) | set(gloss))
    # a word of one synset and no gloss still gives that synset its direction
    listed = sorted(w for w, n in frequency.items() if n >= MIN_COUNT)
    index = {word: i for i, word in enumerate(listed)}
    weights = np.array([math.log(len(texts) / documents[w]) for w in listed],
                       dtype=np.float32)
    say("%d texts, %d words" % (len(texts), len(listed)))
    information = positive_information(count_pairs(texts, index))
    say("%d pairs of words with information" % information.nnz)
    vectors = word_vectors(information, dim)
    say("%d dimensions by singular value decomposition" % dim)
    sums = text_vectors(texts, index, weights, vectors)
    mean = unit(sums).mean(axis=0)
    return words, listed, weights, vectors, mean, unit(unit(sums) - mean)


def single_words(synsets):
    return {w.lower() for s in synsets.values() for w in s.words if w.isalpha()}


if __name__ == "__main__":
    import time
    t=time.time(); c=time.process_time()
    def say(x): print("%6.1f %6.1f %s" % (time.time()-t, time.process_time()-c, x), flush=True)
    syn = read_synsets(DICT); say("read")
    fs = list(facts(syn)); say(len(fs))
    ref = set(tuple(l.rstrip("\n").split("\t")) for l in open("/tmp/inf/triples.tsv"))
    print(len(ref), len(fs), set(fs) == ref, len({f[1] for f in fs}), sum(a==c for a,b,c in fs))
    words, listed, weights, vectors, mean, v = make_vectors(syn, 300, say); say("made")
    np.save("/tmp/inf/v.npy", v)
    keys=list(syn); ix={k:i for i,k in enumerate(keys)}
    adj=collections.defaultdict(set)
    for a,b,c2 in fs: adj[ix[a]].add(ix[c2]); adj[ix[c2]].add(ix[a])
    rs=np.random.RandomState(1); smp=rs.choice(len(keys),2000,replace=False)
    sim=v[smp]@v.T; sim[np.arange(2000),smp]=-9; nn=sim.argmax(1)
    d=[n in adj[q] for q,n in zip(smp,nn)]
    h2=[n in adj[q] or bool(adj[q]&adj[n]) for q,n in zip(smp,nn)]
    r=rs.choice(len(keys),2000)
    rd=[n in adj[q] for q,n in zip(smp,r)]; rh=[n in adj[q] or bool(adj[q]&adj[n]) for q,n in zip(smp,r)]
    say((np.mean(d),np.mean(h2),np.mean(rd),np.mean(rh), 'zero', (np.linalg.norm(v,axis=1)<.5).sum()))
    names=[s.name for s in syn.values()]
    for q in ("dog","loom","program the computer","who invented the loom"):
        qs=words.split(q); qv=sum(weights[listed.index(w)]*vectors[listed.index(w)] for w in qs if w in listed)
        qv=qv/np.linalg.norm(qv)-mean; o=np.argsort(-(v@qv))[:6]; print(q, qs, [names[i] for i in o])
