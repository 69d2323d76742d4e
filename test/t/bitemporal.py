"""Answers about another time beside those of a database that holds only what was visible then.

    bitemporal.py SEED ROUNDS WHOLE ROUGH THEN

Each round makes a graph in which facts have past, future, corrected, retracted
and dead versions.  Database WHOLE holds all of it; ROUGH holds it with faults,
which a transaction mends and leaves open, so that its own changes are laid over
the image; THEN holds, for one (as_of, known_at) after the other, the rows that
were visible, valid without end, and is asked without either argument: what is
compared is the path over histories with the one without.

An entity or source is visible from created_at on, an assertion from asserted_at
on, a fact as its version says.  Aliases, kinds, weights and properties have no
history.

Prints TAP lines without numbers, a failed one with what differed, then "done".
"""

import collections
import datetime
import math
import random
import sys

import psycopg2
import psycopg2.extras

GRAPH = 7
NOW = datetime.datetime.now(datetime.timezone.utc)
KNOWN = ["20%02d-03-01 00:00:00+00" % i for i in range(1, 19)]      # transaction times
VALID = ["19%02d-01-01 00:00:00+00" % i for i in range(50, 62)]     # valid times
FUTURE = ["2150-01-01 00:00:00+00", "2160-01-01 00:00:00+00"]
FROM, TO = "-infinity", "infinity"
WORDS = ["engine", "bridge", "harbour", "letter", "violin", "glacier", "market", "signal"]
LITERAL_TYPES = ["int", "@en", ""]
PAIRS = 9                   # (as_of, known_at) of a round
TOLERANCE = 1e-5
AGEING = 1e-4             # of a score in a minute

TABLES = {
    "graphs": "graph_id name created_at",
    "entities": "entity_id graph_id name literal_type kind properties created_at",
    "aliases": "alias_id graph_id name entity_id",
    "predicates": "predicate_id graph_id name \"symmetric\" weight created_at",
    "sources": "source_id graph_id name session kind content reliability metadata created_at",
    "triples": "triple_id fact_id graph_id subject_id predicate_id object_id confidence"
               " valid_from valid_to recorded_at expired_at properties",
    "assertions": "fact_id source_id graph_id confidence asserted_at",
    "vector_spaces": "space_id graph_id name target dim metric",
    "embeddings": "space_id item_id graph_id embedding",
}
KEYS = {"entities": 1, "triples": 1, "assertions": 2, "sources": 1, "embeddings": 2}


class Time:
    """Comparable, infinite ends included; made from what SQL reads."""

    def __init__(self, text):
        self.text = text
        if text in (FROM, TO):
            self.value = -math.inf if text == FROM else math.inf
        else:
            self.value = datetime.datetime.fromisoformat(text).timestamp()

    def __lt__(self, other):
        return self.value < other.value

    def __le__(self, other):
        return self.value <= other.value


def named(table, row):
    return dict(zip(TABLES[table].replace('"', "").split(), row))


# ---- a random past ----

