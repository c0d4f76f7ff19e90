// SPDX-License-Identifier: GPL-2.0-only
/* Purged pages and what else a program does to its mappings. */
#include "vr_pages.h"
#include "vt_fault.h"

#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#define LEN	(8 * VR_PAGE)

static void sub_range_answers_for_itself(void)
{
	struct vr_range r = vr_purged(8);

	EXPECT_EQ(vr_unmark(r.p + 2 * VR_PAGE, 2 * VR_PAGE), 1);
	EXPECT_PICTURE(r.p, "VV--VVVV");
	EXPECT_FAULT(vt_do_read, r.p + VR_PAGE, SIGBUS, BUS_ADRERR);
	EXPECT_NO_FAULT(vt_do_read, r.p + 2 * VR_PAGE);
	/* Reported once: not again after it has been marked again. */
	EXPECT_EQ(vr_mark(r.p, LEN), 0);
	EXPECT_EQ(vr_unmark(r.p + 2 * VR_PAGE, 2 * VR_PAGE), 0);
	EXPECT_EQ(vr_unmark(r.p, 2 * VR_PAGE), 1);
	EXPECT_EQ(vr_unmark(r.p, 4 * VR_PAGE), 0);
	EXPECT_EQ(vr_unmark(r.p, LEN), 1);
	EXPECT_EQ(vr_unmark(r.p, LEN), 0);
	EXPECT_ALL_ZERO(&r);
}

static void marking_keeps_purge_state(void)
{
	struct vr_range r = vr_purged(8);

	EXPECT_EQ(vr_mark(r.p, LEN), 0);
	EXPECT_EQ(vr_mark(r.p + VR_PAGE, VR_PAGE), 0);
	EXPECT_FAULT(vt_do_read, r.p, SIGBUS, BUS_ADRERR);
	/* Locked since: refused, and still as it was. */
	EXPECT_EQ(mlock2(r.p, LEN, MLOCK_ONFAULT), 0);
	EXPECT_EQ(vr_mark(r.p, LEN), -EINVAL);
	EXPECT_FAULT(vt_do_read, r.p, SIGBUS, BUS_ADRERR);
	EXPECT_EQ(vr_unmark(r.p, LEN), 1);
	EXPECT_EQ(vr_unmark(r.p, LEN), 0);
}

/* A range whose first half is purged, and second half intact. */
static struct vr_range half_purged(void)
{
	struct vr_range r;

	vt_pin(0);
	r = vr_filled(8);
	REQUIRE_EQ(vr_mark(r.p, LEN), 0);
	REQUIRE_EQ(vr_pageout(r.p, LEN / 2), 0);
	REQUIRE_EQ(vr_count_pagemap(&r, VR_PM_PRESENT), 4);
	return r;
}

/* @r is as half_purged() left it, and is not after this. */
static void expect_half_purged(struct vr_range *r)
{
	EXPECT_PICTURE(r->p, "VVVVVVVV");
	EXPECT_FAULT(vt_do_read, r->p + VR_PAGE + 3, SIGBUS, BUS_ADRERR);
	EXPECT_EQ(vr_unmark(r->p + LEN / 2, LEN / 2), 0);
	EXPECT_EQ(vr_count_pages(r, 4, 8).old, 4);
	EXPECT_EQ(vr_unmark(r->p, LEN / 2), 1);
	EXPECT_EQ(vr_count_pages(r, 0, 4).zero, 4);
}

static void child_of_half_purged(void *arg)
{
	struct vr_range *r = arg;

	expect_half_purged(r);
	*r = vr_fill(r->p, 8);
	EXPECT_EQ(vr_mark(r->p, LEN), 0);
}

static void fork_inherits(void)
{
	struct vr_range r = half_purged();

	EXPECT_EQ(vt_run_child(child_of_half_purged, &r), 0);
	/* All the child did concerned itself alone. */
	expect_half_purged(&r);
}

static void wiped_child(void *arg)
{
	struct vr_range *r = arg;

	EXPECT_NO_FAULT(vt_do_read, r->p);
	EXPECT_EQ(vr_unmark(r->p, LEN), 0);
	EXPECT_ALL_ZERO(r);
}

