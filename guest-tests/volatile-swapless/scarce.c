// SPDX-License-Identifier: GPL-2.0-only
/*
 * The whole guest runs short of memory and has no swap: volatile pages go, and
 * nobody is killed.
 */
#include "vr_scarce.h"

static void scarce(bool mglru)
{
	struct vr_range r = vr_scarce_without_swap(VR_LEFT_MB, VR_HELD_PAGES, mglru);
	struct vr_range control = vr_filled(64);
	long long purged, kills;

	kills = vr_vmstat("oom_kill");
	purged = vr_purges();
	EXPECT_EQ(vt_run_child(vr_grow, &purged), 0);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 1);
	purged = vr_all_counted(&r, purged);
	vt_diag("%lld of %lu volatile pages purged", purged, VR_HELD_PAGES);
	EXPECT_GE(purged, VR_ENOUGH);
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
