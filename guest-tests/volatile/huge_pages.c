// SPDX-License-Identifier: GPL-2.0-only
/*
 * Transparent huge pages: only the volatile pages of them are lost, each with an
 * entry of its own, and they are lost rather than swapped.
 */
#include "vr_group.h"

#include <sys/uio.h>

#define PAGES	512
#define HUGE	(PAGES * VR_PAGE)
#define THP	"/sys/kernel/mm/transparent_hugepage/"

/* Kernels with little memory start with huge pages off. */
static void allow_huge(void)
{
	if (access(THP "enabled", F_OK))
		vt_skip("no transparent huge pages in this kernel");
	vt_set(THP "enabled", "madvise");
	vt_set(THP "defrag", "madvise");
}

/* @count huge pages, filled, that really are huge. */
static struct vr_range filled_huge(size_t count)
{
	long long before = vr_vmstat("thp_fault_alloc");
	uintptr_t p;
	struct vr_range r;

	p = (uintptr_t)mmap(NULL, (count + 1) * HUGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(p != (uintptr_t)MAP_FAILED);
	p = (p + HUGE - 1) / HUGE * HUGE;
	REQUIRE_EQ(madvise((void *)p, count * HUGE, MADV_HUGEPAGE), 0);
	r = vr_fill((char *)p, count * PAGES);
	REQUIRE_EQ(vr_vmstat("thp_fault_alloc") - before, count);
	return r;
}

static const char *huge_group(bool mglru)
{
	allow_huge();
	return vr_group(mglru);
}

static void whole(void)
{
	struct vr_range r;
	long long purges;

	allow_huge();
	vt_swap_disk();
	vt_pin(0);
	r = filled_huge(2);
	purges = vr_purges();
	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	EXPECT_EQ(vr_pageout(r.p, vr_len(&r)), 0);
	EXPECT_EQ(vr_purges() - purges, 2 * PAGES);
	EXPECT_EQ(vr_count_pagemap(&r, VR_PM_SWAP), 0);
	vr_expect_unmark(&r, 1);
}

/* Pages 100 to 199 are volatile. */
static void cut(bool mglru)
{
	const char *group = huge_group(mglru);
	struct vr_range r = filled_huge(1);
	long long purges = vr_purges();

	REQUIRE_EQ(vr_mark(vr_page(&r, 100), 100 * VR_PAGE), 0);
	vr_squeeze(group, &r);
	EXPECT_EQ(vr_purges() - purges, 100);
	EXPECT_EQ(vr_count_pagemap(&r, VR_PM_SWAP), PAGES - 100);
	EXPECT_EQ(vr_unmark(r.p, 100 * VR_PAGE), 0);
	EXPECT_EQ(vr_unmark(vr_page(&r, 200), (PAGES - 200) * VR_PAGE), 0);
	EXPECT_EQ(vr_unmark(vr_page(&r, 199), VR_PAGE), 1);
	EXPECT_EQ(vr_unmark(vr_page(&r, 100), 99 * VR_PAGE), 1);
	EXPECT_EQ(vr_count_pages(&r, 0, 100).old, 100);
	EXPECT_EQ(vr_count_pages(&r, 100, 200).zero, 100);
	EXPECT_EQ(vr_count_pages(&r, 200, PAGES).old, PAGES - 200);
}

static void cut_lru(void)
{
	cut(false);
}

static void cut_mglru(void)
{
	cut(true);
}

/* Two huge pages, four VMAs; the two in the middle are volatile. */
static void straddled(void)
{
	const char *group = huge_group(false);
	struct vr_range r = filled_huge(2);
	long long purges = vr_purges();

	REQUIRE_EQ(vr_mark(vr_page(&r, 300), 500 * VR_PAGE), 0);
	REQUIRE_EQ(mprotect(vr_page(&r, 550), 474 * VR_PAGE, PROT_READ), 0);
	vr_squeeze(group, &r);
	EXPECT_EQ(vr_purges() - purges, 500);
	EXPECT_EQ(vr_count_pagemap(&r, VR_PM_SWAP), 2 * PAGES - 500);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 1);
	EXPECT_EQ(vr_count_pages(&r, 0, 300).old, 300);
	EXPECT_EQ(vr_count_pages(&r, 300, 800).zero, 500);
	EXPECT_EQ(vr_count_pages(&r, 800, 2 * PAGES).old, 2 * PAGES - 800);
}

