"""Random queries over graphmem's functions, by sqlsmith.

    sqlsmith.py --bin DIR --work DIR [--queries N] [--seed N] [--modes NAME,...]

Makes a server of its own in the work directory, fills some graphs (workload.py)
and tables that are joined with them (schema.sql), and lets sqlsmith ask, round
after round under other settings (MODES), while a writer commits changes to the
same graphs.  sqlsmith rolls back all that it does.

Every line of the server's log is read.  Found is: a process ended by a signal,
a failed assertion, a panic; an internal error (class XX) that graphmem raises
or that comes out of SQL of its own; a statement that statement_timeout (1 s)
does not end within 30 s; a worker that was started again, or fails; after each
round, a violation that check() reports, an answer of the shared image that is
not the private one's, a wrong answer about the graph "control", which nobody
changes; and a campaign that hardly calls graphmem.

Prints what happened and all that was found, with the statements in
WORK/found; exit status 1 if something was.
"""

import argparse
import collections
import json
import os
import random
import re
import subprocess
import sys
import threading
import time

import psycopg2

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

import workload
from workload import EXPECTED, state_of

ROUND = 2500                # queries
STALLED = 30.0              # seconds a statement may take to be cancelled
MOST_SHOWN = 40

CONF = """
listen_addresses = ''
unix_socket_directories = '{socket}'
fsync = off
max_connections = 30
max_worker_processes = 16
timezone = 'UTC'
jit = off
track_functions = all
logging_collector = on
log_destination = jsonlog
log_directory = '{logs}'
log_filename = 'server-%H%M%S'
log_rotation_size = '20 MB'
log_error_verbosity = verbose
log_statement = none
restart_after_crash = on
"""

# Settings of the role for a round, and statements before it and after it.
# Without JIT, which spends 1 s, and so the timeout, on compiling most queries.
POLICY = "CREATE POLICY sieve ON graphmem.{0} TO smith USING ({1} % 5 <> 0)"
MODES = {
    "plain": {},
    "private": {"graphmem.shared_image": "off"},
    "eventual": {"graphmem.consistency": "eventual", "graphmem.graph": "small"},
    "repeatable": {"default_transaction_isolation": "repeatable read", "graphmem.graph": "ticking"},
    "parallel": {"parallel_setup_cost": 0, "parallel_tuple_cost": 0, "min_parallel_table_scan_size": 0,
                 "debug_parallel_query": "on"},
    "security": {"graphmem.graph": "middle"},
    "tuned": {"graphmem.method": "hops", "graphmem.simd": "scalar", "graphmem.text_weight": 0,
              "graphmem.recency_weight": 1, "graphmem.rrf_k": 0, "graphmem.graph": "it's \"large\""},
    "serializable": {"default_transaction_isolation": "serializable", "graphmem.graph": "small"},
    "plans": {"work_mem": "64kB", "enable_hashjoin": "off", "enable_material": "off", "enable_memoize": "off"},
    "little memory": {"graphmem.private_memory_limit": "1MB", "graphmem.shared_image": "off",
                      "graphmem.graph": "it's \"large\""},
    "read only": {"default_transaction_read_only": "on", "graphmem.sync_timeout": "1ms"},
}
BEFORE = {"security": ["ALTER TABLE graphmem.entities ENABLE ROW LEVEL SECURITY",
                       "ALTER TABLE graphmem.triples ENABLE ROW LEVEL SECURITY",
                       POLICY.format("entities", "entity_id"), POLICY.format("triples", "fact_id")]}
AFTER = {"security": ["DROP POLICY sieve ON graphmem.entities", "DROP POLICY sieve ON graphmem.triples",
                      "ALTER TABLE graphmem.entities DISABLE ROW LEVEL SECURITY",
                      "ALTER TABLE graphmem.triples DISABLE ROW LEVEL SECURITY"]}

CONTROL = [
    ("SELECT subject, object, confidence FROM graphmem.match(predicate => 'knows', graph => 'control')",
     [("Ada", "Charles", 0.5), ("Charles", "Mary", 1.0), ("Mary", "Ada", 0.75)]),
    ("SELECT path, hops FROM graphmem.shortest_path('Ada', 'Mary', direction => 'out', graph => 'control')",
     [("Ada -[knows]-> Charles -[knows]-> Mary", 2)]),
    ("SELECT item, distance FROM graphmem.vector_search('{0,2}', 2, space => 'v', graph => 'control')",
     [("Charles", 1.0), ("Mary", 2.0)]),
    ("SELECT count FROM graphmem.reach('Mary', 1, graph => 'control')", [(2,)]),
]

