// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reclaim of a control group, by each of its limits: volatile pages are purged
 * and never swapped, everything else keeps its contents.
 */
#include "vr_pages.h"

#define MB	(1 << 20)
#define VOLATILE_PAGES	2048
#define CONTROL_PAGES	256
/* Text, stack and page tables of this program, with a wide margin. */
#define OTHER_PAGES	160

struct setup {
	const char *group;
	struct vr_range r;		/* volatile, filled first: the oldest */
	struct vr_range control;	/* not volatile */
	long long purged;
};

static struct setup prepare_on(const char *(*swap)(void), bool mglru)
{
	struct setup s;

	vt_mglru(mglru);
	swap();
	vt_pin(0);
	s.group = vt_cgroup("vr-pressure");
	vt_cgroup_enter(s.group);
	s.r = vr_filled(VOLATILE_PAGES);
	s.control = vr_filled(CONTROL_PAGES);
	REQUIRE_EQ(vr_mark(s.r.p, vr_len(&s.r)), 0);
	s.purged = vr_purges();
	return s;
}

static struct setup prepare(bool mglru)
{
	return prepare_on(vt_swap_disk, mglru);
}

static const char *zram(void)
{
	return vt_swap_zram(32);
}

static long long usage(const struct setup *s)
{
	return vt_read_number(vt_cgroup_path(s->group, "memory.current"));
}

/* At least @pages were purged, the report is right, and nothing else is lost. */
static void judge(const struct setup *s, long long pages)
{
	long long purged;
	struct vr_count n;

	EXPECT_GE(vr_purges() - s->purged, pages);
	EXPECT_EQ(vr_count_pagemap(&s->r, VR_PM_SWAP), 0);
	EXPECT_EQ(vr_unmark(s->r.p, vr_len(&s->r)), pages > 0);
	/* Above memory.high any system call may reclaim: count only now. */
	purged = vr_purges() - s->purged;
	vt_diag("%lld of %d volatile pages purged", purged, VOLATILE_PAGES);
	n = vr_count(&s->r);
	EXPECT_EQ(n.zero, purged);
	EXPECT_EQ(n.old, VOLATILE_PAGES - purged);
	EXPECT_ALL_OLD(&s->control);
	EXPECT_EQ(vt_key(vt_cgroup_path(s->group, "memory.events"), "oom_kill"),
		  0);
}

/* What had to go, less all that could go instead of volatile pages. */
static long long at_least(long long bytes)
{
	return bytes / (long long)VR_PAGE - CONTROL_PAGES - OTHER_PAGES;
}

static void reclaim(bool mglru)
{
	struct setup s = prepare(mglru);

	EXPECT_EQ(vt_cgroup_try_write(s.group, "memory.reclaim", 4 * MB), 0);
	judge(&s, at_least(4 * MB));
}

static void lower_limit(bool mglru, const char *file)
{
	struct setup s = prepare(mglru);

	EXPECT_EQ(vt_cgroup_try_write(s.group, file, usage(&s) - 4 * MB), 0);
	judge(&s, at_least(4 * MB));
}

/* Grow against a limit: what is new must find room in place of the volatile. */
static void grow(bool mglru, const char *file)
{
	struct setup s = prepare(mglru);
	struct vr_range new;

	vt_cgroup_write(s.group, file, usage(&s) + MB);
	new = vr_filled(5 * MB / VR_PAGE);
	judge(&s, at_least(4 * MB));
	EXPECT_ALL_OLD(&new);
}

/* With zram a purge saves compressing the page. */
static void reclaim_on_zram(void)
{
	struct setup s = prepare_on(zram, false);

	EXPECT_EQ(vt_cgroup_try_write(s.group, "memory.reclaim", 4 * MB), 0);
	judge(&s, at_least(4 * MB));
}

static void reclaim_lru(void)
{
	reclaim(false);
}

static void reclaim_mglru(void)
{
	reclaim(true);
}

static void lower_max_lru(void)
{
	lower_limit(false, "memory.max");
}

static void lower_max_mglru(void)
{
	lower_limit(true, "memory.max");
}

static void lower_high_lru(void)
{
	lower_limit(false, "memory.high");
}

static void lower_high_mglru(void)
{
	lower_limit(true, "memory.high");
}

static void grow_to_max_lru(void)
{
	grow(false, "memory.max");
}

