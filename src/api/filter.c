/*-------------------------------------------------------------------------
 *
 * filter.c
 *	  Filters of vector_search and fusion_query as bitmaps over the image.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "api/args.h"
#include "api/filter.h"
#include "api/sql.h"
#include "core/scratch.h"
#include "core/traverse.h"
#include "error.h"
#include "guc.h"

#define MAX_NEAR_HOPS	100
#define MAX_EF_SEARCH	100000	/* as of graphmem.ef_search */

static GmSql entity_properties = {
	"SELECT entity_id FROM graphmem.entities WHERE graph_id" GM_EQ "$1"
	" AND properties OPERATOR(pg_catalog.<>) '{}' AND properties OPERATOR(pg_catalog.@>) $2",
	2, {INT4OID, JSONBOID}
};

static GmSql source_metadata = {
	"SELECT source_id FROM graphmem.sources WHERE graph_id" GM_EQ "$1"
	" AND metadata OPERATOR(pg_catalog.<>) '{}' AND metadata OPERATOR(pg_catalog.@>) $2",
	2, {INT4OID, JSONBOID}
};

static GmSql triple_properties = {
	"SELECT triple_id FROM graphmem.triples WHERE graph_id" GM_EQ "$1"
	" AND properties OPERATOR(pg_catalog.@>) $2",
	2, {INT4OID, JSONBOID}
};

/*
 * Arguments
 */
/* its elements as they lie there, n of them, all finite */
static const float *
finite_elements(ArrayType *array, const char *name, uint32_t n)
{
	const float *vector = (const float *) ARR_DATA_PTR(array);
	uint32_t	bad;

	if (ARR_HASNULL(array))
		for (uint32_t i = 0; i < n; i++)
			if ((ARR_NULLBITMAP(array)[i / 8] >> (i % 8) & 1) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_DATA_EXCEPTION),
						 errmsg("element %u of argument \"%s\" is null", i + 1, name)));
	if (!gm_vec_finite(vector, n, &bad))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("element %u of argument \"%s\" is not a finite number", bad + 1, name),
				 errdetail("It is %g.", vector[bad])));
	return vector;
}

const float *
gm_arg_vector(FunctionCallInfo fcinfo, int n, const char *name, uint32_t *dim)
{
	ArrayType  *array;

	*dim = 0;
	if (PG_ARGISNULL(n))
		return NULL;
	array = PG_GETARG_ARRAYTYPE_P(n);
	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("argument \"%s\" must be a one-dimensional array", name)));
	*dim = ARR_NDIM(array) == 0 ? 0 : (uint32_t) ARR_DIMS(array)[0];
	return finite_elements(array, name, *dim);
}

const float *
gm_arg_vectors(FunctionCallInfo fcinfo, int n, const char *name, uint32_t *count, uint32_t *dim)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(n);
	int			dims = ARR_NDIM(array);

	*count = dims == 0 ? 0 : (uint32_t) ARR_DIMS(array)[0];
	*dim = dims == 2 ? (uint32_t) ARR_DIMS(array)[1] : 0;
	if (dims > 2)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("argument \"%s\" must be an array of one or two dimensions", name)));
	return finite_elements(array, name, dims == 2 ? *count * *dim : *count);
}

GmSpaceInfo *
gm_arg_space(FunctionCallInfo fcinfo, int n, GmImage *image)
{
	char	   *name = gm_arg_cstring(fcinfo, n);
	GmSpaceInfo *info = gm_image_space(image, name, 'e');
	int			computed = 0;

	if (info == NULL)
		info = gm_image_space(image, name, 0);
	for (int i = 0; i < image->n_spaces; i++)
		computed += image->spaces[i].computed;
	if (info == NULL && image->n_spaces > computed)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"space\" is missing"),
				 errdetail("The graph has %d vector spaces, none of them called \"default\".",
						   image->n_spaces - computed)));
	return info;
}

void
gm_arg_vector_check(const GmSpaceInfo *info, const float *vector, uint32_t dim,
					const char *name, GmSpaceQuery *query)
{
	bool		zero = true;

	if (dim != info->dim)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("argument \"%s\" has a wrong dimension", name),
				 errdetail("It has %u dimensions, vector space \"%s\" has %u.",
						   dim, info->name, info->dim)));
	if (gm_space_prepare(info->space, vector, query) == GM_OK)
		return;
	for (uint32_t i = 0; i < dim && zero; i++)
		zero = fabsf(vector[i]) < 1.0f;
	if (zero)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("argument \"%s\" is a zero vector", name),
				 errdetail("Vector space \"%s\" compares directions, and a vector of length zero has none.",
						   info->name)));
	ereport(ERROR,
			(errcode(ERRCODE_DATA_EXCEPTION),
			 errmsg("argument \"%s\" is too long a vector", name),
			 errdetail("The sum of its squares must not exceed a quarter of the largest real.")));
}

