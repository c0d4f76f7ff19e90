// SPDX-License-Identifier: GPL-2.0-only
/*
 * MADV_FREE of pages that a parent and its own child share: nothing is lost for the
 * one that did not ask for it. Each case ends with the control: the same pages, when
 * nobody else has them any more, are given up by their last owner, and go.
 */
#include "lf.h"

#include <sys/uio.h>

#define PAGES	16
#define FOLIO	16UL			/* pages of 64 kB */
#define KNOB	"/sys/kernel/mm/transparent_hugepage/hugepages-64kB/enabled"
#define COMPOUND	(3ULL << 15)	/* head or tail, in /proc/kpageflags */

static void expect_last_owner_gives_up(const struct lf_range *r)
{
	/* Reading them for the check has made them present again. */
	REQUIRE_EQ(lf_count_entries(r, LF_PRESENT), r->pages);
	vt_wait_written();
	lf_give_up((void *)r);
	lf_reclaim(r);
	EXPECT_GONE(r);
}

/* A child shares @r, gives it up and ends; reclaim finds the parent's entries alone. */
static void child_gives_up(struct lf_range *r)
{
	vt_drain_batches();
	EXPECT_EQ(vt_run_child(lf_give_up, r), 0);
	lf_reclaim(r);
	EXPECT_KEPT(r);
	expect_last_owner_gives_up(r);
}

static void never_swapped(void)
{
	struct lf_range r;

	vt_swap_disk();
	vt_pin(0);
	r = lf_filled(PAGES);
	child_gives_up(&r);
}

static void read_back_from_disk(void)
{
	struct lf_range r;

	vt_swap_disk();
	vt_pin(0);
	r = lf_filled(PAGES);
	lf_read_back(&r);
	child_gives_up(&r);
}

/* Such a device's slot is free once it has been read: the page is all there is. */
static void read_back_from_zram(void)
{
	struct lf_range r;

	vt_swap_zram(64);
	vt_pin(0);
	r = lf_filled(PAGES);
	lf_read_back(&r);
	child_gives_up(&r);
}

static void wait_for_gate(void *gate)
{
	vt_gate_wait(gate);
}

/*
 * Fill pages, share them with a child, and have them read by way of a pin: that
 * gives the parent copies of its own, which nobody has written to.
 */
static struct lf_range copied_for_a_pin(void)
{
	static char text[PAGES * LF_PAGE];
	struct lf_range r = lf_filled(PAGES);
	struct iovec to = { text, sizeof(text) }, from = { r.p, lf_len(&r) };
	uint64_t before[PAGES], after[PAGES];
	struct vt_gate gate = vt_gate();
	pid_t child = vt_fork(wait_for_gate, &gate);
	size_t i;

	lf_pagemap(&r, before);
	REQUIRE_EQ(process_vm_readv(getpid(), &to, 1, &from, 1, 0), sizeof(text));
	lf_pagemap(&r, after);
	for (i = 0; i < PAGES; i++)
		REQUIRE((after[i] & LF_PFN) &&
			(before[i] & LF_PFN) != (after[i] & LF_PFN));
	vt_gate_open(&gate);
	EXPECT_EQ(vt_wait(child), 0);
	return r;
}

static void copied_for_a_reader(void)
{
	struct lf_range r;

	vt_swap_disk();
	vt_pin(0);
	r = copied_for_a_pin();
	child_gives_up(&r);
}

/* The other way round: the parent gives up, its child reads what it had. */
struct heir {
	struct lf_range r;
	struct vt_gate forked, given, reclaimed;
};

static void inherit(void *arg)
{
	struct heir *heir = arg;

	vt_gate_open(&heir->forked);
	vt_gate_wait(&heir->given);
	/* The parent has unmapped it: the child is the last to have it. */
	lf_reclaim(&heir->r);
	EXPECT_KEPT(&heir->r);
	expect_last_owner_gives_up(&heir->r);
}

static void parent_gives_up(void)
{
	struct heir heir;
	pid_t child;

	vt_swap_disk();
	vt_pin(0);
	heir.r = copied_for_a_pin();
	heir.forked = vt_gate();
	heir.given = vt_gate();
	vt_drain_batches();
	child = vt_fork(inherit, &heir);
	vt_gate_wait(&heir.forked);
	lf_give_up(&heir.r);
	vt_drain_batches();
	REQUIRE_EQ(munmap(heir.r.p, lf_len(&heir.r)), 0);
	vt_gate_open(&heir.given);
	EXPECT_EQ(vt_wait(child), 0);
}

