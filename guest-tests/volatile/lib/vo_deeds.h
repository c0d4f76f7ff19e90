/* SPDX-License-Identifier: GPL-2.0-only */
/* Odd neighbours: what a thread does with its arena, one call at a time. */
#ifndef VO_DEEDS_H
#define VO_DEEDS_H

#include "vo_page.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

static inline struct vo_part vo_some(struct vo_arena *a)
{
	int most = vo_below(a, 4) ? 16 : VO_PAGES;
	struct vo_part part = { vo_below(a, VO_PAGES), 1 + vo_below(a, most) };

	if (part.first + part.pages > VO_PAGES)
		part.pages = VO_PAGES - part.first;
	return part;
}

static inline int vo_advise(struct vo_arena *a, struct vo_part part, int advice)
{
	return vr_advise(vo_at(a, part.first), part.pages * VR_PAGE, advice);
}

#define VO_EACH(i, part) \
	for (i = (part).first; i < (part).first + (part).pages; i++)

static void vo_mark(struct vo_arena *a)
{
	struct vo_part part = vo_some(a);
	int i, ret = vo_advise(a, part, MADV_VOLATILE);

	if (ret == -EAGAIN)
		return;
	vt_check(!ret, "VOLATILE %d + %d: %d", part.first, part.pages, ret);
	VO_EACH(i, part)
		a->page[i].vol = true;
}

static void vo_unmark_part(struct vo_arena *a, struct vo_part part)
{
	int ret = vo_advise(a, part, MADV_NONVOLATILE);

	if (ret == -EAGAIN)
		return;
	if (vt_check(ret >= 0, "NONVOLATILE %d + %d: %d", part.first, part.pages, ret))
		vo_judge_unmarked(a, part, ret);
}

static void vo_unmark(struct vo_arena *a)
{
	vo_unmark_part(a, vo_some(a));
}

static void vo_fill(struct vo_arena *a)
{
	struct vo_part part = vo_some(a);
	int i;

	VO_EACH(i, part) {
		struct vo_page *page = &a->page[i];
		uint64_t value = vo_random(a) | 1;

		/* Twins now and then, for KSM. */
		if (!vo_below(a, 4))
			value = 1 + 2 * (i % 5);
		if (!vo_write(vo_at(a, i), value)) {
			if (!page->vol)
				vo_wrong(a, i, "write", "gives SIGBUS");
			continue;
		}
		page->value = value;
		page->lazy = page->lazy_outside = false;
	}
}

static void vo_look(struct vo_arena *a)
{
	struct vo_part part = vo_some(a);
	int i;

	VO_EACH(i, part)
		vo_judge(a, i, "read");
}

static void vo_give_up(struct vo_arena *a)
{
	struct vo_part part = vo_some(a);
	int i, ret;

	if (!vo.give_up || ((a->child || a->kin) && !vo.shared_lazyfree_is_safe))
		return;
	ret = vo_advise(a, part, MADV_FREE);
	vt_check(!ret, "MADV_FREE %d + %d: %d", part.first, part.pages, ret);
	VO_COUNT(freed, part.pages);
	VO_EACH(i, part) {
		a->page[i].lazy = true;
		a->page[i].lazy_outside |= !a->page[i].vol;
	}
}

static void vo_drop(struct vo_arena *a)
{
	struct vo_part part = vo_some(a);
	int i, ret = vo_advise(a, part, MADV_DONTNEED);

	vt_check(!ret, "MADV_DONTNEED %d + %d: %d", part.first, part.pages, ret);
	VO_EACH(i, part) {
		a->page[i].value = 0;
		a->page[i].lazy = a->page[i].lazy_outside = false;
	}
}

static void vo_page_out(struct vo_arena *a)
{
	vo_advise(a, vo_some(a), MADV_PAGEOUT);
}

/* Only what is one mapping can become one huge page. */
static void vo_collapse(struct vo_arena *a)
{
	struct vo_part all = { 0, VO_PAGES };

	vo_unmark_part(a, all);
	vo_advise(a, all, MADV_UNMERGEABLE);
	VO_COUNT(collapses, !vr_advise(a->p, VO_PAGES * VR_PAGE, MADV_COLLAPSE));
}

static void vo_merge(struct vo_arena *a)
{
	if (vo.merge)
		vo_advise(a, vo_some(a),
			  vo_below(a, 3) ? MADV_MERGEABLE : MADV_UNMERGEABLE);
}

/* Locked, looked at, and unlocked: nothing goes in between. */
static void vo_lock(struct vo_arena *a)
{
	struct vo_part part = vo_some(a);
	enum vo_content before[VO_PAGES];
	int i;

	if (part.pages > 32)
		part.pages = 32;
	if (syscall(SYS_mlock2, vo_at(a, part.first), part.pages * VR_PAGE,
		    vo_below(a, 2)) && errno != ENOMEM) {
		vt_check(errno == EAGAIN, "mlock2: %s", strerror(errno));
		return;
	}
	VO_EACH(i, part)
		before[i] = vo_content(vo_at(a, i), a->page[i].value);
	VO_EACH(i, part)
		if (vo_content(vo_at(a, i), a->page[i].value) != before[i])
			vo_wrong(a, i, "locked", "is not what it was");
	vt_check(!munlock(a->p, VO_PAGES * VR_PAGE), "munlock: %s",
		 strerror(errno));
}

