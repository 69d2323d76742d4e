#!/usr/bin/env python3
"""Latency and recall of the text legs over a million names and contents.

    text.py CONNECTION [--rows N] [--each N] [--keep]
            [--entities CALL] [--sources CALL]

CONNECTION is a libpq connection string of a database with the extension.
CALL is a query with $1, the question, whose first column is the ids found,
best first; by default fusion_query.

Names: WordNet's lemmas, then names of persons, firms and things made of its
words and of invented ones, with Zipf weights; contents: a dozen words of the
same kinds.  Each kind of query is made of rows that are in the graph, its
targets, whose recall@10 is printed beside the times.  Times are the server's,
one client, after one round to warm up.
"""
import argparse
import itertools
import random
import subprocess
import sys

WORDNET = "/usr/share/wordnet/"
ONSETS = "b c d f g h k l m n p r s t v w br tr st ch sh gr kl".split()
VOWELS = "a e i o u ai ei ou".split()
CODAS = ["", "n", "r", "s", "t", "l", "k"]
COMMON = "Company River School County John Group Saint New".split()
QUESTIONS = [
    "Who founded {}?",
    "What is known about the history of {} today?",
    "When did {} become part of the school and the river company?",
    "Which {} did John visit in the county before the new group left?",
]


class Zipf:
    def __init__(self, rng, values, exponent):
        self.rng, self.values = rng, values
        self.weights = list(itertools.accumulate((i + 1) ** -exponent for i in range(len(values))))

    def take(self, n):
        return iter(self.rng.choices(self.values, cum_weights=self.weights, k=n))


def lemmas(part):
    with open(WORDNET + "index." + part, encoding="latin1") as f:
        return [line.split(" ", 1)[0].replace("_", " ") for line in f if line[0] != " "]


def invented(rng, n):
    def word():
        return "".join(rng.choice(ONSETS) + rng.choice(VOWELS) for _ in range(rng.choice([1, 2, 2, 3]))) \
            + rng.choice(CODAS)
    return list(dict.fromkeys(word() for _ in range(n)))


class Words:
    def __init__(self, rng, n):
        nouns = lemmas("noun")
        single = [w for w in nouns if w.isalpha()]
        rng.shuffle(single)
        self.nouns = nouns
        self.first = Zipf(rng, invented(rng, 4000), .9).take(6 * n)
        self.last = Zipf(rng, invented(rng, 60000), .8).take(6 * n)
        self.noun = Zipf(rng, single, .9).take(12 * n)
        self.adjective = Zipf(rng, [w for w in lemmas("adj") if w.isalpha()], .9).take(6 * n)


