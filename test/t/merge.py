"""Random graphs merged and unmerged, compared row by row.

    merge.py SEED GRAPHS HOST PORT DATABASE

Each graph goes into the tables row by row: versions of facts that overlap,
touch, are expired together or by turns, functional predicates, everything that
can hang on an entity or a fact.  Several merges, nested or not, follow; after
each these are asserted:

    names       every name of either entity means the kept one
    rows        none refers to the entity that is gone
    facts now   per subject, predicate and object the moments at which it holds
                are those of before, once gone is written as keep
    facts then  what was known at any moment is known still
    versions    no two open ones of one fact in one graph overlap; objects of a
                functional predicate do not either
    sources     each fact is stated by the sources of before, last when it was then
    check()     finds nothing

A dry run counts the same and changes nothing.  Then they are taken back in
reverse order, and each time every table has the rows of before, all columns.

Graphs of chains are made by facts, supersede, retract and undo_supersede, and
merged; more of these may follow, on keep under either name, and then the merge
is taken back and steps are undone in any order.  After each call, whatever came
of it:

    timelines   open versions of a subject and functional predicate, or of one
                fact, do not overlap
    chains      every version that a step names is one of its fact
    check()     finds nothing

Errors are of the kinds that the functions promise.  Without a call in between
the merge comes back and every table has the rows of before.

Prints TAP lines without numbers, then "done".
"""

import random
import sys

import psycopg2

TIMES = ["-infinity"] + ["20%02d-01-01 00:00:00+00" % i for i in range(1, 9)] + ["infinity"]
TABLES = ["entities", "aliases", "predicates", "triples", "sources", "assertions", "supersessions",
          "functional_keys", "vector_spaces", "embeddings", "topology_vectors", "accesses", "activations", "merge_rows"]


class Failure(Exception):
    pass


def expect(condition, what):
    if not condition:
        raise Failure(what)


