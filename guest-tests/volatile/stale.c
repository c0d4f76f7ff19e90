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
static unsigned char in_core[PAGES];

static void read_known(void *arg)
{
	const struct vr_range *r = arg;
	size_t i;

	for (i = 0; i < PAGES; i++)
		if (in_core[i] & 1)
			(void)*(volatile char *)vr_page(r, i);
}

/*
 * Keep our CPU's translations warm until reclaim has taken @pages of @r, or is
 * done. Was it in the middle? mincore() tells without a touch, and takes no lock
 * that would stop reclaim. A touch in vain is no harm.
 */
static bool keep_warm_until(struct vr_range *r, size_t pages)
{
	struct pollfd done = { .fd = vr_reclaimer.done.fd[0], .events = POLLIN };
	size_t taken, i;

	for (;;) {
		REQUIRE_EQ(mincore(r->p, vr_len(r), in_core), 0);
		for (taken = 0, i = 0; i < PAGES; i++)
			taken += !(in_core[i] & 1);
		if (poll(&done, 1, 0))
			return false;
		if (taken >= pages)
			return true;
		vt_catch(read_known, r);
	}
}

/* The longest run of pages that are gone. */
static struct vr_range gone(const struct vr_range *r)
{
	struct vr_range run = { .p = r->p };
	size_t i, n = 0;

	for (i = 0; i < PAGES; i++) {
		n = in_core[i] & 1 ? 0 : n + 1;
		if (n > run.pages)
			run = (struct vr_range){ vr_page(r, i + 1 - n), n, 0 };
	}
	return run;
}

/* The ways to end it. Each returns where the range is then. */
static char *by_nonvolatile(const struct vr_range *r)
{
	REQUIRE_GE(vr_unmark(r->p, vr_len(r)), 0);
	return r->p;
}

static char *by_dontneed(const struct vr_range *r)
{
	REQUIRE_EQ(vr_advise(r->p, vr_len(r), MADV_DONTNEED), 0);
	return r->p;
}

static char *by_mapping_over(const struct vr_range *r)
{
	REQUIRE_EQ(munmap(r->p, vr_len(r)), 0);
	REQUIRE(mmap(r->p, vr_len(r), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == r->p);
	return r->p;
}

static char *by_mremap(const struct vr_range *r)
{
	char *new = vr_anon(r->pages);

	REQUIRE(mremap(r->p, vr_len(r), vr_len(r),
		       MREMAP_MAYMOVE | MREMAP_FIXED, new) == new);
	return new;
}

/*
 * Another thread ends the purged state, on the reclaimer's CPU and before it:
 * reclaim stands still until we have looked. And it is for our CPU, which does
 * nothing about it, that translations have to be flushed.
 */
static struct {
	char *(*how)(const struct vr_range *r);
	struct vr_range r;
	struct vt_gate asked;
	int ended;
} end;

static void *end_it(void *arg)
{
	vt_pin(1);
	have_cpu_alone(true);
	for (;;) {
		vt_gate_wait(&end.asked);
		end.r.p = end.how(&end.r);
		__atomic_store_n(&end.ended, 1, __ATOMIC_RELEASE);
		while (__atomic_load_n(&end.ended, __ATOMIC_ACQUIRE))
			;
	}
	return arg;
}

static void end_it_for(struct vr_range r)
{
	end.r = r;
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
	struct vr_range r = { vr_anon(PAGES), PAGES, 0 };

	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	end_it_for(r);
	REQUIRE_EQ(munmap(end.r.p, vr_len(&r)), 0);
	go_on();
}

/* Read each page, and see that this is what is there. */
static void judge_reads(const struct vr_range *r)
{
	uint64_t seen[PAGES], is;
	int stale = 0;
	size_t i;

	for (i = 0; i < r->pages; i++)
		seen[i] = *(volatile uint64_t *)vr_page(r, i);
	go_on();
	vr_wait_reclaim();
	for (i = 0; i < r->pages; i++) {
		REQUIRE_EQ(pread(mem, &is, 8, (off_t)vr_page(r, i)), 8);
		stale += is != seen[i];
	}
	EXPECT_EQ(stale, 0);
}

/* Nothing is there any more. */
static void judge_faults(const struct vr_range *r)
{
	size_t i, faults = 0;

	for (i = 0; i < r->pages; i++)
		faults += vt_catch(vt_do_read, vr_page(r, i)).signo == SIGSEGV;
	go_on();
	vr_wait_reclaim();
	EXPECT_EQ(faults, r->pages);
}

/*
 * End the purged state in the middle of a reclaim, when it has taken so many
 * pages: those are out of the page table, and the translations of the last of
 * them are still to be flushed. Then @judge the place. Who gives up a page that
 * is there flushes for its sake: unless all, only those that are gone.
 */
static void interrupt_reclaim(char *(*how)(const struct vr_range *r), bool all,
			      void (*judge)(const struct vr_range *r))
{
	int round, in_between = 0;
	struct vr_range r, run;
	pthread_t thread;
	long long purged;

	vr_start_reclaimer(PAGES);
	ready = vt_gate();
	never = vt_gate();
	end.asked = vt_gate();
	end.how = how;
	mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	REQUIRE(mem >= 0);
	REQUIRE_EQ(pthread_create(&thread, NULL, end_it, NULL), 0);
	purged = vr_purges();
	for (round = 0; round < ROUNDS; round++) {
		/*
		 * The group has these pages and nothing else: to swap other
		 * pages out would be a flush.
		 */
		vt_cgroup_enter(vr_reclaimer.group);
		r = vr_filled(PAGES);
		vt_cgroup_enter("/sys/fs/cgroup");
		REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
		share();
		rehearse();
		have_cpu_alone(true);
		vr_ask_reclaim();
		in_between += keep_warm_until(&r, FIRST + round * BATCH + 4);
		run = all ? r : gone(&r);
		end_it_for(run);
		judge(&run);
		have_cpu_alone(false);
		share_no_more();
		REQUIRE_EQ(munmap(end.r.p, vr_len(&run)), 0);
		REQUIRE_EQ(munmap(r.p, vr_len(&r)), 0);
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
	interrupt_reclaim(by_nonvolatile, true, judge_reads);
}

static void after_dontneed(void)
{
	interrupt_reclaim(by_dontneed, false, judge_reads);
}

static void after_munmap(void)
{
	interrupt_reclaim(by_mapping_over, false, judge_reads);
}

static void after_mremap(void)
{
	interrupt_reclaim(by_mremap, false, judge_faults);
}

#define STALE(fn, about) VT_CASE(fn, "V-PG-12", about)

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
