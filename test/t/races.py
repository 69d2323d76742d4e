"""Two sessions at once, every pair of what changes facts.

    races.py DSN SHARE SEED

SHARE of the pairs, in (0, 1], is raced in each way, chosen by SEED.

Each race has names of its own and begins with the same facts.  Both sessions
begin a transaction and do one thing; the second may have to wait.  Then

    commit      the first commits, then the second
    rollback    the first does not
    crossed     each also does what the other did, so that they may wait for
                each other
    savepoint   each takes its deed back once and does it again in a savepoint
    prepared    the first is prepared, then committed
    stale       the first commits before the second begins what it does, under
                the snapshot that it took before

A transaction that ends with 40001 or 40P01 is begun again, once the other has
ended.  Afterwards nothing of workload.BROKEN may be found, and what the race
left must be what one of the two serial orders leaves; but that at READ COMMITTED
an UPDATE or DELETE changes what it found before it had to wait.
"""

import collections
import itertools
import os
import random
import re
import sys
import threading

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import workload
from workload import state_of

RETRIED = {"40001", "40P01"}
REFUSED = {"22023", "42704", "55000", "23505", "23P01"}
FINDS_FIRST = {"update", "delete", "delete plain"}
TRIES = 5
ONLY = set(filter(None, os.environ.get("GRAPHMEM_DEEDS", "").split(",")))     # one of a pair at least; none: all
WAYS = ["commit", "rollback", "crossed", "savepoint", "prepared", "stale"]
LEVELS = ["READ COMMITTED", "REPEATABLE READ"]
WAIT = 0.04             # seconds after which the second session is thought to wait
GRAPH = workload.Graph(100, "races", 0, 0)

# {n}: the race, {side}: who, {step}, {taken}, {onto}: steps, {fact}: a fact that there are
DEEDS = {
    "insert": "INSERT INTO graphmem.facts (subject, predicate, object, valid_from, source) VALUES"
              " ('s{n}', 'f', 'new{side}{n}', '20{side}0-01-01', 'z{side}{n}'),"
              " ('t{n}', 'f', 'new{side}{n}', '20{side}0-01-01', 'z{side}{n}'),"
              " ('s{n}', 'f', 'b{n}', '20{side}5-01-01', 'z{side}{n}')",
    "restate": "INSERT INTO graphmem.facts (subject, predicate, object, source) VALUES ('s{n}', 'p', 'c{n}', 'y{n}'),"
               " ('t{n}', 'p', 'c{n}', 'z{side}{n}')",
    "name": "SELECT graphmem.add_triple('s{n}', 'g{n}', 'e{n}', source => 'z{side}{n}', valid_from => '2004-01-01')",
    "supersede": "SELECT graphmem.supersede('s{n}', 'f', 'b{n}', 'd{side}{n}', '2008-0{side}-01',"
                 " source => 'x{n}')",
    "supersede by": "SELECT graphmem.supersede('t{n}', 'p', 'c{n}', 'd{n}', '2008-01-01', source => 'y{n}')",
    "supersede onto": "SELECT graphmem.supersede('o{n}', 'p', 'j{n}', 'k{n}', '2009-01-01')",
    "retract": "SELECT graphmem.retract('s{n}', 'f', 'b{n}', '2006-01-01')",
    "retract one": "SELECT graphmem.retract('t{n}', 'p', 'h{n}', '2002-01-01')",
    "undo": "SELECT graphmem.undo_supersede({step})",
    "undo onto": "SELECT graphmem.undo_supersede({onto})",
    "undo retract": "SELECT graphmem.undo_supersede({taken})",
    "forget": "SELECT count(*) FROM graphmem.forget_source('y{n}')",
    "forget other": "SELECT count(*) FROM graphmem.forget_source('x{n}')",
    "forget entity": "SELECT count(*) FROM graphmem.forget_entity('c{n}')",
    "forget bare": "SELECT count(*) FROM graphmem.forget_entity('e{n}')",
    "merge": "SELECT * FROM graphmem.merge_entities('s{n}', 't{n}')",
    "merge back": "SELECT * FROM graphmem.merge_entities('t{n}', 's{n}')",
    "unmerge": "SELECT * FROM graphmem.unmerge_entities('m{n}', 'w{n}')",
    "update": "UPDATE graphmem.facts SET valid_to = '20{side}9-01-01' WHERE subject = 's{n}' AND predicate = 'f'"
              " AND object = 'b{n}'",
    "delete": "DELETE FROM graphmem.facts WHERE subject = 's{n}' AND predicate = 'f' AND object = 'b{n}'",
    "delete plain": "DELETE FROM graphmem.facts WHERE subject = 't{n}' AND predicate = 'p'",
    "alias": "SELECT graphmem.add_alias('s{n}', 'c{n}')",
    "drop alias": "SELECT graphmem.drop_alias('l{n}')",
    "alias fact": "SELECT graphmem.add_triple('l{n}', 'p', 'e{n}')",
    "functional": "SELECT graphmem.set_predicate('g{n}', functional => true)",
    "weight": "SELECT graphmem.set_predicate('g{n}', weight => 2)",
    "source": "SELECT graphmem.add_source('y{n}', content => 'of {side}')",
    "entity": "SELECT graphmem.add_entity('e{n}', 'kind{side}')",
    "vector": "SELECT graphmem.set_embedding('s{n}', ARRAY[{side}, 1]::real[], 'v')",
    "other vector": "SELECT graphmem.set_embedding('c{n}', ARRAY[{side}, 1]::real[], 'v{n}')",
    "source vector": "SELECT graphmem.set_embedding('y{n}', ARRAY[{side}, 1]::real[], 'vs')",
    "fact vector": "SELECT graphmem.set_embedding('{fact}', ARRAY[{side}, 1]::real[], 'vf')",
    "drop space": "SELECT graphmem.drop_vector_space('v{n}')",
}

