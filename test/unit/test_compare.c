/*-------------------------------------------------------------------------
 *
 * test_compare.c
 *	  core/graph_compare: silent for the same rows in any order, and for each
 *	  single difference the line that names it.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "core/graph_compare.h"
#include "unit.h"

#define NOW			1000
#define ENTITIES	6
#define TRIPLES		8

/* what one image has otherwise than the other */
typedef enum Change
{
	SAME,
	ENTITY_NAME,
	ENTITY_KIND,
	ENTITY_TYPE,
	ENTITY_GONE,
	ENTITY_NEW,
	ALIAS_GONE,
	ALIAS_ELSEWHERE,
	PREDICATE_WEIGHT,
	PREDICATE_SYMMETRIC,
	PREDICATE_ID,
	PREDICATE_NEW,
	SOURCE_NAME,
	SOURCE_SESSION,
	SOURCE_RELIABILITY,
	SOURCE_NEW,
	TRIPLE_GONE,
	TRIPLE_NEW,
	TRIPLE_FACT,
	TRIPLE_OBJECT,
	TRIPLE_CONFIDENCE,
	TRIPLE_VALID_TO,
	TRIPLE_RECORDED,
	ASSERTION_GONE,
	ASSERTION_CONFIDENCE,
	ASSERTION_TIME,
	VECTOR_ELEMENT,
	VECTOR_GONE,
	VECTOR_NEW,
	SPACE_M,
	SPACE_EF_CONSTRUCTION,
	SPACE_QUANTISATION,
	SPACE_IN_TABLE
} Change;

/* each with a line that must be among those reported */
static const struct
{
	Change		change;
	const char *what;
	int64_t		id;
}			cases[] = {
	{ENTITY_NAME, "name of an entity", 20},
	{ENTITY_KIND, "kind of an entity", 20},
	{ENTITY_TYPE, "literal type of an entity", 60},
	{ENTITY_GONE, "entity is missing", 50},
	{ENTITY_NEW, "entity is not in the tables", 70},
	{ALIAS_GONE, "entity that a name leads to", 10},
	{ALIAS_ELSEWHERE, "entity that a name leads to", 10},
	{PREDICATE_WEIGHT, "weight of a predicate", 1},
	{PREDICATE_SYMMETRIC, "properties of a predicate", 2},
	{PREDICATE_ID, "predicate that a name leads to", 2},
	{PREDICATE_NEW, "predicate is not in the tables", 9},
	{SOURCE_NAME, "name of a source", 7},
	{SOURCE_SESSION, "session of a source", 7},
	{SOURCE_RELIABILITY, "reliability of a source", 7},
	{SOURCE_NEW, "source is not in the tables", 8},
	{TRIPLE_GONE, "triple is missing", 103},
	{TRIPLE_NEW, "triple is not in the tables", 999},
	{TRIPLE_FACT, "fact of a triple", 103},
	{TRIPLE_OBJECT, "object of a triple", 103},
	{TRIPLE_CONFIDENCE, "confidence of a triple", 103},
	{TRIPLE_VALID_TO, "valid_to of a triple", 103},
	{TRIPLE_RECORDED, "recorded_at of a triple", 103},
	{ASSERTION_GONE, "number of assertions of a fact", 1},
	{ASSERTION_CONFIDENCE, "confidence of an assertion", 1},
	{ASSERTION_TIME, "time of an assertion", 1},
	{VECTOR_ELEMENT, "vector", 20},
	{VECTOR_GONE, "vector is missing", 20},
	{VECTOR_NEW, "vector is not in the tables", 50},
	{SPACE_M, "index parameters of a vector space", 0},
	{SPACE_EF_CONSTRUCTION, "index parameters of a vector space", 0},
	{SPACE_QUANTISATION, "index parameters of a vector space", 0},
	{SPACE_IN_TABLE, "index parameters of a vector space", 0},
};

typedef struct Image
{
	GmMem	   *mem;
	GmGraph    *graph;
	GmSpace    *space;
} Image;

typedef struct Reports
{
	uint32_t	count;
	const char *what[64];
	int64_t		id[64];
} Reports;

static void
note(void *arg, const char *what, int64_t id, const char *detail)
{
	Reports    *r = arg;

	if (r->count < 64)
	{
		r->what[r->count] = what;
		r->id[r->count] = id;
	}
	r->count++;
}

static void
ok(GmStatus status)
{
	CHECK(status == GM_OK);
}

