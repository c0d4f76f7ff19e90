// SPDX-License-Identifier: GPL-2.0-only
/* MADV_FREE of pages that nobody else has: they go, as they always did. */
#include "lf.h"

#define PAGES	64

static long long vmstat(const char *key)
{
	return vt_key("/proc/vmstat", key);
}

/* @r goes, and nothing of it to swap. */
static void expect_discarded(struct lf_range *r)
{
	long long freed = vmstat("pglazyfreed"), swapped = vmstat("pswpout");

	lf_give_up(r);
	lf_reclaim(r);
	EXPECT_GE(vmstat("pglazyfreed") - freed, r->pages);
	EXPECT_EQ(vmstat("pswpout") - swapped, 0);
	EXPECT_GONE(r);
}

static void written_just_now(void)
{
	struct lf_range r;

	vt_swap_disk();
	vt_pin(0);
	r = lf_filled(PAGES);
	expect_discarded(&r);
}

static void read_back(void)
{
	struct lf_range r;

	vt_swap_zram(64);
	vt_pin(0);
	r = lf_filled(PAGES);
	lf_read_back(&r);
	expect_discarded(&r);
}

/* They are in the swap cache: its slot is nobody else's. */
static void read_back_from_disk(void)
{
	struct lf_range r;

	vt_swap_disk();
	vt_pin(0);
	r = lf_filled(PAGES);
	lf_read_back(&r);
	vt_drain_batches();
	expect_discarded(&r);
}

static void given_up_twice(void)
{
	struct lf_range r;

	vt_swap_disk();
	vt_pin(0);
	r = lf_filled(PAGES);
	lf_give_up(&r);
	vt_drain_batches();
	expect_discarded(&r);
}

static void read_all(void *range)
{
	lf_read_all(range);
}

/* A child had them before, and has written to none. */
static void shared_before(void)
{
	struct lf_range r;

	vt_swap_disk();
	vt_pin(0);
	r = lf_filled(PAGES);
	EXPECT_EQ(vt_run_child(read_all, &r), 0);
	expect_discarded(&r);
}

static void written_to_again(void)
{
	struct lf_range r, control;
	size_t i;

	vt_swap_disk();
	vt_pin(0);
	r = lf_filled(PAGES);
	control = lf_filled(PAGES);
	lf_give_up(&r);
	lf_give_up(&control);
	for (i = 0; i < PAGES; i++)
		lf_page(&r, i)[0] = lf_word(i, 0);
	/* What a write has kept is swapped in the round after it was found. */
	lf_reclaim(&r);
	lf_reclaim(&r);
	lf_reclaim(&control);
	EXPECT_KEPT(&r);
	EXPECT_GONE(&control);
}

static const struct vt_case cases[] = {
	VT_CASE(written_just_now, "LF-GO-1", "Pages of one owner are discarded."),
	VT_CASE(read_back, "LF-GO-1", "So are those read back from zram."),
	VT_CASE(read_back_from_disk, "LF-GO-1", "And those read back from a disk."),
	VT_CASE(given_up_twice, "LF-GO-1", "Giving them up twice is no different."),
	VT_CASE(shared_before, "LF-GO-1 LF-GO-2",
		"A child that had them too has ended: they are discarded."),
	VT_CASE(written_to_again, "LF-GO-1", "A write after MADV_FREE keeps a page."),
};

VT_MAIN(cases)
