// SPDX-License-Identifier: GPL-2.0-only
/* Pages that KSM has merged: never purged, but swapped as ever. */
#include "vr_group.h"
#include "vt_fault.h"

#define KSM	"/sys/kernel/mm/ksm/"
#define PAGES	64

/* Page i of @r and of @twin are the same, and like no other. */
static struct vr_range twin(const struct vr_range *r)
{
	struct vr_range twin = { vr_anon(r->pages), r->pages, r->magic };
	size_t i;

	for (i = 0; i < r->pages; i++)
		vr_fill_page(&twin, i);
	return twin;
}

static void undo_merging(const char *arg)
{
	(void)arg;
	vt_try_write(KSM "run", "2");
	vt_try_write(KSM "run", "0");
}

/* Merge the pages of two ranges: they share @pages pages from then on. */
static void merge(const struct vr_range *a, const struct vr_range *b)
{
	if (access(KSM, F_OK))
		vt_skip("no CONFIG_KSM in this kernel");
	vt_cleanup(undo_merging, "");
	vt_set(KSM "pages_to_scan", "10000");
	vt_set(KSM "sleep_millisecs", "0");
	REQUIRE_EQ(vr_advise(a->p, vr_len(a), MADV_MERGEABLE), 0);
	REQUIRE_EQ(vr_advise(b->p, vr_len(b), MADV_MERGEABLE), 0);
	vt_write(KSM "run", "1");
	while (vt_read_number(KSM "pages_sharing") < PAGES)
		sched_yield();
	/* What is merged stays so; no more than that. */
	vt_write(KSM "run", "0");
	EXPECT_EQ(vt_read_number(KSM "pages_shared"), PAGES);
}

static void merged_pages_are_swapped(void)
{
	struct vr_range a, b, control;
	const char *group;
	long long purged;

	group = vr_group(false);
	a = vr_filled(PAGES);
	b = twin(&a);
	control = vr_filled(PAGES);
	REQUIRE_EQ(vr_mark(a.p, vr_len(&a)), 0);
	REQUIRE_EQ(vr_mark(b.p, vr_len(&b)), 0);
	REQUIRE_EQ(vr_mark(control.p, vr_len(&control)), 0);
	merge(&a, &b);
	purged = vr_purges();
	vr_squeeze(group, &control);
	vr_squeeze(group, &a);
	vr_squeeze(group, &b);
	EXPECT_EQ(vr_count_pagemap(&a, VR_PM_SWAP), PAGES);
	EXPECT_EQ(vr_count_pagemap(&b, VR_PM_SWAP), PAGES);
	/* Control: what has not been merged is gone. */
	EXPECT_EQ(vr_purges() - purged, PAGES);
	EXPECT_EQ(vr_unmark(control.p, vr_len(&control)), 1);
	EXPECT_EQ(vr_unmark(a.p, vr_len(&a)), 0);
	EXPECT_EQ(vr_unmark(b.p, vr_len(&b)), 0);
	EXPECT_ALL_OLD(&a);
	EXPECT_ALL_OLD(&b);
	EXPECT_ALL_ZERO(&control);
}

/* Merging and taking apart again loses nothing; then the pages can be purged. */
static void merging_purges_nothing(void)
{
	struct vr_range a, b;

	vt_swap_disk();
	vt_pin(0);
	a = vr_filled(PAGES);
	b = twin(&a);
	REQUIRE_EQ(vr_mark(a.p, vr_len(&a)), 0);
	REQUIRE_EQ(vr_mark(b.p, vr_len(&b)), 0);
	merge(&a, &b);
	EXPECT_ALL_OLD(&a);
	EXPECT_ALL_OLD(&b);
	EXPECT_EQ(vr_advise(a.p, vr_len(&a), MADV_UNMERGEABLE), 0);
	EXPECT_EQ(vr_advise(b.p, vr_len(&b), MADV_UNMERGEABLE), 0);
	EXPECT_ALL_OLD(&a);
	EXPECT_ALL_OLD(&b);
	EXPECT_EQ(vr_unmark(b.p, vr_len(&b)), 0);
	EXPECT_ALL_OLD(&b);
	/* Control: nobody's but ours, they go. */
	EXPECT_EQ(vr_pageout(a.p, vr_len(&a)), 0);
	EXPECT_EQ(vr_unmark(a.p, vr_len(&a)), 1);
	EXPECT_ALL_ZERO(&a);
}

/* The scanner passes over purged pages. */
static void scanning_leaves_purged_pages(void)
{
	struct vr_range purged = vr_purged(PAGES), a, b;

	if (access(KSM, F_OK))
		vt_skip("no CONFIG_KSM in this kernel");
	REQUIRE_EQ(vr_advise(purged.p, vr_len(&purged), MADV_MERGEABLE), 0);
	a = vr_filled(PAGES);
	b = twin(&a);
	/* Control: those were scanned and merged. */
	merge(&a, &b);
	EXPECT_FAULT(vt_do_read, purged.p, SIGBUS, BUS_ADRERR);
	EXPECT_EQ(vr_advise(purged.p, vr_len(&purged), MADV_UNMERGEABLE), 0);
	EXPECT_FAULT(vt_do_read, purged.p, SIGBUS, BUS_ADRERR);
	EXPECT_EQ(vr_unmark(purged.p, vr_len(&purged)), 1);
}

static const struct vt_case cases[] = {
	VT_CASE(merged_pages_are_swapped, "V-PG-9 V-PG-6 V-PG-14",
		"Volatile pages that KSM has merged are swapped, others are purged.",
		.timeout = 20),
	VT_CASE(merging_purges_nothing, "V-PG-9 V-PG-14",
		"KSM merges volatile pages and takes them apart: nothing is lost.",
		.timeout = 20),
	VT_CASE(scanning_leaves_purged_pages, "V-SB-9",
		"KSM scans over purged pages: they stay purged.", .timeout = 20),
};

VT_MAIN(cases)
