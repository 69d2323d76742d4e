/*-------------------------------------------------------------------------
 *
 * test_mem.c
 *	  Blocks of images: what is handed out, freed, retired, and versions.
 *
 * What must hold
 *	 blocks		zeroed, aligned, apart from one another: each is filled with its
 *				own number, which must still be there when it is freed
 *	 versions	what an abort takes back is used again, what it retired is still
 *				there; retired blocks stay as they are until they are reclaimed
 *	 accounts	used is the sum of the blocks, charged what the owner was asked
 *				for; a shared image with nothing in it gives all slabs back
 *	 limits		refused before anything was allocated, and usable afterwards
 *	 erasure	what was freed, reclaimed or aborted is nowhere in the memory
 *
 *-------------------------------------------------------------------------
 */
#include "core/mem.h"
#include "fake_pool.h"
#include "unit.h"

#define MAX_LIVE	6000
#define TIDY_BLOCKS	200000

typedef enum State
{
	LIVE,						/* published, or nobody's */
	FRESH,						/* allocated in this version */
	RETIRED,					/* in this version: comes back at an abort */
	LIMBO						/* by an earlier one */
} State;

typedef struct Live
{
	GmRef		ref;
	size_t		bytes;
	bool		words;
	State		state;
	bool		was_fresh;		/* allocated and retired in this version */
	uint64_t	epoch;
	uint32_t	number;
} Live;

typedef struct World
{
	FakePool	pool;
	GmMemOps	ops;
	GmMem	   *mem;
	Live		live[MAX_LIVE];
	int			n;
	uint32_t	numbers;
	bool		open;
	uint64_t	epoch;
	uint64_t	oldest;			/* reclaimed up to here */
} World;

static World w;

/* every byte near the ends and some between */
static size_t
next_byte(const Live *b, size_t i)
{
	return i < 64 || i + 97 > b->bytes ? i + 1 : i + 97;
}

static void
fill(const Live *b)
{
	unsigned char *p = gm_mem_ptr(w.mem, b->ref);

	for (size_t i = 0; i < b->bytes; i = next_byte(b, i))
		p[i] = (unsigned char) (b->number * 31 + i * 7 + (i >> 8));
}

static bool
intact(const Live *b)
{
	const unsigned char *p = gm_mem_ptr(w.mem, b->ref);

	for (size_t i = 0; i < b->bytes; i = next_byte(b, i))
		if (p[i] != (unsigned char) (b->number * 31 + i * 7 + (i >> 8)))
			return false;
	return true;
}

static bool
zeroed(const void *at, size_t bytes)
{
	const unsigned char *p = at;

	return bytes == 0 || (p[0] == 0 && memcmp(p, p + 1, bytes - 1) == 0);
}

static size_t
pick_bytes(void)
{
	switch (unit_random_below(10))
	{
		case 0:
			return 4096u << unit_random_below(5);
		case 1:
			return 1 + unit_random_below(300000);
		case 2:
			return 3800 + unit_random_below(600);
		case 3:
			return unit_random_below(9);
		default:
			return 1 + unit_random_below(700);
	}
}

static bool
add(size_t bytes, bool words)
{
	Live	   *b = &w.live[w.n];
	void	   *p;

	if (words)
		bytes = (bytes + 3) / 4 * 4;
	*b = (Live) {0, bytes, words, w.open ? FRESH : LIVE, false, 0, w.numbers++};
	if (!CHECK((words ? gm_mem_alloc_words(w.mem, bytes / 4, &b->ref) :
				gm_mem_alloc(w.mem, bytes, &b->ref)) == GM_OK))
		return false;
	p = gm_mem_ptr(w.mem, b->ref);
	CHECK(zeroed(p, bytes));
	CHECK((uintptr_t) p % (words ? 4 : 8) == 0);
	CHECK(bytes < 4096 || (uintptr_t) p % 64 == 0);
	fill(b);
	w.n++;
	return true;
}

static void
drop(int i)
{
	w.live[i] = w.live[--w.n];
}

/* commit: FRESH becomes LIVE, RETIRED goes to limbo; abort: the other way */
static void
end_version(bool commit)
{
	for (int i = w.n; i-- > 0;)
	{
		Live	   *b = &w.live[i];

		if (b->state == FRESH || (b->state == RETIRED && b->was_fresh))
		{
			if (!commit)
			{
				drop(i);
				continue;
			}
			b->state = b->state == FRESH ? LIVE : LIMBO;
		}
		else if (b->state == RETIRED)
			b->state = commit ? LIMBO : LIVE;
		if (b->state == LIMBO && b->epoch == 0)
			b->epoch = w.epoch;
		b->was_fresh = false;
	}
	if (commit)
		gm_mem_commit(w.mem, w.epoch++);
	else
		gm_mem_abort(w.mem);
	w.open = false;
}

