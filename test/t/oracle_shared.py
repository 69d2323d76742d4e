"""Shared, laid-over and private answers of the same call, under concurrent writes.

    oracle_shared.py SEED CALLS CONNECTION

Sessions write into several graphs all the time, in every way there is.  Others
ask: each question twice under one snapshot and one statement time, with
graphmem.shared_image on and off, and the rows must be the same to the last
bit.  stat_backend says which path the first answer took, and so many must
have taken each: a run that compared private answers with private ones fails.
Another session commits and looks from a second connection, which must see it.

Prints TAP lines without numbers, a failed one with what differed, then "done".
"""

import collections
import os
import random
import sys
import threading
import time

import psycopg2
import psycopg2.extensions

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import workload
from workload import EXPECTED, call, state_of, text

WRITERS, READERS = 2, 2
PACE = 0.006                        # seconds that a writer rests, on average
LEAST = {"shared": 0.25, "overlay": 0.10}   # of the answers compared
LEAST_AFTER_COMMIT = 0.9            # of the reads after a commit, from shared memory
DISTURB_EVERY = 7.0                 # seconds between TRUNCATE, VACUUM FULL and the like


ROLE = """
CREATE ROLE oracle_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA graphmem TO oracle_reader;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA graphmem TO oracle_reader;
"""


class Campaign:
    """What the sessions share."""

    def __init__(self, seed, calls, connection):
        self.seed, self.calls, self.connection = seed, calls, connection
        self.graphs = workload.graphs()
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self.paths = collections.Counter()      # (mode, path)
        self.reasons = collections.Counter()
        self.others = collections.Counter()     # paths of the answers that should be private
        self.errors = collections.Counter()     # answers that are the same error
        self.excused = 0                        # answers that TRUNCATE made differ
        self.empty = 0
        self.compared = 0
        self.commits = 0
        self.refused = collections.Counter()
        self.seen = 0                           # reads after a commit
        self.faults = collections.defaultdict(list)
        self.truncations = 0        # odd while one is under way

    def connect(self, application):
        connection = psycopg2.connect(self.connection, application_name=application)
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = '90 s'; SET client_min_messages = error")
        connection.commit()
        return connection

    def fault(self, kind, words):
        with self.lock:
            self.faults[kind].append(words)

    def truncated(self, before):
        """An older snapshot sees an emptied table empty."""
        return before != self.truncations or before % 2 == 1

    def enough(self):
        return self.stop.is_set() or self.compared >= self.calls

    def count(self, mode, row, question, truncations, said=()):
        """row: what oracle.compare returned; said: the transaction's statements"""
        path, reason, other, same, rows, ours, theirs, snapshot = row
        excused = not same and self.truncated(truncations)
        with self.lock:
            self.compared += 1
            if same and path == "error":
                self.errors[theirs or "the same"] += 1
            elif excused:
                self.excused += 1
            else:
                self.paths[mode, path] += 1
                self.others[other] += 1
                self.empty += rows == 0
                if path == "private":
                    self.reasons[reason] += 1
        if not same and not excused:
            self.fault("differs", "\n".join(
                ["%s, %s (%s) beside %s, snapshot %s" % (mode, path, reason, other, snapshot), question] +
                workload.differing(ours, theirs) + ["in the transaction"] + ["  " + one for one in said]))


class Cursor(psycopg2.extensions.cursor):
    """Keeps what was said since the transaction began."""

    said = ()

    def execute(self, statement, arguments=None):
        if statement.startswith("BEGIN"):
            self.said = []
        if isinstance(self.said, list):
            self.said.append(self.mogrify(statement, arguments).decode())
        return super().execute(statement, arguments)


