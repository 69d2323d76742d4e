"""Random writes and random questions, for tests that run both at once.

Every name comes from small fixed pools, so that writes meet each other and
questions meet what was written without anybody keeping a list of it:

    e0 ..  entities     l0 ..  literals       a0 ..  aliases     r0 ..  names after a renaming
    p0 ..  predicates   s0 ..  sources        side0 ..  graphs that come and go
"""

import random

import psycopg2
import psycopg2.extensions

PAST = ["200%d-01-01 00:00:00+00" % i for i in range(1, 10)]
FUTURE = ["210%d-01-01 00:00:00+00" % i for i in range(1, 10)]
LITERAL_TYPES = ["int", "@en", ""]
KINDS = ["k1", "k2"]
SESSIONS = ["x", "y"]
SPACES = {"default": ("entity", 8, "cosine"), "f": ("fact", 5, "l2"), "s": ("source", 3, "ip")}
SIDE_GRAPHS = ["side%d" % i for i in range(3)]
PREDICATES = 5
SOURCES = 6

# What random writes may run into: serialization failure and deadlock, unique,
# foreign key, exclusion and check violations, empty validity, names that are
# gone or there, steps and merges that later ones stand on.
EXPECTED = {"40001", "40P01", "23505", "23503", "23P01", "23514", "22023", "42704", "42710", "55000"}


def state_of(error):
    """SQLSTATE; None where the connection itself was lost."""
    return getattr(error, "pgcode", None)


class Graph:
    def __init__(self, number, name, entities, cap, ticking=False):
        self.id, self.name, self.entities, self.cap = 100 + number, name, entities, cap
        self.ticking = ticking      # has facts whose validity begins or ends just now

    def entity(self, dice):
        return "e%d" % dice.randrange(self.entities)

    def literal(self, dice):
        return "l%d" % dice.randrange(4)

    def name_of_any(self, dice):
        return dice.choice([self.entity(dice)] * 12 + [self.literal(dice), "a%d" % dice.randrange(4),
                                                       "r%d" % dice.randrange(4), "no such name"])


def graphs():
    return [Graph(0, "small", 8, 40), Graph(1, "middle", 30, 150), Graph(2, "it's \"large\"", 120, 500),
            Graph(3, "ticking", 12, 60, True)]


# ---- SQL text ----

def text(value):
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, Raw):
        return value.sql
    if isinstance(value, list):
        return "ARRAY[%s]::text[]" % ", ".join(map(text, value))
    return "'" + value.replace("'", "''") + "'"


class Raw:
    def __init__(self, sql):
        self.sql = sql


def reals(values):
    return Raw("'{%s}'::real[]" % ",".join("%.3g" % v for v in values))


def call(function, graph, **arguments):
    given = ['"%s" => %s' % (k, text(v)) for k, v in arguments.items()]
    return "graphmem.%s(%s)" % (function, ", ".join(given + ["graph => " + text(graph)]))


def vector(dice, dim):
    return reals([dice.choice([-1, -0.5, 0.25, 0.5, 1, 2]) for _ in range(dim)])


def picked(dice, g, table, column, where="true"):
    """A row of the graph, another one each time."""
    return "(SELECT {1} FROM graphmem.{0} WHERE graph_id = {2} AND {3} ORDER BY md5({1}::text || '{4}') LIMIT 1)" \
        .format(table, column, g.id, where, dice.randrange(10 ** 6))


def times(dice, g, open_end="NULL"):
    """SQL of valid_from, valid_to."""
    if g.ticking and dice.random() < 0.7:
        low = dice.choice([open_end, "clock_timestamp() + '%d ms'" % dice.randint(-500, 500)])
        return low, dice.choice([open_end, "clock_timestamp() + '%d ms'" % dice.randint(600, 3000)])
    if dice.random() < 0.6:
        return open_end, open_end
    low, high = dice.choice([None] + PAST + FUTURE), dice.choice([None] + PAST + FUTURE)
    if low is not None and high is not None and low >= high:
        low = None
    return (open_end if low is None else text(low) + "::timestamptz",
            open_end if high is None else text(high) + "::timestamptz")


# ---- writes ----
# Each returns statements of one transaction; the graph is the current one.

def insert_facts(dice, g):
    rows = []
    for _ in range(dice.choice([1, 1, 2, 5])):
        literal = dice.random() < 0.2
        low, high = times(dice, g)
        rows.append("(%s, %s, %s, %s, %s, %s, %s, %s, %s)" % (
            text(g.entity(dice)), text("p%d" % dice.randrange(PREDICATES)),
            text(g.literal(dice) if literal else g.entity(dice)),
            text(dice.choice([None, "s%d" % dice.randrange(SOURCES)])),
            text(dice.choice([None, 0, 0.25, 0.5, 0.9, 1])), low, high,
            text(dice.choice([None, None] + KINDS)),
            text(dice.choice(LITERAL_TYPES) if literal else None)))
    return ["INSERT INTO graphmem.facts (subject, predicate, object, source, confidence, valid_from, valid_to,"
            " subject_kind, object_type) SELECT s, p, o, c, x::real, f::timestamptz, t::timestamptz, k, y"
            " FROM (VALUES %s) AS v (s, p, o, c, x, f, t, k, y)" % ", ".join(rows)]


def update_facts(dice, g):
    low, high = times(dice, g)
    change = dice.choice(["confidence = %s" % dice.choice([0, 0.3, 1]), "valid_to = " + high,
                          "valid_from = " + low, "properties = '{\"n\": %d}'" % dice.randrange(9)])
    return ["UPDATE graphmem.facts SET %s WHERE fact_id = %s"
            % (change, picked(dice, g, "triples", "fact_id", "expired_at = 'infinity'"))]


