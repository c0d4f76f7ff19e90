// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reclaim of anonymous memory that nobody has marked. Every page holds one word all
 * over, which zram keeps without compressing it: what is counted is reclaim.
 */
#include "cost.h"

#define PAGES		512
#define AT_ONCE		64	/* pages that are asked for */
#define ZRAM_MB		64

static long long swapped_out(void)
{
	return vt_key("/proc/vmstat", "pswpout");
}

/* Reclaim has its statistics up to date once somebody has read them. */
static void read_stat(const char *group)
{
	char stat[8192];

	vt_read(vt_cgroup_path(group, "memory.stat"), stat, sizeof(stat));
}

static void reclaim(const char *group)
{
	EXPECT_EQ(vt_cgroup_try_write(group, "memory.reclaim",
				      AT_ONCE * COST_PAGE), 0);
}

/* The first time all pages look as if they were in use: what comes next counts. */
static void by_memory_reclaim(const char *name, bool mglru)
{
	const char *group;
	int round;

	vt_mglru(mglru);
	vt_swap_zram(ZRAM_MB);
	cost_begin();
	group = vt_cgroup("cost");
	vt_cgroup_enter(group);
	for (round = 0; round < COST_ROUNDS; round++) {
		char *p = cost_memory(PAGES);
		long long out;
		uint64_t t;

		cost_fill(p, PAGES);
		cost_drain();
		read_stat(group);
		reclaim(group);
		out = swapped_out();
		read_stat(group);
		t = cost_now();
		reclaim(group);
		t = cost_now() - t;
		out = swapped_out() - out;
		REQUIRE_GE(out, AT_ONCE / 2);
		cost_tell(name, out, t);
		cost_give_back(p, PAGES);
	}
}

static void reclaim_classic(void)
{
	by_memory_reclaim("reclaim_classic", false);
}

static void reclaim_mglru(void)
{
	by_memory_reclaim("reclaim_mglru", true);
}

/* Swap is full or was never there: reclaim looks at each page, and all stay. */
static void by_pageout(const char *name, bool swap)
{
	char *p = cost_memory(PAGES);
	int round;

	vt_mglru(false);
	if (swap)
		vt_swap_zram(ZRAM_MB);
	cost_begin();
	for (round = 0; round < COST_ROUNDS; round++) {
		long long out = swapped_out();
		uint64_t t;

		cost_fill(p, PAGES);
		cost_drain();
		t = cost_now();
		EXPECT_EQ(madvise(p, PAGES * COST_PAGE, MADV_PAGEOUT), 0);
		t = cost_now() - t;
		out = swapped_out() - out;
		REQUIRE_EQ(out, swap ? PAGES : 0);
		cost_tell(name, PAGES, t);
	}
}

static void pageout_no_swap(void)
{
	by_pageout("pageout_no_swap", false);
}

static void pageout_zram(void)
{
	by_pageout("pageout_zram", true);
}

#define COST(fn, about) VT_CASE(fn, COST_CLAUSE, about, .timeout = 60)

static const struct vt_case cases[] = {
	COST(reclaim_classic, "memory.reclaim of part of a group to zram, two lists; per page."),
	COST(reclaim_mglru, "memory.reclaim of part of a group to zram, MGLRU; per page."),
	COST(pageout_zram, "MADV_PAGEOUT to zram; per page."),
	COST(pageout_no_swap, "MADV_PAGEOUT without swap, all pages stay; per page."),
};

VT_MAIN(cases)
