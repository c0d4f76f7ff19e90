// SPDX-License-Identifier: GPL-2.0-only
/*
 * The whole guest runs short of memory: little is left, and a process grows.
 */
#include "vr_scarce.h"

static void global_pressure(bool mglru)
{
	struct vr_range r = vr_scarce(VR_LEFT_MB, VR_HELD_PAGES, mglru);
	struct vr_range control = vr_filled(64);
	long long purged, swapped;

	purged = vr_purges();
	EXPECT_EQ(vt_run_child(vr_grow, &purged), 0);
	/*
	 * Whoever passes by holds a reference for a moment, as a CPU that has just
	 * put a batch of pages on the LRU: such a page may be swapped.
	 */
	swapped = vr_count_pagemap(&r, VR_PM_SWAP);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 1);
	purged = vr_all_counted(&r, purged);
	vt_diag("%lld of %lu volatile pages purged, %lld swapped", purged, VR_HELD_PAGES, swapped);
	EXPECT_GE(purged, 256);
	EXPECT_LE(swapped * 256, purged);
	EXPECT_ALL_OLD(&control);
}

static void purges_lru(void)
{
	global_pressure(false);
}

static void purges_mglru(void)
{
	global_pressure(true);
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
