// SPDX-License-Identifier: GPL-2.0-only
/*
 * The whole guest runs short of memory. Huge pages are reserved until little is
 * left, which is faster than writing to all of it; then a process grows.
 */
#include "vr_pages.h"

#define MB		(1 << 20)
#define LEFT_MB		56
#define HELD_PAGES	(24 * MB / VR_PAGE)
#define ENOUGH		2048
#define STEP_PAGES	(MB / VR_PAGE)
/* What is free, and what lies on the lists of two CPUs, which is not counted. */
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

static void global_pressure(const char *mglru)
{
	struct vr_range r, control;
	long long left, purged, swapped;
	char pages[32];

	if (access("/proc/sys/vm/nr_hugepages", F_OK))
		vt_skip("no CONFIG_HUGETLBFS in this kernel");
	if (!access("/sys/kernel/mm/lru_gen/enabled", F_OK))
		vt_set("/sys/kernel/mm/lru_gen/enabled", mglru);
	else if (*mglru == 'y')
		vt_skip("no CONFIG_LRU_GEN in this kernel");
	vt_swap_disk();
	vt_write("/proc/sys/vm/drop_caches", "1");
	left = vt_key("/proc/meminfo", "MemFree") / 1024;
	REQUIRE_GE(left, LEFT_MB);
	snprintf(pages, sizeof(pages), "%lld", (left - LEFT_MB) / 2);
	vt_set("/proc/sys/vm/nr_hugepages", pages);
	vt_pin(0);
	r = vr_filled(HELD_PAGES);
	control = vr_filled(64);
	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	/* Another's mappings of them would keep them from being purged. */
	REQUIRE_EQ(madvise(r.p, vr_len(&r), MADV_DONTFORK), 0);
	purged = vr_purges();
	EXPECT_EQ(vt_run_child(grow, &purged), 0);
	/*
	 * Whoever passes by holds a reference for a moment, as a CPU that has just
	 * put a batch of pages on the LRU: such a page may be swapped.
	 */
	swapped = vr_count_pagemap(&r, VR_PM_SWAP);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 1);
	purged = vr_purges() - purged;
	vt_diag("%lld of %lu volatile pages purged, %lld swapped", purged, HELD_PAGES, swapped);
	EXPECT_GE(purged, 256);
	EXPECT_LE(swapped * 256, purged);
	EXPECT_EQ(vr_count(&r).zero, purged);
	EXPECT_ALL_OLD(&control);
}

static void purges_lru(void)
{
	global_pressure("n");
}

static void purges_mglru(void)
{
	global_pressure("y");
}

static const struct vt_case cases[] = {
	VT_CASE(purges_lru, "V-PG-2 V-PG-11",
		"When the guest runs short, volatile pages go; classic LRU.",
		.timeout = 20),
	VT_CASE(purges_mglru, "V-PG-2 V-PG-11",
		"When the guest runs short, volatile pages go; MGLRU.",
		.timeout = 20),
};

VT_MAIN(cases)
