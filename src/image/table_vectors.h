/*-------------------------------------------------------------------------
 *
 * table_vectors.h
 *	  Vectors that an image leaves to the table (core/space.h), read from there.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_IMAGE_TABLE_VECTORS_H
#define GM_IMAGE_TABLE_VECTORS_H

#include "core/space.h"

/*
 * For gm_space_set_table.  Reads under the active snapshot, which must be the
 * one that the image was opened for; the caller may read the table.  An error
 * is kept (gm_error_keep), and GM_INTERRUPTED.
 */
extern GmSpaceTable gm_table_of_space(int32_t space_id);

#endif							/* GM_IMAGE_TABLE_VECTORS_H */
