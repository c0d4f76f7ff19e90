/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stress: memory whose state is known while many change it.
 *
 * A plot is a range of pages with a book about each of them: what was written
 * last, whether it is volatile, locked or otherwise safe from a purge. Whoever
 * changes a plot holds its lock, so that the book is exact. What races is
 * everything else: reclaim, touchers without a lock, relatives that share the
 * pages, and changes to other plots of the same address space.
 *
 * A plot moves to and fro between two places that belong to it alone, so a
 * toucher that comes too late finds nothing there, and nobody else's pages.
 */
#ifndef VS_PLOT_H
#define VS_PLOT_H

#include "vr_pages.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>

#define VS_PAGES	1024		/* of a plot, at most */
#define VS_PAST		12		/* how much history a plot remembers */
#define VS_HUGE		(2UL << 20)

struct vs_page {
	uint32_t gen;			/* what was written last; 0: zeros */
	bool vol, locked;
	bool gone;			/* known to be purged */
	bool kin;			/* shared with one that never marks it */
	bool pin;			/* a pipe holds it */
};

/* Something that was done to a plot. */
struct vs_deed {
	const char *who, *what;
	size_t from, to;
	int ret;
};

struct vs_plot {
	pthread_mutex_t lock;
	unsigned int epoch;		/* odd: being changed */
	int quiet;			/* > 0: touchers must not write */
	int writers;			/* touchers that do just now */
	char *place[2], *base;
	int at;
	size_t pages;
	uint32_t last_gen;
	struct vs_page page[VS_PAGES];
	struct vs_deed past[VS_PAST];
	unsigned int deeds;
};

/* What all processes of a run count together. */
struct vs_counts {
	long cycles, intact, lost, sigbus, splits, merges, touches, judged;
	long forks, kept, locks, moves, given, pins, wild, reclaims;
	int tick;			/* another cycle: touchers wait for it */
	bool enough;			/* of everything: it ends */
};

static struct vs_run {
	uint64_t seed;
	bool huge;
	bool unlocks_the_rest;		/* see vs_move.h */
	int plots;
	size_t pages;
	long cycles;			/* so many at least; see vs_floors.h */
	long long purges, swapped;	/* of the system, before it began */
	struct vs_plot *plot;
	char *wild;			/* one more range, without lock and book */
	struct vs_counts *count;
	int bell[2];			/* wakes the reclaimers */
} vs;

#define VS_COUNT(what, n) \
	__atomic_fetch_add(&vs.count->what, n, __ATOMIC_RELAXED)

/* Who does something: a thread or a child of one. */
struct vs_self {
	const char *name;
	uint64_t random;
};

