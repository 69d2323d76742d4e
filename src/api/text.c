/*-------------------------------------------------------------------------
 *
 * text.c
 *	  The text legs of fusion_query: entities by name or alias, sources by
 *	  content.
 *
 * PostgreSQL's GIN indexes find candidates, at most some thousand, and these
 * are scored here.  A GIN scan costs about 0.2 us per posting it reads, and
 * neither it nor ts_rank stops early, so "every word, OR" over a million
 * names takes 20 ms and pg_trgm's % up to 700.  Each step below therefore
 * has a bound on the postings it may read:
 *
 *	 1. keys	names that are, as a whole, a span of the query: "Who invented
 *				the analytical engine?" finds "Analytical Engine" whatever
 *				the words' frequency.  Up to MAX_SPAN words, MAX_KEYS spans.
 *	 2. counts	rows of each term, from the sample in the index: true at once,
 *				unlike statistics, and per graph.
 *	 3. words	the rarest terms, OR, as long as MAX_ROWS match.  Terms with
 *				up to COMMON_ROWS rows: first rows that have another term
 *				too.  Of more frequent terms, and once a name is found whole,
 *				a sample only.
 *	 4. spelling	if a word is unknown and no name was found whole: names with
 *				the word's halves or its two ends, by trigrams, because a
 *				mistake or two leave one of them as it is, as a rule; in a
 *				small graph pg_trgm's similarity before.
 *
 * Aliases are searched by the same steps beside names, with weights of words by
 * their frequency in names; in a graph without aliases that is one lookup.  An
 * alias that is an entity's name too is not searched: the entity goes before.
 *
 * What this gives up: of rows that match only words more frequent than
 * COMMON_ROWS, and are not named in full, one in GM_SAMPLE_RATE is found, or
 * one in GM_COUNT_RATE; of a term in MAX_ROWS to COMMON_ROWS rows the first
 * MAX_ROWS in the table's order, which survives dump and restore; in a large
 * graph a word with mistakes in both halves and at an end is not found, nor a
 * misspelled one of fewer than MIN_CHARS letters.
 *
 * Measured (test/bench/text.py, a million names and a million contents, 2 cores
 * shared with other work, ms of CPU, median and p95; recall@10 of the target):
 *
 *	 exact name						1.8	3.2	1.00
 *	 question with a name			2.8	4.8	0.98
 *	 some words of a long name		2.1	4.7	0.95
 *	 misspelled, several words		2.0	6.0	0.93
 *	 misspelled, one word			3.2	6.0	0.92
 *	 common words only				3.0	3.9	-
 *	 10,000 matching rows			2.1	2.5	-
 *	 sources: words of a content	2.8	5.9	0.98
 *	 sources: common words only		3.8	5.5	-
 *	 sources: 10,000 matching rows	2.4	2.9	-
 *
 * Score	share of the query's words that match, weighted by log(rows / rows
 *			with the word), times 1/2 + 1/2 share of the name that matches
 *
 * Under row security the planner may not use these indexes, as full-text
 * search is not leakproof; one scan of the graph's rows answers then.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/detoast.h"
#include "access/genam.h"
#include "access/relation.h"
#include "access/stratnum.h"
#include "catalog/pg_class.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "tcop/dest.h"
#include "tsearch/ts_type.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/pg_crc.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "compat.h"
#include "api/sql.h"
#include "api/text.h"
#include "api/text_words.h"

/* Rows that one step may score, of them of a sample, and bytes of their text. */
#define MAX_ROWS		1000
#define MAX_SAMPLE_ROWS	500
#define MAX_BYTES		(256 * 1024)
/* Rows of terms above which only a sample is read. */
#define COMMON_ROWS		5000
/* Rows of the terms that those of a rarer term are intersected with. */
#define OTHER_ROWS		30000
/* Sampled rows that are counted at most, of a term and of the graph. */
#define MAX_COUNT		128
#define MAX_GRAPH_COUNT	1024
/* What a term costs of which the sample holds nothing. */
#define RARE_ROWS		64

#define MAX_SPAN		8
#define MAX_KEYS		256

/* Sampled rows from which on a graph is large: about 10,000 names. */
#define LARGE_COUNT		3
#define SMALL_SIMILARITY "0.4"
#define SIMILAR_BYTES	128

/* Letters of a word from which on its misspellings are looked for, and of its parts. */
#define MIN_CHARS		5
#define MIN_HALF		4
#define MIN_END			3
#define MAX_UNKNOWN		2