int
gm_arg_near_hops(FunctionCallInfo fcinfo, int n, const char *name, int missing)
{
	int			hops = gm_arg_count4(fcinfo, n, name, missing);

	if (hops > MAX_NEAR_HOPS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must be between 0 and %d", name, MAX_NEAR_HOPS),
				 errdetail("It is %d.", hops)));
	return hops;
}

int
gm_arg_ef_search(FunctionCallInfo fcinfo, int n)
{
	return gm_arg_between(fcinfo, n, "ef_search", 1, MAX_EF_SEARCH, gm_guc_ef_search);
}

/*
 * Bitmaps
 */
uint64_t *
gm_filter_make(uint32_t n)
{
	return MemoryContextAllocExtended(CurrentMemoryContext,
									  (gm_bit_words(n) + 1) * sizeof(uint64_t),
									  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
}

uint64_t *
gm_filter_and(uint64_t *a, const uint64_t *b, uint32_t n)
{
	if (b == NULL)
		return a;
	if (a == NULL)
	{
		a = gm_filter_make(n);
		memcpy(a, b, gm_bit_words(n) * sizeof(uint64_t));
		return a;
	}
	for (size_t i = 0; i < gm_bit_words(n); i++)
		a[i] &= b[i];
	return a;
}

static uint32_t
count_of(const GmGraph *g, GmFiltered what)
{
	switch (what)
	{
		case GM_FILTER_ENTITIES:
			return g->root->gr_nodes;
		case GM_FILTER_SOURCES:
			return g->root->gr_sources;
		case GM_FILTER_TRIPLES:
			return g->root->gr_slots;
	}
	return 0;
}

static uint32_t
number_of(const GmGraph *g, GmFiltered what, int64 id)
{
	switch (what)
	{
		case GM_FILTER_ENTITIES:
			return gm_graph_find_entity(g, id);
		case GM_FILTER_SOURCES:
			return gm_graph_find_source_id(g, id);
		case GM_FILTER_TRIPLES:
			return gm_graph_find_triple(g, id);
	}
	return GM_NONE;
}

/* the ids that a statement selects */
static uint64_t *
select_numbers(GmSql *sql, Datum second, const GmImage *image, GmFiltered what)
{
	uint64_t   *bits = gm_filter_make(count_of(image->graph, what));
	Datum		args[2] = {Int32GetDatum(image->graph_id), second};

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	gm_sql_read(sql, args, NULL);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		uint32_t	number = number_of(image->graph, what, gm_sql_int8(row, 1));

		if (number != GM_NONE)
			gm_bit_set(bits, number);
	}
	SPI_finish();
	return bits;
}

uint64_t *
gm_filter_properties(FunctionCallInfo fcinfo, int n, const GmImage *image, GmFiltered what)
{
	static GmSql *const statements[] = {&entity_properties, &source_metadata, &triple_properties};
	Jsonb	   *filter;

	if (PG_ARGISNULL(n))
		return NULL;
	filter = PG_GETARG_JSONB_P(n);
	if (JB_ROOT_IS_OBJECT(filter) && JB_ROOT_COUNT(filter) == 0)
		return NULL;
	return select_numbers(statements[what], JsonbPGetDatum(filter), image, what);
}

uint64_t *
gm_filter_known(const GmImage *image, GmFiltered what, int64_t known_at)
{
	const GmGraph *g = image->graph;
	uint32_t	n = count_of(g, what);
	uint64_t   *bits;

	if (known_at == GM_TIME_MAX)
		return NULL;
	bits = gm_filter_make(n);
	for (uint32_t i = 0; i < n; i++)
	{
		if (i % GM_INTERRUPT_EVERY == 0)
			CHECK_FOR_INTERRUPTS();
		if (what == GM_FILTER_ENTITIES ?
			gm_graph_node_live(g, i) && gm_graph_node_known(g, i, known_at) :
			gm_graph_source_live(g, i) && gm_graph_source(g, i)->created_at <= known_at)
			gm_bit_set(bits, i);
	}
	return bits;
}

/*
 * Bitmaps from the facts
 */
