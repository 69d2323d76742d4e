/*-------------------------------------------------------------------------
 *
 * segment.c
 *	  Dynamic shared memory segments without errors.
 *
 * A resource owner of its own takes what an attempt that failed leaves behind;
 * the transaction's would report it at commit.
 *
 * The system zeroes what it gives and takes back.  With
 * min_dynamic_shared_memory the server cuts segments from memory that it keeps:
 * those are zeroed here, both times (what was never pinned, when it is made).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/mman.h>

#include "miscadmin.h"
#include "storage/dsm_impl.h"
#include "storage/pg_shmem.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "core/base.h"
#include "shm/control.h"
#include "shm/segment.h"

#if defined(__linux__) && !defined(MADV_COLLAPSE)
#define MADV_COLLAPSE	25		/* since Linux 6.1; unknown to older headers */
#endif

static void
keep_message(char *message, MemoryContext context)
{
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	if (message != NULL)
		strlcpy(message, error->message, GM_ERROR_LENGTH);
	FreeErrorData(error);
}

/* bytes: create one; 0: attach the handle's */
static dsm_segment *
try_segment(Size bytes, dsm_handle handle, char *message)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner before = CurrentResourceOwner;
	ResourceOwner owner = ResourceOwnerCreate(NULL, "graphmem segment");
	uint32		held = InterruptHoldoffCount;
	dsm_segment *volatile segment = NULL;

	CurrentResourceOwner = owner;
	PG_TRY();
	{
		segment = bytes > 0 ? dsm_create(bytes, 0) : dsm_attach(handle);
		if (segment != NULL)
			dsm_pin_mapping(segment);
	}
	PG_CATCH();
	{
		InterruptHoldoffCount = held;
		keep_message(message, context);
		segment = NULL;
	}
	PG_END_TRY();
	ResourceOwnerRelease(owner, RESOURCE_RELEASE_BEFORE_LOCKS, false, true);
	CurrentResourceOwner = before;
	ResourceOwnerDelete(owner);
	return segment;
}

/* what min_dynamic_shared_memory sets aside has odd handles, the system's are even (dsm.c) */
static bool
is_kept_memory(dsm_handle handle)
{
	return (handle & 1) != 0;
}

static void
zero_kept_memory(dsm_segment *segment)
{
	if (is_kept_memory(dsm_segment_handle(segment)))
		gm_wipe(dsm_segment_address(segment), dsm_segment_map_length(segment));
}

dsm_segment *
gm_segment_create_own(Size bytes, char *message)
{
	dsm_segment *segment = try_segment(bytes, 0, message);

	if (segment != NULL)
		zero_kept_memory(segment);
	return segment;
}

dsm_segment *
gm_segment_create(Size bytes, char *message)
{
	dsm_segment *segment = gm_segment_create_own(bytes, message);

	if (segment != NULL)
		dsm_pin_segment(segment);
	return segment;
}

void
gm_segment_destroy(dsm_segment *segment)
{
	zero_kept_memory(segment);
	dsm_unpin_segment(dsm_segment_handle(segment));
	dsm_detach(segment);
}

void
gm_segment_give_back(dsm_handle handle)
{
	if (is_kept_memory(handle))
	{
		dsm_segment *segment = gm_segment_attach(handle, NULL);

		if (segment != NULL)
		{
			zero_kept_memory(segment);
			dsm_detach(segment);
		}
	}
	dsm_unpin_segment(handle);
}

dsm_segment *
gm_segment_attach(dsm_handle handle, char *message)
{
	if (message != NULL)
		strlcpy(message, "the segment is gone", GM_ERROR_LENGTH);
	return try_segment(0, handle, message);
}

/*
 * Large pages
 */
#if defined(__linux__) && defined(MREMAP_FIXED)

static bool
wants_large_pages(dsm_segment *segment)
{
	/* kept memory is part of the main segment, and no mapping of its own */
	return huge_pages != HUGE_PAGES_OFF && dynamic_shared_memory_type == DSM_IMPL_POSIX &&
		!is_kept_memory(dsm_segment_handle(segment)) &&
		dsm_segment_map_length(segment) % GM_LARGE_PAGE == 0;
}

/*
 * A place at a multiple of a large page for a mapping.  dsm.c will unmap the
 * range where it believes the mapping to be, so that nothing else may come to
 * lie there: if the range cannot be held, the mapping goes back.
 */
static char *
move(char *from, Size length)
{
	int			flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	char	   *room = mmap(NULL, length + GM_LARGE_PAGE, PROT_NONE, flags, -1, 0);
	char	   *to = (char *) TYPEALIGN(GM_LARGE_PAGE, (uintptr_t) room);

	if (room == MAP_FAILED)
		return from;
	if (mremap(from, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED)
	{
		(void) munmap(room, length + GM_LARGE_PAGE);
		return from;
	}
	(void) munmap(room, to - room);
	(void) munmap(to + length, room + GM_LARGE_PAGE - to);
	if (mmap(from, length, PROT_NONE, flags | MAP_FIXED, -1, 0) == MAP_FAILED &&
		mremap(to, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, from) != MAP_FAILED)
		return from;
	return to;
}

char *
gm_segment_place(dsm_segment *segment)
{
	char	   *address = dsm_segment_address(segment);

	if (!wants_large_pages(segment) || (uintptr_t) address % GM_LARGE_PAGE == 0)
		return address;
	return move(address, dsm_segment_map_length(segment));
}

/* one call for all of it would hold up the process for as much as a second */
bool
gm_segment_enlarge(dsm_segment *segment, char *place, Size offset)
{
	if (!wants_large_pages(segment) || (uintptr_t) place % GM_LARGE_PAGE != 0)
		return false;
	return madvise(place + offset, GM_LARGE_PAGE, MADV_COLLAPSE) == 0 || errno != EINVAL;
}

void
gm_segment_leave_place(dsm_segment *segment, char *place)
{
	if (place != dsm_segment_address(segment))
		(void) munmap(place, dsm_segment_map_length(segment));
}

#else

char *
gm_segment_place(dsm_segment *segment)
{
	return dsm_segment_address(segment);
}

bool
gm_segment_enlarge(dsm_segment *segment, char *place, Size offset)
{
	return false;
}

void
gm_segment_leave_place(dsm_segment *segment, char *place)
{
}

#endif
