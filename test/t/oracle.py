"""Random graphs, and the answers of the reading functions beside independent ones.

    oracle.py SEED GRAPHS PSQL [ARGUMENT...]

Each graph goes into the tables row by row with ids, times and row order made
up here; the calls are made through PSQL.  What they are compared with:

    match, neighbors, traverse, subgraph, confidence    loops over the rows
    reach                                               a recursive CTE in SQL
    shortest_path, paths                                networkx's enumeration of simple paths
    components, pagerank                                networkx
    pagerank with seeds                                 the linear equations, by numpy
    as_of, known_at                                     a second graph of only the rows visible then

Prints TAP lines without numbers, a failed one with the call, then "done".
"""

import json
import math
import random
import subprocess
import sys

import networkx
import numpy

PAST = ["200%d-01-01 00:00:00+00" % i for i in range(1, 10)]
FUTURE = ["210%d-01-01 00:00:00+00" % i for i in range(1, 10)]
EARLIEST, LATEST = "-infinity", "infinity"
ORDER = {t: i for i, t in enumerate([EARLIEST] + PAST + ["now"] + FUTURE + [LATEST])}
NOW = ORDER["now"]
MADE = "2000-06-01 00:00:00+00"
ALPHABETS = ["ab", "é ", "日本", "'\"", "\\\n", "د", "😀", "-[]>"]


