// SPDX-License-Identifier: GPL-2.0-only
/*
 * Volatile ranges among the odder parts of memory management: MADV_FREE, KSM, collapse,
 * swapoff, UFFDIO_MOVE, fork, all while other processes reclaim. Three threads do at
 * random what vo_deeds.h has, each in an arena of its own, and after each call every
 * page must be what the book says (vo_page.h): no page is lost that was not given up.
 *
 * The seed (VTEST_SEED, else random; it is printed) decides what each thread does, and
 * not how that meets with reclaim and the rest.
 */
#include "vo_deeds.h"

#include <pthread.h>
#include <sys/uio.h>

#define THREADS		3
#define STEPS		150		/* of each thread, times ODD_TIMES */
#define PATIENCE	10		/* times as many, where too little was met */
#define KSM		"/sys/kernel/mm/ksm/"
#define THP		"/sys/kernel/mm/transparent_hugepage/"
#define ARENA		(VO_PAGES * VR_PAGE)

static struct vo_arena arenas[THREADS];
static uint64_t seed;
static long steps;

static void give_up_range(void *range)
{
	struct vr_range *r = range;

	REQUIRE_EQ(madvise(r->p, vr_len(r), MADV_FREE), 0);
}

static void wait_for_gate(void *gate)
{
	vt_gate_wait(gate);
}

/*
 * Kernels without the fix of patches/lazyfree-shared lose what a relative gives up.
 * Find out which this is: pages that were copied for a reader, and then shared.
 */
static bool shared_lazyfree_is_safe(void)
{
	static char text[8 * VR_PAGE];
	struct vr_range r = vr_filled(8);
	struct iovec to = { text, sizeof(text) }, from = { r.p, vr_len(&r) };
	struct vt_gate gate = vt_gate();
	pid_t child = vt_fork(wait_for_gate, &gate);
	bool safe;

	REQUIRE_EQ(process_vm_readv(getpid(), &to, 1, &from, 1, 0), sizeof(text));
	vt_gate_open(&gate);
	REQUIRE_EQ(vt_wait(child), 0);
	vt_drain_batches();
	REQUIRE_EQ(vt_run_child(give_up_range, &r), 0);
	vt_drain_batches();
	REQUIRE_EQ(vr_pageout(r.p, vr_len(&r)), 0);
	safe = vr_count(&r).old == r.pages;
	REQUIRE_EQ(munmap(r.p, vr_len(&r)), 0);
	return safe;
}

static void reclaim(void *arg)
{
	struct vo_arena dice = { .random = seed * 3 };
	const char *group = arg;

	for (;;) {
		vt_cgroup_try_write(group, "memory.reclaim",
				    (1 + vo_below(&dice, 600)) * VR_PAGE);
		if (!vo_below(&dice, 16))
			vt_try_write("/proc/sys/vm/compact_memory", "1");
	}
}

/* Settings that an administrator changes while programs run. */
static void meddle(void *arg)
{
	const char *device = arg;
	struct vo_arena dice = { .random = seed * 5 };

	for (;;) {
		switch (vo_below(&dice, 4)) {
		case 0:
			vt_try_write("/sys/kernel/mm/lru_gen/enabled",
				     vo_below(&dice, 2) ? "y" : "n");
			break;
		case 1:
			if (!swapoff(device))
				VO_COUNT(swapoffs, 1);
			REQUIRE(!swapon(device, SWAP_FLAG_PREFER | 5) ||
				errno == EBUSY);
			break;
		case 2:
			vt_try_write(THP "enabled",
				     vo_below(&dice, 2) ? "always" : "never");
			break;
		case 3:
			if (!access(KSM "pages_sharing", R_OK) &&
			    vt_read_number(KSM "pages_sharing") > 0)
				VO_COUNT(merged, 1);
			break;
		}
		usleep(20000);
	}
}

static void settings(struct vo_arena *dice)
{
	if (!access(THP "enabled", F_OK)) {
		vt_set(THP "enabled", "always");
		vt_set(THP "khugepaged/scan_sleep_millisecs", "10");
		vt_set(THP "khugepaged/pages_to_scan", "4096");
	}
	if (!access("/sys/kernel/mm/lru_gen/enabled", F_OK))
		vt_set("/sys/kernel/mm/lru_gen/enabled",
		       vo_below(dice, 2) ? "y" : "n");
	if (!access(KSM "run", F_OK)) {
		vt_set(KSM "sleep_millisecs", "5");
		vt_set(KSM "pages_to_scan", "1000");
		vt_set(KSM "run", "1");
	}
	vo.shared_lazyfree_is_safe = shared_lazyfree_is_safe();
	vo.merge = vo.give_up = true;
	/* Without that fix what KSM has merged is shared as well. */
	if (!vo.shared_lazyfree_is_safe) {
		vo.merge = vo_below(dice, 2);
		vo.give_up = !vo.merge;
	}
	vt_diag("MADV_FREE of what others map: %s; in this run: %s",
		vo.shared_lazyfree_is_safe ? "safe" : "loses it for them",
		vo.merge && vo.give_up ? "MADV_FREE and KSM" :
		vo.merge ? "KSM" : "MADV_FREE, not in children");
}

