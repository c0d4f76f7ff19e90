// SPDX-License-Identifier: GPL-2.0-only
/* Which part of a mapping is marked, and how it splits and merges. */
#include "vr_pages.h"

static void whole_mapping(void)
{
	char *p = vr_anon(8);

	EXPECT_PICTURE(p, "--------");
	EXPECT_EQ(vr_mark(p, 8 * VR_PAGE), 0);
	EXPECT_PICTURE(p, "VVVVVVVV");
	EXPECT_EQ(vr_count_vmas(p, 8 * VR_PAGE), 1);
	EXPECT_EQ(vr_unmark(p, 8 * VR_PAGE), 0);
	EXPECT_PICTURE(p, "--------");
}

/* Mark @len pages from page @from on of eight: @vmas VMAs, then one again. */
static void mark_part(size_t from, size_t len, const char *picture, int vmas)
{
	char *p = vr_anon(8);
	struct vr_range r = vr_fill(p, 8);

	EXPECT_EQ(vr_count_vmas(p, 8 * VR_PAGE), 1);
	EXPECT_EQ(vr_mark(p + from * VR_PAGE, len * VR_PAGE), 0);
	EXPECT_PICTURE(p, picture);
	EXPECT_EQ(vr_count_vmas(p, 8 * VR_PAGE), vmas);
	EXPECT_EQ(vr_unmark(p + from * VR_PAGE, len * VR_PAGE), 0);
	EXPECT_PICTURE(p, "--------");
	EXPECT_EQ(vr_count_vmas(p, 8 * VR_PAGE), 1);
	EXPECT_ALL_OLD(&r);
}

static void start_splits_in_two(void)
{
	mark_part(0, 3, "VVV-----", 2);
}

static void middle_splits_in_three(void)
{
	mark_part(2, 3, "--VVV---", 3);
}

static void end_splits_in_two(void)
{
	mark_part(5, 3, "-----VVV", 2);
}

static void adjoining_vmas_in_one_call(void)
{
	char *p = vr_anon(9);

	/* Three VMAs that cannot merge; the range cuts the first and the last. */
	REQUIRE_EQ(mprotect(p + 3 * VR_PAGE, 3 * VR_PAGE, PROT_READ), 0);
	EXPECT_EQ(vr_count_vmas(p, 9 * VR_PAGE), 3);
	EXPECT_EQ(vr_mark(p + VR_PAGE, 7 * VR_PAGE), 0);
	EXPECT_PICTURE(p, "-VVVVVVV-");
	EXPECT_EQ(vr_count_vmas(p, 9 * VR_PAGE), 5);
	EXPECT_EQ(vr_unmark(p + VR_PAGE, 7 * VR_PAGE), 0);
	EXPECT_PICTURE(p, "---------");
	EXPECT_EQ(vr_count_vmas(p, 9 * VR_PAGE), 3);
}

static void range_partly_marked(void)
{
	char *p = vr_anon(8);

	EXPECT_EQ(vr_mark(p + VR_PAGE, VR_PAGE), 0);
	EXPECT_EQ(vr_mark(p + 4 * VR_PAGE, 2 * VR_PAGE), 0);
	EXPECT_PICTURE(p, "-V--VV--");
	EXPECT_EQ(vr_mark(p, 5 * VR_PAGE), 0);
	EXPECT_PICTURE(p, "VVVVVV--");
	EXPECT_EQ(vr_count_vmas(p, 8 * VR_PAGE), 2);
	EXPECT_EQ(vr_unmark(p + 2 * VR_PAGE, 6 * VR_PAGE), 0);
	EXPECT_PICTURE(p, "VV------");
	EXPECT_EQ(vr_count_vmas(p, 8 * VR_PAGE), 2);
}

/*
 * Each part gets its anon_vma when it is first touched. They merge only if they
 * share one, so a page first touched while its neighbours are marked
 * differently must take the neighbour's.
 */
static void first_touched_while_split(void)
{
	char *p = vr_anon(6);
	struct vr_range r;

	EXPECT_EQ(vr_mark(p + 2 * VR_PAGE, 2 * VR_PAGE), 0);
	EXPECT_PICTURE(p, "--VV--");
	r = vr_fill(p, 6);
	EXPECT_EQ(vr_unmark(p + 2 * VR_PAGE, 2 * VR_PAGE), 0);
	EXPECT_PICTURE(p, "------");
	EXPECT_EQ(vr_count_vmas(p, 6 * VR_PAGE), 1);
	EXPECT_ALL_OLD(&r);
}

static void marking_twice(void)
{
	char *p = vr_anon(4);
	struct vr_range r = vr_fill(p, 4);

	EXPECT_EQ(vr_mark(p, 4 * VR_PAGE), 0);
	EXPECT_EQ(vr_mark(p, 4 * VR_PAGE), 0);
	EXPECT_PICTURE(p, "VVVV");
	EXPECT_EQ(vr_unmark(p, 4 * VR_PAGE), 0);
	EXPECT_EQ(vr_unmark(p, 4 * VR_PAGE), 0);
	EXPECT_PICTURE(p, "----");
	EXPECT_ALL_OLD(&r);
}