class Graph:
    """The rows of one graph."""

    def __init__(self, number, dice, base):
        self.id, self.name, self.dice = 1000 + number, "oracle %d" % number, dice
        big = dice.random() < 0.25
        ids = dice.sample(range(base, base + 5000), 1500)
        take = iter(ids)
        n = dice.randint(20, 40) if big else dice.randint(1, 9)
        self.small = n <= 9
        self.entities = {}
        names = set()
        while len(self.entities) < n:
            name = "".join(dice.choice(dice.choice(ALPHABETS)) for _ in range(dice.randint(0, 4)))
            literal = dice.choice([None, None, None, "int", "@en", ""])
            if (name, literal) in names:
                name += str(len(names))
            names.add((name, literal))
            self.entities[next(take)] = (name, literal, dice.choice([None, "k1", "k2"]))
        nodes = list(self.entities)
        self.aliases = {}
        for _ in range(dice.randint(0, 3)):
            self.aliases["alias%d" % dice.randint(0, 5)] = dice.choice(nodes)
        weighted = dice.random() < 0.4
        self.predicates = {next(take): ("p%d'" % i, dice.random() < 0.3,
                                        dice.choice([0.5, 1, 3]) if weighted else 1)
                           for i in range(dice.randint(1, 4))}
        self.sources = {next(take): ("s%d" % i, dice.choice([0, 0.25, 0.5, 0.75, 1]))
                        for i in range(dice.randint(0, 4))}
        self.history = dice.random() < 0.7
        self.triples = {}
        used = set()
        facts = {}
        for _ in range(dice.randint(60, 160) if big else dice.randint(0, 16)):
            s, o = dice.choice(nodes), dice.choice(nodes)
            p = dice.choice(list(self.predicates))
            valid = self.interval(0.6)
            known = self.interval(0.7) if self.history else (PAST[0], LATEST)
            if ORDER[known[0]] > NOW:
                known = (PAST[0], LATEST)
            if (s, p, o, valid[0], known[1]) in used:
                continue
            used.add((s, p, o, valid[0], known[1]))
            triple = next(take)
            fact = facts.setdefault((s, p, o), triple) if dice.random() < 0.8 else triple
            confidence = dice.choice([0, 0.1, 0.5, 0.9, 1, round(dice.random(), 3)])
            self.triples[triple] = (fact, s, p, o, confidence) + valid + known
        self.assertions = {}
        for fact in {t[0] for t in self.triples.values()}:
            for source in self.sources:
                if dice.random() < 0.3:
                    self.assertions[fact, source] = (round(dice.random(), 3), dice.choice(PAST))
        self.indexed()

    def indexed(self):
        """Entities win over aliases, aliases over literals, lower ids over higher."""
        self.named = {}
        for node in sorted(self.entities, reverse=True):
            name, literal, _ = self.entities[node]
            if literal is not None:
                self.named[name] = node
        self.named.update(self.aliases)
        for node, (name, literal, _) in self.entities.items():
            if literal is None:
                self.named[name] = node
        self.literals = {(name, literal): node for node, (name, literal, _) in self.entities.items()
                         if literal is not None}
        self.sources_of = {}
        for (fact, source), rest in self.assertions.items():
            self.sources_of.setdefault(fact, []).append((source,) + rest)

    def interval(self, open_chance):
        if not self.history:
            return (EARLIEST, LATEST)
        low = EARLIEST if self.dice.random() < open_chance else self.dice.choice(PAST + FUTURE)
        high = LATEST if self.dice.random() < open_chance else self.dice.choice(PAST + FUTURE)
        return (low, high) if ORDER[low] < ORDER[high] else (EARLIEST, LATEST)

    def confidence(self, triple, view):
        """By triple; known_at decides which sources count."""
        left, any_source = 1.0, False
        for source, confidence, since in self.sources_of.get(self.triples[triple][0], ()):
            if view.known is None or ORDER[since] <= ORDER[view.known]:
                left *= 1 - confidence * self.sources[source][1]
                any_source = True
        return 1 - left if any_source else self.triples[triple][4]

    def visible(self, triple, view):
        fact, s, p, o, confidence, low, high, recorded, expired = self.triples[triple]
        if view.as_of == LATEST:
            valid = high == LATEST
        else:
            at = NOW if view.as_of is None else ORDER[view.as_of]
            valid = ORDER[low] <= at < ORDER[high]
        if view.known is None or view.known == LATEST:
            known = expired == LATEST
        else:
            known = ORDER[recorded] <= ORDER[view.known] < ORDER[expired]
        return valid and known and \
            (view.least is None or self.confidence(triple, view) >= view.least) and \
            (view.predicates is None or self.predicates[p][0] in view.predicates)

    def seen(self, view):
        return [t for t in sorted(self.triples) if self.visible(t, view)]

    def arcs(self, view):
        """(from, to, triple) as a walk may take them; a self-loop once."""
        for t in self.seen(view):
            fact, s, p, o = self.triples[t][:4]
            both = view.direction in (None, "both") or self.predicates[p][1]
            if both or view.direction == "out":
                yield s, o, t
            if (both or view.direction == "in") and not (both and s == o):
                yield o, s, t

    def script(self, name=None, only=None, view=None):
        """Statements that store it; only: just these triples, without their times."""
        graph = self.id if name is None else self.id + 100000
        shift = 0 if name is None else 10 ** 12
        rows = []

        def add(table, columns, values):
            self.dice.shuffle(values)
            if values:
                rows.append("INSERT INTO graphmem.%s (graph_id, %s) VALUES %s;" % (
                    table, columns, ", ".join("(%d, %s)" % (graph, ", ".join(map(literal, v)))
                                              for v in values)))

        rows.append("INSERT INTO graphmem.graphs (graph_id, name) VALUES (%d, %s);"
                    % (graph, literal(name or self.name)))
        # known from the beginning: which are known is another test's matter
        add("entities", "entity_id, name, literal_type, kind, created_at",
            [(i + shift,) + v + ("-infinity",) for i, v in self.entities.items()])
        add("aliases", "name, entity_id", [(k, v + shift) for k, v in self.aliases.items()])
        add("predicates", 'predicate_id, name, "symmetric", weight',
            [(i + shift,) + v for i, v in self.predicates.items()])
        add("sources", "source_id, name, reliability",
            [(i + shift,) + v for i, v in self.sources.items()])
        triples = [(i + shift, v[0] + shift, v[1] + shift, v[2] + shift, v[3] + shift) +
                   (v[4:] if only is None else (v[4], EARLIEST, LATEST, MADE, LATEST))
                   for i, v in self.triples.items() if only is None or i in only]
        add("triples", "triple_id, fact_id, subject_id, predicate_id, object_id, confidence,"
            " valid_from, valid_to, recorded_at, expired_at", triples)
        facts = {t[1] - shift for t in triples}
        add("assertions", "fact_id, source_id, confidence, asserted_at",
            [(f + shift, s + shift) + v for (f, s), v in self.assertions.items()
             if f in facts and (only is None or view.known is None or ORDER[v[1]] <= ORDER[view.known])])
        return rows


