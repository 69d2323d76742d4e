/*-------------------------------------------------------------------------
 *
 * topology_keep.c
 *	  Keeping computed spaces current between two computations.
 *
 * Of each node of a space is known whether the image has a row for it and which
 * shape that row was computed from, as far as it was looked up in the table.
 * All of it is only remembered: it holds for the entity that had the number
 * then, is found out again after a start or an error, and a number that belongs
 * to another entity by now is a new node.
 *
 * Two things are done, each in short transactions:
 *	 filling	nodes without a row that are new, or whose degree changed, get the
 *				mean of their neighbours' vectors, in rounds: those next to nodes
 *				with a vector first, then those next to them
 *	 counting	a pass over all nodes: how many should have a row, lack one, or have
 *				one whose shape is not theirs any more; means whose node has other
 *				edges by now are made again
 * Filling looks at every node's number and degree, which costs a millisecond
 * where counting, which looks at every edge, takes a hundred: a pass is done in
 * slices, and slices, like looks, are no more than SHARE of the time, but for
 * the first pass.
 *
 * A graph is looked at while it is in shared memory, and after gr_shaped moved.
 * Graphs that are answered from private images are not: they have no versions
 * that could be told apart, and loading them for a look would cost more than
 * computing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "core/shape.h"
#include "error.h"
#include "guc.h"
#include "image/image.h"
#include "shm/spaces.h"
#include "shm/topology.h"
#include "worker/as_owner.h"
#include "worker/main.h"
#include "worker/topology_keep.h"
#include "worker/topology_store.h"

#define SHARE			20		/* one part of so many of the time */
#define LOOK_MS			50		/* at a graph for new nodes, at most so often */
#define SLICE_US		10000	/* of counting */
#define RUN_US			100000	/* gm_keep_run gives way then */
#define LIST_MS			1000	/* the list of spaces is read again, at most so often */
#define FAILED_FIRST_MS	500
#define FAILED_MOST_MS	60000
#define CHUNK			1024	/* nodes counted between two looks at the clock */
#define ROWS			4096	/* stored in a transaction */
#define ROW_FLOATS		(1 << 20)	/* and no more than so many numbers */
#define NODES			8192	/* tried at once */
#define COMPUTE_MS		10000	/* between two computations */
#define MOST_TRIES		8		/* the pause after each that fails is twice that before */
#define COMPUTE_TIMES	10		/* likewise, in times of how long one took */
#define DOING			"keeping a computed space current"

/* of a node */
enum
{
	UNKNOWN = 0,
	HAS_ROW,
	NO_ROW,						/* when it had the degree in seen */
	BLANK,						/* likewise; its row says that it has no vector */
	QUEUED,						/* to be tried in this transaction */
	GIVEN						/* a vector in this transaction: number in stored */
};

typedef struct Kept
{
	dlist_node	node;
	MemoryContext context;
	int32		space_id;
	int32		graph_id;
	char	   *graph;			/* its name */
	GmTopologySpec spec;
	bool		listed;			/* when the list was read last */
	bool		blanks;			/* some of its rows have no vector */

	/* by node */
	uint32		room;
	int64	   *entity;			/* 0: nothing is known of it */
	uint64	   *stored;			/* HAS_ROW, BLANK: the row's shape, GM_SHAPE_NONE for a mean,
								 * 0 not looked up yet */
	uint64	   *seen;			/* of a mean: the node's shape when it was made; 0 not known */
	uint8	   *status;

	/* filling */
	uint64		filled;			/* gr_shaped that it was done for */
	TimestampTz fill_at;		/* not before */

	/* counting */
	bool		counting;
	uint32		at;
	uint64		nodes;
	uint64		dirty;
	uint64		missing;
	uint64		counting_shaped;	/* gr_shaped when the pass began */
	uint64		counted_shaped; /* of the last pass that came to its end */
	bool		recount;		/* rows came that it may not have seen */
	TimestampTz count_at;		/* not before */

	/* computing */
	bool		counted;		/* the numbers below are there */
	uint64		last_nodes;
	uint64		last_dirty;
	uint64		due_shaped;		/* counted_shaped when it was found due; 0: never */
	TimestampTz compute_at;		/* not before */
	int			tries;			/* that did not make another version */
} Kept;

