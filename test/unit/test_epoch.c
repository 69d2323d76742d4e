/*-------------------------------------------------------------------------
 *
 * test_epoch.c
 *	  Readers of versions that come and go under them.
 *
 * One thread writes versions of an image: an array, of which every element
 * must have the same sum with its partner, and blocks that it replaces whole.
 * The others read the newest version over and over.  What is reclaimed is
 * filled with rubbish at once, so that a reader who still looks at it sees that
 * what it reads does not check.  Forks are made and changed meanwhile.
 *
 * Negative controls, which must find something wrong: a writer that reclaims
 * at once, and readers that do not enter.  They read and write the very words
 * that the others do, atomically, so that the thread sanitizer has no say in
 * them; everything else is read plainly, so that it has.
 *
 *-------------------------------------------------------------------------
 */
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "core/array.h"
#include "core/epoch.h"
#include "fake_pool.h"
#include "unit.h"

#define READERS		3
#define BLOCKS		64
#define WORDS		40			/* of a block */
#define ELEMENTS	20000
#define SECONDS		2			/* a run, and how long a control may take */

typedef struct Image
{
	GmArrayRoot im_array;		/* uint64: i ^ version's choice, and its complement */
	GmRef		im_block[BLOCKS];
	uint64_t	im_version;
} Image;

typedef enum Mode
{
	RIGHT,
	RECLAIM_AT_ONCE,
	DO_NOT_ENTER
} Mode;

typedef struct Run
{
	Mode		mode;
	FakePool	pool;
	GmMemOps	ops;
	GmMem	   *mem;
	_Atomic uint64_t root;
	_Atomic uint64_t global;
	GmEpochSlot slots[READERS];
	_Atomic bool stop;
	_Atomic uint64_t wrong;
	_Atomic uint64_t reads;
	uint64_t	versions;
	size_t		most;			/* bytes charged */
} Run;

typedef struct Reader
{
	int			number;
	uint64_t	random;
} Reader;

static Run r;

/* the words that the controls race for */
static uint64_t
load(const Run *run, const uint64_t *p)
{
	return run->mode == RIGHT ? *p : __atomic_load_n(p, __ATOMIC_RELAXED);
}

static void
store(const Run *run, uint64_t *p, uint64_t value)
{
	if (run->mode == RIGHT)
		*p = value;
	else
		__atomic_store_n(p, value, __ATOMIC_RELAXED);
}

static uint64_t
mixed(uint64_t a)
{
	a = (a ^ (a >> 31)) * UINT64_C(0x7fb5d329728ea185);
	return a ^ (a >> 27);
}

static uint64_t
next_random(uint64_t *state)
{
	*state = mixed(*state + UINT64_C(0x9e3779b97f4a7c15));
	return *state;
}

/* a block: any number, then what follows from it and the place */
static void
fill_block(const Run *run, uint64_t *p, uint64_t seed)
{
	for (uint64_t i = 0; i < WORDS; i++)
		store(run, &p[i], i == 0 ? seed : mixed(seed + i));
}

static bool
block_holds(const Run *run, const uint64_t *p)
{
	uint64_t	seed = load(run, &p[0]);

	for (uint64_t i = 1; i < WORDS; i++)
		if (load(run, &p[i]) != mixed(seed + i))
			return false;
	return true;
}

static void
set_pair(const Run *run, uint64_t *p, uint64_t i, uint64_t value)
{
	store(run, &p[0], value);
	store(run, &p[1], ~value ^ i);
}

static bool
pair_holds(const Run *run, const uint64_t *p, uint64_t i)
{
	return load(run, &p[1]) == (~load(run, &p[0]) ^ i);
}

/*
 * Writing
 */
static void
poisoned_reclaim(Run *run, GmRef *old, uint64_t *epoch, int *n, uint64_t oldest)
{
	int			kept = 0;

	for (int i = 0; i < *n; i++)
	{
		if (epoch[i] < oldest)
		{
			uint64_t   *p = gm_mem_ptr(run->mem, old[i]);

			for (int k = 0; k < WORDS; k++)
				store(run, &p[k], POOL_DEAD + (uint64_t) k);
		}
		else
			kept++;
	}
	/* they go in order, oldest first */
	memmove(old, old + (*n - kept), (size_t) kept * sizeof(GmRef));
	memmove(epoch, epoch + (*n - kept), (size_t) kept * sizeof(uint64_t));
	*n = kept;
	gm_mem_reclaim(run->mem, oldest);
}

