// SPDX-License-Identifier: GPL-2.0-only
/*
 * Both advices do all of it or nothing, also when the kernel runs out of what
 * it needs to split a VMA: slots in the map count, or memory.
 */
#include "vr_pages.h"

#define MAX_MAP_COUNT	"/proc/sys/vm/max_map_count"

static struct vr_vmas before;

/*
 * Leave this process @slots VMAs more than it has. vsyscall is listed, but is
 * no VMA. The limit is read without changing the list.
 */
static void leave_slots(int slots)
{
	char text[16];

	vr_save_vmas(&before);
	snprintf(text, sizeof(text), "%d", before.count + slots -
		 (strstr(before.text, "[vsyscall]") ? 1 : 0));
	vt_write(MAX_MAP_COUNT, text);
}

/* The limit is the guest's: the case puts it back when it ends. */
static void take_limit(void)
{
	char text[16];

	vt_read(MAX_MAP_COUNT, text, sizeof(text));
	vt_set(MAX_MAP_COUNT, text);
}

/* The call fails for lack of slots, and all is as it was. */
static void fails(char *p, size_t len, int advice, int want)
{
	vr_save_vmas(&before);
	EXPECT_EQ(vr_advise(p, len, advice), want);
	EXPECT_SAME_VMAS(&before);
}

static void no_slot_to_mark(void)
{
	struct vr_range r = vr_filled(8);

	take_limit();
	leave_slots(0);
	fails(r.p, VR_PAGE, MADV_VOLATILE, -EAGAIN);
	fails(r.p + 2 * VR_PAGE, VR_PAGE, MADV_VOLATILE, -EAGAIN);
	fails(r.p + 7 * VR_PAGE, VR_PAGE, MADV_VOLATILE, -EAGAIN);
	leave_slots(1);
	fails(r.p + 2 * VR_PAGE, 3 * VR_PAGE, MADV_VOLATILE, -EAGAIN);
	/* Control: it is the slots. One does for an end, two for the middle. */
	EXPECT_EQ(vr_mark(r.p, VR_PAGE), 0);
	EXPECT_EQ(vr_unmark(r.p, VR_PAGE), 0);
	leave_slots(2);
	EXPECT_EQ(vr_mark(r.p + 2 * VR_PAGE, 3 * VR_PAGE), 0);
	EXPECT_PICTURE(r.p, "--VVV---");
	EXPECT_ALL_OLD(&r);
}

static void no_slot_to_unmark(void)
{
	struct vr_range r = vr_filled(8);

	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	take_limit();
	leave_slots(1);
	fails(r.p + 2 * VR_PAGE, 3 * VR_PAGE, MADV_NONVOLATILE, -EAGAIN);
	EXPECT_ALL_OLD(&r);
	leave_slots(2);
	EXPECT_EQ(vr_unmark(r.p + 2 * VR_PAGE, 3 * VR_PAGE), 0);
	EXPECT_PICTURE(r.p, "VV---VVV");
}

/* Several VMAs: the first split may work before the second one fails. */
static void no_slot_across_vmas(void)
{
	struct vr_range r = vr_filled(9);
	int slots;

	REQUIRE_EQ(mprotect(r.p + 3 * VR_PAGE, 3 * VR_PAGE, PROT_READ), 0);
	take_limit();
	for (slots = 0; slots < 2; slots++) {
		leave_slots(slots);
		fails(r.p + VR_PAGE, 7 * VR_PAGE, MADV_VOLATILE, -EAGAIN);
	}
	leave_slots(2);
	EXPECT_EQ(vr_mark(r.p + VR_PAGE, 7 * VR_PAGE), 0);
	EXPECT_PICTURE(r.p, "-VVVVVVV-");
	leave_slots(0);
	fails(r.p + 2 * VR_PAGE, 5 * VR_PAGE, MADV_NONVOLATILE, -EAGAIN);
	EXPECT_ALL_OLD(&r);
}

static void whole_vmas_need_no_slot(void)
{
	struct vr_range r = vr_filled(9);

	REQUIRE_EQ(mprotect(r.p + 3 * VR_PAGE, 3 * VR_PAGE, PROT_READ), 0);
	take_limit();
	leave_slots(0);
	EXPECT_EQ(vr_mark(r.p, 9 * VR_PAGE), 0);
	EXPECT_PICTURE(r.p, "VVVVVVVVV");
	/* Nor does a part that is marked already. */
	EXPECT_EQ(vr_mark(r.p + VR_PAGE, VR_PAGE), 0);
	EXPECT_EQ(vr_unmark(r.p, 9 * VR_PAGE), 0);
	EXPECT_EQ(vr_unmark(r.p + VR_PAGE, VR_PAGE), 0);
	EXPECT_PICTURE(r.p, "---------");
	/* Control: there was no slot indeed. */
	fails(r.p + VR_PAGE, VR_PAGE, MADV_VOLATILE, -EAGAIN);
	EXPECT_ALL_OLD(&r);
}