BEGIN = """
INSERT INTO graphmem.facts (subject, predicate, object, valid_from, valid_to, source) VALUES
    ('s{n}', 'f', 'a{n}', '2001-01-01', NULL, 'x{n}'), ('s{n}', 'f', 'b{n}', '2005-01-01', NULL, 'y{n}'),
    ('t{n}', 'f', 'b{n}', '2005-01-01', NULL, 'x{n}'), ('t{n}', 'p', 'c{n}', NULL, NULL, 'y{n}'),
    ('s{n}', 'p', 'c{n}', NULL, NULL, 'x{n}'), ('t{n}', 'p', 'h{n}', '2001-01-01', '2003-01-01', 'y{n}'),
    ('t{n}', 'p', 'h{n}', '2005-01-01', NULL, NULL), ('s{n}', 'g{n}', 'c{n}', NULL, NULL, 'y{n}'),
    ('o{n}', 'p', 'i{n}', NULL, NULL, NULL),
    ('o{n}', 'p', 'j{n}', NULL, NULL, NULL), ('m{n}', 'p', 'c{n}', NULL, NULL, 'x{n}'), ('w{n}', 'p', 'c{n}', NULL, NULL, 'y{n}'),
    ('w{n}', 'p', 'i{n}', NULL, NULL, 'y{n}');
SELECT graphmem.add_alias('s{n}', 'l{n}'), graphmem.add_entity('e{n}'),
    graphmem.create_vector_space('v{n}', 2), graphmem.set_embedding('t{n}', ARRAY[0, 1]::real[], 'v');
SELECT graphmem.merge_entities('m{n}', 'w{n}');
SELECT graphmem.supersede('o{n}', 'p', 'i{n}', 'k{n}', '2007-01-01');
SELECT graphmem.retract('t{n}', 'p', 'h{n}', '2006-01-01');
"""

# the last step of each of three subjects, and a fact
STEP = "(SELECT max(c.supersession_id) FROM graphmem.supersessions c JOIN graphmem.triples t" \
    " ON t.triple_id = c.old_triple_id JOIN graphmem.entities e ON e.entity_id = t.subject_id WHERE e.name = '%s{n}')"
HERE = "SELECT " + ", ".join(STEP % name for name in "sto") + \
    ", (SELECT t.fact_id FROM graphmem.triples t JOIN graphmem.entities e ON e.entity_id = t.subject_id" \
    " JOIN graphmem.predicates p USING (predicate_id) WHERE e.name = 's{n}' AND p.name = 'p')"