static void
reclaim(uint64_t oldest)
{
	for (int i = w.n; i-- > 0;)
		if (w.live[i].state == LIMBO && w.live[i].epoch < oldest)
		{
			CHECK(intact(&w.live[i]));
			drop(i);
		}
	gm_mem_reclaim(w.mem, oldest);
}

static void
check_all(void)
{
	size_t		limbo = 0;
	size_t		used = 0;

	for (int i = 0; i < w.n; i++)
	{
		const Live *b = &w.live[i];

		if (!CHECK(intact(b)))
			printf("# block %u of %zu bytes\n", b->number, b->bytes);
		if (b->state == LIMBO || b->state == RETIRED)
			limbo += b->bytes;
		used += b->bytes;
	}
	/* sizes are rounded up: by less than 8 bytes, or a sixteenth */
	CHECK(w.mem->used >= used && w.mem->used <= used + used / 16 + (size_t) w.n * 8);
	CHECK(gm_mem_limbo(w.mem) >= limbo &&
		  gm_mem_limbo(w.mem) <= limbo + limbo / 16 + (size_t) w.n * 8);
	CHECK(w.mem->charged >= w.mem->used);
	if (w.mem->shared)
		CHECK(w.mem->charged == w.pool.out);
}

static void
random_versions(int steps, bool with_versions)
{
	int			target = 200;

	for (int step = 0; step < steps; step++)
	{
		uint32_t	what = unit_random_below(100);
		int			i = w.n > 0 ? (int) unit_random_below((uint32_t) w.n) : -1;

		if (step % 1000 == 0)
			target = 20 + (int) unit_random_below(MAX_LIVE / 2);
		if (with_versions && what == 0)
		{
			if (!w.open)
			{
				CHECK(gm_mem_begin(w.mem) == GM_OK);
				w.open = true;
			}
			else
				end_version(unit_random_below(3) > 0);
		}
		else if (with_versions && what == 1)
			reclaim(w.epoch - unit_random_below(3));
		else if (what == 2 && step % 5 == 0)
			check_all();
		else if (w.n < target && w.n < MAX_LIVE - 1)
		{
			if (!add(pick_bytes(), what % 2 == 0))
				return;
		}
		else if (i >= 0)
		{
			Live	   *b = &w.live[i];

			if (b->state == FRESH || (b->state == LIVE && !w.open))
			{
				CHECK(intact(b));
				if (w.open && what < 30)
				{
					b->was_fresh = true;
					b->state = RETIRED;
					gm_mem_retire(w.mem, b->ref, b->bytes);
					continue;
				}
				memset(gm_mem_ptr(w.mem, b->ref), 0xee, b->bytes);
				gm_mem_free(w.mem, b->ref, b->bytes);
				drop(i);
			}
			else if (b->state == LIVE)
			{
				b->state = RETIRED;
				gm_mem_retire(w.mem, b->ref, b->bytes);
			}
		}
	}
	if (w.open)
		end_version(true);
	reclaim(UINT64_MAX);
	check_all();
}

/* everything away again */
static void
empty(void)
{
	CHECK(gm_mem_begin(w.mem) == GM_OK);
	w.open = true;
	while (w.n > 0)
	{
		CHECK(intact(&w.live[0]));
		gm_mem_retire(w.mem, w.live[0].ref, w.live[0].bytes);
		drop(0);
	}
	gm_mem_commit(w.mem, w.epoch++);
	w.open = false;
	gm_mem_reclaim(w.mem, UINT64_MAX);
	CHECK(w.mem->used == 0);
	CHECK(gm_mem_limbo(w.mem) == 0);

	/* the next beginning joins what is free */
	CHECK(gm_mem_begin(w.mem) == GM_OK);
	gm_mem_abort(w.mem);
}

static void
test_private(void)
{
	memset(&w, 0, sizeof(w));
	w.epoch = 10;
	REQUIRE(gm_mem_create(4096, 0, NULL, &w.mem) == GM_OK);
	random_versions(10000, false);
	random_versions(30000, true);
	empty();
	gm_mem_destroy(w.mem);
}

