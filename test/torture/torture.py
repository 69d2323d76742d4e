"""A campaign of crashes and disturbances under writers and readers.

    torture.py --bin DIR --work DIR [--minutes N | --seconds N] [--seed N] [--tap]

Makes a server of its own in the work directory.  All the time

    - recorders commit facts and note in a log outside the database what was
      acknowledged; others write at random, and leave prepared transactions;
    - readers look for every acknowledged commit, and put the same questions to
      the shared image and to a private one;
    - holders keep a functional fact each, which they state anew, supersede,
      retract and take back; others, through the functions alone, state what
      must not overlap on the same subjects, supersede, undo, forget, merge and
      unmerge: no version may overlap another, no step, assertion or row of a
      merge may lead nowhere, and every question about any time must be
      answered as SQL answers it from the tables;
    - others move vectors of a space that has an index, and keep a model of it,
      with which every exact search must agree; searches of the index find most
      of what exact ones do, and never a row that is not there;
    - others change a graph whose shape is computed again and again, by every
      method, with and without waiting, cancelled or not, and by itself since
      enough has changed: new entities must have vectors soon, computed spaces
      be whole, and what is counted as out of date be so.

Meanwhile, in rounds, processes are killed, sessions and the worker terminated,
the server restarted in every way, databases created and dropped, tables
locked, rewritten and emptied, triggers switched off, memory taken away.  After
each round the worker must come back, check() find nothing in any graph, every
answer equal the private one, and nothing acknowledged be missing.

Prints what happened and every violation; exit status 1 if there was one.
"""

import argparse
import collections
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
import traceback

import psycopg2

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import workload
from workload import EXPECTED, call, state_of, text

RECORDERS, HOLDERS, WRITERS, STATERS, READERS, MOVERS, SEARCHERS = 2, 2, 2, 3, 2, 2, 2
SHAPERS, REFRESHERS, ASKERS = 2, 2, 1
COMES_BACK = 60.0           # seconds until the shared image must answer again
STAYS = 60                  # facts that a recorder keeps
MANY_GRAPHS, MANY_TRIPLES = 40, 400
MOST_VIOLATIONS = 200       # printed
VECTORS, DIM = 12000, 8     # of the space with an index; a quarter of its items has none at first
INDEX_FROM = 10000          # smaller spaces have none
NEAREST = 10
RECALL = 0.9                # of that many searches in a row
RECALL_OF = 40
UNKNOWN = "unknown"
CORE, PASSING = 300, 200    # entities of the graph whose shape is computed: those that stay, names of the others
METHODS = ["spectral", "walk", "propagation", "fastrp"]

CONF = """
listen_addresses = ''
unix_socket_directories = '{socket}'
fsync = off
max_prepared_transactions = 50
max_connections = 60
max_worker_processes = 16
deadlock_timeout = '50 ms'
timezone = 'UTC'
log_line_prefix = '%m [%p] %e '
log_statement = none
restart_after_crash = on
graphmem.topology_threshold = 0.02
{more}
"""


