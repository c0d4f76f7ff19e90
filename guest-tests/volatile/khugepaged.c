// SPDX-License-Identifier: GPL-2.0-only
/*
 * Putting small pages together to huge ones: never over a purged page, without
 * end, or at the cost of what a volatile range holds.
 */
#include "vr_pages.h"
#include "vt_fault.h"

#define THP	"/sys/kernel/mm/transparent_hugepage/"
#define KHUGEPAGED	THP "khugepaged/"
#define HUGE	(2UL << 20)
#define PAGES	(HUGE / VR_PAGE)

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

/* How much of [p, p+HUGE) is mapped by a huge page, in kB. */
static long long huge_kb(const char *p)
{
	static char text[1 << 20];
	unsigned long from, to;
	long long sum = 0;
	bool in = false;
	char *line;

	vt_read("/proc/self/smaps", text, sizeof(text));
	for (line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			in = from < (unsigned long)p + HUGE &&
			     to > (unsigned long)p;
		else if (in)
			sscanf(line, "AnonHugePages: %lld", &sum);
		if (sum)
			break;
	}
	return sum;
}

/* An aligned place in a VMA of its own, filled with small pages. */
static struct vr_range filled_small(void)
{
	char *p = vr_anon(2 * PAGES);

	p += HUGE - (uintptr_t)p % HUGE;
	REQUIRE(mmap(p, HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE |
		     MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p);
	REQUIRE_EQ(vr_advise(p, HUGE, MADV_NOHUGEPAGE), 0);
	return vr_fill(p, PAGES);
}

static void prepare(void)
{
	if (access(KHUGEPAGED, F_OK))
		vt_skip("no CONFIG_TRANSPARENT_HUGEPAGE in this kernel");
	vt_write("/proc/sys/vm/drop_caches", "1");
	vt_write("/proc/sys/vm/compact_memory", "1");
	vt_pin(0);
}

/* A place with one purged page, at @hole, all others are there. */
static struct vr_range one_purged(size_t hole)
{
	struct vr_range r = filled_small();