class Session(threading.Thread):
    def __init__(self, campaign, number):
        name = "%s %d" % (type(self).__name__.lower(), number)
        super().__init__(name=name)
        self.campaign = campaign
        self.dice = random.Random("%d %s" % (campaign.seed, name))
        self.number = number
        self.connection = campaign.connect(name)
        self.connection.autocommit = True       # they say BEGIN themselves
        self.cursor = self.connection.cursor(cursor_factory=Cursor)

    def run(self):
        while not self.campaign.enough():
            try:
                self.turn()
            except psycopg2.Error as error:
                if self.refused(error):
                    self.cursor.execute("ROLLBACK")
                else:
                    self.campaign.stop.set()
            except Exception as error:          # a fault of this test
                self.campaign.fault("refused", "%s: %r" % (self.name, error))
                self.campaign.stop.set()
        self.connection.close()

    def refused(self, error):
        """Counts an error that concurrent writes explain; any other is a fault."""
        state = state_of(error)
        if state in EXPECTED:
            with self.campaign.lock:
                self.campaign.refused[state] += 1
            return True
        self.campaign.fault("refused", "%s: %s %s" % (self.name, state, str(error).strip()))
        return False

    def graph(self):
        return self.dice.choices(self.campaign.graphs, [3, 4, 2, 2])[0]

    def write(self, g):
        """One random write below a savepoint, which stays, is released or undone.
        Returns false if it was refused."""
        self.cursor.execute("SAVEPOINT w")
        try:
            for statement in workload.random_write(self.dice, g):
                self.cursor.execute(statement)
        except psycopg2.Error as error:
            if not self.refused(error):
                raise
            self.cursor.execute("ROLLBACK TO w")
            return False
        end = self.dice.random()
        if end < 0.2:
            self.cursor.execute("ROLLBACK TO w")
        elif end < 0.6:
            self.cursor.execute("RELEASE w")
        return True

    def begin(self, g, level=None):
        self.cursor.execute("BEGIN" + ("" if level is None else " ISOLATION LEVEL " + level))
        self.cursor.execute(workload.use_graph(g))


class Writer(Session):
    def turn(self):
        g, dice = self.graph(), self.dice
        self.begin(g)
        kind = dice.random()
        for statement in workload.random_write(dice, g):
            self.cursor.execute(statement)
        if kind < 0.3:
            for _ in range(dice.randint(1, 4)):
                self.write(g)
        if kind > 0.93:
            time.sleep(dice.random() * 0.3)
        if kind < 0.06:
            self.cursor.execute("ROLLBACK")
            return
        if 0.3 < kind < 0.36:
            self.prepared(dice)
        else:
            self.cursor.execute("COMMIT")
        with self.campaign.lock:
            self.campaign.commits += 1
        time.sleep(dice.random() * 2 * PACE)

    def prepared(self, dice):
        name = "%s %d" % (self.name, dice.randrange(10 ** 9))
        self.cursor.execute("PREPARE TRANSACTION '%s'" % name)
        time.sleep(dice.random() * 0.2)
        self.cursor.execute("%s PREPARED '%s'" % (dice.choice(["COMMIT", "COMMIT", "ROLLBACK"]), name))


