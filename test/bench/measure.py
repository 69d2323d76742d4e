"""Sessions whose backend's work is measured, and the table of figures."""

import os
import platform
import statistics
import subprocess
import sys
import time

import psycopg2

import generate


def say(*words):
    print(*words, flush=True)


class Session:
    """A connection with autocommit; run() keeps the CPU and wall seconds."""

    def __init__(self, database):
        self.connection = psycopg2.connect(dbname=database)
        self.connection.autocommit = True
        self.cursor = self.connection.cursor()
        self.pid = self.connection.info.backend_pid
        self.cpu = self.wall = 0.0

    def backend_cpu(self):
        try:
            with open("/proc/%d/schedstat" % self.pid) as file:     # nanoseconds
                used = int(file.read().split()[0]) / 1e9
            if used > 0:
                return used
        except OSError:
            pass
        with open("/proc/%d/stat" % self.pid) as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def status_bytes(self, field):
        with open("/proc/%d/status" % self.pid) as file:
            for line in file:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) * 1024
        raise KeyError(field)

    def run(self, query, arguments=None):
        cpu, wall = self.backend_cpu(), time.perf_counter()
        self.cursor.execute(query, arguments)
        self.wall = time.perf_counter() - wall
        time.sleep(0.002)       # the kernel counts a process when it goes to sleep
        self.cpu = self.backend_cpu() - cpu
        return self.cursor.fetchall() if self.cursor.description else []

    def value(self, query, arguments=None):
        return self.run(query, arguments)[0][0]

    def close(self):
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


def create_database(name, graph=None):
    """With the extension; graph: one that is created and made the default."""
    with Session("postgres") as session:
        session.run("CREATE DATABASE " + name)
        if graph:
            session.run("ALTER DATABASE %s SET graphmem.graph = '%s'" % (name, graph))
        session.run("ALTER DATABASE %s SET graphmem.private_memory_limit = '4GB'" % name)
        session.run("ALTER DATABASE %s SET graphmem.sync_timeout = '10 min'" % name)
    with Session(name) as session:
        session.run("SET client_min_messages = warning")
        session.run("CREATE EXTENSION graphmem CASCADE")
        return session.value("SELECT graphmem.create_graph(%s)", (graph,)) if graph else None


def fill_dictionary(session, graph_id, nodes, predicates=generate.PREDICATES):
    """Entities 1 to nodes and the predicates, by COPY."""
    path = os.path.join(os.environ["WORK"], "entities.tsv")
    with open(path, "w") as out:
        out.writelines("%d\t%d\t%s\n" % (i + 1, graph_id, generate.person(i))
                       for i in range(nodes))
    session.run("COPY graphmem.entities (entity_id, graph_id, name) FROM %s",
                (path,))
    session.run("INSERT INTO graphmem.predicates (predicate_id, graph_id, name)"
                " SELECT i + 1, %s, 'predicate ' || i FROM generate_series(0, %s) AS i",
                (graph_id, predicates - 1))
    session.run("SELECT setval('graphmem.entities_entity_id_seq', %s),"
                " setval('graphmem.predicates_predicate_id_seq', %s)", (nodes, predicates))


def median(values):
    return statistics.median(values)


class Table:
    """One line per figure: what, figure, baseline, ratio, target, verdict."""

    def __init__(self):
        self.rows = []
        self.comparisons = []

    def compare(self, data, what, ours, **others):
        """A line of the published table: microseconds of each, None: not measured."""
        self.comparisons.append(dict(others, data=data, what=what, graphmem=ours))

    def at_least(self, what, figure, baseline, ratio, target):
        self.add(what, figure, baseline, "%.2f" % ratio, ">= %.2f" % target,
                 "met" if ratio >= target else "MISSED")

    def at_most(self, what, figure, baseline, ratio, target):
        self.add(what, figure, baseline, "%.2f" % ratio, "<= %.2f" % target,
                 "met" if ratio <= target else "MISSED")

    def add(self, what, figure="", baseline="", ratio="", target="", verdict=""):
        self.rows.append((what, figure, baseline, ratio, target, verdict))
        say("  " + "  ".join(cell for cell in self.rows[-1] if cell))

    def title(self, title):
        self.rows.append((title,))
        say("\n== " + title)

    def show(self):
        head = ("", "measured", "beside", "ratio", "target", "")
        full = [row for row in self.rows if len(row) > 1]
        wide = [max(len(row[i]) for row in full + [head]) for i in range(len(head))]
        for row in [head] + self.rows:
            if len(row) == 1:
                say("\n" + row[0])
            else:
                cells = [row[i].rjust(wide[i]) for i in range(1, 5)]
                say("  ".join([row[0].ljust(wide[0])] + cells + [row[5]]).rstrip())


def command(*words):
    done = subprocess.run(words, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else "?"


def machine():
    """Lines that say what this was measured on."""
    model = "?"
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.lower().startswith(("model name", "cpu implementer")):
                model = line.split(":", 1)[1].strip()
                break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2 ** 30
    with Session("postgres") as session:
        server = session.value("SELECT version()").split(" on ")[0]
        buffers = session.value("SHOW shared_buffers")
    return [
        "machine   %s, %d cores, %.0f GB, %s %s" % (
            model, os.cpu_count(), memory, platform.system(), platform.release()),
        "load      %.1f when the run began (other work on the machine)" % os.getloadavg()[0],
        "server    %s, shared_buffers %s, fsync off, autovacuum off" % (server, buffers),
        "compiler  %s" % command("cc", "--version").split("\n")[0],
        "python    %s" % sys.version.split()[0],
    ]
