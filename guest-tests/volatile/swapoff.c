// SPDX-License-Identifier: GPL-2.0-only
/* Volatile ranges when the swap that has some of their pages goes away. */
#include "vr_pages.h"
#include "vt_fault.h"

#define PAGES	32

/*
 * swapoff brings back what is in swap, and passes over what was purged; both in
 * one range.
 */
static void swap_ends(const char *(*swap)(void))
{
	const char *dev = swap();
	struct vr_range r, purged;

	vt_pin(0);
	r = vr_filled(2 * PAGES);
	purged = r;
	purged.pages = PAGES;
	r.p += vr_len(&purged);
	r.pages = PAGES;
	EXPECT_EQ(vr_pageout(r.p, vr_len(&r)), 0);
	REQUIRE_EQ(vr_count_pagemap(&r, VR_PM_SWAP), PAGES);
	REQUIRE_EQ(vr_mark(purged.p, 2 * vr_len(&r)), 0);
	EXPECT_EQ(vr_pageout(purged.p, vr_len(&purged)), 0);
	REQUIRE_EQ(vr_count_pagemap(&purged, VR_PM_PRESENT | VR_PM_SWAP), 0);
	REQUIRE_EQ(swapoff(dev), 0);
	EXPECT_EQ(vr_count_pagemap(&r, VR_PM_SWAP), 0);
	EXPECT_EQ(vr_count_pagemap(&r, VR_PM_PRESENT), PAGES);
	EXPECT_FAULT(vt_do_read, purged.p, SIGBUS, BUS_ADRERR);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 0);
	EXPECT_EQ(vr_unmark(purged.p, vr_len(&purged)), 1);
	EXPECT_ALL_ZERO(&purged);
	/* The numbers of their tags go on from those of the purged ones. */
	r.p -= vr_len(&purged);
	r.pages = 2 * PAGES;
	EXPECT_EQ(vr_count_pages(&r, PAGES, 2 * PAGES).old, PAGES);
	/* Control: back in memory, they are purged like any other. */
	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	EXPECT_EQ(vr_pageout(r.p, vr_len(&r)), 0);
	EXPECT_EQ(vr_unmark(r.p + vr_len(&purged), vr_len(&purged)), 1);
}

static void swapoff_of_a_disk(void)
{
	swap_ends(vt_swap_disk);
}

static const char *zram(void)
{
	return vt_swap_zram(16);
}

static void swapoff_of_zram(void)
{
	swap_ends(zram);
}

static const struct vt_case cases[] = {
	VT_CASE(swapoff_of_a_disk, "V-PG-10 V-PG-14",
		"swapoff of a disk brings pages back and leaves purged ones."),
	VT_CASE(swapoff_of_zram, "V-PG-10 V-PG-14",
		"swapoff of zram brings pages back and leaves purged ones."),
};

VT_MAIN(cases)