static void
add_entity(GmGraph *g, int64_t id, const char *name, const char *type, const char *kind)
{
	ok(gm_graph_add_entity(g, id, name, (uint32_t) strlen(name),
						   type, type == NULL ? 0 : (uint32_t) strlen(type),
						   kind, kind == NULL ? 0 : (uint32_t) strlen(kind)));
}

static void
add_alias(GmGraph *g, const char *name, int64_t id)
{
	ok(gm_graph_add_alias(g, id, name, (uint32_t) strlen(name), id));
}

static void
add_source(GmGraph *g, int64_t id, const char *name, const char *session, float reliability)
{
	ok(gm_graph_add_source(g, id, name, (uint32_t) strlen(name), session,
						   session == NULL ? 0 : (uint32_t) strlen(session), NULL, 0,
						   reliability));
}

static void
add_dictionary(GmGraph *g, Change change, bool backwards)
{
	ok(gm_graph_add_predicate(g, 1, "knows", 5, false, false,
							  change == PREDICATE_WEIGHT ? 2.0f : 1.0f));
	ok(gm_graph_add_predicate(g, change == PREDICATE_ID ? 3 : 2, "likes", 5, false,
							  change == PREDICATE_SYMMETRIC, 1.0f));
	if (change == PREDICATE_NEW)
		ok(gm_graph_add_predicate(g, 9, "hates", 5, false, false, 1.0f));
	for (int i = 0; i < ENTITIES; i++)
	{
		int			n = backwards ? ENTITIES - i : i + 1;
		char		name[16];

		if (change == ENTITY_GONE && n == 5)
			continue;
		snprintf(name, sizeof(name), "entity %d", change == ENTITY_NAME && n == 2 ? 22 : n);
		add_entity(g, n * 10, name, n != 6 ? NULL : change == ENTITY_TYPE ? "b" : "a",
				   change == ENTITY_KIND && n == 2 ? NULL : "kind");
	}
	if (change == ENTITY_NEW)
		add_entity(g, 70, "entity 7", NULL, NULL);
	if (change != ALIAS_GONE)
		add_alias(g, "other", change == ALIAS_ELSEWHERE ? 20 : 10);
	add_source(g, 7, change == SOURCE_NAME ? "letters" : "letter",
			   change == SOURCE_SESSION ? NULL : "monday", change == SOURCE_RELIABILITY ? 0.5f : 0.75f);
	add_source(g, 6, "book", NULL, 1.0f);
	if (change == SOURCE_NEW)
		add_source(g, 8, "song", NULL, 1.0f);
}

static void
add_triples(GmGraph *g, Change change, bool backwards)
{
	for (int i = 0; i < TRIPLES; i++)
	{
		int			n = backwards ? TRIPLES - 1 - i : i;
		bool		here = n == 3;
		GmTimes		times = {GM_TIME_MIN, GM_TIME_MAX, 10, GM_TIME_MAX};
		int64_t		object = (n * 3 % 4 + 1) * 10;

		if (change == TRIPLE_GONE && here)
			continue;
		if (change == TRIPLE_VALID_TO && here)
			times.valid_to = NOW / 2;
		if (change == TRIPLE_RECORDED && here)
			times.recorded_at = 11;
		if (n == 4)
			times.expired_at = 500;
		if (change == TRIPLE_OBJECT && here)
			object = object == 10 ? 20 : 10;
		ok(gm_graph_add_triple(g, 100 + n, change == TRIPLE_FACT && here ? 33 : n,
							   (n % 4 + 1) * 10, change == PREDICATE_ID ? 1 : n % 2 + 1, object,
							   change == TRIPLE_CONFIDENCE && here ? 0.25f : 0.5f, &times));
	}
	if (change == TRIPLE_NEW)
	{
		GmTimes		times = {GM_TIME_MIN, GM_TIME_MAX, 10, GM_TIME_MAX};

		ok(gm_graph_add_triple(g, 999, 999, 10, 1, 20, 1.0f, &times));
	}
	if (change != ASSERTION_GONE)
		ok(gm_graph_add_assertion(g, 1, 7, change == ASSERTION_CONFIDENCE ? 0.25f : 0.5f,
								  change == ASSERTION_TIME ? 21 : 20));
	ok(gm_graph_add_assertion(g, 1, 6, 0.5f, 20));
}

