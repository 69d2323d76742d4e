"""Statements about functional predicates beside a model of the rules, and many sessions at once.

    supersede.py SEED STEPS SECONDS DSN

The model keeps lists of the open versions of each subject and knows rules 1 to
5 of src/api/timeline.c by loops over them.  Statements of one and several
rows, supersede, retract, undo_supersede and UPDATE, in transactions with
savepoints and rollbacks, are run and played, and compared:

    every statement   open versions with their facts, validity, confidence and
                      properties; the steps written; the errors
    undo              of the last step of a subject: exactly what was before
                      it; of an earlier one: what the statements without the
                      undone one give, object by object
    every commit      match(as_of) at random times; versions are disjoint
    at the end        what was known after each commit; check()

Then sessions at every isolation level write the same subjects while another
looks for two current values.  Prints TAP lines without numbers, then "done".
"""

import copy
import random
import sys
import threading
import time
from datetime import datetime, timedelta, timezone

import psycopg2

PREDICATE = "f"
SUBJECTS = ["s%d" % i for i in range(4)]
OBJECTS = ["o%d" % i for i in range(4)]
YEARS = list(range(2000, 2010)) + [2300, 2301]
START = datetime(1, 1, 1, tzinfo=timezone.utc)
END = datetime(9999, 1, 1, tzinfo=timezone.utc)
RETRY = {"40001", "40P01"}
EXPECTED = RETRY | {"23P01", "22023", "42704", "55000", "23505"}
seed, steps, seconds, dsn = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
dice = random.Random(seed)


def report(passed, what, detail=""):
    print(("ok" if passed else "not ok") + " - " + what, flush=True)
    if not passed:
        print("# " + str(detail).replace("\n", "\n# "), flush=True)


class Refused(Exception):
    pass


class Row:
    """An open version."""

    def __init__(self, fact, obj, start, end, confidence, properties, resumed=False, began=None):
        self.fact, self.obj, self.start, self.end = fact, obj, start, end
        self.confidence, self.properties = confidence, properties
        self.resumed = resumed  # goes on behind a shorter claim
        self.began = began      # its claim, as the steps that closed it know it

    def holds(self, moment):
        return self.start <= moment < self.end

    def key(self):
        return (self.obj, self.start, self.end, round(self.confidence, 3), self.properties)


class Timeline:
    """The open versions of one subject, what was stated since a known state, and its steps."""

    def __init__(self):
        self.rows = []
        self.base = []          # rows before the first of claims
        self.claims = []        # (claim, T, ids of its steps)
        self.pure = True        # nothing but claims since base
        self.last = None        # (id of the newest step, rows before it) if nothing came after

    def settle(self):
        self.base, self.claims, self.pure = copy.deepcopy(self.rows), [], True


facts = 0


def new_fact():
    global facts
    facts += 1
    return facts


def step_on(rows, old):
    rows.remove(old)
    old.began = min(old.began or old.start, old.start)
    for r in rows:
        if r.fact == old.fact:
            r.began = old.began


def place(rows, claim, now):
    """Plays a claim on the list; the number of steps it takes."""
    obj, start, end, confidence, properties = claim
    about_now = start is None and end is None
    begin = now if about_now else (start or START)
    stop = END if end is None else end
    holder = [r for r in rows if r.holds(begin)]
    later = sorted((r for r in rows if r.start > begin), key=lambda r: r.start)
    if about_now and not holder:
        stop = min([r.start for r in later] + [END])
        begin = max([r.end for r in rows if r.end <= now] + [START])
        rows.append(Row(new_fact(), obj, begin, stop, confidence, properties))
        return 0
    restated = holder and holder[0].obj == obj
    overtaken = []
    for r in later:
        if r.start >= stop:
            break
        if r.obj == obj and not about_now:
            raise Refused("23P01")
        if r.obj == obj or restated or not r.resumed or r.began > begin:
            stop = r.start
            break
        overtaken.append(r)
    if restated:
        if not about_now and holder[0].end < stop:
            raise Refused("23P01")
        return 0
    for old in holder + overtaken:
        step_on(rows, old)
        if old.start < begin:
            rows.append(Row(old.fact, old.obj, old.start, begin, old.confidence, old.properties,
                            old.resumed, old.began))
        if stop < old.end:
            rows.append(Row(old.fact, old.obj, stop, old.end, old.confidence, old.properties, True, old.began))
    rows.append(Row(new_fact(), obj, begin, stop, confidence, properties))
    return len(holder + overtaken)