static void
test_shared(void)
{
	memset(&w, 0, sizeof(w));
	w.epoch = 10;
	REQUIRE(pool_make(&w.pool, &w.ops));
	for (int round = 0; round < 4; round++)
	{
		REQUIRE(gm_mem_create_shared(w.pool.base, 4096u << round, 0, &w.ops, &w.mem) == GM_OK);
		random_versions(10000, round % 2 == 0);
		random_versions(30000, true);
		empty();
		CHECK(w.mem->charged == 0 && w.mem->extents == 0);
		CHECK(w.pool.out == 0);
		CHECK(add(100, false));
		gm_mem_destroy(w.mem);
		CHECK(w.pool.out == 0);
		w.n = 0;
	}
	pool_free(&w.pool);
}

/* a fork leaves alone what it does not own */
static void
test_fork(void)
{
	GmMem	   *shared;
	GmRef		ref;
	char	   *p;

	memset(&w, 0, sizeof(w));
	w.epoch = 10;
	REQUIRE(pool_make(&w.pool, &w.ops));
	REQUIRE(gm_mem_create_shared(w.pool.base, 8192, 0, &w.ops, &shared) == GM_OK);
	REQUIRE(gm_mem_alloc(shared, 1000, &ref) == GM_OK);
	p = gm_mem_ptr(shared, ref);
	memset(p, 7, 1000);
	REQUIRE(gm_mem_fork(w.pool.base, 0, NULL, &w.mem) == GM_OK);
	CHECK(gm_mem_ptr(w.mem, ref) == p);
	gm_mem_free(w.mem, ref, 1000);
	CHECK(gm_mem_begin(w.mem) == GM_OK);
	gm_mem_retire(w.mem, ref, 1000);
	gm_mem_commit(w.mem, 1);
	gm_mem_reclaim(w.mem, UINT64_MAX);
	CHECK(w.mem->used == 0);
	random_versions(30000, true);
	for (int i = 0; i < w.n; i++)
		CHECK(w.live[i].ref >> GM_MEM_OFFSET_BITS >= GM_MEM_FORK_FROM);
	for (int i = 0; i < 1000; i++)
		CHECK(p[i] == 7);

	/* what the owner maps later is seen after a rebase */
	w.pool.base[5] = p;
	gm_mem_fork_rebase(w.mem, w.pool.base);
	CHECK(gm_mem_ptr(w.mem, (GmRef) 5 << GM_MEM_OFFSET_BITS) == p);
	empty();
	gm_mem_destroy(w.mem);
	gm_mem_destroy(shared);
	pool_free(&w.pool);
}

static void
test_readers_handle(void)
{
	GmMem	   *reader;
	GmRef		ref;
	void	   *p;

	memset(&w, 0, sizeof(w));
	REQUIRE(pool_make(&w.pool, &w.ops));
	REQUIRE(gm_mem_create_shared(w.pool.base, 8192, 0, &w.ops, &w.mem) == GM_OK);
	REQUIRE(gm_mem_attach(w.pool.base, &reader) == GM_OK);
	REQUIRE(gm_mem_alloc(w.mem, 64, &ref) == GM_OK);
	CHECK(gm_mem_ptr(reader, ref) == gm_mem_ptr(w.mem, ref));
	CHECK(gm_mem_alloc(reader, 64, &ref) == GM_NO_MEMORY);
	CHECK(gm_mem_temp(reader, 1000, &p) == GM_OK);
	gm_mem_temp_free(reader, p);
	CHECK(gm_mem_temp(reader, 5 << 20, &p) == GM_OK);
	gm_mem_destroy(reader);
	gm_mem_destroy(w.mem);
	pool_free(&w.pool);
}

static bool
raise_limit(void *arg, size_t bytes)
{
	GmMem	  **mem = arg;

	(void) bytes;
	if ((*mem)->limit >= 300000)
		return false;
	(*mem)->limit += 10000;
	return true;
}

static void
fill_up(size_t limit)
{
	GmStatus	status = GM_OK;
	GmRef		ref;
	size_t		blocks = 0;
	size_t		used;

	while (status == GM_OK && blocks < 100000)
	{
		size_t		bytes = blocks % 2 == 0 ? 100 : 3000;

		status = gm_mem_alloc(w.mem, bytes, &ref);
		blocks += status == GM_OK;
	}
	CHECK(status == GM_OVER_BUDGET);
	CHECK(w.mem->charged <= limit);
	if (!CHECK(w.mem->used > limit - limit / 4))
		printf("# %zu of %zu used, %zu charged\n", w.mem->used, limit, w.mem->charged);
	used = w.mem->used;
	CHECK(gm_mem_alloc(w.mem, 50000, &ref) == GM_OVER_BUDGET);
	CHECK(w.mem->used == used);
}

