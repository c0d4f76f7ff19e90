// SPDX-License-Identifier: GPL-2.0-only
/*
 * Huge pages by each setting of THP, by each reclaim, by each way to get one:
 * what is volatile is lost, page by page; what is not, is not.
 */
#include "vr_group.h"
#include "vt_fault.h"

#define THP	"/sys/kernel/mm/transparent_hugepage/"
#define HUGE	(2UL << 20)
#define PAGES	(HUGE / VR_PAGE)

/* A value of the smaps entries in the range of @r, in kB. */
static long long smaps_sum(const struct vr_range *r, const char *key)
{
	static char text[1 << 20];
	unsigned long from, to, p = (unsigned long)r->p;
	long long sum = 0;
	bool in = false;
	char *line;

	vt_read("/proc/self/smaps", text, sizeof(text));
	for (line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			in = from < p + vr_len(r) && to > p;
		else if (in && !strncmp(line, key, strlen(key)))
			sum += strtoll(line + strlen(key) + 1, NULL, 10);
	}
	return sum;
}

/* Whole pages for the taking: what other cases left in pieces is put together. */
static void prepare(const char *enabled)
{
	if (access(THP, F_OK))
		vt_skip("no CONFIG_TRANSPARENT_HUGEPAGE in this kernel");
	vt_set(THP "enabled", enabled);
	vt_set(THP "defrag", "always");
	vt_write("/proc/sys/vm/drop_caches", "1");
	vt_write("/proc/sys/vm/compact_memory", "1");
	vt_pin(0);
}

/* Room for @huge huge pages, not touched, with neighbours that cannot merge. */
static char *place(size_t huge)
{
	char *p = vr_anon((huge + 1) * PAGES);

	p += HUGE - (uintptr_t)p % HUGE;
	REQUIRE_EQ(vr_advise(p, huge * HUGE, MADV_HUGEPAGE), 0);
	return p;
}

/* One of them, filled. */
static struct vr_range filled_huge(void)
{
	struct vr_range r = vr_fill(place(1), PAGES);

	REQUIRE_EQ(smaps_sum(&r, "AnonHugePages:"), 2048);
	return r;
}

/* Each page has an entry of its own, and each of them reports itself. */
static void expect_each_purged(const struct vr_range *r)
{
	size_t i, reported = 0;

	EXPECT_EQ(vr_count_pagemap(r, VR_PM_PRESENT | VR_PM_SWAP), 0);
	EXPECT_FAULT(vt_do_read, vr_page(r, 7), SIGBUS, BUS_ADRERR);
	EXPECT_FAULT(vt_do_write, vr_page(r, r->pages - 1), SIGBUS, BUS_ADRERR);
	for (i = 0; i < r->pages; i += 2)
		reported += vr_unmark(vr_page(r, i), VR_PAGE) == 1;
	EXPECT_EQ(reported, r->pages / 2);
	EXPECT_FAULT(vt_do_read, vr_page(r, 1), SIGBUS, BUS_ADRERR);
	EXPECT_EQ(vr_unmark(r->p, vr_len(r)), 1);
	EXPECT_ALL_ZERO(r);
}

static void wholly_volatile(const char *enabled)
{
	long long purged, swapped;
	struct vr_range r;

	prepare(enabled);
	vt_swap_disk();
	if (!strcmp(enabled, "never"))
		r = vr_filled(PAGES);
	else
		r = filled_huge();
	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	purged = vr_purges();
	swapped = vr_vmstat("pswpout");
	EXPECT_EQ(vr_pageout(r.p, vr_len(&r)), 0);
	EXPECT_EQ(vr_purges() - purged, PAGES);
	EXPECT_EQ(vr_vmstat("pswpout") - swapped, 0);
	expect_each_purged(&r);
}

static void enabled_always(void)
{
	wholly_volatile("always");
}

static void enabled_madvise(void)
{
	wholly_volatile("madvise");
}