def coalesced(rows):
    """What is valid when, whichever facts say so."""
    spans = []
    for r in sorted(rows, key=lambda r: r.start):
        if spans and spans[-1][0] == r.obj and spans[-1][2] == r.start:
            spans[-1][2] = r.end
        else:
            spans.append([r.obj, r.start, r.end])
    return spans


def moment(value):
    return "NULL" if value is None else "'%s'" % value.isoformat()


def grid():
    return datetime(dice.choice(YEARS), 1, 1, tzinfo=timezone.utc)


def random_claim():
    start = end = None
    kind = dice.random()
    if kind < 0.75:
        start = grid()
    if kind > 0.4 and kind < 0.85:
        end = grid()
    if start is not None and end is not None and end <= start:
        end = start + timedelta(days=365 * dice.randint(1, 4))
    return (dice.choice(OBJECTS), start, end, dice.choice([1.0, 0.5, 0.25]),
            dice.choice([None, '{"k": 1}']))


STATE = """SELECT s.name, t.fact_id, o.name, t.valid_from, t.valid_to, t.confidence, t.properties::text
FROM graphmem.triples t JOIN graphmem.entities s ON s.entity_id = t.subject_id
JOIN graphmem.entities o ON o.entity_id = t.object_id JOIN graphmem.predicates p USING (predicate_id)
WHERE p.name = 'f' AND """


# the first step that leads on from what a step created, where the old fact reached it
ONWARD = """SELECT c.old_fact_id, n.new_fact_id FROM graphmem.supersessions c
JOIN graphmem.triples o ON o.triple_id = c.old_triple_id
JOIN graphmem.supersessions n ON n.old_fact_id = c.new_fact_id AND n.undone_at IS NULL
JOIN graphmem.triples b ON b.triple_id = n.old_triple_id
LEFT JOIN graphmem.triples k ON k.triple_id = n.closed_triple_id
WHERE c.supersession_id = %d AND c.created AND n.new_fact_id IS NOT NULL
AND o.valid_from <= coalesce(k.valid_to, b.valid_from) AND coalesce(k.valid_to, b.valid_from) < o.valid_to
ORDER BY n.supersession_id LIMIT 1"""


BEGAN = """SELECT coalesce(bool_or(r.valid_from = %s), false),
CASE WHEN count(*) > 0 THEN greatest(min(o.valid_from), '0001-01-01 UTC') END
FROM graphmem.supersessions c JOIN graphmem.triples o ON o.triple_id = c.old_triple_id
LEFT JOIN graphmem.triples r ON r.triple_id = c.rest_triple_id
WHERE c.old_fact_id = %d AND c.undone_at IS NULL"""


