/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reclaim in a control group, for what MADV_PAGEOUT leaves alone: pages that
 * are mapped more than once. And relatives to share them with.
 */
#ifndef VR_GROUP_H
#define VR_GROUP_H

#include "vr_pages.h"

/* Reclaim to the swap disk, by the one LRU or the other. Returns the group. */
static inline const char *vr_group(bool mglru)
{
	const char *group;

	vt_mglru(mglru);
	vt_swap_disk();
	vt_pin(0);
	group = vt_cgroup("vr-group");
	vt_cgroup_enter(group);
	return group;
}

/*
 * Ask for @bytes of the group back. memory.stat is read first, for that brings
 * the group's statistics up to date: reclaim judges by them whether the active
 * list is worth a look, and they may be two seconds old else.
 */
static inline int vr_reclaim(const char *group, long long bytes)
{
	char stat[8192];

	vt_read(vt_cgroup_path(group, "memory.stat"), stat, sizeof(stat));
	return vt_cgroup_try_write(group, "memory.reclaim", bytes);
}

/*
 * Reclaim all of the group until @r is gone from the page table of this
 * process: pages that were used get a second chance, so one call may not do.
 */
static inline void vr_squeeze(const char *group, const struct vr_range *r)
{
	int round;

	for (round = 0; round < 32; round++) {
		if (!vr_count_pagemap(r, VR_PM_PRESENT))
			return;
		vr_reclaim(group, 256 << 20);
	}
	REQUIRE_EQ(vr_count_pagemap(r, VR_PM_PRESENT), 0);
}

/* What a child does with a range that it shares: when told to, then at the end. */
struct vr_kin {
	void (*prepare)(struct vr_kin *kin);
	void (*judge)(struct vr_kin *kin);
	struct vr_range *r, *control;
	int expect;			/* of unmarking r at the end */
	struct vt_gate ready, end;
	pid_t pid;
};

static inline void vr_kin_run(void *arg)
{
	struct vr_kin *kin = arg;

	if (kin->prepare)
		kin->prepare(kin);
	vt_gate_open(&kin->ready);
	vt_gate_wait(&kin->end);
	if (kin->judge)
		kin->judge(kin);
}

/* Fork, and wait until the child has prepared itself. */
static inline void vr_kin_start(struct vr_kin *kin)
{
	kin->ready = vt_gate();
	kin->end = vt_gate();
	kin->pid = vt_fork(vr_kin_run, kin);
	vt_gate_wait(&kin->ready);
}

/* Let the child judge and end. */
static inline void vr_kin_end(struct vr_kin *kin)
{
	vt_gate_open(&kin->end);
	EXPECT_EQ(vt_wait(kin->pid), 0);
}

/* Unmark all of @r: 1 and nothing of it is left, or 0 and all is. */
static inline void vr_expect_unmark(const struct vr_range *r, int expect)
{
	EXPECT_EQ(vr_unmark(r->p, vr_len(r)), expect);
	if (expect)
		EXPECT_ALL_ZERO(r);
	else
		EXPECT_ALL_OLD(r);
}

#endif