	REQUIRE_EQ(vr_mark(r.p, HUGE), 0);
	REQUIRE_EQ(vr_pageout(vr_page(&r, hole), VR_PAGE), 0);
	REQUIRE_EQ(vr_count_pagemap(&r, VR_PM_PRESENT), PAGES - 1);
	return r;
}

/* Only the page at @hole is lost, and says so. */
static void expect_one_purged(const struct vr_range *r, size_t hole)
{
	EXPECT_EQ(huge_kb(r->p), 0);
	EXPECT_FAULT(vt_do_read, vr_page(r, hole), SIGBUS, BUS_ADRERR);
	EXPECT_EQ(vr_unmark(r->p, hole * VR_PAGE), 0);
	EXPECT_EQ(vr_unmark(r->p, HUGE), 1);
	EXPECT_EQ(vr_state(r, hole), VR_ZERO);
	EXPECT_EQ(vr_count(r).old, PAGES - 1);
}

static void wait_for_scans(long long n)
{
	long long end = vt_read_number(KHUGEPAGED "full_scans") + n;

	while (vt_read_number(KHUGEPAGED "full_scans") < end)
		sched_yield();
}

/* What khugepaged is to scan, without rest, from now on to the case's end. */
static void start_khugepaged(void)
{
	vt_set(KHUGEPAGED "max_ptes_none", "511");
	vt_set(KHUGEPAGED "max_ptes_swap", "511");
	vt_set(KHUGEPAGED "pages_to_scan", "100000");
	vt_set(KHUGEPAGED "alloc_sleep_millisecs", "1");
	vt_set(KHUGEPAGED "scan_sleep_millisecs", "1");
	vt_set(THP "enabled", "madvise");
}

static void khugepaged_leaves_purged_pages(void)
{
	struct vr_range r, control;
	long long allocated;

	prepare();
	r = one_purged(200);
	control = filled_small();
	REQUIRE_EQ(vr_mark(control.p, HUGE), 0);
	start_khugepaged();
	REQUIRE_EQ(vr_advise(r.p, HUGE, MADV_HUGEPAGE), 0);
	REQUIRE_EQ(vr_advise(control.p, HUGE, MADV_HUGEPAGE), 0);
	/* Control: next to it, an intact volatile place is put together. */
	while (huge_kb(control.p) != 2048)
		sched_yield();
	wait_for_scans(2);
	allocated = vr_vmstat("thp_collapse_alloc");
	wait_for_scans(4);
	/* Nor does it take a huge page each time to find out. */
	EXPECT_EQ(vr_vmstat("thp_collapse_alloc") - allocated, 0);
	expect_one_purged(&r, 200);
	EXPECT_EQ(vr_unmark(control.p, HUGE), 0);
	EXPECT_ALL_OLD(&control);
}

static void collapse_leaves_purged_pages(void)
{
	struct vr_range r, control;
	int i;

	prepare();
	vt_set(THP "enabled", "madvise");
	r = one_purged(77);
	control = filled_small();
	REQUIRE_EQ(vr_mark(control.p, HUGE), 0);
	REQUIRE_EQ(vr_advise(r.p, HUGE, MADV_HUGEPAGE), 0);
	REQUIRE_EQ(vr_advise(control.p, HUGE, MADV_HUGEPAGE), 0);
	for (i = 0; i < 3; i++)
		EXPECT_LE(vr_advise(r.p, HUGE, MADV_COLLAPSE), -1);
	expect_one_purged(&r, 77);
	/* Control: without a purged page it is done. */
	EXPECT_EQ(vr_advise(control.p, HUGE, MADV_COLLAPSE), 0);
	EXPECT_EQ(huge_kb(control.p), 2048);
	EXPECT_EQ(vr_unmark(control.p, HUGE), 0);
	EXPECT_ALL_OLD(&control);
}

/* A range is put together and taken apart again: that purges nothing. */
static void collapse_and_split_purge_nothing(void)
{
	char where[96];
	struct vr_range r;

	prepare();
	vt_set(THP "enabled", "madvise");
	r = filled_small();
	REQUIRE_EQ(vr_mark(r.p, HUGE), 0);
	REQUIRE_EQ(vr_advise(r.p, HUGE, MADV_HUGEPAGE), 0);
	REQUIRE_EQ(vr_advise(r.p, HUGE, MADV_COLLAPSE), 0);
	REQUIRE_EQ(huge_kb(r.p), 2048);
	EXPECT_ALL_OLD(&r);
	snprintf(where, sizeof(where), "%d,%#lx,%#lx", getpid(),
		 (unsigned long)r.p, (unsigned long)r.p + HUGE);
	vt_write("/sys/kernel/debug/split_huge_pages", where);
	EXPECT_EQ(huge_kb(r.p), 0);
	EXPECT_ALL_OLD(&r);
	EXPECT_EQ(vr_unmark(r.p, HUGE), 0);
	EXPECT_ALL_OLD(&r);
	/* Control: reclaim does purge these pages. */
	REQUIRE_EQ(vr_mark(r.p, HUGE), 0);
	EXPECT_EQ(vr_pageout(r.p, HUGE), 0);
	EXPECT_EQ(vr_unmark(r.p, HUGE), 1);
	EXPECT_ALL_ZERO(&r);
}

/* What was in swap before it was marked comes back for a huge page, intact. */
static void collapse_brings_swapped_pages_back(void)
{
	struct vr_range r;

	prepare();
	vt_swap_disk();
	vt_set(THP "enabled", "madvise");
	r = filled_small();
	REQUIRE_EQ(vr_pageout(vr_page(&r, 200), VR_PAGE), 0);
	vt_wait_written();
	REQUIRE_EQ(vr_count_pagemap(&r, VR_PM_SWAP), 1);
	REQUIRE_EQ(vr_mark(r.p, HUGE), 0);
	REQUIRE_EQ(vr_advise(r.p, HUGE, MADV_HUGEPAGE), 0);
	/* It gives up where the page is still being read. */
	while (huge_kb(r.p) != 2048)
		vr_advise(r.p, HUGE, MADV_COLLAPSE);
	EXPECT_EQ(vr_unmark(r.p, HUGE), 0);
	EXPECT_ALL_OLD(&r);
}

/*
 * The pages of a file that are locked are unmapped by who discards volatile pages, too. The
 * lock holds each by a reference that has to go then, or they are taken for in use.
 */
static void collapse_of_locked_pages(void)
{
	int fd = memfd_create("locked", MFD_CLOEXEC);
	struct vr_range r;
	char *p;

	prepare();
	vt_set(THP "shmem_enabled", "never");
	REQUIRE(fd >= 0 && !ftruncate(fd, HUGE));
	p = vr_anon(2 * PAGES);
	p += HUGE - (uintptr_t)p % HUGE;
	REQUIRE(mmap(p, HUGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == p);
	r = vr_fill(p, PAGES);
	REQUIRE_EQ(mlock(p, HUGE), 0);
	EXPECT_EQ(vr_advise(p, HUGE, MADV_COLLAPSE), 0);
	EXPECT_ALL_OLD(&r);
}

static const struct vt_case cases[] = {
	VT_CASE(khugepaged_leaves_purged_pages, "V-SB-12 V-PG-8 V-PG-14",
		"khugepaged fills no purged page, and does not try again and again."),
	VT_CASE(collapse_leaves_purged_pages, "V-SB-12 V-PG-8 V-PG-14",
		"MADV_COLLAPSE over a purged page fails and changes nothing."),
	VT_CASE(collapse_and_split_purge_nothing, "V-PG-14",
		"Collapsing and splitting a volatile range purges nothing of it."),
	VT_CASE(collapse_brings_swapped_pages_back, "V-PG-14",
		"MADV_COLLAPSE of a volatile range brings its swapped pages back."),
	VT_CASE(collapse_of_locked_pages, "V-PG-14",
		"MADV_COLLAPSE of locked pages of a file works as without the series."),
};

VT_MAIN(cases)
