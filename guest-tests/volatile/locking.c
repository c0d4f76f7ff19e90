// SPDX-License-Identifier: GPL-2.0-only
/*
 * Locked memory that is volatile too: nothing of it is purged, however it was
 * locked, and not even if reclaim is at it while it is being locked.
 */
#include "vr_group.h"
#include "vr_reclaimer.h"

#include <sys/syscall.h>

#define PAGES	128
#define ROUNDS	20
#define ALL	(64UL << 20)
#define MLOCKED	(1ULL << 33)		/* in /proc/kpageflags */
#define PFN	((1ULL << 55) - 1)	/* in pagemap */

static int lock_now(const struct vr_range *r)
{
	return mlock(r->p, vr_len(r));
}

static int lock_on_fault(const struct vr_range *r)
{
	return mlock2(r->p, vr_len(r), MLOCK_ONFAULT);
}

/* @lock keeps a marked range from being purged; unlocked it goes. */
static void keeps(int (*lock)(const struct vr_range *))
{
	const char *group = vr_group(false);
	struct vr_range r = vr_filled(PAGES), control = vr_filled(PAGES);

	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	REQUIRE_EQ(vr_mark(control.p, vr_len(&control)), 0);
	REQUIRE_EQ(lock(&r), 0);
	vr_squeeze(group, &control);
	EXPECT_EQ(vr_unmark(control.p, vr_len(&control)), 1);
	EXPECT_EQ(vr_count_pagemap(&r, VR_PM_PRESENT), PAGES);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 0);
	EXPECT_ALL_OLD(&r);
	/* Control: it was the lock that kept them. */
	REQUIRE_EQ(munlock(r.p, vr_len(&r)), 0);
	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	vr_squeeze(group, &r);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 1);
	EXPECT_ALL_ZERO(&r);
}

static void mlock_keeps(void)
{
	keeps(lock_now);
}

static void mlock_onfault_keeps(void)
{
	keeps(lock_on_fault);
}

/* mlockall() locks our control as well: that one is another process's. */
struct other {
	struct vt_gate ready, judge;
};

static void have_control(void *arg)
{
	struct other *other = arg;
	struct vr_range control = vr_filled(PAGES);

	REQUIRE_EQ(vr_mark(control.p, vr_len(&control)), 0);
	vt_gate_open(&other->ready);
	vt_gate_wait(&other->judge);
	EXPECT_EQ(vr_unmark(control.p, vr_len(&control)), 1);
	EXPECT_ALL_ZERO(&control);
}

static void lock_all(int flags)
{
	const char *group = vr_group(false);
	struct other other = { vt_gate(), vt_gate() };
	pid_t pid = vt_fork(have_control, &other);
	long long purged = vr_purges();
	struct vr_range r;
	int round;

	vt_gate_wait(&other.ready);
	r = vr_filled(PAGES);
	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	REQUIRE_EQ(mlockall(flags), 0);
	for (round = 0; round < 32 && vr_purges() - purged < PAGES; round++)
		vr_reclaim(group, ALL);
	vt_gate_open(&other.judge);
	EXPECT_EQ(vt_wait(pid), 0);
	EXPECT_EQ(vr_purges() - purged, PAGES);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 0);
	EXPECT_ALL_OLD(&r);
	REQUIRE_EQ(munlockall(), 0);
}

static void mlockall_keeps(void)
{
	lock_all(MCL_CURRENT);
}

static void mlockall_onfault_keeps(void)
{
	lock_all(MCL_CURRENT | MCL_ONFAULT);
}

/*
 * Lock in the middle of a reclaim. mlock() is 0: every byte is there, and stays.
 * It fails: what it found purged is lost, nothing more will be.
 */