class View:
    def __init__(self, dice, graph, walk=True):
        self.predicates = self.direction = self.as_of = self.known = self.least = None
        if walk and dice.random() < 0.3:
            names = [p[0] for p in graph.predicates.values()] + ["no such", None]
            self.predicates = dice.sample(names, dice.randint(0, len(names)))
        if walk:
            self.direction = dice.choice([None, "both", "out", "in"])
        if dice.random() < 0.4:
            self.as_of = dice.choice(PAST + FUTURE + [EARLIEST, LATEST])
        if dice.random() < 0.4:
            self.known = dice.choice(PAST + FUTURE + [EARLIEST, LATEST])
        if dice.random() < 0.25:
            self.least = dice.choice([0.0501, 0.3003, 0.7007])

    def arguments(self, walk=True, confidence=True):
        given = {"as_of": self.as_of, "known_at": self.known}
        if confidence:
            given["min_confidence"] = self.least
        if walk:
            given["direction"] = self.direction
            if self.predicates is not None:
                given["predicates"] = self.predicates
        return given


def literal(value):
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, list):
        return "ARRAY[%s]::text[]" % ", ".join(map(literal, value))
    return "E'" + value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"


def call(function, graph, **arguments):
    given = ["%s => %s" % ('"%s"' % k, literal(v)) for k, v in arguments.items()]
    return "graphmem.%s(%s)" % (function, ", ".join(given + ["graph => " + literal(graph)]))


def limit(rows, count):
    return rows if count is None else rows[:count]


# ---- the answers, by loops ----

def match(g, view, subject, predicate, object_, object_type, count):
    rows = []
    for t in g.seen(view):
        fact, s, p, o = g.triples[t][:4]
        if subject is not None and g.named.get(subject) != s:
            continue
        if predicate is not None and g.predicates[p][0] != predicate:
            continue
        if object_ is not None and \
                (g.named.get(object_) if object_type is None else
                 g.literals.get((object_, object_type))) != o:
            continue
        if object_ is None and object_type is not None and g.entities[o][1] != object_type:
            continue
        rows.append(t)
    return limit(rows, count)


def neighbors(g, view, name, count):
    node, rows = g.named.get(name), []
    for t in g.seen(view):
        fact, s, p, o = g.triples[t][:4]
        either = view.direction in (None, "both") or g.predicates[p][1]
        if s == o == node:
            rows.append((view.direction == "in", p, o, t))
        else:
            if s == node and (either or view.direction == "out"):
                rows.append((False, p, o, t))
            if o == node and (either or view.direction == "in"):
                rows.append((True, p, s, t))
    return limit([(t, n, "in" if into else "out") for into, p, n, t in sorted(rows)], count)


def walk(g, view, seeds, max_hops):
    """node: (hops, parent, triple)"""
    arcs = list(g.arcs(view))
    found = {s: (0, None, None) for s in seeds}
    for hops in range(1, max_hops + 1):
        level = {}
        for a, b, t in arcs:
            if b not in found and a in found and found[a][0] == hops - 1:
                level[b] = min(level.get(b, (a, t)), (a, t))
        if not level:
            break
        for node, (parent, triple) in level.items():
            found[node] = (hops, parent, triple)
    return found


def steps_to(found, node):
    steps = []
    while found[node][1] is not None:
        steps.append(found[node][2])
        node = found[node][1]
    return steps[::-1]


def path_text(g, start, steps):
    text, at = g.entities[start][0], start
    for t in steps:
        fact, s, p, o = g.triples[t][:4]
        forward = s == at
        at = o if forward else s
        text += (" -[%s]-> %s" if forward else " <-[%s]- %s") % (g.predicates[p][0], g.entities[at][0])
    return text


def preorder(found):
    children, order = {}, []
    for node, (hops, parent, triple) in found.items():
        children.setdefault(parent, []).append(node)
    stack = sorted(children.get(None, []), reverse=True)
    while stack:
        node = stack.pop()
        order.append(node)
        stack.extend(sorted(children.get(node, []), reverse=True))
    return order


