// SPDX-License-Identifier: GPL-2.0-only
/* What mincore, pagemap, smaps and the counters say about purged pages. */
#include "vr_newer.h"
#include "vr_soft_dirty.h"

/* A value of the smaps entry of @p, in kB. */
static long long smaps_value(const void *p, const char *key)
{
	static char text[1 << 20];
	unsigned long from, to;
	char *line;
	bool in = false;

	vt_read("/proc/self/smaps", text, sizeof(text));
	for (line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			in = from <= (unsigned long)p && (unsigned long)p < to;
		else if (in && !strncmp(line, key, strlen(key)))
			return strtoll(line + strlen(key) + 1, NULL, 10);
	}
	VT_OR_ABANDON(vt_check(false, "no %s for %p", key, p));
	return -1;
}

static void mincore_says_no(void)
{
	struct vr_range r, control;
	unsigned char in_core[16];
	size_t i, present = 0, purged = 0;

	vt_pin(0);
	control = vr_filled(16);
	r = vr_purged(16);
	REQUIRE_EQ(mincore(control.p, vr_len(&control), in_core), 0);
	for (i = 0; i < 16; i++)
		present += in_core[i] & 1;
	REQUIRE_EQ(mincore(r.p, vr_len(&r), in_core), 0);
	for (i = 0; i < 16; i++)
		purged += !(in_core[i] & 1);
	EXPECT_EQ(present, 16);
	EXPECT_EQ(purged, 16);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 1);
}

static void pagemap_shows_nothing(void)
{
	struct vr_range r = vr_purged(4);
	char *untouched = vr_anon(1);

	EXPECT_EQ(vr_pagemap(r.p) & ~VR_PM_SOFT_DIRTY,
		  vr_pagemap(untouched) & ~VR_PM_SOFT_DIRTY);
	EXPECT_EQ(vr_count_pagemap(&r, ~VR_PM_SOFT_DIRTY), 0);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 1);
	/* Control: a page in its place does show. */
	*r.p = 1;
	EXPECT(vr_pagemap(r.p) & VR_PM_PRESENT);
}

/* How many pages of @r PAGEMAP_SCAN finds to be in any of @categories. */
static size_t scanned(const struct vr_range *r, uint64_t categories)
{
	struct page_region found[64];
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = (uintptr_t)r->p,
		.end = (uintptr_t)r->p + vr_len(r),
		.vec = (uintptr_t)found,
		.vec_len = 64,
		.category_anyof_mask = categories,
		.return_mask = categories,
	};
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC), i, n;
	size_t pages = 0;

	REQUIRE(fd >= 0);
	n = ioctl(fd, PAGEMAP_SCAN, &arg);
	close(fd);
	REQUIRE_GE(n, 0);
	REQUIRE_EQ(arg.walk_end, arg.end);
	for (i = 0; i < n; i++)
		pages += (found[i].end - found[i].start) / VR_PAGE;
	return pages;
}

static const uint64_t there = PAGE_IS_PRESENT | PAGE_IS_SWAPPED |
			      PAGE_IS_FILE | PAGE_IS_PFNZERO | PAGE_IS_HUGE;

static void pagemap_scan_finds_nothing(void)
{
	struct vr_range r, control, untouched;

	vt_swap_disk();
	vt_pin(0);
	control = vr_filled(16);
	/* Beside purged pages, so that both are entries of one page table. */
	r = vr_fill(vr_anon(32), 16);
	untouched = (struct vr_range){ r.p + vr_len(&r), 16, 0 };
	EXPECT_EQ(scanned(&control, PAGE_IS_PRESENT), 16);
	EXPECT_EQ(vr_pageout(control.p, vr_len(&control)), 0);
	EXPECT_EQ(scanned(&control, PAGE_IS_SWAPPED), 16);
	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	REQUIRE_EQ(vr_pageout(r.p, vr_len(&r)), 0);
	EXPECT_EQ(scanned(&r, there), 0);
	EXPECT_EQ(scanned(&untouched, there), 0);
	EXPECT_EQ(scanned(&r, there | PAGE_IS_WRITTEN),
		  scanned(&untouched, there | PAGE_IS_WRITTEN));
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 1);
}

