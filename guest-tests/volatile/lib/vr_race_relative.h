/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A page that is volatile for this process and for a relative, and of which a purge
 * takes the relative's mapping first.
 */
#ifndef VR_RACE_RELATIVE_H
#define VR_RACE_RELATIVE_H

#include "vr_race.h"

static struct vt_gate vr_race_marked, vr_race_ask;
static pid_t vr_race_relative;

/* .setup */
static inline void vr_race_setup_shared(void)
{
	vr_race_setup();
	vr_race_marked = vt_gate();
	vr_race_ask = vt_gate();
}

static void vr_race_share(void *arg)
{
	(void)arg;
	vr_race_mark();
	vt_gate_open(&vr_race_marked);
	vt_gate_wait(&vr_race_ask);
	_exit(vr_race_unmark());
}

/* A walk comes to mappings of one page in the order in which they were made. */
static inline void vr_race_become_last(void)
{
	char *aside = vr_anon(1);

	REQUIRE(mremap(vr_race_page, VR_PAGE, VR_PAGE,
		       MREMAP_MAYMOVE | MREMAP_FIXED, aside) == aside);
	REQUIRE(mremap(aside, VR_PAGE, VR_PAGE,
		       MREMAP_MAYMOVE | MREMAP_FIXED, vr_race_page) == vr_race_page);
}

/* .prepare */
static inline void vr_race_fill_shared(void)
{
	vr_race_fill();
	vr_race_relative = vt_fork(vr_race_share, NULL);
	vt_gate_wait(&vr_race_marked);
	vr_race_become_last();
	vr_race_mark();
}

/* What MADV_NONVOLATILE says to the relative, which ends. */
static inline int vr_race_unmark_relative(void)
{
	vt_gate_open(&vr_race_ask);
	return vt_wait(vr_race_relative);
}

#endif