static void grow_to_max_mglru(void)
{
	grow(true, "memory.max");
}

static void grow_over_high_lru(void)
{
	grow(false, "memory.high");
}

static void locked_pages_stay(void)
{
	struct setup s = prepare(false);
	struct vr_range locked = s.r;
	struct vr_count n;

	locked.pages = 512;
	REQUIRE_EQ(mlock(locked.p, vr_len(&locked)), 0);
	EXPECT_EQ(vt_cgroup_try_write(s.group, "memory.reclaim", 5 * MB), 0);
	EXPECT_GE(vr_purges() - s.purged, at_least(5 * MB));
	EXPECT_EQ(vr_unmark(locked.p, vr_len(&locked)), 0);
	EXPECT_ALL_OLD(&locked);
	/* Control: the rest was not locked. */
	EXPECT_EQ(vr_unmark(s.r.p, vr_len(&s.r)), 1);
	n = vr_count_pages(&s.r, locked.pages, s.r.pages);
	EXPECT_EQ(n.zero, vr_purges() - s.purged);
}

/* A child that has unmarked its copy, and waits to be told to end. */
struct sharer {
	struct vr_range *r;
	struct vt_gate ready, end;
};

static void share_unmarked(void *arg)
{
	struct sharer *sharer = arg;

	EXPECT_EQ(vr_unmark(sharer->r->p, vr_len(sharer->r)), 0);
	vt_gate_open(&sharer->ready);
	vt_gate_wait(&sharer->end);
	EXPECT_ALL_OLD(sharer->r);
}

/* A page is not lost while a mapping of it wants it kept. */
static void shared_with_an_unmarked_one(void)
{
	struct setup s = prepare(false);
	struct vr_range shared;
	struct sharer sharer = { &shared, vt_gate(), vt_gate() };
	pid_t pid;

	shared = vr_filled(CONTROL_PAGES);
	REQUIRE_EQ(vr_mark(shared.p, vr_len(&shared)), 0);
	REQUIRE_EQ(madvise(s.r.p, vr_len(&s.r), MADV_DONTFORK), 0);
	pid = vt_fork(share_unmarked, &sharer);
	vt_gate_wait(&sharer.ready);
	/* All there is: it may fall short, what counts is what it took. */
	vt_cgroup_try_write(s.group, "memory.reclaim", usage(&s));
	EXPECT_EQ(vr_count_pagemap(&shared, VR_PM_SWAP), CONTROL_PAGES);
	EXPECT_EQ(vr_unmark(shared.p, vr_len(&shared)), 0);
	EXPECT_ALL_OLD(&shared);
	/* Control: the same call purged those that only we have. */
	judge(&s, VOLATILE_PAGES - OTHER_PAGES);
	vt_gate_open(&sharer.end);
	EXPECT_EQ(vt_wait(pid), 0);
}

#define PRESSURE(fn, about) \
	VT_CASE(fn, "V-PG-2 V-PG-11 V-SB-5", about)

static const struct vt_case cases[] = {
	PRESSURE(reclaim_lru, "memory.reclaim purges, with the classic LRU."),
	PRESSURE(reclaim_mglru, "memory.reclaim purges, with MGLRU."),
	VT_CASE(reclaim_on_zram, "V-PG-2 V-PG-11 V-SB-5",
		"memory.reclaim purges rather than compress into zram."),
	PRESSURE(lower_max_lru, "Lowering memory.max purges, classic LRU."),
	PRESSURE(lower_max_mglru, "Lowering memory.max purges, MGLRU."),
	PRESSURE(lower_high_lru, "Lowering memory.high purges, classic LRU."),
	PRESSURE(lower_high_mglru, "Lowering memory.high purges, MGLRU."),
	PRESSURE(grow_to_max_lru, "Growing to memory.max purges, classic LRU."),
	PRESSURE(grow_to_max_mglru, "Growing to memory.max purges, MGLRU."),
	PRESSURE(grow_over_high_lru, "Growing over memory.high purges."),
	VT_CASE(locked_pages_stay, "V-PG-7",
		"Pages locked after marking are not purged, the others are."),
	VT_CASE(shared_with_an_unmarked_one, "V-PG-4 V-PG-6",
		"A page that another process has unmarked is swapped, not purged."),
};

VT_MAIN(cases)