def traverse(g, view, seeds, max_hops, order, kinds, count):
    found = walk(g, view, {g.named[s] for s in seeds if s in g.named}, max_hops)
    nodes = preorder(found) if order == "dfs" else sorted(found, key=lambda n: (found[n][0], n))
    rows = []
    for node in nodes:
        if kinds is not None and g.entities[node][2] not in [k for k in kinds if k is not None]:
            continue
        start = node
        while found[start][1] is not None:
            start = found[start][1]
        steps = steps_to(found, node)
        rows.append((len(rows) + 1, node, g.entities[node][0], g.entities[node][2], found[node][0],
                     path_text(g, start, steps), steps))
    return limit(rows, count)


def subgraph(g, view, seeds, max_hops, count):
    found = walk(g, view, {g.named[s] for s in seeds if s in g.named}, max_hops)
    rows = [(max(found[s][0], found[o][0]), t) for t in g.seen(view)
            for s, o in [(g.triples[t][1], g.triples[t][3])] if s in found and o in found]
    return limit([(t, hops) for hops, t in sorted(rows)], count)


def confidences(g, view, rows):
    answer = []
    for t in rows:
        fact = g.triples[t][0]
        sources = sorted(s for s, c, since in g.sources_of.get(fact, ())
                         if view.known is None or ORDER[since] <= ORDER[view.known])
        value = g.confidence(t, view)
        answer.append((t, value, g.triples[t][4], value if sources else None,
                       [g.sources[s][0] for s in sources]))
    return answer


# ---- the answers, by networkx and numpy ----

def simple_paths(g, view, a, b, max_hops, by_confidence):
    """(cost, hops, [(node, triple)...]) in order"""
    net = networkx.MultiDiGraph()
    net.add_nodes_from(g.entities)
    for s, o, t in g.arcs(view):
        confidence = g.confidence(t, view)
        if s != o and not (by_confidence and confidence <= 0):
            net.add_edge(s, o, key=t, cost=-math.log(confidence) if by_confidence else 1)
    if a == b:
        return [(0, 0, [])]
    paths = []
    if max_hops > 0:
        for path in networkx.all_simple_edge_paths(net, a, b, cutoff=max_hops):
            cost = sum(net.edges[e]["cost"] for e in path)
            paths.append((cost, len(path), [(v, t) for u, v, t in path]))
    return sorted(paths)


def pagerank(g, view, damping):
    net = networkx.MultiDiGraph()
    net.add_nodes_from(g.entities)
    for s, o, t in g.arcs(view):
        net.add_edge(s, o, weight=g.predicates[g.triples[t][2]][2])
    return networkx.pagerank(net, alpha=damping, tol=1e-13, max_iter=5000)


def personal(g, view, seeds, damping):
    nodes = sorted(g.entities)
    at = {node: i for i, node in enumerate(nodes)}
    n = len(nodes)
    step = numpy.zeros((n, n))
    for s, o, t in g.arcs(view):
        step[at[o], at[s]] += g.predicates[g.triples[t][2]][2]
    start = numpy.zeros(n)
    for seed in seeds:
        start[at[seed]] += 1 / len(seeds)
    for i in range(n):
        total = step[:, i].sum()
        step[:, i] = step[:, i] / total if total > 0 else start
    rank = numpy.linalg.solve(numpy.eye(n) - damping * step, (1 - damping) * start)
    return {node: rank[at[node]] for node in nodes}


def components(g, view):
    net = networkx.MultiGraph()
    net.add_nodes_from(g.entities)
    net.add_edges_from((g.triples[t][1], g.triples[t][3]) for t in g.seen(view))
    groups = [sorted(c) for c in networkx.connected_components(net)]
    return [(c[0], len(c), node) for c in sorted(groups, key=lambda c: (-len(c), c[0])) for node in c]


REACH = """(WITH RECURSIVE arc AS (
    SELECT CASE WHEN d.forward THEN t.subject_id ELSE t.object_id END AS a,
        CASE WHEN d.forward THEN t.object_id ELSE t.subject_id END AS b
    FROM graphmem.triples t JOIN graphmem.predicates p USING (predicate_id),
        (VALUES (true), (false)) AS d (forward)
    WHERE t.triple_id = ANY ('{%(triples)s}')
        AND (p."symmetric" OR '%(direction)s' = 'both' OR d.forward = ('%(direction)s' = 'out'))
), reached (node, hops) AS (
    SELECT %(seed)d::bigint, 0
    UNION
    SELECT arc.b, r.hops + 1 FROM reached r JOIN arc ON arc.a = r.node WHERE r.hops < %(hops)d
)
SELECT count(DISTINCT node) AS count, COALESCE(sum(DISTINCT node), 0)::bigint AS checksum
FROM reached WHERE node <> %(seed)d)"""


