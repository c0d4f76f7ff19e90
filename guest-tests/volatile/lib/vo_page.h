/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Odd neighbours: what is known about each page, and whether it is what it must be.
 *
 * Each thread has an arena that nobody else in its process touches, so that it knows
 * exactly what is in it. Only reclaim, KSM, khugepaged, swapoff and relatives, in
 * their copies, are at work there as well.
 */
#ifndef VO_PAGE_H
#define VO_PAGE_H

#include "vr_newer.h"
#include "vr_group.h"

#include <setjmp.h>

#define VO_PAGES	512		/* of an arena: one huge page's worth */
#define VO_STRIDE	(VR_WORDS / 8)	/* of the words that are written */

/* A page that was given to MADV_FREE and not written to since is lazy. */
struct vo_page {
	uint64_t value;			/* of its words; 0: never written, or lost */
	bool vol, lazy;
	bool lazy_outside;		/* lazy, and not volatile all the time since */
};

/* What came of it, for the reports. The names are those of the counts of a soak. */
struct vo_counts {
	long steps, intact, lost, sigbus, freed, taken_back, discarded, forks, moves,
	     collapses, merged, uffd_moves, swapoffs, judged;
};

struct vo_arena {
	char *p, *away;			/* where it is; where it is moved to and from */
	struct vo_page page[VO_PAGES];
	uint64_t random;
	bool child, kin;		/* is one; has one that lives */
	int uffd;			/* with which .landing is armed; -1: none */
	char *landing;
};

struct vo_part {
	int first, pages;
};

static struct {
	struct vo_counts *count;	/* shared with children */
	bool shared_lazyfree_is_safe;
	bool merge, give_up;		/* is KSM, is MADV_FREE part of this run? */
	bool over;
} vo;

#define VO_COUNT(what, n)	__atomic_fetch_add(&vo.count->what, n, __ATOMIC_RELAXED)

static inline uint64_t vo_random(struct vo_arena *a)
{
	uint64_t z = a->random += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static inline int vo_below(struct vo_arena *a, int n)
{
	return vo_random(a) % n;
}

static inline char *vo_at(const struct vo_arena *a, int i)
{
	return a->p + i * VR_PAGE;
}

static __thread sigjmp_buf vo_jump;
static __thread volatile bool vo_expects_bus;

static inline void vo_on_fault(int signo, siginfo_t *info, void *context)
{
	(void)context;
	if (vo_expects_bus && signo == SIGBUS && info->si_code == BUS_ADRERR)
		siglongjmp(vo_jump, 1);
	vt_check(false, "signal %d, code %d, address %p", signo, info->si_code,
		 info->si_addr);
	_exit(1);
}

/* Write @value to a page; false: SIGBUS. */
static inline bool vo_write(char *page, uint64_t value)
{
	volatile uint64_t *word = (uint64_t *)page;
	size_t w;

	if (sigsetjmp(vo_jump, 0)) {
		vo_expects_bus = false;
		VO_COUNT(sigbus, 1);
		return false;
	}
	vo_expects_bus = true;
	for (w = 0; w < VR_WORDS; w += VO_STRIDE)
		word[w] = value;
	vo_expects_bus = false;
	return true;
}

enum vo_content { VO_VALUE, VO_ZERO, VO_OTHER, VO_BUS };

/* What is in a page. A page of zeros whose value is 0 has its value. */
static inline enum vo_content vo_content(const char *page, uint64_t value)
{
	const volatile uint64_t *word = (uint64_t *)page;
	int values = 0, zeros = 0;
	size_t w;

	if (sigsetjmp(vo_jump, 0)) {
		vo_expects_bus = false;
		VO_COUNT(sigbus, 1);
		return VO_BUS;
	}
	vo_expects_bus = true;
	for (w = 0; w < VR_WORDS; w += VO_STRIDE) {
		uint64_t is = word[w];

		values += is == value;
		zeros += is == 0;
	}
	vo_expects_bus = false;
	if (values == 8)
		return VO_VALUE;
	return zeros == 8 ? VO_ZERO : VO_OTHER;
}

static inline void vo_wrong(struct vo_arena *a, int i, const char *when,
			    const char *what)
{
	struct vo_page *page = &a->page[i];

	vt_check(false, "%s: page %d%s %s; value %#llx%s%s%s", when, i,
		 a->child ? " of a child" : "", what,
		 (unsigned long long)page->value, page->vol ? ", volatile" : "",
		 page->lazy ? ", lazy" : "",
		 page->lazy_outside ? " also while not volatile" : "");
}

/* Look at a page that may be volatile: it must be what the book allows. */
static inline void vo_judge(struct vo_arena *a, int i, const char *when)
{
	struct vo_page *page = &a->page[i];

	VO_COUNT(judged, 1);
	switch (vo_content(vo_at(a, i), page->value)) {
	case VO_VALUE:
		break;
	case VO_BUS:
		if (!page->vol)
			vo_wrong(a, i, when, "gives SIGBUS");
		break;
	case VO_ZERO:
		if (!page->lazy_outside) {
			vo_wrong(a, i, when, "is lost");
			break;
		}
		/* Discarded, and a page of its own from now on. */
		VO_COUNT(discarded, 1);
		page->value = 0;
		page->lazy = page->lazy_outside = false;
		break;
	case VO_OTHER:
		/* Discarded between two looks? Then it is zero by now. */
		if (page->lazy_outside &&
		    vo_content(vo_at(a, i), page->value) == VO_ZERO)
			break;
		vo_wrong(a, i, when, "is torn");
	}
}

/* NONVOLATILE of @part has said @told: judge every page of it by that. */
static inline void vo_judge_unmarked(struct vo_arena *a, struct vo_part part,
				     int told)
{
	bool any_volatile = false;
	int i, zeros = 0;

	for (i = part.first; i < part.first + part.pages; i++)
		any_volatile |= a->page[i].vol;
	for (i = part.first; i < part.first + part.pages; i++) {
		struct vo_page *page = &a->page[i];
		enum vo_content is = vo_content(vo_at(a, i), page->value);

		if (is == VO_ZERO && page->vol && told)
			VO_COUNT(lost, 1);
		else if (is == VO_ZERO && page->lazy_outside)
			VO_COUNT(discarded, 1);
		else if (is != VO_VALUE)
			vo_wrong(a, i, told ? "NONVOLATILE = 1" : "NONVOLATILE = 0",
				 is == VO_BUS ? "gives SIGBUS" :
				 is == VO_ZERO ? "is lost" : "is torn");
		zeros += is == VO_ZERO || !page->value;
		if (is == VO_ZERO)
			page->value = 0;
		page->vol = false;
		/* From here on it stays what it is, given to MADV_FREE or not. */
		if (any_volatile) {
			VO_COUNT(taken_back, page->lazy);
			page->lazy = page->lazy_outside = false;
		}
	}
	if (told)
		vt_check(any_volatile && zeros, "NONVOLATILE = 1 without a page that is lost: %d + %d",
			 part.first, part.pages);
	else
		VO_COUNT(intact, 1);
}

#endif