class World:
    def __init__(self, dice):
        self.dice = dice
        self.rows = {table: [] for table in TABLES}
        self.rows["graphs"].append((GRAPH, "default", KNOWN[0]))
        self.names, self.predicates, self.sources = [], [], []
        self.created = {}
        self.make_names()
        self.make_facts()
        self.make_vectors()

    def some(self, options, chance):
        return self.dice.choice(options) if self.dice.random() < chance else None

    def birth(self):
        """A third is older than everything."""
        return self.dice.choice(KNOWN[:12]) if self.dice.random() < 0.66 else KNOWN[0]

    def make_names(self):
        dice, rows = self.dice, self.rows
        weighted = dice.random() < 0.5
        for i in range(5):
            self.predicates.append("p%d" % i)
            rows["predicates"].append((11 + i, GRAPH, "p%d" % i, i == 4,
                                       dice.choice([0.5, 2, 3]) if weighted else 1, KNOWN[0]))
        ids = dice.sample(range(100, 400), 44)          # ids say nothing about age
        for i, entity in enumerate(ids):
            literal = LITERAL_TYPES[(i - 38) // 4 + i % 2] if i >= 38 else None
            name = "%s %s %d" % (dice.choice(WORDS), dice.choice(WORDS), i) if literal is None else "l%d" % (i % 4)
            born = self.birth()
            rows["entities"].append((entity, GRAPH, name, literal, self.some(["k1", "k2"], 0.6),
                                     dice.choice(['{"a": 1}', "{}"]), born))
            self.created[entity] = born
            self.names.append(name)
        entities = rows["entities"]
        # names that meant something else before an entity took them
        for i in range(4):
            taken = dice.choice(entities)
            rows["aliases"].append((i + 1, GRAPH, "alias %d" % i if i < 2 else entities[5 + i][2], taken[0]))
            self.names.append("alias %d" % i)
        born = KNOWN[10]
        rows["entities"].append((401, GRAPH, "alias 0", None, "k1", "{}", born))
        rows["entities"].append((402, GRAPH, "l0", None, None, "{}", KNOWN[12]))
        self.created.update({401: born, 402: KNOWN[12]})
        for i in range(7):
            rows["sources"].append((60 - i, GRAPH, "s%d" % i, self.some(["x", "y"], 0.7), self.some(["doc", "chat"], 0.7),
                                    " ".join(dice.choices(WORDS, k=12)), dice.choice([1, 0.8, 0.3]),
                                    dice.choice(['{"a": 1}', "{}"]), self.birth()))
            self.sources.append("s%d" % i)

    def make_facts(self):
        dice = self.dice
        triples, taken, placed = [], set(), []
        fact = 1000
        for _ in range(150):
            hub = dice.random() < 0.3
            subject = self.rows["entities"][0][0] if hub else dice.choice(self.rows["entities"])[0]
            object_ = dice.choice(self.rows["entities"])[0]
            predicate = 11 + dice.randrange(5)
            if (subject, predicate, object_) in taken:
                continue
            taken.add((subject, predicate, object_))
            first = max(self.created[subject], self.created[object_])
            # disjoint validity is a fact of its own
            windows = dice.choice([[(FROM, TO)]] * 2 + [[(FROM, VALID[5]), (VALID[5], TO)],
                                                       [(VALID[2], VALID[7]), (VALID[8], FUTURE[1])]])
            for window in windows:
                fact += 1
                placed.append(fact)
                triples += self.versions(fact, (subject, predicate, object_), window, first)
        dice.shuffle(triples)
        keys = set()
        for i, row in enumerate(triples):
            key = row[1:4] + (row[6], row[9])
            if key in keys or row[6] >= row[7] and TO != row[7] and FROM != row[6]:
                continue
            keys.add(key)
            self.rows["triples"].append((2000 + i, row[0], GRAPH) + row[1:4] + (row[5],) + row[6:10] +
                                        (dice.choice(['{"a": 1}', None]),))
        began = {}
        for row in map(lambda r: named("triples", r), self.rows["triples"]):
            began[row["fact_id"]] = min(began.get(row["fact_id"], row["recorded_at"]), row["recorded_at"])
        for fact in sorted(began):
            for source in dice.sample(self.rows["sources"], dice.choice([0, 0, 1, 1, 2, 3])):
                later = [k for k in KNOWN if k >= max(began[fact], source[8])]
                if later:
                    self.rows["assertions"].append((fact, source[0], GRAPH, dice.choice([0.9, 0.5, 0.2]),
                                                    dice.choice(later[:4])))
        self.facts = sorted(began)

    def versions(self, fact, terms, window, first):
        """(fact, s, p, o, None, confidence, valid_from, valid_to, recorded_at, expired_at)"""
        dice, made = self.dice, []
        ticks = sorted(dice.sample([k for k in KNOWN if k >= first], min(dice.choice([1, 2, 3, 5]),
                                                                        len([k for k in KNOWN if k >= first]))))
        for i, recorded in enumerate(ticks):
            last = i + 1 == len(ticks)
            if not last and dice.random() < 0.15:       # retracted, stated again later
                expired = KNOWN[min(KNOWN.index(recorded) + 1, KNOWN.index(ticks[i + 1]))]
            else:
                expired = ticks[i + 1] if not last else TO if dice.random() < 0.8 else KNOWN[-1]
            if expired < recorded and expired != TO:
                expired = TO
            inside = [v for v in [FROM] + VALID + FUTURE + [TO]
                      if Time(window[0]) <= Time(v) and Time(v) <= Time(window[1])]
            begin, end = sorted(dice.sample(range(len(inside)), 2))
            if dice.random() < 0.5:
                begin, end = 0, len(inside) - 1
            made.append((fact,) + terms + (None, dice.choice([1, 0.9, 0.5, 0.25, 0]),
                                           inside[begin], inside[end], recorded, expired))
            if dice.random() < 0.1:                     # seen by nobody
                made.append((fact,) + terms + (None, 0.7, inside[0], inside[-1], recorded, recorded))
        return made

    def make_vectors(self):
        dice = self.dice
        self.dims = {"default": 4, "f": 3, "s": 5}
        for i, (name, target, metric) in enumerate((("default", "entity", "cosine"), ("f", "fact", "l2"),
                                                    ("s", "source", "ip"))):
            self.rows["vector_spaces"].append((21 + i, GRAPH, name, target, self.dims[name], metric))
            items = ([e[0] for e in self.rows["entities"]], self.facts, [s[0] for s in self.rows["sources"]])[i]
            for item in items:
                if dice.random() < 0.8:
                    self.rows["embeddings"].append((21 + i, item, GRAPH, self.vector(self.dims[name])))

    def vector(self, dim):
        return [round(self.dice.uniform(-1, 1), 3) for _ in range(dim)]

    # ---- what was visible ----

    def visible(self, as_of, known_at):
        """Rows for THEN; either time is a Time, or None for now."""
        at = Time(NOW.isoformat()) if as_of is None else as_of
        end = at.value == math.inf              # facts without an end hold at the end of time too

        def known(row):
            return known_at is None or Time(row["created_at"]) <= known_at

        def seen(t):
            if known_at is None or known_at.value == math.inf:
                recorded = t["expired_at"] == TO
            else:
                recorded = Time(t["recorded_at"]) <= known_at and known_at < Time(t["expired_at"])
            return recorded and Time(t["valid_from"]) <= at and (
                t["valid_to"] == TO if end else at < Time(t["valid_to"]))

        then = {table: list(self.rows[table]) for table in ("graphs", "predicates", "vector_spaces")}
        for table in ("entities", "sources"):
            then[table] = [r for r in self.rows[table] if known(named(table, r))]
        entities = {r[0] for r in then["entities"]}
        sources = {r[0] for r in then["sources"]}
        then["aliases"] = [r for r in self.rows["aliases"] if r[3] in entities]
        then["triples"], self.seen = [], {}
        for row in self.rows["triples"]:
            t = named("triples", row)
            if seen(t):
                assert {t["subject_id"], t["object_id"]} <= entities, t
                self.seen[t["triple_id"]] = t["valid_from"], t["valid_to"]
                then["triples"].append(row[:7] + (FROM, TO) + (row[9], TO) + row[11:])
        facts = {r[1] for r in then["triples"]}
        then["assertions"] = [r for r in self.rows["assertions"] if r[0] in facts and r[1] in sources and
                              (known_at is None or Time(r[4]) <= known_at)]
        items = {21: entities, 22: facts, 23: sources}
        then["embeddings"] = [r for r in self.rows["embeddings"] if r[1] in items[r[0]]]
        return then

    def rough(self):
        """The rows with faults, and the statements that mend them."""
        dice, rows, mend = self.dice, {}, []
        for table, all_rows in self.rows.items():
            rows[table] = list(all_rows)
            if table not in KEYS:
                continue
            columns = TABLES[table].split()
            for row in dice.sample(all_rows, len(all_rows) // 4):
                if table in ("entities", "sources") and dice.random() < 0.7:
                    # the row itself is referred to
                    rows[table].remove(row)
                    rows[table].append(row[:-1] + (dice.choice(KNOWN),))
                    mend.append(("UPDATE graphmem.%s SET created_at = %%s WHERE %s = %%s" % (table, columns[0]),
                                 (row[-1], row[0])))
                elif table in ("assertions", "embeddings"):
                    rows[table].remove(row)
                    mend.append(insert(table, row))
                elif table == "triples":
                    rows[table].remove(row)
                    if dice.random() < 0.5 or any(e[1] == row[1] for e in self.rows["triples"] if e != row):
                        mend.append(insert(table, row))
                        continue
                    never = "1999-06-%02d %02d:00:00+00" % (row[0] % 30 + 1, row[0] // 30 % 24)
                    rows[table].append(row[:7] + (FROM, TO) + ("1999-01-01 00:00:00+00", never) + row[11:])
                    mend.append(("UPDATE graphmem.triples SET valid_from = %s, valid_to = %s, recorded_at = %s,"
                                 " expired_at = %s WHERE triple_id = %s", row[7:11] + (row[0],)))
        # facts must have a version before they are stated or have a vector
        there = {r[1] for r in rows["triples"]}
        order = {"triples": 0}
        mend.sort(key=lambda m: order.get(m[0].split(".")[1].split(" ")[0], 1))
        for table, place in (("assertions", 0), ("embeddings", 1)):
            late = [r for r in rows[table] if r[place] not in there and (table == "assertions" or r[0] == 22)]
            for row in late:
                rows[table].remove(row)
                mend.append(insert(table, row))
        return rows, mend


def insert(table, row):
    return "INSERT INTO graphmem.%s (%s) VALUES (%s)" % (
        table, ", ".join(TABLES[table].split()), ", ".join(["%s"] * len(row))), row


def fill(connection, rows):
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE %s" % ", ".join("graphmem." + table for table in TABLES))
        for table, columns in TABLES.items():
            psycopg2.extras.execute_values(cursor, "INSERT INTO graphmem.%s (%s) VALUES %%s" % (
                table, ", ".join(columns.split())), rows[table], page_size=1000)
    connection.commit()


# ---- questions ----

class Call:
    def __init__(self, columns, function, **arguments):
        self.columns, self.function, self.arguments = columns, function, arguments
        # ages differ by the seconds between the answers, and so may near ties
        self.ageing = "recency_weight" in arguments

    def comparable(self, rows):
        return sorted((row[1:] for row in rows), key=lambda row: row[0]) if self.ageing else rows

    def sql(self, times):
        given = dict(self.arguments, **times)
        return "SELECT %s FROM graphmem.%s(%s)" % (
            self.columns, self.function, ", ".join("%s => %%(%s)s" % (name, name) for name in given)), given


CASTS = {"item_ids": "::bigint[]"}
MATCH = "triple_id, fact_id, subject, predicate, object, object_type, confidence"
NEIGHBORS = "triple_id, subject, predicate, object, neighbor, direction, confidence"
SUBGRAPH = "triple_id, subject, predicate, object, hops, confidence"


def questions(world):
    dice = world.dice
    entities = [r[2] for r in world.rows["entities"]]
    entity, other, third = dice.sample(entities, 3)
    hub, alias = entities[0], "alias %d" % dice.randrange(2)
    predicates = dice.sample(world.predicates, 3)
    literal = "l%d" % dice.randrange(4)
    t = world.rows["triples"]
    named_of = {r[0]: r[2] for r in world.rows["entities"]}
    fact = dice.choice(t)
    s, p, o = named_of[fact[3]], "p%d" % (fact[4] - 11), named_of[fact[5]]

    def walk(**more):
        given = {}
        if dice.random() < 0.3:
            given["predicates"] = predicates
        if dice.random() < 0.3:
            given["min_confidence"] = dice.choice([0.2, 0.5, 0.9])
        return dict(given, **more)

    def any_direction():
        return {"direction": dice.choice(["both", "out", "in"])}

    for bound in range(8):
        yield Call(MATCH, "match", subject=s if bound & 1 else None, predicate=p if bound & 2 else None,
                   object=o if bound & 4 else None, match_count=dice.choice([None, None, 3]))
    for name in (entity, alias, literal):
        yield Call(MATCH, "match", subject=name)
        yield Call(MATCH, "match", object=name, min_confidence=dice.choice([0, 0.5]))
    yield Call(MATCH, "match", object_type="int")
    yield Call(MATCH, "match", object=literal, object_type="@en")
    for name in (hub, entity, alias, s):
        yield Call(NEIGHBORS, "neighbors", entity=name, match_count=dice.choice([None, 4]), **walk(**any_direction()))
    for order in ("bfs", "dfs"):
        for seeds in ([hub], [entity, alias, literal, None], [s, o]):
            yield Call("*", "traverse", seeds=seeds, max_hops=dice.choice([0, 1, 2, 3]), traversal_order=order,
                       kinds=dice.choice([None, None, ["k1"]]), match_count=dice.choice([None, 5]),
                       **walk(**any_direction()))
    for name in (hub, entity, alias, other):
        yield Call("*", "reach", seed=name, max_hops=dice.choice([0, 1, 2, 3]), **walk(**any_direction()))
    for weight in ("hops", "confidence"):
        for a, b in ((entity, other), (s, o), (third, third), (alias, hub)):
            yield Call("*", "shortest_path", a=a, b=b, weight=weight, **walk(**any_direction()))
            yield Call("*", "paths", a=a, b=b, weight=weight, match_count=4, max_hops=3, **walk())
    for seeds in ([hub], [entity, other]):
        yield Call(SUBGRAPH, "subgraph", seeds=seeds, max_hops=dice.choice([0, 1, 2]),
                   match_count=dice.choice([None, 6]), **walk(**any_direction()))
    for seeds in (None, None, [hub], [entity, alias, other], [third]):
        yield Call("*", "pagerank", seeds=seeds, damping=dice.choice([None, 0.5, 0.9]),
                   match_count=dice.choice([None, None, 7]), kinds=dice.choice([None, ["k1", "k2"]]),
                   epsilon=1e-9, **walk(**any_direction()))
    yield Call("*", "components", min_size=dice.choice([None, 1, 2]), **walk())
    yield Call("*", "components", match_count=9)
    for given in ({}, {"subject": s}, {"subject": s, "predicate": p, "object": o}, {"object": alias}):
        yield Call("*", "confidence", **given)
    item_ids = [r[1] for r in dice.sample(world.rows["embeddings"], 20)]
    for space, dim in world.dims.items():
        for more in ({}, walk(), {"near": [hub, alias], "max_hops": dice.choice([0, 1, 2])}, {"near": [entity], **walk()},
                     {"kinds": ["k1", "doc"]}, {"filter": '{"a": 1}'}, {"item_ids": item_ids}):
            yield Call("*", "vector_search", query_embedding=world.vector(dim), space=space,
                       match_count=dice.choice([3, 10, 100]), exact=dice.choice([True, False]), **more)
    for name in (entity, other, alias):
        yield Call("*", "similar", entity=name, match_count=dice.choice([3, 50]), **walk())
    text = " ".join(dice.sample(WORDS, 2))
    ways = [{"query_embedding": world.vector(4)}, {"query_text": text}, {"query_text": "about " + entity},
            {"seeds": [entity, alias]}, {"query_embedding": world.vector(3), "space": "f"},
            {"query_embedding": world.vector(5), "space": "s"}, {"seeds": [hub], "query_text": text,
                                                                "query_embedding": world.vector(4)}]
    for way in ways:
        for more in ({}, dict(walk(), method=dice.choice(["ppr", "hops"]), max_hops=dice.choice([0, 1, 3])),
                     {"sources": dice.sample(world.sources, 2)}, {"sessions": ["x"], "kinds": ["k1"]},
                     {"recency_weight": 0.5, "filter": '{"a": 1}'}):
            if "recency_weight" in more and world.recent is None:
                continue
            yield Call("*", "fusion_query", match_count=60 if "recency_weight" in more else dice.choice([3, 10, 60]),
                       **way, **more)


# ---- comparing ----

def same(tolerance):
    def near(a, b):
        if isinstance(a, float) and isinstance(b, float):
            return a == b or abs(a - b) <= tolerance * max(1, abs(a))
        return a == b
    return near


class Campaign:
    def __init__(self, seed):
        self.seed = seed
        self.paths = collections.Counter()
        self.rows = collections.Counter()
        self.different = collections.Counter()
        self.shown = 0

    def ask(self, cursor, call, times):
        statement, given = call.sql(times)
        for name, cast in CASTS.items():
            statement = statement.replace("%%(%s)s" % name, "%%(%s)s%s" % (name, cast))
        cursor.execute(statement, given)
        return cursor.fetchall()

    def path(self, cursor, mode):
        cursor.execute("SELECT path FROM graphmem.stat_backend")
        self.paths[mode, cursor.fetchone()[0]] += 1

    def compare(self, mode, call, times, ours, theirs):
        self.rows[call.function] += len(theirs)
        ours, theirs = call.comparable(ours), call.comparable(theirs)
        near = same(AGEING if call.ageing else TOLERANCE)
        differ = [i for i in range(max(len(ours), len(theirs)))
                  if i >= len(ours) or i >= len(theirs) or not all(map(near, ours[i], theirs[i]))]
        if not differ:
            return True
        self.different[call.function] += 1
        if self.shown < 12:
            self.shown += 1
            print("# %s %s %r at %r" % (mode, call.function, call.arguments, times))
            i = differ[0]
            print("# row %d: %r\n#   then: %r" % (i, ours[i] if i < len(ours) else None,
                                                theirs[i] if i < len(theirs) else None))
        return False


def moments(dice):
    """Boundaries themselves, just before them, and the ends of time."""
    def one(ticks, now):
        kind = dice.random()
        if kind < 0.15:
            return now
        if kind < 0.22:
            return FROM
        if kind < 0.29:
            return TO
        tick = dice.choice(ticks)
        if kind < 0.5:
            return (datetime.datetime.fromisoformat(tick) - datetime.timedelta(microseconds=1)).isoformat(sep=" ")
        return tick
    yield None, None
    yield None, dice.choice(KNOWN)
    yield dice.choice(VALID), None
    for _ in range(PAIRS - 3):
        yield one(VALID + FUTURE, None), one(KNOWN, None)


def shift_recorded(then, known_at):
    """As old as it was then: recency is measured from known_at."""
    move = datetime.datetime.now().timestamp() - known_at.value
    columns = TABLES["triples"].split()
    at = columns.index("recorded_at")
    return [r[:at] + (datetime.datetime.fromtimestamp(Time(r[at]).value + move, datetime.timezone.utc),) + r[at + 1:]
            for r in then]


def play(campaign, dice, connections):
    whole, rough, then = connections
    world = World(dice)
    fill(whole, world.rows)
    rows, mend = world.rough()
    fill(rough, rows)
    laid_over = rough.cursor()
    for statement, arguments in mend:
        laid_over.execute(statement, arguments)
    cursor, beside = whole.cursor(), then.cursor()
    for as_of, known_at in moments(dice):
        times = {"as_of": as_of, "known_at": known_at}
        known = None if known_at is None else Time(known_at)
        visible = world.visible(None if as_of is None else Time(as_of), known)
        world.recent = None
        if known is None or known.value == math.inf:
            world.recent = True
        elif known.value != -math.inf:
            visible["triples"] = shift_recorded(visible["triples"], known)
            world.recent = True
        fill(then, visible)
        cursor.execute("SELECT triple_id, coalesce(valid_from, '-infinity')::text, coalesce(valid_to, 'infinity')::text"
                       " FROM graphmem.match(as_of => %(as_of)s, known_at => %(known_at)s)", times)
        found = {row[0]: row[1:] for row in cursor.fetchall()}
        campaign.rows["validity"] += len(found)
        if {k: tuple(v.split("+")[0] for v in vs) for k, vs in found.items()} != \
                {k: tuple(v.split("+")[0] for v in vs) for k, vs in world.seen.items()}:
            campaign.different["validity"] += 1
        for call in questions(world):
            theirs = campaign.ask(beside, call, {})
            cursor.execute("SET graphmem.shared_image = on")
            ours = campaign.ask(cursor, call, times)
            campaign.path(cursor, "shared")
            if not campaign.compare("shared", call, times, ours, theirs):
                continue
            cursor.execute("SET graphmem.shared_image = off")
            ours = campaign.ask(cursor, call, times)
            campaign.path(cursor, "private")
            campaign.compare("private", call, times, ours, theirs)
            ours = campaign.ask(laid_over, call, times)
            campaign.path(laid_over, "overlay")
            campaign.compare("overlay", call, times, ours, theirs)
        whole.commit()
        then.commit()
    rough.rollback()


def main():
    seed, rounds = int(sys.argv[1]), int(sys.argv[2])
    connections = [psycopg2.connect(c) for c in sys.argv[3:6]]
    for connection in connections:
        with connection.cursor() as cursor:
            cursor.execute("SET timezone = 'UTC'; SET client_min_messages = error")
        connection.commit()
    campaign = Campaign(seed)
    for i in range(rounds):
        play(campaign, random.Random("%d %d" % (seed, i)), connections)
    for function, rows in sorted(campaign.rows.items()):
        print("%sok - %s: same answers" % ("not " if campaign.different[function] else "", function))
        print("# %d rows, %d answers differ" % (rows, campaign.different[function]))
        print("%sok - %s: answers with rows" % ("" if rows > 20 * rounds else "not ", function))
    for mode in ("shared", "private", "overlay"):
        took, all_of = campaign.paths[mode, mode], sum(n for (m, _), n in campaign.paths.items() if m == mode)
        print("%sok - %s answers came that way" % ("" if took >= 0.9 * all_of > 0 else "not ", mode))
        print("# %d of %d: %s" % (took, all_of, dict(campaign.paths)))
    print("done")


if __name__ == "__main__":
    main()
