// SPDX-License-Identifier: GPL-2.0-only
/*
 * No access through a stale translation. Reclaim takes pages out of the page
 * table first and flushes other CPUs' translations later, in a batch. We keep
 * such translations warm on our CPU and end the purged state in between, in each
 * of the ways there are. What we then read must be what the page table has,
 * which /proc/self/mem shows: the kernel looks at the page table, not through
 * our CPU's translations.
 *
 * In between lasts only as long as reclaim needs for the rest of its batch. Many
 * relatives share the pages, each with a mapping to be looked at, so that this is
 * tens of milliseconds: long enough for any host to let both CPUs run.
 */
#include "vr_reclaimer.h"
#include "vt_fault.h"

#include <pthread.h>

/*
 * Reclaim takes a page off the LRU, then two, four, and so on up to 32 at once,
 * and then 32 each time. It flushes when it is through with those.
 */
#define PAGES	128
#define BATCH	32
#define FIRST	(BATCH - 1)	/* what has gone before it takes 32 */
#define KIN	96
#define ROUNDS	3

static int mem = -1;
static pid_t kin[KIN];
static struct vt_gate ready, never;

static void wait_for_the_end(void *arg)
{
	(void)arg;
	vt_gate_open(&ready);
	vt_gate_wait(&never);
}

/* All asleep when this returns: another process on our CPU would be a flush. */
static void share(void)
{
	size_t i;

	for (i = 0; i < KIN; i++)
		kin[i] = vt_fork(wait_for_the_end, NULL);
	for (i = 0; i < KIN; i++)
		vt_gate_wait(&ready);
}

/* Not even the kernel's own threads, which come back to a flush. */
static void have_cpu_alone(bool alone)
{
	struct sched_param param = { .sched_priority = alone };

	REQUIRE_EQ(sched_setscheduler(0, alone ? SCHED_FIFO : SCHED_OTHER,
				      &param), 0);
}

static void share_no_more(void)
{
	size_t i;

	for (i = 0; i < KIN; i++)
		REQUIRE_EQ(kill(kin[i], SIGKILL), 0);
	for (i = 0; i < KIN; i++)
		vt_wait(kin[i]);
}

/* What of the range is there; our CPU is to know those pages. */
struct known {
	const struct vr_range *r;
	unsigned char in_core[PAGES];
};

static void read_known(void *arg)
{
	struct known *known = arg;
	size_t i;

	for (i = 0; i < PAGES; i++)
		if (known->in_core[i] & 1)
			(void)*(volatile char *)vr_page(known->r, i);
}

/*
 * Keep our CPU's translations warm until reclaim has taken @pages of @r, or is
 * done. Was it in the middle? mincore() tells without a touch, and takes no lock
 * that would stop reclaim. A touch in vain is no harm.
 */
static bool keep_warm_until(const struct vr_range *r, size_t pages)
{
	struct pollfd done = { .fd = vr_reclaimer.done.fd[0], .events = POLLIN };
	struct known known = { .r = r };
	size_t taken, i;

	for (;;) {
		REQUIRE_EQ(mincore(r->p, vr_len(r), known.in_core), 0);
		for (taken = 0, i = 0; i < PAGES; i++)
			taken += !(known.in_core[i] & 1);
		if (poll(&done, 1, 0))
			return false;
		if (taken >= pages)
			return true;
		vt_catch(read_known, &known);
	}
}

static char *by_nonvolatile(char *p)
{
	REQUIRE_GE(vr_unmark(p, PAGES * VR_PAGE), 0);
	return p;
}

static char *by_dontneed(char *p)
{
	REQUIRE_EQ(vr_advise(p, PAGES * VR_PAGE, MADV_DONTNEED), 0);
	return p;
}