/*
 * Written to since the last look or not: that is all there is to be found. In
 * a VMA from before the look, for a new one is soft-dirty as a whole.
 */
static void pagemap_scan_keeps_soft_dirty(void)
{
	struct vr_range r, page;
	size_t i, right = 0;

	vt_pin(0);
	r = vr_filled(16);
	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	vr_dirty_in_runs(&r);
	REQUIRE_EQ(vr_pageout(r.p, vr_len(&r)), 0);
	EXPECT_EQ(scanned(&r, there), 0);
	for (i = 0; i < r.pages; i++) {
		page = (struct vr_range){ vr_page(&r, i), 1, 0 };
		right += scanned(&page, PAGE_IS_SOFT_DIRTY) == vr_in_dirty_run(i);
	}
	EXPECT_EQ(right, r.pages);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 1);
}

static void smaps_counts_neither(void)
{
	struct vr_range r, control;

	vt_swap_disk();
	vt_pin(0);
	control = vr_filled(64);
	EXPECT_EQ(smaps_value(control.p, "Rss:"), 256);
	EXPECT_EQ(vr_pageout(control.p, vr_len(&control)), 0);
	EXPECT_EQ(smaps_value(control.p, "Swap:"), 256);
	r = vr_purged(64);
	EXPECT_EQ(smaps_value(r.p, "Rss:"), 0);
	EXPECT_EQ(smaps_value(r.p, "Swap:"), 0);
	EXPECT_EQ(smaps_value(r.p, "Size:"), 256);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 1);
}

static void purging_is_accounted(void)
{
	enum { PAGES = 1024, BATCH = 128 };
	const char *group, *stat;
	long long current, rss, anon, purged;
	struct vr_range r;

	vt_pin(0);
	group = vt_cgroup("vr-account");
	vt_cgroup_enter(group);
	r = vr_filled(PAGES);
	EXPECT_EQ(vr_mark(r.p, vr_len(&r)), 0);
	purged = vr_purges();
	rss = vt_key("/proc/self/smaps_rollup", "Rss");
	stat = vt_cgroup_path(group, "memory.stat");
	anon = vt_key(stat, "anon");
	current = vt_read_number(vt_cgroup_path(group, "memory.current"));
	EXPECT_EQ(vr_pageout(r.p, vr_len(&r)), 0);
	current -= vt_read_number(vt_cgroup_path(group, "memory.current"));
	stat = vt_cgroup_path(group, "memory.stat");
	anon -= vt_key(stat, "anon");
	EXPECT_EQ(rss - vt_key("/proc/self/smaps_rollup", "Rss"), PAGES * 4);
	EXPECT_EQ(vr_purges() - purged, PAGES);
	EXPECT_EQ(vt_key(stat, "pgvolpurged"), PAGES);
	EXPECT_EQ(current, PAGES * VR_PAGE);
	/* The statistics are gathered in batches, one for each CPU. */
	EXPECT_GE(anon, (PAGES - BATCH) * (long long)VR_PAGE);
	EXPECT_LE(anon, (PAGES + BATCH) * (long long)VR_PAGE);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 1);
}

static const struct vt_case cases[] = {
	VT_CASE(mincore_says_no, "V-SB-10",
		"mincore says that a purged page is not in memory."),
	VT_CASE(pagemap_shows_nothing, "V-SB-10",
		"pagemap shows a purged page like one never touched."),
	VT_CASE(pagemap_scan_finds_nothing, "V-SB-10",
		"PAGEMAP_SCAN takes a purged page for one never touched.",
		.needs = "linux-6.7"),
	VT_CASE(pagemap_scan_keeps_soft_dirty, "V-SB-10",
		"PAGEMAP_SCAN finds a purged page soft-dirty if the page was.",
		.needs = "linux-6.7"),
	VT_CASE(smaps_counts_neither, "V-SB-10",
		"smaps counts purged pages neither as Rss nor as Swap."),
	VT_CASE(purging_is_accounted, "V-PG-11",
		"Rss, memory.current, memory.stat and vmstat know of each purge."),
};

VT_MAIN(cases)