#define STEM_CREDIT		0.95
#define NEAR_CREDIT		0.8
#define STOP_WEIGHT		0.05
#define BEST_PARTIAL	0.98
#define LEAST_SCORE		0.001

/*
 * A graph with more than this share of all names has too many of them for
 * the list of its names to be of use beside trigrams: that costs 20 ns per
 * name of the graph, trigrams alone 1 ns per name of the table.
 */
#define LARGE_SHARE		0.05

typedef enum PlanKind
{
	PLAN_WORDS,
	PLAN_LIKE,
	PLAN_LIKE_ALL,
	PLAN_SIMILAR
} PlanKind;

/* What is searched: constant but for its plans, kept for the session. */
typedef struct Leg
{
	const char *table;
	const char *columns;
	const char *condition;
	const char *words;
	bool		names;			/* keys, and misspellings */
	SPIPlanPtr	plans[PLAN_SIMILAR + 1][2]; /* by row security */
	Oid			similar_schema; /* that PLAN_SIMILAR was made with */
} Leg;

static Leg	entity_leg = {
	"entities", "entity_id, name",
	"literal_type IS NULL",
	"graphmem.search_name_vector(graph_id, name) OPERATOR(pg_catalog.@@) $2",
	true
};
/* with the entity, or untyped literal, of that name */
static Leg	alias_leg = {
	"aliases",
	"entity_id, name, (SELECT e.entity_id FROM graphmem.entities e"
	" WHERE e.graph_id OPERATOR(pg_catalog.=) aliases.graph_id"
	" AND graphmem.name_key(e.name, e.literal_type) OPERATOR(pg_catalog.=) graphmem.name_key(aliases.name))",
	"EXISTS (SELECT FROM graphmem.entities e WHERE e.entity_id OPERATOR(pg_catalog.=) aliases.entity_id)",
	"graphmem.search_name_vector(graph_id, name) OPERATOR(pg_catalog.@@) $2",
	true
};
static Leg	source_leg = {
	"sources", "source_id, content",
	"content IS NOT NULL",
	"graphmem.search_vector(graph_id, content) OPERATOR(pg_catalog.@@) $2",
	false
};

typedef struct Term
{
	const char *text;
	int			len;
	int			chars;
	bool		pair;			/* two characters of a script without spaces */
	char		lexeme[GM_LEXEME_BYTES];
	int			lexeme_len;		/* 0: a stop word */
	int			count;			/* sampled rows, up to MAX_COUNT */
	double		weight;
	bool		seen;			/* some row has it */
	bool		near;			/* some row has nearly it */
} Term;

typedef struct Search
{
	Leg		   *leg;
	int32		graph_id;
	int			limit;
	const GmTextKnown *known;	/* NULL: all rows count */
	bool		secured;		/* row security holds for this user */
	double		rows;			/* of the graph, about */
	bool		large;
	bool		exact;			/* a name is the query */
	bool		linked;			/* all of several words of a name are in the query */
	GmWords		words;
	Term		terms[GM_QUERY_TERMS];
	int			nterms;
	Term	   *ranked[GM_QUERY_TERMS]; /* with lexemes, rarest first */
	int			nranked;
	double		weight;			/* of all terms */
	GmTextHit  *hits;
	int			nhits;
	int			capacity;
	MemoryContext row_context;
} Search;

/* Operands of a tsquery on their way. */
typedef struct Operands
{
	int			n;
	int			len[MAX_KEYS];
	char		indexed[MAX_KEYS][GM_LEXEME_BYTES];
} Operands;

/* Rows go where they are scored or counted, none is copied. */
typedef struct Sink
{
	DestReceiver receiver;
	Search	   *search;
	bool		only_count;
	int			rows;
	int			max_rows;
	int64		bytes;
	int64		max_bytes;
} Sink;

/* ---- scoring ---- */

static int
mistakes_allowed(int chars)
{
	return chars < MIN_HALF ? 0 : chars < 6 ? 1 : chars < 12 ? 2 : 3;
}

/* Edit distance up to what is allowed, else -1. */
static int
distance(const Term *term, const char *word, int len)
{
	int			allowed = mistakes_allowed(term->chars);
	int			d;

	if (allowed == 0 || abs(len - term->len) > allowed * 4 || len > GM_LEXEME_BYTES ||
		term->len > GM_LEXEME_BYTES ||
		(word[0] != term->text[0] && word[len - 1] != term->text[term->len - 1]))
		return -1;
	d = varstr_levenshtein_less_equal(term->text, term->len, word, len, 1, 1, 1,
									  allowed, true);
	return d <= allowed ? d : -1;
}

