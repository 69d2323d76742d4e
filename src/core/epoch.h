/*-------------------------------------------------------------------------
 *
 * epoch.h
 *	  When memory that readers may still look at can be reused.
 *
 * PROTOCOL epoch
 * Shared		GmEpoch, one global counter from 1, and a slot of a cache line
 *				for every reader; in the area of one worker's generation, zeroed
 *				at its creation, gone with it.
 * Writer		the worker alone advances the counter.  A slot is written by its
 *				owner alone (one reader per slot, never two at a time).
 * Readers		enter before they load a root, leave after the last look at
 *				anything reached from it; nothing but copies may be kept.
 * Publication	writer: 1. new root, release.  2. full barrier.  3. counter + 1
 *				(gm_epoch_advance).  Retired blocks get the counter's value from
 *				before 3.  reader: 1. load the counter.  2. store it in the slot.
 *				3. full barrier, which pairs with the writer's between 1 and
 *				the look at the slots (gm_epoch_oldest).  4. load the root,
 *				acquire.
 * Reuse		a block retired at e is free when every slot is 0 or above e.  A
 *				reader whose slot was seen 0 passes its barrier later than the
 *				writer did and so loads the new root or a newer one.
 * Staleness	a slot may hold a counter older than the root its reader loads:
 *				that delays reuse and harms nothing.
 * Interrupts	a longjmp out of a section leaves the slot set; the owner's
 *				clean-up at the end of the (sub)transaction and at exit leaves.
 * Death		a killed reader takes the server's shared memory with it.
 * Full			there are as many slots as processes.  A reader that never
 *				leaves makes the writer's memory grow, and never wait.
 * Tests		test/unit/test_epoch.c, also under the thread sanitizer, with
 *				two negative controls that must fail
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_EPOCH_H
#define GM_CORE_EPOCH_H

#include <stdatomic.h>

#include "core/base.h"

typedef struct GmEpochSlot
{
	_Atomic uint64_t es_epoch;	/* 0: not reading */
	uint64_t	es_unused[7];
} GmEpochSlot;

static inline void
gm_epoch_enter(_Atomic uint64_t *global, GmEpochSlot *slot)
{
	atomic_store_explicit(&slot->es_epoch,
						  atomic_load_explicit(global, memory_order_acquire),
						  memory_order_release);
	atomic_thread_fence(memory_order_seq_cst);
}

static inline void
gm_epoch_leave(GmEpochSlot *slot)
{
	atomic_store_explicit(&slot->es_epoch, 0, memory_order_release);
}

/* after the new root was published; returns the epoch to retire under */
extern uint64_t gm_epoch_advance(_Atomic uint64_t *global);

/* the smallest epoch that a reader may be in; UINT64_MAX if there is none */
extern uint64_t gm_epoch_oldest(GmEpochSlot *slots, uint32_t n);

#endif							/* GM_CORE_EPOCH_H */
