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
 * version or else of its latest; and its kind, NULL for facts.  visible: that
 * version if the caller knows it, else GM_NONE.
 */
extern void gm_item_put(GmRows *rows, const GmImage *image, const GmSpaceInfo *info,
						const GmView *view, uint32_t row, GmSlot visible);

/*
 * Called before the i-th of so many hits is put: fetches what the columns of it
 * and of the next ones need, each step for all of them before the next step.
 * visible: of all hits, or NULL.
 */
extern void gm_items_fetch(const GmImage *image, const GmSpaceInfo *info, const GmSpaceHit *hits,
						   const GmSlot *visible, uint32_t i, uint32_t count);

#endif							/* GM_API_ITEMS_H */