class Run:
    def __init__(self):
        self.db = psycopg2.connect(dsn)
        self.db.autocommit = True
        self.cursor = self.db.cursor()
        self.lines = {s: Timeline() for s in SUBJECTS}
        self.facts = {}         # of the model to those of the database
        self.known = []
        self.newest = 0
        self.log = []
        self.query("SET timezone = 'UTC'")
        self.query("SET graphmem.graph = 'model'")

    def query(self, sql):
        self.log.append(sql)
        self.cursor.execute(sql)
        return self.cursor.fetchall() if self.cursor.description else []

    def read(self, condition):
        """Rows by subject; infinite times come as the ends of this world."""
        sql = (STATE + condition).replace("t.valid_from,", "greatest(t.valid_from, '0001-01-01 UTC'),") \
            .replace("t.valid_to,", "least(t.valid_to, '9999-01-01 UTC'),")
        self.cursor.execute(sql)
        found = {s: [] for s in SUBJECTS}
        for subject, fact, obj, start, end, confidence, properties in self.cursor.fetchall():
            found[subject].append(Row(fact, obj, start, end, confidence, properties))
        return found

    def compare(self, what):
        found = self.read("t.expired_at = 'infinity'")
        for s in SUBJECTS:
            mine, theirs = self.lines[s].rows, found[s]
            if sorted(map(Row.key, mine), key=str) != sorted(map(Row.key, theirs), key=str):
                self.fail(what, "subject %s: model\n%s\ndatabase\n%s" % (
                    s, [r.key() for r in mine], [r.key() for r in theirs]))
            for r in mine:
                other = [t for t in theirs if t.key() == r.key()][0]
                if self.facts.setdefault(r.fact, other.fact) != other.fact:
                    self.fail(what, "fact of %s changed" % (r.key(),))

    def fail(self, what, detail):
        raise AssertionError("%s\n%s\n%s" % (what, detail, "\n".join(self.log[-40:])))

    def attempt(self, sql, expected):
        """Runs it under a savepoint; the rows, or None where it is refused as expected."""
        self.query("SAVEPOINT one")
        try:
            rows = self.query(sql)
        except psycopg2.Error as error:
            self.query("ROLLBACK TO one")
            if expected is None or error.pgcode not in expected:
                self.fail("unexpected error %s" % error.pgcode, error)
            return None
        if expected is not None and None not in expected:
            self.fail("no error, %s expected" % expected, sql)
        return rows

    def new_steps(self):
        self.cursor.execute("SELECT supersession_id FROM graphmem.supersessions"
                            " WHERE supersession_id > %d ORDER BY 1" % self.newest)
        ids = [row[0] for row in self.cursor.fetchall()]
        self.newest = max([self.newest] + ids)
        return ids

    def state(self):
        claims = [(dice.choice(SUBJECTS), random_claim()) for _ in range(dice.choice([1, 1, 2, 5]))]
        values = ", ".join("('%s', '%s', '%s', %s, %s, %s, %s)" % (
            s, PREDICATE, c[0], moment(c[1]), moment(c[2]), c[3],
            "NULL" if c[4] is None else "'%s'" % c[4]) for s, c in claims)
        sql = ("INSERT INTO graphmem.facts (subject, predicate, object, valid_from, valid_to,"
               " confidence, properties) SELECT a, b, c, d::timestamptz, e::timestamptz, f, g::jsonb"
               " FROM (VALUES %s) AS v (a, b, c, d, e, f, g)" % values)
        # one message, so one statement_timestamp
        self.query("SAVEPOINT played")
        try:
            now = self.query(sql + "; SELECT statement_timestamp()")[0][0]
            error = None
        except psycopg2.Error as e:
            self.query("ROLLBACK TO played")
            now, error = datetime.now(timezone.utc), e
        played = copy.deepcopy(self.lines)
        count = 0
        taken = []
        try:
            for s, claim in claims:
                line = played[s]
                before = copy.deepcopy(line.rows)
                n = place(line.rows, claim, now)
                count += n
                taken.append((s, n, before, claim))
        except Refused as refused:
            if error is None or error.pgcode != str(refused):
                self.fail("not refused as the model says", "%s: %s" % (refused, error))
            return
        if error is not None:
            self.fail("refused unlike the model", error)
        ids = self.new_steps()
        if len(ids) != count:
            self.fail("number of steps", "%d and not %d" % (len(ids), count))
        self.lines = played
        # steps are numbered by subject, then in the order stated
        by_subject = {}
        for s, n, before, claim in taken:
            by_subject.setdefault(s, []).append((n, before, claim))
        self.cursor.execute("SELECT c.supersession_id, c.created, s.name FROM graphmem.supersessions c"
                            " JOIN graphmem.triples t ON t.triple_id = c.old_triple_id"
                            " JOIN graphmem.entities s ON s.entity_id = t.subject_id"
                            " WHERE c.supersession_id = ANY (%s) ORDER BY 1", (ids,))
        of_subject = {}
        for step, created, s in self.cursor.fetchall():
            of_subject.setdefault(s, []).append((step, created))
        for s, entries in by_subject.items():
            line = self.lines[s]
            for n, before, claim in entries:
                mine = [of_subject[s].pop(0) for _ in range(n)]
                # the others took what went on behind a shorter claim, and go with the first
                main = [step for step, created in mine if created]
                if main != [step for step, _ in mine[:1] if main]:
                    self.fail("steps of a claim", mine)
                line.claims.append((claim, now, main))
                line.last = (main[0], before) if main else None
        self.compare("statement")

    def undo(self):
        self.cursor.execute("SELECT c.supersession_id, s.name FROM graphmem.supersessions c JOIN graphmem.triples t"
                            " ON t.triple_id = c.old_triple_id JOIN graphmem.entities s ON s.entity_id = t.subject_id"
                            " WHERE undone_at IS NULL ORDER BY 1 DESC LIMIT 8")
        steps_there = self.cursor.fetchall()
        if not steps_there:
            return
        step, s = dice.choice(steps_there)
        line = self.lines[s]
        newest = line.last is not None and line.last[0] == step
        onward = self.query(ONWARD % step)
        rows = self.attempt("SELECT graphmem.undo_supersede(%d)" % step,
                            None if newest else {None, "55000", "23505", "23P01"})
        if rows is None:
            self.compare("refused undo")
            return
        if onward and not self.query("SELECT 1 FROM graphmem.supersessions WHERE undone_at IS NULL"
                                     " AND old_fact_id = %d AND new_fact_id = %d" % onward[0]):
            self.fail("the chain does not lead past what was undone", onward)
        if newest:
            line.rows = line.last[1]
            self.compare("undo of the last step")
        else:
            found = self.read("t.expired_at = 'infinity'")
            without = self.without(line, step)
            if without is not None and coalesced(without) != coalesced(found[s]):
                self.fail("undo in the middle", "expected %s\nfound %s" % (coalesced(without), coalesced(found[s])))
            self.undone_in_middle += without is not None
            back = {v: k for k, v in self.facts.items()}
            for r in found[s]:
                r.fact = back.setdefault(r.fact, None) or new_fact()
            line.rows = found[s]
            self.compare("undo")
            self.adopt(s)
        self.new_steps()
        line.last = None
        line.settle()

    undone_in_middle = 0

    def adopt(self, s):
        """Takes from the chain which rows go on behind a shorter claim."""
        for r in self.lines[s].rows:
            self.cursor.execute(BEGAN % (moment(r.start) if r.start > START else "'-infinity'", self.facts[r.fact]))
            r.resumed, r.began = self.cursor.fetchone()

    def without(self, line, step):
        """What the claims but that of the step make of the base; None if that cannot be told."""
        if not line.pure or not any(step in ids for _, _, ids in line.claims):
            return None
        rows, whole = copy.deepcopy(line.base), copy.deepcopy(line.base)
        gone = False
        for claim, now, ids in line.claims:
            about_now = claim[1] is None and claim[2] is None
            if about_now and gone and not ids:
                return None     # restated, or found a gap that may be another now
            try:
                size = len(whole)
                place(whole, claim, now)
                restated = len(whole) == size and not ids
                if step in ids:
                    gone = True
                elif gone and restated:
                    return None     # it may have restated what is gone
                elif not place(rows, claim, now) and about_now and gone:
                    return None     # found a gap
            except Refused:
                return None
        return rows

    def supersede(self):
        s, old, new = dice.choice(SUBJECTS), dice.choice(OBJECTS), dice.choice(OBJECTS)
        at = grid()
        line = self.lines[s]
        before = copy.deepcopy(line.rows)
        holder = [r for r in line.rows if r.obj == old and r.holds(at)]
        expected = None
        if old == new or not holder:
            expected = {"22023", "42704"}
        rows = self.attempt("SELECT graphmem.supersede('%s', '%s', '%s', '%s', %s, 'because', 'source')"
                            % (s, PREDICATE, old, new, moment(at)), expected)
        if rows is None:
            return
        row = holder[0]
        step_on(line.rows, row)
        if row.start < at:
            line.rows.append(Row(row.fact, row.obj, row.start, at, row.confidence, row.properties,
                                 row.resumed, row.began))
        line.rows.append(Row(new_fact(), new, at, row.end, 1.0, None))
        if self.new_steps() != [rows[0][0]]:
            self.fail("step of supersede", rows)
        line.settle()
        line.last = (rows[0][0], before)
        self.compare("supersede")

    def retract(self):
        s, obj, at = dice.choice(SUBJECTS), dice.choice(OBJECTS), grid()
        line = self.lines[s]
        before = copy.deepcopy(line.rows)
        holder = [r for r in line.rows if r.obj == obj and r.holds(at)]
        rows = self.attempt("SELECT graphmem.retract('%s', '%s', '%s', %s)" % (s, PREDICATE, obj, moment(at)),
                            None if holder else {"42704"})
        if rows is None:
            return
        step_on(line.rows, holder[0])
        self.new_steps()
        line.settle()
        line.last = (rows[0][0], before)
        self.compare("retract")

    def update(self):
        s = dice.choice(SUBJECTS)
        line = self.lines[s]
        now = datetime.now(timezone.utc)
        holder = [r for r in line.rows if r.holds(now)]
        if not holder:
            return
        row = holder[0]
        start, end = dice.choice([row.start, grid()]), dice.choice([row.end, END, grid()])
        if start >= end:
            return
        clash = [r for r in line.rows if r is not row and r.start < end and start < r.end]
        expected = {"23505", "23P01"} if clash else None
        sql = "UPDATE graphmem.facts SET confidence = 0.125, valid_from = %s, valid_to = %s WHERE subject = '%s' AND predicate = '%s'" % (
            moment(None if start == START else start), moment(None if end == END else end), s, PREDICATE)
        if self.attempt(sql, expected) is None and clash:
            return
        row.start, row.end, row.confidence = start, end, 0.125
        line.last = None
        self.compare("update")
        self.adopt(s)
        line.settle()

    def after_commit(self):
        self.cursor.execute("SELECT clock_timestamp()")
        if dice.random() < 0.2:
            self.known.append((self.cursor.fetchone()[0], copy.deepcopy(self.lines)))
        s, at = dice.choice(SUBJECTS), grid() + timedelta(days=dice.randint(-1, 400))
        self.cursor.execute("SELECT object FROM graphmem.match('%s', '%s', as_of => %s)" % (s, PREDICATE, moment(at)))
        found = [row[0] for row in self.cursor.fetchall()]
        if found != [r.obj for r in self.lines[s].rows if r.holds(at)]:
            self.fail("match as of %s" % at, "%s: %s" % (found, [r.key() for r in self.lines[s].rows]))

    def transaction(self):
        saved = (copy.deepcopy(self.lines), dict(self.facts))
        self.query("BEGIN")
        for _ in range(dice.choice([1, 1, 3])):
            inner = (copy.deepcopy(self.lines), dict(self.facts))
            undone = dice.random() < 0.1
            if undone:
                self.query("SAVEPOINT outer_one")
            dice.choices([self.state, self.undo, self.supersede, self.retract, self.update],
                         [6, 3, 1, 1, 1])[0]()
            if undone:
                self.query("ROLLBACK TO outer_one")
                self.lines, self.facts = inner
        if dice.random() < 0.1:
            self.query("ROLLBACK")
            self.lines, self.facts = saved
            self.compare("rollback")
        else:
            self.query("COMMIT")
            self.after_commit()

    def what_was_known(self):
        for at, lines in self.known:
            found = self.read("t.recorded_at <= %s AND %s < t.expired_at" % (moment(at), moment(at)))
            for s in SUBJECTS:
                if sorted(map(Row.key, lines[s].rows), key=str) != sorted(map(Row.key, found[s]), key=str):
                    self.fail("known at %s of %s" % (at, s), "%s\n%s" % (
                        [r.key() for r in lines[s].rows], [r.key() for r in found[s]]))