static void
add_vectors(Image *image, Change change, bool backwards)
{
	GmSpaceTuning tuning = {
		change == SPACE_M ? 17 : 16, change == SPACE_EF_CONSTRUCTION ? 201 : 200,
		change == SPACE_QUANTISATION ? GM_CODE_F16 : GM_CODE_INT8, change == SPACE_IN_TABLE
	};

	(void) gm_vec_choose(GM_SIMD_AUTO);
	ok(gm_space_create(image->mem, 3, GM_METRIC_COSINE, &image->space));
	gm_space_tune(image->space, &tuning);
	for (int i = 0; i < 4; i++)
	{
		int			n = backwards ? 4 - i : i + 1;
		float		v[3] = {(float) n, 1.0f, change == VECTOR_ELEMENT && n == 2 ? 0.5f : 0.0f};

		if (change == VECTOR_GONE && n == 2)
			continue;
		ok(gm_space_add(image->space, n * 10, gm_graph_find_entity(image->graph, n * 10), v));
	}
	if (change == VECTOR_NEW)
	{
		float		v[3] = {1.0f, 1.0f, 1.0f};

		ok(gm_space_add(image->space, 50, gm_graph_find_entity(image->graph, 50), v));
	}
	ok(gm_space_finish(image->space, image->graph->root->gr_nodes));
}

static void
build(Image *image, Change change, bool backwards)
{
	ok(gm_mem_create(4096, 0, NULL, &image->mem));
	ok(gm_graph_create(image->mem, &image->graph));
	add_dictionary(image->graph, change, backwards);
	add_triples(image->graph, change, backwards);
	ok(gm_graph_finish(image->graph, NOW, NULL));
	add_vectors(image, change, backwards);
}

static void
destroy(Image *image)
{
	gm_space_destroy(image->space);
	gm_graph_destroy(image->graph);
	gm_mem_destroy(image->mem);
}

static void
compare(Change change, bool backwards, Reports *reports)
{
	GmCompare	c = {note, reports, NULL};
	Image		image;
	Image		truth;

	reports->count = 0;
	build(&image, change, backwards);
	build(&truth, SAME, false);
	ok(gm_graph_compare(image.graph, truth.graph, NOW, &c));
	ok(gm_space_compare(image.graph, image.space, truth.graph, truth.space, 'e', &c));
	destroy(&image);
	destroy(&truth);
}

static bool
reported(const Reports *reports, const char *what, int64_t id)
{
	for (uint32_t i = 0; i < reports->count && i < 64; i++)
		if (strcmp(reports->what[i], what) == 0 && reports->id[i] == id)
			return true;
	return false;
}

static void
test_same(void)
{
	Reports		reports;

	compare(SAME, false, &reports);
	CHECK(reports.count == 0);
	compare(SAME, true, &reports);
	CHECK(reports.count == 0);
}

static void
test_differences(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (int backwards = 0; backwards < 2; backwards++)
		{
			Reports		reports;

			compare(cases[i].change, backwards, &reports);
			if (!CHECK(reported(&reports, cases[i].what, cases[i].id)))
				printf("# %s of %lld\n", cases[i].what, (long long) cases[i].id);
		}
}

/* edges at the time looked at, whichever runs they lie in */
static void
test_times(void)
{
	GmTimes		soon = {NOW + 10, GM_TIME_MAX, 10, GM_TIME_MAX};
	Reports		reports = {0};
	GmCompare	c = {note, &reports, NULL};
	Image		image;
	Image		truth;

	for (int i = 0; i < 2; i++)
	{
		Image	   *one = i == 0 ? &image : &truth;

		ok(gm_mem_create(4096, 0, NULL, &one->mem));
		ok(gm_graph_create(one->mem, &one->graph));
		add_dictionary(one->graph, SAME, false);
		ok(gm_graph_add_triple(one->graph, 990, 990, 10, 1, 20, 1.0f, &soon));
		add_triples(one->graph, SAME, false);
		ok(gm_graph_finish(one->graph, i == 0 ? NOW : NOW + 100, NULL));
		one->space = NULL;
	}
	ok(gm_graph_compare(image.graph, truth.graph, NOW + 100, &c));
	CHECK(reports.count == 0);
	image.graph->root->gr_next_flip = NOW + 50;
	ok(gm_graph_compare(image.graph, truth.graph, NOW + 20, &c));
	CHECK(reported(&reports, "triple changes its validity before the next flip", 990));
	CHECK(reported(&reports, "number of edges of an entity", 10));
	destroy(&image);
	destroy(&truth);
}

UNIT_MAIN(UNIT(test_same), UNIT(test_differences), UNIT(test_times))
