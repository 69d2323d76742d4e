"""What a user would run instead, on the same data: SQL in the same server,
and, where the server has them, Apache AGE and pgvector.

Every rival gets its best: integer ids, each distinct arc once in either
direction with a covering index that is read alone, prepared statements, and
memory enough that nothing spills.
"""

import os

import numpy as np
import psycopg2

WORK = os.environ["WORK"]

# Of the two forms of reach in arrays (ANY, or a join with unnest) this is the
# faster one; so is EXCEPT beside NOT IN.  The shortest path looks for a
# meeting before it gathers a level: the last level is by far the largest.
SQL_FORMS = """
CREATE FUNCTION frontier_reach(seed int, hops int, OUT count bigint, OUT checksum bigint)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    seen int[] := ARRAY[seed];
    frontier int[] := seen;
BEGIN
    FOR hop IN 2 .. hops LOOP
        SELECT array_agg(dst) INTO frontier FROM (
            SELECT dst FROM arcs WHERE src = ANY (frontier) EXCEPT SELECT unnest(seen)) AS fresh;
        EXIT WHEN frontier IS NULL;
        seen := seen || frontier;
    END LOOP;
    SELECT count(*) - 1, sum(node) - seed INTO count, checksum FROM (
        SELECT dst AS node FROM arcs WHERE src = ANY (frontier) UNION SELECT unnest(seen)) AS found;
END $$;

CREATE FUNCTION frontier_path(a int, b int, OUT hops int, OUT cost float8)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    seen_a int[] := ARRAY[a];
    seen_b int[] := ARRAY[b];
    front_a int[] := seen_a;
    front_b int[] := seen_b;
    small int[];
    large int[];
    from_a bool;
BEGIN
    hops := 0;
    WHILE a <> b LOOP
        hops := hops + 1;
        from_a := cardinality(front_a) <= cardinality(front_b);
        small := CASE WHEN from_a THEN front_a ELSE front_b END;
        large := CASE WHEN from_a THEN front_b ELSE front_a END;
        EXIT WHEN EXISTS (SELECT FROM arcs WHERE src = ANY (small)
                          AND (dst IN (SELECT unnest(large))) IS TRUE);
        IF from_a THEN
            SELECT array_agg(dst) INTO front_a FROM (
                SELECT dst FROM arcs WHERE src = ANY (front_a) EXCEPT SELECT unnest(seen_a)) AS fresh;
            seen_a := seen_a || front_a;
        ELSE
            SELECT array_agg(dst) INTO front_b FROM (
                SELECT dst FROM arcs WHERE src = ANY (front_b) EXCEPT SELECT unnest(seen_b)) AS fresh;
            seen_b := seen_b || front_b;
        END IF;
        IF front_a IS NULL OR front_b IS NULL THEN
            hops := NULL;
            RETURN;
        END IF;
    END LOOP;
    cost := hops;
END $$;
"""

CTE_REACH = """
WITH RECURSIVE walk (node, depth) AS (
    SELECT q.seed_id, 0
    UNION SELECT a.dst, w.depth + 1 FROM walk AS w JOIN arcs AS a ON a.src = w.node WHERE w.depth < %d)
SELECT count(*) - 1, sum(node) - q.seed_id FROM (SELECT DISTINCT node FROM walk) AS found"""

# a recursive query hands out rows as it finds them, so that LIMIT ends it
CTE_PATH = """
WITH RECURSIVE walk (node, depth) AS (
    SELECT q.seed_id, 0
    UNION SELECT a.dst, w.depth + 1 FROM walk AS w JOIN arcs AS a ON a.src = w.node WHERE w.depth < 100)
SELECT depth, depth::float8 FROM walk WHERE node = q.other_id LIMIT 1"""


def sql_reach(hops):
    return {"recursive CTE": CTE_REACH % hops,
            "frontier arrays": "SELECT count, checksum FROM frontier_reach(q.seed_id, %d)" % hops}


SQL_PATH = {"recursive CTE": CTE_PATH,
            "frontier arrays": "SELECT hops, cost FROM frontier_path(q.seed_id, q.other_id)"}