static void judge_mixed(struct vr_kin *kin)
{
	EXPECT_EQ(vr_unmark(kin->r->p, 100 * VR_PAGE), 0);
	EXPECT_EQ(vr_unmark(kin->r->p, vr_len(kin->r)), 1);
	EXPECT_EQ(vr_count_pages(kin->r, 0, 100).old, 100);
	EXPECT_EQ(vr_count_pages(kin->r, 100, PAGES).zero, PAGES - 100);
}

/* The child maps it whole and wholly volatile; here 100 pages are not. */
static void whole_here_in_parts_there(void)
{
	const char *group = huge_group(false);
	struct vr_range r = filled_huge(1);
	struct vr_kin kin = { .r = &r, .judge = judge_mixed };
	long long purges;

	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	vr_kin_start(&kin);
	REQUIRE_EQ(vr_unmark(r.p, 100 * VR_PAGE), 0);
	purges = vr_purges();
	vr_squeeze(group, &r);
	EXPECT_EQ(vr_purges() - purges, PAGES - 100);
	vr_kin_end(&kin);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 1);
	EXPECT_EQ(vr_count_pages(&r, 0, 100).old, 100);
	EXPECT_EQ(vr_count_pages(&r, 100, PAGES).zero, PAGES - 100);
}

/* Two huge pages for a reclaim by this CPU. */
static void huge_and_control(struct vr_range *r, struct vr_range *control)
{
	allow_huge();
	vt_swap_disk();
	vt_pin(0);
	*r = filled_huge(1);
	*control = filled_huge(1);
}

/* One page of it is in a pipe: it cannot be split, and so not be purged. */
static void held_by_a_pipe(void)
{
	struct vr_range r, control;
	struct iovec iov = { .iov_len = VR_PAGE };
	long long purges;
	int pipefd[2];

	huge_and_control(&r, &control);
	REQUIRE_EQ(pipe2(pipefd, O_CLOEXEC), 0);
	iov.iov_base = vr_page(&r, 77);
	REQUIRE_EQ(vmsplice(pipefd[1], &iov, 1, 0), VR_PAGE);
	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	REQUIRE_EQ(vr_mark(control.p, vr_len(&control)), 0);
	purges = vr_purges();
	EXPECT_EQ(vr_pageout(r.p, vr_len(&r)), 0);
	EXPECT_EQ(vr_purges() - purges, 0);
	EXPECT_EQ(vr_pageout(control.p, vr_len(&control)), 0);
	EXPECT_EQ(vr_purges() - purges, PAGES);
	vr_expect_unmark(&r, 0);
	vr_expect_unmark(&control, 1);
}

/* Given up as a whole, taken back as a whole by NONVOLATILE. */
static void lazyfree_taken_back(void)
{
	struct vr_range r, control;

	huge_and_control(&r, &control);
	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	REQUIRE_EQ(vr_mark(control.p, vr_len(&control)), 0);
	EXPECT_EQ(vr_advise(r.p, vr_len(&r), MADV_FREE), 0);
	EXPECT_EQ(vr_advise(control.p, vr_len(&control), MADV_FREE), 0);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 0);
	vt_drain_batches();
	EXPECT_EQ(vr_pageout(r.p, vr_len(&r)), 0);
	EXPECT_EQ(vr_pageout(control.p, vr_len(&control)), 0);
	EXPECT_ALL_OLD(&r);
	vr_expect_unmark(&control, 1);
}