static void give_up_and_wait(void *arg)
{
	struct heir *heir = arg;

	lf_give_up(&heir->r);
	vt_drain_batches();
	vt_gate_open(&heir->given);
	vt_gate_wait(&heir->reclaimed);
}

/* Reclaim of a control group, which takes pages that are mapped more than once. */
static void mapped_by_both(bool mglru)
{
	struct lf_range control;
	struct heir heir;
	const char *group;
	pid_t child;
	int round;

	vt_mglru(mglru);
	vt_swap_disk();
	vt_pin(0);
	group = vt_cgroup("lf-both");
	vt_cgroup_enter(group);
	heir.r = copied_for_a_pin();
	control = lf_filled(PAGES);
	heir.given = vt_gate();
	heir.reclaimed = vt_gate();
	vt_drain_batches();
	child = vt_fork(give_up_and_wait, &heir);
	vt_gate_wait(&heir.given);
	/* Some have their second chance: as long as there are any. */
	for (round = 0; round < 32; round++) {
		if (!lf_count_entries(&heir.r, LF_PRESENT) &&
		    !lf_count_entries(&control, LF_PRESENT))
			break;
		vt_cgroup_try_write(group, "memory.reclaim", 64 << 20);
	}
	/* All of it has been reclaimed, and nothing is lost. */
	EXPECT_EQ(lf_count_entries(&heir.r, LF_PRESENT), 0);
	EXPECT_KEPT(&heir.r);
	EXPECT_KEPT(&control);
	vt_gate_open(&heir.reclaimed);
	EXPECT_EQ(vt_wait(child), 0);
	expect_last_owner_gives_up(&heir.r);
}

static void mapped_by_both_classic(void)
{
	mapped_by_both(false);
}

static void mapped_by_both_mglru(void)
{
	mapped_by_both(true);
}

/* Pages of @r that lie in a large folio. */
static size_t count_large(const struct lf_range *r)
{
	int fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	uint64_t entry[512], flags;
	size_t i, n = 0;

	REQUIRE(fd >= 0 && r->pages <= 512);
	lf_pagemap(r, entry);
	for (i = 0; i < r->pages; i++) {
		REQUIRE_EQ(pread(fd, &flags, 8, (entry[i] & LF_PFN) * 8), 8);
		n += !!(flags & COMPOUND);
	}
	close(fd);
	return n;
}

/* A large folio is given up as a whole: it has to be nobody else's, as a whole. */
static void large_folio_read_back(void)
{
	size_t len = FOLIO * LF_PAGE;
	struct lf_range r;
	char *p;

	if (access(KNOB, F_OK))
		vt_skip("no large anonymous folios in this kernel");
	vt_set(KNOB, "always");
	vt_swap_zram(64);
	vt_pin(0);
	p = mmap(NULL, 3 * len, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(p != MAP_FAILED);
	r = lf_fill(p + len - (uintptr_t)p % len, FOLIO);
	REQUIRE_EQ(count_large(&r), FOLIO);
	lf_read_back(&r);
	/* By one folio, where there is a way past the swap cache; if not, by pages. */
	vt_diag("%zu of %lu pages came back as a large folio", count_large(&r), FOLIO);
	child_gives_up(&r);
}

static const struct vt_case cases[] = {
	VT_CASE(never_swapped, "LF-KP-1 LF-KP-3 LF-GO-2",
		"A child gives up pages that were never swapped: its parent keeps them."),
	VT_CASE(read_back_from_disk, "LF-KP-1 LF-KP-3 LF-GO-2",
		"A child gives up pages read back from a disk: its parent keeps them."),
	VT_CASE(read_back_from_zram, "LF-KP-1 LF-KP-3 LF-GO-2",
		"A child gives up pages read back from zram: its parent keeps them."),
	VT_CASE(copied_for_a_reader, "LF-KP-1 LF-KP-3 LF-GO-2",
		"A child gives up pages that were copied for a pin: its parent keeps them."),
	VT_CASE(parent_gives_up, "LF-KP-1 LF-KP-3 LF-GO-2",
		"A parent gives up pages that were copied for a pin: its child keeps them."),
	VT_CASE(mapped_by_both_classic, "LF-KP-2 LF-GO-2",
		"Reclaim finds them mapped by both, one of which has given them up."),
	VT_CASE(mapped_by_both_mglru, "LF-KP-2 LF-GO-2",
		"The same with the multi-generational LRU."),
	VT_CASE(large_folio_read_back, "LF-KP-1 LF-KP-3 LF-GO-2",
		"A child gives up a large folio read back from zram: its parent keeps it.",
		.needs = "linux-6.8"),
};

VT_MAIN(cases)
