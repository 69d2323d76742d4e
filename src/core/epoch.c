/*-------------------------------------------------------------------------
 *
 * epoch.c
 *	  When memory that readers may still look at can be reused.
 *
 *-------------------------------------------------------------------------
 */
#include "core/epoch.h"

uint64_t
gm_epoch_advance(_Atomic uint64_t *global)
{
	/* pairs with gm_epoch_enter's */
	atomic_thread_fence(memory_order_seq_cst);
	return atomic_fetch_add_explicit(global, 1, memory_order_acq_rel);
}

uint64_t
gm_epoch_oldest(GmEpochSlot *slots, uint32_t n)
{
	uint64_t	oldest = UINT64_MAX;

	for (uint32_t i = 0; i < n; i++)
	{
		uint64_t	e = atomic_load_explicit(&slots[i].es_epoch, memory_order_acquire);

		if (e != 0 && e < oldest)
			oldest = e;
	}
	return oldest;
}
