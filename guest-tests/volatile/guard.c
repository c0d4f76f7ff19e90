// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guard regions and poison in volatile memory: markers in the page table as well, for
 * another end.
 */
#include "vr_newer.h"
#include "vr_soft_dirty.h"
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

static void touch_guarded_and_purged(void *arg)
{
	const struct vr_range *r = arg;

	EXPECT_FAULT(vt_do_read, r->p, SIGSEGV, SEGV_MAPERR);
	EXPECT_FAULT(vt_do_read, r->p + 2 * VR_PAGE, SIGBUS, BUS_ADRERR);
	EXPECT_EQ(vr_unmark(r->p, LEN), 1);
	EXPECT_FAULT(vt_do_read, r->p, SIGSEGV, SEGV_MAPERR);
}

static void guards_are_inherited(void)
{
	struct vr_range r = vr_purged(PAGES);

	REQUIRE_EQ(vr_advise(r.p, 2 * VR_PAGE, MADV_GUARD_INSTALL), 0);
	EXPECT_EQ(vt_run_child(touch_guarded_and_purged, &r), 0);
	touch_guarded_and_purged(&r);
}

static void look_at_inherited(void *arg)
{
	char *p = arg;

	EXPECT_EQ(vr_pagemap(p) & VR_PM_SOFT_DIRTY, 0);
	EXPECT_NE(vr_pagemap(p + VR_PAGE) & VR_PM_SOFT_DIRTY, 0);
}

/* mremap() sets the bit in every entry. Of markers a child has that of purged pages alone. */
static void soft_dirty_of_a_guard(void)
{
	struct vr_range r = vr_purged(2);
	char *away = vr_anon(2);

	REQUIRE_EQ(vr_advise(r.p, VR_PAGE, MADV_GUARD_INSTALL), 0);
	vr_begin_soft_dirty(r.p);
	REQUIRE(mremap(r.p, 2 * VR_PAGE, 2 * VR_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		       away) == away);
	/* Control: we have it of both. */
	EXPECT_NE(vr_pagemap(away) & VR_PM_SOFT_DIRTY, 0);
	EXPECT_NE(vr_pagemap(away + VR_PAGE) & VR_PM_SOFT_DIRTY, 0);
	EXPECT_EQ(vt_run_child(look_at_inherited, away), 0);
	EXPECT_EQ(vr_unmark(away, 2 * VR_PAGE), 1);
}

static void poison_by(int fd, char *p)
{
	struct uffdio_poison arg = { .range = { (uintptr_t)p, VR_PAGE } };

	REQUIRE_EQ(ioctl(fd, UFFDIO_POISON, &arg), 0);
}

/* Poisons a page that has not been touched, and leaves its mapping to itself again. */
static void poison(char *p)
{
	int fd = vr_userfaultfd(p, VR_PAGE, UFFDIO_REGISTER_MODE_MISSING, UFFD_FEATURE_POISON);

	poison_by(fd, p);
	close(fd);
}

static void touch_poisoned(void *arg)
{
	EXPECT_FAULT(vt_do_read, arg, SIGBUS, BUS_MCEERR_AR);
}

/* It is neither told of nor cleared by us, and no page of ours comes in its place. */
static void poison_is_kept(void)
{
	char *p = vr_anon(PAGES), *poisoned = p + VR_PAGE;

	poison(poisoned);
	REQUIRE_EQ(vr_mark(p, LEN), 0);
	touch_poisoned(poisoned);
	EXPECT_EQ(vt_run_child(touch_poisoned, poisoned), 0);
	EXPECT_EQ(vr_pageout(p, LEN), 0);
	EXPECT_EQ(vr_unmark(p, LEN), 0);
	touch_poisoned(poisoned);
	/* Control: given up, it is a page like any other. */
	EXPECT_EQ(vr_advise(p, LEN, MADV_DONTNEED), 0);
	EXPECT_NO_FAULT(vt_do_read, poisoned);
}

static void touch_protected(void *arg)
{
	char *p = arg;

	EXPECT_FAULT(vt_do_read, p, SIGSEGV, SEGV_MAPERR);
	EXPECT_FAULT(vt_do_read, p + VR_PAGE, SIGBUS, BUS_MCEERR_AR);
	EXPECT_NO_FAULT(vt_do_read, p + 2 * VR_PAGE);
}

/* The functions that know markers of purged pages know these, and the protection ends at none. */
static void write_protection(void)
{
	char *p = vr_anon(PAGES);
	int fd = vr_userfaultfd(p, LEN, UFFDIO_REGISTER_MODE_WP, UFFD_FEATURE_POISON);

	REQUIRE_EQ(vr_advise(p, VR_PAGE, MADV_GUARD_INSTALL), 0);
	poison_by(fd, p + VR_PAGE);
	EXPECT_NO_FAULT(vt_do_write, p + 3 * VR_PAGE);
	vr_write_protect(fd, p, LEN, UFFDIO_WRITEPROTECT_MODE_WP);
	/* Control: it did come to the pages beside them. */
	EXPECT_NE(vr_pagemap(p + 3 * VR_PAGE) & VR_PM_UFFD_WP, 0);
	EXPECT_EQ(vt_run_child(touch_protected, p), 0);
	touch_protected(p);
	vr_write_protect(fd, p, LEN, 0);
	/* Else the write would wait for us. */
	REQUIRE_EQ(vr_pagemap(p + 3 * VR_PAGE) & VR_PM_UFFD_WP, 0);
	EXPECT_NO_FAULT(vt_do_write, p + 3 * VR_PAGE);
	touch_protected(p);
	close(fd);
}

#define SINCE	.needs = "linux-6.13"

static const struct vt_case cases[] = {
	VT_CASE(guard_over_purged_pages, "V-SB-9",
		"A guard region that is installed over purged pages ends them.", SINCE),
	VT_CASE(guards_are_not_purged_pages, "V-SB-9 V-IF-2",
		"Guards are not told of; removing them leaves purged pages.", SINCE),
	VT_CASE(guards_are_inherited, "V-SB-7 V-SB-9",
		"A child has the guards and the purged pages of its parent.", SINCE),
	VT_CASE(soft_dirty_of_a_guard, "V-SB-10 V-SB-7",
		"A child inherits the soft-dirty bit of a purged page, and not that of a guard.", SINCE),
	VT_CASE(poison_is_kept, "V-PG-14",
		"What userfaultfd has poisoned stays so, in a child too, until given up.",
		.needs = "linux-6.6"),
	VT_CASE(write_protection, "V-PG-14",
		"Write protection by userfaultfd comes and goes, and guards and poison stay.", SINCE),
};

VT_MAIN(cases)