static void
test_limit(void)
{
	GmMemOps	ops = {0};
	size_t		first;

	memset(&w, 0, sizeof(w));
	REQUIRE(gm_mem_create(4096, 200000, NULL, &w.mem) == GM_OK);
	CHECK(gm_mem_begin(w.mem) == GM_OK);
	fill_up(200000);
	gm_mem_abort(w.mem);
	CHECK(w.mem->used == 0);

	/* abort gave all of it back: it can be filled again */
	CHECK(gm_mem_begin(w.mem) == GM_OK);
	fill_up(200000);
	gm_mem_abort(w.mem);
	gm_mem_destroy(w.mem);

	ops.pressure = raise_limit;
	ops.arg = &w.mem;
	REQUIRE(gm_mem_create(4096, 1, &ops, &w.mem) == GM_OK);
	fill_up(300000);
	CHECK(w.mem->limit >= 300000);
	gm_mem_destroy(w.mem);

	REQUIRE(pool_make(&w.pool, &w.ops));
	REQUIRE(gm_mem_create_shared(w.pool.base, 8192, 204800, &w.ops, &w.mem) == GM_OK);
	CHECK(gm_mem_begin(w.mem) == GM_OK);
	fill_up(204800);
	first = w.pool.out;
	CHECK(first <= 204800);
	gm_mem_abort(w.mem);
	CHECK(w.pool.out == 0 && w.mem->charged == 0);

	/* a refusing owner changes nothing */
	w.pool.refuse_after = 3;
	CHECK(gm_mem_begin(w.mem) == GM_OK);
	for (int i = 0; i < 1000; i++)
	{
		GmRef		ref;

		if (gm_mem_alloc(w.mem, 500, &ref) != GM_OK)
			break;
		first = (size_t) i;
	}
	CHECK(first < 999);
	CHECK(w.mem->charged == w.pool.out);
	gm_mem_abort(w.mem);
	CHECK(w.pool.out == 0);
	gm_mem_destroy(w.mem);
	pool_free(&w.pool);
}

static bool
now_pending(void *arg)
{
	int		   *left = arg;

	return (*left)-- <= 0;
}

/*
 * Free blocks are joined between versions, not when one begins; a tidying that
 * is interrupted, wherever, leaves everything as it was.
 */
static void
test_tidy(void)
{
	static GmRef ref[TIDY_BLOCKS];
	size_t		full;
	int			looks = 0;
	int			left = 0;
	GmInterrupt intr = {now_pending, &left};

	memset(&w, 0, sizeof(w));
	w.epoch = 1;
	REQUIRE(pool_make(&w.pool, &w.ops));
	REQUIRE(gm_mem_create_shared(w.pool.base, 8192, 0, &w.ops, &w.mem) == GM_OK);
	CHECK(gm_mem_tidy(w.mem, NULL) == GM_OK);
	for (int i = 0; i < TIDY_BLOCKS; i++)
		REQUIRE(gm_mem_alloc(w.mem, 96, &ref[i]) == GM_OK);
	for (int i = 0; i < 1000; i++)
	{
		w.live[w.n] = (Live) {ref[TIDY_BLOCKS - 1 - i], 96, false, LIVE, false, 0, w.numbers++};
		fill(&w.live[w.n++]);
	}
	for (int i = 0; i < TIDY_BLOCKS / 6; i++)
		gm_mem_free(w.mem, ref[i], 96);
	full = w.pool.out;

	CHECK(gm_mem_begin(w.mem) == GM_OK);
	gm_mem_commit(w.mem, w.epoch++);
	CHECK(w.pool.out == full);
	while (gm_mem_tidy(w.mem, &intr) == GM_INTERRUPTED)
	{
		CHECK(w.pool.out == full && w.mem->charged == full);
		left = ++looks;
		if (looks % 10 == 0)
		{
			CHECK(gm_mem_begin(w.mem) == GM_OK);
			CHECK(add(96, false));
			w.live[w.n - 1].state = LIVE;
			gm_mem_commit(w.mem, w.epoch++);
		}
	}
	CHECK(looks > 20);
	CHECK(w.pool.out < full - full / 8 && w.mem->charged == w.pool.out);
	for (int i = 0; i < w.n; i++)
		CHECK(intact(&w.live[i]));
	full = w.pool.out;
	CHECK(gm_mem_tidy(w.mem, NULL) == GM_OK && w.pool.out == full);
	gm_mem_destroy(w.mem);
	CHECK(w.pool.out == 0);
	pool_free(&w.pool);
}

