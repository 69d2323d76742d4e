"""What a client that listens hears of committed changes, and what it should.

    notify.py CONNECTION SEED ROUNDS FACTS
    notify.py SUBSCRIBER subscriber PUBLISHER

A session listens; others write.  After each step the writer sends a message of
its own, behind which nothing of the step can come.

    listed cases        what must be heard stands beside the statements
    random transactions one after the other, through the view facts and by hand,
                        with savepoints: the table before and after, compared
                        fact by fact, tells what must be heard
    several writers     at once: what changes() shows, each row once
    COPY                of FACTS facts, taken back, committed, then closed
    replication         what a subscriber tells of changes that it applies

Prints TAP lines without numbers, then "done".
"""

import collections
import io
import json
import random
import sys
import threading
import time

import psycopg2
import psycopg2.errors

CONNECTION = sys.argv[1]
IDS = ("fact_id", "triple_id", "subject_id", "predicate_id", "object_id")


def report(good, what, detail=None):
    print(("ok - " if good else "not ok - ") + what)
    if not good and detail is not None:
        for line in str(detail).split("\n"):
            print("# " + line)
    sys.stdout.flush()


def connect():
    connection = psycopg2.connect(CONNECTION)
    connection.autocommit = True
    connection.cursor().execute("SET client_min_messages = error")
    return connection


class Listener:
    def __init__(self):
        self.connection = connect()
        self.connection.cursor().execute("LISTEN done")
        self.marks = 0

    def listen(self, channel):
        self.connection.cursor().execute("LISTEN " + channel)

    def heard(self):
        """(channel, payload) of what came before a message sent now."""
        self.marks += 1
        run(WRITER, "NOTIFY done, '%d'" % self.marks)
        got = []
        while True:
            self.connection.cursor().execute("SELECT 1")
            self.connection.poll()
            while self.connection.notifies:
                message = self.connection.notifies.pop(0)
                if message.channel == "done":
                    assert message.payload == str(self.marks)
                    return got
                got.append((message.channel, message.payload))