def delete_facts(dice, g):
    return ["DELETE FROM graphmem.facts WHERE fact_id = " + picked(dice, g, "triples", "fact_id")]


def call_add_triple(dice, g):
    low, high = times(dice, g)
    return ["SELECT " + call("add_triple", g.name, subject=g.entity(dice),
                             predicate="p%d" % dice.randrange(PREDICATES), object=g.entity(dice),
                             source=dice.choice([None, "s%d" % dice.randrange(SOURCES)]),
                             confidence=dice.choice([None, 0.5]), valid_from=Raw(low), valid_to=Raw(high))]


def call_add_entity(dice, g):
    return ["SELECT " + call("add_entity", g.name, name=g.entity(dice), kind=dice.choice([None] + KINDS),
                             properties=dice.choice([None, Raw("'{\"a\": %d}'" % dice.randrange(3))]))]


def call_add_source(dice, g):
    return ["SELECT " + call("add_source", g.name, name="s%d" % dice.randrange(SOURCES),
                             content=dice.choice([None, "words about e%d and e%d" % (
                                 dice.randrange(g.entities), dice.randrange(g.entities))]),
                             session=dice.choice([None] + SESSIONS), kind=dice.choice([None] + KINDS),
                             reliability=dice.choice([None, 0, 0.5, 1]),
                             metadata=dice.choice([None, Raw("'{\"a\": 1}'")]))]


def call_set_predicate(dice, g):
    return ["SELECT " + call("set_predicate", g.name, name="p%d" % dice.randrange(PREDICATES),
                             symmetric=dice.choice([None, True, False]),
                             weight=dice.choice([None, 0.5, 1, 3]),
                             functional=dice.choice([None, None, None, False]))]


def call_set_embedding(dice, g):
    space = dice.choice(list(SPACES))
    target, dim, _ = SPACES[space]
    item = text(g.entity(dice)) if target == "entity" else text("s%d" % dice.randrange(SOURCES))
    if target == "fact":
        item = picked(dice, g, "triples", "fact_id") + "::text"
        return ["SELECT %s FROM (SELECT %s AS item) AS i WHERE item IS NOT NULL" % (
            call("set_embedding", g.name, item=Raw("item"), embedding=vector(dice, dim), space=space), item)]
    return ["SELECT " + call("set_embedding", g.name, item=Raw(item), embedding=vector(dice, dim), space=space)]


def call_set_embeddings(dice, g):
    items = ["e%d" % i for i in dice.sample(range(g.entities), 4)]
    return ["SELECT " + call("set_embeddings", g.name, items=items, dim=8,
                             flat=reals([dice.choice([-1, 0.5, 1]) for _ in range(32)]))]


def insert_triples(dice, g):
    low, high = times(dice, g, "'-infinity'::timestamptz" if dice.random() < 0.9 else "'2004-01-01'::timestamptz")
    if low.startswith("'2004"):
        high = "'infinity'::timestamptz"
    high = high.replace("'-inf", "'inf")
    known = dice.choice(["now(), 'infinity'"] * 3 + ["'2003-01-01', 'infinity'", "'2003-01-01', '2006-01-01'",
                                                     "'2002-01-01', now() + '1 day'"])
    o = "s" if dice.random() < 0.1 else picked(dice, g, "entities", "entity_id")
    return ["INSERT INTO graphmem.triples (graph_id, subject_id, predicate_id, object_id, confidence,"
            " valid_from, valid_to, recorded_at, expired_at)"
            " SELECT %d, s, p, %s, %s, %s, %s, %s FROM (SELECT %s AS s, %s AS p) AS x"
            " WHERE s IS NOT NULL AND p IS NOT NULL ON CONFLICT DO NOTHING"
            % (g.id, o, dice.choice([0, 0.5, 0.77, 1]), low, high, known,
               picked(dice, g, "entities", "entity_id"), picked(dice, g, "predicates", "predicate_id"))]


def insert_many_triples(dice, g):
    n = dice.choice([50, 300])
    return ["INSERT INTO graphmem.triples (graph_id, subject_id, predicate_id, object_id, confidence, valid_from)"
            " SELECT {0}, s.entity_id, p.predicate_id, o.entity_id, 0.5, '2001-01-01'::timestamptz + i * '1 s'::interval"
            " FROM generate_series(1, {1}) AS i,"
            " LATERAL (SELECT entity_id FROM graphmem.entities WHERE graph_id = {0} ORDER BY md5(entity_id::text || i || '{2}') LIMIT 1) AS s,"
            " LATERAL (SELECT entity_id FROM graphmem.entities WHERE graph_id = {0} ORDER BY md5(i || entity_id::text || '{2}') LIMIT 1) AS o,"
            " LATERAL (SELECT predicate_id FROM graphmem.predicates WHERE graph_id = {0} ORDER BY md5(i || predicate_id::text) LIMIT 1) AS p"
            " ON CONFLICT DO NOTHING".format(g.id, n, dice.randrange(10 ** 6))]


def update_triples(dice, g):
    low, high = times(dice, g, "'-infinity'::timestamptz")
    high = high.replace("'-inf", "'inf")
    change = dice.choice([
        "confidence = %s" % dice.choice([0, 0.1, 0.6, 1]),
        "object_id = " + picked(dice, g, "entities", "entity_id"),
        "subject_id = " + picked(dice, g, "entities", "entity_id"),
        "predicate_id = " + picked(dice, g, "predicates", "predicate_id"),
        "valid_from = %s, valid_to = %s" % (low, high),
        "expired_at = " + dice.choice(["'infinity'", "now() + '1 hour'", "greatest(recorded_at + '1 s', now())"]),
        "recorded_at = least(now(), expired_at - '1 s'::interval)",
        "triple_id = triple_id + 1000000007",
        "properties = '{\"z\": 1}'",
    ])
    where = dice.choice(["triple_id = " + picked(dice, g, "triples", "triple_id")] * 4 +
                        ["subject_id = " + picked(dice, g, "triples", "subject_id")])
    return ["UPDATE graphmem.triples SET %s WHERE graph_id = %d AND %s" % (change, g.id, where)]