static void arm_landing(struct vo_arena *a)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		/* A missing page is a signal: nobody waits for one. */
		.features = UFFD_FEATURE_MOVE | UFFD_FEATURE_SIGBUS,
	};
	struct uffdio_register reg = {
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);

	a->uffd = -1;
	a->landing = vr_anon(1);
	reg.range = (struct uffdio_range){ (uintptr_t)a->landing, VR_PAGE };
	if (fd >= 0 && !ioctl(fd, UFFDIO_API, &api) &&
	    !ioctl(fd, UFFDIO_REGISTER, &reg))
		a->uffd = fd;
}

static void make_arena(struct vo_arena *a)
{
	char *p = mmap(NULL, 3 * ARENA, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	REQUIRE(p != MAP_FAILED);
	a->p = p + ARENA - (uintptr_t)p % ARENA;
	REQUIRE_EQ(mprotect(a->p, ARENA, PROT_READ | PROT_WRITE), 0);
	a->away = mmap(NULL, ARENA, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	REQUIRE(a->away != MAP_FAILED);
	arm_landing(a);
}

/* A run that met none of these has shown nothing. Returns what is missing, or NULL. */
static const char *missing(void)
{
	const struct vo_counts *n = vo.count;

#define MET(what)	__atomic_load_n(&n->what, __ATOMIC_RELAXED)
	return !MET(intact) ? "intact" : !MET(lost) ? "lost" :
	       !MET(sigbus) ? "sigbus" : !MET(forks) ? "forks" :
	       !MET(moves) ? "moves" : !vo.give_up ? NULL :
	       !MET(freed) ? "freed" : !MET(taken_back) ? "taken_back" : NULL;
}

/*
 * How many pages reclaim gets at within the steps depends on how fast the threads are
 * beside it: on a machine where 450 steps take a second, 39 pages were purged and none
 * of them was touched. So the threads go on until everything was met.
 */
static bool may_end(long n)
{
	return vo_is_over() || n >= PATIENCE * steps || (n >= steps && !missing());
}

static void *live(void *arg)
{
	struct vo_arena *a = arg;
	long n;

	for (n = 0; !may_end(n); n++)
		vo_step(a);
	vo_settle(a);
	return NULL;
}

static void expect_met(void)
{
	const char *what = missing();

	if (what && !vt_shared->failures)
		vt_check(false, "inconclusive: %s was not met in %ld steps", what,
			 vo.count->steps);
}

static void report(long long purges, long long swapped)
{
	const struct vo_counts *n = vo.count;

#define SAY(what)	vt_diag("@count " #what " %ld", n->what)
	SAY(steps), SAY(intact), SAY(lost), SAY(sigbus), SAY(freed);
	SAY(taken_back), SAY(discarded), SAY(forks), SAY(moves), SAY(collapses);
	SAY(merged), SAY(uffd_moves), SAY(swapoffs), SAY(judged);
	vt_diag("@count purges %lld", vr_purges() - purges);
	vt_diag("@count swapped %lld", vr_vmstat("pswpout") - swapped);
}

static long number(const char *name, long otherwise)
{
	const char *text = getenv(name);

	return text ? strtol(text, NULL, 0) : otherwise;
}

static void odd_neighbours(void)
{
	struct sigaction act = {
		.sa_sigaction = vo_on_fault,
		.sa_flags = SA_SIGINFO | SA_NODEFER,
	};
	pthread_t thread[THREADS];
	struct vo_arena dice = { .p = NULL };
	long long purges, swapped;
	const char *group;
	uint32_t random;
	int i;

	REQUIRE_EQ(getrandom(&random, sizeof(random), 0), sizeof(random));
	seed = number("VTEST_SEED", random);
	steps = STEPS * number("ODD_TIMES", 1);
	dice.random = seed;
	vt_diag("seed %llu, %ld steps", (unsigned long long)seed, steps);
	vo.count = mmap(NULL, VR_PAGE, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	REQUIRE(vo.count != MAP_FAILED);
	/* swapoff of the one needs room in the other. */
	vt_swap_disk();
	vt_swap_zram(64);
	settings(&dice);
	group = vt_cgroup("vr-odd");
	vt_fork(reclaim, (void *)group);
	vt_fork(meddle, "/dev/zram0");
	vt_cgroup_enter(group);
	purges = vr_purges();
	swapped = vr_vmstat("pswpout");
	REQUIRE_EQ(sigaction(SIGBUS, &act, NULL), 0);
	REQUIRE_EQ(sigaction(SIGSEGV, &act, NULL), 0);
	for (i = 0; i < THREADS; i++) {
		make_arena(&arenas[i]);
		arenas[i].random = vo_random(&dice);
	}
	for (i = 0; i < THREADS; i++)
		REQUIRE_EQ(pthread_create(&thread[i], NULL, live, &arenas[i]), 0);
	for (i = 0; i < THREADS; i++)
		REQUIRE_EQ(pthread_join(thread[i], NULL), 0);
	report(purges, swapped);
	expect_met();
}

static const struct vt_case cases[] = {
	VT_CASE(odd_neighbours, "V-PG-3 V-PG-14 V-SB-5 V-SB-9",
		"MADV_FREE, KSM, collapse, swapoff, UFFDIO_MOVE, fork and reclaim at once.",
		.timeout = 30),
};

VT_MAIN(cases)