uint64_t *
gm_filter_touched(const GmGraph *g, const GmView *view)
{
	uint64_t   *nodes = gm_filter_make(g->root->gr_nodes);
	GmSlot		skip_from = g->root->gr_base_current;
	GmSlot		skip_to = gm_view_sees_past(g, view) ? skip_from : g->root->gr_base_slots;

	for (GmSlot slot = 0; slot < g->root->gr_slots; slot++)
	{
		if (slot % GM_INTERRUPT_EVERY == 0)
			CHECK_FOR_INTERRUPTS();
		if (slot >= skip_from && slot < skip_to)
		{
			slot = skip_to - 1;
			continue;
		}
		if (view->predicates != NULL && !view->predicates[GM_ARRAY_U32(&g->predicate, slot)])
			continue;
		if (!gm_graph_visible(g, view, slot))
			continue;
		gm_bit_set(nodes, GM_ARRAY_U32(&g->subject, slot));
		gm_bit_set(nodes, GM_ARRAY_U32(&g->object, slot));
	}
	return nodes;
}

uint64_t *
gm_filter_touching(const GmGraph *g, const uint64_t *nodes)
{
	uint64_t   *slots = gm_filter_make(g->root->gr_slots);

	for (GmSlot slot = 0; slot < g->root->gr_slots; slot++)
	{
		if (slot % GM_INTERRUPT_EVERY == 0)
			CHECK_FOR_INTERRUPTS();
		if (gm_bit_test(nodes, GM_ARRAY_U32(&g->subject, slot)) ||
			gm_bit_test(nodes, GM_ARRAY_U32(&g->object, slot)))
			gm_bit_set(slots, slot);
	}
	return slots;
}

uint64_t *
gm_filter_asserted(const GmGraph *g, const uint64_t *sources, int64_t known_at)
{
	uint64_t   *slots = gm_filter_make(g->root->gr_slots);
	GmFactSlots facts;
	GmSlot		slot;

	gm_fact_slots_init(&facts, g);
	for (uint32_t i = 0; i < g->root->gr_assertions; i++)
	{
		const GmAssertion *a = gm_graph_assertion(g, i);

		if (i % GM_INTERRUPT_EVERY == 0)
			CHECK_FOR_INTERRUPTS();
		if (a == NULL || !gm_bit_test(sources, a->source) || a->asserted_at > known_at)
			continue;
		gm_fact_slots_seek(&facts, a->fact_id);
		while ((slot = gm_fact_slots_next(&facts)) != GM_NONE)
			gm_bit_set(slots, slot);
	}
	return slots;
}

static bool
any_version_counts(GmFactSlots *facts, const GmView *view, const uint64_t *slots,
				   int64_t fact_id)
{
	bool		counts = false;
	GmSlot		slot;

	gm_fact_slots_seek_seen(facts, view, fact_id);
	while (!counts && (slot = gm_fact_slots_next(facts)) != GM_NONE)
		counts = (slots == NULL || gm_bit_test(slots, slot)) &&
			gm_graph_visible(facts->graph, view, slot);
	return counts;
}

uint64_t *
gm_filter_asserting(const GmGraph *g, const GmView *view, const uint64_t *slots)
{
	uint64_t   *sources = gm_filter_make(g->root->gr_sources);
	GmFactSlots facts;

	gm_fact_slots_init(&facts, g);
	for (uint32_t i = 0; i < g->root->gr_assertions; i++)
	{
		const GmAssertion *a = gm_graph_assertion(g, i);

		if (i % GM_INTERRUPT_EVERY == 0)
			CHECK_FOR_INTERRUPTS();
		if (a != NULL && a->asserted_at <= view->known_at &&
			any_version_counts(&facts, view, slots, a->fact_id))
			gm_bit_set(sources, a->source);
	}
	return sources;
}

/*
 * Sources by their texts
 */
uint64_t *
gm_filter_sources(FunctionCallInfo fcinfo, int names, int sessions, const GmGraph *g)
{
	text	  **name = NULL;
	text	  **session = NULL;
	int			n_names = 0;
	int			n_sessions = 0;
	uint64_t   *bits;

	if (PG_ARGISNULL(names) && PG_ARGISNULL(sessions))
		return NULL;
	if (!PG_ARGISNULL(names))
		name = gm_arg_texts(fcinfo, names, "sources", &n_names);
	if (!PG_ARGISNULL(sessions))
		session = gm_arg_texts(fcinfo, sessions, "sessions", &n_sessions);
	bits = gm_filter_make(g->root->gr_sources);
	for (uint32_t i = 0; i < g->root->gr_sources; i++)
	{
		const GmSource *source = gm_graph_source(g, i);

		if (!gm_graph_source_live(g, i))
			continue;
		if (name != NULL && !gm_text_is_one_of(gm_graph_string(g, source->name), name, n_names))
			continue;
		if (session != NULL &&
			!gm_text_is_one_of(gm_graph_string(g, source->session), session, n_sessions))
			continue;
		gm_bit_set(bits, i);
	}
	return bits;
}