static void wipe_on_fork(void)
{
	struct vr_range r = half_purged();

	REQUIRE_EQ(madvise(r.p, LEN, MADV_WIPEONFORK), 0);
	EXPECT_EQ(vt_run_child(wiped_child, &r), 0);
	expect_half_purged(&r);
}

static void mremap_moves(void)
{
	struct vr_range r = half_purged();
	char *old = r.p, *new = vr_anon(8);

	r.p = mremap(old, LEN, LEN, MREMAP_MAYMOVE | MREMAP_FIXED, new);
	REQUIRE(r.p == new);
	EXPECT_EQ(vr_mark(old, LEN), -ENOMEM);
	expect_half_purged(&r);
}

static void mremap_grows(void)
{
	struct vr_range r = half_purged();
	struct vr_range tail = { .pages = 8 };

	r.p = mremap(r.p, LEN, 2 * LEN, MREMAP_MAYMOVE);
	REQUIRE(r.p != MAP_FAILED);
	tail.p = r.p + LEN;
	EXPECT_PICTURE(tail.p, "VVVVVVVV");
	EXPECT_NO_FAULT(vt_do_read, tail.p);
	EXPECT_EQ(vr_unmark(tail.p, LEN), 0);
	EXPECT_ALL_ZERO(&tail);
	expect_half_purged(&r);
}

