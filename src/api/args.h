/*-------------------------------------------------------------------------
 *
 * args.h
 *	  Arguments of the reading functions, checked in one place.
 *
 * A NULL argument gives the default.  Names that the graph does not know are
 * ignored, since they come from language models; a value out of range is
 * 22023 and names the argument.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_API_ARGS_H
#define GM_API_ARGS_H

#include "fmgr.h"

#include "core/graph.h"
#include "image/image.h"

#define GM_MAX_HOPS		1000000

extern char *gm_arg_cstring(FunctionCallInfo fcinfo, int n);
extern bool gm_arg_bool(FunctionCallInfo fcinfo, int n, bool missing);

/* not negative; GM_ALL_ROWS (UINT64_MAX) where missing says so */
extern uint64_t gm_arg_count8(FunctionCallInfo fcinfo, int n, const char *name, uint64_t missing);
extern int	gm_arg_count4(FunctionCallInfo fcinfo, int n, const char *name, int missing);
extern int	gm_arg_between(FunctionCallInfo fcinfo, int n, const char *name, int low, int high,
						   int missing);
extern int	gm_arg_hops(FunctionCallInfo fcinfo, int n, const char *name, int missing);

/* real or float8 within [low, high]; NaN is never */
extern double gm_arg_real(FunctionCallInfo fcinfo, int n, const char *name,
						  double low, double high, double missing);
extern double gm_arg_float8(FunctionCallInfo fcinfo, int n, const char *name,
							double low, double high, double missing);

/* 'out', 'in' or 'both' (also for NULL) */
extern GmDirection gm_arg_direction(FunctionCallInfo fcinfo, int n);

/* elements of a one-dimensional text[]; NULL elements are left out */
extern text **gm_arg_texts(FunctionCallInfo fcinfo, int n, const char *name, int *count);

extern bool gm_text_is_one_of(const GmString *string, text **texts, int n);

/* elements of a one-dimensional bigint[], perhaps in place; NULL elements are left out */
extern int64 *gm_arg_int8s(FunctionCallInfo fcinfo, int n, const char *name, int *count);

/* GM_TIME_MAX where it is missing */
extern int64_t gm_arg_known_at(FunctionCallInfo fcinfo, int n);

/* the node of a name, by what was known then; GM_NONE if unknown, 22004 for NULL */
extern GmNode gm_arg_node(FunctionCallInfo fcinfo, int n, const char *name, const GmGraph *graph,
						  int64_t known_at);
extern GmNode gm_find_text(const GmGraph *graph, const text *name, int64_t known_at);

/* the literal of that type, or with type NULL what the name means */
extern GmNode gm_find_term(const GmGraph *graph, const text *name, const text *type,
						   int64_t known_at);
extern GmNode *gm_arg_nodes(FunctionCallInfo fcinfo, int n, const char *name,
							const GmGraph *graph, int64_t known_at, uint32_t *count);

/* allowed predicates as GmView wants them; NULL: all */
extern uint8_t *gm_arg_predicates(FunctionCallInfo fcinfo, int n, const GmGraph *graph);

/* which numbers of strings are these kinds; NULL: all */
extern bool *gm_arg_kind_numbers(FunctionCallInfo fcinfo, int n, const GmGraph *graph);

/* bitmap of the nodes of these kinds; NULL: all */
extern uint64_t *gm_arg_kinds(FunctionCallInfo fcinfo, int n, const GmGraph *graph);

/* min_confidence, as_of and known_at, which stand together in every signature */
extern void gm_arg_view(FunctionCallInfo fcinfo, int min_confidence_arg,
						const GmImage *image, GmView *view);

/* the latter two alone */
extern void gm_arg_times(FunctionCallInfo fcinfo, int as_of_arg, GmView *view);

extern void gm_arg_required(FunctionCallInfo fcinfo, int n, const char *name);

#endif							/* GM_API_ARGS_H */