static inline uint64_t vs_random(struct vs_self *self)
{
	uint64_t z = self->random += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

/* 0 to @n - 1 */
static inline size_t vs_below(struct vs_self *self, size_t n)
{
	return vs_random(self) % n;
}

static inline bool vs_one_in(struct vs_self *self, size_t n)
{
	return !vs_below(self, n);
}

/* A failure ends the run of all processes, enough of everything does as well. */
static inline bool vs_over(void)
{
	return __atomic_load_n(&vt_shared->failures, __ATOMIC_RELAXED) ||
	       __atomic_load_n(&vs.count->enough, __ATOMIC_RELAXED);
}

/* In vs_floors.h: whether the run may end after @n cycles. */
static bool vs_may_end(long n);

/* Wakes those that wait for others to do something. */
static inline void vs_tick(void)
{
	__atomic_fetch_add(&vs.count->tick, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &vs.count->tick, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* One more cycle of something; now and then it wakes a reclaimer. */
static inline void vs_cycle(void)
{
	long n = __atomic_add_fetch(&vs.count->cycles, 1, __ATOMIC_RELAXED);

	if (n >= vs.cycles && vs_may_end(n))
		__atomic_store_n(&vs.count->enough, true, __ATOMIC_RELAXED);
	vs_tick();
	if (!(n % 4) && write(vs.bell[1], "", 1) < 0 && errno != EAGAIN)
		vt_check(false, "the reclaimers' pipe: %s", strerror(errno));
}

/* Wait until somebody has done something since @tick was read. */
static inline void vs_wait_cycle(int tick)
{
	syscall(SYS_futex, &vs.count->tick, FUTEX_WAIT, tick, NULL, NULL, 0);
}

/* A part of a plot: mostly small, now and then large. */
struct vs_part {
	size_t from, to;
};

static inline struct vs_part vs_part(struct vs_self *self, size_t pages)
{
	struct vs_part part = { 0, pages };
	size_t most;

	switch (vs_below(self, 8)) {
	case 0:
		return part;
	case 1:				/* to the middle, or to a huge page's end */
		part.to = pages / 2;
		return part;
	case 2:
		most = pages;
		break;
	default:
		most = 8;
	}
	part.from = vs_below(self, pages);
	part.to = part.from + 1 + vs_below(self, most);
	if (part.to > pages)
		part.to = pages;
	return part;
}

static inline char *vs_at(const struct vs_plot *plot, size_t i)
{
	return plot->base + i * VR_PAGE;
}

/* What the number in a page's tag is: plot and generation. */
static inline uint64_t vs_magic(const struct vs_plot *plot, uint32_t gen)
{
	return (uint64_t)(plot - vs.plot + 1) << 32 | gen;
}

/* The book and the kernel change together; who looks in between knows nothing. */
static inline void vs_begin(struct vs_plot *plot)
{
	__atomic_fetch_add(&plot->epoch, 1, __ATOMIC_SEQ_CST);
}

static inline void vs_end(struct vs_plot *plot)
{
	__atomic_fetch_add(&plot->epoch, 1, __ATOMIC_SEQ_CST);
}

static inline void vs_note(struct vs_plot *plot, struct vs_self *self,
			   const char *what, struct vs_part part, int ret)
{
	plot->past[plot->deeds++ % VS_PAST] = (struct vs_deed){
		self->name, what, part.from, part.to, ret };
}

/* Say what is wrong with a page, and what was done to it before. */
#define vs_wrong(plot, i, what) \
	vs_say_wrong(plot, i, what, __FILE__, __LINE__)

static inline void vs_say_wrong(const struct vs_plot *plot, size_t i,
				const char *what, const char *file, int line)
{
	const struct vs_page *page = &plot->page[i];
	unsigned int n = plot->deeds > VS_PAST ? plot->deeds - VS_PAST : 0;

	/* What comes after the first few only follows from them. */
	if (vt_shared->failures > 2)
		return;
	vt_check(false, "%s:%d: %s: plot %d page %zu: generation %u%s%s%s%s%s, seed %llu",
		 file, line, what, (int)(plot - vs.plot), i, page->gen,
		 page->vol ? ", volatile" : "", page->locked ? ", locked" : "",
		 page->gone ? ", purged" : "", page->kin ? ", shared" : "",
		 page->pin ? ", pinned" : "", (unsigned long long)vs.seed);
	for (; n < plot->deeds; n++) {
		const struct vs_deed *deed = &plot->past[n % VS_PAST];

		if (i >= deed->from && i < deed->to)
			vt_diag("  %s %s [%zu, %zu): %d", deed->who, deed->what,
				deed->from, deed->to, deed->ret);
	}
}

/* Reserve places for the plots and the wild range. */
static inline void vs_make_plots(void)
{
	size_t len = vs.pages * VR_PAGE, stride = len + VS_HUGE, all;
	char *p;
	int i, j;

	stride += VS_HUGE - stride % VS_HUGE;
	all = stride * (2 * vs.plots + 1) + VS_HUGE;
	vs.plot = mmap(NULL, vs.plots * sizeof(*vs.plot), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	p = mmap(NULL, all, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	REQUIRE(vs.plot != MAP_FAILED && p != MAP_FAILED);
	/* Nothing of the book is to be waited for. */
	REQUIRE_EQ(mlock(vs.plot, vs.plots * sizeof(*vs.plot)), 0);
	p += VS_HUGE - (uintptr_t)p % VS_HUGE;
	for (i = 0; i < vs.plots; i++) {
		pthread_mutex_init(&vs.plot[i].lock, NULL);
		vs.plot[i].pages = vs.pages;
		for (j = 0; j < 2; j++, p += stride)
			vs.plot[i].place[j] = p;
		vs.plot[i].base = vs.plot[i].place[0];
		REQUIRE_EQ(mprotect(vs.plot[i].base, len,
				    PROT_READ | PROT_WRITE), 0);
	}
	vs.wild = p;
	REQUIRE_EQ(mprotect(p, len, PROT_READ | PROT_WRITE), 0);
}

#endif
