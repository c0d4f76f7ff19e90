// SPDX-License-Identifier: GPL-2.0-only
/* MADV_PAGEOUT, the reclaim that a program can call: what it purges, what not. */
#include "vr_pages.h"

#define PAGES	256

/* @r, marked, is purged by the next MADV_PAGEOUT: all of it. */
static void expect_purged_by_pageout(const struct vr_range *r)
{
	EXPECT_EQ(vr_pageout(r->p, vr_len(r)), 0);
	EXPECT_EQ(vr_unmark(r->p, vr_len(r)), 1);
	EXPECT_ALL_ZERO(r);
}

static void nothing_lost_without_pressure(void)
{
	struct vr_range r;

	vt_pin(0);
	r = vr_filled(PAGES);
	EXPECT_EQ(vr_mark(r.p, vr_len(&r)), 0);
	/* What moves pages about or frees others is no pressure on these. */
	vt_write("/proc/sys/vm/drop_caches", "3");
	vt_write("/proc/sys/vm/compact_memory", "1");
	EXPECT_ALL_OLD(&r);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 0);
	EXPECT_ALL_OLD(&r);
	/* Control: pressure takes these very pages. */
	EXPECT_EQ(vr_mark(r.p, vr_len(&r)), 0);
	expect_purged_by_pageout(&r);
}

static void without_swap(void)
{
	struct vr_range r, control;
	long long purged;

	vt_pin(0);
	r = vr_filled(PAGES);
	control = vr_filled(PAGES);
	EXPECT_EQ(vr_mark(r.p, vr_len(&r)), 0);
	purged = vr_purges();
	EXPECT_EQ(vr_pageout(control.p, vr_len(&control)), 0);
	EXPECT_EQ(vr_purges() - purged, 0);
	expect_purged_by_pageout(&r);
	EXPECT_EQ(vr_purges() - purged, PAGES);
	EXPECT_ALL_OLD(&control);
}

/* Page by page, marked and not: what is marked is lost, what is not swapped. */
static void every_other_page(void)
{
	struct vr_range r;
	size_t i, swapped = 0, right = 0, reported = 0;

	vt_swap_disk();
	vt_pin(0);
	r = vr_filled(32);
	for (i = 0; i < r.pages; i += 2)
		REQUIRE_EQ(vr_mark(vr_page(&r, i), VR_PAGE), 0);
	EXPECT_EQ(vr_pageout(r.p, vr_len(&r)), 0);
	EXPECT_EQ(vr_count_pagemap(&r, VR_PM_PRESENT), 0);
	for (i = 0; i < r.pages; i++)
		swapped += !!(vr_pagemap(vr_page(&r, i)) & VR_PM_SWAP);
	EXPECT_EQ(swapped, 16);
	for (i = 0; i < r.pages; i++)
		reported += vr_unmark(vr_page(&r, i), VR_PAGE) ==
			    (i % 2 ? 0 : 1);
	EXPECT_EQ(reported, 32);
	for (i = 0; i < r.pages; i++)
		right += vr_state(&r, i) == (i % 2 ? VR_OLD : VR_ZERO);
	EXPECT_EQ(right, 32);
}

static void unmarked_again_is_safe(void)
{
	struct vr_range r, control;

	vt_swap_disk();
	vt_pin(0);
	r = vr_filled(PAGES);
	control = vr_filled(PAGES);
	EXPECT_EQ(vr_mark(r.p, vr_len(&r)), 0);
	EXPECT_EQ(vr_mark(control.p, vr_len(&control)), 0);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 0);
	EXPECT_EQ(vr_pageout(r.p, vr_len(&r)), 0);
	EXPECT_EQ(vr_count_pagemap(&r, VR_PM_SWAP), PAGES);
	EXPECT_ALL_OLD(&r);
	expect_purged_by_pageout(&control);
}

/* A page that a pipe refers to keeps its contents, and is not in the way. */
static void page_with_a_reference(void)
{
	struct vr_range r;
	struct iovec iov;
	char got[VR_PAGE];
	int fd[2];

	vt_swap_disk();
	vt_pin(0);
	r = vr_filled(16);
	REQUIRE_EQ(pipe(fd), 0);
	iov = (struct iovec){ vr_page(&r, 5), VR_PAGE };
	REQUIRE_EQ(vmsplice(fd[1], &iov, 1, 0), VR_PAGE);
	EXPECT_EQ(vr_mark(r.p, vr_len(&r)), 0);
	EXPECT_EQ(vr_pageout(r.p, vr_len(&r)), 0);
	EXPECT_EQ(vr_unmark(vr_page(&r, 5), VR_PAGE), 0);
	EXPECT_EQ(vr_state(&r, 5), VR_OLD);
	REQUIRE_EQ(read(fd[0], got, VR_PAGE), VR_PAGE);
	EXPECT_EQ(memcmp(got, vr_page(&r, 5), VR_PAGE), 0);
	/* Control: its neighbours are gone, and so is it without the pipe. */
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 1);
	EXPECT_EQ(vr_count(&r).zero, 15);
	REQUIRE_EQ(vr_advise(r.p, vr_len(&r), MADV_DONTNEED), 0);
	r = vr_fill(r.p, r.pages);
	EXPECT_EQ(vr_mark(r.p, vr_len(&r)), 0);
	expect_purged_by_pageout(&r);
}

/* Marking does not touch what is in swap; brought back, it is purged. */
static void already_in_swap(void)
{
	struct vr_range r, back;
	size_t i;

	vt_swap_disk();
	vt_pin(0);
	r = vr_filled(32);
	EXPECT_EQ(vr_pageout(r.p, vr_len(&r)), 0);
	EXPECT_EQ(vr_count_pagemap(&r, VR_PM_SWAP), 32);
	EXPECT_EQ(vr_mark(r.p, vr_len(&r)), 0);
	EXPECT_EQ(vr_pageout(r.p, vr_len(&r)), 0);
	EXPECT_EQ(vr_count_pagemap(&r, VR_PM_SWAP), 32);
	/* A write brings a page back and gives up its slot, once that is written. */
	vt_wait_written();
	back = r;
	back.pages = 16;
	for (i = 0; i < back.pages; i++)
		*(volatile uint64_t *)vr_page(&back, i) = r.magic;
	expect_purged_by_pageout(&back);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 0);
	EXPECT_EQ(vr_count_pages(&r, 16, 32).old, 16);
}

static const struct vt_case cases[] = {
	VT_CASE(nothing_lost_without_pressure, "V-PG-1 V-PG-2",
		"Without pressure every byte stays; under pressure the same go."),
	VT_CASE(without_swap, "V-PG-2 V-PG-13 V-PG-11",
		"MADV_PAGEOUT purges every volatile page, and counts it, without swap."),
	VT_CASE(every_other_page, "V-PG-2 V-SB-6",
		"Of alternating pages the volatile ones are lost, the others swapped."),
	VT_CASE(unmarked_again_is_safe, "V-PG-3 V-PG-2",
		"What NONVOLATILE said to be intact stays so under reclaim."),
	VT_CASE(page_with_a_reference, "V-PG-5 V-PG-6",
		"A page that a pipe refers to is not purged, all around it are."),
	VT_CASE(already_in_swap, "V-PG-10",
		"Pages in swap keep their contents when marked, until they return."),
};

VT_MAIN(cases)
