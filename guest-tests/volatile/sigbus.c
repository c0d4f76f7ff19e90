// SPDX-License-Identifier: GPL-2.0-only
/* Which signal an access to a purged page gets, and how a program goes on. */
#include "vr_pages.h"
#include "vt_fault.h"

static void read_access(void)
{
	struct vr_range r = vr_purged(4);

	EXPECT_FAULT(vt_do_read, r.p, SIGBUS, BUS_ADRERR);
	EXPECT_FAULT(vt_do_read, r.p + 1234, SIGBUS, BUS_ADRERR);
	EXPECT_FAULT(vt_do_read, r.p + 4 * VR_PAGE - 1, SIGBUS, BUS_ADRERR);
	/* Asking twice does not change the answer, NONVOLATILE does. */
	EXPECT_FAULT(vt_do_read, r.p, SIGBUS, BUS_ADRERR);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 1);
	EXPECT_NO_FAULT(vt_do_read, r.p);
	EXPECT_ALL_ZERO(&r);
}

static void write_access(void)
{
	struct vr_range r = vr_purged(4);

	EXPECT_FAULT(vt_do_write, r.p, SIGBUS, BUS_ADRERR);
	EXPECT_FAULT(vt_do_write, r.p + 2 * VR_PAGE + 77, SIGBUS, BUS_ADRERR);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 1);
	EXPECT_NO_FAULT(vt_do_write, r.p);
	EXPECT_EQ(r.p[0], 1);
	EXPECT_EQ(r.p[2 * VR_PAGE + 77], 0);
}

static void execution(void)
{
	char *p = vr_anon(2);

	vt_pin(0);
	memset(p, 0xc3, 2 * VR_PAGE);		/* ret */
	REQUIRE_EQ(mprotect(p, 2 * VR_PAGE, PROT_READ | PROT_EXEC), 0);
	EXPECT_EQ(vr_mark(p, 2 * VR_PAGE), 0);
	EXPECT_NO_FAULT(vt_do_call, p);
	EXPECT_EQ(vr_pageout(p, 2 * VR_PAGE), 0);
	EXPECT_FAULT(vt_do_call, p, SIGBUS, BUS_ADRERR);
	EXPECT_FAULT(vt_do_call, p + VR_PAGE + 16, SIGBUS, BUS_ADRERR);
	EXPECT_EQ(vr_unmark(p, 2 * VR_PAGE), 1);
}

/* What the protection forbids is SIGSEGV, purged or not. */
static void forbidden_access(void)
{
	struct vr_range r = vr_purged(4), intact;
	size_t len = vr_len(&r);

	/* Control: that is what the machine says to them without any purge. */
	intact = vr_filled(1);
	REQUIRE_EQ(mprotect(intact.p, VR_PAGE, PROT_READ), 0);
	EXPECT_FAULT(vt_do_write, intact.p + 5, SIGSEGV, SEGV_ACCERR);
	EXPECT_FAULT(vt_do_call, intact.p + 5, SIGSEGV, SEGV_ACCERR);
	REQUIRE_EQ(mprotect(r.p, len, PROT_READ), 0);
	EXPECT_FAULT(vt_do_write, r.p + 5, SIGSEGV, SEGV_ACCERR);
	EXPECT_FAULT(vt_do_call, r.p + 5, SIGSEGV, SEGV_ACCERR);
	EXPECT_FAULT(vt_do_read, r.p + 5, SIGBUS, BUS_ADRERR);
	REQUIRE_EQ(mprotect(r.p, len, PROT_NONE), 0);
	EXPECT_FAULT(vt_do_read, r.p + VR_PAGE, SIGSEGV, SEGV_ACCERR);
	EXPECT_FAULT(vt_do_write, r.p + VR_PAGE, SIGSEGV, SEGV_ACCERR);
	REQUIRE_EQ(mprotect(r.p, len, PROT_READ | PROT_WRITE), 0);
	EXPECT_FAULT(vt_do_write, r.p + 5, SIGBUS, BUS_ADRERR);
	EXPECT_EQ(vr_unmark(r.p, len), 1);
}

static struct vr_range handled;
static volatile int handler_calls;

/* What a cache does: make the page again, and let it be purged again. */
static void refill(int signo, siginfo_t *info, void *context)
{
	size_t i = ((char *)info->si_addr - handled.p) / VR_PAGE;
	char *page = vr_page(&handled, i);

	(void)signo;
	(void)context;
	handler_calls++;
	if (i >= handled.pages || info->si_code != BUS_ADRERR ||
	    vr_unmark(page, VR_PAGE) != 1)
		_exit(2);
	vr_fill_page(&handled, i);
	if (vr_mark(page, VR_PAGE))
		_exit(3);
}