class Graph:
    def __init__(self, db, name, dice):
        self.db, self.dice, self.name = db, dice, name
        self.graph = self.one("SELECT graphmem.create_graph(%s)", self.name)
        self.run("SET graphmem.graph = '%s'" % self.name)

    def run(self, sql, *args):
        with self.db.cursor() as cursor:
            cursor.execute(sql, args or None)
            return cursor.fetchall() if cursor.description else None

    def one(self, sql, *args):
        return self.run(sql, *args)[0][0]

    # ---- random rows ----

    def insert(self, table, **columns):
        names = ", ".join(columns)
        marks = ", ".join(["%s"] * len(columns))
        return self.run("INSERT INTO graphmem.%s (%s) VALUES (%s) RETURNING *" % (table, names, marks),
                        *columns.values())[0][0]

    def fill(self):
        dice, g = self.dice, self.graph
        self.entities = [self.insert(
            "entities", graph_id=g, name="e%d" % i, kind=dice.choice([None, "k1", "k2"]),
            properties=dice.choice(["{}", '{"a": 1}', '{"a": 2, "b": [1, 2.50]}', '{"c": null}']))
            for i in range(dice.randint(4, 6))]
        for i in range(dice.randint(0, 4)):
            self.insert("aliases", graph_id=g, entity_id=dice.choice(self.entities),
                        name=dice.choice(["a%d" % i, "e%d" % i]))
        self.predicates = [(self.insert("predicates", graph_id=g, name="p%d" % i, functional=i == 2), i == 2)
                           for i in range(3)]
        self.sources = [self.insert("sources", graph_id=g, name="s%d" % i) for i in range(3)]
        self.triples = {}
        for _ in range(dice.randint(5, 40)):
            self.add_fact()
        facts = list(self.triples)
        for fact in facts:
            for source in dice.sample(self.sources, dice.randint(0, 3)):
                self.insert("assertions", fact_id=fact, source_id=source, graph_id=g,
                            confidence=dice.choice([0.1, 0.25, 1]), asserted_at=dice.choice(TIMES[1:-1]))
        for _ in range(dice.randint(0, 8) if len(facts) > 1 else 0):
            old, new = dice.sample(facts, 2)
            versions = self.triples[old]
            self.insert("supersessions", graph_id=g, old_fact_id=old, new_fact_id=dice.choice([None, new]),
                        old_triple_id=dice.choice(versions), closed_triple_id=dice.choice(versions + [None]),
                        rest_triple_id=dice.choice(versions + [None]), superseded_at=dice.choice(TIMES[1:-1]))
        for name, target, items in (("v", "entity", self.entities), ("w", "entity", self.entities),
                                    ("f", "fact", facts)):
            space = self.insert("vector_spaces", graph_id=g, name=name, target=target, dim=3)
            for item in items:
                if dice.random() < 0.6:
                    self.insert("embeddings", space_id=space, item_id=item, graph_id=g,
                                embedding=[dice.random(), -0.0, 1e-7 + dice.random()])
        for name in dice.sample(["t", "u"], dice.randint(0, 2)):
            space = self.insert("vector_spaces", graph_id=g, name=name, origin="topology", dim=3)
            for entity in self.entities:
                if dice.random() < 0.5:
                    self.insert("topology_vectors", space_id=space, entity_id=entity, graph_id=g, embedding=[1, 2, 3],
                                shape=dice.choice([None, 2 ** 63 - 1, -2 ** 63, dice.randint(-9, 9)]))
        for entity in self.entities:
            if dice.random() < 0.5:
                self.insert("accesses", entity_id=entity, graph_id=g, access_count=dice.randint(1, 9),
                            last_access=dice.choice(TIMES[1:-1]))
            for session in dice.sample(["x", "y", "z"], dice.randint(0, 3)):
                self.insert("activations", graph_id=g, session=session, entity_id=entity,
                            activation=dice.choice([0.1, 0.3, 1]), pinned=dice.random() < 0.3,
                            updated_at=dice.choice(TIMES[1:-1]))
            for predicate, functional in self.predicates:
                if functional and dice.random() < 0.5:
                    self.insert("functional_keys", subject_id=entity, predicate_id=predicate, graph_id=g,
                                changes=dice.randint(0, 5))

    def add_fact(self):
        """A fact with a few versions, each as the tables allow it."""
        dice = self.dice
        predicate, functional = dice.choice(self.predicates)
        fact, subject, obj = None, dice.choice(self.entities), dice.choice(self.entities)
        for _ in range(dice.randint(1, 3)):
            begin, end = sorted(dice.sample(TIMES, 2), key=TIMES.index)
            recorded = dice.choice(TIMES[1:6])
            expired = dice.choice(["infinity", "infinity", dice.choice(TIMES[5:9])])
            # among the rows of before: an open version overlaps none of its fact,
            # or of its subject if the predicate is functional
            clash = self.one(
                "SELECT count(*) FROM graphmem.triples WHERE subject_id = %s AND predicate_id = %s"
                " AND ((object_id = %s AND valid_from = %s AND expired_at = %s)"
                " OR ((%s OR object_id = %s) AND expired_at = 'infinity' AND %s = 'infinity'"
                " AND valid_from < %s AND %s < valid_to))",
                subject, predicate, obj, begin, expired, functional, obj, expired, end, begin)
            if clash:
                continue
            columns = dict(graph_id=self.graph, subject_id=subject, predicate_id=predicate, object_id=obj,
                           confidence=dice.choice([0.1, 0.7, 1]), functional=functional, valid_from=begin,
                           valid_to=end, recorded_at=recorded, expired_at=expired,
                           properties=dice.choice([None, '{"n": 1.0}']))
            if fact is not None:
                columns["fact_id"] = fact
            triple = self.insert("triples", **columns)
            fact = self.one("SELECT fact_id FROM graphmem.triples WHERE triple_id = %s", triple)
            self.triples.setdefault(fact, []).append(triple)

    # ---- what is there ----

    def rows(self):
        found = {table: self.run("SELECT t::text FROM graphmem.%s t WHERE graph_id = %%s ORDER BY 1" % table,
                                 self.graph) for table in TABLES}
        return found

    def versions(self):
        return self.run(
            "SELECT fact_id, subject_id, predicate_id, object_id, functional,"
            " array_position(%s, valid_from::text) - 1, array_position(%s, valid_to::text) - 1,"
            " array_position(%s, recorded_at::text) - 1, array_position(%s, expired_at::text) - 1"
            " FROM graphmem.triples WHERE graph_id = %s",
            *[TIMES] * 4, self.graph)

    def stated(self):
        """Sources of each fact, and when they stated it."""
        by_fact = {}
        for fact, source, at in self.run("SELECT fact_id, source_id, asserted_at FROM graphmem.assertions"
                                         " WHERE graph_id = %s", self.graph):
            by_fact.setdefault(fact, {})[source] = at
        return by_fact


