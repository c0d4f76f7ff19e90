// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages that several processes map: purged from all of them, or from none. Each
 * obstacle concerns one range; its control is shared by the same processes and
 * met by the same reclaim.
 */
#include "vr_group.h"

#define PAGES	256
#define KIN	4

static void judge_both(struct vr_kin *kin)
{
	vr_expect_unmark(kin->r, kin->expect);
	vr_expect_unmark(kin->control, 1);
}

/*
 * Share two marked ranges with KIN children, of which the one at @odd prepares
 * itself by @prepare. Its obstacle keeps all of r from being purged.
 */
static void share(int odd, void (*prepare)(struct vr_kin *kin), bool swapped)
{
	const char *group = vr_group(false);
	struct vr_range r = vr_filled(PAGES), control = vr_filled(PAGES);
	struct vr_kin kin[KIN];
	long long purges;
	int i;

	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	REQUIRE_EQ(vr_mark(control.p, vr_len(&control)), 0);
	for (i = 0; i < KIN; i++) {
		kin[i] = (struct vr_kin) {
			.r = &r, .control = &control, .judge = judge_both,
			.prepare = i == odd ? prepare : NULL,
		};
		vr_kin_start(&kin[i]);
	}
	purges = vr_purges();
	vr_squeeze(group, &control);
	if (swapped)
		vr_squeeze(group, &r);
	EXPECT_EQ(vr_count_pagemap(&r, VR_PM_SWAP), swapped ? PAGES : 0);
	EXPECT_EQ(vr_count_pagemap(&control, VR_PM_SWAP), 0);
	/* Each page once, though five processes had it. */
	EXPECT_EQ(vr_purges() - purges, PAGES);
	for (i = 0; i < KIN; i++)
		vr_kin_end(&kin[i]);
	vr_expect_unmark(&r, 0);
	vr_expect_unmark(&control, 1);
}

static void unmark(struct vr_kin *kin)
{
	EXPECT_EQ(vr_unmark(kin->r->p, vr_len(kin->r)), 0);
}

/* Through a read-only mapping: mlock of a writable one would copy the pages. */
static void lock(struct vr_kin *kin)
{
	REQUIRE_EQ(mprotect(kin->r->p, vr_len(kin->r), PROT_READ), 0);
	REQUIRE_EQ(mlock(kin->r->p, vr_len(kin->r)), 0);
}

static void oldest_unmarks(void)
{
	share(0, unmark, true);
}

static void youngest_unmarks(void)
{
	share(KIN - 1, unmark, true);
}

static void one_locks(void)
{
	share(1, lock, false);
}

static void read_all(const struct vr_range *r)
{
	size_t i;

	for (i = 0; i < r->pages; i++)
		(void)*(volatile char *)vr_page(r, i);
}

/* Reading takes the slot's place in this page table: it is needed no more. */
static void read_control(struct vr_kin *kin)
{
	vt_gate_open(&kin->ready);
	vt_gate_wait(&kin->end);
	REQUIRE_EQ(vr_mark(kin->r->p, vr_len(kin->r)), 0);
	REQUIRE_EQ(vr_mark(kin->control->p, vr_len(kin->control)), 0);
	read_all(kin->control);
}

/*
 * A page that one process has read back from swap, while another's page table
 * still has the swap slot: the other one did not agree.
 */
static void one_is_swapped_out(void)
{
	const char *group = vr_group(false);
	struct vr_range r = vr_filled(PAGES), control = vr_filled(PAGES);
	struct vr_kin kin = { .r = &r, .control = &control,
			      .prepare = read_control, .judge = judge_both };
	long long purges;

	vr_kin_start(&kin);
	vr_squeeze(group, &r);
	vr_squeeze(group, &control);
	vt_wait_written();
	vr_reclaim(group, 256 << 20);
	REQUIRE_EQ(vr_count_pagemap(&r, VR_PM_SWAP), PAGES);
	REQUIRE_EQ(vr_count_pagemap(&control, VR_PM_SWAP), PAGES);
	vt_gate_open(&kin.end);
	vt_gate_wait(&kin.ready);
	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	REQUIRE_EQ(vr_mark(control.p, vr_len(&control)), 0);
	read_all(&r);
	read_all(&control);
	purges = vr_purges();
	vr_squeeze(group, &r);
	vr_squeeze(group, &control);
	EXPECT_EQ(vr_purges() - purges, PAGES);
	EXPECT_EQ(vr_count_pagemap(&r, VR_PM_SWAP), PAGES);
	vr_kin_end(&kin);
	vr_expect_unmark(&r, 0);
	vr_expect_unmark(&control, 1);
}