class Server:
    def __init__(self, bin_dir, work, socket, preload):
        self.bin, self.data, self.socket = bin_dir, os.path.join(work, "data"), socket
        self.log = os.path.join(work, "server.log")
        self.run("initdb", "-D", self.data, "-U", "torture", "-A", "trust", "--no-sync", "-E", "UTF8",
                 "--locale=C")
        with open(os.path.join(self.data, "postgresql.conf"), "a") as file:
            file.write(CONF.format(socket=socket, more="shared_preload_libraries = 'graphmem'" if preload else ""))
        self.start()

    def run(self, program, *arguments):
        done = subprocess.run([os.path.join(self.bin, program)] + list(arguments), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
        if done.returncode != 0:
            raise RuntimeError("%s: %s" % (program, done.stdout))

    def start(self):
        for last in [False] * 20 + [True]:
            try:
                # started by pg_ctl, the server must not hold this program's pipes
                with open(self.log, "a") as log:
                    subprocess.run([os.path.join(self.bin, "pg_ctl"), "-D", self.data, "-w", "-t", "60", "start"],
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True, timeout=120)
                return
            except subprocess.CalledProcessError:
                if last:
                    raise
                time.sleep(0.5)     # processes of the server before have not gone yet

    def stop(self, mode):
        self.run("pg_ctl", "-D", self.data, "-m", mode, "-w", "-t", "60", "stop")

    def postmaster(self):
        with open(os.path.join(self.data, "postmaster.pid")) as file:
            return int(file.readline())

    def connect(self, application, database="torture"):
        connection = psycopg2.connect(host=self.socket, user="torture", dbname=database,
                                      application_name=application)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = '60 s'; SET client_min_messages = error")
        return connection

    def connect_at_last(self, application, database="torture"):
        """Waits for a server that is coming up."""
        stop_at = time.monotonic() + COMES_BACK
        while True:
            try:
                return self.connect(application, database)
            except psycopg2.Error as error:
                if "does not exist" in str(error) or time.monotonic() > stop_at:
                    raise
                time.sleep(0.05)


class Campaign:
    def __init__(self, server, seed, log):
        self.server, self.seed, self.log = server, seed, log
        self.graphs = workload.graphs()
        self.states = workload.Graph(4, "states", 6, 60)
        self.books = ["book%d" % i for i in range(2)]
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.down = threading.Event()       # the server is being restarted
        self.violations = []
        self.counts = collections.Counter()
        self.paths = collections.Counter()
        self.truncations = 0                # odd while one is under way
        self.left = {}                      # gid -> (recorder, key, value) of prepared transactions
        self.movers = []
        self.wide = None                    # space_id
        self.segments = Segments(self)
        self.named = 0

    def violation(self, words):
        with self.lock:
            self.violations.append(words)
            again = self.violations.count(words) > 1 or len(self.violations) > MOST_VIOLATIONS
        if not again:
            say("VIOLATION %s" % words)

    def count(self, what, n=1):
        with self.lock:
            self.counts[what] += n

    def gid(self):
        with self.lock:
            self.named += 1
            return "torture %d" % self.named


said = time.monotonic()


def say(words):
    print("# %6.1f  %s" % (time.monotonic() - said, words.replace("\n", "\n#         ")), flush=True)


class Lost(Exception):
    """The connection went away; what was under way may or may not have happened."""


class Session(threading.Thread):
    """Works in turns, and connects again whenever the server comes back."""

    def __init__(self, campaign, number):
        name = "%s %d" % (type(self).__name__.lower(), number)
        super().__init__(name=name, daemon=True)
        self.campaign, self.number = campaign, number
        self.dice = random.Random("%d %s" % (campaign.seed, name))
        self.connection = self.cursor = None

    def run(self):
        while not self.campaign.over.is_set():
            try:
                if self.connection is None:
                    self.connection = self.campaign.server.connect(self.name)
                    self.cursor = self.connection.cursor()
                    self.connected()
                self.turn()
            except psycopg2.Error as error:
                try:
                    self.failed(error)
                except psycopg2.Error:          # of what it asked afterwards
                    self.connection.close()
                    self.connection = None
            except Exception as error:          # a fault of this program
                self.campaign.violation("%s: %r" % (self.name, error))
                time.sleep(0.5)

    def connected(self):
        pass

    def failed(self, error):
        if self.connection is None or self.connection.closed:
            self.connection = None
            time.sleep(0.05)
            return
        if not self.allowed(error):
            self.campaign.violation("%s: %s %s" % (self.name, state_of(error), str(error).strip()))
        try:
            self.cursor.execute("ROLLBACK")
        except psycopg2.Error:
            self.connection.close()
            self.connection = None

    def allowed(self, error):
        self.campaign.count("refused " + str(state_of(error)))
        return state_of(error) in EXPECTED | {"55P03", "57014"}


class Impatient(Session):
    """Prepared transactions hold rows; others must get on."""

    def connected(self):
        self.cursor.execute("SET lock_timeout = '1 s'")


class Recorder(Impatient):
    """Commits facts of its own and keeps book of what was acknowledged."""

    LEAVES = 0.5                # of what it prepares, to others to end

    def __init__(self, campaign, number):
        super().__init__(campaign, number)
        self.subject = "r%d" % number
        self.book = campaign.books[number % len(campaign.books)]
        self.state = {}             # object -> (confidence, None: absent, or UNKNOWN; how often it changed)
        self.made = 0
        self.pending = None         # what is under way: key, old value, new value

    def set(self, key, value):
        with self.campaign.lock:
            self.state[key] = (value, self.state.get(key, (None, 0))[1] + 1)
            self.campaign.log.write("%s %s %s\n" % (self.subject, key, value))

    def copy(self):
        with self.campaign.lock:
            return dict(self.state)

    def connected(self):
        """What was under way when the connection was lost: the tables know, or
        whoever ends the prepared transaction will."""
        super().connected()
        if self.pending is not None:
            if self.pending in self.left():
                self.set(self.pending, UNKNOWN)
            else:
                self.set(self.pending, self.in_table(self.cursor).get(self.pending))
            self.pending = None

    def in_table(self, cursor):
        """object -> confidence, by plain SQL."""
        return dict(facts_of(cursor, self.book, self.subject))

    def found(self, rows):
        """The same of what was answered."""
        return dict(rows)

    def left(self):
        with self.campaign.lock:
            return {key for recorder, key, _, _ in self.campaign.left.values() if recorder is self}

    def failed(self, error):
        lost = self.connection is None or self.connection.closed
        super().failed(error)
        if not lost and self.connection is not None and self.pending is not None:
            self.connected()

    def turn(self):
        dice = self.dice
        left = self.left()
        present = [key for key, (value, _) in self.copy().items()
                   if value is not None and value != UNKNOWN and key not in left]
        kind = dice.random()
        if kind < 0.5 or not present:
            self.made += 1
            key, value = "n%d" % self.made, dice.choice([0.25, 0.5, 1.0])
            write = "SELECT " + call("add_triple", self.book, subject=self.subject, predicate="wrote", object=key,
                                     confidence=value)
            if dice.random() < 0.2:
                write = "INSERT INTO graphmem.facts (subject, predicate, object, confidence)" \
                    " VALUES ('%s', 'wrote', '%s', %s)" % (self.subject, key, value)
        elif kind < 0.7 and len(present) < STAYS:
            key, value = dice.choice(present), dice.choice([0.125, 0.75])
            write = "UPDATE graphmem.facts SET confidence = %s WHERE subject = '%s' AND object = '%s'" \
                % (value, self.subject, key)
        else:
            key, value = dice.choice(present), None
            write = dice.choice(["DELETE FROM graphmem.facts WHERE subject = '{0}' AND object = '{1}'",
                                 "DELETE FROM graphmem.triples t USING graphmem.entities s, graphmem.entities o"
                                 " WHERE t.subject_id = s.entity_id AND s.name = '{0}' AND t.object_id = o.entity_id"
                                 " AND o.name = '{1}'"]).format(self.subject, key)
        before = self.copy().get(key, (None, 0))[0]
        self.pending = key
        self.cursor.execute("BEGIN; SET LOCAL graphmem.graph = '%s'" % self.book)
        self.cursor.execute(write)
        way = dice.random()
        if way < 0.1:
            self.cursor.execute("ROLLBACK")
        elif way < 0.2:
            self.prepare(key, before, value)
        else:
            self.set(key, UNKNOWN)
            self.cursor.execute("COMMIT")
            self.set(key, value)
        self.pending = None
        self.campaign.count("acknowledged")
        time.sleep(dice.random() * 0.01)

    def prepare(self, key, before, value):
        """Until it is committed, by anybody, also after a crash, all is as it was before."""
        gid = self.campaign.gid()
        self.set(key, UNKNOWN)
        with self.campaign.lock:
            self.campaign.left[gid] = (self, key, before, value)
            stays = self.dice.random() < self.LEAVES and len(self.campaign.left) < 6
        self.cursor.execute("PREPARE TRANSACTION '%s'" % gid)
        self.set(key, before)
        if stays:
            return
        time.sleep(self.dice.random() * 0.05)
        self.set(key, UNKNOWN)
        self.cursor.execute("COMMIT PREPARED '%s'" % gid)
        self.set(key, value)
        with self.campaign.lock:
            del self.campaign.left[gid]


class Holder(Recorder):
    """Holds one functional fact after the other; the only key is which."""

    KEY = "holds"
    LEAVES = 0.05               # until that has ended it has nothing to do

    def __init__(self, campaign, number):
        super().__init__(campaign, number)
        self.subject = "h%d" % number
        self.before = None          # (value, value before it) where the last change was a step

    def in_table(self, cursor):
        return self.found(facts_of(cursor, self.book, self.subject))

    def found(self, rows):
        return {self.KEY: " and ".join(sorted(name for name, _ in rows))} if rows else {}

    def turn(self):
        dice = self.dice
        if self.left():
            time.sleep(0.01)
            return
        now = self.copy().get(self.KEY, (None, 0))[0]
        if now == UNKNOWN:
            raise RuntimeError("%s does not know what it holds" % self.name)
        kind = dice.random()
        before, self.before = self.before, None
        if before is not None and before[0] == now and kind < 0.3:
            value = before[1]
            write = "SELECT graphmem.undo_supersede(max(supersession_id)) FROM graphmem.supersessions c" \
                " JOIN graphmem.triples t ON t.triple_id = c.old_triple_id JOIN graphmem.entities e" \
                " ON e.entity_id = t.subject_id JOIN graphmem.graphs g ON g.graph_id = e.graph_id" \
                " WHERE e.name = '%s' AND g.name = '%s'" % (self.subject, self.book)
            after = None
        elif now is not None and kind < 0.4:
            value = None
            write = "SELECT " + call("retract", self.book, subject=self.subject, predicate="holds", object=now)
            after = (value, now)
        else:
            self.made += 1
            value = "v%d" % self.made
            write = "INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('%s', 'holds', '%s')" \
                % (self.subject, value)
            if now is not None and kind < 0.7:
                write = "SELECT " + call("supersede", self.book, subject=self.subject, predicate="holds",
                                         object=now, new_object=value)
            after = (value, now) if now is not None else None
        self.pending = self.KEY
        self.cursor.execute("BEGIN; SET LOCAL graphmem.graph = '%s'" % self.book)
        self.cursor.execute(write)
        way = dice.random()
        if way < 0.1:
            self.cursor.execute("ROLLBACK")
        elif way < 0.2:
            self.prepare(self.KEY, now, value)
        else:
            self.set(self.KEY, UNKNOWN)
            self.cursor.execute("COMMIT")
            self.set(self.KEY, value)
            self.before = after
        self.pending = None
        self.campaign.count("held")
        time.sleep(dice.random() * 0.01)


class Stater(Impatient):
    """Statements that share subjects, and what undoes them, in one graph."""

    def turn(self):
        dice, g = self.dice, self.campaign.states
        level = dice.choice(["READ COMMITTED"] * 2 + ["REPEATABLE READ", "SERIALIZABLE"])
        self.cursor.execute("BEGIN ISOLATION LEVEL " + level)
        self.cursor.execute(workload.use_graph(g))
        if dice.random() < 0.3:         # what it will not see
            self.cursor.execute("SELECT count(*) FROM graphmem.graphs")
            time.sleep(dice.random() * 0.1)
        done = []
        for _ in range(dice.choice([1, 1, 1, 2, 4])):
            for statement in workload.random_write(dice, g, workload.STATEMENTS):
                self.cursor.execute("SAVEPOINT s")
                try:
                    self.cursor.execute(statement)
                    done.append(statement)
                except psycopg2.Error as error:
                    if self.connection.closed or state_of(error) in ("40001", "40P01") or not self.allowed(error):
                        raise
                    self.cursor.execute("ROLLBACK TO s")
        if dice.random() < 0.1:
            self.sound(done)
        way = dice.random()
        if way < 0.1:
            self.cursor.execute("ROLLBACK")
        elif way < 0.13:
            gid = self.campaign.gid()
            self.cursor.execute("PREPARE TRANSACTION '%s'" % gid)
            if dice.random() < 0.95:        # the graph's lock is in what it leaves
                self.cursor.execute("COMMIT PREPARED '%s'" % gid)
        else:
            self.cursor.execute("COMMIT")
        self.campaign.count("stated", len(done))
        time.sleep(dice.random() * 0.01)

    def allowed(self, error):
        """Functions among themselves never meet what only raw changes can, nor
        a table's own constraint."""
        return super().allowed(error) and state_of(error) not in ("23503", "23514") \
            and error.diag.constraint_name is None

    def sound(self, done):
        """Within the transaction too."""
        for words in workload.broken(self.cursor, self.campaign.states):
            self.campaign.violation("%s, in a transaction that did\n%s" % (words, "\n".join(done)))


def look_at_states(campaign, cursor, dice):
    """Nothing broken in what is committed, and answers about any time as the tables give them."""
    for words in workload.broken(cursor, campaign.states):
        campaign.violation(words)
    times = ["statement_timestamp()", "statement_timestamp() - '%f s'::interval" % (dice.random() * 20)] + \
        ["'%s'::timestamptz" % time for time in workload.PAST + workload.FUTURE]
    for as_of, known_at in [(times[0], times[0])] + [(dice.choice(times), dice.choice(times[:2])) for _ in range(3)]:
        ours, theirs = workload.unlike_tables(cursor, campaign.states, as_of, known_at)
        if ours or theirs:
            campaign.violation("match() as of %s known at %s has %s, the tables have %s"
                               % (as_of, known_at, ours, theirs))
    campaign.count("looks at states")


def facts_of(cursor, book, subject):
    """(object, confidence), by plain SQL."""
    cursor.execute("SELECT o.name, t.confidence FROM graphmem.triples t JOIN graphmem.entities s ON s.entity_id ="
                   " t.subject_id JOIN graphmem.entities o ON o.entity_id = t.object_id JOIN graphmem.graphs g ON"
                   " g.graph_id = t.graph_id WHERE g.name = %s AND s.name = %s AND t.expired_at = 'infinity'"
                   " AND t.valid_from <= statement_timestamp() AND t.valid_to > statement_timestamp()",
                   (book, subject))
    return cursor.fetchall()


class Writer(Impatient):
    """Random writes into the graphs of the oracle, and some large ones."""

    def turn(self):
        dice = self.dice
        g = dice.choice(self.campaign.graphs)
        self.cursor.execute("BEGIN")
        self.cursor.execute(workload.use_graph(g))
        for _ in range(dice.choice([1, 1, 1, 3])):
            for statement in workload.random_write(dice, g):
                self.cursor.execute(statement)
        way = dice.random()
        if way < 0.1:
            self.cursor.execute("ROLLBACK")
        elif way < 0.15:
            gid = self.campaign.gid()
            self.cursor.execute("PREPARE TRANSACTION '%s'" % gid)
            if dice.random() < 0.8:
                self.cursor.execute("COMMIT PREPARED '%s'" % gid)
        else:
            self.cursor.execute("COMMIT")
        self.campaign.count("random commits")
        time.sleep(dice.random() * 0.02)


class Reader(Session):
    def __init__(self, campaign, number, recorders):
        super().__init__(campaign, number)
        self.recorders = recorders

    def turn(self):
        kind = self.dice.random()
        if kind < 0.4:
            for recorder in self.recorders:
                look(self.campaign, self.cursor, recorder)
        elif kind < 0.5:
            look_at_states(self.campaign, self.cursor, self.dice)
        else:
            level = self.dice.choice([None, "REPEATABLE READ"])
            truncations = self.campaign.truncations
            g = self.dice.choice(self.campaign.graphs + [self.campaign.states])
            self.cursor.execute("BEGIN" + ("" if level is None else " ISOLATION LEVEL " + level))
            self.cursor.execute(workload.use_graph(g))
            for _ in range(4):
                if self.dice.random() < 0.1:
                    self.cursor.execute("SET LOCAL lock_timeout = '1 s'")
                    writes = workload.STATEMENTS if g is self.campaign.states else workload.WRITES
                    for statement in workload.random_write(self.dice, g, writes):
                        self.cursor.execute(statement)
                    self.cursor.execute("SET LOCAL lock_timeout = 0")
                compare(self.campaign, self.cursor, workload.random_question(self.dice, g),
                        self.dice.random() < 0.5, truncations)
            self.cursor.execute("ROLLBACK")


class Mover(Impatient):
    """Moves vectors, each item by one of these, and keeps a model of them."""

    def __init__(self, campaign, number, items):
        super().__init__(campaign, number)
        self.pen = threading.Lock()     # held while the table and the model may differ
        self.items = items              # item_id -> name
        self.state = {}                 # item_id -> (vector, None: absent, or UNKNOWN; how often it changed)
        self.pending = []               # items that are being changed

    def set(self, item, value):
        with self.campaign.lock:
            self.state[item] = (value, self.state.get(item, (None, 0))[1] + 1)

    def settle(self, cursor, items):
        """As the table has them."""
        cursor.execute("SELECT item_id, embedding FROM graphmem.embeddings WHERE space_id = %s AND item_id = ANY (%s)",
                       (self.campaign.wide, list(items)))
        there = dict(cursor.fetchall())
        for item in items:
            self.set(item, tuple(there[item]) if item in there else None)

    def connected(self):
        super().connected()
        with self.pen:
            self.settle(self.cursor, self.pending)
            self.pending = []

    def failed(self, error):
        super().failed(error)
        if self.connection is not None and self.pending:
            self.connected()

    def turn(self):
        with self.pen:
            self.move()
        time.sleep(self.dice.random() * 0.01)

    def move(self):
        dice = self.dice
        kind = dice.random()
        items = dice.sample(list(self.items), 1 if kind < 0.95 else 300 if kind < 0.99 else 2500)
        if kind < 0.2 or (len(items) > 1 and dice.random() < 0.2):
            moved = dict.fromkeys(items)
            write = "DELETE FROM graphmem.embeddings WHERE space_id = %d AND item_id IN (%s)" % (
                self.campaign.wide, ", ".join(map(str, items)))
        else:
            moved = {item: random_vector(dice) for item in items}
            write = "INSERT INTO graphmem.embeddings (space_id, graph_id, item_id, embedding) VALUES %s ON CONFLICT" \
                " (space_id, item_id) DO UPDATE SET embedding = excluded.embedding" % ", ".join(
                    "(%d, (SELECT graph_id FROM graphmem.graphs WHERE name = 'vectors'), %d, '{%s}')"
                    % (self.campaign.wide, item, ",".join(map(repr, vector))) for item, vector in moved.items())
            if len(items) == 1 and dice.random() < 0.5:
                write = "SELECT " + call("set_embedding", "vectors", item=self.items[items[0]], space="wide",
                                         embedding=reals_of(moved[items[0]]))
        before = {item: self.state[item][0] for item in items}
        self.pending = items
        self.cursor.execute("BEGIN")
        if dice.random() < 0.3:
            self.undone(items)
        self.cursor.execute(write)
        if dice.random() < 0.3:
            self.see_own(moved, before)
        if dice.random() < 0.1:
            self.cursor.execute("ROLLBACK")
        else:
            for item in items:
                self.set(item, UNKNOWN)
            self.cursor.execute("COMMIT")
            for item, vector in moved.items():
                self.set(item, vector)
        self.pending = []
        self.campaign.count("moved", len(items))

    def undone(self, items):
        """What a savepoint takes back, after it was searched with."""
        self.cursor.execute("SAVEPOINT s; DELETE FROM graphmem.embeddings WHERE space_id = %s AND item_id = ANY (%s)",
                            (self.campaign.wide, items))
        found, path = nearest(self.campaign, self.cursor, random_vector(self.dice), False)
        if set(found) & set(items):
            self.campaign.violation("found %s by %s, which this transaction has deleted" % (items, path))
        self.cursor.execute("ROLLBACK TO s")

    def see_own(self, moved, before):
        item, vector = self.dice.choice(list(moved.items()))
        exact = self.dice.random() < 0.3
        for _ in range(self.dice.choice([1, 1, 4])):
            near = vector or (before[item] if before[item] != UNKNOWN else None) or random_vector(self.dice)
            found, path = nearest(self.campaign, self.cursor, near, exact)
            if found.get(item) != (None if vector is None else 0):
                self.campaign.violation("own vector of %d, now %s, was found at %s by %s; exact %s"
                                        % (item, vector, found.get(item), path, exact))
            time.sleep(self.dice.random() * 0.02)
        self.campaign.count("saw own vectors")


def random_vector(dice):
    """Sums of squares of differences are exact in float4."""
    return tuple(dice.randint(-64, 64) / 64 for _ in range(DIM))


def reals_of(vector):
    return workload.Raw("'{%s}'::real[]" % ",".join(map(repr, vector)))


def nearest(campaign, cursor, vector, exact):
    """item_id -> distance of the nearest, and who answered."""
    cursor.execute("SELECT item_id, distance FROM " + call("vector_search", "vectors", query_embedding=reals_of(vector),
                                                           match_count=NEAREST, space="wide", exact=exact))
    rows = cursor.fetchall()
    cursor.execute("SELECT path FROM graphmem.stat_backend")
    path, = cursor.fetchone()
    with campaign.lock:
        campaign.paths[path] += 1
    found = dict(rows)
    if len(found) != len(rows) or list(found.values()) != sorted(found.values()):
        campaign.violation("a search by %s gave %r" % (path, rows))
    return found, path


class Searcher(Session):
    """Compares exact searches with the model, and others with exact ones."""

    def connected(self):
        self.wanted = self.found = self.searches = 0

    def turn(self):
        if self.dice.random() < 0.3:
            self.like_the_model()
        else:
            self.like_exact()

    def model(self):
        with self.campaign.lock:
            return {item: state for mover in self.campaign.movers for item, state in mover.state.items()}

    def like_the_model(self):
        vector = random_vector(self.dice)
        before = self.model()
        truncations = self.campaign.truncations
        found, path = nearest(self.campaign, self.cursor, vector, True)
        after = self.model()
        if truncations != self.campaign.truncations or truncations % 2 == 1:
            return
        still = {item: value for item, (value, times) in before.items()
                 if value != UNKNOWN and after[item] == (value, times)}
        far = max(found.values(), default=0)
        if len(found) < NEAREST and len(still) > VECTORS / 2:
            self.campaign.violation("an exact search by %s found only %r" % (path, found))
        for item, value in still.items():
            away = None if value is None else sum((a - b) * (a - b) for a, b in zip(vector, value)) ** 0.5
            there = found.get(item)
            if there is not None if away is None else \
                    abs(there - away) > 1e-5 if there is not None else away < far - 1e-5:
                self.campaign.violation("item %d is acknowledged at %s, %s away, and was found at %s by %s"
                                        % (item, value, away, there, path))
        self.campaign.count("exact searches")

    def like_exact(self):
        vector = random_vector(self.dice)
        truncations = self.campaign.truncations
        self.cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        exact, exact_path = nearest(self.campaign, self.cursor, vector, True)
        time.sleep(self.dice.choice([0, 0, 0.02, 0.1]))
        found, path = nearest(self.campaign, self.cursor, vector, False)
        again, again_path = nearest(self.campaign, self.cursor, vector, True)
        self.cursor.execute("ROLLBACK")
        if truncations != self.campaign.truncations or truncations % 2 == 1:
            return
        far = max(exact.values(), default=0)
        if exact != again or len(found) != len(exact):
            self.campaign.violation("one snapshot: %r by %s, %r by %s, %r by %s"
                                    % (exact, exact_path, found, path, again, again_path))
        for item, distance in found.items():
            if exact.get(item, distance) != distance or (distance < far and item not in exact):
                self.campaign.violation("item %d at %s by %s is not among the nearest %r by %s"
                                        % (item, distance, path, exact, exact_path))
        self.found += sum(distance <= far for distance in found.values())
        self.wanted += len(exact)
        self.searches += 1
        self.campaign.count("searches")
        if self.searches == RECALL_OF:
            if self.found < RECALL * self.wanted:
                self.campaign.violation("%d searches found %d of %d" % (self.searches, self.found, self.wanted))
            self.connected()


def fill_space(cursor, space, share):
    """Vectors for that share of the items, as the number of each says."""
    cursor.execute("INSERT INTO graphmem.embeddings (space_id, graph_id, item_id, embedding)"
                   " SELECT s.space_id, s.graph_id, e.entity_id,"
                   "  (SELECT array_agg(((hashint8(e.entity_id * 100 + j) & 127) - 64) / 64.0::real) FROM"
                   "   generate_series(1, %s) AS j)"
                   " FROM graphmem.vector_spaces s JOIN graphmem.entities e USING (graph_id)"
                   " JOIN graphmem.graphs g USING (graph_id) WHERE g.name = 'vectors' AND s.name = %s"
                   " AND substr(e.name, 2)::int <= %s", (DIM, space, int(VECTORS * share)))


def look(campaign, cursor, recorder):
    """Everything acknowledged before the question, and not touched during it, must be in the answer."""
    before = recorder.copy()
    cursor.execute("SELECT object, confidence FROM " + call("match", recorder.book, subject=recorder.subject))
    rows = cursor.fetchall()
    cursor.execute("SELECT path, reason FROM graphmem.stat_backend")
    path, reason = cursor.fetchone()
    after = recorder.copy()
    found = recorder.found(rows)
    campaign.count("looks")
    with campaign.lock:
        campaign.paths[path] += 1
    if len(found) != len(rows):
        campaign.violation("%s has more than one, or a fact twice in an answer by %s (%s): %r"
                           % (recorder.subject, path, reason, sorted(rows)))
    for key, state in before.items():
        value, _ = state
        if state == after[key] and value != UNKNOWN and found.get(key) != value:
            campaign.violation("%s %s is acknowledged as %s but was found as %s by %s (%s); the table has %s"
                               % (recorder.subject, key, value, found.get(key), path, reason,
                                  recorder.in_table(cursor).get(key)))
    for key in set(found) - set(after):
        campaign.violation("%s %s was never written" % (recorder.subject, key))


def compare(campaign, cursor, question, shared_first, truncations):
    cursor.execute("SELECT * FROM oracle.compare(%s, %s)", (question, shared_first))
    path, reason, other, same, rows, ours, theirs, snapshot = cursor.fetchone()
    campaign.count("compared")
    with campaign.lock:
        campaign.paths[path] += 1
    if not same and truncations == campaign.truncations and truncations % 2 == 0:
        campaign.violation("%s\n%s (%s) beside %s, snapshot %s\n%s" % (
            question, path, reason, other, snapshot, "\n".join(workload.differing(ours, theirs))))
    return path, reason


class Shaper(Impatient):
    """Changes the graph whose shape is computed: entities come, are linked, merged, forgotten."""

    def turn(self):
        dice = self.dice
        core, some, other = "c%d" % dice.randrange(CORE), passing(dice), passing(dice)
        kind = dice.random()
        if kind < 0.45:
            write = call("add_triple", "shapes", subject=some, predicate="p%d" % dice.randrange(3), object=core)
        elif kind < 0.6:
            write = call("add_triple", "shapes", subject=some, predicate="p0", object=other)
        elif kind < 0.7:
            write = call("supersede", "shapes", subject=some, predicate="p0", object=core, new_object=other)
        elif kind < 0.85:
            write = call("retract", "shapes", subject=some, predicate="p%d" % dice.randrange(3), object=core)
        elif kind < 0.93:
            write = "(SELECT count(*) FROM %s)" % call("forget_entity", "shapes", entity=some)
        else:
            write = "(SELECT count(*) FROM %s)" % call("merge_entities", "shapes", keep=some, gone=other)
        self.cursor.execute("BEGIN; SAVEPOINT s")
        self.cursor.execute("SELECT " + write)
        way = dice.random()
        if way < 0.1:
            self.cursor.execute("ROLLBACK TO s; SELECT " + call("add_triple", "shapes", subject=some, predicate="p1",
                                                                object=core))
        if way < 0.15:
            self.cursor.execute("ROLLBACK")
        elif way < 0.2:
            gid = self.campaign.gid()
            self.cursor.execute("PREPARE TRANSACTION '%s'" % gid)
            time.sleep(dice.random() * 0.5)
            if dice.random() < 0.9:
                self.cursor.execute("%s PREPARED '%s'" % (dice.choice(["COMMIT", "ROLLBACK"]), gid))
        else:
            self.cursor.execute("COMMIT")
        self.campaign.count("shaped")
        time.sleep(dice.random() * 0.02)


def passing(dice):
    return "x%d" % dice.randrange(PASSING)


class Refresher(Session):
    """Has spaces computed, of several graphs, and changes its mind."""

    # the worker or the process ended, was told to, has no memory or no place
    ENDS = {"57P01", "57P03", "53400", "53200", "58000"}

    def turn(self):
        dice = self.dice
        graph = dice.choice(["shapes"] * 4 + ["many0"] + [self.campaign.graphs[2].name])
        space = dice.choice(["topology", "topology", "computed"]) if graph == "shapes" else "computed"
        if dice.random() < 0.2:
            self.cursor.execute("SELECT " + call("cancel_topology", graph, space=space))
            self.campaign.count("cancelled", self.cursor.fetchone()[0])
            return
        given = {"method": dice.choice(METHODS + [None]), "dim": dice.choice([2, 8, 8, 32, None]), "space": space,
                 "weighted": dice.choice([True, False, None]), "wait": dice.random() < 0.7}
        self.cursor.execute("SET statement_timeout = %d" % dice.choice([60000, 60000, 200, 30]))
        try:
            self.cursor.execute("SELECT state FROM " + call("refresh_topology", graph, **given))
            self.campaign.count("refreshed " + self.cursor.fetchone()[0])
        finally:
            if not self.connection.closed:
                self.cursor.execute("SET statement_timeout = '60 s'")
        time.sleep(dice.random() * 0.5)

    def allowed(self, error):
        return super().allowed(error) or state_of(error) in self.ENDS


class Asker(Session):
    """Asks about computed spaces, over what happens to them within one snapshot."""

    def turn(self):
        dice = self.dice
        truncations = self.campaign.truncations
        self.cursor.execute("BEGIN ISOLATION LEVEL " + dice.choice(["READ COMMITTED", "REPEATABLE READ"]))
        for _ in range(3):
            compare(self.campaign, self.cursor, ask_about_shapes(dice), dice.random() < 0.5, truncations)
            time.sleep(dice.random() * dice.choice([0.01, 1]))
        self.cursor.execute("ROLLBACK")
        self.campaign.count("asked about computed spaces")


def ask_about_shapes(dice):
    name = dice.choice(["c%d" % dice.randrange(CORE), passing(dice)])
    if dice.random() < 0.6:
        return call("similar", "shapes", entity=name, match_count=dice.choice([1, 10]),
                    space=dice.choice(["topology", "computed"]))
    return call("fusion_query", "shapes", seeds=[name], topology_weight=dice.choice([0.5, 2]), match_count=5)


LATE = """
SELECT e.entity_id FROM graphmem.entities e JOIN graphmem.graphs g USING (graph_id)
WHERE g.name = 'shapes' AND NOT EXISTS (SELECT FROM graphmem.topology_vectors v JOIN graphmem.vector_spaces s USING
    (space_id) WHERE v.entity_id = e.entity_id AND s.name = 'topology' AND s.graph_id = e.graph_id)
AND EXISTS (SELECT FROM graphmem.triples t JOIN graphmem.entities c ON c.entity_id IN (t.subject_id, t.object_id)
    WHERE e.entity_id IN (t.subject_id, t.object_id) AND t.expired_at = 'infinity' AND c.name ~ '^c')
"""

# What is out of date by a space that was computed from the tables as they are
# now; those that no method gives a vector may be counted or not.
COUNTED = """
WITH fresh AS (SELECT v.entity_id, v.shape FROM graphmem.topology_vectors v JOIN graphmem.vector_spaces s USING (space_id)
        WHERE s.name = 'probe'),
    stored AS (SELECT v.entity_id, v.shape FROM graphmem.topology_vectors v JOIN graphmem.vector_spaces s USING (space_id)
        JOIN graphmem.graphs g ON g.graph_id = s.graph_id WHERE s.name = 'topology' AND g.name = 'shapes')
SELECT t.dirty, t.missing, o.dirty, o.missing, t.nodes, o.nodes FROM graphmem.stat_topology t,
    (SELECT count(*) FILTER (WHERE stored.shape IS NULL OR stored.shape IS DISTINCT FROM fresh.shape) AS dirty,
        count(*) FILTER (WHERE stored.entity_id IS NULL) AS missing, count(fresh.entity_id) AS nodes
     FROM fresh FULL JOIN stored USING (entity_id)) o
WHERE t.space = 'topology' AND t.graph = 'shapes' AND t.state = 'ready'
"""

WHOLE = {
    "vectors of another dimension than their space":
        "SELECT v.space_id, v.entity_id FROM graphmem.topology_vectors v JOIN graphmem.vector_spaces s USING (space_id)"
        " WHERE cardinality(v.embedding) <> s.dim",
    "vectors without a space or an entity":
        "SELECT v.space_id, v.entity_id FROM graphmem.topology_vectors v LEFT JOIN graphmem.vector_spaces s USING"
        " (space_id) LEFT JOIN graphmem.entities e USING (entity_id) WHERE e.name IS NULL OR s.name IS NULL",
    "entities that had an edge when the space was computed, and have no vector":
        "SELECT e.name FROM graphmem.entities e JOIN graphmem.vector_spaces s USING (graph_id) WHERE e.name ~ '^c'"
        " AND s.name = 'topology' AND s.state = 'ready' AND s.graph_id ="
        " (SELECT graph_id FROM graphmem.graphs WHERE name = 'shapes') AND NOT EXISTS (SELECT FROM"
        " graphmem.topology_vectors v WHERE v.space_id = s.space_id AND v.entity_id = e.entity_id)",
}


def poll(seconds, look):
    """The last that it gave; None once there is nothing to complain of."""
    stop_at = time.monotonic() + seconds
    while True:
        wrong = look()
        if not wrong or time.monotonic() > stop_at:
            return wrong or None
        time.sleep(0.1)


def look_at_shapes(campaign, cursor):
    """Entities that were late have vectors soon; computed spaces are whole."""
    for what, query in WHOLE.items():
        cursor.execute(query + " LIMIT 3")
        for row in cursor.fetchall():
            campaign.violation("%s: %r" % (what, row))
    cursor.execute(LATE)
    late = {entity for entity, in cursor.fetchall()}

    def still_late():
        cursor.execute(LATE)
        late.intersection_update(entity for entity, in cursor.fetchall())
        return late
    campaign.count("late", len(late))
    if poll(COMES_BACK, still_late):
        cursor.execute("SELECT to_jsonb(t) - 'parameters' FROM graphmem.stat_topology t")
        campaign.violation("without a vector for %.0f s: %s; %s" % (COMES_BACK, late, cursor.fetchall()))
    campaign.count("looks at shapes")


def count_shapes(campaign, cursor):
    """At rest: nothing is left half made, and what is out of date is counted."""
    def jobs():
        cursor.execute("SELECT graph, space, state, phase FROM graphmem.stat_progress_topology")
        return cursor.fetchall()
    left = poll(COMES_BACK, jobs)
    if left:
        campaign.violation("computations that do not end: %r" % left)
    cursor.execute("SELECT weighted FROM (SELECT (parameters ->> 'weighted')::bool AS weighted FROM graphmem.stat_topology"
                   " WHERE graph = 'shapes' AND space = 'topology') t")
    weighted, = cursor.fetchone()
    cursor.execute("SELECT state, nodes FROM " + call("refresh_topology", "shapes", method="propagation", dim=4,
                                                      space="probe", weighted=bool(weighted)))
    nodes = cursor.fetchone()[1]

    def counts():
        cursor.execute(COUNTED)
        dirty, missing, is_dirty, is_missing, counted, shaped = cursor.fetchone()
        unknown = nodes - shaped
        right = dirty is not None and is_dirty <= dirty <= is_dirty + unknown and \
            is_missing <= missing <= is_missing + unknown and counted == nodes
        return None if right else (dirty, missing, counted, is_dirty, is_missing, nodes, unknown)
    wrong = poll(COMES_BACK, counts)
    if wrong:
        campaign.violation("dirty %s, missing %s of %s are counted, but there are %s, %s of %s (%s not known)" % wrong)
    campaign.count("counts of what is out of date")

    def unfinished():
        cursor.execute("SELECT space_id, name FROM graphmem.vector_spaces WHERE state = 'computing' AND parameters ? 'method'")
        return cursor.fetchall()
    left = poll(COMES_BACK, unfinished)
    if left:
        campaign.violation("left half made: %r" % left)


class Segments(threading.Thread):
    """Every piece of shared memory that a process of the server was seen to map."""

    def __init__(self, campaign):
        super().__init__(name="segments", daemon=True)
        self.campaign, self.seen = campaign, set()

    def run(self):
        while not self.campaign.over.is_set():
            try:
                postmaster = self.campaign.server.postmaster()
            except (OSError, ValueError):
                postmaster = 0
            for name in os.listdir("/proc") if postmaster else []:
                try:
                    with open("/proc/%s/stat" % name) as file:
                        if int(file.read().rpartition(")")[2].split()[1]) != postmaster:
                            continue
                    with open("/proc/%s/maps" % name) as file:
                        self.seen.update(re.findall(r"/dev/shm/PostgreSQL\.\d+", file.read()))
                except (OSError, ValueError, IndexError):
                    continue
            time.sleep(0.3)

    def left(self):
        return sorted(name for name in self.seen if os.path.exists(name))


# ---- events: what happens to the server while they work ----

class Events:
    """Each method is one event; what it changes it sets back."""

    GENTLE = {"terminate_worker": 4, "terminate_backend": 4, "cancel_worker": 2, "stop_worker": 3, "churn_database": 3,
              "rename_database": 2, "template_database": 1, "recreate_extension": 2, "little_memory": 4,
              "truncate": 3, "triggers_off": 3, "vacuum_full": 3, "table_lock": 3, "large_transaction": 2,
              "worker_off": 2, "rebuild": 2, "resolve_prepared": 6, "replica_role": 1, "many_graphs": 2,
              "reload": 1, "empty_vectors": 2, "passing_space": 3, "terminate_linker": 3,
              "terminate_topology": 4, "terminate_helper": 3, "cancel_topology": 2, "compute_workers": 3,
              "lock_vectors": 2, "graph_with_space": 2}
    VIOLENT = {"kill_worker": 4, "kill_backend": 4, "kill_postmaster": 3, "restart_fast": 2, "restart_immediate": 2,
               "kill_worker_while_it_loads": 2, "kill_linker": 2, "kill_topology": 3, "kill_helper": 2, "nothing": 1}

    def __init__(self, campaign, dice):
        self.campaign, self.server, self.dice = campaign, campaign.server, dice
        self.churned = 0

    def ask(self, work, database="torture"):
        """work(cursor) on a connection of its own, again as long as the server is away."""
        for last in [False] * 20 + [True]:
            connection = self.server.connect_at_last("events", database)
            try:
                return work(connection.cursor())
            except psycopg2.Error:
                if last or not connection.closed:
                    raise
            finally:
                connection.close()

    def query(self, statement, database="torture", fetch=False):
        def work(cursor):
            for one in [statement] if isinstance(statement, str) else statement:
                cursor.execute(one)
            return cursor.fetchall() if fetch else None

        return self.ask(work, database)

    def worker(self):
        rows = self.query("SELECT pid FROM graphmem.stat_worker WHERE pid IS NOT NULL", fetch=True)
        return rows[0][0] if rows else None

    def backend(self):
        rows = self.query("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
                          " AND pid <> pg_backend_pid()", fetch=True)
        return self.dice.choice(rows)[0] if rows else None

    def signal(self, pid, which):
        if pid is None:
            return
        try:
            os.kill(pid, which)
        except ProcessLookupError:
            pass

    # gentle ones

    def terminate_worker(self):
        self.query("SELECT pg_terminate_backend(pid) FROM graphmem.stat_worker WHERE pid IS NOT NULL")

    def terminate_backend(self):
        self.query("SELECT pg_terminate_backend(%s)" % (self.backend() or 0))

    def cancel_worker(self):
        self.query("SELECT pg_cancel_backend(pid) FROM graphmem.stat_worker WHERE pid IS NOT NULL")

    def stop_worker(self):
        pid = self.worker()
        self.signal(pid, signal.SIGSTOP)
        time.sleep(self.dice.random() * 2)
        self.signal(pid, signal.SIGCONT)

    def filled_database(self):
        self.churned += 1
        name = "churned%d" % self.churned
        self.query("CREATE DATABASE " + name)
        self.query(["CREATE EXTENSION graphmem CASCADE",
                    "SELECT graphmem.add_triple('e' || i, 'p', 'e' || i + 1) FROM generate_series(1, 50) AS i"], name)
        found = self.query("SELECT count(*) FROM graphmem.match()", name, True)[0][0]
        if found != 50:
            self.campaign.violation("database %s has %d facts, not 50" % (name, found))
        return name

    def drop_database(self, name, force=False):
        self.query("DROP DATABASE %s%s" % (name, " WITH (FORCE)" if force else ""))

    def churn_database(self):
        name = self.filled_database()
        self.query(["TRUNCATE graphmem.triples, graphmem.assertions, graphmem.supersessions",
                    "SELECT graphmem.add_triple('a', 'p', 'b')"], name)
        found = self.query("SELECT count(*) FROM graphmem.match()", name, True)[0][0]
        if found != 1:
            self.campaign.violation("database %s has %d facts after TRUNCATE, not 1" % (name, found))
        self.drop_database(name, self.dice.random() < 0.3)

    def rename_database(self):
        name = self.filled_database()
        self.query("ALTER DATABASE {0} RENAME TO {0}renamed".format(name))
        name += "renamed"
        found = self.query("SELECT count(*) FROM graphmem.match()", name, True)[0][0]
        if found != 50:
            self.campaign.violation("renamed database has %d facts, not 50" % found)
        self.drop_database(name)

    def template_database(self):
        name = self.filled_database()
        self.query("CREATE DATABASE {0}copy TEMPLATE {0}".format(name))
        self.query("SELECT graphmem.add_triple('a', 'p', 'b')", name + "copy")
        for one, wanted in ((name, 50), (name + "copy", 51)):
            found = self.query("SELECT count(*) FROM graphmem.match()", one, True)[0][0]
            if found != wanted:
                self.campaign.violation("database %s has %d facts, not %d" % (one, found, wanted))
            self.drop_database(one)

    def recreate_extension(self):
        name = self.filled_database()
        self.query(["DROP EXTENSION graphmem CASCADE", "CREATE EXTENSION graphmem CASCADE",
                    "SELECT graphmem.add_triple('a', 'p', 'b')"], name)
        found = self.query("SELECT object FROM graphmem.match('a')", name, True)
        if found != [("b",)]:
            self.campaign.violation("after the extension was created again: %r" % (found,))
        self.drop_database(name)

    def set_system(self, name, value):
        self.query(["LOAD 'graphmem'", "ALTER SYSTEM " + ("SET %s = %s" % (name, value) if value else
                                                          "RESET " + name), "SELECT pg_reload_conf()"])

    def little_memory(self):
        self.set_system("graphmem.memory_limit", "'%dMB'" % self.dice.choice([1, 2, 4]))
        time.sleep(0.5 + self.dice.random())
        self.set_system("graphmem.memory_limit", None)

    def many_graphs(self):
        """A question to each; with a little memory they push each other out."""
        self.set_system("graphmem.memory_limit", "'4MB'")
        for i in self.dice.sample(range(MANY_GRAPHS), MANY_GRAPHS):
            found = self.query("SELECT count(*) FROM graphmem.match(graph => 'many%d')" % i, fetch=True)[0][0]
            if found != MANY_TRIPLES:
                self.campaign.violation("graph many%d has %d facts, not %d" % (i, found, MANY_TRIPLES))
        self.set_system("graphmem.memory_limit", None)

    def exclusive(self, statement):
        """What needs a table for itself; prepared transactions that hold it are ended."""
        for last in (False, True):
            try:
                self.query(["SET lock_timeout = '1 s'", statement])
                return True
            except psycopg2.Error as error:
                if state_of(error) not in ("55P03", "40P01"):
                    raise
            if not last:
                self.resolve_prepared()
        return False

    def truncate(self):
        """An older snapshot sees an emptied table empty, so answers may differ meanwhile."""
        self.campaign.truncations += 1
        try:
            self.exclusive("TRUNCATE graphmem." + self.dice.choice(["assertions", "aliases"]))
        finally:
            self.campaign.truncations += 1

    def empty_vectors(self):
        """The same with vectors, which then come back at once."""
        for mover in self.campaign.movers:
            mover.pen.acquire()
        self.campaign.truncations += 1
        try:
            self.exclusive("TRUNCATE graphmem.embeddings")
            connection = self.server.connect_at_last("filling")
            cursor = connection.cursor()
            cursor.execute("DELETE FROM graphmem.embeddings WHERE space_id = %s", (self.campaign.wide,))
            fill_space(cursor, "wide", self.dice.choice([0.9, 1, 1.2]))
            for mover in self.campaign.movers:
                mover.settle(cursor, mover.items)
            connection.close()
        finally:
            self.campaign.truncations += 1
            for mover in self.campaign.movers:
                mover.pen.release()

    def passing_space(self):
        """Goes while it is being indexed, or soon after."""
        self.churned += 1
        name = "passing%d" % self.churned
        connection = self.server.connect_at_last("passing")
        cursor = connection.cursor()
        cursor.execute("SELECT " + call("create_vector_space", "vectors", name=name, dim=DIM,
                                        metric=self.dice.choice(["cosine", "l2", "ip"])))
        fill_space(cursor, name, 1)
        time.sleep(self.dice.random() * self.dice.choice([0.3, 3]))
        cursor.execute("SELECT " + call("drop_vector_space", "vectors", name=name))
        connection.close()

    def linker(self):
        """Of the index that is made anew."""
        self.query("SELECT graphmem.rebuild('vectors')")
        for _ in range(300):
            rows = self.query("SELECT pid FROM pg_stat_activity WHERE backend_type = 'graphmem linker'", fetch=True)
            if rows:
                time.sleep(self.dice.random() * 0.5)
                return self.dice.choice(rows)[0]
            time.sleep(0.01)
        return None

    def terminate_linker(self):
        pid = self.linker()
        self.query("SELECT pg_terminate_backend(%s)" % (pid or 0))

    def kill_linker(self):
        self.signal(self.linker(), signal.SIGKILL)

    def kill_topology(self):
        self.signal(self.computing("graphmem topology"), signal.SIGKILL)

    def kill_helper(self):
        self.signal(self.computing("graphmem topology helper"), signal.SIGKILL)

    def computing(self, kind):
        """A process of a computation that is under way."""
        self.query("SELECT " + call("refresh_topology", "many0", method="walk", dim=128, space="computed", wait=False))
        for _ in range(300):
            rows = self.query("SELECT pid FROM pg_stat_activity WHERE backend_type = '%s'" % kind, fetch=True)
            if rows:
                time.sleep(self.dice.random() * 0.1)
                return self.dice.choice(rows)[0]
            time.sleep(0.01)
        return None

    def terminate_topology(self):
        self.query("SELECT pg_terminate_backend(%s)" % (self.computing("graphmem topology") or 0))

    def terminate_helper(self):
        self.query("SELECT pg_terminate_backend(%s)" % (self.computing("graphmem topology helper") or 0))

    def cancel_topology(self):
        self.query("SELECT pg_cancel_backend(%s)" % (self.computing("graphmem topology") or 0))

    def compute_workers(self):
        self.set_system("graphmem.compute_workers", self.dice.choice([1, 2, 3, None]))

    def lock_vectors(self):
        self.exclusive("BEGIN; LOCK TABLE graphmem.%s IN %s MODE; SELECT pg_sleep(%.2f); COMMIT" % (
            self.dice.choice(["topology_vectors", "vector_spaces", "entities"]),
            self.dice.choice(["ACCESS EXCLUSIVE", "SHARE"]), self.dice.random() * 2))

    def graph_with_space(self):
        """It goes while its space is computed, or soon after."""
        self.churned += 1
        name = "passing%d" % self.churned
        self.query(["SELECT graphmem.create_graph('%s')" % name,
                    "SELECT count(*) FROM (SELECT %s FROM generate_series(1, 200) AS i) t" % call(
                        "add_triple", name, subject=workload.Raw("'e' || i"), predicate="p",
                        object=workload.Raw("'e' || i * 7 % 50")),
                    "SELECT " + call("refresh_topology", name, dim=8, wait=self.dice.random() < 0.5)])
        time.sleep(self.dice.random() * 0.2)
        self.query("SELECT graphmem.drop_graph('%s')" % name)

    def triggers_off(self):
        table = self.dice.choice(["triples", "entities", "assertions", "embeddings"])
        triggers = self.query("SELECT tgname FROM pg_trigger WHERE tgrelid = 'graphmem.%s'::regclass"
                              " AND tgname LIKE '%%capture%%'" % table, fetch=True)
        if self.exclusive("ALTER TABLE graphmem.%s %s" % (table, ", ".join(
                "DISABLE TRIGGER " + name for name, in triggers))):
            time.sleep(self.dice.random())
            for _ in range(30):
                if self.exclusive("ALTER TABLE graphmem.%s %s" % (table, ", ".join(
                        "ENABLE ALWAYS TRIGGER " + name for name, in triggers))):
                    return
            self.campaign.violation("could not enable the triggers of %s again" % table)

    def vacuum_full(self):
        self.exclusive("VACUUM FULL graphmem." + self.dice.choice(["triples", "entities", "assertions", "embeddings"]))

    def table_lock(self):
        self.exclusive("BEGIN; LOCK TABLE graphmem.%s IN %s MODE; SELECT pg_sleep(%.2f); COMMIT" % (
            self.dice.choice(["triples", "entities", "graphs"]),
            self.dice.choice(["ACCESS EXCLUSIVE", "EXCLUSIVE"]), self.dice.random()))

    def large_transaction(self):
        """More changes than are carried one by one; half of the time undone."""
        self.query(["BEGIN", "INSERT INTO graphmem.triples (graph_id, subject_id, predicate_id, object_id, valid_from)"
                    " SELECT graph_id, subject_id, predicate_id, object_id, '1990-01-01'::timestamptz + i * '1 s'::interval"
                    " FROM (SELECT * FROM graphmem.triples WHERE graph_id ="
                    " (SELECT graph_id FROM graphmem.graphs WHERE name = 'many0') LIMIT 1) AS t,"
                    " generate_series(1, %d) AS i" % self.dice.choice([5000, 70000]),
                    self.dice.choice(["COMMIT", "ROLLBACK"])])
        self.query("DELETE FROM graphmem.triples WHERE valid_from BETWEEN '1990-01-01' AND '1991-01-01'")

    def worker_off(self):
        self.set_system("graphmem.worker", "off")
        time.sleep(self.dice.random())
        self.set_system("graphmem.worker", None)

    def reload(self):
        self.query("SELECT pg_reload_conf()")

    def rebuild(self):
        self.query("SELECT graphmem.rebuild(%s)" % text(self.dice.choice([None, "small", "book0", "vectors"])))

    def replica_role(self):
        """As logical replication applies: only ENABLE ALWAYS triggers fire.  Nobody
        ends meanwhile what is left prepared, so no row of it may be waited for."""
        self.query(["SET session_replication_role = replica",
                    "UPDATE graphmem.triples SET confidence = 0.125 WHERE triple_id IN (SELECT triple_id FROM"
                    " graphmem.triples WHERE graph_id = %d LIMIT 3 FOR UPDATE SKIP LOCKED)"
                    % self.campaign.graphs[1].id])

    def resolve_prepared(self):
        """Ends every prepared transaction that was left."""
        for gid, in self.query("SELECT gid FROM pg_prepared_xacts WHERE database = 'torture'", fetch=True):
            left = self.campaign.left.get(gid)
            commit = self.dice.random() < 0.7
            if left is not None:
                recorder, key, before, value = left
                if recorder.pending == key:
                    continue
                recorder.set(key, UNKNOWN)
            try:
                self.query("%s PREPARED '%s'" % ("COMMIT" if commit else "ROLLBACK", gid))
            except psycopg2.Error as error:
                if state_of(error) != "42704":      # its own session was faster
                    raise
        self.settle_prepared()

    def settle_prepared(self):
        """Recorders' transactions that are prepared no more: the tables know how they ended."""
        with self.campaign.lock:
            left = {gid: one for gid, one in self.campaign.left.items() if one[0].pending != one[1]}
        if not left:
            return
        # looked for after that: what is not under way any more is prepared, or has ended
        there = {gid for gid, in self.query("SELECT gid FROM pg_prepared_xacts", fetch=True)}
        for gid, (recorder, key, before, value) in left.items():
            if gid in there:
                continue
            recorder.set(key, UNKNOWN)
            now = self.ask(recorder.in_table).get(key)
            if now not in (before, value):
                self.campaign.violation("prepared %s %s was %s, to become %s, and is %s"
                                        % (recorder.subject, key, before, value, now))
            recorder.set(key, now)
            with self.campaign.lock:
                del self.campaign.left[gid]

    # violent ones

    def nothing(self):
        pass

    def kill_worker(self):
        self.signal(self.worker(), signal.SIGKILL)

    def kill_worker_while_it_loads(self):
        self.query("SELECT graphmem.rebuild()")
        time.sleep(self.dice.random() * 0.05)
        self.kill_worker()

    def kill_backend(self):
        self.signal(self.backend(), signal.SIGKILL)

    def kill_postmaster(self):
        pid = self.server.postmaster()
        os.kill(pid, signal.SIGKILL)
        time.sleep(self.dice.random() * 0.5)
        self.server.start()

    def restart_fast(self):
        self.server.stop("fast")
        self.server.start()

    def restart_immediate(self):
        self.server.stop("immediate")
        self.server.start()


# ---- rounds ----

def prepare(campaign):
    server = campaign.server
    connection = server.connect("preparing", "postgres")
    connection.cursor().execute("CREATE DATABASE torture")
    connection.close()
    connection = server.connect("preparing")
    cursor = connection.cursor()
    cursor.execute("CREATE EXTENSION graphmem CASCADE")
    connection.autocommit = False
    cursor.execute(workload.COMPARING)
    workload.populate(connection, campaign.graphs, campaign.seed)
    for book in campaign.books:
        cursor.execute("SELECT graphmem.create_graph('%s')" % book)
        cursor.execute("INSERT INTO graphmem.predicates (graph_id, name, functional)"
                       " SELECT graph_id, 'holds', true FROM graphmem.graphs WHERE name = '%s'" % book)
    workload.fill_functional(cursor, campaign.states)
    cursor.execute("SELECT graphmem.create_graph('many' || i) FROM generate_series(0, %d) AS i" % (MANY_GRAPHS - 1))
    cursor.execute("INSERT INTO graphmem.entities (graph_id, name) SELECT graph_id, 'e' || i FROM graphmem.graphs,"
                   " generate_series(0, %d) AS i WHERE name LIKE 'many%%'" % MANY_TRIPLES)
    cursor.execute("INSERT INTO graphmem.predicates (graph_id, name) SELECT graph_id, 'p' FROM graphmem.graphs"
                   " WHERE name LIKE 'many%'")
    cursor.execute("INSERT INTO graphmem.triples (graph_id, subject_id, predicate_id, object_id)"
                   " SELECT p.graph_id, a.entity_id, p.predicate_id, b.entity_id FROM graphmem.predicates p"
                   " JOIN graphmem.graphs g USING (graph_id) JOIN graphmem.entities a USING (graph_id)"
                   " JOIN graphmem.entities b USING (graph_id) WHERE g.name LIKE 'many%'"
                   " AND substring(b.name, 2)::int = substring(a.name, 2)::int + 1")
    cursor.execute("SELECT graphmem.create_graph('shapes')")
    cursor.execute("SELECT count(*) FROM (SELECT %s FROM generate_series(0, %d) AS i, generate_series(1, 3) AS j) t" % (
        call("add_triple", "shapes", subject=workload.Raw("'c' || i"), predicate=workload.Raw("'p' || i % 3"),
             object=workload.Raw("'c' || (i * 7 + j * 13) %% %d" % CORE)), CORE - 1))
    cursor.execute("SELECT graphmem.create_graph('vectors')")
    cursor.execute("SELECT " + call("create_vector_space", "vectors", name="wide", dim=DIM, metric="l2"))
    campaign.wide, = cursor.fetchone()
    cursor.execute("INSERT INTO graphmem.entities (graph_id, name) SELECT graph_id, 'v' || i FROM graphmem.graphs,"
                   " generate_series(1, %s) AS i WHERE name = 'vectors' RETURNING entity_id, name", (VECTORS * 4 // 3,))
    items = cursor.fetchall()
    fill_space(cursor, "wide", 1)
    connection.commit()
    connection.autocommit = True
    for space in ("topology", "computed"):
        cursor.execute("SELECT state FROM " + call("refresh_topology", "shapes", dim=8, space=space))
    connection.autocommit = False
    campaign.movers = [Mover(campaign, i, dict(items[i::MOVERS])) for i in range(MOVERS)]
    for mover in campaign.movers:
        mover.settle(cursor, mover.items)
    connection.close()


def comes_back(campaign, cursor):
    """Waits until a question is answered from shared memory again; how long that took."""
    started = time.monotonic()
    while True:
        cursor.execute("SELECT * FROM graphmem.match(graph => 'small')")
        cursor.execute("SELECT path, reason FROM graphmem.stat_backend")
        path, reason = cursor.fetchone()
        if path == "shared":
            return time.monotonic() - started
        if time.monotonic() - started > COMES_BACK:
            cursor.execute("SELECT to_jsonb(w) FROM graphmem.stat_worker w")
            campaign.violation("answers are still private after %.0f s: %s; worker %s"
                               % (COMES_BACK, reason, cursor.fetchone()))
            return None
        time.sleep(0.02)


def index_comes_back(campaign, cursor):
    """Waits until searches are answered by an index again."""
    started = time.monotonic()
    while True:
        cursor.execute("SELECT 1 FROM graphmem.match(graph => 'vectors') LIMIT 1")
        cursor.execute("SELECT index_state, rows, to_jsonb(v) FROM graphmem.stat_vector v WHERE space = 'wide'")
        state, rows, everything = cursor.fetchone()
        if state == "ready":
            break
        if state == "exact" and rows < INDEX_FROM:
            return
        if time.monotonic() - started > COMES_BACK:
            campaign.violation("there is no index after %.0f s: %s" % (COMES_BACK, everything))
            return
        time.sleep(0.05)
    vector = random_vector(random.Random(0))
    nearest(campaign, cursor, vector, False)
    cursor.execute("SELECT index_searches FROM graphmem.stat_vector WHERE space = 'wide'")
    campaign.count("index searches", (cursor.fetchone()[0] or 0))
    cursor.execute("SELECT graphmem.stat_reset()")


def verify(campaign, recorders, dice, everything):
    """Equal answers and a sound image, in every graph, beside the writers or at rest."""
    events = Events(campaign, dice)
    events.settle_prepared()
    for last in [False] * 3 + [True]:
        connection = campaign.server.connect_at_last("verifying")
        try:
            cursor = connection.cursor()
            back = comes_back(campaign, cursor)
            index_comes_back(campaign, cursor)
            for recorder in recorders:
                look(campaign, cursor, recorder)
            look_at_states(campaign, cursor, dice)
            look_at_shapes(campaign, cursor)
            if everything:
                count_shapes(campaign, cursor)
            for g in campaign.graphs + [campaign.states]:
                for ask in workload.QUESTIONS:
                    truncations = campaign.truncations
                    compare(campaign, cursor, ask(dice, g), True, truncations)
                    if everything:
                        compare(campaign, cursor, ask(dice, g), False, truncations)
            cursor.execute("SELECT name FROM graphmem.graphs ORDER BY graph_id")
            for name, in cursor.fetchall():
                del connection.notices[:]
                cursor.execute("SET client_min_messages = notice")
                try:
                    cursor.execute("SELECT c::text FROM graphmem.check(%s) AS c LIMIT 5", (name,))
                except psycopg2.Error as error:
                    if state_of(error) == "42704":      # dropped meanwhile
                        continue
                    raise
                finally:
                    cursor.execute("SET client_min_messages = error")
                for row, in cursor.fetchall() if cursor.description else []:
                    campaign.violation("check('%s'): %s" % (name, row))
                campaign.count("unchecked" if connection.notices else "checked")
            connection.close()
            return back
        except psycopg2.Error as error:
            # deadlocks with whoever writes, and the last signs of the event
            if last or not (connection.closed or state_of(error) in EXPECTED | {"57P03"}):
                campaign.violation("verifying: %s %s" % (state_of(error), error))
                return None


def run(campaign, dice, stop_at, chosen):
    """The rounds, then everything at rest."""
    prepare(campaign)
    recorders = [Recorder(campaign, i) for i in range(RECORDERS)] + [Holder(campaign, i) for i in range(HOLDERS)]
    sessions = recorders + [Writer(campaign, i) for i in range(WRITERS)] + \
        [Stater(campaign, i) for i in range(STATERS)] + \
        [Reader(campaign, i, recorders) for i in range(READERS)] + campaign.movers + \
        [Searcher(campaign, i) for i in range(SEARCHERS)] + [Shaper(campaign, i) for i in range(SHAPERS)] + \
        [Refresher(campaign, i) for i in range(REFRESHERS)] + [Asker(campaign, i) for i in range(ASKERS)]
    campaign.segments.start()
    for session in sessions:
        session.start()
    events = Events(campaign, dice)
    gentle, violent = dict(events.GENTLE), dict(events.VIOLENT)
    first = ["kill_worker", "kill_backend", "kill_postmaster", "kill_topology"]     # in a short run too
    if chosen:
        gentle = {name: n for name, n in gentle.items() if name in chosen}
        violent = {name: n for name, n in violent.items() if name in chosen} or {"nothing": 1}
        first = []
    dice.shuffle(first)
    happened = collections.Counter()
    rounds = 0
    while time.monotonic() < stop_at or rounds == 0:
        rounds += 1
        plan = (dice.choices(list(gentle), list(gentle.values()), k=dice.randint(1, 4)) if gentle else []) + \
            ([first.pop()] if first else dice.choices(list(violent), list(violent.values())))
        for name in plan:
            time.sleep(0.2 + dice.random())
            happened[name] += 1
            began = time.monotonic()
            try:
                getattr(events, name)()
            except psycopg2.Error as error:
                if state_of(error) not in EXPECTED | {"55P03"}:
                    campaign.violation("%s: %s %s" % (name, state_of(error), str(error).strip()))
            say("round %d: %s, %.1f s" % (rounds, name, time.monotonic() - began))
        back = verify(campaign, recorders, dice, False)
        say("round %d: verified; shared answers %s; %s" % (
            rounds, "after %.2f s" % back if back is not None else "did not come back", dict(campaign.counts)))
    events.resolve_prepared()
    campaign.over.set()
    for session in sessions:
        session.join(70)
        if session.is_alive():
            campaign.violation("%s does not end" % session.name)
    for _ in range(2):
        events.resolve_prepared()
    verify(campaign, recorders, dice, True)
    for recorder in recorders:
        connection = campaign.server.connect("ending")
        table = recorder.in_table(connection.cursor())
        connection.close()
        for key, (value, _) in recorder.copy().items():
            if value != UNKNOWN and table.get(key) != value:
                campaign.violation("LOST: %s %s is acknowledged as %s, the table has %s"
                                   % (recorder.subject, key, value, table.get(key)))
    for mover in campaign.movers:
        acknowledged = dict(mover.state)
        connection = campaign.server.connect("ending")
        mover.settle(connection.cursor(), mover.items)
        connection.close()
        for item, (value, _) in acknowledged.items():
            if value not in (UNKNOWN, mover.state[item][0]):
                campaign.violation("LOST: vector of item %d is acknowledged as %s, the table has %s"
                                   % (item, value, mover.state[item][0]))
    return rounds, happened


def read_log(campaign):
    """What the server says of itself."""
    with open(campaign.server.log, errors="replace") as file:
        for line in file:
            if re.search(r"terminated by signal (?!9\b)|PANIC:|TRAP:| XX00[0-9] ", line):
                campaign.violation("server log: " + line.strip())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--socket")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--seed", type=int, default=random.randrange(10 ** 6))
    parser.add_argument("--preload", action="store_true")
    parser.add_argument("--events", help="only these, separated by commas")
    parser.add_argument("--tap", action="store_true")
    options = parser.parse_args()
    stop_at = time.monotonic() + (options.seconds or options.minutes * 60)
    dice = random.Random(options.seed)
    say("seed %d" % options.seed)
    server = Server(options.bin, options.work, options.socket or options.work, options.preload)
    try:
        # never closed: where the campaign breaks off, its sessions still write
        log = open(os.path.join(options.work, "acknowledged.log"), "w", buffering=1)
        campaign = Campaign(server, options.seed, log)
        rounds, happened = run(campaign, dice, stop_at, options.events)
        server.stop("fast")
        for name in campaign.segments.left():
            campaign.violation("shared memory is left: " + name)
    except BaseException:
        say("broken off: " + traceback.format_exc())
        server.stop("immediate")
        os._exit(1)
    read_log(campaign)
    say("%d rounds; %s" % (rounds, ", ".join("%s %d" % pair for pair in sorted(happened.items()))))
    say(", ".join("%s %d" % pair for pair in sorted(campaign.counts.items())))
    say("answered by " + ", ".join("%s %d" % pair for pair in campaign.paths.most_common()))
    if options.tap:
        say_tap(campaign, rounds)
    print("# %d rounds, %d events, %d violations, seed %d"
          % (rounds, sum(happened.values()), len(campaign.violations), options.seed))
    sys.stdout.flush()
    os._exit(1 if campaign.violations and not options.tap else 0)


def say_tap(campaign, rounds):
    paths = campaign.paths
    print("%sok - %d rounds of crashes and disturbances without a violation"
          % ("not " if campaign.violations else "", rounds))
    print("%sok - %d looks saw every acknowledged commit" % ("" if campaign.counts["looks"] > 100 else "not ",
                                                             campaign.counts["looks"]))
    print("%sok - %d statements that supersede, undo, forget and merge, and %d looks at what they left" % (
        "" if min(campaign.counts["stated"], campaign.counts["looks at states"]) > 20 else "not ",
        campaign.counts["stated"], campaign.counts["looks at states"]))
    print("%sok - %d computations, %d looks at computed spaces, %d changes of their graph" % (
        "" if min(campaign.counts[what] for what in ("refreshed done", "looks at shapes", "shaped",
                                                     "counts of what is out of date")) > 0 else "not ",
        campaign.counts["refreshed done"], campaign.counts["looks at shapes"], campaign.counts["shaped"]))
    print("%sok - %d answers compared" % ("" if campaign.counts["compared"] > 100 else "not ",
                                          campaign.counts["compared"]))
    print("%sok - %d searches compared with a model, %d with exact ones, %d by the index" % (
        "" if min(campaign.counts[what] for what in ("exact searches", "searches", "index searches")) > 20 else "not ",
        campaign.counts["exact searches"], campaign.counts["searches"], campaign.counts["index searches"]))
    print("%sok - check() looked at shared images" % ("" if campaign.counts["checked"] > 0 else "not "))
    print("%sok - the shared image answered" % ("" if paths["shared"] > paths["private"] else "not "))
    print("done")


main()
