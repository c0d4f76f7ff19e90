// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reclaim in the background, with swap to be had: volatile pages go before what is
 * not marked, though that has not been used for longer.
 */
#include "vr_background.h"

#define LEFT_MB		64
#define HELD_PAGES	(32 * VR_MB / VR_PAGE)
#define ENOUGH_PAGES	1024
/* What has not been purged of them by then will not be. */
#define STOLEN_PAGES	8192

static void grow(void *unused)
{
	struct vr_growth growth = vr_growth(192 * VR_MB / VR_PAGE);
	long long purged, swapped;

	(void)unused;
	/* All have been used and are asked once more; others may go meanwhile. */
	swapped = vr_vmstat("pswpout");
	vr_grow_until_purged(&growth, 1, STOLEN_PAGES);
	vt_diag("at first %lld pages swapped", vr_vmstat("pswpout") - swapped);
	purged = vr_purges();
	swapped = vr_vmstat("pswpout");
	vr_grow_until_purged(&growth, ENOUGH_PAGES, STOLEN_PAGES);
	purged = vr_purges() - purged;
	swapped = vr_vmstat("pswpout") - swapped;
	vt_diag("then %lld pages purged and %lld swapped", purged, swapped);
	EXPECT_GE(purged, ENOUGH_PAGES);
	EXPECT_LE(swapped * 16, purged);
}

static void before_swap(bool mglru)
{
	struct vr_range other, r;

	vt_mglru(mglru);
	other = vr_filled(HELD_PAGES);
	r = vr_scarce(LEFT_MB, HELD_PAGES, mglru);
	vt_set("/proc/sys/vm/watermark_scale_factor", VR_SCALE);
	EXPECT_EQ(vt_run_child(grow, NULL), 0);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 1);
	EXPECT_ALL_OLD(&other);
}

static void before_swap_lru(void)
{
	before_swap(false);
}

static void before_swap_mglru(void)
{
	before_swap(true);
}

static const struct vt_case cases[] = {
	VT_CASE(before_swap_lru, "VW-10 VW-4",
		"kswapd purges while what is older but not marked stays; classic LRU.",
		.timeout = 20),
	VT_CASE(before_swap_mglru, "VW-10 VW-4",
		"The same with MGLRU, where kswapd begins at a higher pressure.",
		.timeout = 20),
};

VT_MAIN(cases)
