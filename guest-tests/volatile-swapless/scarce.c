// SPDX-License-Identifier: GPL-2.0-only
/*
 * The whole guest runs short of memory and has no swap: volatile pages go, and
 * nobody is killed.
 */
#include "vr_scarce.h"

#define MB		(1 << 20)
#define LEFT_MB		56
#define HELD_PAGES	(24 * MB / VR_PAGE)
#define ENOUGH		2048
#define STEP_PAGES	(MB / VR_PAGE)
#define GROWTH_PAGES	(120 * MB / VR_PAGE)

/* Grow until enough is purged; @arg: how much was before. */
static void grow(void *arg)
{
	long long before = *(long long *)arg;
	struct vr_range r = { .p = vr_anon(GROWTH_PAGES), .magic = 1 };

	while (r.pages < GROWTH_PAGES && vr_purges() < before + ENOUGH) {
		size_t end = r.pages + STEP_PAGES;

		for (; r.pages < end; r.pages++)
			vr_fill_page(&r, r.pages);
	}
	vt_diag("grew by %zu pages", r.pages);
	EXPECT_ALL_OLD(&r);
}

static void scarce(bool mglru)
{
	struct vr_range r = vr_scarce_without_swap(LEFT_MB, HELD_PAGES, mglru);
	struct vr_range control = vr_filled(64);
	long long purged, kills;

	kills = vr_vmstat("oom_kill");
	purged = vr_purges();
	EXPECT_EQ(vt_run_child(grow, &purged), 0);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 1);
	purged = vr_purges() - purged;
	vt_diag("%lld of %lu volatile pages purged", purged, HELD_PAGES);
	EXPECT_GE(purged, ENOUGH);
	EXPECT_EQ(vr_count(&r).zero, purged);
	EXPECT_ALL_OLD(&control);
	EXPECT_EQ(vr_vmstat("oom_kill") - kills, 0);
}

static void before_the_kill_lru(void)
{
	scarce(false);
}

static void before_the_kill_mglru(void)
{
	scarce(true);
}

static const struct vt_case cases[] = {
	VT_CASE(before_the_kill_lru, "VW-1 VW-3 VW-4",
		"A guest short of memory without swap purges, and kills nobody.",
		.timeout = 20),
	VT_CASE(before_the_kill_mglru, "VW-1 VW-3 VW-4",
		"The same with MGLRU.",
		.timeout = 20),
};

VT_MAIN(cases)