def distinct_arcs(triples):
    """Each neighbour of each node once, sorted, without loops; two arrays."""
    s, o = triples.s.astype(np.int64), triples.o.astype(np.int64)
    apart = s != o
    s, o = s[apart], o[apart]
    key = np.unique(np.concatenate([s * triples.nodes + o, o * triples.nodes + s]))
    return key // triples.nodes, key % triples.nodes


def create_arcs(session, triples):
    """The table that the SQL forms read; ids are those of graphmem's entities."""
    src, dst = distinct_arcs(triples)
    row = np.dtype([("fields", ">i2"), ("l0", ">i4"), ("src", ">i4"), ("l1", ">i4"), ("dst", ">i4")])
    rows = np.zeros(len(src), row)
    rows["fields"], rows["l0"], rows["l1"] = 2, 4, 4
    rows["src"], rows["dst"] = src + 1, dst + 1
    path = os.path.join(WORK, "arcs.bin")
    with open(path, "wb") as out:
        out.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
        rows.tofile(out)
        out.write(b"\xff\xff")
    session.run("CREATE TABLE arcs (src int NOT NULL, dst int NOT NULL)")
    session.run("COPY arcs FROM '%s' (FORMAT binary)" % path)
    seconds = session.wall
    session.run("SET maintenance_work_mem = '1GB'")
    session.run("CREATE UNIQUE INDEX ON arcs (src, dst)")
    seconds += session.wall
    session.run("VACUUM (ANALYZE, FREEZE) arcs")
    seconds += session.wall
    session.run(SQL_FORMS)
    os.unlink(path)
    return len(src), seconds


# ---- Apache AGE ----

def offers(session, extension):
    """The version that this server has, or None."""
    found = session.run("SELECT default_version FROM pg_available_extensions WHERE name = %s", (extension,))
    return found[0][0] if found else None


class Age:
    """A graph of vertices n {i} and edges e, each neighbouring pair once."""

    # a vertex is found fastest by its id; sums of i are exact in a double
    REACH = """EXECUTE format($q$SELECT count(*), sum(i::text::bigint)::float8 FROM ag_catalog.cypher('peer', $c$
        MATCH (a:n)-[:e*1..%d]-(b:n) WHERE id(a) = %%s AND id(b) <> id(a) RETURN DISTINCT b.i $c$)
        AS (i ag_catalog.agtype)$q$, %d + q.seed_id)"""
    PATH = """EXECUTE format($q$SELECT age_length(p)::bigint, age_length(p)::text::float8
        FROM age_shortest_path('"peer"'::agtype, '%%s'::agtype, '%%s'::agtype, NULL, '"any"') AS p$q$,
        %d + q.seed_id, %d + q.other_id)"""

    def __init__(self, version):
        self.name = "Apache AGE " + version
        self.vertex = 0         # id of the vertex whose i would be 0

    def load(self, session, nodes):
        """From the table arcs; seconds."""
        session.run("CREATE EXTENSION age")
        self.open(session)
        for made in ("create_graph('peer')", "create_vlabel('peer', 'n')", "create_elabel('peer', 'e')"):
            session.run("SELECT ag_catalog." + made)      # there is a graphmem.create_graph
        labels = dict(session.run("SELECT l.name::text, l.id FROM ag_label l JOIN ag_graph g ON l.graph = g.graphid"
                                  " WHERE g.name = 'peer'"))
        self.vertex = labels["n"] << 48
        session.run("INSERT INTO peer.n (id, properties) SELECT _graphid(%d, i), agtype_build_map('i', i)"
                    " FROM generate_series(1::bigint, %d) AS i" % (labels["n"], nodes))
        seconds = session.wall
        session.run("INSERT INTO peer.e (id, start_id, end_id, properties)"
                    " SELECT _graphid(%d, row_number() OVER ()), _graphid(%d, src), _graphid(%d, dst),"
                    " agtype_build_map() FROM arcs WHERE src < dst" % (labels["e"], labels["n"], labels["n"]))
        seconds += session.wall
        session.run("CREATE INDEX ON peer.n USING gin (properties)")
        seconds += session.wall
        session.run("CREATE INDEX IF NOT EXISTS e_start ON peer.e (start_id)")
        session.run("CREATE INDEX IF NOT EXISTS e_end ON peer.e (end_id)")
        session.run("VACUUM (ANALYZE) peer.n, peer.e")
        return seconds

    @staticmethod
    def open(session):
        session.run("LOAD 'age'")
        session.run('SET search_path = "$user", public, ag_catalog')

    def form(self, session, what):
        """The query of a workload; None where it has none."""
        hops = {"reach, 1 hop": 1, "reach, 2 hops": 2, "reach, 3 hops": 3}.get(what)
        if hops:
            return self.REACH % (hops, self.vertex)
        if what == "shortest path" and session.value("SELECT count(*) FROM pg_proc"
                                                     " WHERE proname = 'age_shortest_path'"):
            return self.PATH % (self.vertex, self.vertex)
        return None


