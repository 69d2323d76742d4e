/*-------------------------------------------------------------------------
 *
 * vectors.h
 *	  Storing the user's vectors, a statement's worth at a time.
 *
 * Vectors are checked when they are given and written by gm_vectors_finish(),
 * in the order of (space, item); names are resolved as names.h says.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_API_VECTORS_H
#define GM_API_VECTORS_H

#include "utils/array.h"

typedef enum GmVectorWrite
{
	GM_VECTOR_PUT = 0,			/* insert or replace, by name */
	GM_VECTOR_CHANGE,			/* replace if there, by id */
	GM_VECTOR_REMOVE			/* by id */
} GmVectorWrite;

typedef struct GmVectorWriter GmVectorWriter;

extern GmVectorWriter *gm_vectors_begin(MemoryContext parent, char *graph, GmVectorWrite write);
/*
 * space NULL: "default", else the only space of the graph; a graph that has
 * none gets "default".  target NULL: the space's.
 */
extern void gm_vectors_put(GmVectorWriter *writer, const text *item, ArrayType *embedding,
						   const text *space, const text *target);
/* As gm_vectors_put(), of plain numbers. */
extern void gm_vectors_put_floats(GmVectorWriter *writer, const text *item,
								  const float4 *vector, int dim, const text *space);
/* item: its name, for messages; embedding NULL when removing */
extern void gm_vectors_by_id(GmVectorWriter *writer, int64 item_id, const text *item,
							 ArrayType *embedding, const text *space);
/* Returns the id of the last vector's item, 0 if there was none. */
extern int64 gm_vectors_finish(GmVectorWriter *writer);

#endif							/* GM_API_VECTORS_H */