/* a look at a space's graph, inside of a transaction */
typedef struct Look
{
	Kept	   *kept;
	GmGraph    *graph;
	GmSpace    *space;
	GmView		view;
	GmShapeMeans means;
	uint32		dim;

	/* vectors to be stored */
	uint32		most;
	uint32		rows;
	int64	   *entity;
	GmNode	   *node;
	float	   *vectors;
} Look;

static GmArea *area;
static dlist_head spaces = DLIST_STATIC_INIT(spaces);
static bool list_due;			/* now, */
static bool list_wanted;		/* or once LIST_MS are over */
static TimestampTz listed_at;
static TimestampTz try_at;		/* not before, after an error */
static long failed_ms;

static GmStatement list_spaces = {
	"SELECT v.space_id, v.graph_id, g.name::pg_catalog.text, v.parameters::pg_catalog.text, v.created_at,"
	" CASE pg_catalog.jsonb_typeof(v.parameters OPERATOR(pg_catalog.->) 'seconds') WHEN 'number'"
	" THEN LEAST((v.parameters OPERATOR(pg_catalog.->>) 'seconds')::pg_catalog.numeric, 1e6)::pg_catalog.float8"
	" ELSE 0 END, v.name::pg_catalog.text, v.dim,"
	" COALESCE(v.parameters OPERATOR(pg_catalog.->>) 'blank', '') OPERATOR(pg_catalog.<>) '0'"
	" FROM graphmem.vector_spaces v JOIN graphmem.graphs g ON g.graph_id" GM_EQUALS "v.graph_id"
	" WHERE v.origin" GM_EQUALS "'topology' AND v.state" GM_EQUALS "'ready'",
	0, {0}
};

static GmStatement read_shapes = {
	"SELECT entity_id, shape, embedding IS NULL FROM graphmem.topology_vectors"
	" WHERE space_id" GM_EQUALS "$1 AND entity_id" GM_EQUALS "ANY ($2)",
	2, {INT4OID, INT8ARRAYOID}
};

static uint64
microseconds(void)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	return INSTR_TIME_GET_MICROSEC(now);
}

/* so that what took so long is no more than its share */
static TimestampTz
after(uint64 us)
{
	return GetCurrentTimestamp() + (TimestampTz) us * (SHARE - 1);
}

static bool
is_due(TimestampTz at)
{
	return GetCurrentTimestamp() >= at;
}

static long
ms_until(TimestampTz at)
{
	return TimestampDifferenceMilliseconds(GetCurrentTimestamp(), at);
}

/*
 * The list of spaces
 */
static void
drop(Kept *k)
{
	dlist_delete(&k->node);
	MemoryContextDelete(k->context);
}

static void
drop_all(void)
{
	while (!dlist_is_empty(&spaces))
		drop(dlist_container(Kept, node, dlist_head_node(&spaces)));
	list_due = true;
}

static Kept *
find(int32 space_id)
{
	dlist_iter	iter;

	dlist_foreach(iter, &spaces)
	{
		Kept	   *k = dlist_container(Kept, node, iter.cur);

		if (k->space_id == space_id)
			return k;
	}
	return NULL;
}

/* by it a version is told from the one before */
static Kept *
find_version(int32 graph_id, const char *name)
{
	dlist_iter	iter;

	dlist_foreach(iter, &spaces)
	{
		Kept	   *k = dlist_container(Kept, node, iter.cur);

		if (k->graph_id == graph_id && strcmp(k->spec.space, name) == 0)
			return k;
	}
	return NULL;
}

/* of one that was complete then, after so many seconds */
static TimestampTz
next_computation(TimestampTz ended, double seconds)
{
	double		us = Max(Min(seconds, 1e6), 0) * 1e6;

	if (TIMESTAMP_NOT_FINITE(ended))
		ended = GetCurrentTimestamp();
	return ended + (TimestampTz) Max(COMPUTE_MS * 1e3, COMPUTE_TIMES * us);
}

static void
set_name(Kept *k, char **to, const char *name)
{
	if (*to != NULL && strcmp(*to, name) == 0)
		return;
	if (*to != NULL)
		pfree(*to);
	*to = MemoryContextStrdup(k->context, name);
}