/* A lock of some of its pages does not take the others from reclaim, and keeps those. */
static void locked_in_part(void)
{
	const char *group = huge_group(false);
	struct vr_range r = filled_huge(1), rest = r;
	long long purges = vr_purges();

	rest.p += 100 * VR_PAGE;
	rest.pages -= 100;
	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	REQUIRE_EQ(mlock(r.p, 100 * VR_PAGE), 0);
	vr_squeeze(group, &rest);
	EXPECT_EQ(vr_purges() - purges, PAGES - 100);
	EXPECT_EQ(vr_count_pagemap(&r, VR_PM_PRESENT), 100);
	EXPECT_EQ(vr_unmark(r.p, 100 * VR_PAGE), 0);
	EXPECT_EQ(vr_unmark(rest.p, vr_len(&rest)), 1);
	EXPECT_EQ(vr_count_pages(&r, 0, 100).old, 100);
	EXPECT_EQ(vr_count_pages(&r, 100, PAGES).zero, PAGES - 100);
}

static void mark_control(struct vr_kin *kin)
{
	REQUIRE_EQ(vr_mark(kin->control->p, vr_len(kin->control)), 0);
}

static void judge_kept(struct vr_kin *kin)
{
	vr_expect_unmark(kin->r, 0);
	vr_expect_unmark(kin->control, 1);
}

/* Each of two processes maps it whole: one entry for, one against it. */
static void volatile_in_one_of_two(void)
{
	const char *group = huge_group(false);
	struct vr_range r = filled_huge(1), control = filled_huge(1);
	struct vr_kin kin = { .r = &r, .control = &control,
			      .prepare = mark_control, .judge = judge_kept };
	long long purges = vr_purges();

	vr_kin_start(&kin);
	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	REQUIRE_EQ(vr_mark(control.p, vr_len(&control)), 0);
	vr_squeeze(group, &r);
	vr_squeeze(group, &control);
	EXPECT_EQ(vr_purges() - purges, PAGES);
	EXPECT_EQ(vr_count_pagemap(&r, VR_PM_SWAP), PAGES);
	EXPECT_EQ(vr_count_pagemap(&control, VR_PM_SWAP), 0);
	vr_kin_end(&kin);
	judge_kept(&kin);
}

static void judge_discarded(struct vr_kin *kin)
{
	EXPECT_EQ(vr_unmark(kin->r->p, vr_len(kin->r)), 0);
	EXPECT_ALL_ZERO(kin->r);
}

/* Given up as a whole, and volatile in one of two processes: that one is told of each page. */
static void lazyfree_in_one_of_two(void)
{
	const char *group = huge_group(false);
	struct vr_range r = filled_huge(1);
	struct vr_kin kin = { .r = &r, .judge = judge_discarded };
	long long purges = vr_purges();
	size_t i, reported = 0;

	REQUIRE_EQ(vr_advise(r.p, vr_len(&r), MADV_FREE), 0);
	vt_drain_batches();
	vr_kin_start(&kin);
	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	vr_squeeze(group, &r);
	EXPECT_EQ(vr_count_pagemap(&r, VR_PM_SWAP), 0);
	EXPECT_EQ(vr_purges() - purges, PAGES);
	/* Control: the child is not told, and has lost it as well. */
	vr_kin_end(&kin);
	for (i = 0; i < PAGES; i++)
		reported += vr_unmark(vr_page(&r, i), VR_PAGE) == 1;
	EXPECT_EQ(reported, PAGES);
	EXPECT_ALL_ZERO(&r);
}

static long long split_by_pageout(struct vr_range *r)
{
	long long splits = vr_vmstat("thp_split_pmd");

	REQUIRE_EQ(vr_advise(r->p, vr_len(r), MADV_FREE), 0);
	vt_drain_batches();
	EXPECT_EQ(vr_pageout(r->p, vr_len(r)), 0);
	EXPECT_EQ(vr_count_pagemap(r, VR_PM_PRESENT | VR_PM_SWAP), 0);
	return vr_vmstat("thp_split_pmd") - splits;
}

