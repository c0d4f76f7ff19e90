// SPDX-License-Identifier: GPL-2.0-only
/*
 * The whole use of a cache in several ways: its objects are given up (mark), memory
 * gets scarce (pressure), each object is asked for and taken back (test), and what
 * is not whole is made again (refill). Per page of the cache, whatever became of it.
 */
#include "cost.h"

#define OBJECTS		64
#define OBJECT_PAGES	64
#define PAGES		(OBJECTS * OBJECT_PAGES)
#define OBJECT_BYTES	(OBJECT_PAGES * COST_PAGE)
#define CACHE_ROUNDS	3

struct way {
	const char *name;
	int flags;			/* of its mapping */
	void (*give_up)(char *object);
	bool (*take_back)(char *object);	/* is it whole? */
};

static volatile uint64_t *page_of(char *object, int i)
{
	return (uint64_t *)(object + i * COST_PAGE);
}

static void fill(char *object)
{
	int i;

	for (i = 0; i < OBJECT_PAGES; i++)
		*page_of(object, i) = 0x5a5a5a5a5a5a5a5aULL;
}

static void advise(char *object, int advice)
{
	REQUIRE_EQ(madvise(object, OBJECT_BYTES, advice), 0);
}

static void mark(char *object)
{
	advise(object, MADV_VOLATILE);
}

static bool unmark(char *object)
{
	int ret = madvise(object, OBJECT_BYTES, MADV_NONVOLATILE);

	REQUIRE_GE(ret, 0);
	return !ret;
}

static void give_free(char *object)
{
	advise(object, MADV_FREE);
}

/* A write takes the page back, and must come before the look: it may go until then. */
static bool write_and_look(char *object)
{
	bool whole = true;
	int i;

	for (i = 0; i < OBJECT_PAGES; i++) {
		page_of(object, i)[1] = 1;
		whole &= *page_of(object, i) != 0;
	}
	return whole;
}

static void do_nothing(char *object)
{
	(void)object;
}

/* Nothing keeps what was seen to be there: such a cache copies what it uses. */
static bool look(char *object)
{
	bool whole = true;
	int i;

	for (i = 0; i < OBJECT_PAGES; i++)
		whole &= *page_of(object, i) != 0;
	return whole;
}

static void unmap(char *object)
{
	REQUIRE_EQ(munmap(object, OBJECT_BYTES), 0);
}

static bool map_again(char *object)
{
	REQUIRE(mmap(object, OBJECT_BYTES, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == object);
	return false;
}

static void tell(const char *way, const char *phase, uint64_t counts)
{
	char name[64];

	snprintf(name, sizeof(name), "%s_%s", way, phase);
	cost_tell(name, PAGES, counts);
}

static void use(const struct way *way, const char *group)
{
	char *p = cost_room(PAGES, PROT_NONE), stat[8192];
	bool whole[OBJECTS];
	size_t lost = 0, i;
	uint64_t t;

	REQUIRE(mmap(p, PAGES * COST_PAGE, PROT_READ | PROT_WRITE,
		     way->flags | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p);
	cost_fill(p, PAGES);
	cost_drain();
	t = cost_now();
	for (i = 0; i < OBJECTS; i++)
		way->give_up(p + i * OBJECT_BYTES);
	tell(way->name, "mark", cost_now() - t);

	cost_drain();
	vt_read(vt_cgroup_path(group, "memory.stat"), stat, sizeof(stat));
	t = cost_now();
	/* After munmap there is nothing to reclaim: EAGAIN. */
	vt_cgroup_try_write(group, "memory.reclaim", PAGES / 2 * COST_PAGE);
	tell(way->name, "pressure", cost_now() - t);

	t = cost_now();
	for (i = 0; i < OBJECTS; i++)
		whole[i] = way->take_back(p + i * OBJECT_BYTES);
	tell(way->name, "test", cost_now() - t);

	t = cost_now();
	for (i = 0; i < OBJECTS; i++)
		if (!whole[i])
			fill(p + i * OBJECT_BYTES);
	tell(way->name, "refill", cost_now() - t);
	for (i = 0; i < OBJECTS; i++)
		lost += !whole[i];
	tell(way->name, "lost_pages", lost * OBJECT_PAGES);
	cost_give_back(p, PAGES);
}

static void measure(const struct way *way)
{
	const char *group;
	int round;

	vt_pin(0);
	vt_mglru(false);
	vt_swap_zram(64);
	group = vt_cgroup("cost");
	vt_cgroup_enter(group);
	for (round = 0; round < CACHE_ROUNDS; round++)
		use(way, group);
	EXPECT_EQ(round, CACHE_ROUNDS);
}

#define WAY(fn, flags_, give_up_, take_back_)				\
static void fn(void)							\
{									\
	static const struct way way = {					\
		.name = #fn, .flags = flags_,				\
		.give_up = give_up_, .take_back = take_back_,		\
	};								\
	measure(&way);							\
}

WAY(volatile_range, MAP_PRIVATE, mark, unmark)
WAY(madv_free, MAP_PRIVATE, give_free, write_and_look)
WAY(droppable, MAP_DROPPABLE, do_nothing, look)
WAY(unmapped, MAP_PRIVATE, unmap, map_again)
WAY(kept, MAP_PRIVATE, do_nothing, look)

#define COST(fn, about, ...)						\
	VT_CASE(fn, COST_CLAUSE, about, .timeout = 60, __VA_ARGS__)

static const struct vt_case cases[] = {
	COST(volatile_range, "A cache of VOLATILE objects; per page of it."),
	COST(madv_free, "The same with MADV_FREE."),
	COST(droppable, "The same with MAP_DROPPABLE.", .needs = "linux-6.11"),
	COST(unmapped, "The same with munmap and mmap."),
	COST(kept, "The same memory without any advice: it is swapped out, and in again."),
};

VT_MAIN(cases)