static void
enter(uint64 row)
{
	int32		space_id = DatumGetInt32(gm_statement_value(row, 1, NULL));
	char	   *graph = TextDatumGetCString(gm_statement_value(row, 3, NULL));
	char	   *name = TextDatumGetCString(gm_statement_value(row, 7, NULL));
	Kept	   *k = find(space_id);
	Kept	   *before;
	MemoryContext context;
	MemoryContext old;
	char	   *parameters;
	bool		known;
	GmTopologySpec spec;

	if (k != NULL)
	{
		k->listed = true;
		set_name(k, &k->graph, graph);
		set_name(k, &k->spec.space, name);
		return;
	}
	context = AllocSetContextCreate(TopMemoryContext, "graphmem computed space", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	parameters = TextDatumGetCString(gm_statement_value(row, 4, NULL));
	known = gm_topology_spec_parse(parameters, &spec);
	if (known)
		spec.space = pstrdup(name);	/* it may have been given another since */
	if (!known || (int32) spec.opts.dim != DatumGetInt32(gm_statement_value(row, 8, NULL)) ||
		strlen(gm_topology_spec_json(&spec)) >= GM_TOPOLOGY_TEXT)
	{
		/* somebody made it by hand; what from, nobody knows */
		MemoryContextSwitchTo(old);
		MemoryContextDelete(context);
		return;
	}
	k = palloc0(sizeof(Kept));
	k->context = context;
	k->space_id = space_id;
	k->graph_id = DatumGetInt32(gm_statement_value(row, 2, NULL));
	set_name(k, &k->graph, graph);
	k->spec = spec;
	k->blanks = DatumGetBool(gm_statement_value(row, 9, NULL));
	k->listed = true;
	k->filled = k->counted_shaped = UINT64_MAX;
	k->compute_at = next_computation(DatumGetTimestampTz(gm_statement_value(row, 5, NULL)),
									 DatumGetFloat8(gm_statement_value(row, 6, NULL)));
	before = find_version(k->graph_id, name);
	if (before != NULL)
		k->due_shaped = before->due_shaped;
	MemoryContextSwitchTo(old);
	dlist_push_tail(&spaces, &k->node);
}

static void
read_list(void)
{
	dlist_mutable_iter iter;
	GmAsOwner	as;

	list_due = list_wanted = false;
	listed_at = GetCurrentTimestamp();
	dlist_foreach_modify(iter, &spaces)
		dlist_container(Kept, node, iter.cur)->listed = false;
	gm_as_owner_begin(&as);
	SPI_connect();
	(void) gm_statement_read(&list_spaces, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
		enter(i);
	SPI_finish();
	gm_as_owner_end(&as);
	dlist_foreach_modify(iter, &spaces)
		if (!dlist_container(Kept, node, iter.cur)->listed)
			drop(dlist_container(Kept, node, iter.cur));
}

/*
 * What is known of nodes
 */
static void *
enlarge(Kept *k, void *old, uint32 room, size_t size)
{
	char	   *new = MemoryContextAllocHuge(k->context, (Size) room * size);

	if (k->room > 0)
		memcpy(new, old, (Size) k->room * size);
	memset(new + (Size) k->room * size, 0, (Size) (room - k->room) * size);
	if (old != NULL)
		pfree(old);
	return new;
}

static void
make_room(Kept *k, uint32 nodes)
{
	uint32		room = Max(nodes, k->room + k->room / 4);

	if (nodes <= k->room)
		return;
	k->entity = enlarge(k, k->entity, room, sizeof(int64));
	k->stored = enlarge(k, k->stored, room, sizeof(uint64));
	k->seen = enlarge(k, k->seen, room, sizeof(uint64));
	k->status = enlarge(k, k->status, room, sizeof(uint8));
	k->room = room;
}

/* the number is another entity's now */
static inline void
meet(Kept *k, GmNode node, int64 entity_id)
{
	if (likely(k->entity[node] == entity_id))
		return;
	k->entity[node] = entity_id;
	k->stored[node] = k->seen[node] = 0;
	k->status[node] = UNKNOWN;
}

static void
note_row(Kept *k, GmNode node)
{
	if (k->status[node] == HAS_ROW)
		return;
	k->status[node] = HAS_ROW;
	k->stored[node] = k->seen[node] = 0;
}

/*
 * Opening the image
 */
static void
make_view(Look *look, int64_t now)
{
	const GmTopologySpec *spec = &look->kept->spec;
	uint8	   *allowed;

	gm_view_init(look->graph, now, &look->view);
	if (spec->n_predicates < 0)
		return;
	allowed = palloc0(Max(look->graph->root->gr_predicates, 1));
	for (int i = 0; i < spec->n_predicates; i++)
	{
		uint32_t	p = gm_graph_find_predicate(look->graph, spec->predicates[i],
												strlen(spec->predicates[i]));

		if (p != GM_NONE)
			allowed[p] = 1;
	}
	look->view.predicates = allowed;
	gm_view_settle(look->graph, &look->view);
}

static const float *
given_vector(void *arg, GmNode node)
{
	Look	   *look = arg;
	Kept	   *k = look->kept;

	if (node >= k->room || k->status[node] != GIVEN)
		return NULL;
	return look->vectors + k->stored[node] * look->dim;
}

/* false: not now */
static bool
open_image(Kept *k, Look *look)
{
	const char *why;
	GmImage    *image = gm_image_open_shared(k->graph, &why);
	GmSpaceInfo *info = NULL;

	if (image == NULL || image->graph_id != k->graph_id)
	{
		list_wanted = true;		/* it may have another name */
		return false;
	}
	for (int i = 0; i < image->n_spaces; i++)
	{
		GmSpaceInfo *other = &image->spaces[i];

		if (other->space_id == k->space_id)
			info = other;
		else if (other->computed && !other->computing && find(other->space_id) == NULL)
			list_due = true;
	}
	if (info == NULL || info->dim != k->spec.opts.dim)
	{
		list_due = true;
		return false;
	}
	if (strcmp(info->name, k->spec.space) != 0)
		list_wanted = true;
	gm_image_load_space(image, info);
	memset(look, 0, sizeof(*look));
	look->kept = k;
	look->graph = image->graph;
	look->space = info->space;
	look->dim = info->dim;
	make_view(look, image->now);
	make_room(k, look->graph->root->gr_nodes);
	look->means = (GmShapeMeans) {
		.graph = look->graph, .view = &look->view, .space = look->space,
		.weighted = k->spec.weighted, .normalize = k->spec.opts.normalize,
		.given = given_vector, .arg = look
	};
	look->most = Min(ROWS, ROW_FLOATS / look->dim);
	look->entity = palloc(look->most * sizeof(int64));
	look->node = palloc(look->most * sizeof(GmNode));
	look->vectors = palloc((size_t) look->most * look->dim * sizeof(float));
	return true;
}

/*
 * Vectors to be stored
 */
static bool
can_be_stored(const Look *look, const float *vector)
{
	double		square = 0;

	for (uint32 i = 0; i < look->dim; i++)
		square += (double) vector[i] * vector[i];
	return square >= GM_SPACE_LEAST_STORED && square <= GM_SPACE_MOST_STORED;
}

/* the mean of the node's neighbours is next in line; false: it has none */
static bool
make_mean(Look *look, GmNode node)
{
	float	   *vector = look->vectors + (size_t) look->rows * look->dim;
	bool		there;

	gm_error_check(gm_shape_mean(&look->means, node, &gm_server_interrupt, vector, &there), DOING);
	if (!there || !can_be_stored(look, vector))
		return false;
	look->entity[look->rows] = look->kept->entity[node];
	look->node[look->rows] = node;
	return true;
}

static void
store(Look *look)
{
	Kept	   *k = look->kept;

	if (look->rows == 0)
		return;
	gm_store_put(k->space_id, k->graph_id, look->entity, look->vectors, look->rows, look->dim);
	for (uint32 i = 0; i < look->rows; i++)
	{
		GmNode		node = look->node[i];

		k->status[node] = HAS_ROW;
		k->stored[node] = GM_SHAPE_NONE;
		k->seen[node] = gm_shape_of(look->graph, &look->view, k->spec.weighted, node);
	}
}

/* what their rows say, of so many nodes at most at once */
static void
look_up(Look *look, const GmNode *node, uint32 n)
{
	Kept	   *k = look->kept;
	Datum	   *ids;
	Datum		args[2];

	if (n == 0)
		return;
	ids = palloc(n * sizeof(Datum));
	for (uint32 i = 0; i < n; i++)
		ids[i] = Int64GetDatum(k->entity[node[i]]);
	args[0] = Int32GetDatum(k->space_id);
	args[1] = PointerGetDatum(construct_array(ids, (int) n, INT8OID, sizeof(int64), true,
											  TYPALIGN_DOUBLE));
	SPI_connect();
	(void) gm_statement_read(&read_shapes, args);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		GmNode		found = gm_graph_find_entity(look->graph,
												 DatumGetInt64(gm_statement_value(i, 1, NULL)));
		bool		isnull;
		uint64		shape = (uint64) DatumGetInt64(gm_statement_value(i, 2, &isnull));
		bool		blank = DatumGetBool(gm_statement_value(i, 3, NULL));

		if (found == GM_NONE || found >= k->room || (k->status[found] != HAS_ROW && !blank))
			continue;

		/* what nobody computed differs from every shape */
		k->stored[found] = isnull || shape == 0 || (blank && k->status[found] == HAS_ROW) ?
			GM_SHAPE_NONE : shape;
		if (k->status[found] == HAS_ROW)
			continue;
		k->status[found] = BLANK;
		k->seen[found] = GM_ARRAY_U32(&look->graph->degree, found);
	}
	SPI_finish();
	pfree(DatumGetPointer(args[1]));
	pfree(ids);
}

/*
 * Filling
 */
typedef struct Queue
{
	GmNode	   *node;
	uint32		n;
	uint32		room;
} Queue;

static void
put_in_queue(Kept *k, Queue *queue, GmNode node)
{
	if (queue->n == queue->room)
	{
		queue->room = Max(queue->room * 2, 1024);
		queue->node = queue->node == NULL ? palloc(queue->room * sizeof(GmNode)) :
			repalloc_huge(queue->node, (Size) queue->room * sizeof(GmNode));
	}
	queue->node[queue->n++] = node;
	k->status[node] = QUEUED;
}

/* nodes without a row that may get one by now; true: there are more */
static bool
find_new(Look *look, Queue *queue)
{
	Kept	   *k = look->kept;
	const GmGraph *g = look->graph;
	uint32		nodes = g->root->gr_nodes;

	for (uint32 node = 0; node < nodes;)
	{
		uint64_t	run;
		const int64_t *ids = gm_array_span(&g->entity_id, node, &run);
		uint32		end = (uint32) Min((uint64_t) nodes, node + run);

		CHECK_FOR_INTERRUPTS();
		for (; node < end; node++, ids++)
		{
			uint32		degree;

			meet(k, node, *ids);
			if (k->status[node] == HAS_ROW)
				continue;
			degree = GM_ARRAY_U32(&g->degree, node);
			if ((k->status[node] == NO_ROW || k->status[node] == BLANK) && k->seen[node] == degree)
				continue;
			if (gm_space_row_of(look->space, node) != GM_NONE)
			{
				note_row(k, node);
				continue;
			}
			k->status[node] = NO_ROW;
			k->seen[node] = degree;
			if (degree == 0 || !gm_graph_node_live(g, node))
				continue;
			put_in_queue(k, queue, node);
			if (queue->n == NODES)
				return true;
		}
	}
	return false;
}

/* what the method told nothing of has no vector either as long as its facts are the same */
static void
leave_blanks(Look *look, Queue *queue)
{
	Kept	   *k = look->kept;
	uint32		left = 0;

	if (!k->blanks)
		return;
	look_up(look, queue->node, queue->n);
	for (uint32 i = 0; i < queue->n; i++)
	{
		GmNode		node = queue->node[i];

		if (k->status[node] == BLANK &&
			k->stored[node] == gm_shape_of(look->graph, &look->view, k->spec.weighted, node))
			continue;
		k->status[node] = QUEUED;
		queue->node[left++] = node;
	}
	queue->n = left;
}

/* those in the queue that are next to a node with a vector; false: there is no room for more */
static bool
try_queue(Look *look, const Queue *queue)
{
	Kept	   *k = look->kept;

	for (uint32 i = 0; i < queue->n; i++)
	{
		GmNode		node = queue->node[i];

		if (look->rows == look->most)
		{
			for (; i < queue->n; i++)
				k->status[queue->node[i]] = UNKNOWN;
			return false;
		}
		if (make_mean(look, node))
			look->rows++;
		else
		{
			k->status[node] = NO_ROW;
			k->seen[node] = GM_ARRAY_U32(&look->graph->degree, node);
		}
	}
	return true;
}

/* what was made from this row on counts from now on, and those around it are tried next */
static void
pass_on(Look *look, uint32 from, Queue *next)
{
	Kept	   *k = look->kept;

	for (uint32 i = from; i < look->rows; i++)
	{
		k->status[look->node[i]] = GIVEN;
		k->stored[look->node[i]] = i;
	}
	for (uint32 i = from; i < look->rows; i++)
	{
		GmEdgeIter	iter;
		GmEdge		edge;

		CHECK_FOR_INTERRUPTS();
		gm_edges_begin(&iter, look->graph, &look->view, look->node[i]);
		while (gm_edges_next(&iter, &edge))
			if (k->status[edge.neighbor] == NO_ROW)
				put_in_queue(k, next, edge.neighbor);
	}
}

/* true: there is more to be done */
static bool
fill(Look *look)
{
	Kept	   *k = look->kept;
	Queue		queues[2] = {{0}};
	Queue	   *queue = &queues[0];
	Queue	   *next = &queues[1];
	bool		more = find_new(look, queue);

	leave_blanks(look, queue);
	while (queue->n > 0)
	{
		uint32		from = look->rows;
		Queue	   *spare = queue;
		bool		room = try_queue(look, queue);

		next->n = 0;
		pass_on(look, from, next);
		queue = next;
		next = spare;
		if (room)
			continue;
		for (uint32 i = 0; i < queue->n; i++)
			k->status[queue->node[i]] = UNKNOWN;
		more = true;
		break;
	}
	store(look);
	return more;
}

/*
 * Counting
 */
typedef struct Chunk
{
	uint32		n;
	GmNode		node[CHUNK];
	uint64		shape[CHUNK];
	bool		row[CHUNK];
} Chunk;

/* those of which it is not known */
static void
look_up_unknown(Look *look, const Chunk *chunk)
{
	Kept	   *k = look->kept;
	GmNode		node[CHUNK];
	uint32		n = 0;

	for (uint32 i = 0; i < chunk->n; i++)
		if (chunk->row[i] ? k->stored[chunk->node[i]] == 0 :
			k->blanks && k->status[chunk->node[i]] != BLANK)
			node[n++] = chunk->node[i];
	look_up(look, node, n);
}

static void
try_again(Kept *k, GmNode node)
{
	k->status[node] = UNKNOWN;
	k->filled = UINT64_MAX;
}

static uint32
read_chunk(Look *look, uint32 node, Chunk *chunk)
{
	Kept	   *k = look->kept;
	const GmGraph *g = look->graph;

	chunk->n = 0;
	for (; node < g->root->gr_nodes && chunk->n < CHUNK; node++)
	{
		uint32		i = chunk->n;

		if (!gm_graph_node_live(g, node))
			continue;
		meet(k, node, gm_graph_entity_id(g, node));
		chunk->row[i] = gm_space_row_of(look->space, node) != GM_NONE;
		if (chunk->row[i])
			note_row(k, node);
		else if (k->status[node] == HAS_ROW)
			try_again(k, node);
		chunk->shape[i] = gm_shape_of(g, &look->view, k->spec.weighted, node);
		if (!chunk->row[i] && chunk->shape[i] == 0)
			continue;
		chunk->node[chunk->n++] = node;
		if (GM_ARRAY_U32(&g->degree, node) > GM_INTERRUPT_EVERY)
			CHECK_FOR_INTERRUPTS();
	}
	return node;
}

/* a mean that the node's edges have left behind; true: it is to be stored anew */
static bool
renew_mean(Look *look, GmNode node, uint64 shape)
{
	Kept	   *k = look->kept;
	const float *now;

	if (k->seen[node] == shape || look->rows == look->most)
		return false;
	k->seen[node] = shape;
	if (!make_mean(look, node))
		return false;
	now = gm_space_vector(look->space, gm_space_row_of(look->space, node));
	return now == NULL ||
		memcmp(now, look->vectors + (size_t) look->rows * look->dim, look->dim * sizeof(float)) != 0;
}

static void
count_chunk(Look *look, const Chunk *chunk)
{
	Kept	   *k = look->kept;

	for (uint32 i = 0; i < chunk->n; i++)
	{
		GmNode		node = chunk->node[i];
		uint64		shape = chunk->shape[i];

		k->nodes += shape != 0;
		if (!chunk->row[i])
		{
			if (k->status[node] == BLANK && k->stored[node] == shape)
				continue;
			k->missing++;
			k->dirty++;
			/* its neighbours may have changed and their number not */
			if ((k->status[node] == NO_ROW || k->status[node] == BLANK) &&
				look->rows < look->most && make_mean(look, node))
				try_again(k, node);
			continue;
		}
		k->dirty += k->stored[node] != shape;
		if (k->stored[node] == GM_SHAPE_NONE && shape != 0 && renew_mean(look, node, shape))
			look->rows++;
	}
}

static void
begin_pass(Kept *k, uint64 shaped)
{
	k->counting = true;
	k->recount = false;
	k->at = 0;
	k->nodes = k->dirty = k->missing = 0;
	k->counting_shaped = shaped;
}

static void
end_pass(Kept *k)
{
	GmSpaceEntry *entry = gm_area_make_space(area, k->space_id, k->graph_id);

	k->counting = false;
	k->counted = true;
	k->counted_shaped = k->counting_shaped;
	k->last_nodes = k->nodes;
	k->last_dirty = k->dirty;
	if (entry == NULL)
		return;
	atomic_store_explicit(&entry->se_dirty, k->dirty, memory_order_relaxed);
	atomic_store_explicit(&entry->se_missing, k->missing, memory_order_relaxed);
	atomic_store_explicit(&entry->se_nodes, k->nodes, memory_order_relaxed);
	atomic_store_explicit(&entry->se_dirty_at, (uint64) GetCurrentTimestamp(), memory_order_release);
}

static void
count(Look *look, uint64 until)
{
	Kept	   *k = look->kept;
	Chunk	   *chunk = palloc(sizeof(Chunk));

	do
	{
		CHECK_FOR_INTERRUPTS();
		k->at = read_chunk(look, k->at, chunk);
		look_up_unknown(look, chunk);
		count_chunk(look, chunk);
	} while (k->at < look->graph->root->gr_nodes && microseconds() < until &&
			 look->rows < look->most);
	pfree(chunk);
	store(look);
	if (k->at >= look->graph->root->gr_nodes)
		end_pass(k);
}

/*
 * A space
 */
static GmGraphEntry *
ready_entry(const Kept *k)
{
	GmGraphEntry *entry = gm_area_find(area, k->graph_id);

	return entry != NULL && atomic_load(&entry->gr_state) == GM_GRAPH_READY ? entry : NULL;
}

static bool
needs_filling(const Kept *k, uint64 shaped)
{
	return k->filled != shaped;
}

static bool
needs_counting(const Kept *k, uint64 shaped)
{
	return k->counting || k->recount || k->counted_shaped != shaped;
}

typedef enum Work
{
	FILLING,
	COUNTING
} Work;

/* one transaction; true: there is more of it to be done at once */
static bool
work_on(Kept *k, Work work, uint64 shaped)
{
	volatile bool more = false;
	uint64		start = microseconds();
	Look	   *look = palloc0(sizeof(Look));
	GmAsOwner	as;
	uint32		rows;

	gm_as_owner_begin(&as);
	PG_TRY();
	{
		if (!open_image(k, look))
			more = false;
		else if (work == FILLING)
			more = fill(look);
		else
			count(look, start + SLICE_US);
	}
	PG_FINALLY();
	{
		gm_shape_means_end(&look->means);
	}
	PG_END_TRY();
	rows = look->rows;
	gm_as_owner_end(&as);
	if (look->kept == NULL)
	{
		/* it cannot be read just now */
		k->fill_at = k->count_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LIST_MS);
		return false;
	}
	if (work == FILLING)
	{
		if (!more)
			k->filled = shaped;
		if (rows > 0)
			k->recount = true;

		/* what was given to new nodes is not held against the next */
		k->fill_at = rows > 0 ? 0 : Max(after(microseconds() - start),
										TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LOOK_MS));
		return more;
	}
	k->count_at = k->counted ? after(microseconds() - start) : 0;
	return k->counting && is_due(k->count_at);
}

