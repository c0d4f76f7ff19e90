// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reclaim in the background: with swap to be had, volatile pages go before what is
 * not marked, though that has not been used for longer; and what is marked in several
 * groups goes in shares.
 */
#include "vr_background.h"
#include "vr_group.h"

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

/* A process with a control group and a marked range of its own. */
struct member {
	struct vr_kin kin;
	const char *group;
	struct vr_range r;
};

/* By size more than all that others have marked, and nothing is to be had of it. */
#define EMPTY_BYTES	(1UL << 40)

static void enter_and_mark_nothing(struct vr_kin *kin)
{
	struct member *one = (struct member *)kin;
	char *p;

	vt_cgroup_enter(one->group);
	p = mmap(NULL, EMPTY_BYTES, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	REQUIRE(p != MAP_FAILED);
	REQUIRE_EQ(vr_mark(p, EMPTY_BYTES), 0);
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

static void beside_emptiness(bool mglru)
{
	struct member empty = {
		.kin = { .prepare = enter_and_mark_nothing },
		.group = vt_cgroup("vw-empty"),
	};

	vr_kin_start(&empty.kin);
	before_swap(mglru);
	vr_kin_end(&empty.kin);
}

static void enter_and_mark(struct vr_kin *kin)
{
	struct member *one = (struct member *)kin;

	vt_cgroup_enter(one->group);
	one->r = vr_filled(HELD_PAGES / 2);
	REQUIRE_EQ(vr_mark(one->r.p, vr_len(&one->r)), 0);
}

static void expect_share(struct vr_kin *kin)
{
	struct member *one = (struct member *)kin;
	size_t left = vr_count_pagemap(&one->r, VR_PM_PRESENT);

	vt_diag("%s: %zu of %zu pages left", one->group, left, one->r.pages);
	EXPECT_GE(left * 4, one->r.pages);
	EXPECT_GE(one->r.pages * 3, left * 4);
}

static void grow_by_half(void *unused)
{
	struct vr_growth growth = vr_growth(192 * VR_MB / VR_PAGE);

	(void)unused;
	vr_grow_until_purged(&growth, HELD_PAGES / 2, STOLEN_PAGES);
}

static void two_groups(bool mglru)
{
	const struct vr_kin kin = { .prepare = enter_and_mark, .judge = expect_share };
	struct member members[] = {
		{ .kin = kin, .group = vt_cgroup("vw-a") },
		{ .kin = kin, .group = vt_cgroup("vw-b") },
	};
	int i;

	vt_mglru(mglru);
	for (i = 0; i < 2; i++)
		vr_kin_start(&members[i].kin);
	vr_scarce(LEFT_MB, 64, mglru);
	vt_set("/proc/sys/vm/watermark_scale_factor", VR_SCALE);
	EXPECT_EQ(vt_run_child(grow_by_half, NULL), 0);
	for (i = 0; i < 2; i++)
		vr_kin_end(&members[i].kin);
}

static void beside_emptiness_lru(void)
{
	beside_emptiness(false);
}

static void beside_emptiness_mglru(void)
{
	beside_emptiness(true);
}

static void two_groups_lru(void)
{
	two_groups(false);
}

static void two_groups_mglru(void)
{
	two_groups(true);
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
	VT_CASE(beside_emptiness_lru, "VW-10 VW-7",
		"The same beside a group that has marked much more and has nothing there.",
		.timeout = 20),
	VT_CASE(beside_emptiness_mglru, "VW-10 VW-7", "The same with MGLRU.",
		.timeout = 20),
	VT_CASE(two_groups_lru, "VW-7",
		"Of two groups that have marked as much, each gives its share to kswapd.",
		.timeout = 20),
	VT_CASE(two_groups_mglru, "VW-7", "The same with MGLRU.", .timeout = 20),
};

VT_MAIN(cases)
