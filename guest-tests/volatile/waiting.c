// SPDX-License-Identifier: GPL-2.0-only
/* The advices wait for the lock of the mm like everybody else: killably. */
#include "vr_tables.h"

#include <sys/syscall.h>

#define LEN		(4UL << 30)
#define PF_EXITING	0x4

/*
 * In memory that all processes share. The waiter's stack is there too: fork()
 * write-protects private memory, and a write fault is another killable wait.
 */
struct shared {
	pid_t waiter;
	int forking, forked, killed;
	char waiter_stack[16 * VR_PAGE] __attribute__((aligned(16)));
};

static struct shared *shared;
static char *target;

static int get(int *flag)
{
	return __atomic_load_n(flag, __ATOMIC_SEQ_CST);
}

static void set(int *flag)
{
	__atomic_store_n(flag, 1, __ATOMIC_SEQ_CST);
}

/* State letter and PF_ flags of the waiter. */
static char waiter_state(unsigned int *flags)
{
	char path[64], text[1024], state = '?';

	snprintf(path, sizeof(path), "/proc/%d/stat", shared->waiter);
	vt_read(path, text, sizeof(text));
	REQUIRE(sscanf(strrchr(text, ')') + 1, " %c %*d %*d %*d %*d %*d %u",
		       &state, flags) == 2);
	return state;
}

/* Shares our memory. Marks it until it gets in the way of the fork. */
static int wait_for_lock(void *arg)
{
	(void)arg;
	while (!get(&shared->forking))
		sched_yield();
	while (!syscall(SYS_madvise, target, VR_PAGE, MADV_VOLATILE))
		;
	return 1;
}

/* Has memory of its own, so nothing of this waits for the lock. */
static void observe(void *arg)
{
	unsigned int flags = 0;
	bool exits;

	(void)arg;
	vt_pin(1);
	while (!get(&shared->forking))
		sched_yield();
	while (waiter_state(&flags) != 'D')
		VT_OR_ABANDON(vt_check(!get(&shared->forked),
				       "inconclusive: the fork was faster"));
	REQUIRE_EQ(kill(shared->waiter, SIGKILL), 0);
	/*
	 * It exits, for which it has to wait for the lock once more: asleep and
	 * exiting means that it got out of its first wait without the lock.
	 */
	do {
		/* It exits on this very CPU: let it have it. */
		sched_yield();
		exits = waiter_state(&flags) == 'D' && (flags & PF_EXITING);
	} while (!exits && !get(&shared->forked));
	EXPECT(exits);
	set(&shared->killed);
}

static void nothing(void *arg)
{
	(void)arg;
}

/* Page tables enough for fork() to hold the lock for a while. */
static void make_fork_slow(void)
{
	char *p = vr_map_tables(LEN);

	/* Without an anon_vma fork() would not copy them. */
	*p = 1;
}

static void marking_can_be_killed(void)
{
	pid_t observer, child;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	REQUIRE(shared != MAP_FAILED);
	target = vr_anon(1);
	/* Started while forking is fast: it finds the waiter when it is told. */
	observer = vt_fork(observe, NULL);
	make_fork_slow();
	vt_pin(1);
	shared->waiter = clone(wait_for_lock, shared->waiter_stack +
			       sizeof(shared->waiter_stack),
			       CLONE_VM | SIGCHLD, NULL);
	REQUIRE_GE(shared->waiter, 1);
	vt_pin(0);
	set(&shared->forking);
	child = vt_fork(nothing, NULL);
	set(&shared->forked);
	EXPECT_EQ(vt_wait(observer), 0);
	EXPECT(get(&shared->killed));
	EXPECT_EQ(vt_wait(shared->waiter), SIGKILL);
	EXPECT_EQ(vt_wait(child), 0);
}

static const struct vt_case cases[] = {
	VT_CASE(marking_can_be_killed, "V-IF-8",
		"A process that waits for the mm lock in MADV_VOLATILE can be killed.",
		.timeout = 20),
};

VT_MAIN(cases)
