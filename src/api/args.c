/*-------------------------------------------------------------------------
 *
 * args.c
 *	  Arguments of the reading functions, checked in one place.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "error.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "api/args.h"
#include "core/scratch.h"

char *
gm_arg_cstring(FunctionCallInfo fcinfo, int n)
{
	if (PG_ARGISNULL(n))
		return NULL;
	return text_to_cstring(PG_GETARG_TEXT_PP(n));
}

bool
gm_arg_bool(FunctionCallInfo fcinfo, int n, bool missing)
{
	return PG_ARGISNULL(n) ? missing : PG_GETARG_BOOL(n);
}

void
gm_arg_required(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", name)));
}

static void
negative(const char *name, int64 value)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("argument \"%s\" must not be negative", name),
			 errdetail("It is %lld.", (long long) value)));
}

uint64_t
gm_arg_count8(FunctionCallInfo fcinfo, int n, const char *name, uint64_t missing)
{
	if (PG_ARGISNULL(n))
		return missing;
	if (PG_GETARG_INT64(n) < 0)
		negative(name, PG_GETARG_INT64(n));
	return (uint64_t) PG_GETARG_INT64(n);
}

int
gm_arg_count4(FunctionCallInfo fcinfo, int n, const char *name, int missing)
{
	if (PG_ARGISNULL(n))
		return missing;
	if (PG_GETARG_INT32(n) < 0)
		negative(name, PG_GETARG_INT32(n));
	return PG_GETARG_INT32(n);
}

int
gm_arg_between(FunctionCallInfo fcinfo, int n, const char *name, int low, int high, int missing)
{
	int			value = PG_ARGISNULL(n) ? missing : PG_GETARG_INT32(n);

	if (value < low || value > high)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must be between %d and %d", name, low, high),
				 errdetail("It is %d.", value)));
	return value;
}

int
gm_arg_hops(FunctionCallInfo fcinfo, int n, const char *name, int missing)
{
	int			hops = gm_arg_count4(fcinfo, n, name, missing);

	return Min(hops, GM_MAX_HOPS);
}

static double
in_range(double value, const char *name, double low, double high)
{
	if (isnan(value) || value < low || value > high)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must be between %g and %g", name, low, high),
				 errdetail("It is %g.", value)));
	return value;
}

double
gm_arg_real(FunctionCallInfo fcinfo, int n, const char *name, double low, double high,
			double missing)
{
	double		value;

	if (PG_ARGISNULL(n))
		return missing;

	/* the bounds as reals: 0.999 written as one lies above the double */
	value = in_range(PG_GETARG_FLOAT4(n), name, (float) low, (float) high);
	return Min(Max(value, low), high);
}

double
gm_arg_float8(FunctionCallInfo fcinfo, int n, const char *name, double low, double high,
			  double missing)
{
	return PG_ARGISNULL(n) ? missing : in_range(PG_GETARG_FLOAT8(n), name, low, high);
}

GmDirection
gm_arg_direction(FunctionCallInfo fcinfo, int n)
{
	char	   *direction = gm_arg_cstring(fcinfo, n);

	if (direction == NULL || strcmp(direction, "both") == 0)
		return GM_BOTH;
	if (strcmp(direction, "out") == 0)
		return GM_OUT;
	if (strcmp(direction, "in") == 0)
		return GM_IN;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid direction \"%s\"", gm_error_quote(direction, strlen(direction))),
			 errhint("Directions are \"out\", \"in\" and \"both\".")));
	return GM_BOTH;
}

text **
gm_arg_texts(FunctionCallInfo fcinfo, int n, const char *name, int *count)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(n);
	Datum	   *values;
	bool	   *nulls;
	int			length;
	text	  **texts;

	*count = 0;
	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must be a one-dimensional array", name),
				 errdetail("It has %d dimensions.", ARR_NDIM(array))));
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &length);
	texts = palloc((length + 1) * sizeof(text *));
	for (int i = 0; i < length; i++)
		if (!nulls[i])
			texts[(*count)++] = DatumGetTextPP(values[i]);
	return texts;
}

int64 *
gm_arg_int8s(FunctionCallInfo fcinfo, int n, const char *name, int *count)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(n);
	Datum	   *values;
	bool	   *nulls;
	int			length;
	int64	   *ids;

	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("argument \"%s\" must be a one-dimensional array", name)));
	if (!ARR_HASNULL(array))
	{
		*count = ARR_NDIM(array) == 0 ? 0 : ARR_DIMS(array)[0];
		return (int64 *) ARR_DATA_PTR(array);
	}
	deconstruct_array(array, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &values, &nulls, &length);
	ids = palloc(length * sizeof(int64));
	*count = 0;
	for (int i = 0; i < length; i++)
		if (!nulls[i])
			ids[(*count)++] = DatumGetInt64(values[i]);
	return ids;
}