OVERLAPS = """SELECT count(*) FROM graphmem.triples a JOIN graphmem.triples b
ON a.subject_id = b.subject_id AND a.predicate_id = b.predicate_id AND a.triple_id < b.triple_id
WHERE a.functional AND a.expired_at = 'infinity' AND b.expired_at = 'infinity'
AND a.valid_from < b.valid_to AND b.valid_from < a.valid_to"""


def check_all(cursor, what):
    cursor.execute(OVERLAPS)
    report(cursor.fetchone()[0] == 0, what + ": versions are disjoint")
    cursor.execute("SELECT count(*), min(detail) FROM graphmem.check()")
    count, detail = cursor.fetchone()
    report(count == 0, what + ": check() finds nothing", detail)
    # each step that stands has the versions it names, and what it closed is not open
    cursor.execute("""SELECT count(*) FROM graphmem.supersessions c
        LEFT JOIN graphmem.triples o ON o.triple_id = c.old_triple_id AND o.fact_id = c.old_fact_id
        LEFT JOIN graphmem.triples k ON k.triple_id = c.closed_triple_id AND k.fact_id = c.old_fact_id
        LEFT JOIN graphmem.triples r ON r.triple_id = c.rest_triple_id AND r.fact_id = c.old_fact_id
        WHERE o.triple_id IS NULL OR o.expired_at = 'infinity'
            OR c.closed_triple_id IS NOT NULL
                AND (k.triple_id IS NULL OR k.valid_from < o.valid_from OR k.valid_to >= o.valid_to)
            OR c.rest_triple_id IS NOT NULL
                AND (r.triple_id IS NULL OR r.valid_from <= o.valid_from OR r.valid_to > o.valid_to)""")
    report(cursor.fetchone()[0] == 0, what + ": the chain is complete")


