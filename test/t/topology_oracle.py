"""Vectors that refresh_topology leaves, beside what their definitions give in
numpy, scipy and networkx, on graphs small enough for dense matrices.

    topology_oracle.py DSN SEED

Eigenvectors and singular vectors are compared as subspaces and Gram matrices,
which no rotation among equal values changes.
"""

import sys

import networkx as nx
import numpy as np
import psycopg2
from scipy.linalg import subspace_angles
from scipy.special import iv

SQL = """
SELECT state, nodes, arcs FROM graphmem.refresh_topology(%s, dim => %s, seed => %s, options => %s::jsonb,
    weighted => %s, predicates => %s, source_space => %s, graph => %s)
"""


def report(what, right):
    print("%sok - %s" % ("" if right else "not ", what), flush=True)


def note(what):
    print("# " + what, flush=True)


class Graph:
    """A networkx graph in the database; its names are random, so that ids and order are too."""

    def __init__(self, connection, name, g, rng):
        self.cursor, self.name = connection.cursor(), name
        self.nodes = sorted(g.nodes)
        self.call = {n: "%s %d" % (name, i) for n, i in zip(self.nodes, rng.permutation(len(self.nodes)))}
        edges = [(self.call[a], d.get("predicate", "p"), self.call[b], d.get("weight", 1.0))
                 for a, b, d in g.edges(data=True)]
        self.cursor.execute("SELECT graphmem.create_graph(%s)", (name,))
        self.cursor.execute("SET graphmem.graph = '%s'" % name)
        for i in rng.permutation(len(edges)):
            s, p, o, w = edges[i]
            if rng.random() < 0.5:
                s, o = o, s
            self.cursor.execute("INSERT INTO graphmem.facts (subject, predicate, object, confidence)"
                                " VALUES (%s, %s, %s, %s)", (s, p, o, w))
        self.alone = [n for n in self.nodes if g.degree(n) == 0]
        for n in self.alone:
            self.cursor.execute("SELECT graphmem.add_entity(%s)", (self.call[n],))
        self.kept = [n for n in self.nodes if g.degree(n) > 0]
        self.a = nx.to_numpy_array(g, nodelist=self.kept, weight="weight" if
                                   nx.get_edge_attributes(g, "weight") else None)

    def vectors(self, method, dim, options="{}", seed=0, weighted=False, predicates=None, given=None):
        """One row a node that has edges."""
        self.cursor.execute(SQL, (method, dim, seed, options, weighted, predicates, given, self.name))
        state, _, _ = self.cursor.fetchone()
        assert state == "done", state
        self.cursor.execute("SET graphmem.graph = '%s'" % self.name)
        self.cursor.execute("SELECT entity, embedding FROM graphmem.topology WHERE space = 'topology'")
        found = dict(self.cursor.fetchall())
        assert not set(found) & {self.call[n] for n in self.alone}, "a node without edges has a vector"
        return np.array([found.get(self.call[n], [0.0] * dim) for n in self.kept])

    def similar(self, node, k):
        self.cursor.execute("SELECT item FROM graphmem.similar(%s, %s, space => 'topology')",
                            (self.call[node], k))
        return [row[0] for row in self.cursor.fetchall()]


def close(x, y, most=1e-3):
    return np.linalg.norm(x - y) <= most * max(np.linalg.norm(y), 1e-12)


def gram(x):
    return x @ x.T


# ---- definitions ----

def normalised(a, share=0.0):
    d = a.sum(1)
    d = d + share * d.mean()
    return a / np.sqrt(np.outer(d, d))


def leading(a, dim, share=0.0):
    values, columns = np.linalg.eigh(normalised(a, share))
    order = np.argsort(-values)
    return values[order], columns[:, order[:dim]]


def walk_matrix(a, window, negative):
    d = a.sum(1)
    p = a / d[:, None]
    total, power = np.zeros_like(a), np.eye(len(a))
    for _ in range(window):
        power = power @ p
        total += power
    return np.log(np.maximum(d.sum() / (negative * window) * total / d[None, :], 1))


