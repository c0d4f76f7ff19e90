/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reclaim of another process's choosing while this one does something else.
 * MADV_PAGEOUT would not do: it holds the lock of the mm and so keeps whatever
 * changes mappings out. The reclaimer works on our control group and stays
 * outside of it, on a CPU of its own.
 */
#ifndef VR_RECLAIMER_H
#define VR_RECLAIMER_H

#include "vr_pages.h"

#include <limits.h>

/*
 * Another process reclaims some of our group whenever it is asked to, and says
 * when it is done. In between it runs beside whatever we do.
 */
static struct vr_reclaimer {
	const char *group;
	size_t bytes;			/* each time */
	struct vt_gate asked, done;
} vr_reclaimer;

static inline void vr_serve(void *arg)
{
	(void)arg;
	vt_pin(1);
	for (;;) {
		vt_gate_wait(&vr_reclaimer.asked);
		/* It may fall short: what it takes, not how much, matters. */
		vt_cgroup_try_write(vr_reclaimer.group, "memory.reclaim",
				    vr_reclaimer.bytes);
		vt_gate_open(&vr_reclaimer.done);
	}
}

/* Swap, a control group that we are in on CPU 0, and a reclaimer of @pages. */
static inline void vr_start_reclaimer(size_t pages)
{
	vt_swap_disk();
	vr_reclaimer.group = vt_cgroup("vr-races");
	vr_reclaimer.bytes = pages * VR_PAGE;
	vr_reclaimer.asked = vt_gate();
	vr_reclaimer.done = vt_gate();
	/* Before there is anything volatile: what it inherits is shared. */
	vt_fork(vr_serve, NULL);
	vt_cgroup_enter(vr_reclaimer.group);
	vt_pin(0);
}

static inline void vr_ask_reclaim(void)
{
	vt_gate_open(&vr_reclaimer.asked);
}

static inline void vr_wait_reclaim(void)
{
	vt_gate_wait(&vr_reclaimer.done);
}

/* Look up to @max times whether the reclaim is done. Returns how often it took. */
static inline long vr_look_for_end(long max)
{
	struct pollfd done = { .fd = vr_reclaimer.done.fd[0], .events = POLLIN };
	long looks = 0;

	while (looks < max && !poll(&done, 1, 0))
		looks++;
	return looks;
}

/*
 * Wait until reclaim has taken @pages of @r out of the page table, or is done.
 * mincore() tells without a touch, and takes no lock that would stop reclaim.
 */
static inline void vr_wait_taken(const struct vr_range *r, size_t pages)
{
	struct pollfd done = { .fd = vr_reclaimer.done.fd[0], .events = POLLIN };
	unsigned char in_core[r->pages];
	size_t taken, i;

	do {
		REQUIRE_EQ(mincore(r->p, vr_len(r), in_core), 0);
		for (taken = 0, i = 0; i < r->pages; i++)
			taken += !(in_core[i] & 1);
	} while (taken < pages && !poll(&done, 1, 0));
}

/* How long one whole reclaim of @r, marked for it, takes, in looks: it purges. */
static inline long vr_looks_of_a_reclaim(struct vr_range *r)
{
	long looks;

	REQUIRE_EQ(vr_mark(r->p, vr_len(r)), 0);
	vr_ask_reclaim();
	looks = vr_look_for_end(LONG_MAX);
	vr_wait_reclaim();
	/* Control: it does take such pages. */
	REQUIRE_EQ(vr_unmark(r->p, vr_len(r)), 1);
	EXPECT_GE(vr_count(r).zero, 1);
	return looks;
}

#endif
