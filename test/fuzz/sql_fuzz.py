"""Mutated arguments for every SQL function, on a throw-away server.

    sql_fuzz.py --bin DIR --work DIR [--seconds N] [--seed N]

Calls are made up from lists of plain and of extreme values, and from earlier
calls that ended in a way not seen before (another function, error or message),
of which an argument is mutated: bytes of a text, elements, bounds and nulls of
an array, jsonb, bits of a number.  They go in two ways:

    text    literals, by the hundred in one statement that runs each in a
            subtransaction and undoes it
    binary  parameters of the extended protocol, formed here byte by byte and now
            and then damaged; each in a transaction that is rolled back

What must hold

    errors      those that arguments can cause: classes 21, 22, 23 and 54, 427xx,
                08P01 and 42804 for damaged bytes; never XX000 or another internal
                error
    to_vector   takes and gives what a model in this file does
    answers     after every round the same session answers fixed questions as
                before, and check() finds nothing
    server      no process dies, nothing in the log of assertions or panics

Prints calls and ways to end; exit status 1 if something did not hold.  Then
sql_fuzz.log in the work directory has the calls.
"""

import argparse
import ctypes
import ctypes.util
import math
import os
import random
import re
import struct
import subprocess
import sys
import time

import psycopg2

BATCH = 100
ALLOWED = re.compile(r"00000|P9999|21...|22...|23...|54...|427..")
ALLOWED_BINARY = re.compile(ALLOWED.pattern + r"|08P01|42804")
TIMED_OUT = "57014"
# they wait, act on what others see, or are told tables of the caller's
SKIPPED = {"wait_for_sync", "rebuild", "stat_reset", "import_edges", "import_age"}
OIDS = {"text": 25, "text[]": 1009, "real[]": 1021, "bigint[]": 1016, "integer": 23, "bigint": 20, "real": 700,
        "double precision": 701, "timestamp with time zone": 1184, "boolean": 16, "jsonb": 3802}

CONF = """
listen_addresses = ''
unix_socket_directories = '{work}'
fsync = off
timezone = 'UTC'
log_line_prefix = '%m [%p] %e '
log_min_messages = warning
log_min_error_statement = panic
statement_timeout = '60 s'
max_stack_depth = '2MB'
"""

SETUP = r"""
CREATE EXTENSION graphmem CASCADE;
INSERT INTO graphmem.facts (subject, predicate, object, source, confidence, valid_from, valid_to, subject_kind,
    object_kind, object_type)
VALUES ('Ada', 'knows', 'Bob', 'letter', 0.9, NULL, NULL, 'person', 'person', NULL),
    ('Bob', 'knows', 'Cid', 'letter', 0.8, NULL, NULL, 'person', NULL, NULL),
    ('Cid', 'likes', 'Ada', 'book', 0.5, NULL, NULL, NULL, NULL, NULL),
    ('Ada', 'knows', 'Ada', NULL, 0.5, NULL, NULL, NULL, NULL, NULL),
    ('Ada', 'born', '1815', NULL, 1, NULL, NULL, NULL, NULL, 'int'),
    ('Ada', 'lived', 'Oslo', 'book', 0, '2001-01-01', '2002-01-01', NULL, 'place', NULL),
    ('東京都の人', 'né', 'Ÿ İ', 'book', 1, NULL, NULL, NULL, NULL, NULL);
SELECT graphmem.set_predicate('born', functional => true);
SELECT graphmem.add_source('letter', content => 'Ada writes to Bob about the engine', session => 's');
SELECT graphmem.add_entity('Ada', properties => '{"a": {"b": [1]}}');
SELECT graphmem.set_embedding('Ada', '{1,0,0}'), graphmem.set_embedding('Bob', '{0.5,0.5,0}');
SELECT graphmem.create_vector_space('facts', 2, target => 'fact', metric => 'l2'),
    graphmem.create_vector_space('sources', 2, target => 'source', metric => 'ip');
SELECT graphmem.set_embedding(fact_id::text, '{0,1}', space => 'facts') FROM graphmem.facts;
SELECT graphmem.set_embedding('letter', '{0,1}', space => 'sources'), graphmem.create_graph('empty');
INSERT INTO graphmem.aliases (graph_id, name, entity_id)
SELECT graph_id, 'Lady', entity_id FROM graphmem.entities WHERE name = 'Ada';

CREATE FUNCTION run_calls(calls text[]) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE one text; result text[] := '{}';
BEGIN
    FOREACH one IN ARRAY calls LOOP
        BEGIN
            EXECUTE one;
            RAISE EXCEPTION 'undone' USING ERRCODE = 'P9999';
        EXCEPTION WHEN OTHERS OR query_canceled OR assert_failure THEN
            result := result || (SQLSTATE || left(SQLERRM, 300));
        END;
    END LOOP;
    RETURN result;
END $$;
"""