/* Where it is not volatile a lazyfree huge page is one entry, and goes by one step. */
static void lazyfree_elsewhere(void)
{
	struct vr_range r, control;

	huge_and_control(&r, &control);
	REQUIRE_EQ(vr_mark(control.p, vr_len(&control)), 0);
	EXPECT_EQ(split_by_pageout(&r), 0);
	/* Control: what is volatile has an entry for each page then. */
	EXPECT_EQ(split_by_pageout(&control), 1);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 0);
	EXPECT_ALL_ZERO(&r);
	vr_expect_unmark(&control, 1);
}

static void mark_some(struct vr_kin *kin)
{
	REQUIRE_EQ(vr_mark(kin->r->p, 100 * VR_PAGE), 0);
}

static void judge_all_old(struct vr_kin *kin)
{
	vr_expect_unmark(kin->r, 0);
}

/* A child marks a part of what its parent maps whole: there is nothing to win by a split. */
static void left_whole(void)
{
	const char *group = huge_group(false);
	struct vr_range r = filled_huge(1), control;
	struct vr_kin kin = { .r = &r, .prepare = mark_some, .judge = judge_all_old };
	long long splits, purges = vr_purges();

	vr_kin_start(&kin);
	splits = vr_vmstat("thp_split_page");
	vr_squeeze(group, &r);
	EXPECT_EQ(vr_vmstat("thp_split_page") - splits, 0);
	EXPECT_EQ(vr_purges() - purges, 0);
	EXPECT_EQ(vr_count_pagemap(&r, VR_PM_SWAP), PAGES);
	vr_kin_end(&kin);
	EXPECT_ALL_OLD(&r);
	/* Control: of one that nobody else has the part is lost, for which it is split. */
	control = filled_huge(1);
	REQUIRE_EQ(vr_mark(control.p, 100 * VR_PAGE), 0);
	vr_squeeze(group, &control);
	EXPECT_EQ(vr_vmstat("thp_split_page") - splits, 1);
	EXPECT_EQ(vr_purges() - purges, 100);
}

static const struct vt_case cases[] = {
	VT_CASE(whole, "V-PG-8 V-PG-11",
		"Huge pages in a volatile range are purged page by page, not swapped."),
	VT_CASE(cut_lru, "V-PG-8 V-PG-6",
		"Of a huge page cut by a range only the volatile pages are lost.",
		.timeout = 20),
	VT_CASE(cut_mglru, "V-PG-8 V-PG-6",
		"The same with MGLRU.", .timeout = 20),
	VT_CASE(straddled, "V-PG-8",
		"Of huge pages across several mappings only the volatile pages are lost.",
		.timeout = 20),
	VT_CASE(whole_here_in_parts_there, "V-PG-8 V-PG-4",
		"A page of a huge page is purged where all who map it agree.",
		.timeout = 20),
	VT_CASE(held_by_a_pipe, "V-PG-8 V-PG-5",
		"A huge page that cannot be split loses nothing."),
	VT_CASE(lazyfree_taken_back, "V-PG-3 V-PG-8",
		"NONVOLATILE = 0 holds for a huge page given to MADV_FREE."),
	VT_CASE(locked_in_part, "V-PG-7 V-PG-8",
		"Of a huge page that is locked in part the locked pages stay, and the others are lost.",
		.timeout = 20),
	VT_CASE(volatile_in_one_of_two, "V-PG-4 V-PG-6 V-PG-8",
		"A huge page that two map whole, volatile for one of them, is swapped.",
		.timeout = 20),
	VT_CASE(lazyfree_in_one_of_two, "V-SB-9 V-PG-8 V-PG-11",
		"A lazyfree huge page of two processes: where it is volatile each page is told of.",
		.timeout = 20),
	VT_CASE(lazyfree_elsewhere, "V-SB-9 V-PG-8",
		"A lazyfree huge page that is not volatile is discarded without a split of its entry.",
		.needs = "linux-7.3"),
	VT_CASE(left_whole, "V-PG-8 V-PG-6",
		"A huge page that its owner did not mark is not split for a child that marked a part.",
		.timeout = 20, .needs = "linux-7.3"),
};

VT_MAIN(cases)
