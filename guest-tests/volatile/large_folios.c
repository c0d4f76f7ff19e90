// SPDX-License-Identifier: GPL-2.0-only
/*
 * Large anonymous folios that are smaller than a huge page: every page of one
 * is purged, or kept, for itself.
 */
#include "vr_group.h"
#include "vr_newer.h"
#include "vr_soft_dirty.h"
#include "vt_fault.h"

#define FOLIO	16UL			/* pages of 64 kB */
#define SIZE	(FOLIO * VR_PAGE)
#define KNOB	"/sys/kernel/mm/transparent_hugepage/hugepages-64kB/enabled"
#define COMPOUND	(3ULL << 15)	/* head or tail, in /proc/kpageflags */
#define PFN	((1ULL << 55) - 1)

/* @folios of them, aligned, not yet touched; nothing around can merge. */
static char *place(size_t folios)
{
	char *p = vr_anon((folios + 1) * FOLIO);

	if (access(KNOB, F_OK))
		vt_skip("no large anonymous folios in this kernel");
	vt_set(KNOB, "always");
	vt_pin(0);
	return p + SIZE - (uintptr_t)p % SIZE;
}

static bool is_large(const void *p)
{
	uint64_t pfn = vr_pagemap(p) & PFN, flags;
	int fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);

	REQUIRE(pfn && fd >= 0);
	REQUIRE_EQ(pread(fd, &flags, 8, pfn * 8), 8);
	close(fd);
	return flags & COMPOUND;
}

/* @folios filled pages by pages, each of which lies in a large folio. */
static struct vr_range filled(size_t folios)
{
	struct vr_range r = vr_fill(place(folios), folios * FOLIO);
	size_t i, large = 0;

	for (i = 0; i < r.pages; i++)
		large += is_large(vr_page(&r, i));
	REQUIRE_EQ(large, r.pages);
	return r;
}

static void purged_page_by_page(void)
{
	struct vr_range r = filled(4);
	long long purged = vr_purges();
	size_t i, reported = 0;

	EXPECT_EQ(vr_mark(r.p, vr_len(&r)), 0);
	EXPECT_EQ(vr_pageout(r.p, vr_len(&r)), 0);
	EXPECT_EQ(vr_purges() - purged, r.pages);
	for (i = 0; i < r.pages; i++)
		reported += vr_unmark(vr_page(&r, i), VR_PAGE) == 1;
	EXPECT_EQ(reported, r.pages);
	EXPECT_ALL_ZERO(&r);
}

static void leave_at_once(void *arg)
{
	(void)arg;
}

/*
 * Entries that are the same but for that bit are of one batch, and keep it each. A child that has
 * come and gone leaves them all write-protected; mprotect() of a batch makes it soft-dirty.
 */
static void soft_dirty_of_each_page(void)
{
	struct vr_range r = filled(2);

	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	vr_dirty_in_runs(&r);
	REQUIRE_EQ(vt_run_child(leave_at_once, NULL), 0);
	vr_expect_dirty_runs(&r);
	REQUIRE(is_large(r.p));
	EXPECT_EQ(vr_pageout(r.p, vr_len(&r)), 0);
	REQUIRE_EQ(vr_count_pagemap(&r, VR_PM_PRESENT | VR_PM_SWAP), 0);
	vr_expect_dirty_runs(&r);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 1);
}

/* Half of each folio is volatile: that half is lost, the other is not. */
static void cut_by_a_range(void)
{
	struct vr_range r;
	size_t i, wrong = 0;

	vt_swap_disk();
	r = filled(4);
	for (i = 0; i < r.pages; i += FOLIO)
		REQUIRE_EQ(vr_mark(vr_page(&r, i + 3), SIZE / 2), 0);
	EXPECT_EQ(vr_pageout(r.p, vr_len(&r)), 0);
	for (i = 0; i < r.pages; i += FOLIO)
		EXPECT_EQ(vr_unmark(vr_page(&r, i), SIZE), 1);
	for (i = 0; i < r.pages; i++) {
		bool marked = i % FOLIO >= 3 && i % FOLIO < 3 + FOLIO / 2;

		wrong += vr_state(&r, i) != (marked ? VR_ZERO : VR_OLD);
	}
	EXPECT_EQ(wrong, 0);
}