# Asked at the start, and again after each round in a session that has been fuzzed.
QUESTIONS = [
    "SELECT array_agg(m ORDER BY triple_id)::text FROM graphmem.match() m",
    "SELECT array_agg(t ORDER BY rank)::text FROM graphmem.traverse(ARRAY['Ada'], 3) t",
    "SELECT array_agg(p ORDER BY rank)::text FROM graphmem.paths('Bob', 'Ada', 5) p",
    "SELECT array_agg((rank, item, distance) ORDER BY rank)::text FROM graphmem.vector_search('{1,0.5,0}') v",
    "SELECT array_agg((rank, entity, hops, path) ORDER BY rank)::text"
    " FROM graphmem.fusion_query('{1,0,0}', 'who writes about engines', ARRAY['Bob']) f",
    "SELECT array_agg((rank, entity) ORDER BY rank)::text FROM graphmem.pagerank() p",
]
CHECK = "SELECT array_agg(c)::text FROM graphmem.check() c"


# ---- values ----
# A value is None, or what Python has for it: str (also for jsonb), int, float,
# bool; an array is an Array of such.

class Array:
    def __init__(self, elements, dims=None, lower=None):
        self.elements = elements
        self.dims = dims if dims is not None else ([len(elements)] if elements else [])
        self.lower = lower if lower is not None else [1] * len(self.dims)

    def literal(self):
        if not self.dims:
            return "{}"
        bounds = "".join("[%d:%d]" % (low, low + n - 1) for n, low in zip(self.dims, self.lower))
        return ("" if all(low == 1 for low in self.lower) else bounds + "=") + self.braces(0, iter(self.elements))

    def braces(self, depth, rest):
        if depth == len(self.dims):
            value = next(rest)
            return "NULL" if value is None else '"%s"' % re.sub(r'(["\\])', r"\\\1", plain(value))
        return "{%s}" % ",".join(self.braces(depth + 1, rest) for _ in range(self.dims[depth]))