static void eagain_comes_last(void)
{
	char *p = vr_anon(9);

	REQUIRE_EQ(mlock(p + 3 * VR_PAGE, VR_PAGE), 0);
	REQUIRE_EQ(munmap(p + 6 * VR_PAGE, VR_PAGE), 0);
	take_limit();
	leave_slots(0);
	fails(p + VR_PAGE, 7 * VR_PAGE, MADV_VOLATILE, -ENOMEM);
	fails(p + VR_PAGE, 7 * VR_PAGE, MADV_NONVOLATILE, -ENOMEM);
	fails(p + VR_PAGE, 4 * VR_PAGE, MADV_VOLATILE, -EINVAL);
	/* Control: neither hole nor locked page in it. */
	fails(p + VR_PAGE, VR_PAGE, MADV_VOLATILE, -EAGAIN);
}

static void purge_state_survives(void)
{
	struct vr_range r = vr_purged(8);

	take_limit();
	leave_slots(1);
	fails(r.p + 2 * VR_PAGE, 3 * VR_PAGE, MADV_NONVOLATILE, -EAGAIN);
	leave_slots(2);
	EXPECT_EQ(vr_unmark(r.p + 2 * VR_PAGE, 3 * VR_PAGE), 1);
	EXPECT_EQ(vr_unmark(r.p, 2 * VR_PAGE), 1);
	EXPECT_EQ(vr_unmark(r.p + 5 * VR_PAGE, 3 * VR_PAGE), 1);
	EXPECT_ALL_ZERO(&r);
}

/* Kept open: opening it allocates. */
static int fail_nth;

/* The @n-th allocation from now on fails. */
static void fail_allocation(int n)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", n);
	REQUIRE_EQ(pwrite(fail_nth, text, strlen(text), 0), strlen(text));
}

/* Has it failed? fail-nth is 0 again after it struck. */
static bool allocation_failed(void)
{
	char text[16] = "";

	REQUIRE_GE(pread(fail_nth, text, sizeof(text) - 1, 0), 1);
	fail_allocation(0);
	return atoi(text) == 0;
}

/*
 * Of nine pages the @pages from the second on, each allocation of the call failing once.
 * A failed merge is no error. @splits: of a VMA, an anon_vma_chain and tree nodes each.
 */
static void each_allocation_fails(int advice, size_t pages, const char *picture, int splits)
{
	int n, ret, refusals = 0;
	bool struck = true;

	for (n = 1; struck && n < 64; n++) {
		struct vr_range r = vr_filled(9);

		REQUIRE_EQ(mprotect(r.p + 3 * VR_PAGE, 3 * VR_PAGE, PROT_READ), 0);
		if (advice == MADV_NONVOLATILE)
			REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
		vr_save_vmas(&before);
		fail_allocation(n);
		ret = vr_advise(r.p + VR_PAGE, pages * VR_PAGE, advice);
		struck = allocation_failed();
		if (ret) {
			refusals++;
			EXPECT(struck);
			EXPECT_EQ(ret, -EAGAIN);
			EXPECT_SAME_VMAS(&before);
		} else {
			EXPECT_PICTURE(r.p, picture);
		}
		EXPECT_ALL_OLD(&r);
	}
	EXPECT(!struck);
	EXPECT_GE(refusals, 2 * splits);
	vt_diag("%d allocations, failing %d of them fails the call", n - 2,
		refusals);
}

static void failed_allocations(void)
{
	fail_nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (fail_nth < 0 || access("/sys/kernel/debug/failslab", F_OK))
		vt_skip("no CONFIG_FAILSLAB and FAULT_INJECTION_DEBUG_FS");
	vt_set("/sys/kernel/debug/failslab/ignore-gfp-wait", "N");
	vt_set("/sys/kernel/debug/failslab/verbose", "0");
	each_allocation_fails(MADV_VOLATILE, 7, "-VVVVVVV-", 2);
	each_allocation_fails(MADV_NONVOLATILE, 7, "V-------V", 2);
	/* Where the last VMA ends with the range there is one split, and none to take back. */
	each_allocation_fails(MADV_VOLATILE, 8, "-VVVVVVVV", 1);
}

static const struct vt_case cases[] = {
	VT_CASE(no_slot_to_mark, "V-IF-6 V-MK-3",
		"Too few VMA slots to mark: EAGAIN, and every VMA is the same."),
	VT_CASE(no_slot_to_unmark, "V-IF-6 V-MK-3",
		"Too few VMA slots to unmark: EAGAIN, and all stays marked."),
	VT_CASE(no_slot_across_vmas, "V-IF-6 V-MK-3 V-MK-2",
		"Too few slots for one end of several VMAs: none is changed."),
	VT_CASE(whole_vmas_need_no_slot, "V-IF-6 V-MK-3",
		"Where nothing needs a split, an exhausted map count is no error."),
	VT_CASE(eagain_comes_last, "V-IF-4 V-IF-6",
		"With the map count exhausted, ENOMEM and EINVAL still go first."),
	VT_CASE(purge_state_survives, "V-IF-6 V-MK-3 V-SB-6 V-PG-2",
		"A failed unmarking leaves purged pages to be reported later."),
	VT_CASE(failed_allocations, "V-IF-6 V-MK-3",
		"Each single allocation failing: EAGAIN and nothing changed."),
};

VT_MAIN(cases)
