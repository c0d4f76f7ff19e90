// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reclaim in the background purges before anybody has to reclaim for himself.
 */
#include "vr_background.h"

#define LEFT_MB		64
#define HELD_PAGES	(24 * VR_MB / VR_PAGE)
#define ENOUGH_PAGES	1024
/* What has not been purged of them by then will not be. */
#define STOLEN_PAGES	4096

static void grow(void *unused)
{
	struct vr_growth growth = vr_growth(128 * VR_MB / VR_PAGE);

	(void)unused;
	vr_grow_until_purged(&growth, ENOUGH_PAGES, STOLEN_PAGES);
}

static void background_reclaim(bool mglru)
{
	struct vr_range r = vr_scarce(LEFT_MB, HELD_PAGES, mglru);
	struct vr_range control = vr_filled(64);
	long long purged, direct, kswapd;

	purged = vr_purges();
	direct = vr_vmstat("pgscan_direct");
	kswapd = vr_vmstat("pgsteal_kswapd");
	vt_set("/proc/sys/vm/watermark_scale_factor", VR_SCALE);
	EXPECT_EQ(vt_run_child(grow, NULL), 0);
	EXPECT_GE(vr_vmstat("pgsteal_kswapd") - kswapd, ENOUGH_PAGES - VR_LAG);
	EXPECT_EQ(vr_vmstat("pgscan_direct") - direct, 0);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 1);
	vt_diag("kswapd purged %lld of %lu volatile pages",
		vr_all_counted(&r, purged), HELD_PAGES);
	EXPECT_ALL_OLD(&control);
}

static void purges_lru(void)
{
	background_reclaim(false);
}

static void purges_mglru(void)
{
	background_reclaim(true);
}

static const struct vt_case cases[] = {
	VT_CASE(purges_lru, "V-PG-2 V-PG-11",
		"kswapd purges before anybody has to wait for memory; classic LRU.",
		.timeout = 20),
	VT_CASE(purges_mglru, "V-PG-2 V-PG-11",
		"kswapd purges before anybody has to wait for memory; MGLRU.",
		.timeout = 20),
};

VT_MAIN(cases)