def plain(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else repr(value).replace("inf", "Infinity")
    return value.literal() if isinstance(value, Array) else str(value)


def literal(value, kind):
    if value is None:
        return "NULL::" + kind
    text = plain(value)
    return "E'%s'::%s" % (text.replace("\\", "\\\\").replace("'", "''"), kind)


NAMES = ["", "Ada", "Bob", "Cid", "Oslo", "1815", "Lady", "Nobody", "default", "empty", "letter", "book", "knows", "likes",
         "facts", "sources", "both", "out", "in", "bfs", "dfs", "hops", "confidence", "entity", "fact", "source", "cosine",
         "l2", "ip", "int8", "f16", "none", "image", "table", "auto", "pinned", "ppr", "person", "int", "1", "-1", "s"]
TEXTS = NAMES + ["Ada writes to Bob", "東京都の人", "Ÿ İ é", "a & | ! b:*", "\x01", "' \" \\ $1 %s", "AC/DC, the who?",
                 "[1, 2.5, -3e-2]", "{1;2}", "[", "[1e400]", "[nan]", "[0x1p3, .5, 5.]", "x" * 5000, "東" * 3000,
                 "\U00020000\U0010ffff\u0301", " a" * 2000]
JSON = ["null", "{}", "[]", "1", '"x"', '{"a": {"b": [1]}}', '{"a": 1, "b": 2}', '{"": null}', '{"a":' * 50 + "1" + "}" * 50,
        "[" * 200 + "]" * 200, '{"a": "%s"}' % ("y" * 3000), "1e1000", '{"a": 1, "a": 2}', "{", '"\\u0000"', ""]
INTEGERS = [0, 1, 2, 3, 10, -1, 100, 101, 16000, 16001, 100000, 2 ** 31 - 1, -2 ** 31]
BIGINTS = INTEGERS + [2 ** 32 - 1, 2 ** 32, 2 ** 63 - 1, -2 ** 63]
REALS = [0.0, 1.0, 0.5, 0.999, -1.0, -0.0, 2.0, 1e-45, 3.4e38, math.inf, -math.inf, math.nan, 0.1]
TIMES = [-2 ** 63, 2 ** 63 - 1, 0, 1, -1, 31536000000000, -211813488000000000, 9223371331199999999]
TIME_TEXTS = ["infinity", "-infinity", "2000-01-01", "2001-06-01", "4713-01-01 BC", "294276-12-31", "now", "epoch",
              "not a time"]


class Dice(random.Random):
    def array(self, one):
        shape = self.random()
        if shape < 0.1:
            return Array([])
        if shape < 0.15:
            dims = [self.randint(1, 3) for _ in range(self.randint(2, 6))]
            return Array([one() for _ in range(math.prod(dims))], dims)
        n = self.choice([1, 1, 2, 3, 3, 3, 4, 10, self.choice([100, 1000, 16000, 16001])])
        few = [one() for _ in range(min(n, 10))]
        return Array((few * (n // len(few) + 1))[:n],
                     lower=[self.choice([1] * 8 + [0, -5, 7, 2 ** 31 - 1 - n, -2 ** 31])])

    def fresh(self, kind):
        if self.random() < 0.08:
            return None
        if kind == "text":
            return self.choice(NAMES if self.random() < 0.7 else TEXTS)
        if kind == "jsonb":
            return self.choice(JSON)
        if kind == "integer":
            return self.choice(INTEGERS)
        if kind == "bigint":
            return self.choice(BIGINTS)
        if kind in ("real", "double precision"):
            return self.choice(REALS)
        if kind == "boolean":
            return self.random() < 0.5
        if kind == "timestamp with time zone":
            return self.choice(TIME_TEXTS)
        return self.array(lambda: self.fresh({"text[]": "text", "real[]": "real", "bigint[]": "bigint"}[kind]))

    def mutated_text(self, value):
        value = list(value)
        for _ in range(self.choice([1, 1, 2, 5])):
            at = self.randint(0, len(value))
            what = self.random()
            if what < 0.35:
                value[at:at] = self.choice(["[", "]", "{", "}", ",", '"', "\\", "'", " ", "\t", "\n", "-", "e", ".", "0", "9", ":",
                                            "a", "Z", "İ", "Σ", "京", "タ", "\u3000", "\u00a0", "\u0301", "\U0001f600", "\x7f",
                                            "nan", "inf", "0x", "1e9", "null", "\\u0000", "true"])
            elif what < 0.6:
                del value[at:at + self.choice([1, 1, 2, 8])]
            elif what < 0.8:
                value[at:at] = value[self.randint(0, len(value)):][:self.choice([1, 4, 30])]
            elif value:
                value[at % len(value)] = chr(self.choice([self.randint(1, 0x7f), self.randint(0x80, 0x7ff),
                                                          self.randint(0x800, 0xd7ff), self.randint(0x10000, 0x10ffff)]))
        return "".join(value)[:100000]

    def mutated(self, value, kind):
        if value is None or self.random() < 0.2:
            return self.fresh(kind)
        if isinstance(value, bool):
            return not value
        if isinstance(value, str):
            return self.mutated_text(value)
        if isinstance(value, int):
            low = -2 ** (31 if kind == "integer" else 63)
            value = self.choice([value + 1, value - 1, -value, value ^ 1 << self.randint(0, 62), value // 2])
            return max(low, min(-low - 1, value))
        if isinstance(value, float):
            wide = kind == "double precision"
            if self.random() < 0.5:
                return self.choice([-value, value * 2, value / 3, value + 1e-7])
            bits = bytearray(as_real(value, wide))
            bits[self.randrange(len(bits))] ^= 1 << self.randint(0, 7)
            return struct.unpack(">d" if wide else ">f", bytes(bits))[0]
        elements, dims, lower = list(value.elements), list(value.dims), list(value.lower)
        what = self.random()
        element = {"text[]": "text", "real[]": "real", "bigint[]": "bigint"}[kind]
        if what < 0.5 and elements:
            at = self.randrange(len(elements))
            elements[at] = self.mutated(elements[at], element)
        elif what < 0.8 and len(dims) <= 1:
            at = self.randint(0, len(elements))
            if self.random() < 0.5:
                elements.insert(at, self.fresh(element))
            else:
                del elements[at:at + 1]
            return Array(elements, lower=lower if elements and dims else None)
        elif lower:
            lower[self.randrange(len(lower))] = self.choice([1, 0, -1, 2 ** 31 - 1, -2 ** 31, self.randint(-100, 100)])
        return Array(elements, dims, lower)


# ---- binary ----

def as_real(value, wide):
    if wide:
        return struct.pack(">d", value)
    try:
        return struct.pack(">f", value)
    except OverflowError:
        return struct.pack(">f", math.copysign(math.inf, value))


def binary(dice, value, kind):
    """The bytes of a value as the server receives them; None for NULL."""
    if value is None:
        return None
    if kind == "timestamp with time zone":
        return struct.pack(">q", dice.choice(TIMES))
    if isinstance(value, bool):
        return b"\1" if value else b"\0"
    if kind == "integer":
        return struct.pack(">i", value)
    if kind == "bigint":
        return struct.pack(">q", value)
    if isinstance(value, float):
        return as_real(value, kind == "double precision")
    if kind == "jsonb":
        return b"\1" + value.encode()
    if isinstance(value, str):
        return value.encode()
    element = kind[:-2]
    parts = [struct.pack(">iii", len(value.dims), int(None in value.elements), OIDS[element])]
    parts += [struct.pack(">ii", n, max(-2 ** 31, min(2 ** 31 - 1, low))) for n, low in zip(value.dims, value.lower)]
    for one in value.elements:
        data = binary(dice, one, element)
        parts.append(struct.pack(">i", -1) if data is None else struct.pack(">i", len(data)) + data)
    return b"".join(parts)


def damaged(dice, data, kind):
    if data is None or not data:
        return data
    if kind == "jsonb":
        return data[:1] + (damaged(dice, data[1:], "text") or b"")     # another version is the server's XX000
    data = bytearray(data)
    for _ in range(dice.choice([1, 1, 2, 4])):
        at = dice.randrange(len(data))
        what = dice.random()
        if what < 0.6:
            data[at] ^= 1 << dice.randint(0, 7)
        elif what < 0.8:
            data[at] = dice.choice([0, 1, 127, 128, 255])
        else:
            del data[at:at + dice.choice([1, 4, 100])]
        if not data:
            break
    return bytes(data)


class Libpq:
    """Parameters in binary, which psycopg2 does not send."""

    def __init__(self, conninfo):
        self.q = q = ctypes.CDLL(ctypes.util.find_library("pq"))
        for name, result, arguments in (
                ("PQconnectdb", ctypes.c_void_p, [ctypes.c_char_p]), ("PQstatus", ctypes.c_int, [ctypes.c_void_p]),
                ("PQexec", ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_char_p]),
                ("PQresultErrorField", ctypes.c_char_p, [ctypes.c_void_p, ctypes.c_int]),
                ("PQgetvalue", ctypes.c_char_p, [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]),
                ("PQclear", None, [ctypes.c_void_p]), ("PQfinish", None, [ctypes.c_void_p]),
                ("PQexecParams", ctypes.c_void_p,
                 [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.POINTER(ctypes.c_uint),
                  ctypes.POINTER(ctypes.c_char_p), ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int), ctypes.c_int])):
            function = getattr(q, name)
            function.restype, function.argtypes = result, arguments
        self.connection = q.PQconnectdb(conninfo.encode())
        if q.PQstatus(self.connection) != 0:
            raise RuntimeError("no connection for binary parameters")

    def outcome(self, result):
        """SQLSTATE and message; raises if the connection is gone."""
        state = self.q.PQresultErrorField(result, ord("C")) if result else None
        words = self.q.PQresultErrorField(result, ord("M")) if result else None
        if result:
            self.q.PQclear(result)
        if self.q.PQstatus(self.connection) != 0:
            raise psycopg2.OperationalError("connection lost: %s" % words)
        return (state or b"00000").decode(), (words or b"").decode(errors="replace")

    def do(self, sql):
        return self.outcome(self.q.PQexec(self.connection, sql.encode()))

    def value(self, sql):
        result = self.q.PQexec(self.connection, sql.encode())
        value = self.q.PQgetvalue(result, 0, 0)
        state, words = self.outcome(result)
        return value.decode() if state == "00000" else state + words

    def call(self, sql, types, values):
        n = len(types)
        return self.outcome(self.q.PQexecParams(
            self.connection, sql.encode(), n, (ctypes.c_uint * n)(*types), (ctypes.c_char_p * n)(*values),
            (ctypes.c_int * n)(*[len(v or b"") for v in values]), (ctypes.c_int * n)(*[1] * n), 0))


# ---- to_vector ----

NUMBER = re.compile(r"[+-]?(?:0x(?:[0-9a-f]+\.?[0-9a-f]*|\.[0-9a-f]+)(?:p[+-]?[0-9]+)?|"
                    r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|infinity|inf|nan(?:\([0-9a-z_]*\))?)", re.I | re.A)
BLANKS = re.compile(r"[ \t\n\v\f\r]*")


def number(text):
    text = text.lower()
    if "n" in text:
        return math.nan
    try:
        value = float.fromhex(text) if "x" in text else float(text)
        return struct.unpack(">f", struct.pack(">f", value))[0]
    except OverflowError:
        return math.inf


def model_vector(text):
    """List of floats, or None where it is to be refused."""
    def blanks(at):
        return BLANKS.match(text, at).end()

    at = blanks(0)
    if text[at:at + 1] not in ("[", "{"):
        return None
    close, values = "}" if text[at] == "{" else "]", []
    at = blanks(at + 1)
    while text[at:at + 1] != close:
        if values:
            if text[at:at + 1] != ",":
                return None
            at = blanks(at + 1)
        found = NUMBER.match(text, at)
        if found is None:
            return None
        values.append(number(found.group()))
        if not math.isfinite(values[-1]) or len(values) > 16000:
            return None
        at = blanks(found.end())
    if not values or blanks(at + 1) != len(text):
        return None
    return values


# ---- the campaign ----

class Fuzzer:
    def __init__(self, bin_dir, work, seed):
        self.bin, self.work, self.dice = bin_dir, work, Dice(seed)
        self.data, self.log = os.path.join(work, "data"), os.path.join(work, "server.log")
        self.findings, self.calls, self.timeouts = [], 0, 0
        self.outcomes, self.corpus, self.under_way = set(), [], []
        self.run("initdb", "-D", self.data, "-U", "fuzz", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
        with open(os.path.join(self.data, "postgresql.conf"), "a") as file:
            file.write(CONF.format(work=work))
        self.run("pg_ctl", "-D", self.data, "-l", self.log, "-w", "-t", "60", "start")

    def run(self, program, *arguments):
        with open(os.path.join(self.work, "programs.log"), "a") as log:
            subprocess.run([os.path.join(self.bin, program)] + list(arguments), stdin=subprocess.DEVNULL, stdout=log,
                           stderr=log, check=True, timeout=120)

    def connect(self):
        self.connection = psycopg2.connect(host=self.work, user="fuzz", dbname="fuzz")
        self.connection.autocommit = True
        self.cursor = self.connection.cursor()
        self.libpq = Libpq("host=%s user=fuzz dbname=fuzz" % self.work)

    def begin(self):
        first = psycopg2.connect(host=self.work, user="fuzz", dbname="postgres")
        first.autocommit = True
        first.cursor().execute("CREATE DATABASE fuzz")
        first.close()
        self.connect()
        self.cursor.execute(SETUP)
        self.cursor.execute("SELECT proname, proargnames, pronargs - pronargdefaults,"
                            " ARRAY(SELECT format_type(t, NULL) FROM unnest(proargtypes) WITH ORDINALITY u(t, o) ORDER BY o)"
                            " FROM pg_proc WHERE pronamespace = 'graphmem'::regnamespace AND prokind = 'f'"
                            " AND pronargs > 0 AND 'internal'::regtype <> ALL (proargtypes) ORDER BY proname")
        self.functions = [(name, names[:len(types)], required, types)
                          for name, names, required, types in self.cursor.fetchall() if name not in SKIPPED]
        unknown = {t for f in self.functions for t in f[3]} - set(OIDS)
        if unknown:
            raise RuntimeError("arguments of a type that is not made here: %s" % unknown)
        self.answers = [self.ask(question) for question in QUESTIONS]
        self.started = self.ask("SELECT pg_postmaster_start_time()::text")

    def ask(self, question):
        self.cursor.execute(question)
        return self.cursor.fetchone()[0]

    def finding(self, words, calls):
        with open(os.path.join(self.work, "sql_fuzz.log"), "a") as file:
            file.write("%s\n%s\n\n" % (words, "\n".join(calls)))
        self.findings.append(words)
        if len(self.findings) <= 10:
            print("sql_fuzz: %s: %s" % (words, "; ".join(calls)[:400]))

    def make(self):
        """(function, {argument: value})"""
        if self.corpus and self.dice.random() < 0.6:
            function, values = self.dice.choice(self.corpus)
            values = dict(values)
            for at in self.dice.choices(range(len(function[1])), k=self.dice.choice([1, 1, 2])):
                values[at] = self.dice.mutated(values.get(at), function[3][at])
            return function, values
        function = self.dice.choice(self.functions)
        return function, {at: self.dice.fresh(kind) for at, kind in enumerate(function[3])
                          if at < function[2] or self.dice.random() < 0.25}

    def ended(self, call, state, words, allowed, text):
        self.calls += 1
        if state == TIMED_OUT:
            self.timeouts += 1
        elif not allowed.fullmatch(state):
            self.finding("%s %s" % (state, words), [text])
        outcome = (call[0][0], state, re.split(r'["0-9:(]', words)[0][:60])
        if outcome not in self.outcomes:
            self.outcomes.add(outcome)
            self.corpus.append(call)

    def text_round(self):
        calls = [self.make() for _ in range(BATCH)]
        texts = ["SELECT count(*) FROM graphmem.%s(%s)" % (f[0], ", ".join(
            '"%s" => %s' % (f[1][at], literal(value, f[3][at])) for at, value in sorted(values.items())))
            for f, values in calls]
        self.under_way = texts
        self.cursor.execute("SELECT run_calls(%s)", (texts,))
        for call, text, result in zip(calls, texts, self.cursor.fetchone()[0]):
            self.ended(call, result[:5], result[5:], ALLOWED, text)

    def binary_round(self):
        for _ in range(BATCH // 4):
            function, values = self.make()
            at = sorted(values)
            data = [binary(self.dice, values[i], function[3][i]) for i in at]
            if data and self.dice.random() < 0.3:
                i = self.dice.randrange(len(data))
                data[i] = damaged(self.dice, data[i], function[3][at[i]])
            sql = "SELECT count(*) FROM graphmem.%s(%s)" % (function[0], ", ".join(
                '"%s" => $%d' % (function[1][i], n + 1) for n, i in enumerate(at)))
            text = "%s with %s" % (sql, [None if d is None else d.hex() for d in data])
            self.under_way = [text]
            self.libpq.do("BEGIN")
            state, words = self.libpq.call(sql, [OIDS[function[3][i]] for i in at], data)
            self.libpq.do("ROLLBACK")
            self.ended((function, values), state, words, ALLOWED_BINARY, text)

    def vector_round(self):
        texts = []
        for _ in range(BATCH):
            text = self.dice.choice(["[1, 2.5, -3e-2]", "{1}", "[.5,5.,0x1p3]", "[1e38,1e-50]", " [ 1 , 2 ] ", "[]", "[inf]"])
            for _ in range(self.dice.choice([0, 1, 1, 2])):
                text = self.dice.mutated_text(text)
            texts.append(text.replace("\0", ""))
        self.under_way = texts
        for text in texts:
            try:
                self.cursor.execute("SELECT graphmem.to_vector(%s)", (text,))
                got = self.cursor.fetchone()[0]
            except psycopg2.Error as error:
                if error.pgcode is None:
                    raise
                got = None
                if not ALLOWED.fullmatch(error.pgcode):
                    self.finding("%s %s" % (error.pgcode, error), [repr(text)])
            want = model_vector(text)
            self.calls += 1
            if (got is None) != (want is None) or (got is not None and (len(got) != len(want) or any(
                    abs(g - w) > 1e-6 * abs(w) for g, w in zip(got, want)))):
                self.finding("to_vector gives %s, not %s" % (got, want), [repr(text)])

    def look(self):
        for question, answer in zip(QUESTIONS, self.answers):
            for session, now in (("text", self.ask(question)), ("binary", self.libpq.value(question))):
                if now != answer:
                    self.finding("the %s session answers %s, not %s" % (session, now, answer), [question])
        wrong = self.ask(CHECK)
        if wrong is not None:
            self.finding("check() finds %s" % wrong, self.under_way)

    def one_round(self):
        try:
            for _ in range(20):
                self.text_round()
                self.binary_round()
            for _ in range(5):
                self.vector_round()
            self.look()
        except psycopg2.OperationalError as error:
            self.finding("connection lost: %s" % str(error).strip(), self.under_way)
            return False
        return True

    def end(self):
        try:
            self.run("pg_ctl", "-D", self.data, "-m", "fast", "-w", "-t", "60", "stop")
        except subprocess.CalledProcessError:
            self.finding("the server did not stop", [])
        with open(self.log, errors="replace") as file:
            for line in file:
                if re.search(r"terminated by signal|PANIC:|TRAP:|XX000", line):
                    self.finding("in the server's log: " + line.strip(), [])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    fuzzer = Fuzzer(options.bin, options.work, options.seed)
    try:
        fuzzer.begin()
        stop_at = time.monotonic() + options.seconds
        while fuzzer.one_round() and time.monotonic() < stop_at and len(fuzzer.findings) < 50:
            pass
    finally:
        fuzzer.end()
    print("%-13s %10d calls      %7d ways to end   %7d calls in the corpus%s" % (
        "sql_fuzz", fuzzer.calls, len(fuzzer.outcomes), len(fuzzer.corpus),
        ", %d timed out" % fuzzer.timeouts if fuzzer.timeouts else ""))
    return 1 if fuzzer.findings else 0


if __name__ == "__main__":
    sys.exit(main())
