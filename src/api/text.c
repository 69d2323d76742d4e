/*-------------------------------------------------------------------------
 *
 * text.c
 *	  The text legs of fusion_query: entities by name, sources by content.
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
 *	 3. words	the rarest terms, OR, as long as few rows match.  If even the
 *				rarest matches many rows, first those that match another term
 *				too.  If it matches more than COMMON_ROWS, the sample only.
 *	 4. spelling	if a word is unknown: pg_trgm's similarity in a small graph;
 *				in a large one the word's halves and its two ends, because at
 *				most two mistakes leave one of them whole as a rule.
 *
 * What this gives up: of rows that match only words more frequent than
 * COMMON_ROWS, and are not named in full, one in GM_SAMPLE_RATE is found; of
 * a term in MAX_ROWS to COMMON_ROWS rows the first MAX_ROWS in the table's
 * order; a word with mistakes in both halves and at an end is not found in a
 * large graph.  Order within the table survives dump and restore.
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

#include "access/genam.h"
#include "access/relation.h"
#include "access/toast_internals.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
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
