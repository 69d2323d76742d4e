/*-------------------------------------------------------------------------
 *
 * fn_paths.c
 *	  Paths between two entities: shortest_path, paths.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "api/args.h"
#include "api/rows.h"
#include "core/path.h"
#include "error.h"
#include "image/image.h"

/*
 * Records that paths() looks at before it gives up looking for more, about two
 * seconds' worth.
 */
#define PATHS_BUDGET	UINT64_C(200000000)

static bool
weight_is_confidence(FunctionCallInfo fcinfo, int n)
{
	char	   *weight = gm_arg_cstring(fcinfo, n);

	if (weight == NULL || strcmp(weight, "hops") == 0)
		return false;
	if (strcmp(weight, "confidence") == 0)
		return true;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid path weight \"%s\"", gm_error_quote(weight, strlen(weight))),
			 errhint("Weights are \"hops\" and \"confidence\".")));
	return false;
}

static void
put_path(GmRows *rows, const GmGraph *g, const GmPath *path, int64_t rank)
{
	uint32_t	n = path->hops;
	GmSlot	   *slots = gm_row_alloc(rows, (n + (Size) 1) * sizeof(GmSlot));
	bool	   *out = gm_row_alloc(rows, (n + (Size) 1) * sizeof(bool));
	const GmString **names = gm_row_alloc(rows, (n + (Size) 1) * sizeof(GmString *));
	int64_t    *ids = gm_row_alloc(rows, (n + (Size) 1) * sizeof(int64_t));

	for (uint32_t i = 0; i <= n; i++)
	{
		if (i > 0)
		{
			slots[i - 1] = path->steps[i].slot;
			out[i - 1] = path->steps[i].out;
		}
		names[i] = gm_graph_name(g, path->steps[i].node);
		ids[i] = gm_graph_entity_id(g, path->steps[i].node);
	}
	gm_row_int8(rows, rank);
	gm_row_int4(rows, (int32_t) n);
	gm_row_float8(rows, path->cost);
	gm_row_float4(rows, (float) path->confidence);
	gm_row_path(rows, g, path->steps[0].node, slots, out, (int) n);
	gm_row_strings(rows, names, (int) n + 1);
	gm_row_int8s(rows, ids, (int) n + 1);
	gm_rows_put(rows);
}

/*
 * shortest_path(a, b, weight, max_hops, direction, predicates, min_confidence,
 *				 as_of, known_at, graph)
 */
GM_READING_FUNCTION(graphmem_shortest_path)
{
	GmImage    *image = gm_image_open(gm_arg_cstring(fcinfo, 9));
	const GmGraph *g = image->graph;
	GmNode		a = gm_arg_node(fcinfo, 0, "a", g, gm_arg_known_at(fcinfo, 8));
	GmNode		b = gm_arg_node(fcinfo, 1, "b", g, gm_arg_known_at(fcinfo, 8));
	GmPathOpts	opts = {0};
	GmView		view;
	GmRows		rows;
	GmPath		path;
	bool		found;

	opts.by_confidence = weight_is_confidence(fcinfo, 2);
	opts.max_hops = gm_arg_hops(fcinfo, 3, "max_hops", -1);
	gm_arg_view(fcinfo, 6, image, &view);
	view.direction = gm_arg_direction(fcinfo, 4);
	view.predicates = gm_arg_predicates(fcinfo, 5, g);
	gm_view_settle(g, &view);
	gm_rows_begin(fcinfo, &rows);
	if (a == GM_NONE || b == GM_NONE)
		return (Datum) 0;
	gm_error_check(gm_shortest_path(g, &view, image->scratch, a, b, &opts,
									&gm_server_interrupt, &path, &found),
				   "searching a path");
	if (found)
		put_path(&rows, g, &path, 1);
	return (Datum) 0;
}

/*
 * paths(a, b, match_count, max_hops, weight, direction, predicates,
 *		 min_confidence, as_of, known_at, graph)
 */
GM_READING_FUNCTION(graphmem_paths)
{
	GmImage    *image = gm_image_open(gm_arg_cstring(fcinfo, 10));
	const GmGraph *g = image->graph;
	GmNode		a = gm_arg_node(fcinfo, 0, "a", g, gm_arg_known_at(fcinfo, 9));
	GmNode		b = gm_arg_node(fcinfo, 1, "b", g, gm_arg_known_at(fcinfo, 9));
	int			match_count = gm_arg_count4(fcinfo, 2, "match_count", 3);
	GmPathOpts	opts = {0};
	const GmPath *paths;
	uint32_t	count;
	bool		complete;
	GmView		view;
	GmRows		rows;

	opts.max_hops = gm_arg_hops(fcinfo, 3, "max_hops", 4);
	opts.by_confidence = weight_is_confidence(fcinfo, 4);
	opts.budget = PATHS_BUDGET;
	gm_arg_view(fcinfo, 7, image, &view);
	view.direction = gm_arg_direction(fcinfo, 5);
	view.predicates = gm_arg_predicates(fcinfo, 6, g);
	gm_view_settle(g, &view);
	gm_rows_begin(fcinfo, &rows);
	if (a == GM_NONE || b == GM_NONE || match_count == 0)
		return (Datum) 0;
	gm_error_check(gm_paths(g, &view, image->scratch, a, b, (uint32_t) match_count, &opts,
							&gm_server_interrupt, &paths, &count, &complete),
				   "searching paths");
	for (uint32_t i = 0; i < count; i++)
		put_path(&rows, g, &paths[i], (int64_t) i + 1);
	if (!complete)
		ereport(NOTICE,
				(errmsg("the search for paths ended after %llu records",
						(unsigned long long) PATHS_BUDGET),
				 errdetail("The rows returned are the best paths; there may be more."),
				 errhint("Lower max_hops or match_count, or name predicates.")));
	return (Datum) 0;
}