/* Whether the word looks like another form of the term. */
static bool
same_stem(const Term *term, const char *word, int len)
{
	int			stem = term->lexeme_len;

	if (stem > 3 && term->lexeme[stem - 1] == 'i' && len >= stem && word[stem - 1] == 'y')
		stem--;
	return stem >= 3 && len >= stem && len <= stem + 5 &&
		memcmp(word, term->lexeme, stem) == 0;
}

static double
credit(Search *s, Term *term, const GmWords *w, const GmWord *word)
{
	const char *text = w->text + word->start;
	int			d;

	if (term->pair)
	{
		if (word->start + term->len <= w->len && memcmp(text, term->text, term->len) == 0)
			return term->seen = true;
		return 0;
	}
	if (word->len == term->len && memcmp(text, term->text, term->len) == 0)
		return term->seen = true;
	if (word->single || term->lexeme_len == 0)
		return 0;
	if (same_stem(term, text, word->len))
	{
		term->seen = true;
		return STEM_CREDIT;
	}
	if (!s->leg->names || term->count > 0 || (d = distance(term, text, word->len)) < 0)
		return 0;
	term->near = true;
	return NEAR_CREDIT * (1 - (double) d / term->chars);
}

static bool
same_words(const GmWords *a, const GmWords *b)
{
	if (a->n != b->n)
		return false;
	if (a->n == 0)
		return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
	for (int i = 0; i < a->n; i++)
		if (a->words[i].len != b->words[i].len ||
			memcmp(a->text + a->words[i].start, b->text + b->words[i].start,
				   a->words[i].len) != 0)
			return false;
	return true;
}

/* See "Score" above; long words count for more of a name than short ones. */
static double
score_text(Search *s, const char *text, int len)
{
	double		credits[GM_QUERY_TERMS] = {0};
	double		covered = 0;
	double		all = 0;
	int			words = 0;
	double		matched = 0;
	GmWords		w;

	gm_words_split(&w, text, len);
	if (s->leg->names && same_words(&w, &s->words))
	{
		s->exact = true;
		for (int t = 0; t < s->nterms; t++)
			s->terms[t].seen = true;
		return 1;
	}
	for (int i = 0; i < w.n; i++)
	{
		double		best = 0;
		int			size = Min(w.words[i].len, 8);

		for (int t = 0; t < s->nterms; t++)
		{
			double		c = credit(s, &s->terms[t], &w, &w.words[i]);

			credits[t] = Max(credits[t], c);
			best = Max(best, c);
		}
		covered += best * size;
		all += size;
		words += best == 1;
	}
	for (int t = 0; t < s->nterms; t++)
		matched += credits[t] * s->terms[t].weight;
	if (words > 1 && words == w.n && s->leg->names)
		s->linked = true;
	if (all == 0 || s->weight == 0)
		return LEAST_SCORE;
	return Max(BEST_PARTIAL * matched / s->weight * (0.5 + 0.5 * covered / all),
			   LEAST_SCORE);
}

static void
add_hit(Search *s, int64 id, double score)
{
	if (s->nhits == s->capacity)
	{
		s->capacity *= 2;
		s->hits = repalloc_huge(s->hits, sizeof(GmTextHit) * s->capacity);
	}
	s->hits[s->nhits++] = (GmTextHit) {id, (float) score};
}

/* The start of a text that may be long and stored out of line. */
static text *
row_text(Datum value)
{
	if (toast_raw_datum_size(value) > GM_NAME_BYTES)
		return DatumGetTextPSlice(value, 0, GM_NAME_BYTES);
	return DatumGetTextPP(value);
}