# ---- pgvector ----

MULTI_PASS = """
WITH hits AS MATERIALIZED (
    SELECT item AS node, 1 - (embedding <=> q.vector::vector) AS score FROM pgvectors
    ORDER BY embedding <=> q.vector::vector LIMIT 20),
walk AS (
    SELECT node, score FROM hits
    UNION ALL SELECT a.dst, score * 0.5 FROM hits JOIN arcs AS a ON a.src = node
    UNION ALL SELECT b.dst, score * 0.25 FROM hits JOIN arcs AS a ON a.src = node JOIN arcs AS b ON b.src = a.dst)
SELECT max(entity_id), max(score) FROM (
    SELECT e.entity_id, e.name, best.score FROM (
        SELECT node, max(score) AS score FROM walk GROUP BY node ORDER BY 2 DESC, 1 LIMIT 10) AS best
    JOIN graphmem.entities AS e ON e.entity_id = best.node) AS ranked"""

PG_NEAREST = """
SELECT max(item), max(distance) FROM (
    SELECT item, embedding <=> q.vector::vector AS distance FROM pgvectors
    ORDER BY embedding <=> q.vector::vector LIMIT 10) AS nearest"""


def create_pgvectors(session, dim):
    session.run("CREATE EXTENSION vector")
    session.run("CREATE TABLE pgvectors (item int NOT NULL, embedding vector(%d) NOT NULL)" % dim)
    session.run("ALTER TABLE pgvectors ALTER embedding SET STORAGE PLAIN")
    session.run("INSERT INTO pgvectors SELECT item_id, embedding::vector FROM graphmem.embeddings")
    session.run("VACUUM (ANALYZE, FREEZE) pgvectors")
    session.run("SET maintenance_work_mem = '1GB'")


def index_pgvectors(session):
    session.run("CREATE INDEX ON pgvectors USING hnsw (embedding vector_cosine_ops)"
                " WITH (m = 16, ef_construction = 200)")
    return session.wall


# ---- measuring ----

def slow_call(session, loop, query, most, budget, timeout):
    """CPU and wall microseconds a call, over as many questions as fit in budget
    seconds (at least 3, at most most), their answers and their number; None if
    a question took longer than timeout seconds."""
    session.run(loop.replace("{0}", query))
    try:
        session.run("SET statement_timeout = '%d s'" % timeout)
        session.run("SELECT ask(1)")        # plans, and may load what it needs
        session.run("SELECT ask(2)")
        n = max(3, min(most, int(budget * 2 / max(session.wall, 1e-6))))
        session.run("SET statement_timeout = '%d s'" % (timeout * 3))
        answers = session.run("SELECT firsts, seconds FROM ask(%d)" % n)[0]
        cpu, wall = session.cpu, session.wall
    except psycopg2.errors.QueryCanceled:
        return None
    finally:
        session.run("RESET statement_timeout")
    return {"cpu": cpu / n * 1e6, "wall": wall / n * 1e6, "answers": answers, "n": n}