/* No new folio is laid over a purged entry, which would read as zeros. */
static void not_filled_over_a_purged_page(void)
{
	struct vr_range r = filled(2), first = r, second = r;

	first.pages = second.pages = FOLIO;
	second.p += SIZE;
	EXPECT_EQ(vr_mark(r.p, vr_len(&r)), 0);
	EXPECT_EQ(vr_pageout(r.p, vr_len(&r)), 0);
	/* Of the first folio's place one purged page stays, of the other none. */
	EXPECT_EQ(vr_unmark(first.p, 5 * VR_PAGE), 1);
	EXPECT_EQ(vr_unmark(first.p + 6 * VR_PAGE, SIZE - 6 * VR_PAGE), 1);
	EXPECT_EQ(vr_mark(first.p, SIZE), 0);
	EXPECT_EQ(vr_advise(second.p, SIZE, MADV_DONTNEED), 0);
	EXPECT_NO_FAULT(vt_do_write, first.p + 7 * VR_PAGE);
	EXPECT_NO_FAULT(vt_do_write, first.p);
	EXPECT_FAULT(vt_do_read, first.p + 5 * VR_PAGE, SIGBUS, BUS_ADRERR);
	/* Control: where nothing is in the way, one touch fills it all. */
	EXPECT_NO_FAULT(vt_do_write, second.p + 7 * VR_PAGE);
	EXPECT_EQ(vr_count_pagemap(&second, VR_PM_PRESENT), FOLIO);
	EXPECT_EQ(vr_unmark(first.p, 5 * VR_PAGE), 0);
	EXPECT_EQ(vr_unmark(first.p + 5 * VR_PAGE, VR_PAGE), 1);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 0);
}

/* A lazyfree folio that is discarded whole leaves an entry for each page. */
static void lazyfree(void)
{
	struct vr_range r = filled(2);
	size_t i, reported = 0;

	EXPECT_EQ(vr_mark(r.p, SIZE), 0);
	EXPECT_EQ(vr_advise(r.p, vr_len(&r), MADV_FREE), 0);
	EXPECT_EQ(vr_pageout(r.p, vr_len(&r)), 0);
	for (i = 0; i < FOLIO; i++)
		reported += vr_unmark(vr_page(&r, i), VR_PAGE) == 1;
	EXPECT_EQ(reported, FOLIO);
	/* Control: discarded as well, but it is not volatile. */
	EXPECT_EQ(vr_unmark(r.p + SIZE, SIZE), 0);
	EXPECT_ALL_ZERO(&r);
}

/* Three folios of a parent and its child, given up: see below. */
static struct shared {
	struct vr_range kept, own, control;
	long long purges;
} shared;

/* Its mapping begins later than the parent's, and reclaim comes to it after that one. */
static void lock_half(struct vr_kin *kin)
{
	(void)kin;
	REQUIRE_EQ(munmap(shared.kept.p - VR_PAGE, VR_PAGE), 0);
	REQUIRE_EQ(mlock2(shared.kept.p, SIZE / 2, MLOCK_ONFAULT), 0);
}

static void judge_shared(struct vr_kin *kin)
{
	size_t kept = vr_count_pagemap(&shared.kept, VR_PM_PRESENT);

	(void)kin;
	vt_diag("the child keeps %zu pages", kept);
	EXPECT_GE(kept, FOLIO / 2);
	EXPECT_EQ(vr_count_pages(&shared.kept, 0, FOLIO / 2).old, FOLIO / 2);
	/* Half of our own went; of the control all did, from both. */
	EXPECT_EQ(vr_purges() - shared.purges, FOLIO - kept + FOLIO / 2 + FOLIO);
	EXPECT_ALL_ZERO(&shared.own);
	EXPECT_ALL_ZERO(&shared.control);
}

/*
 * A lock of a part of a folio lets reclaim come to it, and stops it midway. What one
 * process has lost by then is not gone while another has it; what nobody else has is.
 * Lines before split such a folio first, and are not stopped midway.
 */
static void counted_where_gone(void)
{
	const char *group = vr_group(false);
	struct vr_kin kin = { .prepare = lock_half, .judge = judge_shared };
	struct vr_range *each[] = { &shared.kept, &shared.own, &shared.control };
	struct vr_range lost;
	size_t i;

	for (i = 0; i < 3; i++) {
		*each[i] = filled(1);
		REQUIRE_EQ(vr_advise(each[i]->p, SIZE, MADV_FREE), 0);
	}
	vt_drain_batches();
	shared.purges = vr_purges();
	vr_kin_start(&kin);
	REQUIRE_EQ(vr_mark(shared.kept.p - VR_PAGE, SIZE + VR_PAGE), 0);
	REQUIRE_EQ(vr_mark(shared.control.p, SIZE), 0);
	lost = shared.own;
	lost.pages = FOLIO / 2;
	REQUIRE_EQ(vr_mark(lost.p, vr_len(&lost)), 0);
	REQUIRE_EQ(mlock2(lost.p + SIZE / 2, SIZE / 2, MLOCK_ONFAULT), 0);
	vr_squeeze(group, &shared.kept);
	vr_squeeze(group, &shared.control);
	vr_squeeze(group, &lost);
	vr_kin_end(&kin);
	vr_expect_unmark(&shared.kept, 1);
	vr_expect_unmark(&shared.control, 1);
	vr_expect_unmark(&lost, 1);
	EXPECT_EQ(vr_count_pages(&shared.own, FOLIO / 2, FOLIO).old, FOLIO / 2);
}

