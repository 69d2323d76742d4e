/*-------------------------------------------------------------------------
 *
 * xid.h
 *	  Transaction ids that are never used twice.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_SHM_XID_H
#define GM_SHM_XID_H

/* next: the next full id to be given out; the id was given out before it */
static inline uint64
gm_full_xid(TransactionId xid, uint64 next)
{
	uint64		full = (next & ~UINT64CONST(0xffffffff)) | xid;

	return full > next ? full - (UINT64CONST(1) << 32) : full;
}

#endif							/* GM_SHM_XID_H */
