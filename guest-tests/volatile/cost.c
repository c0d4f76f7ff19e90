// SPDX-License-Identifier: GPL-2.0-only
/*
 * What marking and unmarking cost. Times are compared with each other, by wide
 * margins, and otherwise reported: a guest's clock says nothing absolute. `make
 * cost` counts instructions instead (guest-tests/volatile-cost/).
 */
#include "vr_tables.h"

#include <pthread.h>
#include <time.h>

#define GIB		(1UL << 30)

static long long now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* A guest's clock may tick in milliseconds; its CPU counts finer than that. */
static long long now(void)
{
#ifdef __x86_64__
	return __builtin_ia32_rdtsc();
#else
	return now_ns();
#endif
}

/* What now() counts in a microsecond, found over ten ticks of a slow clock. */
static double calibrate(void)
{
	long long ns = now_ns(), count = now();

	while (now_ns() - ns < 40000000)
		;
	return (now() - count) * 1000.0 / (now_ns() - ns);
}

/* The fastest of several: what disturbs only ever adds. */
static long long time_marking(char *p, size_t len)
{
	long long best = 1LL << 62, t;
	int i;

	for (i = 0; i < 20; i++) {
		t = now();
		REQUIRE_EQ(vr_mark(p, len), 0);
		t = now() - t;
		best = t < best ? t : best;
		REQUIRE_EQ(vr_unmark(p, len), 0);
	}
	return best;
}

static void marking_does_not_walk_pages(void)
{
	const size_t len = 128UL << 20;
	char *empty = vr_anon(len / VR_PAGE), *full = vr_map_tables(len);
	long long t_empty, t_full, t_walk;

	vt_pin(0);
	vr_require_tables(full, len);
	/* Both have an anon_vma, so that they differ in pages only. */
	*empty = 1;
	*full = 1;
	t_empty = time_marking(empty, len);
	t_full = time_marking(full, len);
	vt_diag("marking 1 page of 128 MiB: %lld counts, 32768 pages: %lld",
		t_empty, t_full);
	/* A walk of 32768 entries takes a hundred times as long. */
	EXPECT_GE(t_empty, 1);
	EXPECT_LE(t_full, 8 * t_empty);
	/* Control: an advice that does walk them. */
	t_walk = now();
	REQUIRE_EQ(vr_advise(full, len, MADV_COLD), 0);
	t_walk = now() - t_walk;
	vt_diag("MADV_COLD of 32768 pages: %lld counts", t_walk);
	EXPECT_GE(t_walk, 10 * t_empty);
}

static void cost_grows_with_vmas(void)
{
	enum { MANY = 64 };
	char *p = vr_anon(MANY);
	long long t_one, t_many;
	size_t i;

	vt_pin(0);
	t_one = time_marking(p, MANY * VR_PAGE);
	for (i = 0; i < MANY; i += 2)
		REQUIRE_EQ(mprotect(p + i * VR_PAGE, VR_PAGE, PROT_READ), 0);
	REQUIRE_EQ(vr_count_vmas(p, MANY * VR_PAGE), MANY);
	t_many = time_marking(p, MANY * VR_PAGE);
	vt_diag("marking 256 KiB in 1 VMA: %lld counts, in %d: %lld",
		t_one, MANY, t_many);
	EXPECT_GE(t_one, 1);
	EXPECT_GE(t_many, 4 * t_one);
	/* In proportion, not with the square of the number. */
	EXPECT_LE(t_many, 8 * MANY * t_one);
}

struct faulter {
	char *p;		/* of one page */
	int stop;
	long long longest, faults;
};

/* Fault one page in again and again: how long does the slowest take? */
static void *keep_faulting(void *arg)
{
	struct faulter *f = arg;
	long long t;

	while (!__atomic_load_n(&f->stop, __ATOMIC_RELAXED)) {
		madvise(f->p, VR_PAGE, MADV_DONTNEED);
		t = now();
		*(volatile char *)f->p = 1;
		t = now() - t;
		f->longest = t > f->longest ? t : f->longest;
		__atomic_store_n(&f->faults, f->faults + 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void unmarking_one_gib(void)
{
	struct faulter f = { .p = vr_anon(1) };
	char *p = vr_map_tables(GIB);
	double us = calibrate();
	long long t, before;
	pthread_t thread;

	vr_require_tables(p, GIB);
	REQUIRE_EQ(vr_mark(p, GIB), 0);
	REQUIRE_EQ(pthread_create(&thread, NULL, keep_faulting, &f), 0);
	while (!__atomic_load_n(&f.faults, __ATOMIC_RELAXED))
		sched_yield();
	before = __atomic_load_n(&f.faults, __ATOMIC_RELAXED);
	t = now();
	REQUIRE_EQ(vr_unmark(p, GIB), 0);
	t = now() - t;
	__atomic_store_n(&f.stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	vt_diag("measure: unmarking 1 GiB beside another thread's faults: %.0f us, the longest of %lld faults: %.0f us",
		t / us, f.faults - before, f.longest / us);
	EXPECT(!vr_is_volatile(p));
}

static const struct vt_case cases[] = {
	VT_CASE(marking_does_not_walk_pages, "V-MK-6",
		"Marking 32768 populated pages costs about what one costs."),
	VT_CASE(cost_grows_with_vmas, "V-MK-6",
		"Marking 64 VMAs costs more than one, in proportion."),
	VT_CASE(unmarking_one_gib, "V-MK-6",
		"Times unmarking 1 GiB beside another thread's faults."),
};

VT_MAIN(cases)