def delete_triples(dice, g):
    return ["DELETE FROM graphmem.triples WHERE graph_id = %d AND triple_id = %s"
            % (g.id, picked(dice, g, "triples", "triple_id"))]


def delete_many_triples(dice, g):
    return ["DELETE FROM graphmem.triples WHERE graph_id = %d AND triple_id %% %d = %d"
            % (g.id, dice.choice([2, 3, 5]), dice.randrange(2))]


def trim(dice, g):
    return ["DELETE FROM graphmem.triples WHERE triple_id IN (SELECT triple_id FROM graphmem.triples"
            " WHERE graph_id = %d ORDER BY md5(triple_id::text || '%d') OFFSET %d)"
            % (g.id, dice.randrange(10 ** 6), g.cap)]


def update_entity(dice, g):
    change = dice.choice(["kind = 'k1'", "kind = NULL", "name = 'r%d'" % dice.randrange(4),
                          "name = '%s'" % g.entity(dice), "literal_type = '@en'", "literal_type = NULL",
                          "properties = '{\"a\": 2}'"])
    return ["UPDATE graphmem.entities SET %s WHERE entity_id = %s"
            % (change, picked(dice, g, "entities", "entity_id"))]


def delete_entity(dice, g):
    entity = picked(dice, g, "entities", "entity_id")
    return ["DELETE FROM graphmem.triples WHERE subject_id = {0} OR object_id = {0}".format(entity),
            "DELETE FROM graphmem.entities WHERE entity_id = " + entity]


def change_alias(dice, g):
    name = text("a%d" % dice.randrange(4))
    return [dice.choice([
        "INSERT INTO graphmem.aliases (graph_id, name, entity_id) SELECT %d, %s, e FROM (SELECT %s AS e) AS x"
        " WHERE e IS NOT NULL ON CONFLICT DO NOTHING" % (g.id, name, picked(dice, g, "entities", "entity_id")),
        "UPDATE graphmem.aliases SET entity_id = COALESCE(%s, entity_id) WHERE graph_id = %d AND name = %s"
        % (picked(dice, g, "entities", "entity_id"), g.id, name),
        "DELETE FROM graphmem.aliases WHERE graph_id = %d AND name = %s" % (g.id, name)])]


def update_predicate(dice, g):
    change = dice.choice(['"symmetric" = NOT "symmetric"', "weight = %s" % dice.choice([0.25, 1, 2]),
                          "name = 'p%d'" % dice.randrange(PREDICATES + 1)])
    return ["UPDATE graphmem.predicates SET %s WHERE predicate_id = %s"
            % (change, picked(dice, g, "predicates", "predicate_id"))]


def delete_predicate(dice, g):
    return ["DELETE FROM graphmem.triples WHERE predicate_id = " + picked(dice, g, "predicates", "predicate_id"),
            "DELETE FROM graphmem.predicates WHERE graph_id = %d AND NOT EXISTS (SELECT FROM graphmem.triples t"
            " WHERE t.predicate_id = predicates.predicate_id)" % g.id]


def change_source(dice, g):
    source = picked(dice, g, "sources", "source_id")
    return [dice.choice(["UPDATE graphmem.sources SET reliability = %s WHERE source_id = %s"
                         % (dice.choice([0, 0.5, 0.8]), source),
                         "UPDATE graphmem.sources SET session = 'x', kind = 'k2' WHERE source_id = " + source,
                         "UPDATE graphmem.sources SET name = 's%d' WHERE source_id = %s"
                         % (dice.randrange(SOURCES + 1), source),
                         "UPDATE graphmem.sources SET metadata = '{\"a\": 1, \"b\": 2}', created_at = '2004-01-01'"
                         " WHERE source_id = " + source,
                         "DELETE FROM graphmem.sources WHERE source_id = " + source])]


def change_assertion(dice, g):
    one = "graph_id = %d AND (fact_id, source_id) = (%s, %s)" % (
        g.id, picked(dice, g, "assertions", "fact_id"), picked(dice, g, "sources", "source_id"))
    return [dice.choice([
        "INSERT INTO graphmem.assertions (graph_id, fact_id, source_id, confidence, asserted_at)"
        " SELECT %d, f, s, %s, %s FROM (SELECT %s AS f, %s AS s) AS x WHERE f IS NOT NULL AND s IS NOT NULL"
        " ON CONFLICT DO NOTHING" % (g.id, dice.choice([0, 0.4, 1]), dice.choice(["now()", "'2004-01-01'"]),
                                     picked(dice, g, "triples", "fact_id"), picked(dice, g, "sources", "source_id")),
        "UPDATE graphmem.assertions SET confidence = %s WHERE %s" % (dice.choice([0.2, 0.9]), one),
        "UPDATE graphmem.assertions SET asserted_at = '2005-01-01' WHERE " + one,
        "DELETE FROM graphmem.assertions WHERE " + one])]


