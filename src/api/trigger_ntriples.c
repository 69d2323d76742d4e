/*-------------------------------------------------------------------------
 *
 * trigger_ntriples.c
 *	  INSERT and COPY into the view ntriples, and the lines that it shows.
 *
 * A row is a text of any number of lines; NULL, as COPY in CSV format reads an
 * empty line, is one.  The facts go to the writer as they are read.
 *
 * Limits	blank nodes keep their labels: those of two files are the same
 *			entity if they are called the same
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "api/facts.h"
#include "api/names.h"
#include "api/statements.h"
#include "compat.h"
#include "core/ntriples.h"
#include "error.h"

typedef struct NtStatement
{
	GmFactWriter *facts;
	MemoryContext fact_context;
	uint64		lines;			/* before this row */
} NtStatement;

PG_FUNCTION_INFO_V1(graphmem_ntriples_trigger);
PG_FUNCTION_INFO_V1(graphmem_ntriples_line);

static text *
term_text(const char *utf8, size_t len)
{
	char	   *bytes = (char *) utf8;

	if (GetDatabaseEncoding() != PG_UTF8)
	{
		bytes = pg_any_to_server(pnstrdup(utf8, len), (int) len, PG_UTF8);
		if (bytes != utf8)
			len = strlen(bytes);
	}
	return cstring_to_text_with_len(bytes, (int) len);
}

static void
report_error(const GmNtReader *reader, uint64 lines)
{
	text	   *rest = term_text(reader->rest, reader->rest_len);

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			 errmsg("invalid N-Triples on line %llu, column %llu",
					(unsigned long long) (lines + reader->line),
					(unsigned long long) reader->column),
			 reader->rest_len == 0 ?
			 errdetail("Expected was %s, not the end of the line.", reader->expected) :
			 errdetail("Expected was %s, not what begins with \"%s\".", reader->expected,
					   gm_error_quote(VARDATA_ANY(rest), VARSIZE_ANY_EXHDR(rest)))));
}

static void
state_triple(NtStatement *statement, const GmNtTerm *terms)
{
	MemoryContext old = MemoryContextSwitchTo(statement->fact_context);
	GmFact		fact = {0};

	fact.subject = term_text(terms[0].value, terms[0].len);
	fact.predicate = term_text(terms[1].value, terms[1].len);
	fact.object = term_text(terms[2].value, terms[2].len);
	if (terms[2].type != NULL)
		fact.object_type = term_text(terms[2].type, terms[2].type_len);
	gm_facts_state(statement->facts, &fact);
	MemoryContextSwitchTo(old);
	MemoryContextReset(statement->fact_context);
}

static void
take_lines(NtStatement *statement, text *value)
{
	GmNtReader	reader;
	GmNtResult	result;
	char	   *bytes = VARDATA_ANY(value);
	int			len = VARSIZE_ANY_EXHDR(value);
	char	   *utf8 = pg_server_to_any(bytes, len, PG_UTF8);

	if (utf8 != bytes)
		len = (int) strlen(utf8);
	gm_nt_begin(&reader, utf8, (size_t) len, palloc(Max(len, 1)));
	while ((result = gm_nt_next(&reader)) == GM_NT_TRIPLE)
	{
		CHECK_FOR_INTERRUPTS();
		state_triple(statement, reader.terms);
	}
	if (result == GM_NT_ERROR)
		report_error(&reader, statement->lines);
	statement->lines += reader.next_line;
	if (len > 0 && (utf8[len - 1] == '\n' || utf8[len - 1] == '\r'))
		statement->lines--;
}

Datum
graphmem_ntriples_trigger(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = gm_statement_trigger(fcinfo);
	GmStatement *statement;
	NtStatement *state;
	Datum		value;
	bool		isnull;

	gm_statement_insert_only(trigger);
	if (TRIGGER_FIRED_BEFORE(trigger->tg_event))
	{
		statement = gm_statement_open(trigger);
		state = MemoryContextAllocZero(statement->context, sizeof(NtStatement));
		state->facts = gm_facts_begin(statement->context, gm_graph_name(NULL));
		state->fact_context = AllocSetContextCreate(statement->context, "graphmem N-Triples fact",
													ALLOCSET_DEFAULT_SIZES);
		statement->state = state;
		return PointerGetDatum(NULL);
	}
	statement = gm_statement_find(trigger);
	state = statement->state;
	if (TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
	{
		value = heap_getattr(trigger->tg_trigtuple, 1, RelationGetDescr(trigger->tg_relation),
							 &isnull);
		if (isnull)
			state->lines++;
		else
			take_lines(state, DatumGetTextPP(value));
		return PointerGetDatum(gm_statement_inserted(trigger));
	}
	(void) gm_facts_finish(state->facts);
	gm_statement_close(statement);
	return PointerGetDatum(NULL);
}

/* ---- writing ---- */

static const char *
utf8_arg(FunctionCallInfo fcinfo, int n, size_t *len)
{
	text	   *value = PG_GETARG_TEXT_PP(n);
	char	   *bytes = VARDATA_ANY(value);
	char	   *utf8 = pg_server_to_any(bytes, (int) VARSIZE_ANY_EXHDR(value), PG_UTF8);

	*len = utf8 == bytes ? VARSIZE_ANY_EXHDR(value) : strlen(utf8);
	return utf8;
}

static size_t
put_terms(const char *const *values, const size_t *lens, bool literal, char *to)
{
	size_t		n = 0;

#define AT	(to == NULL ? NULL : to + n)
	for (int i = 0; i < 3; i++)
	{
		n += i == 2 && literal ?
			gm_nt_put_literal(values[2], lens[2], values[3], lens[3], AT) :
			gm_nt_put_name(values[i], lens[i], i == 1, AT);
		if (to != NULL)
			to[n] = ' ';
		n++;
	}
	if (to != NULL)
		to[n] = '.';
	return n + 1;
#undef AT
}

Datum
graphmem_ntriples_line(PG_FUNCTION_ARGS)
{
	static const int args[] = {0, 2, 3, 4};
	const char *values[4] = {NULL};
	size_t		lens[4] = {0};
	bool		literal = !PG_ARGISNULL(4);
	size_t		len;
	text	   *line;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(2) || PG_ARGISNULL(3))
		PG_RETURN_NULL();
	for (int i = 0; i < (literal ? 4 : 3); i++)
		values[i] = utf8_arg(fcinfo, args[i], &lens[i]);
	if (!PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a literal cannot be a subject in N-Triples"),
				 errdetail("It is \"%s\".", gm_error_quote(values[0], lens[0]))));
	len = put_terms(values, lens, literal, NULL);
	if (len > MaxAllocSize - VARHDRSZ - 1)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("fact is too long for a line of N-Triples")));
	line = palloc(VARHDRSZ + len);
	(void) put_terms(values, lens, literal, VARDATA(line));
	SET_VARSIZE(line, VARHDRSZ + len);
	if (GetDatabaseEncoding() != PG_UTF8)
		line = term_text(VARDATA(line), len);
	PG_RETURN_TEXT_P(line);
}
