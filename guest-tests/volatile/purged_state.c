// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a purged entry carries along, and what passes over it without taking it
 * away.
 */
#include "vr_soft_dirty.h"
#include "vt_fault.h"

#define PAGES	16
#define LEN	(PAGES * VR_PAGE)

/* Written to since the last look or not: purging does not change the answer. */
static void soft_dirty_stays(void)
{
	struct vr_range r;
	char *new;

	vt_pin(0);
	r = vr_filled(PAGES);
	REQUIRE_EQ(vr_mark(r.p, LEN), 0);
	vr_dirty_in_runs(&r);
	EXPECT_EQ(vr_pageout(r.p, LEN), 0);
	REQUIRE_EQ(vr_count_pagemap(&r, VR_PM_PRESENT | VR_PM_SWAP), 0);
	vr_expect_dirty_runs(&r);
	/* Whatever such bits it has, it is a purged entry. */
	EXPECT_FAULT(vt_do_read, vr_page(&r, 0), SIGBUS, BUS_ADRERR);
	EXPECT_FAULT(vt_do_read, vr_page(&r, 3), SIGBUS, BUS_ADRERR);
	vr_clear_soft_dirty();
	EXPECT_EQ(vr_count_pagemap(&r, VR_PM_SOFT_DIRTY), 0);
	EXPECT_FAULT(vt_do_read, vr_page(&r, 2), SIGBUS, BUS_ADRERR);
	/* A move makes an entry soft-dirty. */
	new = vr_anon(PAGES);
	REQUIRE(mremap(r.p, LEN, LEN, MREMAP_MAYMOVE | MREMAP_FIXED, new) ==
		new);
	r.p = new;
	EXPECT_EQ(vr_count_pagemap(&r, VR_PM_SOFT_DIRTY), PAGES);
	EXPECT_FAULT(vt_do_read, vr_page(&r, 3), SIGBUS, BUS_ADRERR);
	EXPECT_EQ(vr_unmark(vr_page(&r, 4), VR_PAGE), 1);
	EXPECT_EQ(vr_unmark(r.p, LEN), 1);
	EXPECT_ALL_ZERO(&r);
}

static void expect_dirty_runs(void *arg)
{
	const struct vr_range *r = arg;

	vr_expect_dirty_runs(r);
	EXPECT_FAULT(vt_do_read, vr_page(r, 0), SIGBUS, BUS_ADRERR);
	EXPECT_FAULT(vt_do_read, vr_page(r, 3), SIGBUS, BUS_ADRERR);
}

static void child_inherits_soft_dirty(void)
{
	struct vr_range r;

	vt_pin(0);
	r = vr_filled(PAGES);
	REQUIRE_EQ(vr_mark(r.p, LEN), 0);
	vr_dirty_in_runs(&r);
	REQUIRE_EQ(vr_pageout(r.p, LEN), 0);
	REQUIRE_EQ(vr_count_pagemap(&r, VR_PM_PRESENT | VR_PM_SWAP), 0);
	EXPECT_EQ(vt_run_child(expect_dirty_runs, &r), 0);
	EXPECT_EQ(vr_unmark(r.p, LEN), 1);
}

static void mlockall_over_purged(int flags)
{
	struct vr_range r = vr_purged(PAGES);

	EXPECT_EQ(mlockall(flags), 0);
	EXPECT(strstr(vr_vma(r.p).flags, " lo"));
	EXPECT_FAULT(vt_do_read, r.p, SIGBUS, BUS_ADRERR);
	EXPECT_EQ(vr_unmark(vr_page(&r, 1), LEN - VR_PAGE), 1);
	/* NONVOLATILE leaves holes and does not fill them. */
	EXPECT_EQ(vr_count_pagemap(&r, VR_PM_PRESENT), 0);
	EXPECT_EQ(vr_unmark(r.p, LEN), 1);
	EXPECT_ALL_ZERO(&r);
	REQUIRE_EQ(munlockall(), 0);
}

static void mlockall_current(void)
{
	mlockall_over_purged(MCL_CURRENT);
}

static void mlockall_onfault(void)
{
	mlockall_over_purged(MCL_CURRENT | MCL_ONFAULT);
}

static void mlock_onfault(void)
{
	struct vr_range r = vr_purged(PAGES);

	EXPECT_EQ(mlock2(r.p, LEN, MLOCK_ONFAULT), 0);
	EXPECT(strstr(vr_vma(r.p).flags, " lo"));
	EXPECT_FAULT(vt_do_read, r.p, SIGBUS, BUS_ADRERR);
	EXPECT_EQ(vr_unmark(r.p, LEN), 1);
	EXPECT_EQ(vr_count_pagemap(&r, VR_PM_PRESENT), 0);
	EXPECT_ALL_ZERO(&r);
	REQUIRE_EQ(munlock(r.p, LEN), 0);
}

/* A shrunk range and a half unmapped one keep the state of what is left. */
static void what_is_left_keeps_its_state(void)
{
	struct vr_range r = vr_purged(PAGES);

	REQUIRE(mremap(r.p, LEN, LEN / 2, 0) == r.p);
	EXPECT_FAULT(vt_do_read, r.p, SIGBUS, BUS_ADRERR);
	REQUIRE_EQ(munmap(r.p, LEN / 4), 0);
	EXPECT_EQ(vr_unmark(r.p, LEN / 2), -ENOMEM);
	EXPECT_FAULT(vt_do_read, r.p + LEN / 4, SIGBUS, BUS_ADRERR);
	EXPECT_EQ(vr_unmark(r.p + LEN / 4, LEN / 4), 1);
	EXPECT_NO_FAULT(vt_do_read, r.p + LEN / 4);
}

static const struct vt_case cases[] = {
	VT_CASE(soft_dirty_stays, "V-SB-10",
		"A purged page is soft-dirty if the page was, and stays purged if not."),
	VT_CASE(child_inherits_soft_dirty, "V-SB-10",
		"In a child a purged page is soft-dirty if it was in the parent."),
	VT_CASE(mlockall_current, "V-SB-11",
		"mlockall over purged pages returns 0, and they stay purged."),
	VT_CASE(mlockall_onfault, "V-SB-11",
		"mlockall with ONFAULT over purged pages: 0, and they stay purged."),
	VT_CASE(mlock_onfault, "V-SB-11",
		"mlock2 with ONFAULT over purged pages: 0, and they stay purged."),
	VT_CASE(what_is_left_keeps_its_state, "V-SB-8 V-SB-9",
		"A purged range cut short by mremap or munmap: the rest is purged."),
};

VT_MAIN(cases)
