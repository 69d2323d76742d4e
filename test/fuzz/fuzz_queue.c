/*-------------------------------------------------------------------------
 *
 * fuzz_queue.c
 *	  The queue between backends and worker: src/shm/queue.c as it is, with what
 *	  it needs of the server put in its place here.
 *
 * An input is a program: batches of any length pushed, marked as of one or
 * several graphs, or to be reloaded; tickets taken, looked up and released;
 * segments refused; the queue closed.  Positions start just before they
 * overflow 32 bits, so that batches cross the end of the bytes early.
 *
 * The model is the list of all batches that were pushed.
 *
 * What must hold
 *	 order		every ticket is taken once, in order, with what was pushed
 *	 bytes		a batch not yet released can be copied, and is what was pushed;
 *				a released one is, or has been overwritten
 *	 full		a batch is refused only where it must be: no bytes or tickets free
 *	 segments	each is given back exactly once, and none is left when the queue
 *				is closed
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/dsm.h"
#include "utils/memutils.h"

#include "shm/queue.h"
#include "shm/segment.h"

/* the server's own are not linked */
#undef fprintf
#undef snprintf

#include "fuzz.h"

#define MOST_PUSHED		(2 * GM_AREA_TICKETS)
#define MOST_OPS		1000
#define MOST_BYTES		(6 << 20)	/* of all batches, for the time it takes */

/*
 * The server
 */
struct dsm_segment
{
	dsm_handle	handle;
	Size		length;
	char	   *bytes;
	bool		pinned;
	int			mapped;
};

static struct dsm_segment *segments[1 << 12];
static uint32 nsegments;
static uint32 segments_left;	/* not freed yet */
static bool refuse_segments;
static int	locked;

volatile sig_atomic_t InterruptPending = false;
sigjmp_buf *PG_exception_stack = NULL;
ErrorContextCallback *error_context_stack = NULL;
MemoryContext CurrentMemoryContext = NULL;

bool
LWLockAcquire(LWLock *lock, LWLockMode mode)
{
	(void) lock;
	(void) mode;
	MUST(locked++ == 0);
	return true;
}

void
LWLockRelease(LWLock *lock)
{
	(void) lock;
	MUST(--locked == 0);
}

void *
palloc(Size size)
{
	return malloc(size);
}

void *
MemoryContextAllocHuge(MemoryContext context, Size size)
{
	(void) context;
	return malloc(size);
}

void
pfree(void *pointer)
{
	free(pointer);
}

void
ProcessInterrupts(void)
{
	MUST(!"reached");
}

void
pg_re_throw(void)
{
	MUST(!"reached");
	abort();
}

bool
errstart(int level, const char *domain)
{
	(void) level;
	(void) domain;
	MUST(!"no error is raised");
	return false;
}

bool
errstart_cold(int level, const char *domain)
{
	return errstart(level, domain);
}

void
errfinish(const char *file, int line, const char *function)
{
	(void) file;
	(void) line;
	(void) function;
}

int
errmsg_internal(const char *format, ...)
{
	return format != NULL;
}

dsm_segment *
gm_segment_create(Size bytes, char *message)
{
	struct dsm_segment *s;

	(void) message;
	if (refuse_segments || nsegments + 1 == lengthof(segments))
		return NULL;
	s = calloc(1, sizeof(*s));
	s->handle = ++nsegments;
	s->length = bytes;
	s->bytes = malloc(bytes);
	s->pinned = true;
	s->mapped = 1;
	segments[s->handle] = s;
	segments_left++;
	return s;
}

dsm_segment *
gm_segment_attach(dsm_handle handle, char *message)
{
	(void) message;
	MUST(handle > 0 && handle <= nsegments);
	if (segments[handle] == NULL)
		return NULL;
	segments[handle]->mapped++;
	return segments[handle];
}

static void
free_unused(struct dsm_segment *s)
{
	if (s->pinned || s->mapped > 0)
		return;
	segments[s->handle] = NULL;
	segments_left--;
	free(s->bytes);
	free(s);
}

void
dsm_detach(dsm_segment *s)
{
	MUST(s->mapped-- > 0);
	free_unused(s);
}

void
dsm_unpin_segment(dsm_handle handle)
{
	MUST(handle > 0 && handle <= nsegments && segments[handle] != NULL);
	MUST(segments[handle]->pinned);
	segments[handle]->pinned = false;
	free_unused(segments[handle]);
}

dsm_handle
dsm_segment_handle(dsm_segment *s)
{
	return s->handle;
}

void *
dsm_segment_address(dsm_segment *s)
{
	return s->bytes;
}

Size
dsm_segment_map_length(dsm_segment *s)
{
	return s->length;
}

/*
 * The model
 */