def change_embedding(dice, g):
    space = dice.choice(list(SPACES))
    dim = SPACES[space][1]
    one = "(space_id, item_id) = (SELECT space_id, item_id FROM graphmem.embeddings JOIN graphmem.vector_spaces" \
        " USING (space_id) WHERE name = '%s' AND embeddings.graph_id = %d ORDER BY md5(item_id::text || '%d') LIMIT 1)" \
        % (space, g.id, dice.randrange(10 ** 6))
    return [dice.choice(["UPDATE graphmem.embeddings SET embedding = %s WHERE %s" % (text(vector(dice, dim)), one),
                         "DELETE FROM graphmem.embeddings WHERE " + one])]


def change_space(dice, g):
    name = "v%d" % dice.randrange(2)
    if dice.random() < 0.5:
        return ["SELECT " + call("create_vector_space", g.name, name=name, dim=2),
                "SELECT " + call("set_embedding", g.name, item=g.entity(dice), embedding=vector(dice, 2), space=name)]
    return ["SELECT " + call("drop_vector_space", g.name, name=name)]


def change_computed(dice, g):
    """A next version of the space "topology", rows of the one there is, or its end."""
    def fill(name, share):
        return "INSERT INTO graphmem.topology_vectors (space_id, entity_id, graph_id, shape, embedding)" \
            " SELECT v.space_id, e.entity_id, v.graph_id, %s, ARRAY[1, e.entity_id %% %d, %d]::real[]" \
            " FROM graphmem.vector_spaces v JOIN graphmem.entities e USING (graph_id) WHERE v.graph_id = %d" \
            " AND v.name = '%s' AND v.origin = 'topology' AND hashint8(e.entity_id) %% 100 < %d" \
            " ON CONFLICT (space_id, entity_id) DO UPDATE SET embedding = excluded.embedding" % (
                dice.choice(["NULL", "5"]), dice.randrange(2, 9), dice.randrange(5), g.id, name, share)
    make = "INSERT INTO graphmem.vector_spaces (graph_id, name, dim, origin, state)" \
        " VALUES (%d, 'next', 3, 'topology', 'computing') ON CONFLICT DO NOTHING" % g.id
    end = "DELETE FROM graphmem.vector_spaces WHERE graph_id = %d AND name = 'topology'" % g.id
    kind = dice.random()
    if kind < 0.35:
        return [make, fill("next", dice.choice([30, 80, 100])), end,
                "UPDATE graphmem.vector_spaces SET name = 'topology', state = 'ready'"
                " WHERE graph_id = %d AND name = 'next' AND origin = 'topology'" % g.id]
    if kind < 0.85:
        return [fill("topology", dice.choice([2, 10, 40]))]
    if kind < 0.95:
        return ["DELETE FROM graphmem.topology_vectors WHERE graph_id = %d AND entity_id %% 7 = %d"
                % (g.id, dice.randrange(7))]
    return [end]


def change_side_graph(dice, g):
    name = dice.choice(SIDE_GRAPHS)
    kind = dice.random()
    if kind < 0.4:
        return ["SELECT graphmem.create_graph(%s)" % text(name),
                "SELECT " + call("add_triple", name, subject="e0", predicate="p0", object="e1", source="s0")]
    if kind < 0.6:
        return ["SELECT graphmem.drop_graph(%s)" % text(name)]
    if kind < 0.7:
        return ["UPDATE graphmem.graphs SET name = %s WHERE name = %s" % (text(dice.choice(SIDE_GRAPHS)), text(name))]
    if kind < 0.8:
        return ["UPDATE graphmem.graphs SET residency = '%s' WHERE name = %s"
                % (dice.choice(["auto", "none", "pinned"]), text(name))]
    return ["SELECT " + call("add_triple", name, subject="e%d" % dice.randrange(3), predicate="p0",
                             object="e%d" % dice.randrange(3))]


def call_supersede(dice, g):
    old, new = g.entity(dice), g.entity(dice)
    return ["SELECT " + call("supersede", g.name, subject=g.entity(dice), predicate="p%d" % dice.randrange(PREDICATES),
                             object=old, new_object=new, valid_from=Raw(times(dice, g)[0]),
                             reason=dice.choice([None, "because"]),
                             source=dice.choice([None, "s%d" % dice.randrange(SOURCES)]))]


def supersede_known(dice, g):
    """A fact that is there, mostly."""
    return ["SELECT graphmem.supersede(subject, predicate, object, %s, %s, source => %s, object_type => object_type,"
            " graph => %s) FROM graphmem.facts WHERE fact_id = %s"
            % (text(g.entity(dice)), times(dice, g)[0], text(dice.choice([None, "s%d" % dice.randrange(SOURCES)])),
               text(g.name), picked(dice, g, "triples", "fact_id", "expired_at = 'infinity'"))]


def retract_known(dice, g):
    return ["SELECT graphmem.retract(subject, predicate, object, %s, object_type => object_type, graph => %s)"
            " FROM graphmem.facts WHERE fact_id = %s"
            % (dice.choice(["NULL", text(dice.choice(PAST))]), text(g.name),
               picked(dice, g, "triples", "fact_id", "expired_at = 'infinity'"))]


def call_undo(dice, g):
    return ["SELECT graphmem.undo_supersede(s) FROM (SELECT %s AS s) AS x WHERE s IS NOT NULL"
            % picked(dice, g, "supersessions", "supersession_id",
                     "undone_at IS NULL" if dice.random() < 0.9 else "true")]


def call_forget(dice, g):
    if dice.random() < 0.7:
        return ["SELECT count(*) FROM " + call("forget_source", g.name, source="s%d" % dice.randrange(SOURCES),
                                               dry_run=dice.random() < 0.3)]
    return ["SELECT count(*) FROM " + call("forget_entity", g.name, entity=g.name_of_any(dice),
                                           dry_run=dice.random() < 0.3)]