static void use_keeps_volatility(void)
{
	char *p = vr_anon(6);
	struct vr_range r = vr_fill(p, 3);
	size_t i;

	EXPECT_EQ(vr_mark(p, 6 * VR_PAGE), 0);
	EXPECT_ALL_OLD(&r);
	for (i = 3 * VR_PAGE; i < 6 * VR_PAGE; i++)
		if (p[i])
			break;
	EXPECT_EQ(i, 6 * VR_PAGE);
	r = vr_fill(p, 6);
	EXPECT_PICTURE(p, "VVVVVV");
	EXPECT_EQ(vr_count_vmas(p, 6 * VR_PAGE), 1);
	EXPECT_EQ(vr_unmark(p, 6 * VR_PAGE), 0);
	EXPECT_ALL_OLD(&r);
}

/*
 * Every step marks or unmarks a random stretch; smaps must show the picture of
 * a plain array. In the end nothing is marked, and all merges into one VMA.
 */
static void random_order_merges_back(void)
{
	enum { PAGES = 48, STEPS = 150 };
	char want[PAGES + 1], *p = vr_anon(PAGES);
	struct vr_range r = vr_fill(p, PAGES);
	unsigned int seed, step, from, len;
	bool on;

	REQUIRE_EQ(getrandom(&seed, sizeof(seed), 0), sizeof(seed));
	vt_diag("seed %u", seed);
	memset(want, '-', PAGES);
	want[PAGES] = '\0';
	for (step = 0; step < STEPS; step++) {
		from = rand_r(&seed) % PAGES;
		len = 1 + rand_r(&seed) % (PAGES - from);
		if (rand_r(&seed) % 4)
			len = 1 + len % 3;
		if (from + len > PAGES)
			len = PAGES - from;
		on = rand_r(&seed) % 2;
		memset(want + from, on ? 'V' : '-', len);
		REQUIRE_EQ(vr_advise(p + from * VR_PAGE, len * VR_PAGE,
				     on ? MADV_VOLATILE : MADV_NONVOLATILE), 0);
		if (step % 8 == 0)
			EXPECT_PICTURE(p, want);
	}
	EXPECT_PICTURE(p, want);
	/* Every second page, from both ends towards the middle. */
	for (from = 0; from < PAGES; from += 2)
		EXPECT_EQ(vr_unmark(p + from * VR_PAGE, VR_PAGE), 0);
	for (from = PAGES - 1; from < PAGES; from -= 2)
		EXPECT_EQ(vr_unmark(p + from * VR_PAGE, VR_PAGE), 0);
	EXPECT_EQ(vr_count_vmas(p, PAGES * VR_PAGE), 1);
	EXPECT_ALL_OLD(&r);
}

/* Any protection, and the heap: what becomes of them is in kinds.c. */
static void every_protection_is_accepted(void)
{
	static const int prots[] = {
		PROT_NONE, PROT_READ, PROT_WRITE, PROT_EXEC,
		PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC,
		PROT_READ | PROT_WRITE | PROT_EXEC,
	};
	char *p = sbrk(4 * VR_PAGE);
	size_t i;

	p += VR_PAGE - (uintptr_t)p % VR_PAGE;
	EXPECT_EQ(vr_mark(p, 2 * VR_PAGE), 0);
	EXPECT_PICTURE(p, "VV-");
	for (i = 0; i < sizeof(prots) / sizeof(*prots); i++) {
		p = vr_map(3, prots[i]);
		EXPECT_EQ(vr_mark(p, 2 * VR_PAGE), 0);
		EXPECT_PICTURE(p, "VV-");
		EXPECT_EQ(vr_unmark(p, 3 * VR_PAGE), 0);
		EXPECT_PICTURE(p, "---");
	}
}

static const struct vt_case cases[] = {
	VT_CASE(whole_mapping, "V-MK-1 V-IF-2",
		"Marking and unmarking a whole mapping shows and hides vl in smaps."),
	VT_CASE(start_splits_in_two, "V-MK-2",
		"Marking the start of a mapping makes two, unmarking one again."),
	VT_CASE(middle_splits_in_three, "V-MK-2",
		"Marking the middle of a mapping makes three, unmarking one again."),
	VT_CASE(end_splits_in_two, "V-MK-2",
		"Marking the end of a mapping makes two, unmarking one again."),
	VT_CASE(adjoining_vmas_in_one_call, "V-MK-2",
		"One call marks across three adjoining VMAs, cutting the outer two."),
	VT_CASE(range_partly_marked, "V-MK-2 V-MK-4",
		"A range of marked and unmarked pieces becomes all one or the other."),
	VT_CASE(first_touched_while_split, "V-MK-2",
		"Pages first touched while marked apart still merge back into one."),
	VT_CASE(marking_twice, "V-MK-4",
		"A second marking and a second unmarking return 0 and change nothing."),
	VT_CASE(use_keeps_volatility, "V-MK-5",
		"Reading and writing keep the flag; new pages are zero and volatile."),
	VT_CASE(every_protection_is_accepted, "V-MK-7",
		"The heap and anonymous memory of any protection are accepted."),
	VT_CASE(random_order_merges_back, "V-MK-2",
		"Random marking follows a model and ends in a single VMA."),
};

VT_MAIN(cases)
