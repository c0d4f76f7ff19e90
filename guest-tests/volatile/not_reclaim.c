// SPDX-License-Identifier: GPL-2.0-only
/*
 * What handles a volatile page and is no reclaim: moving it, taking bad memory
 * out of use. Nothing of that purges.
 */
#include "vr_pages.h"
#include "vt_fault.h"

#include <pthread.h>

#define PAGES	32
#define MOVES	256
#define PFN	((1ULL << 55) - 1)

/* The guest needs its memory after this case as well. */
static void undo_poison(const char *arg)
{
	if (vt_try_write("/sys/kernel/debug/hwpoison/unpoison-pfn", arg))
		vt_check(false, "cannot take the poison from page %s", arg);
}

static uint64_t pfn_of(const void *p)
{
	uint64_t entry = vr_pagemap(p);

	REQUIRE(entry & VR_PM_PRESENT);
	return entry & PFN;
}

/* All of @r, marked, is there; and gone by reclaim, which is the control. */
static void expect_kept(struct vr_range *r)
{
	EXPECT_EQ(vr_unmark(r->p, vr_len(r)), 0);
	EXPECT_ALL_OLD(r);
	REQUIRE_EQ(vr_mark(r->p, vr_len(r)), 0);
	EXPECT_EQ(vr_pageout(r->p, vr_len(r)), 0);
	EXPECT_EQ(vr_unmark(r->p, vr_len(r)), 1);
	EXPECT_ALL_ZERO(r);
}

/* A page is moved to another place in memory, as compaction does. */
static void soft_offline(void)
{
	uint64_t pfn[PAGES];
	struct vr_range r;
	char text[32];
	size_t i;

	vt_pin(0);
	r = vr_filled(PAGES);
	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	for (i = 0; i < 4; i++) {
		pfn[i] = pfn_of(vr_page(&r, i));
		if (vr_advise(vr_page(&r, i), VR_PAGE, MADV_SOFT_OFFLINE) ==
		    -EINVAL)
			vt_skip("no CONFIG_MEMORY_FAILURE in this kernel");
		snprintf(text, sizeof(text), "%llu",
			 (unsigned long long)pfn[i]);
		vt_cleanup(undo_poison, text);
		EXPECT_EQ(vr_state(&r, i), VR_OLD);
		/* It did move. */
		EXPECT_NE(pfn_of(vr_page(&r, i)), pfn[i]);
	}
	/* What was moved sits in this CPU's batch until the LRU is drained. */
	vt_write("/proc/sys/vm/compact_memory", "1");
	expect_kept(&r);
}

/* Moves the pages of a range one after the other, again and again. */
struct mover {
	struct vr_range *r;
	uint64_t pfn[MOVES];
	int moved;
	int done;
};

static void *move_pages_about(void *arg)
{
	struct mover *m = arg;
	uint64_t pfn;
	void *p;
	int i;

	vt_pin(1);
	for (i = 0; i < MOVES; i++) {
		p = vr_page(m->r, i % PAGES);
		pfn = pfn_of(p);
		/* EBUSY: somebody else has it in his hands just now. */
		if (vr_advise(p, VR_PAGE, MADV_SOFT_OFFLINE) == 0)
			m->pfn[m->moved++] = pfn;
	}
	__atomic_store_n(&m->done, 1, __ATOMIC_RELEASE);
	return NULL;
}

/*
 * A page on the move is in no page table for a while. An unmarking that comes by then
 * must not take it for purged, nor leave it behind as volatile.
 */
static void unmarked_on_the_move(void)
{
	struct mover m = {};
	struct vr_range r;
	pthread_t thread;
	long rounds = 0;
	char text[32];
	int i;

	vt_pin(0);
	r = vr_filled(PAGES);
	if (vr_advise(r.p, 0, MADV_SOFT_OFFLINE) == -EINVAL)
		vt_skip("no CONFIG_MEMORY_FAILURE in this kernel");
	m.r = &r;
	REQUIRE_EQ(pthread_create(&thread, NULL, move_pages_about, &m), 0);
	while (!__atomic_load_n(&m.done, __ATOMIC_ACQUIRE)) {
		EXPECT_EQ(vr_mark(r.p, vr_len(&r)), 0);
		EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 0);
		rounds++;
	}
	REQUIRE_EQ(pthread_join(thread, NULL), 0);
	for (i = 0; i < m.moved; i++) {
		snprintf(text, sizeof(text), "%llu",
			 (unsigned long long)m.pfn[i]);
		undo_poison(text);
	}
	vt_diag("%d pages moved beside %ld unmarkings", m.moved, rounds);
	EXPECT_GE(m.moved, 1);
	EXPECT_GE(rounds, 1);
	EXPECT_ALL_OLD(&r);
	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	vt_write("/proc/sys/vm/compact_memory", "1");
	expect_kept(&r);
}

/*
 * Volatile pages that lie low, with holes between them and all that is above them
 * free: compaction carries them upwards. Huge pages, reserved and given back, see
 * to it that they lie low.
 */