typedef struct Pushed
{
	uint64		xid;
	uint32		length;			/* of its bytes, which its ticket makes */
	uint32		changes;
	int32		graph_id;
	uint32		flags;			/* as pushed; RELOAD too where there was no room */
	bool		segment;
} Pushed;

typedef struct Machine
{
	Input		in;
	GmArea	   *area;
	GmDatabase	db;
	Pushed		pushed[MOST_PUSHED + 1];	/* by ticket */
	uint64		last;			/* ticket given out */
	uint64		taken;
	uint64		released;
	uint64		refused;		/* counted by overflow */
	bool		closed;
	uint64		bytes;			/* pushed so far */
	uint64		queued;			/* by tickets that are not released */
	uint32		segments;		/* likewise */
} Machine;

static char *
bytes_of(uint64 ticket, uint32 length)
{
	char	   *bytes = malloc(length);

	/* neighbouring batches differ in every byte */
	memset(bytes, (int) (ticket % 251), length);
	memcpy(bytes, &ticket, Min(length, sizeof(ticket)));
	return bytes;
}

static uint64
padded(uint64 length)
{
	return (length + 7) & ~(uint64) 7;
}

/* what a ticket holds until it is released: bytes of the queue, or a segment */
static void
hold(Machine *k, const Pushed *p, int sign)
{
	if (p->segment)
		k->segments += (uint32) sign;
	else if ((p->flags & GM_TICKET_RELOAD) == 0)
		k->queued += (uint64) sign * padded(p->length);
}

static void
check_ticket(const Machine *k, uint64 ticket, const GmTicket *got)
{
	const Pushed *p = &k->pushed[ticket];

	MUST(atomic_load(&got->tk_ticket) == ticket);
	MUST(got->tk_xid == p->xid && got->tk_changes == p->changes && got->tk_graph == p->graph_id);
	MUST(got->tk_flags == p->flags);
	MUST(got->tk_length == ((p->flags & GM_TICKET_RELOAD) != 0 ? 0 : p->length));
	MUST((got->tk_segment != 0) == p->segment);
}

/* must: the bytes have to be there still */
static void
check_bytes(const Machine *k, uint64 ticket, const GmTicket *got, bool must)
{
	const Pushed *p = &k->pushed[ticket];
	char	   *copy;
	char	   *want;

	if ((p->flags & GM_TICKET_RELOAD) != 0)
		return;
	if (p->segment)
		MUST(gm_queue_copy(k->area, got, false) == NULL);
	copy = gm_queue_copy(k->area, got, true);
	MUST(copy != NULL || !must);
	if (copy == NULL)
		return;
	want = bytes_of(ticket, p->length);
	MUST(p->length == 0 || memcmp(copy, want, p->length) == 0);
	free(want);
	free(copy);
}

/*
 * The machine
 */
static uint32
some_length(Machine *k)
{
	switch (take_below(&k->in, 8))
	{
		case 0:
			return take_below(&k->in, 256);
		case 1:
			return (uint32) GM_QUEUE_MOST - 8 + take_below(&k->in, 17);
		case 2:
			return take_below(&k->in, 65536) * 4;
		case 3:
			return take_below(&k->in, 65536) * 16;
		default:
			return take_below(&k->in, 65536);
	}
}

static void
push(Machine *k, bool is_short)
{
	Pushed		p = {.xid = take_below(&k->in, 256) + 1, .changes = take_byte(&k->in)};
	GmBatch		batch = {0};
	uint64		ticket;
	bool		room;
	bool		segment_room;
	uint32		had = segments_left;
	char	   *bytes;

	if (k->last == MOST_PUSHED || k->bytes > MOST_BYTES)
		return;
	p.graph_id = take_below(&k->in, 4) == 0 ? 0 : (int32) take_below(&k->in, 3000);
	p.flags = take_below(&k->in, 16) == 0 ? GM_TICKET_RELOAD :
		take_below(&k->in, 8) == 0 ? GM_TICKET_GRAPHS : 0;
	p.length = is_short ? take_byte(&k->in) : some_length(k);
	k->bytes += p.length;
	refuse_segments = take_below(&k->in, 8) == 0;
	bytes = bytes_of(k->last + 1, p.length);
	batch = (GmBatch) {
		.xid = p.xid, .bytes = bytes, .length = p.length, .changes = p.changes,
		.graph_id = p.graph_id, .flags = p.flags
	};
	room = p.length <= GM_QUEUE_MOST && k->queued + padded(p.length) <= GM_QUEUE_BYTES;
	segment_room = !refuse_segments && had < GM_QUEUE_SEGMENTS && p.length > 0;
	ticket = gm_queue_push(&k->db, k->area, &batch);
	free(bytes);
	if (ticket == 0)
		MUST(segments_left == had);
	if (k->closed)
	{
		MUST(ticket == 0 && atomic_load(&k->db.overflow) == k->refused);
		return;
	}
	if (k->last - k->released == GM_AREA_TICKETS)
	{
		MUST(ticket == 0 && atomic_load(&k->db.overflow) == ++k->refused);
		return;
	}
	MUST(ticket == k->last + 1 && atomic_load(&k->db.overflow) == k->refused);
	if ((p.flags & GM_TICKET_RELOAD) == 0 && !room)
	{
		p.segment = segment_room;
		if (!segment_room)
			p.flags |= GM_TICKET_RELOAD;
	}
	k->pushed[++k->last] = p;
	hold(k, &p, 1);
	MUST(atomic_load(&k->area->ar_tickets) == k->last);
	MUST(segments_left == k->segments);
	if (p.graph_id != 0)
	{
		uint32		bucket = gm_queue_bucket(p.graph_id);

		MUST(atomic_load(&k->area->ar_last_ticket[bucket]) == k->last);
		MUST(atomic_load(&k->area->ar_last_xid[bucket]) >= p.xid);
	}
	if (p.graph_id == 0 || (p.flags & GM_TICKET_GRAPHS) != 0)
		MUST(atomic_load(&k->area->ar_last_ticket[0]) == k->last);
}