def moments(versions, rename, known=None):
    """Per subject, predicate and object the steps of TIMES at which it holds."""
    found = {}
    for _, s, p, o, _, begin, end, recorded, expired in versions:
        if known is None and expired == len(TIMES) - 1 or known is not None and recorded <= known < expired:
            key = (rename.get(s, s), p, rename.get(o, o))
            found.setdefault(key, set()).update(range(begin, end))
    return found


def sources_of(versions, stated, rename):
    found = {}
    for fact, s, p, o, *_ in versions:
        latest = found.setdefault((rename.get(s, s), p, rename.get(o, o)), {})
        for source, at in stated.get(fact, {}).items():
            latest[source] = max(at, latest.get(source, at))
    return found


def check_versions(versions):
    last = len(TIMES) - 1
    opened = [v for v in versions if v[8] == last]
    for i, a in enumerate(opened):
        for b in opened[:i]:
            if (a[1], a[2]) == (b[1], b[2]) and (a[3] == b[3] or a[4]) and a[5] < b[6] and b[5] < a[6]:
                raise Failure("open versions overlap: %s and %s" % (a, b))


def merge_once(graph, keep, gone):
    """False if the merge was refused, as it must be then."""
    before, rows = graph.versions(), graph.rows()
    names = {i: n for i, n in graph.run("SELECT entity_id, name FROM graphmem.entities WHERE graph_id = %s",
                                        graph.graph)}
    stated = graph.stated()
    aliases = [n for n, in graph.run("SELECT name FROM graphmem.aliases WHERE entity_id = ANY (%s)", [keep, gone])
               if n not in names.values()]
    rename = {gone: keep}
    last = len(TIMES) - 1
    mine = [v for v in before if v[1] == keep and v[4] and v[8] == last]
    theirs = [v for v in before if v[1] == gone and v[4] and v[8] == last]
    rivals = any(a[2] == b[2] and rename.get(a[3], a[3]) != rename.get(b[3], b[3]) and a[5] < b[6] and b[5] < a[6]
                 for a in mine for b in theirs)
    try:
        dry = graph.run("SELECT * FROM graphmem.merge_entities(%s, %s, dry_run => true)", names[keep], names[gone])[0]
    except psycopg2.errors.UniqueViolation as error:
        expect(rivals, "refused without need: %s" % error)
        expect(graph.rows() == rows, "a refused merge left something")
        return None
    expect(not rivals, "rivals were not noticed")
    expect(graph.rows() == rows, "a dry run left something")
    done = graph.run("SELECT * FROM graphmem.merge_entities(%s, %s)", names[keep], names[gone])[0]
    expect(dry[0] is None and dry[1:] == done[1:], "the dry run counted %s, the merge %s" % (dry, done))

    after = graph.versions()
    expect(all(gone not in (v[1], v[3]) for v in after), "a version of gone is left")
    for table, column in (("aliases", "entity_id"), ("accesses", "entity_id"), ("activations", "entity_id"),
                          ("functional_keys", "subject_id"), ("topology_vectors", "entity_id"), ("entities", "entity_id")):
        expect(graph.one("SELECT count(*) FROM graphmem.%s WHERE %s = %%s" % (table, column), gone) == 0,
               "%s refers to gone" % table)
    for name in [names[keep], names[gone]] + aliases:
        expect(graph.one("SELECT graphmem.add_entity(%s)", name) == keep, "%s does not mean keep" % name)
    expect(moments(before, rename) == moments(after, {}), "what holds now differs")
    for known in range(1, last):
        then, now = moments(before, rename, known), moments(after, {}, known)
        expect(all(steps <= now.get(key, set()) for key, steps in then.items()), "what was known at %d is not" % known)
    check_versions(after)
    expect(sources_of(before, stated, rename) == sources_of(after, graph.stated(), {}), "sources differ")
    expect(graph.one("SELECT count(*) FROM graphmem.triples t WHERE graph_id = %s AND NOT EXISTS"
                     " (SELECT FROM graphmem.entities e WHERE e.entity_id = t.subject_id)", graph.graph) == 0,
           "a version has no subject")
    expect(graph.one("SELECT count(*) FROM graphmem.triples t JOIN graphmem.triples u USING (fact_id) WHERE t.graph_id = %s"
                     " AND (t.subject_id, t.predicate_id, t.object_id) <> (u.subject_id, u.predicate_id, u.object_id)",
                     graph.graph) == 0, "a fact says two things")
    expect(graph.one("SELECT count(*) FROM graphmem.supersessions s, unnest(ARRAY[old_triple_id, closed_triple_id,"
                     " rest_triple_id]) AS i WHERE graph_id = %s AND i IS NOT NULL AND NOT EXISTS (SELECT FROM"
                     " graphmem.triples t WHERE t.triple_id = i AND t.fact_id = s.old_fact_id)", graph.graph) == 0,
           "a supersession lost its version")
    sound(graph)
    return done