#define MAX_OLD		200000

static void *
writer(void *arg)
{
	Run		   *run = arg;
	GmRef	   *old = malloc(MAX_OLD * sizeof(GmRef));
	uint64_t   *epochs = malloc(MAX_OLD * sizeof(uint64_t));
	uint64_t	random = 1;
	GmArray		array = {0};
	int			n = 0;

	while (!run->stop)
	{
		GmRef		before = run->root;
		bool		abort_it = next_random(&random) % 8 == 0;
		int			before_n = n;
		uint64_t	oldest;
		uint64_t	epoch;
		Image	   *image;
		GmRef		ref;

		if (gm_mem_begin(run->mem) != GM_OK ||
			gm_mem_alloc(run->mem, sizeof(Image), &ref) != GM_OK)
			break;
		image = gm_mem_ptr(run->mem, ref);
		memcpy(image, gm_mem_ptr(run->mem, before), sizeof(Image));
		gm_mem_retire(run->mem, before, sizeof(Image));
		image->im_version++;
		(void) gm_array_attach(run->mem, &image->im_array, &array);
		(void) gm_array_begin(run->mem, &array);
		for (int i = 0; i < 20; i++)
		{
			uint64_t	at = next_random(&random) % image->im_array.ar_length;
			uint64_t   *p;

			if (gm_array_write(run->mem, &array, at, &p) == GM_OK)
				set_pair(run, p, at, next_random(&random));
		}
		for (int i = 0; i < 5 && image->im_array.ar_length < ELEMENTS * 2; i++)
		{
			uint64_t	at = image->im_array.ar_length;

			if (gm_array_reserve(run->mem, &array, at + 1) != GM_OK)
				break;
			set_pair(run, gm_array_at(&array, at), at, next_random(&random));
			image->im_array.ar_length++;
		}
		for (int i = 0; i < 10 && n < MAX_OLD; i++)
		{
			GmRef	   *block = &image->im_block[next_random(&random) % BLOCKS];

			old[n++] = *block;
			gm_mem_retire(run->mem, *block, WORDS * 8);
			if (gm_mem_alloc(run->mem, WORDS * 8, block) == GM_OK)
				fill_block(run, gm_mem_ptr(run->mem, *block), next_random(&random));
		}
		gm_array_end(&array);
		if (abort_it)
		{
			gm_mem_abort(run->mem);
			n = before_n;
			continue;
		}
		atomic_store_explicit(&run->root, ref, memory_order_release);
		epoch = gm_epoch_advance(&run->global);
		for (int i = before_n; i < n; i++)
			epochs[i] = epoch;
		gm_mem_commit(run->mem, epoch);
		oldest = run->mode == RECLAIM_AT_ONCE ? UINT64_MAX :
			gm_epoch_oldest(run->slots, READERS);
		poisoned_reclaim(run, old, epochs, &n, oldest);
		run->versions++;
		if (run->mem->charged > run->most)
			run->most = run->mem->charged;
		if (n > MAX_OLD - 100)
			break;
	}
	gm_array_detach(&array);
	free(old);
	free(epochs);
	return NULL;
}

/*
 * Reading
 */
static uint64_t
read_all(const Run *run, const GmMem *mem, Image *image, uint64_t *random)
{
	GmArray		array = {0};
	uint64_t	wrong = 0;

	if (gm_array_attach(mem, &image->im_array, &array) != GM_OK)
		return 1;
	for (int b = 0; b < BLOCKS; b++)
		wrong += !block_holds(run, gm_mem_ptr(mem, image->im_block[b]));
	for (int i = 0; i < 300; i++)
	{
		uint64_t	at = next_random(random) % image->im_array.ar_length;

		wrong += !pair_holds(run, gm_array_at(&array, at), at);
	}
	gm_array_detach(&array);
	return wrong;
}