static bool
receive_row(TupleTableSlot *slot, DestReceiver *receiver)
{
	Sink	   *sink = (Sink *) receiver;
	MemoryContext old;
	text	   *t;
	int			len;
	bool		isnull;
	double		score;
	int64		id = DatumGetInt64(slot_getattr(slot, 1, &isnull));
	const GmTextKnown *known = sink->search->known;
	int			columns = 2;

	if (known != NULL && !known->is_known(known->arg, id))
		return true;
	if (sink->search->leg == &alias_leg)
	{
		int64		namesake = DatumGetInt64(slot_getattr(slot, ++columns, &isnull));

		if (!isnull && (known == NULL || known->is_known(known->arg, namesake)))
			return true;
	}
	sink->rows++;
	if (sink->only_count)
		return sink->rows < sink->max_rows;

	old = MemoryContextSwitchTo(sink->search->row_context);
	t = row_text(slot_getattr(slot, 2, &isnull));
	len = VARSIZE_ANY_EXHDR(t);
	if (len >= GM_NAME_BYTES - VARHDRSZ)
		len = pg_mbcliplen(VARDATA_ANY(t), len, len - MAX_CONVERSION_GROWTH);
	score = score_text(sink->search, VARDATA_ANY(t), len);
	if (slot->tts_tupleDescriptor->natts > columns)
		score = Max(score, 0.9 * DatumGetFloat4(slot_getattr(slot, columns + 1, &isnull)));
	MemoryContextSwitchTo(old);
	MemoryContextReset(sink->search->row_context);
	add_hit(sink->search, id, score);
	sink->bytes += len;
	return sink->rows < sink->max_rows && sink->bytes < sink->max_bytes;
}

static void
start_rows(DestReceiver *receiver, int operation, TupleDesc desc)
{
}

static void
no_more(DestReceiver *receiver)
{
}

/* ---- SQL ---- */

/* The schema of pg_trgm, by the operator class of the index. */
static Oid
trigram_schema(Oid *similar)
{
	Relation	index = relation_open(gm_sql_relid("entities_search"), AccessShareLock);
	HeapTuple	tuple;
	Oid			schema;

	*similar = get_opfamily_member(index->rd_opfamily[1], TEXTOID, TEXTOID, 1);
	relation_close(index, AccessShareLock);
	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(*similar));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", *similar);
	schema = ((Form_pg_operator) GETSTRUCT(tuple))->oprnamespace;
	ReleaseSysCache(tuple);
	return schema;
}

/*
 * Without row security the graph is in the lexemes already; its column must
 * not tempt the planner to read the index over all names of the graph.
 */
static char *
statement(const Leg *leg, PlanKind kind, bool secured)
{
	StringInfoData sql;
	const char *schema = NULL;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT %s", leg->columns);
	if (kind == PLAN_SIMILAR)
	{
		schema = quote_identifier(get_namespace_name(leg->similar_schema));
		appendStringInfo(&sql, ", %s.similarity(graphmem.search_name(name), $3)", schema);
	}
	appendStringInfo(&sql, " FROM graphmem.%s WHERE graph_id%s OPERATOR(pg_catalog.=) $1 AND %s",
					 leg->table, secured ? "" : " OPERATOR(pg_catalog.+) 0",
					 leg->condition);
	if (kind != PLAN_LIKE_ALL)
		appendStringInfo(&sql, " AND %s", leg->words);
	if (kind == PLAN_LIKE || kind == PLAN_LIKE_ALL)
		appendStringInfoString(&sql, " AND graphmem.search_name(name) OPERATOR(pg_catalog.~~) $3");
	else if (kind == PLAN_SIMILAR)
		appendStringInfo(&sql, " AND graphmem.search_name(name) OPERATOR(%s.%%) $3", schema);
	return sql.data;
}

static SPIPlanPtr
saved_plan(Leg *leg, PlanKind kind, bool secured)
{
	static Oid	types[] = {INT4OID, TSQUERYOID, TEXTOID};
	SPIPlanPtr *saved = &leg->plans[kind][secured];

	if (*saved == NULL)
	{
		char	   *sql = statement(leg, kind, secured);
		SPIPlanPtr	plan = SPI_prepare_cursor(sql, kind == PLAN_WORDS ? 2 : 3, types,
											  CURSOR_OPT_GENERIC_PLAN);

		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare \"%s\": %s", sql,
				 SPI_result_code_string(SPI_result));
		*saved = plan;
	}
	return *saved;
}

static void
forget_plans(Leg *leg, PlanKind kind)
{
	for (int i = 0; i < 2; i++)
	{
		SPIPlanPtr	plan = leg->plans[kind][i];

		leg->plans[kind][i] = NULL;
		if (plan != NULL)
			SPI_freeplan(plan);
	}
}