static char *by_mapping_over(char *p)
{
	REQUIRE_EQ(munmap(p, PAGES * VR_PAGE), 0);
	REQUIRE(mmap(p, PAGES * VR_PAGE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p);
	return p;
}

static char *by_mremap(char *p)
{
	char *new = mmap(NULL, PAGES * VR_PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	REQUIRE(new != MAP_FAILED);
	REQUIRE(mremap(p, PAGES * VR_PAGE, PAGES * VR_PAGE,
		       MREMAP_MAYMOVE | MREMAP_FIXED, new) == new);
	return new;
}

/*
 * Another thread ends the purged state, on the reclaimer's CPU and before it:
 * reclaim stands still until we have looked. And it is for our CPU, which does
 * nothing about it, that translations have to be flushed.
 */
static struct {
	char *(*how)(char *);
	char *p;
	struct vt_gate asked;
	int ended;
} end;

static void *end_it(void *arg)
{
	vt_pin(1);
	have_cpu_alone(true);
	for (;;) {
		vt_gate_wait(&end.asked);
		end.p = end.how(end.p);
		__atomic_store_n(&end.ended, 1, __ATOMIC_RELEASE);
		while (__atomic_load_n(&end.ended, __ATOMIC_ACQUIRE))
			;
	}
	return arg;
}

static void end_at(char *p)
{
	end.p = p;
	vt_gate_open(&end.asked);
	while (!__atomic_load_n(&end.ended, __ATOMIC_ACQUIRE))
		;
}

static void go_on(void)
{
	__atomic_store_n(&end.ended, 0, __ATOMIC_RELEASE);
}

/*
 * After a fork the first write to each page of ours is a copy, and a flush. Let
 * the other thread do all of it once, elsewhere.
 */
static void rehearse(void)
{
	char *p = vr_anon(PAGES);

	REQUIRE_EQ(vr_mark(p, PAGES * VR_PAGE), 0);
	end_at(p);
	REQUIRE_EQ(munmap(end.p, PAGES * VR_PAGE), 0);
	go_on();
}

/* Read each page, and see that this is what is there. */
static void judge_reads(char *p)
{
	uint64_t seen[PAGES], is;
	int stale = 0;
	size_t i;

	for (i = 0; i < PAGES; i++)
		seen[i] = *(volatile uint64_t *)(p + i * VR_PAGE);
	go_on();
	vr_wait_reclaim();
	for (i = 0; i < PAGES; i++) {
		REQUIRE_EQ(pread(mem, &is, 8, (off_t)(p + i * VR_PAGE)), 8);
		stale += is != seen[i];
	}
	EXPECT_EQ(stale, 0);
}

/* Nothing is there any more. */
static void judge_faults(char *p)
{
	int faults = 0;
	size_t i;

	for (i = 0; i < PAGES; i++)
		faults += vt_catch(vt_do_read, p + i * VR_PAGE).signo == SIGSEGV;
	go_on();
	vr_wait_reclaim();
	EXPECT_EQ(faults, PAGES);
}

/*
 * End the purged state in the middle of a reclaim, when it has taken so many
 * pages: those are out of the page table, and the translations of the last of
 * them are still to be flushed. Then @judge the place where they were.
 */
static void interrupt_reclaim(char *(*how)(char *), void (*judge)(char *))
{
	int round, in_between = 0;
	pthread_t thread;
	long long purged;
	struct vr_range r;

	vr_start_reclaimer(PAGES);
	ready = vt_gate();
	never = vt_gate();
	end.asked = vt_gate();
	end.how = how;
	mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	REQUIRE(mem >= 0);
	REQUIRE_EQ(pthread_create(&thread, NULL, end_it, NULL), 0);
	r.p = vr_anon(PAGES);
	purged = vr_purges();
	for (round = 0; round < ROUNDS; round++) {
		/*
		 * The group has these pages and nothing else: to swap other
		 * pages out would be a flush.
		 */
		vt_cgroup_enter(vr_reclaimer.group);
		r = vr_fill(r.p, PAGES);
		vt_cgroup_enter("/sys/fs/cgroup");
		REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
		share();
		rehearse();
		have_cpu_alone(true);
		vr_ask_reclaim();
		in_between += keep_warm_until(&r, FIRST + round * BATCH + 4);
		end_at(r.p);
		judge(r.p);
		r.p = end.p;
		have_cpu_alone(false);
		share_no_more();
		REQUIRE_EQ(vr_advise(r.p, vr_len(&r), MADV_DONTNEED), 0);
	}
	purged = vr_purges() - purged;
	vt_diag("%d of %d times in the middle of a reclaim; %lld pages purged",
		in_between, ROUNDS, purged);
	/* Control: reclaim was there, and was not through. */
	EXPECT_GE(purged, 1);
	EXPECT_GE(in_between, 1);
}

static void after_nonvolatile(void)
{
	interrupt_reclaim(by_nonvolatile, judge_reads);
}

static void after_dontneed(void)
{
	interrupt_reclaim(by_dontneed, judge_reads);
}

static void after_munmap(void)
{
	interrupt_reclaim(by_mapping_over, judge_reads);
}

static void after_mremap(void)
{
	interrupt_reclaim(by_mremap, judge_faults);
}

#define STALE(fn, about) VT_CASE(fn, "V-PG-12", about, .needs = "swapdisk")

static const struct vt_case cases[] = {
	STALE(after_nonvolatile,
	      "After NONVOLATILE in the middle of a purge no old page is read."),
	STALE(after_dontneed,
	      "After DONTNEED in the middle of a purge no old page is read."),
	STALE(after_munmap,
	      "After munmap in the middle of a purge only new memory is read."),
	STALE(after_mremap,
	      "After mremap in the middle of a purge the old place faults."),
};

VT_MAIN(cases)