/* as a transaction that has changed something reads: with its own changes */
static uint64_t
read_fork(const Run *run, GmRef root, uint64_t *random)
{
	GmArray		array = {0};
	uint64_t	wrong = 0;
	GmMem	   *mem;
	Image	   *image;
	GmRef		ref;

	if (gm_mem_fork((char **) run->pool.base, 0, NULL, &mem) != GM_OK)
		return 1;
	if (gm_mem_begin(mem) != GM_OK || gm_mem_alloc(mem, sizeof(Image), &ref) != GM_OK)
		return 1;
	image = gm_mem_ptr(mem, ref);
	memcpy(image, gm_mem_ptr(mem, root), sizeof(Image));
	if (gm_array_attach(mem, &image->im_array, &array) != GM_OK ||
		gm_array_begin(mem, &array) != GM_OK)
		return 1;
	for (int i = 0; i < 300; i++)
	{
		uint64_t	at = i < 100 ? next_random(random) % image->im_array.ar_length :
			image->im_array.ar_length;
		uint64_t   *p;

		if (at == image->im_array.ar_length)
		{
			wrong += gm_array_reserve(mem, &array, at + 1) != GM_OK;
			image->im_array.ar_length++;
			set_pair(run, gm_array_at(&array, at), at, 1);
		}
		else if (gm_array_write(mem, &array, at, &p) == GM_OK)
		{
			wrong += !pair_holds(run, p, at);
			set_pair(run, p, at, next_random(random));
		}
	}
	gm_array_end(&array);
	wrong += read_all(run, mem, image, random);
	gm_array_detach(&array);
	gm_mem_destroy(mem);
	return wrong;
}

/* what a control read may be anything */
static bool
in_pool(GmRef ref)
{
	GmRef		extent = ref >> GM_MEM_OFFSET_BITS;
	GmRef		offset = ref & (((GmRef) 1 << GM_MEM_OFFSET_BITS) - 1);

	return extent >= 1 && extent <= POOL_EXTENTS && offset % 8 == 0 &&
		offset < POOL_EXTENT - WORDS * 8;
}

static void *
reader(void *arg)
{
	Reader	   *me = arg;
	Run		   *run = &r;
	GmEpochSlot *slot = &run->slots[me->number];
	GmMem	   *mem;

	if (gm_mem_attach(run->pool.base, &mem) != GM_OK)
		return NULL;
	while (!run->stop)
	{
		GmRef		root;

		if (run->mode != DO_NOT_ENTER)
			gm_epoch_enter(&run->global, slot);
		root = atomic_load_explicit(&run->root, memory_order_acquire);
		if (run->mode != RIGHT)
		{
			/* the blocks alone: a wrong directory would end the program */
			GmRef		blocks[BLOCKS];

			memcpy(blocks, ((Image *) gm_mem_ptr(mem, root))->im_block, sizeof(blocks));
			sched_yield();
			for (int b = 0; b < BLOCKS; b++)
				run->wrong += !in_pool(blocks[b]) ||
					!block_holds(run, gm_mem_ptr(mem, blocks[b]));
		}
		else if (next_random(&me->random) % 16 == 0)
			run->wrong += read_fork(run, root, &me->random);
		else
			run->wrong += read_all(run, mem, gm_mem_ptr(mem, root), &me->random);
		if (run->mode != DO_NOT_ENTER)
			gm_epoch_leave(slot);
		run->reads++;
	}
	gm_mem_destroy(mem);
	return NULL;
}

/*
 * Runs
 */
