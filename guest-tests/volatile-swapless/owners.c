// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where an address space is counted.  It may outlive its owner: two processes share
 * it, in different groups, and when the owner ends the other one becomes the owner.
 * And a child may begin in another group than its parent is in.
 */
#include "vr.h"

#include <linux/sched.h>
#include <sys/syscall.h>

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

static void cloned_into_group(void)
{
	struct clone_args args = {
		.flags = CLONE_INTO_CGROUP,
		.exit_signal = SIGCHLD,
	};
	pid_t pid;
	char *p;

	first = vt_cgroup("vw-first");
	second = vt_cgroup("vw-second");
	end = vt_gate();
	vt_cgroup_enter(first);
	p = vr_anon(PAGES);
	REQUIRE_EQ(vr_mark(p, BYTES), 0);
	args.cgroup = open(second, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (!pid) {
		vt_gate_wait(&end);
		_exit(0);
	}
	REQUIRE(pid > 0);
	EXPECT_EQ(marked(first), BYTES);
	EXPECT_EQ(marked(second), BYTES);
	vt_gate_open(&end);
	EXPECT_EQ(vt_wait(pid), 0);
	EXPECT_EQ(marked(first), BYTES);
	EXPECT_EQ(marked(second), 0);
}

static const struct vt_case cases[] = {
	VT_CASE(owner_ends, "VA-3",
		"What is marked is counted where the process is that owns it now."),
	VT_CASE(cloned_into_group, "VA-3",
		"A child that is cloned into another group is counted there."),
};

VT_MAIN(cases)
