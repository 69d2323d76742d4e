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
	Run		   *run;
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
static bool
poisoned_reclaim(Run *run, GmRef *old, const uint64_t *epoch, int *n, uint64_t oldest)
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
	memmove((uint64_t *) epoch, epoch + (*n - kept), (size_t) kept * sizeof(uint64_t));
	*n = kept;
	gm_mem_reclaim(run->mem, oldest);
	return true;
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
read_all(Run *run, const GmMem *mem, Image *image, uint64_t *random)
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
read_fork(Run *run, GmRef root, uint64_t *random)
{
	GmArray		array = {0};
	uint64_t	wrong = 0;
	GmMem	   *mem;
	Image	   *image;
	GmRef		ref;

	if (gm_mem_fork(run->pool.base, 0, NULL, &mem) != GM_OK)
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

static void *
reader(void *arg)
{
	Reader	   *me = arg;
	Run		   *run = me->run;
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
				run->wrong += !block_holds(run, gm_mem_ptr(mem, blocks[b]));
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