/* Scores or counts rows; returns how many. */
static int
run(Search *s, PlanKind kind, TSQuery query, text *pattern, int max_rows, bool only_count)
{
	SPIExecuteOptions options = {0};
	ParamListInfo params = makeParamList(kind == PLAN_WORDS ? 2 : 3);
	Datum		values[] = {Int32GetDatum(s->graph_id), TSQueryGetDatum(query),
	PointerGetDatum(pattern)};
	static const Oid types[] = {INT4OID, TSQUERYOID, TEXTOID};
	int			code;
	Sink		sink = {
		.receiver = {receive_row, start_rows, no_more, no_more, DestNone},
		.search = s,.only_count = only_count,
		.max_rows = s->secured ? INT_MAX : max_rows,
		.max_bytes = s->secured ? PG_INT64_MAX : MAX_BYTES
	};

	for (int i = 0; i < params->numParams; i++)
		params->params[i] = (ParamExternData) {values[i], false, PARAM_FLAG_CONST, types[i]};
	options.params = params;
	options.read_only = true;
	options.dest = &sink.receiver;
	code = SPI_execute_plan_extended(saved_plan(s->leg, kind, s->secured), &options);
	if (code < 0)
		elog(ERROR, "could not search \"%s\": %s", s->leg->table,
			 SPI_result_code_string(code));
	return sink.rows;
}

static void
add_operand(Search *s, Operands *o, GmLexemeKind kind, const Term *term)
{
	Assert(o->n < MAX_KEYS);
	o->len[o->n] = gm_words_indexed(s->graph_id, kind, term ? term->lexeme : "",
									term ? term->lexeme_len : 0, o->indexed[o->n]);
	o->n++;
}

/*
 * first OP (second OR third OR ...), in the order of tsquery's items: operator,
 * right operand, left operand.
 */
static TSQuery
make_query(const Operands *o, int8 first_operator)
{
	int			nitems = 2 * o->n - 1;
	int			bytes = 0;
	TSQuery		query;
	QueryItem  *item;
	char	   *out;

	for (int i = 0; i < o->n; i++)
		bytes += o->len[i] + 1;
	query = palloc0(COMPUTESIZE(nitems, bytes));
	SET_VARSIZE(query, COMPUTESIZE(nitems, bytes));
	query->size = nitems;
	item = GETQUERY(query);
	out = GETOPERAND(query);
	for (int i = 0, at = 0; i < o->n; i++)
	{
		pg_crc32	crc;

		if (i < o->n - 1)
		{
			item->qoperator.type = QI_OPR;
			item->qoperator.oper = i == 0 ? first_operator : OP_OR;
			item->qoperator.left = 2;
			item++;
		}
		INIT_LEGACY_CRC32(crc);
		COMP_LEGACY_CRC32(crc, o->indexed[i], o->len[i]);
		FIN_LEGACY_CRC32(crc);
		item->qoperand.type = QI_VAL;
		item->qoperand.valcrc = (int32) crc;
		item->qoperand.length = o->len[i];
		item->qoperand.distance = at;
		memcpy(out + at, o->indexed[i], o->len[i]);
		at += o->len[i] + 1;
		item++;
	}
	return query;
}

static int
run_words(Search *s, const Operands *o, int8 first_operator, int max_rows)
{
	return run(s, PLAN_WORDS, make_query(o, first_operator), NULL,
			   Max(max_rows, s->limit), false);
}

/* ---- steps ---- */

static bool
is_known_term(const Search *s, const Term *term)
{
	for (int i = 0; i < s->nterms; i++)
		if (s->terms[i].len == term->len &&
			memcmp(s->terms[i].text, term->text, term->len) == 0)
			return true;
	return false;
}

static void
find_terms(Search *s)
{
	for (int i = 0; i < s->words.n && s->nterms < GM_QUERY_TERMS; i++)
	{
		Term	   *term = &s->terms[s->nterms];

		if (!gm_words_term(&s->words, i, &term->text, &term->len) ||
			is_known_term(s, term))
			continue;
		term->chars = pg_mbstrlen_with_len(term->text, term->len);
		term->pair = s->words.words[i].single;
		term->lexeme_len = gm_words_lexeme(term->text, term->len, term->lexeme);
		s->nterms++;
	}
}

static int
sample_count(Search *s, GmLexemeKind kind, const Term *term, int max_count)
{
	Operands   *o = palloc(sizeof(Operands));
	int			rows;

	o->n = 0;
	add_operand(s, o, kind, term);
	rows = run(s, PLAN_WORDS, make_query(o, OP_OR), NULL, max_count, true);
	pfree(o);
	return rows;
}

static int
compare_terms(const void *a, const void *b)
{
	const Term *x = *(Term *const *) a;
	const Term *y = *(Term *const *) b;

	if (x->count != y->count)
		return x->count < y->count ? -1 : 1;
	return x < y ? -1 : 1;
}