static void handle_with_refill(void)
{
	struct sigaction act = {
		.sa_sigaction = refill,
		.sa_flags = SA_SIGINFO,
	};

	REQUIRE_EQ(sigaction(SIGBUS, &act, NULL), 0);
}

static void handler_refills_for_reader(void)
{
	handled = vr_purged(16);
	handle_with_refill();
	/* Reads every word: the first one of each page restarts. */
	EXPECT_ALL_OLD(&handled);
	EXPECT_EQ(handler_calls, 16);
	EXPECT_PICTURE(handled.p, "VVVVVVVVVVVVVVVV");
	EXPECT_EQ(vr_count_vmas(handled.p, vr_len(&handled)), 1);
	/* Intact and volatile: they can go again. */
	EXPECT_EQ(vr_pageout(handled.p, vr_len(&handled)), 0);
	EXPECT_ALL_OLD(&handled);
	EXPECT_EQ(handler_calls, 32);
	EXPECT_EQ(vr_unmark(handled.p, vr_len(&handled)), 0);
}

/* The handler refills the page, then the interrupted write lands on top. */
static void handler_refills_for_writer(void)
{
	volatile uint64_t *word;
	size_t i;

	handled = vr_purged(8);
	handle_with_refill();
	for (i = 0; i < handled.pages; i++) {
		word = (uint64_t *)vr_page(&handled, i) + 100;
		*word = ~vr_word(handled.magic, i, 100);
		EXPECT_EQ(*word, ~vr_word(handled.magic, i, 100));
		*word = ~*word;
	}
	EXPECT_EQ(handler_calls, 8);
	EXPECT_EQ(vr_unmark(handled.p, vr_len(&handled)), 0);
	EXPECT_ALL_OLD(&handled);
}

/* After NONVOLATILE, purged pages are zeros between others that kept all. */
static void old_and_zero_pages(void)
{
	struct vr_range r;
	size_t i, wrong = 0;

	vt_pin(0);
	r = vr_filled(32);
	EXPECT_EQ(vr_mark(r.p, vr_len(&r)), 0);
	for (i = 0; i < 32; i += 3)
		EXPECT_EQ(vr_pageout(vr_page(&r, i), VR_PAGE), 0);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 1);
	for (i = 0; i < 32; i++)
		wrong += vr_state(&r, i) != (i % 3 ? VR_OLD : VR_ZERO);
	EXPECT_EQ(wrong, 0);
}

/* One page of many: accesses to all the others go through. */
static void only_the_purged_page(void)
{
	struct vr_range r;
	size_t i;

	vt_pin(0);
	r = vr_filled(8);
	EXPECT_EQ(vr_mark(r.p, vr_len(&r)), 0);
	EXPECT_EQ(vr_pageout(vr_page(&r, 4), VR_PAGE), 0);
	for (i = 0; i < 8; i++) {
		if (i == 4)
			EXPECT_FAULT(vt_do_read, vr_page(&r, i) + i, SIGBUS,
				     BUS_ADRERR);
		else
			EXPECT_NO_FAULT(vt_do_read, vr_page(&r, i) + i);
	}
	EXPECT_EQ(vr_unmark(r.p, 4 * VR_PAGE), 0);
	EXPECT_EQ(vr_unmark(r.p + 5 * VR_PAGE, 3 * VR_PAGE), 0);
	EXPECT_EQ(vr_unmark(r.p + 4 * VR_PAGE, VR_PAGE), 1);
}

static const struct vt_case cases[] = {
	VT_CASE(read_access, "V-SB-1",
		"A read of a purged page is SIGBUS, BUS_ADRERR, at its address."),
	VT_CASE(write_access, "V-SB-1",
		"A write to a purged page is SIGBUS, BUS_ADRERR, at its address."),
	VT_CASE(execution, "V-SB-1",
		"Executing a purged page is SIGBUS, BUS_ADRERR, at its address."),
	VT_CASE(forbidden_access, "V-SB-1 V-SB-8",
		"An access that the protection forbids is SIGSEGV as ever."),
	VT_CASE(handler_refills_for_reader, "V-SB-4 V-SB-5",
		"A handler unmarks, refills and marks again: the read completes."),
	VT_CASE(handler_refills_for_writer, "V-SB-4 V-SB-5",
		"A handler unmarks, refills and marks again: the write lands."),
	VT_CASE(old_and_zero_pages, "V-SB-5 V-PG-2",
		"After NONVOLATILE each page is all old or all zero."),
	VT_CASE(only_the_purged_page, "V-SB-1 V-SB-6",
		"Only the purged page faults, and only it is reported."),
};

VT_MAIN(cases)
