// SPDX-License-Identifier: GPL-2.0-only
/* Volatile pages in the life of a system: their age, and what they count as. */
#include "vr_group.h"

#define PAGES	512

static long long squeeze(const char *group, const struct vr_range *r)
{
	int round;

	for (round = 0; round < 32; round++) {
		if (!vr_count_pagemap(r, VR_PM_PRESENT))
			break;
		vr_reclaim(group, 64 << 20);
	}
	return round;
}

/*
 * Pages just used may get a second chance, and then go like the others: nothing
 * keeps a volatile page for good.
 */
static void used_pages_go_in_the_end(bool mglru)
{
	struct vr_range idle, used;
	const char *group;
	size_t i;

	group = vr_group(mglru);
	idle = vr_filled(PAGES);
	used = vr_filled(PAGES);
	REQUIRE_EQ(vr_mark(idle.p, vr_len(&idle)), 0);
	REQUIRE_EQ(vr_mark(used.p, vr_len(&used)), 0);
	for (i = 0; i < PAGES; i++)
		*(volatile char *)vr_page(&used, i);
	vt_diag("measure: after %lld reclaims idle pages are gone",
		squeeze(group, &idle));
	vt_diag("measure: after %lld more used ones are too",
		squeeze(group, &used));
	EXPECT_EQ(vr_count_pagemap(&idle, VR_PM_PRESENT | VR_PM_SWAP), 0);
	EXPECT_EQ(vr_count_pagemap(&used, VR_PM_PRESENT | VR_PM_SWAP), 0);
	EXPECT_EQ(vr_unmark(idle.p, vr_len(&idle)), 1);
	EXPECT_EQ(vr_unmark(used.p, vr_len(&used)), 1);
	EXPECT_ALL_ZERO(&idle);
	EXPECT_ALL_ZERO(&used);
}

static void used_pages_go_lru(void)
{
	used_pages_go_in_the_end(false);
}

static void used_pages_go_mglru(void)
{
	used_pages_go_in_the_end(true);
}

/* What was purged can be asked for again at any time: it stays promised. */
static void purged_pages_stay_committed(void)
{
	enum { MANY = 16384, KB = MANY * 4, NOISE = KB / 8 };
	long long before, with, purged, after, size;
	struct vr_range r;

	vt_pin(0);
	before = vt_key("/proc/meminfo", "Committed_AS");
	/* Not MAP_NORESERVE: that is not promised in the first place. */
	r.p = mmap(NULL, MANY * VR_PAGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(r.p != MAP_FAILED);
	r = vr_fill(r.p, MANY);
	with = vt_key("/proc/meminfo", "Committed_AS");
	size = vt_key("/proc/self/status", "VmSize");
	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	EXPECT_EQ(vr_pageout(r.p, vr_len(&r)), 0);
	REQUIRE_EQ(vr_count_pagemap(&r, VR_PM_PRESENT), 0);
	purged = vt_key("/proc/meminfo", "Committed_AS");
	EXPECT_EQ(vt_key("/proc/self/status", "VmSize"), size);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 1);
	/* Control: unmapped, it is promised no more. */
	REQUIRE_EQ(munmap(r.p, vr_len(&r)), 0);
	after = vt_key("/proc/meminfo", "Committed_AS");
	vt_diag("committed: %lld kB, with the range %lld, purged %lld, after %lld",
		before, with, purged, after);
	/* The rest of the guest has a little of its own to do. */
	EXPECT_GE(with - before, KB - NOISE);
	EXPECT_GE(purged - before, KB - NOISE);
	EXPECT_LE(purged - with, NOISE);
	EXPECT_LE(after - before, NOISE);
}

static const struct vt_case cases[] = {
	VT_CASE(used_pages_go_lru, "V-PG-15 V-PG-2",
		"Volatile pages just used are purged in the end; classic LRU."),
	VT_CASE(used_pages_go_mglru, "V-PG-15 V-PG-2",
		"Volatile pages just used are purged in the end; MGLRU."),
	VT_CASE(purged_pages_stay_committed, "V-PG-15",
		"Purged pages count as committed memory until they are unmapped."),
};

VT_MAIN(cases)