began = time.monotonic()


def say(words):
    print("# %6.1f  %s" % (time.monotonic() - began, words.replace("\n", "\n#         ")), flush=True)


class Server:
    def __init__(self, bin_dir, work):
        self.bin, self.socket = bin_dir, work
        self.data, self.logs = os.path.join(work, "data"), os.path.join(work, "logs")
        os.makedirs(self.logs)
        self.run("initdb", "-D", self.data, "-U", "owner", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
        with open(os.path.join(self.data, "postgresql.conf"), "a") as file:
            file.write(CONF.format(socket=work, logs=self.logs))
        with open(os.path.join(work, "start.log"), "w") as log:
            subprocess.run([os.path.join(self.bin, "pg_ctl"), "-D", self.data, "-w", "start"],
                           stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True, timeout=120)

    def run(self, program, *arguments):
        done = subprocess.run([os.path.join(self.bin, program)] + list(arguments), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
        if done.returncode != 0:
            raise RuntimeError("%s: %s" % (program, done.stdout))
        return done.stdout

    def connect(self, application, database="campaign"):
        """Waits for a server that is coming up again."""
        stop_at = time.monotonic() + 60
        while True:
            try:
                connection = psycopg2.connect(host=self.socket, user="owner", dbname=database,
                                              application_name=application)
                connection.autocommit = True
                return connection
            except psycopg2.OperationalError:
                if time.monotonic() > stop_at:
                    raise
                time.sleep(0.2)


class Findings:
    def __init__(self, directory):
        self.directory, self.counts = directory, collections.Counter()
        self.lock = threading.Lock()

    def add(self, words, more=""):
        """words: the same for the same cause; more: one case of it."""
        with self.lock:
            self.counts[words] += 1
            n = self.counts[words]
            if n <= 5:
                with open(os.path.join(self.directory, "found.txt"), "a") as file:
                    file.write("==== %s\n%s\n" % (words, more))
        if n == 1:
            say("FOUND %s" % words)


class Log:
    """What the server writes, each line once."""

    def __init__(self, directory, module, findings):
        self.directory, self.findings = directory, findings
        self.offsets = collections.Counter()
        self.errors = collections.Counter()         # (state, place) raised by graphmem
        self.states = collections.Counter()
        listed = subprocess.run(["nm", module], stdout=subprocess.PIPE, text=True, check=True).stdout
        self.functions = {line.split()[-1].split(".")[0] for line in listed.splitlines()}
        self.files = {name for _, _, names in os.walk("src") for name in names}

    def ours(self, record):
        """Names of files alone are not enough: the server too has an index.c and a main.c."""
        return record.get("file_name") in self.files and record.get("func_name") in self.functions

    def read(self):
        for name in sorted(os.listdir(self.directory)):
            path = os.path.join(self.directory, name)
            with open(path, "rb") as file:
                file.seek(self.offsets[name])
                data = file.read()
            whole = data[:data.rfind(b"\n") + 1]
            self.offsets[name] += len(whole)
            for line in whole.decode(errors="replace").splitlines():
                if name.endswith(".json"):
                    self.record(json.loads(line))
                elif re.search(r"TRAP:|PANIC|stack smashing|corrupted|free\(\)|malloc", line):
                    self.findings.add("standard error: " + re.sub(r"PID: \d+", "PID: n", line.strip()), line)
        self.forget()

    def forget(self):
        """Files that the server has done with are taken away."""
        names = sorted((n for n in os.listdir(self.directory) if n.endswith(".json")),
                       key=lambda n: os.stat(os.path.join(self.directory, n)).st_mtime)
        for name in names[:-2]:
            os.unlink(os.path.join(self.directory, name))

    def record(self, r):
        severity, state, message = r["error_severity"], r.get("state_code", "00000"), r.get("message", "")
        place = "%s (%s)" % (r.get("func_name"), r.get("file_name"))
        case = json.dumps(r, indent=1)
        if severity == "PANIC" or re.search(r"terminated by signal|exited with exit code [2-9]", message):
            self.findings.add("%s: %s" % (severity, re.sub(r"PID \d+", "PID n", message)), case)
        if severity not in ("ERROR", "FATAL"):
            if severity == "WARNING" and r.get("backend_type", "").startswith("graphmem"):
                self.findings.add("%s warns: %s" % (r["backend_type"], message), case)
            return
        self.states[state] += 1
        # in the context of SQL that C code runs, not of the functions of schema.sql
        inner = 'SQL statement "' in r.get("context", "")
        if self.ours(r):
            self.errors[state, place] += 1
        if r.get("backend_type", "").startswith("graphmem") and state != "57P01":
            self.findings.add("%s fails: %s %s, %s" % (r["backend_type"], state, message, place), case)
        elif state.startswith("XX") and (self.ours(r) or inner):
            self.findings.add("%s %s, %s" % (state, re.sub(r"\d+", "n", message), place), case)
        elif state.startswith("XX"):
            self.findings.add("%s of the server: %s, %s" % (state, re.sub(r"\d+", "n", message), place), case)
        elif inner and state[:2] in ("42", "26", "34") and state != "42501":
            self.findings.add("%s in graphmem's SQL: %s, %s" % (state, re.sub(r"\d+", "n", message), place), case)


class Writer(threading.Thread):
    """Commits changes, so that the worker has work and readers have an overlay."""

    def __init__(self, server, graphs, seed, findings):
        super().__init__(daemon=True)
        self.server, self.graphs, self.dice, self.findings = server, graphs, random.Random(seed), findings
        self.over = threading.Event()
        self.commits = 0

    def run(self):
        cursor = None
        while not self.over.is_set():
            try:
                if cursor is None or cursor.connection.closed:
                    cursor = self.server.connect("writer").cursor()
                    cursor.execute("SET lock_timeout = '1 s'; SET client_min_messages = error")
                self.turn(cursor)
            except psycopg2.Error as error:
                if state_of(error) not in EXPECTED | {"55P03", None}:
                    self.findings.add("writer: %s %s" % (state_of(error), str(error).strip()))
                if not cursor.connection.closed:
                    cursor.execute("ROLLBACK")
            time.sleep(0.05)

    def turn(self, cursor):
        if self.dice.random() < 0.01:
            cursor.execute("SELECT graphmem.rebuild(%s)", (self.dice.choice(self.graphs).name,))
            return
        g = self.dice.choice(self.graphs)
        cursor.execute("BEGIN")
        cursor.execute(workload.use_graph(g))
        for write in (workload.random_write, workload.trim):
            for statement in write(self.dice, g):
                cursor.execute(statement)
        cursor.execute("COMMIT")
        self.commits += 1


class Smith:
    """One round of sqlsmith."""

    CALLS = re.compile(r"\b(?:graphmem\.\w+\(|smith\.\w+(?:\(|_of\b|_by\b)|smith\.(?:friends|alike|linked)\b|graphmem\.facts\b)")

    def __init__(self, server, work):
        self.server, self.work = server, work

    def ask(self, queries, seed, findings):
        """Returns (generated, of them with a call of graphmem, without an error)."""
        progress = os.path.join(self.work, "sqlsmith.progress")
        target = "host=%s dbname=campaign user=smith" % self.server.socket
        with open(progress, "w") as marks:
            smith = subprocess.Popen(
                ["/usr/bin/sqlsmith", "--target=" + target, "--exclude-catalog", "--verbose", "--dump-all-queries",
                 "--seed=%d" % seed, "--max-queries=%d" % queries],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=marks, text=True, errors="replace")
        calling = [0]
        reader = threading.Thread(target=self.count_calls, args=(smith.stdout, calling))
        reader.start()
        watched = self.server.connect("watch", "postgres")
        cursor = watched.cursor()
        size, grew = 0, time.monotonic()
        while smith.poll() is None:
            time.sleep(1)
            if os.stat(progress).st_size != size:
                size, grew = os.stat(progress).st_size, time.monotonic()
            elif time.monotonic() - grew > STALLED:
                self.stalled(cursor, findings)
                grew = time.monotonic()
            if watched.closed:
                watched = self.server.connect("watch", "postgres")
                cursor = watched.cursor()
        reader.join()
        watched.close()
        with open(progress, errors="replace") as file:
            said = file.read()
        reported = re.findall(r"^queries: (\d+)", said, re.M)
        rates = re.findall(r"^error rate: ([0-9.e+-]+)", said, re.M)
        if smith.returncode != 0 or not reported:
            findings.add("sqlsmith ended with status %s" % smith.returncode, said[-3000:])
            return int(reported[-1]) if reported else 0, calling[0], 0
        return int(reported[-1]), calling[0], round(int(reported[-1]) * (1 - float(rates[-1])))

    def count_calls(self, stream, calling):
        statement = []
        for line in stream:
            statement.append(line)
            if line.rstrip().endswith(";"):
                calling[0] += self.CALLS.search("".join(statement)) is not None
                statement = []

    def stalled(self, cursor, findings):
        """A statement that nothing ends; or a sqlsmith that broods over the next, which is no fault of ours."""
        try:
            cursor.execute("SELECT pid, query, wait_event_type, wait_event FROM pg_stat_activity"
                           " WHERE usename = 'smith' AND state = 'active' AND now() - query_start > %s * '1 s'::interval",
                           (STALLED * 0.9,))
            for row in cursor.fetchall():
                findings.add("a statement is not cancelled within %d s" % STALLED, repr(row))
                cursor.execute("SELECT pg_terminate_backend(%s)", (row[0],))
        except psycopg2.Error:
            pass


def prepare(server, seed):
    server.run("createdb", "-h", server.socket, "-U", "owner", "campaign")
    connection = server.connect("prepare")
    cursor = connection.cursor()
    cursor.execute("CREATE EXTENSION graphmem CASCADE; LOAD 'graphmem'; CREATE ROLE smith LOGIN")
    cursor.execute(workload.COMPARING)
    connection.autocommit = False
    graphs = workload.graphs()
    workload.populate(connection, graphs, seed)
    connection.commit()
    connection.autocommit = True
    cursor.execute("""
        SELECT graphmem.create_graph('control'), graphmem.create_vector_space('v', 2, metric => 'l2', graph => 'control');
        SELECT graphmem.add_triple('Ada', 'knows', 'Charles', source => 'letter', confidence => 0.5, graph => 'control'),
            graphmem.add_triple('Charles', 'knows', 'Mary', graph => 'control'),
            graphmem.add_triple('Mary', 'knows', 'Ada', confidence => 0.75, graph => 'control'),
            graphmem.set_embedding('Charles', '{0,1}', 'v', 'control'),
            graphmem.set_embedding('Mary', '{0,4}', 'v', 'control');
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA graphmem TO smith;
        GRANT EXECUTE ON FUNCTION graphmem.stat_reset() TO smith""")
    with open(os.path.join(HERE, "schema.sql")) as file:
        cursor.execute(file.read())
    dice = random.Random(seed)
    for g in graphs:        # history and aliases
        for _ in range(60):
            cursor.execute("BEGIN")
            try:
                cursor.execute(workload.use_graph(g))
                for statement in workload.random_write(dice, g):
                    cursor.execute(statement)
                cursor.execute("COMMIT")
            except psycopg2.Error as error:
                if state_of(error) not in EXPECTED:
                    raise
                cursor.execute("ROLLBACK")
    connection.close()
    return graphs


def set_mode(server, mode, seed):
    connection = server.connect("mode")
    cursor = connection.cursor()
    cursor.execute("LOAD 'graphmem'; ALTER ROLE smith RESET ALL;"
                   " ALTER ROLE smith SET search_path = sieve, pg_catalog, smith, public; SHOW server_version_num")
    version = int(cursor.fetchone()[0])
    for name, value in dict({"graphmem.graph": "middle"}, **MODES[mode]).items():
        if name == "debug_parallel_query" and version < 160000:
            name = "force_parallel_mode"
        cursor.execute("ALTER ROLE smith SET %s = %%s" % name, (value,))
    for statement in BEFORE.get(mode, []):
        cursor.execute(statement)
    cursor.execute("DELETE FROM smith.arguments; SELECT setseed(%s);"
                   " INSERT INTO smith.arguments SELECT * FROM sieve.fresh_arguments; ANALYZE smith.arguments;"
                   " SELECT pg_stat_reset()", (seed % 1000 / 1000,))
    connection.close()


def verify(server, graphs, dice, findings, counts):
    """After a round, when nobody writes."""
    connection = server.connect("verify")
    cursor = connection.cursor()
    cursor.execute("SELECT graphmem.wait_for_sync(60000)")
    for question, expected in CONTROL:
        cursor.execute(question)
        rows = cursor.fetchall()
        if rows != expected:
            findings.add("a wrong answer about the control graph", "%s\n%r" % (question, rows))
        counts["control answers"] += 1
    for g in graphs:
        for ask in workload.QUESTIONS:
            question = ask(dice, g)
            cursor.execute("SELECT * FROM oracle.compare(%s, true)", (question,))
            path, reason, other, same, _, ours, theirs, _ = cursor.fetchone()
            counts["compared, " + str(path)] += 1
            if not same:
                findings.add("an answer by %s is not that by %s" % (path, other), "%s (%s)\n%s" % (
                    question, reason, "\n".join(workload.differing(ours, theirs))))
    cursor.execute("SELECT name FROM graphmem.graphs ORDER BY graph_id")
    for name, in cursor.fetchall():
        del connection.notices[:]
        cursor.execute("SELECT c::text FROM graphmem.check(%s) AS c LIMIT 5", (name,))
        for row, in cursor.fetchall():
            findings.add("check() reports a violation", "%s: %s" % (name, row))
        counts["unchecked" if connection.notices else "checked"] += 1
    cursor.execute("SELECT pid, state, starts, hint FROM graphmem.stat_worker")
    worker = cursor.fetchone()
    if worker is None or worker[0] is None or worker[1] != "ready" or worker[2] != 1:
        findings.add("the worker does not simply run on", repr(worker))
    connection.close()


def add_calls(server, calls):
    """Adds how often each of graphmem's C functions returned since the round began."""
    connection = server.connect("count")
    cursor = connection.cursor()
    cursor.execute("SELECT p.proname, COALESCE(sum(s.calls), 0) FROM pg_proc p LEFT JOIN pg_stat_user_functions s"
                   " ON s.funcid = p.oid WHERE p.pronamespace = 'graphmem'::regnamespace AND p.prokind = 'f'"
                   " AND p.prolang = (SELECT oid FROM pg_language WHERE lanname = 'c') GROUP BY 1")
    for name, n in cursor.fetchall():
        calls[name] += int(n)
    connection.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--queries", type=int, default=100000)
    parser.add_argument("--seed", type=int, default=random.randrange(10 ** 6))
    parser.add_argument("--modes", default=",".join(MODES))
    options = parser.parse_args()
    modes = options.modes.split(",")
    dice = random.Random(options.seed)
    say("seed %d" % options.seed)
    server = Server(options.bin, options.work)
    findings = Findings(os.path.join(options.work, "found"))
    module = os.path.join(server.run("pg_config", "--pkglibdir").strip(), "graphmem.so")
    log = Log(server.logs, module, findings)
    counts, calls = collections.Counter(), collections.Counter()
    try:
        graphs = prepare(server, options.seed)
        smith = Smith(server, options.work)
        size = max(1, min(ROUND, -(-options.queries // len(modes))))
        rounds = empty = 0
        while counts["queries"] < options.queries and empty < 3:
            mode = modes[rounds % len(modes)]
            set_mode(server, mode, options.seed + rounds)
            writer = Writer(server, graphs, options.seed + rounds, findings)
            writer.start()
            asked, calling, well = smith.ask(min(size, options.queries - counts["queries"]), options.seed + rounds,
                                             findings)
            writer.over.set()
            writer.join(60)
            add_calls(server, calls)
            for statement in AFTER.get(mode, []):
                server_do(server, statement)
            rounds += 1
            empty = 0 if asked else empty + 1
            counts.update({"queries": asked, "that name graphmem": calling, "without an error": well,
                           "commits": writer.commits})
            verify(server, graphs, dice, findings, counts)
            log.read()
            say("round %d, %s: %d queries, %d name graphmem, %d without an error; %d commits; %d in all"
                % (rounds, mode, asked, calling, well, writer.commits, counts["queries"]))
        server.run("pg_ctl", "-D", server.data, "-m", "fast", "-w", "stop")
        log.read()
    except BaseException:
        subprocess.run([os.path.join(server.bin, "pg_ctl"), "-D", server.data, "-m", "immediate", "-w", "stop"],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        log.read()
        raise
    judge(options, counts, calls, log, findings)
    sys.exit(1 if findings.counts else 0)


def server_do(server, statement):
    connection = server.connect("mode")
    connection.cursor().execute(statement)
    connection.close()


def judge(options, counts, calls, log, findings):
    if counts["queries"] < options.queries:
        findings.add("only %d queries were asked" % counts["queries"])
    total = sum(calls.values())
    if total < counts["queries"] or counts["that name graphmem"] * 3 < counts["queries"]:
        findings.add("the queries hardly call graphmem")
    if counts["checked"] == 0 or counts["compared, shared"] == 0:
        findings.add("the shared image was hardly looked at")
    say(", ".join("%s %d" % pair for pair in sorted(counts.items())))
    say("calls that returned, %d:\n%s" % (total, ", ".join("%s %d" % pair for pair in calls.most_common())))
    say("errors by SQLSTATE: " + ", ".join("%s %d" % pair for pair in log.states.most_common()))
    say("errors raised by graphmem, %d:\n%s" % (sum(log.errors.values()), "\n".join(
        "%7d  %s %s" % (n, state, place) for (state, place), n in log.errors.most_common(MOST_SHOWN))))
    for words, n in findings.counts.most_common():
        say("FOUND %d times: %s" % (n, words))
    print("# %d queries, %d findings, seed %d" % (counts["queries"], len(findings.counts), options.seed), flush=True)


main()
