#!/usr/bin/env python3
"""defaults.py CONNECTION [STEP]

The table behind fusion_query's defaults, on the demonstration's WordNet.  For
every STEP-th synset (default 2503: 48 of them) the question is its vector,
its words, or both; gold is the synset and all that WordNet relates to it.
Prints for each setting how often the synset itself comes first, and the share
of gold among the first ten (of the ten that are possible).  Deterministic.
"""
import sys

import psycopg2

step = int(sys.argv[2]) if len(sys.argv) > 2 else 2503
connection = psycopg2.connect(sys.argv[1])
connection.autocommit = True
cursor = connection.cursor()
cursor.execute("""
    CREATE TEMP TABLE asked AS
    SELECT e.entity_id, regexp_replace(e.name, ' \\(.*', '') AS words, m.embedding
    FROM graphmem.entities e JOIN graphmem.embeddings m ON m.item_id = e.entity_id
    WHERE e.entity_id %% %s = 7;
    CREATE TEMP TABLE gold AS
    SELECT a.entity_id AS question, a.entity_id AS entity FROM asked a
    UNION SELECT a.entity_id, t.object_id FROM asked a JOIN graphmem.triples t ON t.subject_id = a.entity_id
    UNION SELECT a.entity_id, t.subject_id FROM asked a JOIN graphmem.triples t ON t.object_id = a.entity_id
""", (step,))


def measure(call):
    cursor.execute("""
        WITH r AS (SELECT a.entity_id AS question, f.* FROM asked a, LATERAL %s f),
        per AS (
            SELECT a.entity_id, count(g.entity)::float8 / least(10,
                (SELECT count(*) FROM gold WHERE question = a.entity_id)) AS share
            FROM asked a LEFT JOIN r ON r.question = a.entity_id
            LEFT JOIN gold g ON g.question = a.entity_id AND g.entity = r.id
            GROUP BY a.entity_id)
        SELECT (SELECT count(*) FROM r WHERE r.rank = 1 AND r.id = r.question), avg(share), count(*)
        FROM per""" % call)
    return cursor.fetchone()


asked = {"vector": "a.embedding", "words": "NULL, a.words", "both": "a.embedding, a.words"}
rows = []
for ask, arguments in asked.items():
    for candidates in (64, 16):
        for k in (60, 10, 1):
            for weight in (1, 0.5, 0.25):
                cursor.execute("SET graphmem.vector_candidates = %s; SET graphmem.rrf_k = %s;"
                               "SET graphmem.graph_weight = %s", (candidates, k, weight))
                rows.append((ask, candidates, k, weight) + measure(
                    "(SELECT rank, entity_id AS id FROM graphmem.fusion_query(%s))" % arguments))
first, share, n = measure("(SELECT rank, item_id AS id FROM graphmem.vector_search(a.embedding))")
print("%-8s %10s %5s %12s %10s %14s" % ("asked by", "candidates", "rrf_k", "graph_weight", "self first", "gold in ten"))
for ask, candidates, k, weight, self_first, gold, n in rows:
    print("%-8s %10d %5d %12.2f %7d/%d %14.3f" % (ask, candidates, k, weight, self_first, n, gold))
print("%-8s %10s %5s %12s %7d/%d %14.3f" % ("vector_search alone", "", "", "", first, n, share))
