/*-------------------------------------------------------------------------
 *
 * base.h
 *	  Types, limits and status codes that all of core/ shares.
 *
 * core/ is plain C11: libc and core/ itself, no server headers, no globals
 * that change after start.  Every function that can fail returns a GmStatus;
 * after anything but GM_OK its output arguments are meaningless.
 *
 * Glossary
 *	  entity	anything a triple can name; a literal is an entity with a type
 *	  node		an entity's dense number inside one image (uint32)
 *	  slot		a triple version's dense number inside one image (uint32)
 *	  run		the adjacency records of one node in one direction
 *	  space		a named set of vectors of one dimension and metric
 *	  item		what a vector belongs to: a node, a fact or a source
 *
 *-------------------------------------------------------------------------
 */
#ifndef GM_CORE_BASE_H
#define GM_CORE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint32_t GmNode;
typedef uint32_t GmSlot;

#define GM_NONE				UINT32_MAX	/* no node, slot, predicate, source */
#define GM_TIME_MIN			INT64_MIN	/* -infinity; microseconds otherwise */
#define GM_TIME_MAX			INT64_MAX	/* infinity */
#define GM_VEC_MAX_DIM		16000

typedef enum GmStatus
{
	GM_OK = 0,
	GM_INTERRUPTED,				/* the interrupt callback asked to stop */
	GM_NO_MEMORY,				/* the allocator refused */
	GM_OVER_BUDGET,				/* the memory's own limit would be passed */
	GM_TOO_MANY,				/* more than 2^32 - 2 nodes, slots or items */
	GM_BAD_VALUE,				/* NaN, infinity, zero vector, out of range */
	GM_BAD_DIM,					/* vectors of different dimensions */
	GM_BAD_FILE					/* it cannot be read, written or made use of */
} GmStatus;

#define GM_TRY(call) \
	do { \
		GmStatus	try_status = (call); \
		if (try_status != GM_OK) \
			return try_status; \
	} while (0)

/*
 * Asked by every loop that can run for more than about a millisecond; true
 * means stop now and return GM_INTERRUPTED.  It must not longjmp: whoever
 * provides it raises the server's error after the call has returned.
 */
typedef enum GmPhase
{
	GM_PHASE_NONE = 0,			/* begun */
	GM_PHASE_WAITING,			/* for the worker */
	GM_PHASE_LOADING,			/* a private image; rows read */
	GM_PHASE_WALKING,			/* arcs, of those it may look at */
	GM_PHASE_ITERATING,			/* passes over the graph */
	GM_PHASE_VECTORS,			/* compared, or stored */
	GM_PHASE_CHECKING,			/* rules of an image */
	GM_PHASE_ROWS,				/* returned */
	GM_PHASE_DELETING			/* tables emptied of a graph */
} GmPhase;

/* how far a call is; written before each look at interrupts */
typedef struct GmProgress
{
	GmPhase		phase;
	uint64_t	done;			/* units of the phase */
	uint64_t	total;			/* 0: not known */
	uint64_t	records;		/* of facts looked at, in all phases */
} GmProgress;

typedef struct GmInterrupt
{
	bool		(*pending) (void *arg);
	void	   *arg;
	GmProgress *progress;		/* NULL: nobody wants to know */
} GmInterrupt;

/* Edges (or comparable units of work) between two looks at the callback. */
#define GM_INTERRUPT_EVERY	16384

static inline bool
gm_interrupted(const GmInterrupt *intr)
{
	return intr != NULL && intr->pending != NULL && intr->pending(intr->arg);
}

static inline void
gm_progress_at(const GmInterrupt *intr, GmPhase phase, uint64_t done, uint64_t total)
{
	if (intr == NULL || intr->progress == NULL)
		return;
	intr->progress->phase = phase;
	intr->progress->done = done;
	intr->progress->total = total;
}

#ifdef __GNUC__
#define gm_likely(x)	__builtin_expect((x) != 0, 1)
#define gm_unlikely(x)	__builtin_expect((x) != 0, 0)
#define gm_prefetch(p)	__builtin_prefetch(p)
#define gm_noinline		__attribute__((noinline))
#else
#define gm_likely(x)	(x)
#define gm_unlikely(x)	(x)
#define gm_prefetch(p)	((void) 0)
#define gm_noinline
#endif

/* zeroes what is about to be freed, which a compiler would leave out of a memset */
static inline void
gm_wipe(void *p, size_t bytes)
{
	if (bytes == 0)
		return;
	memset(p, 0, bytes);
#ifdef __GNUC__
	__asm__ volatile ("" : : "r" (p) : "memory");
#endif
}

#endif							/* GM_CORE_BASE_H */