/* Half of the pages are the child's own since it wrote to them. */
static void write_half(struct vr_kin *kin)
{
	size_t i;

	for (i = 0; i < kin->r->pages; i += 2)
		vr_fill_page(kin->r, i);
	EXPECT_EQ(vr_unmark(kin->r->p, vr_len(kin->r)), 0);
}

static void judge_r(struct vr_kin *kin)
{
	EXPECT_EQ(vr_unmark(kin->r->p, vr_len(kin->r)), 0);
	EXPECT_ALL_OLD(kin->r);
}

/* A mapping that covers the place but has a page of its own has no vote. */
static void copied_pages_have_no_vote(void)
{
	const char *group = vr_group(false);
	struct vr_range r = vr_filled(PAGES);
	struct vr_kin kin = { .r = &r, .prepare = write_half, .judge = judge_r };
	long long purges;
	size_t i, zero = 0;

	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	vr_kin_start(&kin);
	purges = vr_purges();
	vr_squeeze(group, &r);
	EXPECT_EQ(vr_purges() - purges, PAGES / 2);
	vr_kin_end(&kin);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 1);
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(vr_state(&r, i), i % 2 ? VR_OLD : VR_ZERO);
		zero += vr_state(&r, i) == VR_ZERO;
	}
	EXPECT_EQ(zero, PAGES / 2);
}

static void judge_discarded(struct vr_kin *kin)
{
	EXPECT_EQ(vr_unmark(kin->r->p, vr_len(kin->r)), 0);
	EXPECT_ALL_ZERO(kin->r);
}

/*
 * Not all agree, so there is no purge. But the contents are nobody's since
 * MADV_FREE and are discarded all the same: where they were volatile, that shows.
 */
static void lazyfree_goes_all_the_same(void)
{
	const char *group = vr_group(false);
	struct vr_range r = vr_filled(PAGES);
	struct vr_kin kin = { .r = &r, .judge = judge_discarded };
	long long purges;

	REQUIRE_EQ(vr_advise(r.p, vr_len(&r), MADV_FREE), 0);
	vr_kin_start(&kin);
	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	purges = vr_purges();
	vr_squeeze(group, &r);
	EXPECT_EQ(vr_count_pagemap(&r, VR_PM_SWAP), 0);
	EXPECT_EQ(vr_purges() - purges, PAGES);
	vr_kin_end(&kin);
	vr_expect_unmark(&r, 1);
}

static const struct vt_case cases[] = {
	VT_CASE(oldest_unmarks, "V-PG-4 V-PG-6 V-PG-11",
		"A page of five processes is purged from all, or, if the first child unmarks, from none.",
		.timeout = 20),
	VT_CASE(youngest_unmarks, "V-PG-4 V-PG-6 V-PG-11",
		"The same if the last child unmarks.", .timeout = 20),
	VT_CASE(one_locks, "V-PG-4 V-PG-7",
		"A page that one of five processes locks is purged from none.",
		.timeout = 20),
	VT_CASE(one_is_swapped_out, "V-PG-4 V-PG-10",
		"A page that another process has in swap is not purged.",
		.timeout = 20),
	VT_CASE(copied_pages_have_no_vote, "V-PG-4",
		"Only page table entries that map the page count.",
		.timeout = 20),
	VT_CASE(lazyfree_goes_all_the_same, "V-SB-9 V-PG-11",
		"A lazyfree page that is volatile in one of two processes: discarded, and that one is told.",
		.timeout = 20),
};

VT_MAIN(cases)
