// SPDX-License-Identifier: GPL-2.0-only
/*
 * MADV_FREE and volatile ranges: what was given up goes and is told; what is unmarked
 * in time stays; and a write succeeds after MADV_FREE, as it does elsewhere.
 */
#include "vr_pages.h"
#include "vt_fault.h"

/* Discarded by MADV_FREE in a volatile range: gone like the rest of it. */
static void lazyfree_in_volatile_memory(void)
{
	struct vr_range first, then, control;

	vt_pin(0);
	first = vr_filled(8);
	then = vr_filled(8);
	control = vr_filled(8);
	EXPECT_EQ(vr_advise(first.p, vr_len(&first), MADV_FREE), 0);
	EXPECT_EQ(vr_mark(first.p, vr_len(&first)), 0);
	EXPECT_EQ(vr_mark(then.p, vr_len(&then)), 0);
	EXPECT_EQ(vr_advise(then.p, vr_len(&then), MADV_FREE), 0);
	EXPECT_EQ(vr_advise(control.p, vr_len(&control), MADV_FREE), 0);
	EXPECT_EQ(vr_pageout(first.p, vr_len(&first)), 0);
	EXPECT_EQ(vr_pageout(then.p, vr_len(&then)), 0);
	EXPECT_EQ(vr_pageout(control.p, vr_len(&control)), 0);
	EXPECT_EQ(vr_unmark(first.p, vr_len(&first)), 1);
	EXPECT_EQ(vr_unmark(then.p, vr_len(&then)), 1);
	/* Control: discarded as well, but nobody wants to know. */
	EXPECT_EQ(vr_unmark(control.p, vr_len(&control)), 0);
	EXPECT_ALL_ZERO(&first);
	EXPECT_ALL_ZERO(&then);
	EXPECT_ALL_ZERO(&control);
}

/*
 * In swap, and given up in a volatile range: nothing is lost by that, and so there
 * is nothing to tell. MADV_FREE promises that a write will succeed.
 */
static void swapped_pages_stay(void)
{
	struct vr_range r, control;

	vt_swap_disk();
	vt_pin(0);
	r = vr_filled(16);
	control = vr_filled(16);
	EXPECT_EQ(vr_pageout(r.p, vr_len(&r)), 0);
	EXPECT_EQ(vr_pageout(control.p, vr_len(&control)), 0);
	vt_wait_written();
	REQUIRE_EQ(vr_count_pagemap(&r, VR_PM_SWAP), 16);
	REQUIRE_EQ(vr_count_pagemap(&control, VR_PM_SWAP), 16);
	EXPECT_EQ(vr_mark(r.p, vr_len(&r)), 0);
	EXPECT_EQ(vr_advise(r.p, vr_len(&r), MADV_FREE), 0);
	EXPECT_EQ(vr_advise(control.p, vr_len(&control), MADV_FREE), 0);
	EXPECT_EQ(vr_count_pagemap(&r, VR_PM_SWAP), 16);
	EXPECT_NO_FAULT(vt_do_read, vr_page(&r, 1));
	EXPECT_NO_FAULT(vt_do_write, vr_page(&r, 2) + 8);
	vr_fill_page(&r, 2);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 0);
	EXPECT_ALL_OLD(&r);
	/* Control: what is not volatile is lost by the call, and a write succeeds. */
	EXPECT_EQ(vr_count_pagemap(&control, VR_PM_SWAP), 0);
	EXPECT_NO_FAULT(vt_do_write, control.p);
	EXPECT_EQ(vr_count_pages(&control, 1, 16).zero, 15);
}

/*
 * Unmarked before reclaim comes: 0, and from then on the contents stay. The pages of
 * the last range are in a batch of this CPU and not lazyfree yet when that is said.
 */
static void unmarking_takes_it_back(void)
{
	struct vr_range before, after, batched, control;

	vt_swap_disk();
	vt_pin(0);
	before = vr_filled(8);
	after = vr_filled(8);
	control = vr_filled(8);
	batched = vr_filled(8);
	EXPECT_EQ(vr_mark(batched.p, vr_len(&batched)), 0);
	EXPECT_EQ(vr_advise(before.p, vr_len(&before), MADV_FREE), 0);
	EXPECT_EQ(vr_mark(before.p, vr_len(&before)), 0);
	EXPECT_EQ(vr_mark(after.p, vr_len(&after)), 0);
	EXPECT_EQ(vr_advise(after.p, vr_len(&after), MADV_FREE), 0);
	EXPECT_EQ(vr_advise(control.p, vr_len(&control), MADV_FREE), 0);
	vt_drain_batches();
	EXPECT_EQ(vr_advise(batched.p, vr_len(&batched), MADV_FREE), 0);
	EXPECT_EQ(vr_unmark(batched.p, vr_len(&batched)), 0);
	EXPECT_EQ(vr_unmark(before.p, vr_len(&before)), 0);
	EXPECT_EQ(vr_unmark(after.p, vr_len(&after)), 0);
	vt_drain_batches();
	EXPECT_EQ(vr_pageout(before.p, vr_len(&before)), 0);
	EXPECT_EQ(vr_pageout(after.p, vr_len(&after)), 0);
	EXPECT_EQ(vr_pageout(batched.p, vr_len(&batched)), 0);
	EXPECT_EQ(vr_pageout(control.p, vr_len(&control)), 0);
	EXPECT_ALL_OLD(&before);
	EXPECT_ALL_OLD(&after);
	EXPECT_ALL_OLD(&batched);
	/* Control: given up all the same, and nobody took it back. */
	EXPECT_ALL_ZERO(&control);
}

static const struct vt_case cases[] = {
	VT_CASE(lazyfree_in_volatile_memory, "V-SB-9 V-SB-5",
		"A lazyfree page discarded in a volatile range counts as purged."),
	VT_CASE(swapped_pages_stay, "V-SB-9 V-PG-3 V-PG-14",
		"MADV_FREE of swapped pages of a volatile range loses nothing; a write succeeds."),
	VT_CASE(unmarking_takes_it_back, "V-PG-3 V-SB-9",
		"NONVOLATILE = 0 holds for what was given to MADV_FREE, before or after marking."),
};

VT_MAIN(cases)
