/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One page and its reclaimer, for races on demand: the page is all that the
 * control group has, so what reclaim looks at, and in which order, is known.
 */
#ifndef VR_RACE_H
#define VR_RACE_H

#include "vr_pages.h"

/*
 * Where the page is. Below everything else of the process: fork() copies this
 * mapping first.
 */
#define VR_RACE_ADDRESS	((char *)0x100000)

static const char *vr_race_group;
static struct vr_range vr_race_range;
/* What the points of a scenario may compare an argument with. */
static char *volatile vr_race_page = VR_RACE_ADDRESS;

/* .setup: swap, for what is not purged has to go somewhere, and the group. */
static inline void vr_race_setup(void)
{
	vt_swap_disk();
	vr_race_group = vt_cgroup("vr-race");
}

/*
 * What else is touched for the first time while we are in the group, by main or
 * by a thread that is about to start, is charged there too. Reclaim would swap it
 * out before it comes to the page, and flush the TLBs of CPUs that are held. But
 * not if it is locked.
 */
static inline void vr_race_lock_rest(void)
{
	static bool locked;

	if (locked)
		return;
	REQUIRE_EQ(mlockall(MCL_CURRENT | MCL_ONFAULT), 0);
	locked = true;
}

/*
 * Put on the LRU lists what this CPU has yet to put there, and make lazyfree what
 * it has yet to make so. madvise_willneed() of anonymous memory ends with
 * lru_add_drain() on every line, locked or not; a zap does that up to 6.12 only.
 * Without it the last try of memory.reclaim waits for work on CPUs that are held.
 */
static inline void vr_race_drain(void)
{
	REQUIRE_EQ(madvise(vr_race_range.p, VR_PAGE, MADV_WILLNEED), 0);
}

/*
 * Fresh pages, of which the first is touched. We are in the group for that, and no
 * longer: what one touch brings is charged there, and nothing else ever is that reclaim
 * could take.
 */
static inline char *vr_race_touch(size_t pages)
{
	char *p;

	vr_race_lock_rest();
	p = mmap(VR_RACE_ADDRESS, pages * VR_PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	REQUIRE(p == VR_RACE_ADDRESS);
	vt_cgroup_enter(vr_race_group);
	*(volatile char *)p = 0;
	vt_cgroup_enter("/sys/fs/cgroup");
	return p;
}

/* .prepare: a fresh page, not marked, on the LRU. */
static inline void vr_race_fill(void)
{
	vr_race_range = vr_fill(vr_race_touch(1), 1);
	vr_race_drain();
}

static inline void vr_race_mark(void)
{
	REQUIRE_EQ(vr_mark(vr_race_range.p, VR_PAGE), 0);
}

/* 1 if the page was purged, and then it is zero; else 0. */
static inline int vr_race_unmark(void)
{
	int ret = vr_unmark(vr_race_range.p, VR_PAGE);

	REQUIRE_GE(ret, 0);
	REQUIRE_EQ(vr_state(&vr_race_range, 0), ret ? VR_ZERO : VR_OLD);
	return ret;
}

/*
 * The reclaimer's part, in a process of its own: until something was reclaimed,
 * by a purge or by swap. It may fall short while somebody holds the page.
 */
static inline void vr_race_reclaim(void)
{
	vt_cgroup_try_write(vr_race_group, "memory.reclaim", VR_PAGE);
}

#endif