/* A secured table is scanned once, whatever its terms' frequency. */
static void
rank_terms(Search *s)
{
	int			graph = s->secured ? 0 : sample_count(s, GM_LEXEME_GRAPH, NULL,
													  MAX_GRAPH_COUNT);

	s->rows = Max(graph, 1) * (double) GM_GRAPH_RATE;
	s->large = graph >= LARGE_COUNT;
	s->nranked = 0;
	for (int i = 0; i < s->nterms; i++)
	{
		Term	   *term = &s->terms[i];

		term->count = 0;
		if (term->lexeme_len == 0)
			continue;
		if (graph > 0)
			term->count = sample_count(s, GM_LEXEME_COUNT, term, MAX_COUNT);
		s->ranked[s->nranked++] = term;
	}
	qsort(s->ranked, s->nranked, sizeof(Term *), compare_terms);
}

static void
weigh_terms(Search *s)
{
	for (int i = 0; i < s->nterms; i++)
	{
		Term	   *term = &s->terms[i];

		term->weight = STOP_WEIGHT;
		if (term->lexeme_len > 0)
			term->weight = log(1 + s->rows / (1 + term->count * (double) GM_COUNT_RATE));
		s->weight += term->weight;
	}
}

static void
add_keys(Search *s, Operands *o)
{
	const GmWords *w = &s->words;

	if (w->n == 0)
	{
		o->len[o->n] = gm_words_indexed_key(s->graph_id, gm_words_key_add(0, w->text, w->len),
											o->indexed[o->n]);
		o->n++;
	}
	for (int from = 0; from < w->n; from++)
	{
		uint64		key = 0;

		for (int i = from; i < w->n && (i - from < MAX_SPAN || from == 0); i++)
		{
			key = gm_words_key_add(key, w->text + w->words[i].start, w->words[i].len);
			if ((i - from < MAX_SPAN && o->n < MAX_KEYS - GM_QUERY_TERMS - 1) ||
				(from == 0 && i == w->n - 1))
			{
				o->len[o->n] = gm_words_indexed_key(s->graph_id, key, o->indexed[o->n]);
				o->n++;
			}
		}
	}
}

static void
search_keys(Search *s)
{
	Operands   *o = palloc0(sizeof(Operands));

	add_keys(s, o);
	(void) run_words(s, o, OP_OR, MAX_ROWS);
	pfree(o);
}

/* Where counting stopped there may be any number. */
static int
expected_rows(const Term *term)
{
	if (term->count >= MAX_COUNT)
		return INT_MAX / 2 / GM_QUERY_TERMS;
	return Max(term->count * GM_COUNT_RATE, RARE_ROWS);
}

static void
search_terms(Search *s, GmLexemeKind kind, int from, int to, int8 first_operator)
{
	Operands   *o = palloc0(sizeof(Operands));

	for (int i = from; i < to; i++)
		add_operand(s, o, kind, s->ranked[i]);
	(void) run_words(s, o, first_operator,
					 kind == GM_LEXEME_WORD ? MAX_ROWS : MAX_SAMPLE_ROWS);
	pfree(o);
}

/* How many of the ranked terms from the given one on have at most so many rows. */
static int
terms_within(const Search *s, int from, int rows)
{
	int			n = from;

	while (n < s->nranked && (rows -= expected_rows(s->ranked[n])) >= 0)
		n++;
	return n;
}

static void
search_words(Search *s)
{
	int			n = terms_within(s, 0, MAX_ROWS);
	int			spent = 0;
	bool		fits;

	if (n > 0)
		search_terms(s, GM_LEXEME_WORD, 0, n, OP_OR);
	for (; n < s->nranked && !s->exact && !s->linked &&
		 (spent += expected_rows(s->ranked[n])) <= COMMON_ROWS; n++)
	{
		int			others = terms_within(s, n + 1, OTHER_ROWS);

		if (others > n + 1)
			search_terms(s, GM_LEXEME_WORD, n, others, OP_AND);
		if (s->nhits < s->limit)
			search_terms(s, GM_LEXEME_WORD, n, n + 1, OP_OR);
	}
	if (n == s->nranked || s->nhits >= s->limit)
		return;
	fits = terms_within(s, n, COMMON_ROWS * GM_SAMPLE_RATE) == s->nranked;
	search_terms(s, fits ? GM_LEXEME_SAMPLE : GM_LEXEME_COUNT, n, s->nranked, OP_OR);
}

/* One scan for everything, all of it scored. */
static void
search_secured(Search *s)
{
	Operands   *o = palloc0(sizeof(Operands));

	if (s->leg->names)
		add_keys(s, o);
	for (int i = 0; i < s->nranked; i++)
		add_operand(s, o, GM_LEXEME_WORD, s->ranked[i]);
	if (o->n > 0)
		(void) run_words(s, o, OP_OR, MAX_ROWS);
	pfree(o);
}