/* true: the time is over */
static bool
work_until(Kept *k, uint64 until)
{
	GmGraphEntry *entry = ready_entry(k);
	uint64		shaped;
	bool		more;

	if (entry == NULL)
		return false;
	shaped = atomic_load_explicit(&entry->gr_shaped, memory_order_acquire);
	more = needs_filling(k, shaped) && is_due(k->fill_at);
	while (more)
	{
		more = work_on(k, FILLING, shaped);
		if (more && microseconds() >= until)
			return true;
	}
	if (!needs_counting(k, shaped) || !is_due(k->count_at))
		return false;
	if (!k->counting)
		begin_pass(k, shaped);
	do
	{
		more = work_on(k, COUNTING, shaped);
		if (more && microseconds() >= until)
			return true;
	} while (more);
	return false;
}

static TimestampTz
list_at(void)
{
	return TimestampTzPlusMilliseconds(listed_at, LIST_MS);
}

static void
run(MemoryContext context)
{
	uint64		until = microseconds() + RUN_US;
	bool		changed = atomic_exchange(&gm_area_topology(area)->tp_wanted, 0) != 0;
	dlist_mutable_iter iter;

	list_wanted |= changed;
	if (list_due || (list_wanted && is_due(list_at())))
		read_list();
	dlist_foreach_modify(iter, &spaces)
	{
		Kept	   *k = dlist_container(Kept, node, iter.cur);
		bool		over;

		MemoryContextSwitchTo(context);
		over = work_until(k, until);
		MemoryContextReset(context);
		if (!over)
			continue;

		/* the others come first next time */
		dlist_delete(&k->node);
		dlist_push_tail(&spaces, &k->node);
		break;
	}
}

