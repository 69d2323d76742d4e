/*-------------------------------------------------------------------------
 *
 * test_array.c
 *	  Versions of arrays against plain copies of what they should hold.
 *
 * A writer changes, appends, takes off, empties, commits and aborts at random.
 * Some of the versions before are kept, as if readers were looking at them,
 * and forks are made of them and changed.  All of them are looked at again and
 * again and must hold what they held.
 *
 *-------------------------------------------------------------------------
 */
#include "core/array.h"
#include "fake_pool.h"
#include "unit.h"

#define MAX_ELEMENTS	20000
#define KEPT			6

typedef struct Version
{
	GmRef		root;
	uint64_t	epoch;			/* in which it is the newest one */
	uint64_t	length;
	uint32_t   *value;			/* [MAX_ELEMENTS] */
} Version;

/* what changes an array: the writer, or a fork */
typedef struct Side
{
	GmMem	   *mem;
	GmArray		array;
	Version		v;
} Side;

static FakePool pool;
static GmMemOps ops;
static uint32_t values;

static void
put(void *at, uint32_t element, uint32_t value)
{
	unsigned char *p = at;

	for (uint32_t i = 0; i < element; i++)
		p[i] = (unsigned char) (value >> (i % 4 * 8)) ^ (unsigned char) (i / 4);
}

static bool
holds(const void *at, uint32_t element, uint32_t value)
{
	const unsigned char *p = at;

	for (uint32_t i = 0; i < element; i++)
		if (p[i] != ((unsigned char) (value >> (i % 4 * 8)) ^ (unsigned char) (i / 4)))
			return false;
	return true;
}

static bool
same(const GmMem *mem, const Version *v)
{
	GmArrayRoot *root = gm_mem_ptr(mem, v->root);
	GmArray		a = {0};
	bool		ok = true;

	if (!CHECK(gm_array_attach(mem, root, &a) == GM_OK) || !CHECK(root->ar_length == v->length))
		return false;
	for (uint64_t i = 0; i < v->length && ok;)
	{
		uint64_t	contiguous;
		char	   *p = gm_array_span(&a, i, &contiguous);

		for (; contiguous > 0 && i < v->length && ok; contiguous--, i++, p += root->ar_element)
			ok = CHECK(holds(p, root->ar_element, v->value[i])) &&
				CHECK(p == (char *) gm_array_at(&a, i));
	}
	gm_array_detach(&a);
	return ok;
}

/* the root and the model are copies of the version before from here on */
static bool
begin(Side *s)
{
	GmArrayRoot *root;
	GmRef		ref;

	if (!CHECK(gm_mem_begin(s->mem) == GM_OK) ||
		!CHECK(gm_mem_alloc(s->mem, sizeof(GmArrayRoot), &ref) == GM_OK))
		return false;
	root = gm_mem_ptr(s->mem, ref);
	memcpy(root, gm_mem_ptr(s->mem, s->v.root), sizeof(*root));
	gm_mem_retire(s->mem, s->v.root, sizeof(*root));
	s->v.root = ref;
	return CHECK(gm_array_attach(s->mem, root, &s->array) == GM_OK) &&
		CHECK(gm_array_begin(s->mem, &s->array) == GM_OK);
}

static void
append(Side *s, uint64_t n)
{
	GmArrayRoot *root = s->array.root;
	uint64_t	old = root->ar_length;
	bool		at_once = unit_random_below(2) == 0;

	if (old + n > MAX_ELEMENTS)
		return;
	if (at_once)
		CHECK(gm_array_reserve(s->mem, &s->array, old + n) == GM_OK);
	for (uint64_t i = old; i < old + n; i++)
	{
		if (!at_once)
			CHECK(gm_array_reserve(s->mem, &s->array, i + 1) == GM_OK);
		s->v.value[i] = values++;
		put(gm_array_at(&s->array, i), root->ar_element, s->v.value[i]);
		if (!at_once)
			root->ar_length = s->v.length = i + 1;
	}
	root->ar_length = s->v.length = old + n;
}

/* never asked for in this version: zero whatever an aborted one left there */
static void
append_zero(Side *s)
{
	GmArrayRoot *root = s->array.root;
	uint64_t	i = root->ar_length;
	char	   *p;

	if (i + 1 > MAX_ELEMENTS)
		return;
	CHECK(gm_array_reserve(s->mem, &s->array, i + 1) == GM_OK);
	p = gm_array_at(&s->array, i);
	CHECK(p[0] == 0 && memcmp(p, p + 1, root->ar_element - 1) == 0);
	append(s, 1);
}