static void
search_similar(Search *s)
{
	Operands   *o = palloc0(sizeof(Operands));
	StringInfoData query;
	FmgrInfo	loaded;
	Oid			similar;
	Oid			schema = trigram_schema(&similar);

	initStringInfo(&query);
	for (int i = 0; i < s->nterms; i++)
		if (s->terms[i].lexeme_len > 0)
		{
			appendStringInfoChar(&query, ' ');
			appendBinaryStringInfo(&query, s->terms[i].text, s->terms[i].len);
		}
	if (query.len > SIMILAR_BYTES)
		return;
	if (schema != s->leg->similar_schema)
	{
		forget_plans(s->leg, PLAN_SIMILAR);
		s->leg->similar_schema = schema;
	}
	/* loads pg_trgm, which defines the setting */
	fmgr_info(get_opcode(similar), &loaded);
	(void) set_config_option("pg_trgm.similarity_threshold", SMALL_SIMILARITY, PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	add_operand(s, o, GM_LEXEME_NAME, NULL);
	(void) run(s, PLAN_SIMILAR, make_query(o, OP_OR),
			   cstring_to_text_with_len(query.data, query.len), MAX_ROWS, false);
	pfree(o);
}

static int
char_offset(const Term *term, int chars)
{
	int			at = 0;

	while (chars-- > 0)
		at += pg_mblen(term->text + at);
	return at;
}

/* Patterns that a word with a few mistakes may still match. */
static int
spelling_patterns(const Term *term, text *patterns[3])
{
	int			half = Max(MIN_HALF, (term->chars + 1) / 2);
	int			end = Max(MIN_END, term->chars / 3);
	int			left = char_offset(term, half);
	int			right = char_offset(term, term->chars - half);
	int			n = 0;

	patterns[n++] = cstring_to_text(psprintf("%% %.*s%%", left, term->text));
	patterns[n++] = cstring_to_text(psprintf("%%%.*s %%", term->len - right,
											 term->text + right));
	if (term->chars > 2 * end)
	{
		left = char_offset(term, end);
		right = char_offset(term, term->chars - end);
		patterns[n++] = cstring_to_text(psprintf("%% %.*s%%%.*s %%", left, term->text,
												 term->len - right, term->text + right));
	}
	return n;
}

static double
table_rows(const Leg *leg)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(gm_sql_relid(leg->table)));
	double		rows = ((Form_pg_class) GETSTRUCT(tuple))->reltuples;

	ReleaseSysCache(tuple);
	return rows;
}

static void
search_spelling(Search *s, Term *term)
{
	PlanKind	kind = s->rows > LARGE_SHARE * table_rows(s->leg) ? PLAN_LIKE_ALL : PLAN_LIKE;
	Operands   *graph = palloc(sizeof(Operands));
	text	   *patterns[3];
	int			n = spelling_patterns(term, patterns);

	graph->n = 0;
	add_operand(s, graph, GM_LEXEME_NAME, NULL);
	for (int i = 0; i < n && !term->near; i++)
		(void) run(s, kind, make_query(graph, OP_OR), patterns[i], MAX_ROWS / 2, false);
	pfree(graph);
}

/* pg_trgm makes no trigrams of anything else, and scans all rows then. */
static bool
has_trigrams(const Term *term)
{
	for (int at = 0; at < term->len; at += pg_mblen(term->text + at))
		if (IS_HIGHBIT_SET(term->text[at]) && !t_isalpha(term->text + at))
			return false;
	return true;
}

static bool
is_unknown(const Term *term)
{
	return term->lexeme_len > 0 && !term->pair && term->chars >= MIN_CHARS &&
		term->count == 0 && !term->seen && !term->near && has_trigrams(term);
}

static void
search_misspelled(Search *s)
{
	int			searched = 0;

	for (int i = 0; i < s->nterms && !s->exact && !s->linked; i++)
	{
		if (!is_unknown(&s->terms[i]))
			continue;
		if (!s->large && searched == 0)
			search_similar(s);
		if (s->secured || searched++ == MAX_UNKNOWN)
			break;
		search_spelling(s, &s->terms[i]);
		if (s->terms[i].near)
			break;
	}
}

/* ---- results ---- */

static int
compare_ids(const void *a, const void *b)
{
	const GmTextHit *x = a;
	const GmTextHit *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return x->score > y->score ? -1 : x->score < y->score;
}

