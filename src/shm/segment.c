/*-------------------------------------------------------------------------
 *
 * segment.c
 *	  Dynamic shared memory segments without errors.
 *
 * A resource owner of its own takes what an attempt that failed leaves behind;
 * the transaction's would report it at commit.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "shm/control.h"
#include "shm/segment.h"

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

dsm_segment *
gm_segment_create(Size bytes, char *message)
{
	dsm_segment *segment = try_segment(bytes, 0, message);

	if (segment != NULL)
		dsm_pin_segment(segment);
	return segment;
}

dsm_segment *
gm_segment_attach(dsm_handle handle, char *message)
{
	if (message != NULL)
		strlcpy(message, "the segment is gone", GM_ERROR_LENGTH);
	return try_segment(0, handle, message);
}
