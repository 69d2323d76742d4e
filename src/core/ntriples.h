/*-------------------------------------------------------------------------
 *
 * ntriples.h
 *	  Reading and writing N-Triples.
 *
 * Glossary
 *	 name		of an entity or predicate: an IRI without its brackets, or a
 *				blank node with its "_:"
 *	 type		of a literal: the IRI of its datatype, or "@" and its language
 *
 * Texts are valid UTF-8.  Names that are no IRIs are written between brackets
 * all the same, what the grammar forbids there as \uXXXX, and so come back as
 * they were; types likewise.  Literals without datatype have xsd:string.
 *
 * Interface
 *	 gm_nt_begin, gm_nt_next	the triples of a text of any number of lines
 *	 gm_nt_put_name, gm_nt_put_literal	a term as canonical N-Triples has it
 *
 * Complexity	one pass
 * Limits		none of its own; NUL cannot be part of a term
 * Reference	RDF 1.1 N-Triples (W3C 2014), sections 2, 4 and 7.  Control
 *				characters of literals are written as escapes, as RDF 1.2 has
 *				it.  IRIs may be relative, labels are kept.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_NTRIPLES_H
#define GM_CORE_NTRIPLES_H

#include "core/base.h"

#define GM_NT_STRING	"http://www.w3.org/2001/XMLSchema#string"

typedef struct GmNtTerm
{
	const char *value;
	size_t		len;
	const char *type;			/* NULL: no literal */
	size_t		type_len;
} GmNtTerm;

typedef enum GmNtResult
{
	GM_NT_TRIPLE,
	GM_NT_END,
	GM_NT_ERROR
} GmNtResult;

typedef struct GmNtReader
{
	uint64_t	line;			/* of the triple or error, from 1 */
	uint64_t	column;			/* of the error, in characters from 1 */
	const char *expected;		/* what the error says was expected there */
	GmNtTerm	terms[3];		/* subject, predicate, object; until the next call */
	const char *rest;			/* from the error on, rest_len bytes of its line */
	size_t		rest_len;

	/* private */
	const char *text;
	size_t		len;
	size_t		at;
	size_t		line_start;
	uint64_t	next_line;
	char	   *to;				/* terms without their escapes */
	char	   *room;
} GmNtReader;

/* room: as many bytes as the text has */
extern void gm_nt_begin(GmNtReader *reader, const char *text, size_t len, char *room);

/* After GM_NT_ERROR the reader is done. */
extern GmNtResult gm_nt_next(GmNtReader *reader);

/*
 * Bytes of the term, which are written unless to is NULL.  A name that is a
 * blank node's is written as one, but for predicates, which must not be.
 */
extern size_t gm_nt_put_name(const char *name, size_t len, bool predicate, char *to);
extern size_t gm_nt_put_literal(const char *value, size_t len, const char *type, size_t type_len,
								char *to);

#endif							/* GM_CORE_NTRIPLES_H */