LEFT = """
SELECT 'version', s.name, p.name, o.name, t.valid_from::text, t.valid_to::text,
    (SELECT string_agg(c.name, ' ' ORDER BY c.name) FROM graphmem.assertions a
     JOIN graphmem.sources c USING (source_id) WHERE a.fact_id = t.fact_id)
FROM graphmem.triples t JOIN graphmem.entities s ON s.entity_id = t.subject_id
JOIN graphmem.entities o ON o.entity_id = t.object_id JOIN graphmem.predicates p USING (predicate_id)
WHERE t.expired_at = 'infinity' AND s.name = ANY (%(names)s)
UNION ALL
SELECT 'predicate', name, functional::text, weight::text, NULL, NULL, NULL
FROM graphmem.predicates WHERE name ~ %(of)s
UNION ALL
SELECT 'vector', v.name, CASE v.target WHEN 'entity' THEN (SELECT name FROM graphmem.entities WHERE entity_id = item_id)
    WHEN 'source' THEN (SELECT name FROM graphmem.sources WHERE source_id = item_id)
    ELSE (SELECT DISTINCT name FROM graphmem.triples t JOIN graphmem.entities o ON o.entity_id = t.object_id
    WHERE fact_id = item_id) END AS name, embedding::text, NULL, NULL, NULL
FROM graphmem.embeddings JOIN graphmem.vector_spaces v USING (space_id) WHERE item_id = ANY (CASE v.target
    WHEN 'entity' THEN ARRAY(SELECT entity_id FROM graphmem.entities WHERE name ~ %(of)s)
    WHEN 'source' THEN ARRAY(SELECT source_id FROM graphmem.sources WHERE name ~ %(of)s)
    ELSE ARRAY(SELECT fact_id FROM graphmem.triples t JOIN graphmem.entities s ON s.entity_id = t.subject_id
    WHERE s.name = ANY (%(names)s)) END)
UNION ALL
SELECT 'name', name, NULL, NULL, NULL, NULL, NULL FROM graphmem.entities WHERE name ~ %(of)s
UNION ALL
SELECT 'alias', a.name, e.name, NULL, NULL, NULL, NULL
FROM graphmem.aliases a JOIN graphmem.entities e USING (entity_id) WHERE a.name ~ %(of)s
UNION ALL
SELECT 'source', name, content, NULL, NULL, NULL, NULL FROM graphmem.sources WHERE name ~ %(of)s
UNION ALL
SELECT 'space', name, NULL, NULL, NULL, NULL, NULL FROM graphmem.vector_spaces WHERE name ~ %(of)s
ORDER BY 1, 2, 3, 4, 5, 6
"""


class Session:
    def __init__(self, dsn):
        self.connection = psycopg2.connect(dsn)
        self.connection.autocommit = True
        self.cursor = self.connection.cursor()
        self.cursor.execute("SET statement_timeout = '20 s'; SET graphmem.graph = 'races';"
                            " SET graphmem.private_memory_limit = '2 GB'")
        self.thread = self.error = None

    def begin(self, level):
        self.error = None
        self.cursor.execute("BEGIN ISOLATION LEVEL " + level)

    def do(self, statement):
        """Waits a little; the next call waits for the rest."""
        self.join()
        if self.error is None:
            self.thread = threading.Thread(target=self.execute, args=(statement,))
            self.thread.start()
            self.thread.join(WAIT)

    def execute(self, statement):
        try:
            self.cursor.execute(statement)
        except psycopg2.Error as error:
            self.error = error

    def join(self):
        if self.thread is not None:
            self.thread.join()
            self.thread = None

    def waits(self):
        return self.thread is not None and self.thread.is_alive()

    def end(self, rest, how):
        """Does the rest first; nothing if it has ended."""
        while rest:
            self.do(rest.pop(0))
        self.join()
        if self.connection.info.transaction_status == TRANSACTION_STATUS_IDLE:
            return
        if self.error is None:
            try:
                self.cursor.execute(how)
                return
            except psycopg2.Error as error:
                self.error = error
        self.cursor.execute("ROLLBACK")