def sound(graph):
    found = graph.run("SELECT * FROM graphmem.check(%s)", graph.name)
    expect(not found, "check() found %s" % found[:3])


def same_rows(now, rows):
    for table in rows:
        if now[table] != rows[table]:
            more = [r for r in now[table] if r not in rows[table]][:3]
            less = [r for r in rows[table] if r not in now[table]][:3]
            raise Failure("%s: %s instead of %s" % (table, more, less))


def one_graph(db, number, dice):
    graph = Graph(db, "merge %d" % number, dice)
    graph.fill()
    sound(graph)
    stack, joined = [], 0
    for _ in range(dice.randint(1, 3)):
        left = [i for i, in graph.run("SELECT entity_id FROM graphmem.entities WHERE graph_id = %s", graph.graph)]
        keep, gone = dice.sample(left, 2)
        rows = graph.rows()
        done = merge_once(graph, keep, gone)
        if done is not None:
            stack.append((rows, done))
            joined += done[2]
    merges = len(stack)
    while stack:
        rows, done = stack.pop()
        back = graph.run("SELECT * FROM graphmem.unmerge_entities(%s)", done[0])[0]
        expect(back == done, "%s came back of %s" % (back, done))
        same_rows(graph.rows(), rows)
        sound(graph)
        try:
            graph.run("SELECT graphmem.unmerge_entities(%s)", done[0])
            raise Failure("a merge was undone twice")
        except psycopg2.errors.ObjectNotInPrerequisiteState:
            pass
    return merges, joined


class Chains(Graph):
    """Calls are kept, so that a failure can tell how it came."""

    NAMES = ["x%d" % i for i in range(4)]
    DATES = TIMES[1:-1]

    def __init__(self, db, number, dice):
        super().__init__(db, "chains %d" % number, dice)
        self.calls, self.done = [], 0
        self.insert("predicates", graph_id=self.graph, name="f", functional=True)
        for name in self.NAMES:
            self.run("SELECT graphmem.add_entity(%s)", name)

    def call(self, sql, *args):
        """The rows, or None where it was refused as it may be."""
        try:
            rows = self.run(sql, *args)
            self.calls.append("%s %s" % (sql, args))
            self.done += 1
        except psycopg2.Error as error:
            self.calls.append("%s %s: %s" % (sql, args, error.pgcode))
            expect(error.pgcode in ("22023", "42704", "55000", "23505", "23P01"), "%s %s" % (error.pgcode, error))
            rows = None
        self.whole()
        return rows

    def whole(self):
        expect(self.one("SELECT count(*) FROM graphmem.triples a JOIN graphmem.triples b"
                        " USING (subject_id, predicate_id, expired_at) WHERE a.graph_id = %s"
                        " AND expired_at = 'infinity' AND a.triple_id < b.triple_id"
                        " AND (a.functional OR a.object_id = b.object_id)"
                        " AND a.valid_from < b.valid_to AND b.valid_from < a.valid_to", self.graph) == 0,
               "open versions overlap")
        expect(self.one("SELECT count(*) FROM graphmem.supersessions s, unnest(ARRAY[old_triple_id, closed_triple_id,"
                        " rest_triple_id]) AS i WHERE graph_id = %s AND i IS NOT NULL AND NOT EXISTS (SELECT FROM"
                        " graphmem.triples t WHERE t.triple_id = i AND t.fact_id = s.old_fact_id)", self.graph) == 0,
               "a step names a version that is not its fact's")
        sound(self)

    def date(self):
        return self.dice.choice(self.DATES + [None] * 4)

    def undo(self):
        steps = [i for i, in self.run("SELECT supersession_id FROM graphmem.supersessions WHERE graph_id = %s"
                                      " AND undone_at IS NULL ORDER BY 1", self.graph)]
        return bool(steps) and self.call("SELECT graphmem.undo_supersede(%s)", self.dice.choice(steps)) is not None

    def step(self):
        dice = self.dice
        names = [dice.choice(self.NAMES) for _ in range(2)]
        facts = self.run("SELECT subject, predicate, object FROM graphmem.facts ORDER BY 1, 2, 3")
        what = dice.choice(["state", "state", "supersede", "retract", "undo"])
        if what == "state" or not facts:
            begin, end = self.date(), self.date()
            self.call("INSERT INTO graphmem.facts (subject, predicate, object, valid_from, valid_to)"
                      " VALUES (%s, %s, %s, %s, %s)", names[0], dice.choice("ffp"), names[1], begin, end)
        elif what == "supersede":
            self.call("SELECT graphmem.supersede(%s, %s, %s, %s, %s)", *dice.choice(facts), names[0], self.date())
        elif what == "retract":
            self.call("SELECT graphmem.retract(%s, %s, %s, %s)", *dice.choice(facts), self.date())
        else:
            self.undo()