static void enabled_never(void)
{
	wholly_volatile("never");
}

/* A place first touched while it is volatile gets a huge page like any other. */
static void touched_while_volatile(void)
{
	struct vr_range r = { .pages = PAGES };
	char *read_only;

	prepare("madvise");
	vt_set(THP "use_zero_page", "1");
	r.p = place(1);
	read_only = place(1);
	REQUIRE_EQ(vr_mark(r.p, HUGE), 0);
	REQUIRE_EQ(vr_mark(read_only, HUGE), 0);
	EXPECT_NO_FAULT(vt_do_read, read_only);
	r = vr_fill(r.p, PAGES);
	REQUIRE_EQ(smaps_sum(&r, "AnonHugePages:"), 2048);
	EXPECT_EQ(vr_pageout(read_only, HUGE), 0);
	EXPECT_EQ(vr_pageout(r.p, HUGE), 0);
	/* The huge zero page holds nothing to lose. */
	EXPECT_EQ(vr_unmark(read_only, HUGE), 0);
	expect_each_purged(&r);
}

static void by_group_reclaim(bool mglru)
{
	const char *group;
	struct vr_range r;
	long long swapped;

	prepare("madvise");
	group = vr_group(mglru);
	r = filled_huge();
	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	vr_squeeze(group, &r);
	swapped = vr_count_pagemap(&r, VR_PM_SWAP);
	EXPECT_EQ(swapped, 0);
	expect_each_purged(&r);
}

static void group_reclaim_lru(void)
{
	by_group_reclaim(false);
}

static void group_reclaim_mglru(void)
{
	by_group_reclaim(true);
}

/* Pages [100, 300) are volatile: they are lost, those around are swapped. */
static void expect_middle_purged(const struct vr_range *r)
{
	EXPECT_EQ(vr_count_pagemap(r, VR_PM_PRESENT), 0);
	EXPECT_EQ(vr_count_pagemap(r, VR_PM_SWAP), PAGES - 200);
	EXPECT_EQ(vr_unmark(vr_page(r, 0), 100 * VR_PAGE), 0);
	EXPECT_EQ(vr_unmark(vr_page(r, 100), 200 * VR_PAGE), 1);
	EXPECT_EQ(vr_unmark(vr_page(r, 300), (PAGES - 300) * VR_PAGE), 0);
	EXPECT_EQ(vr_count_pages(r, 0, 100).old, 100);
	EXPECT_EQ(vr_count_pages(r, 100, 300).zero, 200);
	EXPECT_EQ(vr_count_pages(r, 300, PAGES).old, PAGES - 300);
}

static void cut_by_a_range(void)
{
	struct vr_range r;

	prepare("madvise");
	vt_swap_disk();
	r = filled_huge();
	REQUIRE_EQ(vr_mark(vr_page(&r, 100), 200 * VR_PAGE), 0);
	EXPECT_EQ(vr_pageout(r.p, vr_len(&r)), 0);
	expect_middle_purged(&r);
}

#define HUGE_CASE(fn, about)						\
	VT_CASE(fn, "V-PG-8 V-PG-11", about)

static const struct vt_case cases[] = {
	HUGE_CASE(enabled_always, "A volatile huge page is purged, THP always."),
	HUGE_CASE(enabled_madvise, "A volatile huge page is purged, THP madvise."),
	HUGE_CASE(enabled_never, "As much in small pages is purged, THP never."),
	VT_CASE(touched_while_volatile, "V-PG-8 V-MK-5",
		"A huge page first touched in a volatile range is purged, the zero one not."),
	HUGE_CASE(group_reclaim_lru,
		  "memory.reclaim purges a huge page, swaps nothing; classic LRU."),
	HUGE_CASE(group_reclaim_mglru,
		  "memory.reclaim purges a huge page, swaps nothing; MGLRU."),
	HUGE_CASE(cut_by_a_range,
		  "Of a huge page cut by a range only the volatile part is lost."),
};

VT_MAIN(cases)