static void lock_against_reclaim(int flags)
{
	int round, locked = 0, late = 0;
	struct vr_range r;
	long looks;

	vr_start_reclaimer(PAGES);
	r = vr_filled(PAGES);
	looks = vr_looks_of_a_reclaim(&r);
	for (round = 0; round < ROUNDS; round++) {
		size_t there;
		int ret;

		REQUIRE_EQ(vr_advise(r.p, vr_len(&r), MADV_DONTNEED), 0);
		r = vr_fill(r.p, PAGES);
		REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
		vr_ask_reclaim();
		vr_look_for_end(looks * round / ROUNDS * round / ROUNDS);
		ret = flags ? mlock2(r.p, vr_len(&r), flags) :
			      mlock(r.p, vr_len(&r));
		if (ret)
			REQUIRE_EQ(errno, ENOMEM);
		there = vr_count_pagemap(&r, VR_PM_PRESENT | VR_PM_SWAP);
		vr_wait_reclaim();
		vr_ask_reclaim();
		vr_wait_reclaim();
		EXPECT_EQ(vr_count_pagemap(&r, VR_PM_PRESENT | VR_PM_SWAP),
			  there);
		if (!flags)
			EXPECT_EQ(ret, there < PAGES ? -1 : 0);
		locked += there == PAGES;
		late += there < PAGES;
		EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), there < PAGES);
		EXPECT_EQ(vr_count(&r).old, there);
		REQUIRE_EQ(munlock(r.p, vr_len(&r)), 0);
	}
	vt_diag("%d times locked in time, %d times too late, of %ld looks",
		locked, late, looks);
	/* Control: not locked, it goes, as it did before. */
	REQUIRE_EQ(vr_advise(r.p, vr_len(&r), MADV_DONTNEED), 0);
	r = vr_fill(r.p, PAGES);
	vr_looks_of_a_reclaim(&r);
}

static void mlock_against_reclaim(void)
{
	lock_against_reclaim(0);
}

static void mlock_onfault_against_reclaim(void)
{
	lock_against_reclaim(MLOCK_ONFAULT);
}

/* Those of @r that are mlocked themselves, and so on no list that reclaim looks at. */
static size_t mlocked(const struct vr_range *r)
{
	int fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	uint64_t pfn, flags;
	size_t i, found = 0;

	REQUIRE(fd >= 0);
	for (i = 0; i < r->pages; i++) {
		pfn = vr_pagemap(vr_page(r, i)) & PFN;
		REQUIRE(pfn);
		REQUIRE_EQ(pread(fd, &flags, 8, pfn * 8), 8);
		found += !!(flags & MLOCKED);
	}
	close(fd);
	return found;
}

struct sharer {
	const struct vr_range *r;
	struct vt_gate locked, read;
};

static void lock_and_read(void *arg)
{
	struct sharer *sharer = arg;
	const struct vr_range *r = sharer->r;

	REQUIRE_EQ(lock_on_fault(r), 0);
	REQUIRE_EQ(vr_count_pagemap(r, VR_PM_SWAP), r->pages);
	vt_gate_open(&sharer->locked);
	vt_gate_wait(&sharer->read);
	EXPECT_ALL_OLD(r);
	EXPECT_EQ(mlocked(r), r->pages);
}

/*
 * The pages are in the swap cache, and mapped by us, when the child maps them: there is no
 * fresh page that would be mlocked on its way to the list.
 */
static void swapped_in_locked(void)
{
	struct sharer sharer = { NULL, vt_gate(), vt_gate() };
	struct vr_range r;
	pid_t pid;

	vt_swap_disk();
	r = vr_filled(8);
	REQUIRE_EQ(vr_pageout(r.p, vr_len(&r)), 0);
	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	sharer.r = &r;
	pid = vt_fork(lock_and_read, &sharer);
	vt_gate_wait(&sharer.locked);
	EXPECT_ALL_OLD(&r);
	/* Control: not by our mapping. */
	EXPECT_EQ(mlocked(&r), 0);
	vt_gate_open(&sharer.read);
	EXPECT_EQ(vt_wait(pid), 0);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 0);
}

#define LOCK(fn, about) VT_CASE(fn, "V-PG-7", about)

static const struct vt_case cases[] = {
	LOCK(mlock_keeps, "mlock after marking: not purged, until munlock."),
	LOCK(mlock_onfault_keeps,
	     "mlock2 with ONFAULT after marking: not purged, until munlock."),
	LOCK(mlockall_keeps, "mlockall: no volatile page of the process is purged."),
	LOCK(mlockall_onfault_keeps,
	     "mlockall with ONFAULT: no volatile page of the process is purged."),
	LOCK(mlock_against_reclaim,
	     "mlock beside another's reclaim: nothing is purged after it."),
	LOCK(mlock_onfault_against_reclaim,
	     "The same with ONFAULT, which does not tell what was purged before."),
	LOCK(swapped_in_locked,
	     "A page of several that one swaps in where it is locked is mlocked at once."),
};

VT_MAIN(cases)