static void let_half_go(struct vr_kin *kin)
{
	vt_gate_open(&kin->ready);
	vt_gate_wait(&kin->end);
	REQUIRE_EQ(munmap(kin->r->p + SIZE / 2, SIZE / 2), 0);
}

static void judge_first_half(struct vr_kin *kin)
{
	EXPECT_EQ(vr_count_pages(kin->r, 0, FOLIO / 2).old, FOLIO / 2);
}

/*
 * Read back from swap as one folio, of which another process has the first half in swap
 * still. That half is not ours to discard; the other one is, and is not written again.
 */
static void half_in_swap_for_another(void)
{
	struct vr_kin kin = { .prepare = let_half_go, .judge = judge_first_half };
	const char *group;
	long long purges;
	struct vr_range r;

	vt_mglru(false);
	vt_swap_zram(32);
	group = vt_cgroup("vr-group");
	vt_cgroup_enter(group);
	r = filled(1);
	kin.r = &r;
	vr_kin_start(&kin);
	vr_squeeze(group, &r);
	REQUIRE_EQ(vr_count_pagemap(&r, VR_PM_SWAP), FOLIO);
	vt_gate_open(&kin.end);
	vt_gate_wait(&kin.ready);
	EXPECT_NO_FAULT(vt_do_read, r.p);
	REQUIRE_EQ(vr_count_pagemap(&r, VR_PM_PRESENT), FOLIO);
	REQUIRE(is_large(r.p));
	vt_drain_batches();
	REQUIRE_EQ(vr_mark(r.p, SIZE), 0);
	purges = vr_purges();
	EXPECT_EQ(vr_pageout(r.p, SIZE), 0);
	EXPECT_EQ(vr_count_pagemap(&r, VR_PM_SWAP), FOLIO / 2);
	EXPECT_EQ(vr_purges() - purges, FOLIO / 2);
	vr_kin_end(&kin);
	EXPECT_EQ(vr_unmark(r.p, SIZE / 2), 0);
	EXPECT_EQ(vr_unmark(r.p + SIZE / 2, SIZE / 2), 1);
	EXPECT_EQ(vr_count_pages(&r, 0, FOLIO / 2).old, FOLIO / 2);
	EXPECT_EQ(vr_count_pages(&r, FOLIO / 2, FOLIO).zero, FOLIO / 2);
}

#define SINCE	"linux-6.8"

static const struct vt_case cases[] = {
	VT_CASE(purged_page_by_page, "V-PG-8 V-PG-11",
		"A volatile 64 kB folio is purged, and each page leaves an entry.",
		.needs = SINCE),
	VT_CASE(soft_dirty_of_each_page, "V-SB-10 V-PG-8",
		"Of one 64 kB folio each purged page is soft-dirty if that page was.",
		.needs = SINCE),
	VT_CASE(cut_by_a_range, "V-PG-8",
		"Of 64 kB folios cut by a range only the volatile pages are lost.",
		.needs = SINCE),
	VT_CASE(not_filled_over_a_purged_page, "V-PG-8 V-SB-5",
		"No 64 kB folio is laid over a purged page.", .needs = SINCE),
	VT_CASE(lazyfree, "V-SB-9 V-PG-8",
		"A lazyfree 64 kB folio in a volatile range leaves purged entries.",
		.needs = SINCE),
	VT_CASE(counted_where_gone, "V-PG-11 V-SB-9 V-PG-8",
		"Of lazyfree 64 kB folios that reclaim stops in the middle of, the pages that are gone are counted.",
		.timeout = 20, .needs = "linux-7.3"),
	VT_CASE(half_in_swap_for_another, "V-PG-4 V-PG-8 V-PG-10",
		"Of a 64 kB folio that is in swap for another in part the rest is purged.",
		.timeout = 20, .needs = "linux-7.3"),
};

VT_MAIN(cases)