static void mremap_dontunmap(void)
{
	struct vr_range r = half_purged(), old = r;

	r.p = mremap(old.p, LEN, LEN, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	REQUIRE(r.p != MAP_FAILED);
	EXPECT_PICTURE(old.p, "VVVVVVVV");
	EXPECT_NO_FAULT(vt_do_read, old.p);
	EXPECT_EQ(vr_unmark(old.p, LEN), 0);
	EXPECT_ALL_ZERO(&old);
	expect_half_purged(&r);
}

static void mprotect_keeps(void)
{
	static const int prots[] = { PROT_NONE, PROT_READ, PROT_READ | PROT_EXEC,
				     PROT_READ | PROT_WRITE };
	struct vr_range r = half_purged();
	size_t i;

	for (i = 0; i < 4; i++) {
		REQUIRE_EQ(mprotect(r.p, LEN, prots[i]), 0);
		EXPECT_PICTURE(r.p, "VVVVVVVV");
	}
	expect_half_purged(&r);
}

static void dontneed_forgets(void)
{
	struct vr_range r = vr_purged(8);

	EXPECT_EQ(vr_advise(r.p, LEN / 2, MADV_DONTNEED), 0);
	EXPECT_NO_FAULT(vt_do_read, r.p);
	EXPECT_NO_FAULT(vt_do_write, r.p + VR_PAGE);
	EXPECT_PICTURE(r.p, "VVVVVVVV");
	EXPECT_EQ(vr_unmark(r.p, LEN / 2), 0);
	/* Control: the other half has not been given up. */
	EXPECT_FAULT(vt_do_read, r.p + LEN / 2, SIGBUS, BUS_ADRERR);
	EXPECT_EQ(vr_unmark(r.p, LEN), 1);
}

static void mapped_over(void)
{
	struct vr_range r = vr_purged(8);

	REQUIRE(mmap(r.p, LEN / 2, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == r.p);
	EXPECT_PICTURE(r.p, "----VVVV");
	EXPECT_NO_FAULT(vt_do_read, r.p);
	EXPECT_EQ(vr_unmark(r.p, LEN / 2), 0);
	EXPECT_FAULT(vt_do_read, r.p + LEN / 2, SIGBUS, BUS_ADRERR);
	REQUIRE_EQ(munmap(r.p + LEN / 2, LEN / 2), 0);
	EXPECT_EQ(vr_unmark(r.p, LEN / 2), 0);
}

static void other_advices_leave_it(void)
{
	static const int advices[] = { MADV_FREE, MADV_COLD, MADV_WILLNEED,
				       MADV_PAGEOUT, MADV_MERGEABLE,
				       MADV_UNMERGEABLE, MADV_NORMAL };
	struct vr_range r = half_purged();
	size_t i;
	int ret;

	for (i = 0; i < sizeof(advices) / sizeof(*advices); i++) {
		ret = vr_advise(r.p, LEN / 2, advices[i]);
		/* KSM and swap need not be configured. */
		EXPECT(!ret || ret == -EINVAL || ret == -EBADF);
		EXPECT_FAULT(vt_do_read, r.p, SIGBUS, BUS_ADRERR);
	}
	expect_half_purged(&r);
}

static void mlock_over_purged(void)
{
	struct vr_range r = half_purged();

	EXPECT_EQ(mlock(r.p, LEN), -1);
	EXPECT_EQ(errno, ENOMEM);
	EXPECT(strstr(vr_vma(r.p).flags, " lo"));
	EXPECT_FAULT(vt_do_read, r.p, SIGBUS, BUS_ADRERR);
	EXPECT_EQ(vr_unmark(r.p, LEN), 1);
	EXPECT(strstr(vr_vma(r.p).flags, " lo"));
	/* NONVOLATILE leaves holes and does not fill them. */
	EXPECT_EQ(vr_count_pagemap(&r, VR_PM_PRESENT), 4);
	EXPECT_EQ(vr_count(&r).zero, 4);
	REQUIRE_EQ(munlock(r.p, LEN), 0);
}

/* A monitor could not tell a purged page from a missing one. */
static void userfaultfd_and_purged(void)
{
	struct uffdio_register all = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_register tail = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_api api = { .api = UFFD_API };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	struct vr_range r = half_purged();

	if (fd < 0 && errno == ENOSYS)
		vt_skip("no CONFIG_USERFAULTFD in this kernel");
	REQUIRE_EQ(ioctl(fd, UFFDIO_API, &api), 0);
	all.range = (struct uffdio_range){ (uintptr_t)r.p, LEN };
	tail.range = (struct uffdio_range){ (uintptr_t)r.p + LEN / 2, LEN / 2 };
	EXPECT_EQ(ioctl(fd, UFFDIO_REGISTER, &all), -1);
	EXPECT_EQ(errno, EINVAL);
	/* Control: what is not volatile registers; then both unregister. */
	EXPECT_EQ(vr_unmark(r.p + LEN / 2, LEN / 2), 0);
	EXPECT_EQ(ioctl(fd, UFFDIO_REGISTER, &tail), 0);
	EXPECT_EQ(ioctl(fd, UFFDIO_UNREGISTER, &all.range), 0);
	EXPECT_PICTURE(r.p, "VVVV----");
	EXPECT_EQ(vr_mark(r.p, LEN), 0);
	expect_half_purged(&r);
}

static const struct vt_case cases[] = {
	VT_CASE(sub_range_answers_for_itself, "V-SB-6 V-IF-2",
		"NONVOLATILE answers for its range, and for each purge once."),
	VT_CASE(marking_keeps_purge_state, "V-MK-4 V-SB-6 V-SB-11",
		"Marking purged pages again, or failing to, keeps them purged."),
	VT_CASE(fork_inherits, "V-SB-7",
		"A child inherits purged pages; each side then acts for itself."),
	VT_CASE(wipe_on_fork, "V-SB-7",
		"The child of a WIPEONFORK range starts without purged pages."),
	VT_CASE(mremap_moves, "V-SB-8",
		"A moved mapping takes flag and purged pages along."),
	VT_CASE(mremap_grows, "V-SB-8",
		"A grown mapping keeps its purged pages, the new part is volatile."),
	VT_CASE(mremap_dontunmap, "V-SB-8",
		"MREMAP_DONTUNMAP leaves the old range volatile and empty."),
	VT_CASE(mprotect_keeps, "V-SB-8",
		"mprotect keeps flag and purged pages."),
	VT_CASE(dontneed_forgets, "V-SB-9",
		"After MADV_DONTNEED a purged page is zero-filled, silently."),
	VT_CASE(mapped_over, "V-SB-9",
		"Mapping over and unmapping drop purged pages, silently."),
	VT_CASE(other_advices_leave_it, "V-SB-9",
		"MADV_FREE, COLD, WILLNEED, PAGEOUT and KSM leave purged pages."),
	VT_CASE(userfaultfd_and_purged, "V-SB-12",
		"userfaultfd: EINVAL to register a volatile range, 0 to unregister."),
	VT_CASE(mlock_over_purged, "V-SB-11",
		"mlock over purged pages: ENOMEM, locked, and still purged."),
};

VT_MAIN(cases)
