/*-------------------------------------------------------------------------
 *
 * items.h
 *	  What the vectors of a space belong to, as columns of result rows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_API_ITEMS_H
#define GM_API_ITEMS_H

#include "api/rows.h"
#include "image/image.h"

/*
 * Two columns: the item's name, "subject predicate object" of a fact's visible
 * version or else of its latest; and its kind, NULL for facts.
 */
extern void gm_item_put(GmRows *rows, const GmImage *image, const GmSpaceInfo *info,
						const GmView *view, uint32_t row);

/*
 * Called before the i-th of so many hits is put: fetches what the columns of it
 * and of the next ones need, each step for all of them before the next step.
 */
extern void gm_items_fetch(const GmImage *image, const GmSpaceInfo *info, const GmSpaceHit *hits,
						   uint32_t i, uint32_t count);

#endif							/* GM_API_ITEMS_H */