static void compaction(void)
{
	enum { MANY = 4096, LEFT_MB = 48 };
	struct vr_range r;
	long long moved;
	char huge[32];
	size_t i, left;

	if (access("/proc/sys/vm/nr_hugepages", F_OK))
		vt_skip("no CONFIG_HUGETLBFS in this kernel");
	if (access("/proc/sys/vm/compact_memory", F_OK))
		vt_skip("no CONFIG_COMPACTION in this kernel");
	vt_pin(0);
	vt_write("/proc/sys/vm/drop_caches", "1");
	snprintf(huge, sizeof(huge), "%lld",
		 (vt_key("/proc/meminfo", "MemFree") / 1024 - LEFT_MB) / 2);
	vt_set("/proc/sys/vm/nr_hugepages", huge);
	r = vr_filled(MANY);
	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	for (i = 0; i < MANY; i += 2)
		REQUIRE_EQ(vr_advise(vr_page(&r, i), VR_PAGE, MADV_DONTNEED),
			   0);
	vt_write("/proc/sys/vm/nr_hugepages", "0");
	moved = vr_vmstat("pgmigrate_success");
	vt_write("/proc/sys/vm/compact_memory", "1");
	moved = vr_vmstat("pgmigrate_success") - moved;
	vt_diag("%lld pages moved", moved);
	EXPECT_GE(moved, 1);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 0);
	for (i = 1, left = 0; i < MANY; i += 2)
		left += vr_state(&r, i) == VR_OLD;
	EXPECT_EQ(left, MANY / 2);
	/* Control: reclaim takes them. */
	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	EXPECT_EQ(vr_pageout(r.p, vr_len(&r)), 0);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 1);
}

/* Later kernels tell the caller at once that it has just hit bad memory. */
static void poison(void *p)
{
	if (madvise(p, VR_PAGE, MADV_HWPOISON))
		vt_check(false, "MADV_HWPOISON: %s", strerror(errno));
}

/* Memory that went bad: the page stays bad, and is nobody's purge. */
static void poisoned_page(void)
{
	struct vr_range r;
	char text[32];

	if (access("/sys/kernel/debug/hwpoison/unpoison-pfn", F_OK))
		vt_skip("no CONFIG_HWPOISON_INJECT in this kernel");
	vt_pin(0);
	r = vr_filled(PAGES);
	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	snprintf(text, sizeof(text), "%llu",
		 (unsigned long long)pfn_of(vr_page(&r, 3)));
	vt_cleanup(undo_poison, text);
	vt_catch(poison, vr_page(&r, 3));
	EXPECT_FAULT(vt_do_read, vr_page(&r, 3), SIGBUS, BUS_MCEERR_AR);
	EXPECT_EQ(vr_unmark(vr_page(&r, 3), VR_PAGE), 0);
	EXPECT_FAULT(vt_do_read, vr_page(&r, 3), SIGBUS, BUS_MCEERR_AR);
	REQUIRE_EQ(vr_mark(vr_page(&r, 3), VR_PAGE), 0);
	/* Control: the reclaim that passes over it takes all the others. */
	EXPECT_EQ(vr_pageout(r.p, vr_len(&r)), 0);
	EXPECT_FAULT(vt_do_read, vr_page(&r, 3), SIGBUS, BUS_MCEERR_AR);
	EXPECT_FAULT(vt_do_read, vr_page(&r, 4), SIGBUS, BUS_ADRERR);
	EXPECT_EQ(vr_unmark(vr_page(&r, 3), VR_PAGE), 0);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 1);
	EXPECT_FAULT(vt_do_read, vr_page(&r, 3), SIGBUS, BUS_MCEERR_AR);
	EXPECT_EQ(vr_count_pages(&r, 0, 3).zero, 3);
	EXPECT_EQ(vr_count_pages(&r, 4, PAGES).zero, PAGES - 4);
}

/*
 * The same of a page of hugetlbfs, which cannot be volatile: who unmaps it is told
 * by the caller that also tells a purge.
 */
static void poisoned_hugetlb_page(void)
{
	const size_t huge = 2 << 20;
	char text[32], *p;

	if (access("/sys/kernel/debug/hwpoison/unpoison-pfn", F_OK))
		vt_skip("no CONFIG_HWPOISON_INJECT in this kernel");
	if (access("/proc/sys/vm/nr_hugepages", F_OK))
		vt_skip("no CONFIG_HUGETLBFS in this kernel");
	vt_pin(0);
	vt_set("/proc/sys/vm/nr_hugepages", "1");
	p = mmap(NULL, huge, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	REQUIRE(p != MAP_FAILED);
	memset(p, 1, huge);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)pfn_of(p));
	vt_cleanup(undo_poison, text);
	vt_catch(poison, p);
	EXPECT_FAULT(vt_do_read, p, SIGBUS, BUS_MCEERR_AR);
	EXPECT_FAULT(vt_do_read, p + huge - 1, SIGBUS, BUS_MCEERR_AR);
	REQUIRE_EQ(munmap(p, huge), 0);
}

static const struct vt_case cases[] = {
	VT_CASE(soft_offline, "V-PG-14",
		"Moving a volatile page out of its frame keeps it."),
	VT_CASE(unmarked_on_the_move, "V-PG-14",
		"Unmarking pages that are being moved loses none and reports none."),
	VT_CASE(compaction, "V-PG-14", "Compaction moves volatile pages, and keeps them."),
	VT_CASE(poisoned_page, "V-PG-14 V-SB-1",
		"A poisoned volatile page stays poisoned, and does not count as purged."),
	VT_CASE(poisoned_hugetlb_page, "V-PG-14",
		"A poisoned page of hugetlbfs stays poisoned: nothing is purged there."),
};

VT_MAIN(cases)