def call_merge(dice, g):
    return ["SELECT * FROM " + call("merge_entities", g.name, keep=g.entity(dice), gone=g.entity(dice),
                                    dry_run=dice.random() < 0.2)]


def call_unmerge(dice, g):
    return ["SELECT u.* FROM (SELECT %s AS m) AS x, graphmem.unmerge_entities(m) AS u WHERE m IS NOT NULL"
            % picked(dice, g, "merges", "merge_id", "unmerged_at IS NULL" if dice.random() < 0.9 else "true")]


def call_alias(dice, g):
    name = "a%d" % dice.randrange(4)
    if dice.random() < 0.6:
        return ["SELECT " + call("add_alias", g.name, entity=g.entity(dice), alias=name)]
    return ["SELECT " + call("drop_alias", g.name, alias=name)]


def call_functional(dice, g):
    return ["SELECT " + call("set_predicate", g.name, name="p%d" % (PREDICATES - 1),
                             functional=dice.random() < 0.5)]


def call_weight(dice, g):
    return ["SELECT " + call("set_predicate", g.name, name="p%d" % dice.randrange(PREDICATES),
                             weight=dice.choice([1, 2]))]


def use_space(dice, g):
    """One that comes and goes."""
    return [dice.choice(["SELECT " + call("create_vector_space", g.name, name="v0", dim=2),
                         "SELECT " + call("drop_vector_space", g.name, name="v0")] +
                        ["SELECT " + call("set_embedding", g.name, item=g.entity(dice), embedding=vector(dice, 2),
                                          space="v0")] * 4)]


WRITES = {
    call_supersede: 1, supersede_known: 3, retract_known: 2, call_undo: 2, call_forget: 0.7, call_merge: 1,
    call_unmerge: 1, call_alias: 1,
    insert_facts: 12, update_facts: 6, delete_facts: 3, call_add_triple: 8, call_add_entity: 3, call_add_source: 3,
    call_set_predicate: 2, call_set_embedding: 6, call_set_embeddings: 2, insert_triples: 10,
    insert_many_triples: 1, update_triples: 12, delete_triples: 5, delete_many_triples: 0.5, trim: 4,
    update_entity: 4, delete_entity: 1, change_alias: 3, update_predicate: 2, delete_predicate: 0.3,
    change_source: 3, change_assertion: 5, change_embedding: 4, change_space: 1, change_computed: 4,
    change_side_graph: 3,
}


# Through functions and the view alone: what BROKEN looks for must never be found.
STATEMENTS = {
    insert_facts: 12, update_facts: 4, delete_facts: 1, call_add_triple: 6, call_supersede: 1, supersede_known: 6,
    retract_known: 3, call_undo: 5, call_forget: 1.5, call_merge: 2, call_unmerge: 2.5, call_alias: 1,
    call_functional: 0.5, call_weight: 0.5, call_set_embedding: 2, call_add_source: 1, call_add_entity: 1,
    use_space: 0.7,
}


def random_write(dice, g, writes=WRITES):
    write, = dice.choices(list(writes), list(writes.values()))
    return write(dice, g)


def use_graph(g):
    return "SET LOCAL graphmem.graph = " + text(g.name)


def fill_functional(cursor, g):
    """A graph for STATEMENTS; all its predicates but the first are functional at first."""
    cursor.execute("INSERT INTO graphmem.graphs (graph_id, name) VALUES (%d, %s)" % (g.id, text(g.name)))
    for name, (target, dim, metric) in SPACES.items():
        cursor.execute("SELECT " + call("create_vector_space", g.name, name=name, dim=dim, target=target,
                                        metric=metric))
    for i in range(PREDICATES):
        cursor.execute("INSERT INTO graphmem.predicates (graph_id, name, functional) VALUES (%d, 'p%d', %s)"
                       % (g.id, i, text(i > 0)))