def model():
    run = Run()
    try:
        for _ in range(steps):
            run.transaction()
        run.what_was_known()
        report(True, "statements do what the model says")
        report(run.undone_in_middle > 0 or steps < 500, "steps were undone in the middle", run.undone_in_middle)
        report(len(run.known) > 0, "known times were compared")
    except AssertionError as failure:
        report(False, "statements do what the model says", failure)
    run.db.rollback()
    check_all(run.cursor, "model")


def writer(number, until, unexpected, counts):
    own = random.Random(seed * 100 + number)
    db = psycopg2.connect(dsn)
    cursor = db.cursor()
    cursor.execute("SET graphmem.graph = 'sessions'")
    # several statements of a transaction deadlock, as with any table
    cursor.execute("SET deadlock_timeout = '20ms'")
    db.commit()
    while time.time() < until:
        level = own.choice(["READ COMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
        db.set_session(isolation_level=level)
        try:
            for _ in range(own.choice([1, 1, 2])):
                s, o, kind = own.choice(SUBJECTS), own.choice(OBJECTS), own.random()
                if kind < 0.6:
                    subjects = own.sample(SUBJECTS, own.randint(1, len(SUBJECTS)))
                    when = own.choice(["NULL", "'%d-01-01'" % own.randint(2000, 2010)])
                    cursor.execute("INSERT INTO graphmem.facts (subject, predicate, object, valid_from)"
                                   " SELECT x, 'f', '%s', %s FROM unnest(ARRAY['%s']) x"
                                   % (o, when + "::timestamptz", "','".join(subjects)))
                elif kind < 0.7:
                    cursor.execute("SELECT graphmem.supersede('%s', 'f', '%s', '%s')" % (s, o, own.choice(OBJECTS)))
                elif kind < 0.8:
                    cursor.execute("SELECT graphmem.retract('%s', 'f', '%s')" % (s, o))
                elif kind < 0.9:
                    cursor.execute("UPDATE graphmem.facts SET confidence = 0.5 WHERE subject = '%s'" % s)
                else:
                    cursor.execute("SELECT graphmem.undo_supersede((SELECT max(supersession_id) FROM graphmem.supersessions WHERE undone_at IS NULL))")
            db.commit()
            counts["written"] += 1
        except psycopg2.Error as error:
            db.rollback()
            counts[error.pgcode] = counts.get(error.pgcode, 0) + 1
            if error.pgcode not in EXPECTED:
                unexpected.append("%s %s" % (error.pgcode, error))
    db.close()


def sessions():
    db = psycopg2.connect(dsn)
    db.autocommit = True
    cursor = db.cursor()
    cursor.execute("SET graphmem.graph = 'sessions'")
    unexpected, counts = [], {"written": 0}
    until = time.time() + seconds
    threads = [threading.Thread(target=writer, args=(n, until, unexpected, counts)) for n in range(6)]
    for thread in threads:
        thread.start()
    twice = looks = 0
    while time.time() < until:
        cursor.execute("SELECT count(*) FROM (SELECT FROM graphmem.match(predicate => 'f') m GROUP BY m.subject HAVING count(*) > 1) x")
        twice += cursor.fetchone()[0]
        cursor.execute("SELECT count(*) FROM (SELECT FROM graphmem.facts WHERE predicate = 'f' GROUP BY subject HAVING count(*) > 1) x")
        twice += cursor.fetchone()[0]
        looks += 1
    for thread in threads:
        thread.join()
    print("# sessions: %s, %d looks" % (counts, looks), flush=True)
    report(not unexpected, "sessions: no errors but the expected", "\n".join(unexpected[:3]))
    report(twice == 0, "sessions: never two current values")
    report(counts["written"] > 20 and looks > 5, "sessions: they got on", counts)
    check_all(cursor, "sessions")


def bulk():
    db = psycopg2.connect(dsn)
    db.autocommit = True
    cursor = db.cursor()
    cursor.execute("SET graphmem.graph = 'bulk'")
    cursor.execute("INSERT INTO graphmem.facts (subject, predicate, object, valid_from)"
                   " SELECT 'one', 'f', 'o' || g, timestamptz '2000-01-01 UTC' + g * interval '1 minute'"
                   " FROM generate_series(1, 100000) g ORDER BY hashint4(g)")
    cursor.execute("INSERT INTO graphmem.facts (subject, predicate, object)"
                   " SELECT 'n' || g / 2, 'f', 'o' || g FROM generate_series(0, 99999) g")
    cursor.execute("SELECT count(*), count(DISTINCT valid_from) FROM graphmem.triples t JOIN graphmem.entities s"
                   " ON s.entity_id = t.subject_id WHERE s.name = 'one' AND t.expired_at = 'infinity'")
    report(cursor.fetchone() == (100000, 100000), "bulk: one subject with 100000 versions, in any order")
    cursor.execute("""SELECT count(*) FROM (SELECT t.valid_to, lead(t.valid_from) OVER (ORDER BY t.valid_from) AS next
        FROM graphmem.triples t JOIN graphmem.entities s ON s.entity_id = t.subject_id
        WHERE s.name = 'one' AND t.expired_at = 'infinity') v WHERE valid_to IS DISTINCT FROM coalesce(next, 'infinity')""")
    report(cursor.fetchone()[0] == 0, "bulk: each ends where the next begins")
    cursor.execute("SELECT count(*), count(DISTINCT subject) FROM graphmem.facts WHERE subject LIKE 'n%'")
    report(cursor.fetchone() == (50000, 50000), "bulk: 50000 subjects have one current object each")
    cursor.execute("SELECT count(*) FROM graphmem.facts f WHERE subject LIKE 'n%' AND substr(object, 2)::int % 2 = 0")
    report(cursor.fetchone()[0] == 0, "bulk: it is the later one")
    cursor.execute("SELECT count(*), min(detail) FROM graphmem.check('bulk')")
    count, detail = cursor.fetchone()
    report(count == 0, "bulk: check() finds nothing", detail)


setup = psycopg2.connect(dsn)
setup.autocommit = True
with setup.cursor() as c:
    for graph in ["model", "sessions", "bulk"]:
        c.execute("SELECT graphmem.create_graph('%s')" % graph)
        c.execute("SET graphmem.graph = '%s'" % graph)
        c.execute("INSERT INTO graphmem.facts (subject, predicate, object) VALUES ('setup', 'f', 'x')")
        for name in SUBJECTS + OBJECTS:
            c.execute("SELECT graphmem.add_entity('%s')" % name)
        c.execute("DELETE FROM graphmem.facts")
        c.execute("SELECT graphmem.set_predicate('f', functional => true)")
model()
sessions()
bulk()
print("done", flush=True)