static int
compare_hits(const void *a, const void *b)
{
	const GmTextHit *x = a;
	const GmTextHit *y = b;

	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

/* The best of each id, the best first. */
static int
take_hits(Search *s, GmTextHit *hits)
{
	int			n = 0;

	qsort(s->hits, s->nhits, sizeof(GmTextHit), compare_ids);
	for (int i = 0; i < s->nhits; i++)
		if (n == 0 || s->hits[i].id != s->hits[n - 1].id)
			s->hits[n++] = s->hits[i];
	qsort(s->hits, n, sizeof(GmTextHit), compare_hits);
	n = Min(n, s->limit);
	memcpy(hits, s->hits, sizeof(GmTextHit) * n);
	return n;
}

static void
set_off(const char *name)
{
	(void) set_config_option(name, "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

static void
set_leg(Search *s, Leg *leg)
{
	s->leg = leg;
	s->secured = check_enable_rls(gm_sql_relid(leg->table), InvalidOid, true) == RLS_ENABLED;
}

/* The steps up to words. */
static void
search_leg(Search *s)
{
	if (s->secured)
		search_secured(s);
	else
	{
		if (s->leg->names)
			search_keys(s);
		search_words(s);
	}
}

static bool
has_aliases(int32 graph_id)
{
	static GmSql sql = {
		"SELECT 1 FROM graphmem.aliases WHERE graph_id" GM_EQ "$1 LIMIT 1", 1, {INT4OID}
	};
	Datum		arg = Int32GetDatum(graph_id);
	bool		found;

	gm_sql_read(&sql, &arg, NULL);
	found = SPI_processed > 0;
	gm_sql_done();
	return found;
}

/*
 * Names have been searched.  A term is unknown only if it is so to both, and
 * then its spellings are looked for among names first.
 */
static void
search_aliases(Search *s)
{
	int			counts[GM_QUERY_TERMS];
	double		rows[2] = {s->rows};
	bool		large[2] = {s->large};

	for (int i = 0; i < s->nterms; i++)
		counts[i] = s->terms[i].count;
	set_leg(s, &alias_leg);
	rank_terms(s);
	search_leg(s);
	for (int i = 0; i < s->nterms; i++)
		s->terms[i].count += counts[i];
	rows[1] = s->rows;
	large[1] = s->large;
	for (int i = 0; i < 2; i++)
	{
		set_leg(s, i == 0 ? &entity_leg : &alias_leg);
		s->rows = rows[i];
		s->large = large[i];
		search_misspelled(s);
	}
}

static int
search(Leg *leg, int32 graph_id, const char *query, int limit, const GmTextKnown *known,
	   GmTextHit *hits)
{
	int			len = (int) Min(strnlen(query, GM_QUERY_BYTES + 1), GM_QUERY_BYTES + 1);
	int			level;
	Search	   *s;

	if (limit <= 0)
		return 0;
	if (len > GM_QUERY_BYTES)
		len = pg_mbcliplen(query, GM_QUERY_BYTES, GM_QUERY_BYTES - MAX_CONVERSION_GROWTH);

	SPI_connect();
	level = NewGUCNestLevel();
	set_off("enable_seqscan");
	set_off("jit");

	s = palloc0(sizeof(Search));
	s->graph_id = graph_id;
	s->limit = limit;
	s->known = known;
	set_leg(s, leg);
	s->capacity = MAX_ROWS;
	s->hits = palloc(sizeof(GmTextHit) * s->capacity);
	s->row_context = AllocSetContextCreate(CurrentMemoryContext, "graphmem text row",
										   ALLOCSET_DEFAULT_SIZES);
	gm_words_split(&s->words, query, len);
	find_terms(s);
	rank_terms(s);
	weigh_terms(s);
	search_leg(s);
	if (leg->names && has_aliases(graph_id))
		search_aliases(s);
	else if (leg->names)
		search_misspelled(s);
	limit = take_hits(s, hits);

	AtEOXact_GUC(true, level);
	SPI_finish();
	return limit;
}

int
gm_text_entities(int32 graph_id, const char *query, int limit, const GmTextKnown *known,
				 GmTextHit *hits)
{
	return search(&entity_leg, graph_id, query, limit, known, hits);
}

int
gm_text_sources(int32 graph_id, const char *query, int limit, const GmTextKnown *known,
				GmTextHit *hits)
{
	return search(&source_leg, graph_id, query, limit, known, hits);
}