class Reader(Session):
    """The second one is no superuser."""

    MODES = {"single": 4, "repeatable": 5, "committed": 4, "cursors": 1, "same_statement": 2, "direct": 2,
             "serializable": 0.3}

    def __init__(self, campaign, number):
        super().__init__(campaign, number)
        if number == 1:
            self.cursor.execute("SET ROLE oracle_reader")

    def turn(self):
        mode, = self.dice.choices(list(self.MODES), list(self.MODES.values()))
        self.mode = mode
        self.truncations = self.campaign.truncations
        getattr(self, mode)(self.graph())

    def compare(self, question):
        self.cursor.execute("SELECT * FROM oracle.compare(%s, %s)", (question, self.dice.random() < 0.5))
        self.count(question)

    def count(self, question):
        self.campaign.count(self.mode, self.cursor.fetchone(), question, self.truncations, self.cursor.said)

    def question(self, g):
        return workload.random_question(self.dice, g)

    def rest(self):
        if self.dice.random() < 0.4:
            time.sleep(self.dice.random() * 0.03)

    def single(self, g):
        self.cursor.said = ()
        for _ in range(5):
            self.truncations = self.campaign.truncations
            self.compare(self.question(g))

    def several(self, g, level):
        dice = self.dice
        writes = dice.random() < 0.5
        self.begin(g, level)
        if level is not None:           # the snapshot is taken here, before others write
            self.compare(self.question(g))
        for _ in range(dice.randint(2, 10)):
            self.rest()
            if writes and dice.random() < 0.5:
                self.write(g)
            self.compare(self.question(g if dice.random() < 0.8 else self.graph()))
        self.cursor.execute(dice.choice(["COMMIT", "ROLLBACK", "ROLLBACK"]))

    def repeatable(self, g):
        self.several(g, "REPEATABLE READ")

    def committed(self, g):
        self.several(g, None)

    def serializable(self, g):
        self.several(g, "SERIALIZABLE")

    def same_statement(self, g):
        """A question in the statement that writes, before and after the command counter moves."""
        dice = self.dice
        self.begin(g, dice.choice([None, "REPEATABLE READ"]))
        if dice.random() < 0.5:
            self.write(g)
        written, = dice.choice([workload.insert_triples, workload.update_triples, workload.delete_triples])(dice, g)
        question = self.question(g)
        if dice.random() < 0.5:
            self.cursor.execute("SELECT * FROM oracle.write_and_compare(%s, %s)", (written, question))
        else:
            self.cursor.execute(
                "WITH w AS (%s RETURNING 1) SELECT c.* FROM (SELECT count(*)::int AS n FROM w) AS x,"
                " LATERAL oracle.compare(%s || repeat(' ', n), true) AS c" % (written, text(question)))
        self.count(question)
        self.compare(question)
        self.cursor.execute(dice.choice(["COMMIT", "ROLLBACK"]))

    def ask(self, shared, command):
        self.cursor.execute("SET LOCAL graphmem.shared_image = %s" % shared)
        self.cursor.execute(command)
        rows = [row[0] for row in self.cursor.fetchall()]
        self.cursor.execute("SELECT path, reason FROM graphmem.stat_backend")
        return rows, self.cursor.fetchone()

    def both(self, question, first, second):
        ours, (path, reason) = self.ask("on", first)
        theirs, (other, _) = self.ask("off", second)
        self.campaign.count(self.mode, (path, reason, other, ours == theirs, len(ours), ours, theirs, None), question,
                            self.truncations, self.cursor.said)

    def timeless(self):
        """A graph and a question about it whose answer does not change with the
        statement's time."""
        g = self.dice.choice([g for g in self.campaign.graphs if not g.ticking])
        question = self.question(g)
        while "recency_weight" in question:
            question = self.question(g)
        return g, question

    def cursors(self, g):
        """Opened before a write of their own transaction, read after it."""
        g, question = self.timeless()
        self.begin(g, "REPEATABLE READ")
        self.write(g)
        command = " CURSOR FOR SELECT x::text FROM %s AS x" % question
        self.cursor.execute("DECLARE a%s; DECLARE b%s" % (command, command))
        self.write(g)
        self.cursor.execute("SAVEPOINT d")
        try:
            self.both(question, "FETCH ALL FROM a", "FETCH ALL FROM b")
        except psycopg2.Error as error:
            if not self.refused(error):
                raise
        self.cursor.execute("ROLLBACK")

    def direct(self, g):
        """As a client asks, by plain or prepared statements."""
        dice = self.dice
        self.begin(g, "REPEATABLE READ")
        for _ in range(dice.randint(1, 4)):
            if dice.random() < 0.3:
                self.write(g)
            _, question = self.timeless()
            command = "SELECT x::text FROM %s AS x" % question
            self.cursor.execute("SAVEPOINT d")
            try:
                if dice.random() < 0.5:
                    self.cursor.execute("PREPARE question AS " + command)
                    command = "EXECUTE question"
                self.both(question, command, command)
            except psycopg2.Error as error:
                if not self.refused(error):
                    raise
                self.cursor.execute("ROLLBACK TO d")
            self.cursor.execute("DEALLOCATE ALL")
            self.rest()
        self.cursor.execute(dice.choice(["COMMIT", "ROLLBACK"]))