# ---- comparing ----

def close(a, b, tolerance):
    return a == b or (a is not None and b is not None and abs(a - b) <= tolerance)


class Run:
    def __init__(self, psql, graph):
        self.psql, self.graph = psql, graph
        self.statements, self.checks = [], []

    def ask(self, text, judge):
        """judge(rows) returns None or what is wrong"""
        self.statements.append("SELECT COALESCE(json_agg(x), '[]') FROM %s AS x;" % text)
        self.checks.append((text, judge))

    def finish(self, before):
        process = subprocess.run(
            self.psql + ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-"],
            input="\n".join(["SET client_encoding = 'UTF8';"] + before + self.statements) + "\n",
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")
        decoder, text, answers = json.JSONDecoder(), process.stdout, []
        at = 0
        while True:
            while at < len(text) and text[at].isspace():
                at += 1
            if at >= len(text):
                break
            answer, at = decoder.raw_decode(text, at)
            answers.append(answer)
        if process.returncode != 0 or len(answers) != len(self.checks):
            print("not ok - %s: %d of %d calls answered" % (self.graph, len(answers), len(self.checks)))
            if len(answers) < len(self.checks):
                print("# next: " + self.checks[len(answers)][0].replace("\n", "\n# "))
            print("# " + process.stderr.strip().replace("\n", "\n# "))
            return
        wrong = [(text, answer, complaint) for (text, judge), answer in zip(self.checks, answers)
                 for complaint in [judge(answer)] if complaint is not None]
        print("%sok - %s: %d calls" % ("not " if wrong else "", self.graph, len(self.checks)))
        for text, answer, complaint in wrong[:3]:
            for line in (text, "wanted: %s" % (complaint,), "got: %s" % json.dumps(answer)):
                print("# " + line.replace("\n", "\n# ")[:2000])


def columns(rows, *names):
    return [tuple(row[n] for n in names) for row in rows]


def equal(wanted, *names):
    def judge(rows):
        got = columns(rows, *names) if len(names) > 1 else [row[names[0]] for row in rows]
        return None if got == wanted else wanted
    return judge


def ask_pattern(run, g, dice, names):
    view = View(dice, g, walk=False)
    pattern = dict(subject=dice.choice([None, dice.choice(names)]),
                   predicate=dice.choice([None, dice.choice(list(g.predicates.values()))[0], "no such"]),
                   object=dice.choice([None, dice.choice(names)]))
    object_type = dice.choice([None, None, None, "int", "@en", ""])
    count = dice.choice([None, None, None, 0, 1, 3])
    rows = match(g, view, *pattern.values(), object_type, count)
    wanted = [(t, g.triples[t][0], g.entities[g.triples[t][1]][0], g.predicates[g.triples[t][2]][0],
               g.entities[g.triples[t][3]][0], g.entities[g.triples[t][3]][1]) for t in rows]
    values = [g.confidence(t, view) for t in rows]
    same = equal(wanted, "triple_id", "fact_id", "subject", "predicate", "object", "object_type")

    def judge(got):
        if same(got) is not None:
            return same(got)
        if all(close(r["confidence"], v, 1e-6) for r, v in zip(got, values)):
            return None
        return values

    run.ask(call("match", g.name, **pattern, object_type=object_type, match_count=count,
                 **view.arguments(walk=False)), judge)

    view.least = None
    wanted_parts = confidences(g, view, match(g, view, *pattern.values(), object_type, None))

    def judge_parts(got):
        fine = len(got) == len(wanted_parts) and all(
            row["triple_id"] == t and close(row["confidence"], c, 1e-6) and
            close(row["prior"], prior, 1e-6) and close(row["source_confidence"], by_sources, 1e-6) and
            row["sources"] == sources
            for row, (t, c, prior, by_sources, sources) in zip(got, wanted_parts))
        return None if fine else wanted_parts

    run.ask(call("confidence", g.name, **pattern, object_type=object_type,
                 **view.arguments(walk=False, confidence=False)), judge_parts)


def ask_walks(run, g, dice, names):
    view = View(dice, g)
    count = dice.choice([None, None, 0, 1, 2, 5])
    name = dice.choice(names)
    run.ask(call("neighbors", g.name, entity=name, match_count=count, **view.arguments()),
            equal([(t, g.entities[n][0], way) for t, n, way in neighbors(g, view, name, count)],
                  "triple_id", "neighbor", "direction"))

    seeds = dice.sample(names, dice.randint(0, min(4, len(names)))) + dice.choice([[], [None]])
    hops = dice.choice([0, 1, 2, 3, 1000000000])
    order = dice.choice(["bfs", "dfs", None])
    kinds = dice.choice([None, None, ["k1"], ["k2", None, "no such"], []])
    wanted = traverse(g, view, seeds, min(hops, 100), order, kinds, count)
    run.ask(call("traverse", g.name, seeds=seeds, max_hops=hops, traversal_order=order, kinds=kinds,
                 match_count=count, **view.arguments()),
            equal(wanted, "rank", "entity_id", "entity", "kind", "hops", "path", "path_ids"))
    run.ask(call("subgraph", g.name, seeds=seeds, max_hops=hops, match_count=count, **view.arguments()),
            equal(subgraph(g, view, seeds, min(hops, 100), count), "triple_id", "hops"))

    seed = dice.choice(names)
    if seed in g.named:
        oracle = REACH % dict(seed=g.named[seed], direction=view.direction or "both",
                              hops=min(hops, len(g.entities)), triples=",".join(map(str, g.seen(view))))
        run.ask("(SELECT a = b AS same, a, b FROM %s a, %s b)" % (
            call("reach", g.name, seed=seed, max_hops=hops, **view.arguments()), oracle),
            lambda rows: None if [r["a"] for r in rows] == [r["b"] for r in rows] and len(rows) == 1
            else "equal")
    else:
        run.ask(call("reach", g.name, seed=seed, **view.arguments()),
                equal([(0, 0)], "count", "checksum"))


def ask_paths(run, g, dice, names):
    view = View(dice, g)
    a, b = dice.choice(names), dice.choice(names)
    for by_confidence in (False, True):
        weight = "confidence" if by_confidence else "hops"
        hops = dice.choice([0, 1, 2, 3] + [4, 1000] * g.small)
        k = dice.choice([0, 1, 3, 10])
        paths = [] if a not in g.named or b not in g.named else \
            simple_paths(g, view, g.named[a], g.named[b], min(hops, 12), by_confidence)

        def judge(got, paths=paths, k=k, by_confidence=by_confidence):
            wanted = paths[:k]
            if len(got) != len(wanted):
                return wanted
            for rank, (row, (cost, length, steps)) in enumerate(zip(got, wanted), 1):
                if row["rank"] != rank or not close(row["cost"], cost, 1e-5):
                    return wanted
                # costs that differ by less than a step are equal, and hops and ids decide
                if not by_confidence and (row["path_ids"] != [t for _, t in steps] or
                                          row["hops"] != length or
                                          row["entity_ids"][1:] != [v for v, _ in steps]):
                    return wanted
                if by_confidence and not any(
                        row["path_ids"] == [t for _, t in other[2]] and close(other[0], cost, 1e-5)
                        for other in paths):
                    return wanted
                if row["path"] != path_text(g, row["entity_ids"][0], row["path_ids"]):
                    return "path as text"
                product = math.prod(g.confidence(t, view) for t in row["path_ids"])
                if not close(row["confidence"], product, 1e-5):
                    return product
            return None

        run.ask(call("paths", g.name, a=a, b=b, weight=weight, max_hops=hops, match_count=k,
                     **view.arguments()), judge)
        run.ask(call("shortest_path", g.name, a=a, b=b, weight=weight, max_hops=hops, **view.arguments()),
                lambda got, judge=judge, paths=paths, by=by_confidence: judge(got, paths, 1, by))


def ask_ranks(run, g, dice, names):
    view = View(dice, g)
    # an argument of type real
    damping = float(numpy.float32(dice.choice([0, 0.5, 0.85, 0.99])))
    kinds = dice.choice([None, None, ["k1"]])
    wanted = pagerank(g, view, damping)
    if kinds is not None:
        wanted = {n: r for n, r in wanted.items() if g.entities[n][2] in kinds}

    def judge(got, wanted=wanted, tolerance=1e-7, every=True):
        scores = {row["entity_id"]: row["score"] for row in got}
        if every and set(scores) != set(wanted):
            return wanted
        if any(not close(scores.get(n, 0), r, tolerance) for n, r in wanted.items()):
            return wanted
        order = [(-row["score"], row["entity_id"]) for row in got]
        return None if order == sorted(order) else "sorted"

    run.ask(call("pagerank", g.name, damping=damping, epsilon=1e-12, max_iterations=10000, kinds=kinds,
                 match_count=None, **view.arguments()), judge)

    seeds = [dice.choice(names) for _ in range(dice.randint(1, 3))]
    known = [g.named[s] for s in seeds if s in g.named]
    if known:
        rank = personal(g, view, known, damping)
        run.ask(call("pagerank", g.name, seeds=seeds, damping=damping, epsilon=1e-12, match_count=None,
                     **view.arguments()),
                lambda got: judge(got, {n: r for n, r in rank.items()}, 1e-6, False))
    else:
        run.ask(call("pagerank", g.name, seeds=seeds), equal([], "entity_id"))

    arguments = view.arguments()
    del arguments["direction"]
    groups = components(g, view)
    least, count = dice.choice([None, 1, 2, 3]), dice.choice([None, 0, 4])
    run.ask(call("components", g.name, min_size=least, match_count=count, **arguments),
            equal(limit([c for c in groups if c[1] >= (least or 1)], count),
                  "component_id", "component_size", "entity_id"))


# sums may differ in their last bits, and equal scores then come in either order
RANKS = "entity, round(score::numeric, 9)"


def ask_twin(run, g, dice, names, before):
    """The same calls as of a time, and on a graph of the rows visible then."""
    view = View(dice, g, walk=False)
    view.least = None
    seen = g.seen(view)
    # two versions visible at once cannot both be stored without their times
    if len({g.triples[t][1:4] for t in seen}) < len(seen):
        return
    twin = g.name + " then"
    before.extend(g.script(twin, set(seen), view))
    times = view.arguments(walk=False, confidence=False)
    name = dice.choice(names)
    least = dice.choice([None, 0.3003])
    questions = [
        ("match", dict(min_confidence=least), "subject, predicate, object, object_type, confidence"),
        ("neighbors", dict(entity=name, min_confidence=least), "subject, predicate, object, direction, confidence"),
        ("traverse", dict(seeds=[name], max_hops=3, min_confidence=least), "rank, entity, hops, path"),
        ("subgraph", dict(seeds=[name], max_hops=2, min_confidence=least),
         "subject, predicate, object, hops, confidence"),
        ("shortest_path", dict(a=name, b=dice.choice(names), weight="confidence"), "hops, cost, path"),
        ("pagerank", dict(match_count=None, min_confidence=least, epsilon=1e-12), RANKS),
        ("pagerank", dict(seeds=[name], match_count=None, epsilon=1e-12), RANKS),
        ("components", dict(min_confidence=least), "component_size, entity"),
        ("confidence", dict(), "subject, predicate, object, confidence, prior, source_confidence, sources"),
    ]
    for function, arguments, what in questions:
        text = "(SELECT json_agg(json_build_array(%s)%s)::text AS rows FROM %s)"
        order = " ORDER BY entity_id" if what is RANKS else ""
        then = text % (what, order, call(function, twin, **arguments))
        run.ask("(SELECT a.rows AS a, b.rows AS b FROM %s a, %s b)" % (
            text % (what, order, call(function, g.name, **arguments, **times)), then),
            lambda rows: None if rows[0]["a"] == rows[0]["b"] else "equal")


def main():
    seed, graphs, psql = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    for number in range(graphs):
        dice = random.Random(seed * 1000 + number)
        g = Graph(number, dice, 10 ** 6 + number * 10000)
        names = [v[0] for v in g.entities.values()] + list(g.aliases) + ["no such name"]
        run = Run(psql, g.name)
        before = g.script()
        for _ in range(12):
            ask_pattern(run, g, dice, names)
            ask_walks(run, g, dice, names)
            ask_paths(run, g, dice, names)
            ask_ranks(run, g, dice, names)
        ask_twin(run, g, dice, names, before)
        run.finish(before)
    print("done")


main()
