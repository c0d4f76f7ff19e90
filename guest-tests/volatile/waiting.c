// SPDX-License-Identifier: GPL-2.0-only
/* The advices wait for the lock of the mm like everybody else: killably. */
#include "vr_tables.h"

#include <sys/syscall.h>
#include <time.h>

#define LEN		(4UL << 30)
#define PF_EXITING	0x4
#define LOOKS		200

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

static void place_waiter(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	REQUIRE_EQ(sched_setaffinity(shared->waiter, sizeof(set), &set), 0);
}

/*
 * Whether the waiter sleeps until it gets the lock. While the fork's CPU is ours the
 * owner of the lock does not run, so the other CPU need not spin for it any longer.
 */
static bool sleeps(void)
{
	unsigned int flags;
	int looks = get(&shared->forking) ? LOOKS : 0;

	while (looks--)
		if (waiter_state(&flags) == 'D')
			return true;
	return false;
}

/*
 * Has memory of its own, so nothing of this waits for the lock. It comes before the
 * fork on the fork's CPU and lets it have that for a moment at a time: while this
 * runs the fork stands still, and so a lock that it holds is held until this ends.
 */
static void observe(void *arg)
{
	const struct sched_param first = { .sched_priority = 1 };
	const struct timespec moment = { .tv_nsec = 200 * 1000 };
	unsigned int flags = 0;
	char state;

	(void)arg;
	vt_pin(0);
	REQUIRE_EQ(sched_setscheduler(0, SCHED_FIFO, &first), 0);
	while (!sleeps()) {
		VT_OR_ABANDON(vt_check(!get(&shared->forked),
				       "inconclusive: the fork was faster"));
		nanosleep(&moment, NULL);
	}
	/*
	 * Here it does not run while this does, so what the signal does to it is there
	 * to be seen. From 6.12 on the scheduler gives it a moment now and then even so
	 * (the fair server): then it is on its way out already.
	 */
	place_waiter(0);
	REQUIRE_EQ(kill(shared->waiter, SIGKILL), 0);
	state = waiter_state(&flags);
	EXPECT(state == 'R' || flags & PF_EXITING);
	/* On its way out it has to wait for the lock once more, and so is still there. */
	place_waiter(1);
	while (!(flags & PF_EXITING) && !vt_shared->failures)
		waiter_state(&flags);
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
	/* Else the observer must share its CPU after 0.95 s. */
	vt_set("/proc/sys/kernel/sched_rt_runtime_us", "-1");
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
	/* Where the observer gave up before it came to that. */
	kill(shared->waiter, SIGKILL);
	EXPECT_EQ(vt_wait(shared->waiter), SIGKILL);
	EXPECT_EQ(vt_wait(child), 0);
}

static const struct vt_case cases[] = {
	VT_CASE(marking_can_be_killed, "V-IF-8",
		"A process that waits for the mm lock in MADV_VOLATILE can be killed.",
		.timeout = 20),
};

VT_MAIN(cases)