def populate(connection, some_graphs, seed):
    """The graphs, filled; committed."""
    dice = random.Random(seed)
    with connection.cursor() as cursor:
        for g in some_graphs:
            cursor.execute("INSERT INTO graphmem.graphs (graph_id, name) VALUES (%d, %s)" % (g.id, text(g.name)))
            cursor.execute(use_graph(g))
            for name, (target, dim, metric) in SPACES.items():
                cursor.execute("SELECT " + call("create_vector_space", g.name, name=name, dim=dim, target=target,
                                                metric=metric))
            for i in range(PREDICATES):
                cursor.execute("SELECT " + call("add_triple", g.name, subject="e0", predicate="p%d" % i, object="e1"))
            for i in range(g.entities):
                cursor.execute("SELECT " + call("add_entity", g.name, name="e%d" % i, kind=dice.choice([None] + KINDS)))
            for _ in range(g.cap // 3):
                for write in (insert_facts, call_add_triple):
                    for statement in write(dice, g):
                        cursor.execute("SAVEPOINT s")
                        try:
                            cursor.execute(statement)
                        except psycopg2.Error as error:
                            if state_of(error) not in EXPECTED:
                                raise
                            cursor.execute("ROLLBACK TO s")
            for _ in range(g.entities):
                for statement in call_set_embedding(dice, g):
                    cursor.execute(statement)
            connection.commit()


# ---- questions ----

def filters(dice, g, walk=True, least=True):
    given = {}
    if walk and dice.random() < 0.3:
        given["predicates"] = dice.sample(["p%d" % i for i in range(PREDICATES)] + ["no such", None],
                                          dice.choice([0, 1, 2, 3, 4, 5, 6]))
    if walk and dice.random() < 0.6:
        given["direction"] = dice.choice([None, "both", "out", "in"])
    if least and dice.random() < 0.25:
        given["min_confidence"] = dice.choice([0.0501, 0.3003, 0.7007])
    if dice.random() < 0.25:
        given["as_of"] = dice.choice(PAST + FUTURE + ["infinity", "-infinity"])
    if dice.random() < 0.2:
        given["known_at"] = dice.choice(PAST[4:] + FUTURE * 2 + ["infinity", "-infinity"])
    return given


def seeds(dice, g):
    return [g.name_of_any(dice) for _ in range(dice.choice([0, 1, 1, 2, 2, 3]))] + dice.choice([[], [], [None]])


def ask_match(dice, g):
    return call("match", g.name, subject=dice.choice([None, g.name_of_any(dice)]),
                predicate=dice.choice([None, None, "p%d" % dice.randrange(PREDICATES)]),
                object=dice.choice([None, None, g.name_of_any(dice)]),
                object_type=dice.choice([None] * 5 + LITERAL_TYPES),
                match_count=dice.choice([None, None, 0, 1, 5]), **filters(dice, g, walk=False))


def ask_confidence(dice, g):
    return call("confidence", g.name, subject=dice.choice([None, g.name_of_any(dice)]),
                predicate=dice.choice([None, "p%d" % dice.randrange(PREDICATES)]),
                **filters(dice, g, walk=False, least=False))


def ask_neighbors(dice, g):
    return call("neighbors", g.name, entity=g.name_of_any(dice), match_count=dice.choice([None, None, 1, 5]),
                **filters(dice, g))


def ask_traverse(dice, g):
    return call("traverse", g.name, seeds=seeds(dice, g), max_hops=dice.choice([0, 1, 2, 3, 1000000]),
                traversal_order=dice.choice(["bfs", "dfs"]), kinds=dice.choice([None, None, KINDS, ["k1"], []]),
                match_count=dice.choice([None, None, 3]), **filters(dice, g))


def ask_reach(dice, g):
    return call("reach", g.name, seed=g.name_of_any(dice), max_hops=dice.choice([0, 1, 2, 3, 1000000]),
                **filters(dice, g))


def ask_shortest_path(dice, g):
    return call("shortest_path", g.name, a=g.name_of_any(dice), b=g.name_of_any(dice),
                weight=dice.choice(["hops", "confidence"]), max_hops=dice.choice([None, 0, 2, 5]),
                **filters(dice, g))


def ask_paths(dice, g):
    return call("paths", g.name, a=g.name_of_any(dice), b=g.name_of_any(dice), match_count=dice.choice([1, 3, 5]),
                max_hops=dice.choice([1, 2, 3]), weight=dice.choice(["hops", "confidence"]), **filters(dice, g))


def ask_subgraph(dice, g):
    return call("subgraph", g.name, seeds=seeds(dice, g), max_hops=dice.choice([0, 1, 2]),
                match_count=dice.choice([None, None, 4]), **filters(dice, g))


def ask_pagerank(dice, g):
    return call("pagerank", g.name, seeds=dice.choice([None, seeds(dice, g)]),
                match_count=dice.choice([None, 5, 100]), damping=dice.choice([None, 0, 0.5, 0.99]),
                kinds=dice.choice([None, None, ["k1"]]), epsilon=dice.choice([None, 1e-9]), **filters(dice, g))


def ask_components(dice, g):
    given = filters(dice, g)
    given.pop("direction", None)
    return call("components", g.name, min_size=dice.choice([None, 1, 2]), match_count=dice.choice([None, 4]), **given)


def vector_filters(dice, g):
    given = filters(dice, g)
    given.pop("direction", None)
    if dice.random() < 0.2:
        given["kinds"] = ["k1"]
    if dice.random() < 0.2:
        given["near"] = seeds(dice, g)
        given["max_hops"] = dice.choice([0, 1, 2])
    if dice.random() < 0.15:
        given["filter"] = Raw("'{\"a\": 1}'")
    return given


def ask_vector_search(dice, g):
    space = dice.choice(list(SPACES) + ["v0", "topology"])
    dim = SPACES[space][1] if space in SPACES else 3 if space == "topology" else 2
    return call("vector_search", g.name, query_embedding=vector(dice, dim),
                space=space, match_count=dice.choice([1, 5, 100]), exact=dice.choice([True, False]),
                **vector_filters(dice, g))


def ask_similar(dice, g):
    return call("similar", g.name, entity=g.name_of_any(dice), match_count=dice.choice([1, 5, 100]),
                **vector_filters(dice, g))


def ask_fusion_query(dice, g):
    given = filters(dice, g)
    given.pop("direction", None)
    ways = {}
    while not ways:
        if dice.random() < 0.5:
            ways["query_embedding"] = vector(dice, 8)
        if dice.random() < 0.3:
            ways["query_text"] = "words about " + g.entity(dice)
        if dice.random() < 0.5:
            ways["seeds"] = seeds(dice, g)
    if dice.random() < 0.2:
        given["sources"] = ["s%d" % dice.randrange(SOURCES)]
    if dice.random() < 0.1:
        given["sessions"] = ["x"]
    if dice.random() < 0.2:
        given["kinds"] = KINDS
    if dice.random() < 0.2:
        given["recency_weight"] = 0.5
    return call("fusion_query", g.name, match_count=dice.choice([1, 10, 50]), max_hops=dice.choice([0, 1, 2]),
                method=dice.choice([None, "ppr", "hops"]), **ways, **given)


def ask_nested(dice, g):
    """Two images open at once, of one graph or two."""
    other = g.name if dice.random() < 0.5 else "middle"
    return "(SELECT m.triple_id, n.* FROM %s AS m, LATERAL %s AS n)" % (
        call("match", g.name, match_count=3), call("neighbors", other, entity=Raw("m.subject"), match_count=3))


def ask_side_graph(dice, g):
    return call(*dice.choice([("match",), ("components",)]), dice.choice(SIDE_GRAPHS))


QUESTIONS = {
    ask_match: 6, ask_confidence: 3, ask_neighbors: 8, ask_traverse: 6, ask_reach: 6, ask_shortest_path: 5,
    ask_paths: 5, ask_subgraph: 4, ask_pagerank: 6, ask_components: 3, ask_vector_search: 8, ask_similar: 4,
    ask_fusion_query: 8, ask_nested: 2, ask_side_graph: 2,
}


def random_question(dice, g):
    """A term of FROM."""
    ask, = dice.choices(list(QUESTIONS), list(QUESTIONS.values()))
    return ask(dice, g)


# ---- what must never be found where only STATEMENTS write; {0}: the graph's id ----

BROKEN = {
    "open versions of a functional predicate that overlap":
        "SELECT a, b FROM graphmem.triples a JOIN graphmem.triples b USING (subject_id, predicate_id)"
        " JOIN graphmem.predicates p USING (predicate_id) WHERE a.graph_id = {0} AND p.functional"
        " AND a.triple_id < b.triple_id AND a.expired_at = 'infinity' AND b.expired_at = 'infinity'"
        " AND a.valid_from < b.valid_to AND b.valid_from < a.valid_to",
    "open versions of a fact that overlap":
        "SELECT a, b FROM graphmem.triples a JOIN graphmem.triples b USING (subject_id, predicate_id, object_id)"
        " WHERE a.graph_id = {0} AND a.triple_id < b.triple_id AND a.expired_at = 'infinity'"
        " AND b.expired_at = 'infinity' AND a.valid_from < b.valid_to AND b.valid_from < a.valid_to",
    "versions of one fact that differ":
        "SELECT a, b FROM graphmem.triples a JOIN graphmem.triples b USING (fact_id) WHERE a.graph_id = {0}"
        " AND (a.subject_id, a.predicate_id, a.object_id, a.graph_id)"
        " <> (b.subject_id, b.predicate_id, b.object_id, b.graph_id)",
    "versions whose copy of functional is not the predicate's":
        "SELECT t FROM graphmem.triples t JOIN graphmem.predicates p USING (predicate_id) WHERE t.graph_id = {0}"
        " AND t.expired_at = 'infinity' AND t.functional <> p.functional",
    "versions with an end that is not there":
        "SELECT t FROM graphmem.triples t WHERE t.graph_id = {0} AND ("
        " NOT EXISTS (SELECT FROM graphmem.entities e WHERE e.entity_id = t.subject_id AND e.graph_id = {0})"
        " OR NOT EXISTS (SELECT FROM graphmem.entities e WHERE e.entity_id = t.object_id AND e.graph_id = {0})"
        " OR NOT EXISTS (SELECT FROM graphmem.predicates p WHERE p.predicate_id = t.predicate_id"
        " AND p.graph_id = {0}))",
    "steps of facts or versions that are not there":
        "SELECT c FROM graphmem.supersessions c WHERE c.graph_id = {0} AND ("
        " NOT EXISTS (SELECT FROM graphmem.triples t WHERE t.triple_id = c.old_triple_id"
        " AND t.fact_id = c.old_fact_id)"
        " OR c.new_fact_id IS NOT NULL AND NOT EXISTS (SELECT FROM graphmem.triples t"
        " WHERE t.fact_id = c.new_fact_id)"
        " OR c.closed_triple_id IS NOT NULL AND NOT EXISTS (SELECT FROM graphmem.triples t"
        " WHERE t.triple_id = c.closed_triple_id AND t.fact_id = c.old_fact_id)"
        " OR c.rest_triple_id IS NOT NULL AND NOT EXISTS (SELECT FROM graphmem.triples t"
        " WHERE t.triple_id = c.rest_triple_id AND t.fact_id = c.old_fact_id))",
    "steps not undone that left the old version open":
        "SELECT c FROM graphmem.supersessions c JOIN graphmem.triples t ON t.triple_id = c.old_triple_id"
        " WHERE c.graph_id = {0} AND c.undone_at IS NULL AND t.expired_at = 'infinity'",
    "assertions of facts or sources that are not there":
        "SELECT a FROM graphmem.assertions a WHERE a.graph_id = {0} AND ("
        " NOT EXISTS (SELECT FROM graphmem.triples t WHERE t.fact_id = a.fact_id AND t.graph_id = {0})"
        " OR NOT EXISTS (SELECT FROM graphmem.sources s WHERE s.source_id = a.source_id AND s.graph_id = {0}))",
    "aliases of entities that are not there":
        "SELECT a FROM graphmem.aliases a WHERE a.graph_id = {0}"
        " AND NOT EXISTS (SELECT FROM graphmem.entities e WHERE e.entity_id = a.entity_id AND e.graph_id = {0})",
    "rows of merges that are not there, or are undone":
        "SELECT r FROM graphmem.merge_rows r WHERE r.graph_id = {0} AND NOT EXISTS (SELECT FROM graphmem.merges m"
        " WHERE m.merge_id = r.merge_id AND m.graph_id = {0} AND m.unmerged_at IS NULL)",
    "functional keys of what is not there":
        "SELECT k FROM graphmem.functional_keys k WHERE k.graph_id = {0} AND ("
        " NOT EXISTS (SELECT FROM graphmem.entities e WHERE e.entity_id = k.subject_id)"
        " OR NOT EXISTS (SELECT FROM graphmem.predicates p WHERE p.predicate_id = k.predicate_id))",
    "vectors of what is not there":
        "SELECT v.space_id, v.item_id FROM graphmem.embeddings v JOIN graphmem.vector_spaces s USING (space_id)"
        " WHERE v.graph_id = {0} AND NOT CASE s.target"
        " WHEN 'entity' THEN EXISTS (SELECT FROM graphmem.entities e WHERE e.entity_id = v.item_id)"
        " WHEN 'fact' THEN EXISTS (SELECT FROM graphmem.triples t WHERE t.fact_id = v.item_id)"
        " ELSE EXISTS (SELECT FROM graphmem.sources e WHERE e.source_id = v.item_id) END",
    "versions that history does not tell once each":
        "SELECT e.name, h.triples, t.triples FROM graphmem.entities e,"
        " LATERAL (SELECT array_agg(triple_id ORDER BY triple_id) AS triples FROM graphmem.triples"
        "  WHERE subject_id = e.entity_id) AS t,"
        " LATERAL (SELECT array_agg(DISTINCT h.triple_id ORDER BY h.triple_id) AS triples FROM graphmem.history("
        "  e.name, graph => (SELECT name FROM graphmem.graphs WHERE graph_id = {0})) AS h) AS h"
        " WHERE e.graph_id = {0} AND e.literal_type IS NULL AND h.triples IS DISTINCT FROM t.triples",
}


def broken(cursor, g):
    """What of BROKEN is found; each looked for with one snapshot."""
    found = []
    for what, query in BROKEN.items():
        cursor.execute(query.format(g.id) + " LIMIT 3")
        found += ["%s: %s" % (what, row) for row in cursor.fetchall()]
    return found


def unlike_tables(cursor, g, as_of, known_at):
    """Versions that match() alone has, and those that the tables alone have, of SQL's times."""
    cursor.execute(
        "WITH m AS (SELECT triple_id, subject, predicate, object, valid_from, valid_to FROM {1}),"
        " t AS (SELECT triple_id, s.name, p.name, o.name, NULLIF(valid_from, '-infinity'), NULLIF(valid_to, 'infinity')"
        "  FROM graphmem.triples t JOIN graphmem.entities s ON s.entity_id = t.subject_id"
        "  JOIN graphmem.entities o ON o.entity_id = t.object_id JOIN graphmem.predicates p USING (predicate_id)"
        "  WHERE t.graph_id = {0} AND valid_from <= {2} AND valid_to > {2}"
        "  AND recorded_at <= {3} AND expired_at > {3})"
        " SELECT (SELECT array_agg(x::text) FROM (TABLE m EXCEPT TABLE t) AS x),"
        " (SELECT array_agg(x::text) FROM (TABLE t EXCEPT TABLE m) AS x)".format(
            g.id, call("match", g.name, as_of=Raw(as_of), known_at=Raw(known_at)), as_of, known_at))
    ours, theirs = cursor.fetchone()
    return ours or [], theirs or []


# ---- the same question put to the shared image and to a private one ----

COMPARING = """
CREATE SCHEMA oracle;
GRANT USAGE ON SCHEMA oracle TO PUBLIC;

-- STABLE: one snapshot and one statement time for all calls of a statement.
CREATE FUNCTION oracle.answer(question text, shared bool, OUT rows text[], OUT path text, OUT reason text)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    PERFORM set_config('graphmem.shared_image', shared::text, true);
    BEGIN
        EXECUTE 'SELECT array_agg(x::text) FROM ' || question || ' AS x' INTO rows;
        SELECT b.path, b.reason INTO path, reason FROM graphmem.stat_backend b;
    EXCEPTION WHEN serialization_failure OR deadlock_detected THEN
        RAISE;                      -- what others write is in the way: no answer
    WHEN OTHERS THEN
        rows := ARRAY['ERROR ' || SQLSTATE || ' ' || SQLERRM];
        path := 'error';
    END;
END $$;

CREATE FUNCTION oracle.compare(question text, shared_first bool, OUT path text, OUT reason text, OUT other text,
    OUT same bool, OUT count int, OUT ours text[], OUT theirs text[], OUT snapshot text)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF shared_first THEN
        SELECT a.rows, a.path, a.reason INTO ours, path, reason FROM oracle.answer(question, true) a;
        SELECT a.rows, a.path INTO theirs, other FROM oracle.answer(question, false) a;
    ELSE
        SELECT a.rows, a.path INTO theirs, other FROM oracle.answer(question, false) a;
        SELECT a.rows, a.path, a.reason INTO ours, path, reason FROM oracle.answer(question, true) a;
    END IF;
    same := ours IS NOT DISTINCT FROM theirs;
    count := COALESCE(cardinality(ours), 0);
    IF same THEN
        ours := NULL;
        theirs := NULL;
    ELSE
        snapshot := pg_current_snapshot();
    END IF;
END $$;

-- Reads in the statement that writes, after the write.
CREATE FUNCTION oracle.write_and_compare(written text, question text, OUT path text, OUT reason text, OUT other text,
    OUT same bool, OUT count int, OUT ours text[], OUT theirs text[], OUT snapshot text)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    EXECUTE written;
    SELECT * INTO path, reason, other, same, count, ours, theirs, snapshot FROM oracle.compare(question, true);
END $$;
"""


def differing(ours, theirs):
    """Rows that only one side has, and where they begin to differ."""
    ours, theirs = ours or [], theirs or []
    mine = ["+ " + r for r in ours if r not in theirs]
    yours = ["- " + r for r in theirs if r not in ours]
    if not mine and not yours:
        return ["the same %d rows in another order" % len(ours)]
    return ["%d rows beside %d" % (len(ours), len(theirs))] + mine[:4] + yours[:4]
