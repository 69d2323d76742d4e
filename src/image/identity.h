/*-------------------------------------------------------------------------
 *
 * identity.h
 *	  Whether changes to the tables of images are captured, as one number.
 *
 * The number covers the nine tables, the files they are stored in, and their
 * capture triggers with the transactions that defined them.  It differs
 * whenever rows may have changed without a trusted trigger having fired: one
 * was disabled and enabled again, a table was rewritten or replaced.  An image
 * loaded under one number says nothing under another.
 *
 * Interface
 *	 gm_identity			the number as the catalogs are now; 0: not all is captured
 *	 gm_identity_changes	counts invalidations, which a number may not survive
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_IMAGE_IDENTITY_H
#define GM_IMAGE_IDENTITY_H

#include <stdint.h>

/*
 * Needs a transaction.  Cheap while nothing was invalidated; the caller has
 * seen to it that invalidations were accepted.  Includes what the transaction
 * itself has done to the catalogs.
 */
extern uint64_t gm_identity(void);

extern uint64_t gm_identity_changes(void);

#endif							/* GM_IMAGE_IDENTITY_H */
