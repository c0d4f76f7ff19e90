// SPDX-License-Identifier: GPL-2.0-only
/* Guard regions in volatile memory: markers in the page table as well, for another end. */
#include "vr_pages.h"
#include "vt_fault.h"

#ifndef MADV_GUARD_INSTALL		/* 6.13 */
#define MADV_GUARD_INSTALL	102
#define MADV_GUARD_REMOVE	103
#endif

#define PAGES	8
#define LEN	(PAGES * VR_PAGE)

/* Nothing is told of the page under a guard: its contents were given up. */
static void guard_over_purged_pages(void)
{
	struct vr_range r = vr_purged(PAGES);
	char *guarded = r.p + 2 * VR_PAGE;

	EXPECT_EQ(vr_advise(guarded, 2 * VR_PAGE, MADV_GUARD_INSTALL), 0);
	EXPECT_FAULT(vt_do_read, guarded, SIGSEGV, SEGV_MAPERR);
	EXPECT_EQ(vr_unmark(guarded, 2 * VR_PAGE), 0);
	/* Control: what is beside it is told of. */
	EXPECT_FAULT(vt_do_read, r.p + VR_PAGE, SIGBUS, BUS_ADRERR);
	EXPECT_EQ(vr_unmark(r.p, LEN), 1);
	EXPECT_FAULT(vt_do_read, guarded, SIGSEGV, SEGV_MAPERR);
	EXPECT_EQ(vr_advise(guarded, 2 * VR_PAGE, MADV_GUARD_REMOVE), 0);
	EXPECT_ALL_ZERO(&r);
}

/* A guard is no purged page, and removing guards leaves those that are. */
static void guards_are_not_purged_pages(void)
{
	struct vr_range r;

	vt_pin(0);
	r = vr_filled(PAGES);
	REQUIRE_EQ(vr_advise(r.p, 2 * VR_PAGE, MADV_GUARD_INSTALL), 0);
	REQUIRE_EQ(vr_mark(r.p, LEN), 0);
	REQUIRE_EQ(vr_pageout(r.p + 2 * VR_PAGE, LEN - 2 * VR_PAGE), 0);
	REQUIRE_EQ(vr_count_pagemap(&r, VR_PM_PRESENT), 0);
	EXPECT_EQ(vr_unmark(r.p, 2 * VR_PAGE), 0);
	EXPECT_FAULT(vt_do_read, r.p, SIGSEGV, SEGV_MAPERR);
	EXPECT_EQ(vr_advise(r.p, LEN, MADV_GUARD_REMOVE), 0);
	EXPECT_NO_FAULT(vt_do_read, r.p);
	EXPECT_FAULT(vt_do_read, r.p + 2 * VR_PAGE, SIGBUS, BUS_ADRERR);
	EXPECT_EQ(vr_unmark(r.p, LEN), 1);
	EXPECT_ALL_ZERO(&r);
}

#define SINCE	.needs = "linux-6.13"

static const struct vt_case cases[] = {
	VT_CASE(guard_over_purged_pages, "V-SB-9",
		"A guard region that is installed over purged pages ends them.", SINCE),
	VT_CASE(guards_are_not_purged_pages, "V-SB-9 V-IF-2",
		"Guards are not told of; removing them leaves purged pages.", SINCE),
};

VT_MAIN(cases)