def prone_first(a, dim):
    p = a / a.sum(1)[:, None]
    noise = p.sum(0) ** 0.75
    noise /= noise.sum()
    f = np.where(a > 0, np.log(np.where(p > 0, p, 1)) - np.log(noise)[None, :], 0)
    u, s, _ = np.linalg.svd(f)
    x = u[:, :dim] * np.sqrt(s[:dim])
    length = np.linalg.norm(x, axis=1)[:, None]
    return s, length.min(), x / length


def prone_second(a, x, order, mu, theta, exponent):
    loops = a + np.eye(len(a))
    m = np.eye(len(a)) - loops / loops.sum(1)[:, None] - mu * np.eye(len(a))
    older, old = x, m @ (m @ x) / 2 - x
    total = iv(0, theta) * older - 2 * iv(1, theta) * old
    for i in range(2, order):
        newest = m @ (m @ old) - 2 * old - older
        total += (2 if i % 2 == 0 else -2) * iv(i, theta) * newest
        older, old = old, newest
    u, s, _ = np.linalg.svd(loops @ (x - total), full_matrices=False)
    return u * s ** exponent


# ---- checks ----

PLAIN = '{"normalize": false, "regularization": 0, "value_exponent": 0, "iterations": 100, "tolerance": 0}'


def check_spectral(g, name, dim):
    x = g.vectors("spectral", dim, PLAIN)
    values, true = leading(g.a, dim)
    report("%s: columns of length 1 at right angles" % name, close(x.T @ x, np.eye(dim), 1e-3))
    found = np.sort(np.diag(x.T @ normalised(g.a) @ x))[::-1]
    report("%s: the leading %d eigenvalues" % (name, dim), np.abs(found - values[:dim]).max() < 1e-3)
    if len(values) == dim or values[dim - 1] - values[dim] > 0.02:
        report("%s: their eigenvectors" % name, np.sin(subspace_angles(x, true)).max() < 0.02)


def known(path, cycle, complete):
    """Spectra that have formulas."""
    x = path.vectors("spectral", 4, PLAIN)
    n = len(path.a)
    report("path: cos(pi k / (n - 1))", np.abs(
        np.sort(np.diag(x.T @ normalised(path.a) @ x)) - np.sort(np.cos(np.pi * np.arange(4) / (n - 1)))).max() < 1e-3)
    x = cycle.vectors("spectral", 5, PLAIN)
    n = len(cycle.a)
    report("cycle: cos(2 pi k / n), twice each but the first", np.abs(
        np.sort(np.diag(x.T @ normalised(cycle.a) @ x)) -
        np.sort(np.cos(2 * np.pi * np.array([0, 1, 1, 2, 2]) / n))).max() < 1e-3)
    x = complete.vectors("spectral", 1, PLAIN)
    report("complete: 1, and the same for every node", np.ptp(x) < 1e-4)