class Races:
    def __init__(self, dsn, share, seed):
        self.one, self.two, self.third = Session(dsn), Session(dsn), Session(dsn)
        self.share, self.dice = share, random.Random(seed)
        self.n = 0
        self.found = []
        self.errors = collections.Counter()
        self.orders = {}        # what each serial order has left

    def set_up(self):
        """The number of a fresh place."""
        self.n += 1
        self.third.cursor.execute(BEGIN.format(n="_%d" % self.n))
        self.third.cursor.execute(HERE.format(n="_%d" % self.n))
        self.here = dict(zip(("step", "taken", "onto", "fact"), self.third.cursor.fetchone()))
        return self.n

    def deed(self, name, side, n, here):
        return DEEDS[name].format(n="_%d" % n, side=side, **here)

    def left(self, n):
        self.third.cursor.execute(LEFT, {"names": ["%s_%d" % (name, n) for name in "stomw"], "of": "_%d$" % n})
        return re.sub(r"_%d\b" % n, "", "\n".join(map(str, self.third.cursor.fetchall())))

    def again(self, session, level, statements):
        """Until it is done or refused; False if that does not come."""
        for _ in range(TRIES):
            if session.error is None or state_of(session.error) not in RETRIED:
                break
            self.errors[state_of(session.error)] += 1
            session.begin(level)
            for statement in statements:
                session.do(statement)
            session.end([], "COMMIT")
        if session.error is None:
            return True
        self.errors[state_of(session.error)] += 1
        return state_of(session.error) in REFUSED

    def serial(self, transactions):
        """What is left where one follows the other; (name, side) lists."""
        known = self.orders.get(str(transactions))
        if known is None:
            n = self.set_up()
            for deeds in transactions:
                self.third.begin("READ COMMITTED")
                for name, side in deeds:
                    self.third.do(self.deed(name, side, n, self.here))
                self.third.end([], "COMMIT")
            known = self.orders[str(transactions)] = self.left(n)
        return known

    def race(self, level, way, a, b):
        n = self.set_up()
        here = self.here
        first, second = [(a, 1)], [(b, 2)]
        if way == "crossed":
            first, second = first + [(b, 1)], second + [(a, 2)]
        statements = [[self.deed(name, side, n, here) for name, side in deeds] for deeds in (first, second)]
        if way == "savepoint":
            statements = [["SAVEPOINT a; %s; ROLLBACK TO a; SAVEPOINT b; %s; RELEASE b" % (own[0], own[0])]
                          for own in statements]
        self.one.begin(level)
        self.two.begin(level)
        for session in (self.one, self.two):    # the snapshot
            session.cursor.execute("SELECT count(*) FROM graphmem.graphs")
        todo = [list(own) for own in statements]
        for session, own in zip((self.one, self.two), todo):
            session.do(own.pop(0))
            if way == "stale" and session is self.one:
                self.one.end([], "COMMIT")
        for session, own in zip((self.one, self.two), todo):
            if own and not session.waits():
                session.do(own.pop(0))
        if self.one.waits() and not self.two.waits():
            self.two.end(todo[1], "COMMIT")
        if way == "prepared":
            self.one.end(todo[0], "PREPARE TRANSACTION 'race'")
            self.third.cursor.execute("SELECT count(*) FROM pg_prepared_xacts")
            if self.third.cursor.fetchone() == (1,):
                self.third.cursor.execute("COMMIT PREPARED 'race'")
        else:
            self.one.end(todo[0], "ROLLBACK" if way == "rollback" else "COMMIT")
        self.two.end(todo[1], "COMMIT")
        what = "%s, %s: %s beside %s" % (level, way, a, b)
        for session, own in ((self.one, statements[0]), (self.two, statements[1])):
            if not self.again(session, level, own if way != "rollback" or session is self.two else []):
                self.found.append("%s: %s %s" % (what, state_of(session.error), str(session.error).strip()))
        left = self.left(n)
        orders = [[second]] if way == "rollback" else [[first, second], [second, first]]
        wanted = [self.serial(order) for order in orders]
        if left not in wanted and (level != "READ COMMITTED" or not FINDS_FIRST & {a, b}):
            self.found.append(what + " left, beside the serial orders,\n" + "\nor\n".join(
                "\n".join(workload.differing(left.split("\n"), order.split("\n"))) for order in wanted))

    def run(self, level, way):
        self.found = []
        raced = 0
        for a in DEEDS:
            chosen = [b for b in DEEDS if self.dice.random() < self.share and (not ONLY or ONLY & {a, b})]
            for b in chosen:
                self.race(level, way, a, b)
            raced += len(chosen)
        self.found += workload.broken(self.third.cursor, GRAPH)
        self.third.cursor.execute("SELECT c::text FROM graphmem.check('races') AS c LIMIT 5")
        self.found += ["check(): " + row for row, in self.third.cursor.fetchall()]
        ours, theirs = workload.unlike_tables(self.third.cursor, GRAPH, "now()", "now()")
        if ours or theirs:
            self.found.append("match() has %s, the tables %s" % (ours[:3], theirs[:3]))
        for words in self.found[:20]:
            print("# " + words.replace("\n", "\n# "))
        print("%sok - %s, %s: %d races" % ("not " if self.found or raced == 0 else "", level, way, raced),
              flush=True)


def main():
    races = Races(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
    races.third.cursor.execute("INSERT INTO graphmem.graphs (graph_id, name) VALUES (%s, 'races')", (GRAPH.id,))
    races.third.cursor.execute("INSERT INTO graphmem.predicates (graph_id, name, functional) VALUES (%s, 'f', true)",
                               (GRAPH.id,))
    cursor = races.third.cursor
    for name, target in (("v", "entity"), ("vs", "source"), ("vf", "fact")):
        cursor.execute("SELECT graphmem.create_vector_space(%s, 2, %s)", (name, target))
    for way, level in itertools.product(WAYS, LEVELS):
        if way != "stale" or level != "READ COMMITTED":
            races.run(level, way)
    print("# refused: " + ", ".join("%s %d" % pair for pair in sorted(races.errors.items())))
    print("%sok - some waited in vain and began again" % ("" if races.errors["40001"] else "not "))
    print("done")


main()