static void vo_protect(struct vo_arena *a)
{
	struct vo_part part = vo_some(a);
	char *p = vo_at(a, part.first);
	int i;

	/* Where it fails, half of it may be done. */
	(void)!mprotect(p, part.pages * VR_PAGE, PROT_READ);
	VO_EACH(i, part)
		vo_judge(a, i, "read only");
	while (mprotect(p, part.pages * VR_PAGE, PROT_READ | PROT_WRITE))
		sched_yield();
}

/* Away and back; where it is not all one VMA, older kernels refuse. */
static void vo_move(struct vo_arena *a)
{
	struct vo_part part = vo_some(a);
	size_t len = part.pages * VR_PAGE;
	char *p = vo_at(a, part.first), *away = a->away + (p - a->p);

	if (mremap(p, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, away) == away) {
		VO_COUNT(moves, 1);
		REQUIRE(mremap(away, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, p) == p);
	}
	/* Whether it went or not, there may be a hole now. */
	REQUIRE(mmap(away, len, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
		     -1, 0) == away);
}

/* A page into memory that is armed with userfaultfd: what arrives is what was there. */
static void vo_move_by_uffd(struct vo_arena *a)
{
	int i = vo_below(a, VO_PAGES);
	struct vo_page *page = &a->page[i];
	struct uffdio_move arg = {
		.dst = (uintptr_t)a->landing,
		.src = (uintptr_t)vo_at(a, i),
		.len = VR_PAGE,
	};
	enum vo_content is;

	if (a->uffd < 0 || a->child || ioctl(a->uffd, UFFDIO_MOVE, &arg))
		return;
	VO_COUNT(uffd_moves, 1);
	is = vo_content(a->landing, page->value);
	/* What was given up still is where it arrives, and may be gone again. */
	if (is != VO_VALUE && !(page->lazy && is != VO_OTHER))
		vo_wrong(a, i, "UFFDIO_MOVE", "arrives as something else");
	REQUIRE_EQ(madvise(a->landing, VR_PAGE, MADV_DONTNEED), 0);
	page->value = 0;
	page->lazy = page->lazy_outside = false;
}

static void vo_fork(struct vo_arena *a);

static const struct vo_deed {
	void (*run)(struct vo_arena *a);
	int weight;
} vo_deeds[] = {
	{ vo_mark, 5 }, { vo_unmark, 4 }, { vo_fill, 5 }, { vo_look, 3 },
	{ vo_give_up, 3 }, { vo_drop, 1 }, { vo_page_out, 1 },
	{ vo_collapse, 1 }, { vo_merge, 2 }, { vo_lock, 1 }, { vo_protect, 1 },
	{ vo_move, 2 }, { vo_move_by_uffd, 2 }, { vo_fork, 1 },
};

static void vo_step(struct vo_arena *a)
{
	size_t n = sizeof(vo_deeds) / sizeof(vo_deeds[0]), i;
	int sum = 0, pick;

	for (i = 0; i < n; i++)
		sum += vo_deeds[i].weight;
	pick = vo_below(a, sum);
	for (i = 0; pick >= vo_deeds[i].weight; i++)
		pick -= vo_deeds[i].weight;
	vo_deeds[i].run(a);
	VO_COUNT(steps, 1);
}

static inline bool vo_is_over(void)
{
	return vo.over || __atomic_load_n(&vt_shared->failures, __ATOMIC_RELAXED);
}

/* At the end all is taken back, and every page is looked at. */
static void vo_settle(struct vo_arena *a)
{
	struct vo_part all = { 0, VO_PAGES };
	int i;

	vo_unmark_part(a, all);
	for (i = 0; i < VO_PAGES; i++)
		vo_judge(a, i, "at the end");
}

static void vo_live_as_child(void *arg)
{
	struct vo_arena *a = arg;
	int n;

	a->child = true;
	a->random ^= 0xabcdef;
	for (n = 0; n < 30 && !vo_is_over(); n++)
		vo_step(a);
	vo_settle(a);
}

static void vo_fork(struct vo_arena *a)
{
	int n = vo_below(a, 2) ? 15 : 0;
	pid_t child;

	if (a->child || a->kin || vo_below(a, 2))
		return;
	VO_COUNT(forks, 1);
	a->kin = true;
	child = vt_fork(vo_live_as_child, a);
	while (n--)
		vo_step(a);
	vt_check(!vt_wait(child), "a child failed");
	a->kin = false;
}

#endif