static void
change(Side *s)
{
	GmArrayRoot *root = s->array.root;

	switch (unit_random_below(40))
	{
		case 0:
			append(s, unit_random_below(400));
			break;
		case 1:
			/* never longer than at the beginning: see append_zero */
			root->ar_length = s->v.length -= unit_random_below(30) % (s->v.length + 1);
			break;
		case 2:
			if (unit_random_below(50) == 0)
			{
				gm_array_free(s->mem, &s->array);
				s->v.length = 0;
				CHECK(root->ar_length == 0);
			}
			break;
		case 3:
		case 4:
		case 5:
			append(s, 1);
			break;
		default:
			if (s->v.length > 0)
			{
				uint64_t	i = unit_random_below((uint32_t) s->v.length);
				void	   *at;

				CHECK(gm_array_write(s->mem, &s->array, i, &at) == GM_OK);
				s->v.value[i] = values++;
				put(at, root->ar_element, s->v.value[i]);
				CHECK(at == gm_array_at(&s->array, i));
			}
	}
}

static void
copy_version(Version *to, const Version *from)
{
	uint32_t   *value = to->value;

	memcpy(value, from->value, from->length * sizeof(uint32_t));
	*to = *from;
	to->value = value;
}

/* a fork of a version, changed in several versions of its own */
static void
fork_of(const Version *from)
{
	Side		f = {0};

	f.v.value = malloc(MAX_ELEMENTS * sizeof(uint32_t));
	copy_version(&f.v, from);
	if (!CHECK(gm_mem_fork(pool.base, 0, NULL, &f.mem) == GM_OK))
		return;
	for (int version = 0; version < 3; version++)
	{
		Version		before = {0};

		before.value = malloc(MAX_ELEMENTS * sizeof(uint32_t));
		copy_version(&before, &f.v);
		CHECK(begin(&f));
		if (unit_random_below(2) == 0)
			append_zero(&f);
		for (int i = (int) unit_random_below(60); i > 0; i--)
			change(&f);
		CHECK(same(f.mem, &f.v));
		CHECK(same(f.mem, &before));
		gm_array_end(&f.array);
		if (unit_random_below(3) == 0)
		{
			gm_mem_abort(f.mem);
			copy_version(&f.v, &before);
		}
		else
		{
			gm_mem_commit(f.mem, 1);
			gm_mem_reclaim(f.mem, 2);
		}
		CHECK(same(f.mem, &f.v));
		free(before.value);
	}
	gm_array_detach(&f.array);
	gm_mem_destroy(f.mem);
	free(f.v.value);
}

static void
run(uint32_t element, size_t page_bytes, uint64_t built, int steps)
{
	Side		s = {0};
	Version		kept[KEPT] = {0};
	uint64_t	epoch = 1;
	int			n = 0;

	memset(&pool, 0, sizeof(pool));
	if (!CHECK(pool_make(&pool, &ops)))
		return;
	for (int i = 0; i < KEPT; i++)
		kept[i].value = malloc(MAX_ELEMENTS * sizeof(uint32_t));
	s.v.value = malloc(MAX_ELEMENTS * sizeof(uint32_t));
	CHECK(gm_mem_create_shared(pool.base, 8192, 0, &ops, &s.mem) == GM_OK);
	CHECK(gm_mem_alloc(s.mem, sizeof(GmArrayRoot), &s.v.root) == GM_OK);
	gm_array_init(gm_mem_ptr(s.mem, s.v.root), element, page_bytes);
	CHECK(gm_array_attach(s.mem, gm_mem_ptr(s.mem, s.v.root), &s.array) == GM_OK);
	append(&s, built);
	CHECK(same(s.mem, &s.v));

	for (int step = 0; step < steps && unit_failures == 0; step++)
	{
		uint64_t	oldest;

		s.v.epoch = epoch;
		if (n == KEPT || (n > 0 && unit_random_below(4) == 0))
		{
			int			i = unit_random_below(3) == 0 ? (int) unit_random_below((uint32_t) n) : 0;
			uint32_t   *value = kept[i].value;

			memmove(&kept[i], &kept[i + 1], (size_t) (--n - i) * sizeof(Version));
			kept[n].value = value;
		}
		copy_version(&kept[n++], &s.v);
		CHECK(begin(&s));
		if (unit_random_below(2) == 0)
			append_zero(&s);
		for (int i = (int) unit_random_below(step % 10 == 0 ? 2000 : 50); i > 0; i--)
			change(&s);
		CHECK(same(s.mem, &s.v));
		gm_array_end(&s.array);
		if (unit_random_below(4) == 0)
		{
			gm_mem_abort(s.mem);
			copy_version(&s.v, &kept[n - 1]);
			n--;
		}
		else
		{
			gm_mem_commit(s.mem, epoch);
			epoch++;
		}
		oldest = n > 0 ? kept[0].epoch : epoch;
		gm_mem_reclaim(s.mem, oldest);
		CHECK(same(s.mem, &s.v));
		for (int i = 0; i < n; i++)
			if (!CHECK(same(s.mem, &kept[i])))
				printf("# step %d, element %u, page %zu\n", step, element, page_bytes);
		if (n > 0 && unit_random_below(4) == 0)
			fork_of(&kept[unit_random_below((uint32_t) n)]);
	}

	/* nothing of it stays */
	gm_mem_reclaim(s.mem, UINT64_MAX);
	CHECK(begin(&s));
	gm_array_free(s.mem, &s.array);
	gm_mem_commit(s.mem, epoch);
	gm_mem_reclaim(s.mem, UINT64_MAX);
	CHECK(s.mem->used == sizeof(GmArrayRoot));
	gm_array_detach(&s.array);
	gm_mem_destroy(s.mem);
	CHECK(pool.out == 0);
	free(s.v.value);
	for (int i = 0; i < KEPT; i++)
		free(kept[i].value);
	pool_free(&pool);
}