class Observer(Session):
    """Commits in one session and looks from another; what it writes nobody else touches."""

    def __init__(self, campaign, number):
        super().__init__(campaign, number)
        self.other = campaign.connect("observing %d" % number)
        self.other.autocommit = True
        self.look = self.other.cursor()
        self.g = workload.Graph(50, "watched", 20, 100)
        self.made = 0

    def expect(self, wanted, what, from_):
        """The other connection's answer, at once."""
        truncations = self.campaign.truncations
        self.look.execute("SELECT %s FROM %s" % (what, from_))
        found = self.look.fetchall()
        self.look.execute("SELECT path, reason FROM graphmem.stat_backend")
        path, reason = self.look.fetchone()
        with self.campaign.lock:
            self.campaign.seen += 1
            self.campaign.paths["after commit", path] += 1
            if path == "private":
                self.campaign.reasons[reason] += 1
        if found != wanted and not self.campaign.truncated(truncations):
            self.campaign.fault("stale", "%s: wanted %r, got %r by %s (%s)"
                                % (from_, wanted, found, path, reason))

    def commit(self, *statements):
        """In one of the ways that there are to commit."""
        self.begin(self.g)
        way = self.dice.random()
        for statement in statements:
            if way < 0.3:
                self.cursor.execute("SAVEPOINT s")
            self.cursor.execute(statement)
            if way < 0.15:
                self.cursor.execute("RELEASE s")
        if way > 0.85:
            name = "%s %d" % (self.name, self.made)
            self.cursor.execute("PREPARE TRANSACTION '%s'" % name)
            time.sleep(self.dice.random() * 0.02)
            (self.look if way > 0.92 else self.cursor).execute("COMMIT PREPARED '%s'" % name)
        else:
            self.cursor.execute("COMMIT")

    def turn(self):
        g, dice = self.g, self.dice
        self.made += 1
        s, o = "%s s%d" % (self.name, self.made), "e%d" % dice.randrange(20)
        match = call("match", g.name, subject=s)
        self.expect([], "object", match)
        self.commit("SELECT " + call("add_triple", g.name, subject=s, predicate="p0", object=o, confidence=0.5))
        self.expect([(o, 0.5)], "object, confidence", match)
        if dice.random() < 0.5:
            self.commit("UPDATE graphmem.triples SET confidence = 0.25 WHERE subject_id ="
                        " (SELECT entity_id FROM graphmem.entities WHERE name = %s)" % text(s))
            self.expect([(0.25,)], "confidence", match)
        if dice.random() < 0.5:
            self.commit("INSERT INTO graphmem.aliases (graph_id, name, entity_id) SELECT graph_id, 'other ' || name,"
                        " entity_id FROM graphmem.entities WHERE name = %s" % text(s))
            self.expect([(o,)], "neighbor", call("neighbors", g.name, entity="other " + s))
        if dice.random() < 0.5:
            vector = workload.reals([dice.gauss(0, 1) for _ in range(8)])
            self.commit("SELECT " + call("set_embedding", g.name, item=s, embedding=vector))
            self.expect([(s, True)], "item, similarity > 0.9999", call("vector_search", g.name, query_embedding=vector,
                                                             match_count=1))
        if dice.random() < 0.5:
            self.commit("UPDATE graphmem.entities SET kind = 'new', name = name || '*' WHERE name = %s" % text(s))
            s += "*"
            match = call("match", g.name, subject=s)
            self.expect([(s, 0, True), (o, 1, False)], "entity, hops, kind IS NOT DISTINCT FROM 'new'", call("traverse", g.name, seeds=[s],
                                                                                  max_hops=1, direction="out"))
        self.commit("DELETE FROM graphmem.triples WHERE subject_id ="
                    " (SELECT entity_id FROM graphmem.entities WHERE name = %s)" % text(s))
        self.expect([], "object", match)
        self.commit("DELETE FROM graphmem.entities WHERE name = %s" % text(s))
        self.expect([], "entity", call("traverse", g.name, seeds=[s]))
        if dice.random() < 0.1:
            name = "%s graph %d" % (self.name, self.made)
            self.commit("SELECT graphmem.create_graph(%s)" % text(name))
            self.expect([], "object", call("match", name))
            self.commit("SELECT " + call("add_triple", name, subject="a", predicate="p", object="b"))
            self.expect([("b",)], "object", call("match", name))
            self.commit("SELECT graphmem.drop_graph(%s)" % text(name))
        time.sleep(dice.random() * 2 * PACE)


class Noise(Session):
    """Writes into the graph that is watched."""

    def turn(self):
        a, b = self.dice.sample(range(20), 2)
        self.begin(workload.Graph(50, "watched", 20, 100))
        if self.dice.random() < 0.6:
            self.cursor.execute("SELECT " + call("add_triple", "watched", subject="e%d" % a, predicate="p1",
                                                 object="e%d" % b))
        else:
            self.cursor.execute("DELETE FROM graphmem.facts WHERE subject = 'e%d' AND predicate = 'p1'" % a)
        self.cursor.execute(self.dice.choice(["COMMIT", "COMMIT", "ROLLBACK"]))
        time.sleep(self.dice.random() * 4 * PACE)


def disturb(campaign, dice, cursor):
    """What needs a table for itself."""
    kind = dice.random()
    try:
        if kind < 0.5:
            campaign.truncations += 1
            cursor.execute("TRUNCATE graphmem." + dice.choice(
                ["assertions", "embeddings", "aliases", "triples, graphmem.assertions, graphmem.supersessions"]))
        elif kind < 0.75:
            cursor.execute("VACUUM FULL graphmem." + dice.choice(["triples", "entities", "assertions"]))
        else:
            cursor.execute("VACUUM ANALYZE")
    except psycopg2.Error as error:
        if state_of(error) not in EXPECTED:
            campaign.fault("refused", "disturbing: %s" % error)
    finally:
        campaign.truncations += campaign.truncations % 2


