// SPDX-License-Identifier: GPL-2.0-only
/*
 * An address space that outlives its owner: two processes share it, in different
 * groups.  When the owner ends, the other one becomes the owner.
 */
#include "vr.h"

#define PAGES	4096
#define BYTES	(PAGES * VR_PAGE)

static char stack[65536];
static struct vt_gate moved, ended, end;
static const char *first, *second;

static int live_on(void *arg)
{
	(void)arg;
	vt_cgroup_enter(second);
	vt_gate_open(&moved);
	vt_gate_wait(&end);
	_exit(0);
}

static void own(void *arg)
{
	char *p;

	(void)arg;
	vt_cgroup_enter(first);
	p = vr_anon(PAGES);
	REQUIRE_EQ(vr_mark(p, BYTES), 0);
	REQUIRE(clone(live_on, stack + sizeof(stack), CLONE_VM | SIGCHLD, NULL) > 0);
	vt_gate_wait(&moved);
	vt_gate_open(&ended);
	/* Not exit(): the other one needs what that would take down. */
	_exit(0);
}

static long long marked(const char *group)
{
	return vt_key(vt_cgroup_path(group, "memory.stat"), "volatile");
}

static void owner_ends(void)
{
	pid_t owner;

	first = vt_cgroup("vw-first");
	second = vt_cgroup("vw-second");
	moved = vt_gate();
	ended = vt_gate();
	end = vt_gate();
	owner = vt_fork(own, NULL);
	vt_gate_wait(&ended);
	EXPECT_EQ(vt_wait(owner), 0);
	EXPECT_EQ(marked(first), 0);
	EXPECT_EQ(marked(second), BYTES);
	vt_gate_open(&end);
}

static const struct vt_case cases[] = {
	VT_CASE(owner_ends, "VA-3",
		"What is marked is counted where the process is that owns it now."),
};

VT_MAIN(cases)
