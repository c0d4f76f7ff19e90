// SPDX-License-Identifier: GPL-2.0-only
/* Kinds of anonymous memory that are accepted: marked, purged, unmarked. */
#include "vr_pages.h"

/*
 * The filled pages of @r, which @prot allows to be used in any way: mark, have
 * them purged, unmark. @prot is what they have during that.
 */
static void goes_round(struct vr_range *r, int prot)
{
	size_t len = vr_len(r);

	REQUIRE_EQ(mprotect(r->p, len, prot), 0);
	EXPECT_EQ(vr_mark(r->p, len), 0);
	EXPECT(vr_is_volatile(r->p));
	EXPECT_EQ(vr_pageout(r->p, len), 0);
	EXPECT_EQ(vr_unmark(r->p, len), 1);
	EXPECT(!vr_is_volatile(r->p));
	REQUIRE_EQ(mprotect(r->p, len, PROT_READ | PROT_WRITE), 0);
	EXPECT_ALL_ZERO(r);
}

static void heap(void)
{
	char *p = sbrk(0);
	struct vr_range r;

	vt_pin(0);
	REQUIRE(sbrk(VR_PAGE - (uintptr_t)p % VR_PAGE) == p);
	p = sbrk(16 * VR_PAGE);
	r = vr_fill(p, 16);
	REQUIRE(strstr(vr_vma(p).flags, " wr"));
	goes_round(&r, PROT_READ | PROT_WRITE);
	/* Marked heap still grows: the new part is mapped, and not marked. */
	EXPECT_EQ(vr_mark(p, 16 * VR_PAGE), 0);
	EXPECT(sbrk(4 * VR_PAGE) == p + 16 * VR_PAGE);
	p[17 * VR_PAGE] = 1;
	EXPECT_PICTURE(p, "VVVVVVVVVVVVVVVV----");
	EXPECT_EQ(vr_unmark(p, 20 * VR_PAGE), 0);
}

static void prot_none(void)
{
	struct vr_range r;

	vt_pin(0);
	r = vr_filled(16);
	goes_round(&r, PROT_NONE);
}

static void read_only(void)
{
	struct vr_range r;

	vt_pin(0);
	r = vr_filled(16);
	goes_round(&r, PROT_READ);
}

static void executable(void)
{
	struct vr_range r;

	vt_pin(0);
	r = vr_filled(16);
	goes_round(&r, PROT_READ | PROT_EXEC);
}

/* Pages that were never written: there is nothing in them to lose. */
static void never_written(void)
{
	char *p = vr_anon(16);
	struct vr_range r = { .p = p, .pages = 16 };
	volatile char c;
	size_t i;

	vt_pin(0);
	for (i = 0; i < 8; i++)
		c = p[i * VR_PAGE];
	(void)c;
	EXPECT_EQ(vr_mark(p, 16 * VR_PAGE), 0);
	EXPECT_EQ(vr_pageout(p, 16 * VR_PAGE), 0);
	EXPECT_EQ(vr_unmark(p, 16 * VR_PAGE), 0);
	EXPECT_ALL_ZERO(&r);
	/* Control: written, they are lost by the same calls. */
	r = vr_fill(p, 16);
	EXPECT_EQ(vr_mark(p, 16 * VR_PAGE), 0);
	EXPECT_EQ(vr_pageout(p, 16 * VR_PAGE), 0);
	EXPECT_EQ(vr_unmark(p, 16 * VR_PAGE), 1);
}

static const struct vt_case cases[] = {
	VT_CASE(heap, "V-MK-7 V-PG-2", "The heap of brk is accepted and purged."),
	VT_CASE(prot_none, "V-MK-7 V-PG-2",
		"Anonymous memory with PROT_NONE is accepted and purged."),
	VT_CASE(read_only, "V-MK-7 V-PG-2",
		"Read-only anonymous memory is accepted and purged."),
	VT_CASE(executable, "V-MK-7 V-PG-2",
		"Executable anonymous memory is accepted and purged."),
	VT_CASE(never_written, "V-MK-5 V-PG-2",
		"Zero-page and untouched pages are never reported as purged."),
};

VT_MAIN(cases)