def check_cliques(g, size):
    """Two of them and one edge: each node's nearest are of its own."""
    for method in ("spectral", "walk", "propagation", "fastrp"):
        g.vectors(method, 2 if method == "spectral" else 8)
        right = all(set(g.similar(n, size - 1)) <= {g.call[m] for m in g.nodes if m // size == n // size}
                    for n in (1, size - 2, size + 1, 2 * size - 2))
        report("two cliques, %s: a node's nearest are of its own clique" % method, right)


def check_walk(g, name, dim):
    x = g.vectors("walk", dim, '{"normalize": false, "window": 5, "negative": 1, "landmarks": %d,'
                  ' "oversampling": 64}' % len(g.a))
    m = walk_matrix(g.a, 5, 1)
    u, s, _ = np.linalg.svd(m)
    best = u[:, :dim] * np.sqrt(s[:dim])
    note("%s: NetMF's Gram matrix differs by %.2g" % (name, np.linalg.norm(gram(x) - gram(best)) /
                                                     np.linalg.norm(gram(best))))
    report("%s: U S^1/2 of NetMF's matrix" % name, close(gram(x), gram(best), 0.02))


def check_prone(g, name, dim):
    s, shortest, first = prone_first(g.a, dim)
    if len(s) > dim and s[dim - 1] - s[dim] < 0.02 * s[dim]:
        note("%s: no gap behind singular value %d" % (name, dim))
        return
    if shortest < 0.01:
        note("%s: a row of length %.1g, whose direction is rounding" % (name, shortest))
        return
    for exponent, options, what in ((0.5, ', "value_exponent": 0.5', "as published"), (0.75, "", "with its default exponent")):
        x = g.vectors("propagation", dim, '{"normalize": false, "iterations": 100%s}' % options)
        true = prone_second(g.a, first, 10, 0.2, 0.5, exponent)
        report("%s: ProNE %s" % (name, what), close(gram(x), gram(true), 0.01))


def check_fastrp(g, name, dim):
    project = g.vectors("fastrp", dim, '{"normalize": false, "self_weight": 1, "weights": [0]}')
    p = g.a / g.a.sum(1)[:, None]

    def unit(x):
        length = np.linalg.norm(x, axis=1)[:, None]
        return np.where(length > 0, x / np.where(length > 0, length, 1), 0)

    x = g.vectors("fastrp", dim, '{"normalize": false, "self_weight": 0, "weights": [0.5, -2, 3]}')
    # only directions of the projection are known: its rows are given with length 1
    direction = np.linalg.norm(project, axis=1)
    scale = (g.a.sum(1) / g.a.sum()) ** -0.628
    other = g.vectors("fastrp", dim, '{"normalize": false, "self_weight": 0, "weights": [0.5, -2, 3]}', seed=1)
    report("%s: another seed, other vectors" % name, not close(other, x, 0.1))
    report("%s: the projection is sparse, its rows of length 1 or 0" % name,
           bool(((np.abs(direction - 1) < 1e-3) | (direction == 0)).all()))
    # the signs of very sparse projections are +-1 times one factor: entries of a row have one size
    entries = [np.unique(np.round(np.abs(row[row != 0]), 4)) for row in project if row.any()]
    report("%s: entries of a row have one size" % name, all(len(e) == 1 for e in entries))
    signs = np.sign(project) * scale[:, None]
    first, second, third = p @ signs, p @ p @ signs, p @ p @ p @ signs
    report("%s: weighted powers of the transition matrix" % name,
           close(x, 0.5 * unit(first) - 2 * unit(second) + 3 * unit(third), 1e-3))


def check_smooth(g, name, rng):
    dim = 6
    given = rng.standard_normal((len(g.kept), dim))
    for n, v in zip(g.kept, given):
        g.cursor.execute("SELECT graphmem.set_embedding(%s, %s::real[], graph => %s)", (g.call[n], v.tolist(), g.name))
    x = g.vectors("smooth", dim, '{"normalize": false, "iterations": 4, "damping": 0.6}', given="default")
    p = g.a / g.a.sum(1)[:, None]
    true = given
    for _ in range(4):
        true = 0.4 * given + 0.6 * p @ true
    report("%s: given vectors smoothed" % name, close(x, true))


def check_order(connection, g, name, seed):
    """Names, order and direction of facts change nothing but the numbers of nodes."""
    one, two = (Graph(connection, "%s order %d" % (name, i), g, np.random.default_rng(seed + i)) for i in (1, 2))
    for method, options in (("spectral", PLAIN), ("walk", '{"landmarks": %d, "normalize": false, "oversampling": 64}' %
                                                  len(one.a))):
        dim = 4
        values = leading(one.a, dim)[0] if method == "spectral" else np.linalg.svd(walk_matrix(one.a, 10, 1))[1]
        if values[dim - 1] - values[dim] < 0.01 * values[0]:
            note("%s, %s: no gap" % (name, method))
            continue
        x, y = one.vectors(method, dim, options), two.vectors(method, dim, options)
        report("%s, %s: as well in another order" % (name, method), close(gram(x), gram(y), 0.02))


def check_finite(g, name):
    for method in ("spectral", "walk", "propagation", "fastrp"):
        for dim in (1, 5, 40):
            x = g.vectors(method, dim)
            length = np.linalg.norm(x, axis=1)
            # by its weights, whose sum bounds the length
            fits = length < 5.42 if method == "fastrp" else np.abs(length - 1) < 1e-3
            report("%s, %s, dim %d: finite, rows of their length or 0" % (name, method, dim),
                   bool(np.isfinite(x).all() and (fits | (length < 1e-6)).all()))
            y = g.vectors(method, dim)
            report("%s, %s, dim %d: the same again, bit for bit" % (name, method, dim), bool((x == y).all()))


def check_subset(connection, rng):
    """Predicates that are left out are as if they were not there."""
    g = nx.karate_club_graph()
    for _, _, d in g.edges(data=True):
        d.clear()
        d["predicate"] = "a" if rng.random() < 0.8 else "b"
    both = Graph(connection, "both", g, np.random.default_rng(1))
    part = nx.Graph((a, b) for a, b, d in g.edges(data=True) if d["predicate"] == "a")
    both.kept = sorted(part.nodes)
    a = nx.to_numpy_array(part, nodelist=both.kept)
    x = both.vectors("spectral", 3, PLAIN, predicates=["a"])
    values, true = leading(a, 3)
    found = np.sort(np.diag(x.T @ normalised(a) @ x))[::-1]
    report("of some predicates: their graph's eigenvalues", np.abs(found - values[:3]).max() < 1e-3)


def main():
    connection = psycopg2.connect(sys.argv[1])
    connection.autocommit = True
    seed = int(sys.argv[2])
    rng = np.random.default_rng(seed)

    def graph(name, g):
        return Graph(connection, name, nx.convert_node_labels_to_integers(g), rng)

    path, cycle, complete = (graph("path", nx.path_graph(30)), graph("cycle", nx.cycle_graph(24)),
                             graph("complete", nx.complete_graph(12)))
    known(path, cycle, complete)
    cliques = nx.disjoint_union(nx.complete_graph(10), nx.complete_graph(10))
    cliques.add_edge(0, 10)
    check_cliques(graph("cliques", cliques), 10)
    unweighted = nx.karate_club_graph()
    for _, _, d in unweighted.edges(data=True):
        d.clear()
    karate = graph("karate", unweighted)
    loose = nx.gnm_random_graph(60, 90, seed=seed % 1000)
    loose.add_edge(3, 3)
    loose.add_node(1000)
    loose = graph("loose", loose)
    dense = graph("dense", nx.powerlaw_cluster_graph(80, 4, 0.3, seed=seed % 1000))
    for g, name in ((karate, "karate"), (loose, "loose"), (dense, "dense"), (cycle, "cycle")):
        check_spectral(g, name, 4)
        check_prone(g, name, 8)
        check_fastrp(g, name, 32)
    for g, name in ((karate, "karate"), (dense, "dense")):
        check_walk(g, name, 8)
    weighted = nx.karate_club_graph()
    for _, _, d in weighted.edges(data=True):
        d["weight"] = float(np.float32(rng.uniform(0.2, 1)))
    weighted = graph("weighted", weighted)
    x = weighted.vectors("spectral", 4, PLAIN, weighted=True)
    found = np.sort(np.diag(x.T @ normalised(weighted.a) @ x))[::-1]
    report("weighted by confidence: its eigenvalues", np.abs(found - leading(weighted.a, 4)[0][:4]).max() < 1e-3)
    check_smooth(dense, "dense", rng)
    check_order(connection, unweighted, "karate", seed)
    check_subset(connection, rng)
    pieces = nx.disjoint_union_all([nx.star_graph(9), nx.complete_graph(2), nx.complete_graph(2), nx.path_graph(3)])
    pieces.add_edge(0, 0)
    pieces.add_edge(90, 90)
    check_finite(graph("pieces", pieces), "pieces")
    pair = graph("pair", nx.complete_graph(2))
    check_finite(pair, "a pair")
    print("done", flush=True)


main()