static bool
make_image(void)
{
	GmArray		array = {0};
	uint64_t	random = 7;
	Image	   *image;
	GmRef		root;

	if (!CHECK(pool_make(&r.pool, &r.ops)) ||
		!CHECK(gm_mem_create_shared(r.pool.base, 8192, 0, &r.ops, &r.mem) == GM_OK) ||
		!CHECK(gm_mem_alloc(r.mem, sizeof(Image), &root) == GM_OK))
		return false;
	image = gm_mem_ptr(r.mem, root);
	gm_array_init(&image->im_array, 2 * sizeof(uint64_t), GM_ARRAY_PAGE_SMALL);
	if (!CHECK(gm_array_attach(r.mem, &image->im_array, &array) == GM_OK) ||
		!CHECK(gm_array_reserve(r.mem, &array, ELEMENTS) == GM_OK))
		return false;
	for (uint64_t i = 0; i < ELEMENTS; i++)
		set_pair(&r, gm_array_at(&array, i), i, next_random(&random));
	image->im_array.ar_length = ELEMENTS;
	gm_array_detach(&array);
	for (int b = 0; b < BLOCKS; b++)
	{
		if (!CHECK(gm_mem_alloc(r.mem, WORDS * 8, &image->im_block[b]) == GM_OK))
			return false;
		fill_block(&r, gm_mem_ptr(r.mem, image->im_block[b]), next_random(&random));
	}
	r.root = root;
	r.global = 1;
	return true;
}

static double
now(void)
{
	struct timespec t;

	(void) clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec + (double) t.tv_nsec * 1e-9;
}

/* until something is wrong, in a control; for the time */
static void
run_threads(Mode mode, double seconds)
{
	Reader		readers[READERS];
	pthread_t	thread[READERS + 1];
	double		end = now() + seconds;

	memset(&r, 0, sizeof(r));
	r.mode = mode;
	if (!make_image())
		return;
	for (int i = 0; i < READERS; i++)
	{
		readers[i] = (Reader) {i, (uint64_t) i + 100};
		(void) pthread_create(&thread[i], NULL, reader, &readers[i]);
	}
	(void) pthread_create(&thread[READERS], NULL, writer, &r);
	while (now() < end && (mode == RIGHT || r.wrong == 0))
	{
		struct timespec t = {0, 5000000};

		(void) nanosleep(&t, NULL);
	}
	r.stop = true;
	for (int i = 0; i <= READERS; i++)
		(void) pthread_join(thread[i], NULL);
	printf("# %" PRIu64 " versions, %" PRIu64 " reads, %" PRIu64 " wrong, at most %zu bytes\n",
		   r.versions, r.reads, r.wrong, r.most);
	gm_mem_destroy(r.mem);
	CHECK(r.pool.out == 0);
	pool_free(&r.pool);
}

static void
test_readers(void)
{
	run_threads(RIGHT, SECONDS);
	CHECK(r.wrong == 0);
	CHECK(r.versions > 20 && r.reads > 20);

	/*
	 * It is used again: 1 MB of image, and versions of a few 100 kB, tens of
	 * thousands of them where nobody disturbs; a reader that the system leaves
	 * waiting inside a section holds some hundreds back.
	 */
	CHECK(r.most < (size_t) 1 << 30);
}

static void
control(Mode mode)
{
#ifdef __SANITIZE_THREAD__
	(void) mode;
	printf("# left out: a data race is what this is\n");
#else
	run_threads(mode, 10 * SECONDS);
	CHECK(r.wrong > 0);
#endif
}

static void
test_control_reclaim_at_once(void)
{
	control(RECLAIM_AT_ONCE);
}

static void
test_control_do_not_enter(void)
{
	control(DO_NOT_ENTER);
}

/* what the two functions say */
static void
test_oldest(void)
{
	static _Atomic uint64_t global = 5;
	static GmEpochSlot slots[3];

	CHECK(gm_epoch_oldest(slots, 3) == UINT64_MAX);
	gm_epoch_enter(&global, &slots[1]);
	CHECK(gm_epoch_oldest(slots, 3) == 5);
	CHECK(gm_epoch_advance(&global) == 5);
	CHECK(global == 6);
	gm_epoch_enter(&global, &slots[2]);
	CHECK(gm_epoch_oldest(slots, 3) == 5);
	gm_epoch_leave(&slots[1]);
	CHECK(gm_epoch_oldest(slots, 3) == 6);
	gm_epoch_leave(&slots[2]);
	CHECK(gm_epoch_oldest(slots, 3) == UINT64_MAX);
}

UNIT_MAIN(UNIT(test_oldest), UNIT(test_readers), UNIT(test_control_reclaim_at_once),
		  UNIT(test_control_do_not_enter))