def run(connection, statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else None


def one(connection, statement):
    return run(connection, statement)[0][0]


WRITER = connect()
LISTENER = Listener()


def changes_heard():
    return sorted(json.loads(payload)["change"] for _, payload in LISTENER.heard())


# ---- listed cases ----

FACT = "SELECT graphmem.add_triple('a', 'p', '%s'%s);"
CASES = [
    ("a fact stated", [FACT % ("b", "")], ["added"]),
    ("stated again", [FACT % ("b", ""), FACT % ("b", ", 'a source'")], []),
    ("an entity, a source, a vector",
     ["SELECT graphmem.add_entity('e', 'kind'), graphmem.add_source('s', 'text'),"
      " graphmem.set_embedding('e', '{1,2}')"], []),
    ("closed", ["UPDATE graphmem.facts SET valid_to = '2100-01-01' WHERE object = 'b'"], ["closed"]),
    ("opened again", ["UPDATE graphmem.facts SET valid_to = NULL WHERE object = 'b'"], ["reopened"]),
    ("another confidence", ["UPDATE graphmem.facts SET confidence = 0.5 WHERE object = 'b'"], ["corrected"]),
    ("properties", ["""UPDATE graphmem.facts SET properties = '{"a": 1}' WHERE object = 'b'"""], ["corrected"]),
    ("updated to the same", ["UPDATE graphmem.facts SET confidence = confidence"], []),
    ("by hand to the same", ["UPDATE graphmem.triples SET confidence = confidence"], []),
    ("by hand to equal properties",
     ["""UPDATE graphmem.triples SET properties = '{"a": 1.0}' WHERE properties IS NOT NULL"""], []),
    ("closed and opened again in one transaction",
     ["BEGIN", "UPDATE graphmem.facts SET valid_to = '2100-01-01' WHERE object = 'b'",
      "UPDATE graphmem.facts SET valid_to = NULL WHERE object = 'b'", "COMMIT"], []),
    ("changed several times in one transaction",
     ["BEGIN", "UPDATE graphmem.facts SET confidence = 0.1 WHERE object = 'b'",
      "UPDATE graphmem.facts SET confidence = 0.2 WHERE object = 'b'",
      "UPDATE graphmem.facts SET valid_to = '2100-01-01' WHERE object = 'b'", "COMMIT"], ["closed"]),
    ("retracted", ["UPDATE graphmem.triples SET expired_at = now() WHERE expired_at = 'infinity'"], ["retracted"]),
    ("an expired version updated", ["UPDATE graphmem.triples SET confidence = 0.9"], []),
    ("a version brought back by hand",
     ["UPDATE graphmem.triples SET expired_at = 'infinity' WHERE triple_id ="
      " (SELECT max(triple_id) FROM graphmem.triples)"], ["reopened"]),
    ("retracted, another version written",
     ["BEGIN", "UPDATE graphmem.triples SET expired_at = now() WHERE expired_at = 'infinity'",
      "INSERT INTO graphmem.triples (fact_id, graph_id, subject_id, predicate_id, object_id, confidence)"
      " SELECT fact_id, graph_id, subject_id, predicate_id, object_id, 0.33 FROM graphmem.triples LIMIT 1",
      "COMMIT"], ["reopened"]),
    ("a new fact, changed and taken back at once",
     ["BEGIN", FACT % ("c", ""), "UPDATE graphmem.facts SET confidence = 0.5 WHERE object = 'c'", FACT % ("d", ""),
      "UPDATE graphmem.triples SET expired_at = recorded_at WHERE confidence = 0.5", "COMMIT"], ["added"]),
    ("a transaction rolled back", ["BEGIN", FACT % ("e", ""), "DELETE FROM graphmem.facts", "ROLLBACK"], []),
    ("savepoints rolled back",
     ["BEGIN", FACT % ("e", ""), "SAVEPOINT one", FACT % ("f", ""), "SAVEPOINT two", FACT % ("g", ""),
      "RELEASE two", "ROLLBACK TO one", FACT % ("h", ""), "RELEASE one", "SAVEPOINT three",
      "UPDATE graphmem.facts SET confidence = 0.7 WHERE object = 'e'", "ROLLBACK TO three", "COMMIT"],
     ["added", "added"]),
    ("a block whose exception is caught",
     ["DO $$ BEGIN PERFORM graphmem.add_triple('a', 'p', 'i'); RAISE division_by_zero;"
      " EXCEPTION WHEN division_by_zero THEN PERFORM graphmem.add_triple('a', 'p', 'j'); END $$"], ["added"]),
    ("erased", ["DELETE FROM graphmem.facts WHERE object = 'j'"], ["erased"]),
    ("stated and erased at once", ["BEGIN", FACT % ("k", ""), "DELETE FROM graphmem.facts WHERE object = 'k'", "COMMIT"], []),
    ("erased and stated again", ["BEGIN", "DELETE FROM graphmem.facts WHERE object = 'h'", FACT % ("h", ""), "COMMIT"],
     ["added", "erased"]),
    ("the history of a fact deleted",
     ["DELETE FROM graphmem.triples t WHERE expired_at < 'infinity' AND EXISTS"
      " (SELECT FROM graphmem.triples o WHERE o.fact_id = t.fact_id AND o.expired_at = 'infinity')"], []),
    ("a retracted fact deleted",
     ["BEGIN", "UPDATE graphmem.triples SET expired_at = now() WHERE object_id IN"
      " (SELECT entity_id FROM graphmem.entities WHERE name = 'h')", "COMMIT",
      "DELETE FROM graphmem.triples WHERE expired_at < 'infinity' AND object_id IN"
      " (SELECT entity_id FROM graphmem.entities WHERE name = 'h')"], ["erased", "retracted"]),
    ("SERIALIZABLE", ["BEGIN ISOLATION LEVEL SERIALIZABLE", FACT % ("l", ""), "COMMIT"], ["added"]),
    ("replica mode",
     ["SET session_replication_role = replica",
      "INSERT INTO graphmem.triples (graph_id, subject_id, predicate_id, object_id)"
      " SELECT graph_id, object_id, predicate_id, subject_id FROM graphmem.triples LIMIT 1",
      "RESET session_replication_role"], ["added"]),
    ("written as expired",
     ["INSERT INTO graphmem.triples (graph_id, subject_id, predicate_id, object_id, recorded_at, expired_at)"
      " SELECT graph_id, object_id, predicate_id, object_id, '2001-01-01', '2002-01-01' FROM graphmem.triples LIMIT 1"],
     []),
    ("another graph, which does not notify",
     ["SELECT graphmem.create_graph('silent')", "SELECT graphmem.add_triple('a', 'p', 'b', graph => 'silent')"], []),
    ("turned off", ["SELECT graphmem.set_notify(false)", FACT % ("m", "")], []),
    ("turned on in the middle of a transaction",
     ["BEGIN", FACT % ("n", ""), "SELECT graphmem.set_notify(true)", FACT % ("o", ""), "COMMIT"], ["added"]),
    ("turned on in a savepoint that is rolled back",
     ["SELECT graphmem.set_notify(false)", "BEGIN", "SAVEPOINT one", "SELECT graphmem.set_notify(true)",
      FACT % ("q", ""), "ROLLBACK TO one", FACT % ("r", ""), "COMMIT", "SELECT graphmem.set_notify()"], []),
    ("the table emptied, and written to again",
     ["BEGIN", FACT % ("s", ""), "TRUNCATE graphmem.triples, graphmem.assertions, graphmem.supersessions", FACT % ("b", ""),
      "COMMIT"], ["added", "erased"]),
    ("emptied in a savepoint that is rolled back",
     ["BEGIN", FACT % ("s", ""), "SAVEPOINT one",
      "TRUNCATE graphmem.triples, graphmem.assertions, graphmem.supersessions", FACT % ("t", ""),
      "ROLLBACK TO one", "COMMIT"], ["added"]),
]


def listed_cases():
    channel = one(WRITER, "SELECT graphmem.set_notify()")
    LISTENER.listen(channel)
    for what, statements, expected in CASES:
        for statement in statements:
            run(WRITER, statement)
        got = changes_heard()
        report(got == expected, what, "heard %s, not %s" % (got, expected))

    # ids, and nothing else
    run(WRITER, FACT % ("a secret", ""))
    got = LISTENER.heard()
    row = run(WRITER, "SELECT graph_id, 'added', fact_id, triple_id, subject_id, predicate_id, object_id FROM"
              " graphmem.triples ORDER BY triple_id DESC LIMIT 1")[0]
    report([(c, json.loads(p)) for c, p in got] ==
           [(channel, dict(zip(("graph_id", "change") + IDS, row)))] and "secret" not in got[0][1],
           "a message holds the ids of the fact", got)

    # a trigger that changes a row before the trigger that captures sees its first change
    run(WRITER, "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.valid_to = 'infinity'"
        " THEN UPDATE graphmem.triples SET valid_to = '2100-01-01' WHERE triple_id = NEW.triple_id; END IF;"
        " RETURN NULL; END $$")
    run(WRITER, "CREATE TRIGGER a_meddle AFTER UPDATE ON graphmem.triples FOR EACH ROW EXECUTE FUNCTION meddle()")
    run(WRITER, "UPDATE graphmem.triples SET confidence = 0.125 WHERE triple_id = (SELECT max(triple_id) FROM graphmem.triples)")
    got = changes_heard()
    report(got == ["closed"], "changes count in the order of their commands", got)
    run(WRITER, "DROP TRIGGER a_meddle ON graphmem.triples")
    run(WRITER, "DROP FUNCTION meddle()")

    # two graphs in one transaction, each on its channel; one that is dropped says so once
    other = "graphmem_%d" % one(WRITER, """SELECT graphmem.create_graph('other', settings => '{"notify": true}')""")
    LISTENER.listen(other)
    run(WRITER, "BEGIN; SELECT graphmem.add_triple('x', 'y', 'z', graph => 'other'); " + (FACT % ("u", "")) + " COMMIT")
    got = [c for c, _ in LISTENER.heard()]
    report(sorted(got) == sorted([channel, other]), "each graph has its channel", got)
    run(WRITER, "SELECT graphmem.drop_graph('other')")
    got = LISTENER.heard()
    report(got == [(other, '{"graph_id":%s,"change":"erased"}' % other.split("_")[1])],
           "a graph that is dropped says so once", got)

    # one that is deleted by hand, by the last command of a transaction; in
    # replica mode no trigger counts commands behind it
    third = one(WRITER, """SELECT graphmem.create_graph('third', settings => '{"notify": true}')""")
    LISTENER.listen("graphmem_%d" % third)
    run(WRITER, "SELECT graphmem.add_triple('x', 'y', 'z', graph => 'third')")
    LISTENER.heard()
    run(WRITER, "SET LOCAL session_replication_role = replica; " +
        "; ".join("DELETE FROM graphmem.%s WHERE graph_id = %d" % (name, third)
                  for name in ("triples", "entities", "predicates", "graphs")))
    got = LISTENER.heard()
    report(got == [("graphmem_%d" % third, '{"graph_id":%d,"change":"erased"}' % third)],
           "a graph deleted by hand says so once", got)

    # two-phase commit
    run(WRITER, "BEGIN; SELECT graphmem.add_triple('a', 'p', 'prepared')")
    try:
        run(WRITER, "PREPARE TRANSACTION 'no'")
        report(False, "PREPARE TRANSACTION is refused")
    except psycopg2.errors.FeatureNotSupported as error:
        report(channel in error.diag.message_detail, "PREPARE TRANSACTION is refused", error)
    run(WRITER, "BEGIN; SELECT graphmem.add_triple('a', 'p', 'prepared', graph => 'silent'); SAVEPOINT one;"
        "SELECT graphmem.add_triple('a', 'p', 'prepared'); ROLLBACK TO one; PREPARE TRANSACTION 'yes'")
    run(WRITER, "COMMIT PREPARED 'yes'")
    report(changes_heard() == [], "but not of a transaction that has nothing to tell")

    # whoever writes facts is waited for, so that none is missed
    slow = connect()
    run(slow, "BEGIN; SELECT graphmem.add_triple('a', 'p', 'slow')")
    try:
        run(WRITER, "SET lock_timeout = '100ms'; SELECT graphmem.set_notify(false)")
        report(False, "set_notify() waits for writers")
    except psycopg2.errors.LockNotAvailable:
        report(True, "set_notify() waits for writers")
    run(WRITER, "RESET lock_timeout")
    run(slow, "COMMIT")
    report(changes_heard() == ["added"], "and a writer before it is heard")

    # a snapshot that is older than the setting
    run(WRITER, "SELECT graphmem.set_notify(false)")
    run(slow, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM graphmem.graphs")
    run(WRITER, "SELECT graphmem.set_notify()")
    run(slow, "SELECT graphmem.add_triple('a', 'p', 'old snapshot'); COMMIT")
    report(changes_heard() == ["added"], "a writer with an older snapshot finds the setting")
    slow.close()


# ---- random transactions ----

WORDS = ["e%d" % i for i in range(4)]
ROW = ("SELECT triple_id, fact_id, subject_id, predicate_id, object_id, valid_from::text, valid_to::text,"
       " confidence, properties::text, recorded_at < expired_at, expired_at = 'infinity' FROM graphmem.triples"
       " WHERE graph_id = 1")


def table():
    facts = collections.defaultdict(dict)
    for row in run(WRITER, ROW):
        facts[row[1]][row[0]] = row
    return facts


def after(a, b):
    """Does time a lie after b, both as text."""
    rank = {"-infinity": 0, "infinity": 2}
    return (rank.get(a, 1), a) > (rank.get(b, 1), b)


def first(versions):
    return min(versions, key=lambda row: ({"-infinity": 0}.get(row[5], 1), row[5], row[0]))


def expected_changes(before, now):
    result = []
    for fact in set(before) | set(now):
        old = before.get(fact, {})
        new = now.get(fact, {})
        said = {t: r for t, r in old.items() if r[10]}
        says = {t: r for t, r in new.items() if r[10]}
        went = [r for t, r in said.items() if t not in says or says[t][2:9] != r[2:9]]
        came = [r for t, r in says.items() if t not in said or said[t][2:9] != r[2:9]]
        gone = [r for t, r in old.items() if t not in new and r[9]]
        lived = [r for r in new.values() if r[9]]
        change = None
        of = None
        if went and came:
            of, was = first(came), first(went)
            if len(went) == len(came) == 1 and of[2:9] == was[2:9]:
                continue
            change = "closed" if after(was[6], of[6]) else "reopened" if after(of[6], was[6]) else "corrected"
        elif came:
            of = first(came)
            change = "reopened" if any(r[9] for r in old.values()) else "added"
        elif went:
            of = first(went)
            change = "erased" if gone and not says else "retracted"
        elif gone and not lived:
            change = "erased"
        if change is not None:
            result.append((change, fact, None if of is None else of[0]))
    return result


def random_time(dice):
    return "NULL" if dice.random() < 0.4 else "'20%02d-01-01'" % dice.randint(10, 60)


def random_statement(dice):
    s, o, n = dice.choice(WORDS), dice.choice(WORDS), dice.randint(0, 9)
    some = "(SELECT triple_id FROM graphmem.triples ORDER BY triple_id %% %d, triple_id LIMIT %d)" % (
        dice.randint(2, 17), dice.randint(1, 3))
    return dice.choice([
        "INSERT INTO graphmem.facts (subject, predicate, object, source, confidence) VALUES"
        " ('%s', 'p', '%s', 's%d', 0.%d), ('%s', 'q', '%s', NULL, 1)" % (s, o, n, n, o, s),
        "INSERT INTO graphmem.facts (subject, predicate, object, valid_from, valid_to) VALUES ('%s', 'p', '%s', %s, %s)"
        % (s, o, random_time(dice), random_time(dice)),
        "INSERT INTO graphmem.facts (subject, predicate, object, valid_from) VALUES ('%s', 'only', '%s', %s)"
        % (s, o, random_time(dice)),
        "UPDATE graphmem.facts SET confidence = 0.%d WHERE subject = '%s'" % (n, s),
        "UPDATE graphmem.facts SET valid_to = %s WHERE subject = '%s'" % (random_time(dice), s),
        "UPDATE graphmem.facts SET valid_from = %s WHERE object = '%s'" % (random_time(dice), s),
        """UPDATE graphmem.facts SET properties = '{"a": %d}' WHERE object = '%s'""" % (n, o),
        "DELETE FROM graphmem.facts WHERE subject = '%s' AND object = '%s'" % (s, o),
        "UPDATE graphmem.triples SET expired_at = now() WHERE expired_at = 'infinity' AND triple_id IN " + some,
        "UPDATE graphmem.triples SET expired_at = 'infinity' WHERE triple_id IN " + some,
        "UPDATE graphmem.triples SET valid_to = 'infinity' WHERE triple_id IN " + some,
        "UPDATE graphmem.triples SET valid_to = '2070-01-01' WHERE triple_id IN " + some,
        "UPDATE graphmem.triples SET confidence = 0.%d WHERE triple_id IN %s" % (n, some),
        "DELETE FROM graphmem.triples WHERE triple_id IN " + some,
        "INSERT INTO graphmem.triples (fact_id, graph_id, subject_id, predicate_id, object_id, valid_from, valid_to,"
        " confidence) SELECT fact_id, graph_id, subject_id, predicate_id, object_id, '20%02d-06-01', 'infinity', 0.%d"
        " FROM graphmem.triples WHERE triple_id IN %s" % (dice.randint(61, 99), n, some)])


def random_transaction(dice):
    points = []
    run(WRITER, "BEGIN")
    for step in range(dice.randint(1, 8)):
        choice = dice.random()
        if choice < 0.2:
            points.append("s%d" % step)
            run(WRITER, "SAVEPOINT " + points[-1])
        elif choice < 0.35 and points:
            del points[dice.randrange(len(points)) + 1:]
            run(WRITER, "ROLLBACK TO " + points[-1])
        elif choice < 0.45 and points:
            del points[dice.randrange(len(points)) + 1:]
            run(WRITER, "RELEASE " + points.pop())
        else:
            run(WRITER, "SAVEPOINT here")
            try:
                run(WRITER, random_statement(dice))
                run(WRITER, "RELEASE here")
            except psycopg2.errors.IntegrityError:
                run(WRITER, "ROLLBACK TO here; RELEASE here")
            except (psycopg2.errors.InvalidParameterValue, psycopg2.errors.SerializationFailure):
                run(WRITER, "ROLLBACK TO here; RELEASE here")
    run(WRITER, dice.choice(["COMMIT", "COMMIT", "COMMIT", "ROLLBACK"]))


def random_transactions():
    dice = random.Random(SEED)
    wrong = 0
    kinds = collections.Counter()
    run(WRITER, "DELETE FROM graphmem.facts")
    run(WRITER, "DELETE FROM graphmem.triples")
    run(WRITER, "SELECT graphmem.add_triple('e0', 'only', 'e1'), graphmem.set_predicate('only', functional => true)")
    LISTENER.heard()
    for number in range(ROUNDS * 10):
        before = table()
        random_transaction(dice)
        expected = expected_changes(before, table())
        heard = [json.loads(p) for _, p in LISTENER.heard()]
        got = [(m["change"], m["fact_id"], m["triple_id"]) for m in heard]
        # of a fact that is gone with its history any row may stand for it
        same = len(got) == len(expected) and all(
            any(e[:2] == g[:2] and e[2] in (None, g[2]) for e in expected) for g in got) and \
            len(set(g[1] for g in got)) == len(got)
        kinds.update(e[0] for e in expected)
        if not same:
            wrong += 1
            if wrong <= 3:
                print("# transaction %d: heard %s, expected %s" % (number, sorted(got), sorted(expected, key=str)))
    report(wrong == 0, "random transactions are told of as the table shows them", "%d of %d" % (wrong, ROUNDS * 10))
    report(all(kinds[k] > 0 for k in ("added", "closed", "reopened", "corrected", "retracted", "erased")),
           "every kind of change was among them", kinds)


# ---- several writers ----

def writer(seed, errors):
    dice = random.Random(seed)
    connection = connect()
    try:
        for _ in range(ROUNDS):
            s, o, n = dice.choice(WORDS), dice.choice(WORDS), dice.randint(1, 9)
            statement = dice.choice([
                "INSERT INTO graphmem.facts (subject, predicate, object, source, confidence)"
                " VALUES ('%s', 'p', '%s', 's%d', 0.%d), ('%s', 'q', '%s', NULL, 1)" % (s, o, n, n, o, s),
                "INSERT INTO graphmem.facts (subject, predicate, object, confidence) VALUES ('%s', 'only', '%s', 0.%d)"
                % (s, o, n),
                "UPDATE graphmem.facts SET confidence = 0.%d WHERE subject = '%s'" % (n, s),
                "UPDATE graphmem.facts SET valid_to = '2%d00-01-01' WHERE object = '%s'" % (n, o),
                "UPDATE graphmem.triples SET expired_at = now() WHERE expired_at = 'infinity' AND recorded_at < now()"
                " AND subject_id = (SELECT entity_id FROM graphmem.entities WHERE name = '%s' AND graph_id = 1)"
                " AND object_id = (SELECT entity_id FROM graphmem.entities WHERE name = '%s' AND graph_id = 1)" % (s, o)])
            try:
                run(connection, "BEGIN")
                run(connection, statement)
                run(connection, "SAVEPOINT one; SELECT graphmem.add_triple('%s', 'not', '%s'); ROLLBACK TO one" % (s, o))
                run(connection, "ROLLBACK" if dice.random() < 0.2 else "COMMIT")
            except (psycopg2.errors.IntegrityError, psycopg2.errors.InvalidParameterValue,
                    psycopg2.errors.OperationalError, psycopg2.errors.ExclusionViolation) as error:
                run(connection, "ROLLBACK")
                errors.append(type(error).__name__)
    except Exception as error:
        errors.append("unexpected %r" % error)
    connection.close()


def several_writers():
    errors = []
    run(WRITER, "DELETE FROM graphmem.triples")
    LISTENER.heard()
    threads = [threading.Thread(target=writer, args=(SEED + i, errors)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    got = collections.Counter((m["change"], m["fact_id"], m["triple_id"])
                              for m in (json.loads(p) for _, p in LISTENER.heard()))
    shown = collections.Counter(run(WRITER, "SELECT change, fact_id, triple_id FROM graphmem.changes()"))
    report(not any(e.startswith("unexpected") for e in errors), "writers came to their end", errors)
    report(len(shown) > ROUNDS / 2 and got == shown, "several writers: what changes() shows, each row once",
           "heard %s\nshown %s" % (got - shown, shown - got))
    print("# %d changes; failed: %s" % (len(shown), dict(collections.Counter(errors))))


# ---- many at once ----

def copy():
    lines = "".join("c%d\tp\td%d\n" % (i % 1000, i) for i in range(FACTS))
    into = "COPY graphmem.facts (subject, predicate, object) FROM STDIN"

    run(WRITER, "BEGIN")
    WRITER.cursor().copy_expert(into, io.StringIO(lines))
    run(WRITER, "ROLLBACK")
    report(LISTENER.heard() == [], "COPY of %d facts taken back" % FACTS)
    WRITER.cursor().copy_expert(into, io.StringIO(lines))
    heard = [json.loads(p) for _, p in LISTENER.heard()]
    report(collections.Counter(m["change"] for m in heard) == {"added": FACTS} and
           len(set(m["fact_id"] for m in heard)) == FACTS, "COPY of %d facts" % FACTS, len(heard))
    run(WRITER, "UPDATE graphmem.facts SET valid_to = '2100-01-01' WHERE subject LIKE 'c%'")
    heard = [json.loads(p) for _, p in LISTENER.heard()]
    report(collections.Counter(m["change"] for m in heard) == {"closed": FACTS} and
           len(set(m["fact_id"] for m in heard)) == FACTS, "all of them closed", len(heard))
    shown = one(WRITER, "SELECT count(*) FROM graphmem.changes(predicates => '{p}')"
                " WHERE change IN ('added', 'closed') AND subject LIKE 'c%'")
    report(shown == 2 * FACTS, "changes() shows as many", shown)


# ---- replication ----

def replication(publisher):
    LISTENER.listen(one(WRITER, "SELECT graphmem.set_notify()"))
    for statement in [FACT % ("c", ""), "BEGIN; " + FACT % ("d", "") + " ROLLBACK",
                      "DELETE FROM graphmem.facts WHERE object = 'b'", FACT % ("last", "")]:
        run(publisher, statement)
    for _ in range(600):
        if one(WRITER, "SELECT count(*) FROM graphmem.facts WHERE object = 'last'"):
            break
        time.sleep(0.1)
    got = changes_heard()
    report(got == ["added", "added", "erased"], "a subscriber tells of what it applies", got)


if sys.argv[2] == "subscriber":
    CONNECTION = sys.argv[3]
    replication(connect())
else:
    SEED, ROUNDS, FACTS = (int(argument) for argument in sys.argv[2:5])
    listed_cases()
    random_transactions()
    several_writers()
    copy()
print("done")