int64_t
gm_arg_known_at(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? GM_TIME_MAX : PG_GETARG_TIMESTAMPTZ(n);
}

GmNode
gm_find_text(const GmGraph *graph, const text *name, int64_t known_at)
{
	return gm_graph_find_name_at(graph, VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name), known_at);
}

GmNode
gm_find_term(const GmGraph *graph, const text *name, const text *type, int64_t known_at)
{
	if (type == NULL)
		return gm_find_text(graph, name, known_at);
	return gm_graph_find_literal(graph, VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name),
								 VARDATA_ANY(type), VARSIZE_ANY_EXHDR(type));
}

GmNode
gm_arg_node(FunctionCallInfo fcinfo, int n, const char *name, const GmGraph *graph,
			int64_t known_at)
{
	gm_arg_required(fcinfo, n, name);
	return gm_find_text(graph, PG_GETARG_TEXT_PP(n), known_at);
}

GmNode *
gm_arg_nodes(FunctionCallInfo fcinfo, int n, const char *name, const GmGraph *graph,
			 int64_t known_at, uint32_t *count)
{
	text	  **texts;
	GmNode	   *nodes;
	int			length;

	gm_arg_required(fcinfo, n, name);
	texts = gm_arg_texts(fcinfo, n, name, &length);
	nodes = palloc((length + 1) * sizeof(GmNode));
	*count = 0;
	for (int i = 0; i < length; i++)
	{
		GmNode		node = gm_find_text(graph, texts[i], known_at);

		if (node != GM_NONE)
			nodes[(*count)++] = node;
	}
	return nodes;
}

uint8_t *
gm_arg_predicates(FunctionCallInfo fcinfo, int n, const GmGraph *graph)
{
	text	  **texts;
	uint8_t    *allowed;
	int			length;

	if (PG_ARGISNULL(n))
		return NULL;
	texts = gm_arg_texts(fcinfo, n, "predicates", &length);
	allowed = palloc0((Size) graph->root->gr_predicates + 1);
	for (int i = 0; i < length; i++)
	{
		uint32_t	predicate = gm_graph_find_predicate(graph, VARDATA_ANY(texts[i]),
														VARSIZE_ANY_EXHDR(texts[i]));

		if (predicate != GM_NONE)
			allowed[predicate] = 1;
	}
	return allowed;
}

bool
gm_text_is_one_of(const GmString *string, text **texts, int n)
{
	for (int i = 0; i < n; i++)
		if (string != NULL && string->length == VARSIZE_ANY_EXHDR(texts[i]) &&
			memcmp(string->bytes, VARDATA_ANY(texts[i]), string->length) == 0)
			return true;
	return false;
}

bool *
gm_arg_kind_numbers(FunctionCallInfo fcinfo, int n, const GmGraph *graph)
{
	uint32_t	strings = (uint32_t) graph->root->gr_string.ar_length;
	text	  **texts;
	bool	   *wanted;
	int			length;

	if (PG_ARGISNULL(n))
		return NULL;
	texts = gm_arg_texts(fcinfo, n, "kinds", &length);
	wanted = palloc0(strings * sizeof(bool));
	for (uint32_t s = 1; s < strings; s++)
		wanted[s] = gm_text_is_one_of(gm_graph_string(graph,
													  *(GmRef *) gm_array_at(&graph->string, s)),
									  texts, length);
	return wanted;
}

uint64_t *
gm_arg_kinds(FunctionCallInfo fcinfo, int n, const GmGraph *graph)
{
	uint32_t	nodes = graph->root->gr_nodes;
	bool	   *wanted = gm_arg_kind_numbers(fcinfo, n, graph);
	uint64_t   *bitmap;

	if (wanted == NULL)
		return NULL;
	bitmap = MemoryContextAllocExtended(CurrentMemoryContext,
										gm_bit_words(nodes) * sizeof(uint64_t) + 8,
										MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (GmNode node = 0; node < nodes; node++)
		if (wanted[GM_ARRAY_U32(&graph->kind, node)])
			gm_bit_set(bitmap, node);
	return bitmap;
}

void
gm_arg_times(FunctionCallInfo fcinfo, int n, GmView *view)
{
	if (!PG_ARGISNULL(n))
	{
		TimestampTz as_of = PG_GETARG_TIMESTAMPTZ(n);

		/* facts without an end hold at the end of time too */
		view->as_of = TIMESTAMP_IS_NOEND(as_of) ? as_of - 1 : as_of;
	}
	view->known_at = gm_arg_known_at(fcinfo, n + 1);
}

void
gm_arg_view(FunctionCallInfo fcinfo, int n, const GmImage *image, GmView *view)
{
	gm_view_init(image->graph, image->now, view);
	view->min_confidence = (float) gm_arg_real(fcinfo, n, "min_confidence", 0, 1, 0);
	gm_arg_times(fcinfo, n + 1, view);
	gm_view_settle(image->graph, view);
}
