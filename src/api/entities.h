/*-------------------------------------------------------------------------
 *
 * entities.h
 *	  Properties that entities get with the facts of one statement.
 *
 * They are merged at their top level into what an entity has, in the order in
 * which they came.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_API_ENTITIES_H
#define GM_API_ENTITIES_H

#include "utils/jsonb.h"

#include "api/names.h"

typedef struct GmEntityChanges GmEntityChanges;

extern GmEntityChanges *gm_entity_changes_begin(MemoryContext parent);
/* wanted: only if this is the id that the name stands for; 0: any */
extern void gm_entity_changes_add(GmEntityChanges *changes, uint32 number, int64 wanted,
								  Jsonb *properties);
/* Once the pool is resolved; between gm_sql_enter() and gm_sql_leave(). */
extern void gm_entity_changes_write(GmEntityChanges *changes, const GmNamePool *pool);

#endif							/* GM_API_ENTITIES_H */