/* all that is known may be half changed */
static void
forget(MemoryContext caller)
{
	ErrorData  *error;
	bool		cancelled;

	MemoryContextSwitchTo(caller);
	error = CopyErrorData();
	HOLD_INTERRUPTS();
	cancelled = error->sqlerrcode == ERRCODE_QUERY_CANCELED;

	/* an entity may go while its vector comes */
	if (failed_ms == 0 && !cancelled && error->sqlerrcode != ERRCODE_FOREIGN_KEY_VIOLATION)
		EmitErrorReport();
	FreeErrorData(error);
	gm_as_owner_recover();
	drop_all();
	failed_ms = Min(Max(failed_ms * 2, FAILED_FIRST_MS), FAILED_MOST_MS);
	try_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), failed_ms);

	/* it was meant for what the caller does */
	if (cancelled)
		QueryCancelPending = InterruptPending = true;
	RESUME_INTERRUPTS();
}

/*
 * What the process calls
 */
void
gm_keep_start(GmArea *a)
{
	area = a;
	drop_all();
	try_at = 0;
	failed_ms = 0;
}

void
gm_keep_run(void)
{
	static MemoryContext context;
	MemoryContext caller = CurrentMemoryContext;

	if (!is_due(try_at))
		return;
	if (context == NULL)
		context = AllocSetContextCreate(TopMemoryContext, "graphmem keeping current",
										ALLOCSET_DEFAULT_SIZES);
	PG_TRY();
	{
		run(context);
		failed_ms = 0;
	}
	PG_CATCH();
	{
		forget(caller);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	MemoryContextReset(context);
}

/* enough of it has changed, and something has since it was last found so */
static bool
is_stale(const Kept *k)
{
	return gm_guc_topology_threshold > 0 && k->counted && k->last_dirty > 0 &&
		k->last_dirty >= gm_guc_topology_threshold * k->last_nodes &&
		k->counted_shaped != k->due_shaped;
}

long
gm_keep_next_ms(void)
{
	long		ms = -1;
	dlist_iter	iter;

#define EARLIER(at) (ms < 0 ? ms_until(at) : Min(ms, ms_until(at)))
	if (list_due)
		ms = EARLIER(try_at);
	else if (list_wanted)
		ms = EARLIER(Max(list_at(), try_at));
	dlist_foreach(iter, &spaces)
	{
		Kept	   *k = dlist_container(Kept, node, iter.cur);
		GmGraphEntry *entry = ready_entry(k);
		uint64		shaped;

		if (entry == NULL)
			continue;
		shaped = atomic_load_explicit(&entry->gr_shaped, memory_order_relaxed);
		if (needs_filling(k, shaped))
			ms = EARLIER(Max(k->fill_at, try_at));
		if (needs_counting(k, shaped))
			ms = EARLIER(Max(k->count_at, try_at));
		if (is_stale(k))
			ms = EARLIER(k->compute_at);
	}
#undef EARLIER
	return ms;
}

void
gm_keep_computed(int32 space_id, int32 graph_id, double seconds)
{
	/* its row says it all */
	(void) space_id;
	(void) graph_id;
	(void) seconds;
	list_due = true;
}

bool
gm_keep_due(int32 *graph_id, GmTopologySpec *spec)
{
	dlist_iter	iter;

	dlist_foreach(iter, &spaces)
	{
		Kept	   *k = dlist_container(Kept, node, iter.cur);

		if (!is_stale(k) || !is_due(k->compute_at))
			continue;
		k->due_shaped = k->counted_shaped;
		k->tries = Min(k->tries + 1, MOST_TRIES);
		k->compute_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), COMPUTE_MS << k->tries);
		*graph_id = k->graph_id;
		return gm_topology_spec_parse(gm_topology_spec_json(&k->spec), spec);
	}
	return false;
}