/* a worker's life: pages copied and small blocks replaced, without growth */
static void
test_steady(void)
{
	size_t		settled = 0;

	memset(&w, 0, sizeof(w));
	w.epoch = 1;
	REQUIRE(pool_make(&w.pool, &w.ops));
	REQUIRE(gm_mem_create_shared(w.pool.base, 8192, 0, &w.ops, &w.mem) == GM_OK);
	for (int i = 0; i < 3000; i++)
		add(i % 3 == 0 ? 4096 : 12 + unit_random_below(1000), i % 3 != 0);
	for (int version = 0; version < 3000; version++)
	{
		CHECK(gm_mem_begin(w.mem) == GM_OK);
		w.open = true;
		for (int i = 0; i < 10; i++)
		{
			int			k = (int) unit_random_below((uint32_t) w.n);
			Live		b = w.live[k];

			if (b.state != LIVE)
				continue;
			gm_mem_retire(w.mem, b.ref, b.bytes);
			w.live[k].state = RETIRED;
			add(b.words ? 12 + unit_random_below(1000) : b.bytes, b.words);
		}
		end_version(true);
		reclaim(w.epoch - 1);
		if (version == 1000)
			settled = w.mem->charged;
	}
	check_all();
	CHECK(w.mem->charged <= settled + settled / 10);
	gm_mem_destroy(w.mem);
	pool_free(&w.pool);
}

#define SECRETS		400
#define SECRET		UINT32_C(0x5ec2e75e)

static bool
add_secret(GmRef *ref, size_t *bytes)
{
	size_t		size = 12 + 4 * unit_random_below(unit_random_below(4) == 0 ? 6000 : 50);

	if (gm_mem_alloc_words(w.mem, size / 4, ref) != GM_OK)
		return false;
	for (size_t i = 0; i < size / 4; i++)
		((uint32_t *) gm_mem_ptr(w.mem, *ref))[i] = SECRET;
	*bytes = size;
	return true;
}

/* words that hold it, in all slabs */
static size_t
secret_words(void)
{
	size_t		n = 0;

	for (uint32_t i = 0; i < w.mem->extents; i++)
		for (size_t k = 0; k < w.mem->size[i] / 4; k++)
			n += ((uint32_t *) gm_mem_ptr(w.mem, w.mem->start[i]))[k] == SECRET;
	return n;
}

static void
test_erasure(void)
{
	static GmRef ref[SECRETS];
	static size_t bytes[SECRETS];

	memset(&w, 0, sizeof(w));
	REQUIRE(pool_make(&w.pool, &w.ops));
	REQUIRE(gm_mem_create_shared(w.pool.base, 8192, 0, &w.ops, &w.mem) == GM_OK);
	for (int round = 0; round < 20; round++)
	{
		GmRef		fresh;
		size_t		fresh_bytes;
		size_t		published;

		for (int i = 0; i < SECRETS; i++)
			REQUIRE(add_secret(&ref[i], &bytes[i]));
		CHECK(gm_mem_begin(w.mem) == GM_OK);
		for (int i = 0; i < SECRETS; i += 2)
			gm_mem_retire(w.mem, ref[i], bytes[i]);
		gm_mem_commit(w.mem, (uint64_t) round * 2 + 1);
		published = secret_words();

		/* a version that takes free blocks, the bump area and new slabs, and is given up */
		CHECK(gm_mem_begin(w.mem) == GM_OK);
		for (int i = 0; i < SECRETS * 2; i++)
		{
			REQUIRE(add_secret(&fresh, &fresh_bytes));
			if (i % 3 == 0)
				gm_mem_free(w.mem, fresh, fresh_bytes);
			else if (i % 3 == 1)
				gm_mem_retire(w.mem, fresh, fresh_bytes);
		}
		gm_mem_abort(w.mem);
		CHECK(secret_words() == published);

		/* readers may still look at what was retired */
		gm_mem_reclaim(w.mem, (uint64_t) round * 2 + 1);
		CHECK(secret_words() == published);
		gm_mem_reclaim(w.mem, (uint64_t) round * 2 + 2);
		CHECK(secret_words() < published);
		for (int i = 1; i < SECRETS; i += 2)
			gm_mem_free(w.mem, ref[i], bytes[i]);
		CHECK(secret_words() == 0);
		CHECK(gm_mem_tidy(w.mem, NULL) == GM_OK);
	}
	gm_mem_destroy(w.mem);
	pool_free(&w.pool);
}

UNIT_MAIN(UNIT(test_private), UNIT(test_shared), UNIT(test_fork), UNIT(test_readers_handle),
		  UNIT(test_limit), UNIT(test_tidy), UNIT(test_steady), UNIT(test_erasure))
