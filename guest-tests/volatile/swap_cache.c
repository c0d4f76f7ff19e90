// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages that were in swap when they were marked: brought back by a read or by a
 * write, from a disk (where a page that was read stays in the swap cache) or
 * from compressed memory (where it does not), they are purged and not swapped.
 */
#include "vr_pages.h"

#define PAGES	256

static void bring_back(bool disk, bool write)
{
	struct vr_range r;
	long long purges, out;
	size_t i;

	if (disk)
		vt_swap_disk();
	else
		vt_swap_zram(32);
	vt_pin(0);
	r = vr_filled(PAGES);
	REQUIRE_EQ(vr_pageout(r.p, vr_len(&r)), 0);
	vt_wait_written();
	REQUIRE_EQ(vr_count_pagemap(&r, VR_PM_SWAP), PAGES);
	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	for (i = 0; i < PAGES; i++) {
		volatile char *c = vr_page(&r, i);

		if (write)
			*c = *c;
		else
			(void)*c;
	}
	EXPECT_ALL_OLD(&r);
	if (disk && !write)
		REQUIRE_GE(vt_key("/proc/meminfo", "SwapCached"),
			   PAGES * (long long)VR_PAGE / 1024);
	purges = vr_purges();
	out = vr_vmstat("pswpout");
	EXPECT_EQ(vr_pageout(r.p, vr_len(&r)), 0);
	EXPECT_EQ(vr_purges() - purges, PAGES);
	EXPECT_EQ(vr_vmstat("pswpout") - out, 0);
	EXPECT_EQ(vr_count_pagemap(&r, VR_PM_SWAP), 0);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 1);
	EXPECT_ALL_ZERO(&r);
}

static void disk_read(void)
{
	bring_back(true, false);
}

static void disk_write(void)
{
	bring_back(true, true);
}

static void zram_read(void)
{
	bring_back(false, false);
}

static void zram_write(void)
{
	bring_back(false, true);
}

static const struct vt_case cases[] = {
	VT_CASE(disk_read, "V-PG-10 V-PG-5",
		"Read back from a swap disk, a page is purged out of the swap cache."),
	VT_CASE(disk_write, "V-PG-10",
		"Written to after it was in a swap disk, a page is purged."),
	VT_CASE(zram_read, "V-PG-10", "Read back from zram, a page is purged."),
	VT_CASE(zram_write, "V-PG-10",
		"Written to after it was in zram, a page is purged."),
};

VT_MAIN(cases)
