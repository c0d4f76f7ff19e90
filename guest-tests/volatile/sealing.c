// SPDX-License-Identifier: GPL-2.0-only
/*
 * mseal: a sealed mapping that the program cannot write to must not lose its
 * contents by an advice, and marking it would let reclaim take them.
 */
#include "vr_newer.h"
#include "vt_fault.h"

#define PAGES	8
#define LEN	(PAGES * VR_PAGE)

static struct vr_vmas before;

/* The call fails with @want, and nothing has changed. */
static void refused(void *p, size_t len, int advice, int want)
{
	vr_save_vmas(&before);
	EXPECT_EQ(vr_advise(p, len, advice), want);
	EXPECT_SAME_VMAS(&before);
}

/* Eight filled pages, of which the middle two are read-only and sealed. */
static struct vr_range sealed_middle(void)
{
	struct vr_range r = vr_filled(PAGES);

	REQUIRE_EQ(mprotect(r.p + 3 * VR_PAGE, 2 * VR_PAGE, PROT_READ), 0);
	REQUIRE_EQ(vr_seal(r.p + 3 * VR_PAGE, 2 * VR_PAGE), 0);
	return r;
}

static void sealed_read_only(void)
{
	struct vr_range r = sealed_middle();

	refused(r.p + 3 * VR_PAGE, 2 * VR_PAGE, MADV_VOLATILE, -EPERM);
	refused(r.p + 4 * VR_PAGE, VR_PAGE, MADV_VOLATILE, -EPERM);
	refused(r.p, LEN, MADV_VOLATILE, -EPERM);
	/* As for the advices that were there before. */
	refused(r.p + 3 * VR_PAGE, 2 * VR_PAGE, MADV_DONTNEED, -EPERM);
	/* Taking away a mark that is not there is no harm. */
	EXPECT_EQ(vr_unmark(r.p, LEN), 0);
	/* Control: what is around it can be marked, and so can unsealed pages. */
	EXPECT_EQ(vr_mark(r.p, 3 * VR_PAGE), 0);
	EXPECT_EQ(vr_mark(r.p + 5 * VR_PAGE, 3 * VR_PAGE), 0);
	EXPECT_PICTURE(r.p, "VVV--VVV");
	EXPECT_ALL_OLD(&r);
}

static void read_only_or_sealed_alone(void)
{
	struct vr_range r = vr_filled(PAGES);

	REQUIRE_EQ(mprotect(r.p, LEN / 2, PROT_READ), 0);
	REQUIRE_EQ(vr_seal(r.p + LEN / 2, LEN / 2), 0);
	EXPECT_EQ(vr_mark(r.p, LEN), 0);
	EXPECT_PICTURE(r.p, "VVVVVVVV");
	EXPECT_EQ(vr_unmark(r.p + 5 * VR_PAGE, VR_PAGE), 0);
	EXPECT_PICTURE(r.p, "VVVVV-VV");
	EXPECT_EQ(vr_unmark(r.p, LEN), 0);
	EXPECT_ALL_OLD(&r);
}

/* Sealed while it was volatile: there is a way back, and no way in again. */
static void sealed_while_volatile(void)
{
	struct vr_range r;

	vt_pin(0);
	r = vr_filled(PAGES);
	REQUIRE_EQ(vr_mark(r.p, LEN), 0);
	REQUIRE_EQ(vr_pageout(r.p, LEN / 2), 0);
	REQUIRE_EQ(mprotect(r.p, LEN, PROT_READ), 0);
	REQUIRE_EQ(vr_seal(r.p, LEN), 0);
	refused(r.p, LEN, MADV_VOLATILE, -EPERM);
	EXPECT_FAULT(vt_do_read, r.p, SIGBUS, BUS_ADRERR);
	EXPECT_EQ(vr_unmark(r.p + LEN / 2, LEN / 2), 0);
	EXPECT_EQ(vr_unmark(r.p, LEN), 1);
	EXPECT_PICTURE(r.p, "--------");
	EXPECT_EQ(vr_count_pages(&r, 0, PAGES / 2).zero, PAGES / 2);
	EXPECT_EQ(vr_count_pages(&r, PAGES / 2, PAGES).old, PAGES / 2);
	refused(r.p, LEN, MADV_VOLATILE, -EPERM);
}

/* ENOMEM for a hole, EINVAL for a kind, EPERM for a seal, in this order. */
static void order_of_refusals(void)
{
	struct vr_range r = sealed_middle();

	REQUIRE_EQ(mlock(r.p + 6 * VR_PAGE, VR_PAGE), 0);
	refused(r.p, LEN, MADV_VOLATILE, -EINVAL);
	refused(r.p, 6 * VR_PAGE, MADV_VOLATILE, -EPERM);
	REQUIRE_EQ(munmap(r.p + 7 * VR_PAGE, VR_PAGE), 0);
	refused(r.p, LEN, MADV_VOLATILE, -ENOMEM);
	refused(r.p + 4 * VR_PAGE, 4 * VR_PAGE, MADV_VOLATILE, -ENOMEM);
	refused(r.p + 4 * VR_PAGE, 3 * VR_PAGE, MADV_VOLATILE, -EINVAL);
	refused(r.p + 4 * VR_PAGE, 2 * VR_PAGE, MADV_VOLATILE, -EPERM);
	EXPECT_EQ(vr_mark(r.p + 5 * VR_PAGE, VR_PAGE), 0);
}

/* And EAGAIN comes last: a range that may not be marked takes no resources. */
static void seal_goes_before_resources(void)
{
	static const char limit[] = "/proc/sys/vm/max_map_count";
	struct vr_range r = sealed_middle();
	char text[16];

	vt_read(limit, text, sizeof(text));
	vt_set(limit, text);
	vt_write(limit, "1");
	refused(r.p + VR_PAGE, 3 * VR_PAGE, MADV_VOLATILE, -EPERM);
	/* Control: without the sealed page it is the map count. */
	refused(r.p + VR_PAGE, VR_PAGE, MADV_VOLATILE, -EAGAIN);
}

#define SINCE	.needs = "linux-6.10"

static const struct vt_case cases[] = {
	VT_CASE(sealed_read_only, "V-IF-7 V-IF-2",
		"VOLATILE on a sealed read-only mapping is EPERM, NONVOLATILE 0.",
		SINCE),
	VT_CASE(read_only_or_sealed_alone, "V-IF-7 V-MK-7",
		"A sealed writable mapping, and a read-only one, can be marked.",
		SINCE),
	VT_CASE(sealed_while_volatile, "V-IF-7 V-SB-5",
		"What is sealed while volatile can be unmarked, and tells its loss.",
		SINCE),
	VT_CASE(order_of_refusals, "V-IF-4 V-IF-7",
		"ENOMEM goes before EINVAL, and EINVAL before EPERM.", SINCE),
	VT_CASE(seal_goes_before_resources, "V-IF-4 V-IF-7",
		"EPERM goes before EAGAIN.", SINCE),
};

VT_MAIN(cases)
