// SPDX-License-Identifier: GPL-2.0-only
/*
 * What handles pages but is not reclaim purges nothing: merging, moving,
 * splitting, poisoning. The control is the reclaim that follows.
 */
#include "vr_pages.h"
#include "vt_fault.h"

#define PAGES	64
#define KSM	"/sys/kernel/mm/ksm/"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

/* Purged by reclaim, unlike by what came before. */
static void expect_purgeable(const struct vr_range *r)
{
	long long purges = vr_purges();

	EXPECT_EQ(vr_pageout(r->p, vr_len(r)), 0);
	EXPECT_EQ(vr_purges() - purges, r->pages);
	EXPECT_EQ(vr_unmark(r->p, vr_len(r)), 1);
	EXPECT_ALL_ZERO(r);
}

static void wait_for_scans(int scans)
{
	long long end = vt_read_number(KSM "full_scans") + scans;

	while (vt_read_number(KSM "full_scans") < end)
		usleep(1000);
}

/* Two ranges of like contents become one set of pages. */
static void ksm_pages(void)
{
	struct vr_range a, b, control;
	long long purges;

	if (access(KSM "run", F_OK))
		vt_skip("no KSM in this kernel");
	vt_swap_disk();
	vt_set(KSM "sleep_millisecs", "0");
	vt_set(KSM "pages_to_scan", "10000");
	a = vr_filled(PAGES);
	b = a;
	b.p = vr_anon(PAGES);
	memcpy(b.p, a.p, vr_len(&a));
	REQUIRE_EQ(madvise(a.p, vr_len(&a), MADV_MERGEABLE), 0);
	REQUIRE_EQ(madvise(b.p, vr_len(&b), MADV_MERGEABLE), 0);
	vt_set(KSM "run", "1");
	wait_for_scans(3);
	vt_write(KSM "run", "0");
	REQUIRE_EQ(vt_read_number(KSM "pages_sharing"), PAGES);
	vt_pin(0);
	control = vr_filled(PAGES);
	REQUIRE_EQ(vr_mark(a.p, vr_len(&a)), 0);
	REQUIRE_EQ(vr_mark(b.p, vr_len(&b)), 0);
	REQUIRE_EQ(vr_mark(control.p, vr_len(&control)), 0);
	/* With a second mapping MADV_PAGEOUT would not look at them. */
	REQUIRE_EQ(munmap(b.p, vr_len(&b)), 0);
	purges = vr_purges();
	EXPECT_EQ(vr_pageout(a.p, vr_len(&a)), 0);
	EXPECT_EQ(vr_purges() - purges, 0);
	EXPECT_EQ(vr_count_pagemap(&a, VR_PM_SWAP), PAGES);
	EXPECT_EQ(vr_unmark(a.p, vr_len(&a)), 0);
	EXPECT_ALL_OLD(&a);
	expect_purgeable(&control);
}

/* Moved to another place of memory, one by one and all over. */
static void migration(void)
{
	long long purges = vr_purges(), moved = vr_vmstat("pgmigrate_success");
	struct vr_range r;

	vt_swap_disk();
	vt_pin(0);
	r = vr_filled(PAGES);
	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	if (vr_advise(r.p, vr_len(&r), MADV_SOFT_OFFLINE) == -EINVAL)
		vt_skip("no memory failure handling in this kernel");
	vt_try_write("/proc/sys/vm/compact_memory", "1");
	EXPECT_GE(vr_vmstat("pgmigrate_success") - moved, PAGES);
	EXPECT_EQ(vr_purges() - purges, 0);
	EXPECT_ALL_OLD(&r);
	expect_purgeable(&r);
}

/* Made into a huge page, and split again. */
static void collapse_and_split(void)
{
	struct vr_range r = { .pages = 512 };
	long long purges, splits;
	uintptr_t p;

	vt_swap_disk();
	vt_pin(0);
	p = (uintptr_t)mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(p != (uintptr_t)MAP_FAILED);
	p = (p + (2 << 20) - 1) & ~((2UL << 20) - 1);
	r = vr_fill((char *)p, 512);
	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	purges = vr_purges();
	if (vr_advise(r.p, vr_len(&r), MADV_COLLAPSE) == -EINVAL)
		vt_skip("no transparent huge pages in this kernel");
	splits = vr_vmstat("thp_split_pmd");
	REQUIRE_EQ(mprotect(vr_page(&r, 100), VR_PAGE, PROT_READ), 0);
	REQUIRE_EQ(mprotect(vr_page(&r, 100), VR_PAGE,
			    PROT_READ | PROT_WRITE), 0);
	EXPECT_GE(vr_vmstat("thp_split_pmd") - splits, 1);
	EXPECT_EQ(vr_purges() - purges, 0);
	EXPECT_ALL_OLD(&r);
	expect_purgeable(&r);
}

/* A page whose memory is broken is not a page that was purged. */
static int poison_said;

static void poison(void *p)
{
	poison_said = vr_advise(p, VR_PAGE, MADV_HWPOISON);
}

static void poisoned(void)
{
	struct vt_fault told;
	struct vr_range r;
	long long purges;
	char *bad;

	vt_swap_disk();
	vt_pin(0);
	r = vr_filled(PAGES);
	bad = vr_page(&r, 9);
	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	/* Later kernels tell the caller at once, as if it had touched the page. */
	told = vt_catch(poison, bad);
	if (told.signo) {
		EXPECT_EQ(told.signo, SIGBUS);
		EXPECT_EQ(told.code, BUS_MCEERR_AR);
	} else {
		if (poison_said == -EINVAL)
			vt_skip("no memory failure handling in this kernel");
		REQUIRE_EQ(poison_said, 0);
	}
	EXPECT_FAULT(vt_do_read, bad, SIGBUS, BUS_MCEERR_AR);
	purges = vr_purges();
	EXPECT_EQ(vr_pageout(r.p, vr_len(&r)), 0);
	EXPECT_EQ(vr_purges() - purges, PAGES - 1);
	EXPECT_FAULT(vt_do_read, bad, SIGBUS, BUS_MCEERR_AR);
	EXPECT_FAULT(vt_do_read, bad + VR_PAGE, SIGBUS, BUS_ADRERR);
	EXPECT_EQ(vr_unmark(bad, VR_PAGE), 0);
	EXPECT_FAULT(vt_do_read, bad, SIGBUS, BUS_MCEERR_AR);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 1);
	EXPECT_FAULT(vt_do_read, bad, SIGBUS, BUS_MCEERR_AR);
	EXPECT_EQ(vr_state(&r, 8), VR_ZERO);
	EXPECT_EQ(vr_state(&r, 10), VR_ZERO);
}

static const struct vt_case cases[] = {
	VT_CASE(ksm_pages, "V-PG-9",
		"Pages merged by KSM are swapped, not purged.", .timeout = 30),
	VT_CASE(migration, "V-PG-14",
		"Soft offlining and compaction move volatile pages and purge none.",
		.timeout = 20),
	VT_CASE(collapse_and_split, "V-PG-14 V-PG-8",
		"Making and splitting huge pages purges none of their pages."),
	VT_CASE(poisoned, "V-PG-14",
		"A poisoned page stays poisoned and is not counted as purged."),
};

VT_MAIN(cases)