static void
take(Machine *k)
{
	GmTicket	ticket;
	uint64		last = k->taken;
	bool		some = gm_queue_take(k->area, &last, &ticket);

	MUST(some == (k->taken < k->last));
	if (!some)
	{
		MUST(last == k->taken);
		return;
	}
	MUST(last == k->taken + 1);
	k->taken = last;
	check_ticket(k, last, &ticket);
	check_bytes(k, last, &ticket, !k->closed);
}

static void
release(Machine *k)
{
	uint64		n = take_below(&k->in, 4) == 0 ? k->taken - k->released : take_below(&k->in, 20);

	if (k->closed || n > k->taken - k->released || n == 0)
		return;
	while (n-- > 0)
		hold(k, &k->pushed[++k->released], -1);
	gm_queue_release(k->area, k->released);
	MUST(segments_left == k->segments);
	gm_queue_release(k->area, k->released);
}

static void
find(Machine *k)
{
	uint64		back = take_below(&k->in, 65536);
	uint64		ticket = back > k->last ? 0 : k->last - back;
	GmTicket	got;
	bool		found = gm_queue_find(k->area, ticket, &got);

	MUST(found == (ticket != 0 && ticket + GM_AREA_TICKETS > k->last));
	MUST(!gm_queue_find(k->area, k->last + 1, &got));
	if (!found)
		return;
	(void) gm_queue_find(k->area, ticket, &got);
	check_ticket(k, ticket, &got);
	check_bytes(k, ticket, &got, ticket > k->released && !k->closed);
}

static void
close_queue(Machine *k)
{
	gm_queue_close(k->area);
	MUST(segments_left == 0);
	k->closed = true;
}

static void
run(Machine *k)
{
	for (int op = 0; op < MOST_OPS && k->in.left > 0; op++)
		switch (take_below(&k->in, 16))
		{
			case 0:
			case 1:
			case 2:
				take(k);
				break;
			case 3:
				for (int n = 0; n < 300; n++)
					take(k);
				break;
			case 4:
			case 5:
				release(k);
				break;
			case 6:
			case 7:
				find(k);
				break;
			case 8:
				if (take_below(&k->in, 64) == 0)
					close_queue(k);
				break;
			case 9:

				/* many at once, since there are thousands of tickets */
				for (int n = take_byte(&k->in) * 4; n > 0 && k->in.left > 8; n--)
				{
					Input		here = k->in;

					push(k, true);
					k->in = here;
				}
				break;
			default:
				push(k, false);
				break;
		}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static Machine k;
	uint64		start = (UINT64CONST(1) << 32) - 64;

	memset(&k, 0, sizeof(k));
	k.in = (Input) {data, size};
	k.area = calloc(1, sizeof(GmArea) + GM_QUEUE_BYTES);
	k.area->ar_queue_at = sizeof(GmArea);
	atomic_store(&k.area->ar_queue_head, start);
	atomic_store(&k.area->ar_queue_kept, start);
	run(&k);
	if (!k.closed)
		close_queue(&k);
	free(k.area);
	memset(segments, 0, sizeof(segments[0]) * (nsegments + 1));
	nsegments = 0;
	return 0;
}

static void
fuzz_seeds(void)
{
	for (uint32_t i = 0; i < 40; i++)
	{
		uint8_t		noise[1200];

		fuzz_noise(i, noise, sizeof(noise));
		fuzz_seed(noise, 100 + i * 25);
	}
}