def one_chains(graph):
    dice = graph.dice
    for _ in range(dice.randint(6, 24)):
        graph.step()
    rows = graph.rows()
    keep, gone = dice.sample(graph.NAMES, 2)
    merged = graph.call("SELECT * FROM graphmem.merge_entities(%s, %s)", keep, gone)
    if merged is None:
        same_rows(graph.rows(), rows)
        return 0, 0
    before = graph.done
    for _ in range(dice.choice([0, 0, 1, 2, 4])):
        graph.step()
    later = None
    if dice.random() < 0.3:
        later = graph.call("SELECT * FROM graphmem.merge_entities(%s, %s)", *dice.sample(graph.NAMES, 2))
        graph.step()
    if later is not None and dice.random() < 0.7:
        graph.call("SELECT * FROM graphmem.unmerge_entities(%s)", later[0][0])
    back = graph.call("SELECT * FROM graphmem.unmerge_entities(%s)", merged[0][0])
    if graph.done == before + (back is not None):
        expect(back is not None, "the merge was not undone")
        same_rows(graph.rows(), rows)
    for _ in range(6):
        graph.undo()
    return back is not None, merged[0][2]


def main():
    seed, graphs = int(sys.argv[1]), int(sys.argv[2])
    db = psycopg2.connect(host=sys.argv[3], port=sys.argv[4], dbname=sys.argv[5])
    db.autocommit = True
    db.cursor().execute("SET timezone = 'UTC'")
    merges = joined = 0
    for number in range(graphs):
        try:
            found = one_graph(db, number, random.Random(seed * 1000 + number))
            merges += found[0]
            joined += found[1]
            print("ok - graph %d" % number)
        except (Failure, psycopg2.Error) as error:
            print("not ok - graph %d: %s" % (number, str(error).strip().replace("\n", " / ")))
        sys.stdout.flush()
    undone = together = 0
    # few facts fall together in some runs: then more chains are made, told of if they fail
    for number in range(4 * graphs):
        if number >= graphs and together >= graphs // 8:
            break
        graph = None
        try:
            graph = Chains(db, number, random.Random(seed * 1000 + 500000 + number))
            found = one_chains(graph)
            undone += found[0]
            together += found[1]
            if number < graphs:
                print("ok - chains %d" % number)
        except (Failure, psycopg2.Error) as error:
            print("not ok - chains %d: %s" % (number, str(error).strip().replace("\n", " / ")))
            for call in graph.calls if graph else []:
                print("# " + call)
        sys.stdout.flush()
    print("%sok - enough chains came back (%d, of %d facts that fell together)"
          % ("" if undone >= graphs // 4 and together >= graphs // 8 else "not ", undone, together))
    # the random graphs are such that there is something to undo
    print("%sok - enough was merged (%d merges, %d facts fell together)"
          % ("" if merges >= graphs // 2 and joined >= graphs // 4 else "not ", merges, joined))
    print("done")


main()