def prepare(campaign):
    connection = campaign.connect("preparing")
    with connection.cursor() as cursor:
        cursor.execute(workload.COMPARING)
        cursor.execute(ROLE)
        connection.commit()
        workload.populate(connection, campaign.graphs + [workload.Graph(50, "watched", 20, 100)], campaign.seed)
    connection.close()


def at_rest(campaign):
    """Every kind of question on every graph: nobody writes, so no answer may be private."""
    connection = campaign.connect("at rest")
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("SELECT graphmem.wait_for_sync(10000)")
    dice = random.Random(campaign.seed)
    wrong = []
    for g in campaign.graphs:
        for ask in workload.QUESTIONS:
            if ask is workload.ask_side_graph:
                continue
            question = ask(dice, g)
            cursor.execute("SELECT * FROM oracle.compare(%s, true)", (question,))
            path, reason, other, same, rows, ours, theirs, snapshot = cursor.fetchone()
            if not same:
                wrong.append("%s\n%s" % (question, "\n".join(workload.differing(ours, theirs))))
            elif path not in ("shared", "error") or other not in ("private", "error"):
                wrong.append("%s: answered by %s (%s), then by %s" % (question, path, reason, other))
    report("every kind of question on every graph at rest: shared, and the same", wrong)
    cursor.execute("SET client_min_messages = notice")
    cursor.execute("SELECT c::text FROM graphmem.check() AS c")
    # a notice names a graph that is not in shared memory; those of the writers may not be
    left_out = [n for n in connection.notices if any("\"%s\"" % g.name in n for g in campaign.graphs)]
    report("check() finds nothing", [row[0] for row in cursor.fetchall()] + left_out)
    connection.close()


def report(what, faults):
    print("%sok - %s" % ("not " if faults else "", what))
    for fault in faults[:3]:
        print("# " + fault.replace("\n", "\n# ")[:6000])
    if len(faults) > 3:
        print("# and %d more" % (len(faults) - 3))
    sys.stdout.flush()


def main():
    campaign = Campaign(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
    prepare(campaign)
    started = time.monotonic()
    sessions = [kind(campaign, i) for kind, n in ((Writer, WRITERS), (Reader, READERS), (Observer, 2), (Noise, 1))
                for i in range(n)]
    disturbing = campaign.connect("disturbing")
    disturbing.autocommit = True
    for session in sessions:
        session.start()
    dice = random.Random(campaign.seed + 1)
    while not campaign.enough():
        campaign.stop.wait(DISTURB_EVERY)
        if not campaign.enough():
            disturb(campaign, dice, disturbing.cursor())
    for session in sessions:
        session.join()

    by_path, after_commit = collections.Counter(), collections.Counter()
    for (mode, path), n in campaign.paths.items():
        (after_commit if mode == "after commit" else by_path)[path] += n
    total = sum(by_path.values())
    print("# %d calls compared in %.0f s beside %d commits; %d had no rows, %d the same error, %d differed"
          " by a TRUNCATE" % (campaign.compared, time.monotonic() - started, campaign.commits, campaign.empty,
                              sum(campaign.errors.values()), campaign.excused))
    for mode in sorted({mode for mode, _ in campaign.paths}):
        print("# %-15s %s" % (mode, ", ".join("%s %d" % (path, campaign.paths[mode, path])
                                              for path in sorted(by_path | after_commit) if campaign.paths[mode, path])))
    for reason, n in campaign.reasons.most_common(12):
        print("# private because: %s (%d)" % (reason, n))
    print("# refused: " + ", ".join("%s %d" % pair for pair in campaign.refused.most_common()))
    faults = campaign.faults
    report("the same answers to %d calls" % campaign.compared, faults["differs"])
    report("%d reads after a commit saw it" % campaign.seen, faults["stale"])
    report("no session met an error that it should not", faults["refused"])
    report("as many calls as were asked for", [] if campaign.compared >= campaign.calls else
           ["%d of %d" % (campaign.compared, campaign.calls)])
    for path, least in LEAST.items():
        report("%s images answered %d of %d" % (path, by_path[path], total),
               [] if by_path[path] >= least * total else ["at least %.0f %% were expected" % (100 * least)])
    looked, without = sum(after_commit.values()), after_commit["private"]
    report("shared memory answered %d of %d reads after a commit" % (looked - without, looked),
           [] if looked - without >= LEAST_AFTER_COMMIT * looked else
           ["at least %.0f %% were expected" % (100 * LEAST_AFTER_COMMIT)])
    report("private images answered the other call",
           ["%s: %d" % pair for pair in campaign.others.items() if pair[0] != "private"])
    at_rest(campaign)
    print("done")


main()