/* pages of few elements, so that there are many of them and several directory blocks */
static void
test_tiny_pages(void)
{
	run(4, 4, 0, 300);
	run(4, 8, 5000, 200);
	run(8, 64, 0, 300);
	run(24, 100, 1000, 200);
}

static void
test_real_pages(void)
{
	run(4, GM_ARRAY_PAGE, 0, 200);
	run(4, GM_ARRAY_PAGE_SMALL, 10000, 200);
	run(48, GM_ARRAY_PAGE_SMALL, 3000, 100);
	run(300, GM_ARRAY_PAGE_LARGE, 100, 100);
}

static void
test_large_elements(void)
{
	run(5000, GM_ARRAY_PAGE_SMALL, 0, 30);
}

/* no memory at any moment: the version is aborted, and all is as it was */
static void
test_refused(void)
{
	Side		s = {0};
	Version		before = {0};
	int			refused = 0;

	memset(&pool, 0, sizeof(pool));
	REQUIRE(pool_make(&pool, &ops));
	s.v.value = malloc(MAX_ELEMENTS * sizeof(uint32_t));
	before.value = malloc(MAX_ELEMENTS * sizeof(uint32_t));
	REQUIRE(gm_mem_create_shared(pool.base, 4096, 0, &ops, &s.mem) == GM_OK);
	REQUIRE(gm_mem_alloc(s.mem, sizeof(GmArrayRoot), &s.v.root) == GM_OK);
	gm_array_init(gm_mem_ptr(s.mem, s.v.root), 8, 128);
	REQUIRE(gm_array_attach(s.mem, gm_mem_ptr(s.mem, s.v.root), &s.array) == GM_OK);
	append(&s, 4000);
	for (int round = 0; round < 200 && unit_failures == 0; round++)
	{
		GmStatus	status = GM_OK;

		copy_version(&before, &s.v);
		if (!begin(&s))
			break;
		s.mem->limit = s.mem->charged + 1 + unit_random_below(20000);
		while (status == GM_OK)
		{
			void	   *p;

			if (unit_random_below(20) == 0)
				status = gm_array_reserve(s.mem, &s.array,
										  s.v.length + unit_random_below(4000));
			else
				status = gm_array_write(s.mem, &s.array,
										unit_random_below((uint32_t) s.v.length), &p);
			refused += status == GM_OVER_BUDGET;
			if (unit_random_below(2000) == 0)
				break;
		}
		s.mem->limit = 0;
		gm_array_end(&s.array);
		if (status != GM_OK)
		{
			gm_mem_abort(s.mem);
			copy_version(&s.v, &before);
		}
		else
			gm_mem_commit(s.mem, (uint64_t) round + 1);
		gm_mem_reclaim(s.mem, (uint64_t) round);
		CHECK(same(s.mem, &s.v));
	}
	CHECK(refused > 20);
	gm_array_detach(&s.array);
	gm_mem_destroy(s.mem);
	free(s.v.value);
	free(before.value);
	pool_free(&pool);
}

UNIT_MAIN(UNIT(test_tiny_pages), UNIT(test_real_pages), UNIT(test_large_elements),
		  UNIT(test_refused))