def make_names(rng, words, n):
    names = dict.fromkeys(words.nouns[:n // 10])
    first, last, noun, adjective = words.first, words.last, words.noun, words.adjective
    while len(names) < n:
        r = rng.random()
        if r < .40:
            name = f"{next(first)} {next(last)}".title()
        elif r < .50:
            name = f"{next(first)} {rng.choice('ABCDEFGHJKLMNPRSTW')}. {next(last)}".title()
        elif r < .65:
            name = f"{next(last)} {rng.choice(COMMON)}".title()
        elif r < .85:
            name = f"{next(adjective)} {next(noun)}".title()
            if rng.random() < .25:
                name += " " + rng.choice(COMMON)
        elif r < .95:
            name = f"The {next(noun).title()} of {next(last).title()} {rng.choice(COMMON)}"
        elif r < .97:
            name = f"{next(noun)} {rng.randint(1, 99999)}"
        else:
            name = f"{next(adjective)} {next(noun)} and {next(noun)} of the {next(noun)} {next(last)} {next(noun)}"
        names[name] = None
    names = list(names)
    rng.shuffle(names)
    return names


def make_contents(rng, words, n):
    first, last, noun, adjective = words.first, words.last, words.noun, words.adjective
    return [f"{next(adjective)} {next(noun)} {rng.choice(['of', 'that', 'in', 'used by'])} the {next(noun)} "
            f"or {next(noun)}; {next(first).title()} {next(last).title()}'s {next(noun)} "
            f"{rng.choice(COMMON).lower()}" for _ in range(n)]


def misspell(rng, name):
    parts = name.split(" ")
    at = max(range(len(parts)), key=lambda i: len(parts[i]))
    word = parts[at]
    i = rng.randrange(1, len(word) - 1)
    parts[at] = rng.choice([
        word[:i] + word[i + 1] + word[i] + word[i + 2:],
        word[:i] + word[i + 1:],
        word[:i] + rng.choice("aeiorstln") + word[i + 1:],
        word[:i] + word[i] + word[i:],
    ])
    return " ".join(parts)


def frequent(texts, low, high):
    count = {}
    for text in texts:
        for word in set(text.lower().split()):
            if word.isalpha() and len(word) > 3:
                count[word] = count.get(word, 0) + 1
    return sorted((w for w, c in count.items() if low <= c <= high), key=lambda w: (-count[w], w))


def name_queries(rng, names, each):
    """(kind, query, position of the target in names or -1)"""
    def targets(condition=lambda name: True):
        found = 0
        while found < each:
            i = rng.randrange(len(names))
            if condition(names[i]):
                found += 1
                yield i

    for i in targets():
        yield "exact name", names[i], i
    for i in targets():
        yield "exact name, upper case", names[i].upper(), i
    for k, i in enumerate(targets()):
        yield "question with a name", QUESTIONS[k % len(QUESTIONS)].format(names[i]), i
    for i in targets(lambda name: len(name.split()) >= 6):
        kept = [w for w in names[i].split() if rng.random() < .7] or names[i].split()
        rng.shuffle(kept)
        yield "some words of a long name", " ".join(kept), i
    for i in targets(lambda name: len(name.split()) > 1 and max(map(len, name.split())) >= 6):
        yield "misspelled, several words", misspell(rng, names[i]), i
    for i in targets(lambda name: name.isalpha() and len(name) >= 7):
        yield "misspelled, one word", misspell(rng, names[i]), i
    for _ in range(each):
        yield "common words only", " ".join(rng.sample(COMMON, rng.randint(2, 5))), -1
    tens = frequent(names, 8000, 13000)
    for k in range(each):
        yield "10,000 matching rows", tens[k % len(tens)], -1
    for query in ["", "the of and", "'\"\\ & | ! <-> :* ()", "谁发明了分析机", "من اخترع الآلة", "Кто изобрёл машину",
                  "🚀🚀 rocket", "x" * 1000000, "word " * 200000, " ".join(names[:400])]:
        yield "odd ones", query, -1


def content_queries(rng, contents, each):
    for _ in range(each):
        i = rng.randrange(len(contents))
        words = [w.strip(";") for w in contents[i].split()]
        rng.shuffle(words)
        yield "words of a content", "What " + " ".join(words[:rng.randint(5, 10)]) + "?", i
    for _ in range(each):
        yield "common words only", " ".join(rng.sample(COMMON, rng.randint(2, 5))), -1
    tens = frequent(contents, 8000, 13000)
    for k in range(each):
        yield "10,000 matching rows", tens[k % len(tens)], -1


def quote(text):
    return "'" + text.replace("'", "''") + "'"


def psql(connection, script):
    done = subprocess.run(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", connection],
                          input=script, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def load(connection, names, contents):
    def rows(texts):
        return "".join(f"{i + 1}\t{t}\n" for i, t in enumerate(texts))

    psql(connection, f"""
BEGIN;
CREATE TABLE text_bench_names (i bigint, t text);
CREATE TABLE text_bench_contents (i bigint, t text);
COPY text_bench_names FROM STDIN;
{rows(names)}\\.
COPY text_bench_contents FROM STDIN;
{rows(contents)}\\.
INSERT INTO graphmem.graphs (graph_id, name) VALUES (1000001, 'text_bench');
INSERT INTO graphmem.entities (entity_id, graph_id, name)
    SELECT 5000000000 + i, 1000001, t FROM text_bench_names ORDER BY i;
INSERT INTO graphmem.sources (source_id, graph_id, name, content)
    SELECT 5000000000 + i, 1000001, i, t FROM text_bench_contents ORDER BY i;
COMMIT;
VACUUM ANALYZE graphmem.entities, graphmem.sources;
""")


def measure(connection, call, queries):
    values = ",\n".join(f"({n}, {quote(kind)}, {quote(query)}, {-1 if at < 0 else 5000000001 + at})"
                        for n, (kind, query, at) in enumerate(queries))
    return psql(connection, f"""
SET graphmem.graph = 'text_bench';
CREATE TEMP TABLE queries (n int, kind text, query text, target bigint);
INSERT INTO queries VALUES {values};
CREATE TEMP TABLE runs (round int, n int, ms float8, found bool);
CREATE FUNCTION pg_temp.measure() RETURNS TABLE (round int, n int, ms float8, hit bool) LANGUAGE plpgsql AS $f$
DECLARE q record; started timestamptz; ended timestamptz; ids bigint[];
BEGIN
    FOR turn IN 0..3 LOOP
        FOR q IN SELECT * FROM queries t ORDER BY t.n LOOP
            started := clock_timestamp();
            EXECUTE {quote("SELECT array_agg(id) FROM (" + call + ") AS f(id)")} INTO ids USING q.query;
            ended := clock_timestamp();
            measure.round := turn;
            measure.n := q.n;
            measure.ms := 1000 * extract(epoch FROM ended - started);
            measure.hit := coalesce(q.target = ANY (ids[1:10]), false);
            RETURN NEXT;
        END LOOP;
    END LOOP;
END $f$;
INSERT INTO runs SELECT * FROM pg_temp.measure();
SELECT format('%-28s %6s %10s %10s %10s %9s', kind, count(DISTINCT n),
              round(percentile_cont(0.5) WITHIN GROUP (ORDER BY ms)::numeric, 2),
              round(percentile_cont(0.95) WITHIN GROUP (ORDER BY ms)::numeric, 2),
              round(max(ms)::numeric, 2),
              CASE WHEN max(target) > 0 THEN round(avg(found::int), 3)::text ELSE '-' END)
FROM runs JOIN queries USING (n) WHERE round > 0 GROUP BY kind ORDER BY min(n);
""")


def main():
    fusion = "SELECT entity_id FROM graphmem.fusion_query(query_text => $1, match_count => 10, graph => 'text_bench')"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("connection")
    parser.add_argument("--rows", type=int, default=1000000)
    parser.add_argument("--each", type=int, default=50)
    parser.add_argument("--keep", action="store_true", help="use the rows of an earlier run, and leave them")
    parser.add_argument("--entities", default=fusion)
    parser.add_argument("--sources")
    args = parser.parse_args()
    rng = random.Random(7)
    words = Words(rng, args.rows)
    names = make_names(rng, words, args.rows)
    contents = make_contents(rng, words, args.rows)
    loaded = psql(args.connection, "SELECT to_regclass('text_bench_names')").strip()
    if not loaded:
        load(args.connection, names, contents)
    print(f"{len(names)} names, {len(contents)} contents")
    print(f"{'query':28s} {'number':>6s} {'median ms':>10s} {'p95 ms':>10s} {'max ms':>10s} {'recall@10':>9s}")
    print("entities by name")
    print(measure(args.connection, args.entities, list(name_queries(rng, names, args.each))), end="")
    if args.sources:
        print("sources by content")
        print(measure(args.connection, args.sources, list(content_queries(rng, contents, args.each))), end="")
    if not args.keep:
        psql(args.connection, """
DELETE FROM graphmem.graphs WHERE graph_id = 1000001;
DELETE FROM graphmem.entities WHERE graph_id = 1000001;
DELETE FROM graphmem.sources WHERE graph_id = 1000001;
DROP TABLE text_bench_names, text_bench_contents;
""")


main()
