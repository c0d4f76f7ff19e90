// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which neighbours a range merges with when it is unmarked: an anon_vma comes
 * with the first touch, and pieces that share one, or lack one, are to become
 * one VMA again. A kernel that asks only the pieces within the range leaves a
 * border for good wherever a neighbour was never touched.
 */
#include "vr_soft_dirty.h"
#include "vr_vmas.h"

#define PIECE	4		/* pages */
#define ALL	(3 * PIECE)

/* How many VMAs are left after [1] was marked, touched and unmarked. */
static int left_over(bool left, bool middle, bool right)
{
	char *p = vr_anon(ALL);
	int vmas;

	REQUIRE_EQ(vr_mark(p + PIECE * VR_PAGE, PIECE * VR_PAGE), 0);
	REQUIRE_EQ(vr_count_vmas(p, ALL * VR_PAGE), 3);
	if (left)
		p[0] = 1;
	if (middle)
		p[PIECE * VR_PAGE] = 1;
	if (right)
		p[2 * PIECE * VR_PAGE] = 1;
	REQUIRE_EQ(vr_unmark(p + PIECE * VR_PAGE, PIECE * VR_PAGE), 0);
	vmas = vr_count_vmas(p, ALL * VR_PAGE);
	REQUIRE_EQ(munmap(p, ALL * VR_PAGE), 0);
	return vmas;
}

static void untouched_neighbours_merge(void)
{
	EXPECT_EQ(left_over(false, false, false), 1);
	EXPECT_EQ(left_over(false, true, false), 1);
	EXPECT_EQ(left_over(true, false, false), 1);
	EXPECT_EQ(left_over(false, false, true), 1);
}

static void touched_neighbours_merge(void)
{
	EXPECT_EQ(left_over(true, true, false), 1);
	EXPECT_EQ(left_over(false, true, true), 1);
	EXPECT_EQ(left_over(true, true, true), 1);
}

/* Many ranges in one mapping, each used and given up: no VMA stays behind. */
static void no_border_stays_behind(void)
{
	char *p = vr_anon(64);
	int i;

	for (i = 1; i < 63; i += 2) {
		REQUIRE_EQ(vr_mark(p + i * VR_PAGE, VR_PAGE), 0);
		p[i * VR_PAGE] = 1;
		REQUIRE_EQ(vr_unmark(p + i * VR_PAGE, VR_PAGE), 0);
		EXPECT_EQ(vr_count_vmas(p, 64 * VR_PAGE), 1);
	}
}

/*
 * What is new since soft-dirty bits were cleared counts as written to, as a whole. It
 * still does when it becomes part of an older mapping, below it or above it.
 */
static void merged_stays_soft_dirty(bool above)
{
	char *p = vr_anon(2 * PIECE);
	char *fresh = above ? p + PIECE * VR_PAGE : p;
	char *old = above ? p : p + PIECE * VR_PAGE;

	REQUIRE_EQ(munmap(fresh, PIECE * VR_PAGE), 0);
	REQUIRE_EQ(vr_mark(old, PIECE * VR_PAGE), 0);
	vr_begin_soft_dirty(old);
	REQUIRE(mmap(fresh, PIECE * VR_PAGE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
		     -1, 0) == fresh);
	REQUIRE(vr_pagemap(fresh) & VR_PM_SOFT_DIRTY);
	REQUIRE_EQ(vr_count_vmas(p, 2 * PIECE * VR_PAGE), 2);
	EXPECT_EQ(vr_unmark(old, PIECE * VR_PAGE), 0);
	EXPECT_EQ(vr_count_vmas(p, 2 * PIECE * VR_PAGE), 1);
	EXPECT(vr_pagemap(fresh) & VR_PM_SOFT_DIRTY);
	EXPECT(vr_pagemap(fresh + (PIECE - 1) * VR_PAGE) & VR_PM_SOFT_DIRTY);
	REQUIRE_EQ(munmap(p, 2 * PIECE * VR_PAGE), 0);
}

static void soft_dirty_neighbours_stay(void)
{
	merged_stays_soft_dirty(false);
	merged_stays_soft_dirty(true);
}

static const struct vt_case cases[] = {
	VT_CASE(untouched_neighbours_merge, "V-MK-2",
		"A range touched or not merges with neighbours that were not."),
	VT_CASE(touched_neighbours_merge, "V-MK-2",
		"A range touched while marked merges with touched neighbours."),
	VT_CASE(no_border_stays_behind, "V-MK-2",
		"Range after range marked, touched and unmarked: one VMA is left."),
	VT_CASE(soft_dirty_neighbours_stay, "V-MK-2",
		"Merging by unmarking does not make a new mapping look unchanged."),
};

VT_MAIN(cases)
