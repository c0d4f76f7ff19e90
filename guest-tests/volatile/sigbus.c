// SPDX-License-Identifier: GPL-2.0-only
/* Which signal an access to a purged page gets, and how a program goes on. */
#include "vr_pages.h"
#include "vt_fault.h"

#include <pthread.h>
#include <sys/uio.h>

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

/*
 * What another thread sees of a page while a handler fills it. The handler of above
 * opens the page first: then it is zeros for everybody until it is filled.
 */
static struct {
	volatile long zeros, good;
	volatile int handlers;		/* that have begun */
	int busy;			/* one of them is filling the page */
} seen;

static void *read_on(void *arg)
{
	const volatile uint64_t *word = (uint64_t *)handled.p + 100;
	sigset_t bus;

	(void)arg;
	/* Begun by a handler, in which it is blocked. */
	sigemptyset(&bus);
	sigaddset(&bus, SIGBUS);
	pthread_sigmask(SIG_UNBLOCK, &bus, NULL);
	while (!seen.good) {
		uint64_t is = *word;

		seen.zeros += is == 0;
		seen.good += is == vr_word(handled.magic, 0, 100);
	}
	return NULL;
}

static pthread_t other;

static void refill_in_place(int signo, siginfo_t *info, void *context)
{
	(void)signo;
	(void)info;
	(void)context;
	if (vr_unmark(handled.p, VR_PAGE) != 1 ||
	    pthread_create(&other, NULL, read_on, NULL))
		_exit(2);
	while (!seen.zeros)
		sched_yield();
	vr_fill_page(&handled, 0);
	if (vr_mark(handled.p, VR_PAGE))
		_exit(3);
}

/* The kernel reads it for us: a purged page is EFAULT, and nobody gets a signal. */
static bool is_purged(void *page)
{
	char byte;
	struct iovec to = { &byte, 1 }, from = { page, 1 };

	return process_vm_readv(getpid(), &to, 1, &from, 1, 0) != 1;
}

/* Fill memory elsewhere, and move it to where it is missed, in one step. */
static void refill_elsewhere(int signo, siginfo_t *info, void *context)
{
	struct vr_range fresh = { .pages = 1, .magic = handled.magic };
	bool first = !__atomic_fetch_add(&seen.handlers, 1, __ATOMIC_SEQ_CST);

	(void)signo;
	(void)info;
	(void)context;
	if (first && pthread_create(&other, NULL, read_on, NULL))
		_exit(2);
	while (__atomic_exchange_n(&seen.busy, 1, __ATOMIC_ACQUIRE))
		sched_yield();
	/* Else another handler has been here, and a writer after it. */
	if (is_purged(handled.p)) {
		fresh.p = mmap(NULL, VR_PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (fresh.p == MAP_FAILED)
			_exit(3);
		vr_fill_page(&fresh, 0);
		/* The other thread does not get past the page meanwhile. */
		while (seen.handlers < 2)
			sched_yield();
		if (mremap(fresh.p, VR_PAGE, VR_PAGE,
			   MREMAP_MAYMOVE | MREMAP_FIXED, handled.p) != handled.p)
			_exit(4);
		if (vr_mark(handled.p, VR_PAGE))
			_exit(5);
	}
	__atomic_store_n(&seen.busy, 0, __ATOMIC_RELEASE);
}

static void read_by_two(void (*handler)(int, siginfo_t *, void *))
{
	struct sigaction act = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };

	memset(&seen, 0, sizeof(seen));
	handled = vr_purged(1);
	REQUIRE_EQ(sigaction(SIGBUS, &act, NULL), 0);
	EXPECT_ALL_OLD(&handled);
	REQUIRE_EQ(pthread_join(other, NULL), 0);
}

static void handler_that_shows_no_zeros(void)
{
	read_by_two(refill_elsewhere);
	EXPECT_EQ(seen.zeros, 0);
	EXPECT_EQ(seen.handlers, 2);
	EXPECT_PICTURE(handled.p, "V");
	/* It is volatile memory like any other: it can go, and come, again. */
	EXPECT_EQ(vr_pageout(handled.p, VR_PAGE), 0);
	EXPECT_ALL_OLD(&handled);
	EXPECT_EQ(seen.handlers, 3);
	/* Control: the simple handler shows them. */
	read_by_two(refill_in_place);
	EXPECT_GE(seen.zeros, 1);
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
	VT_CASE(handler_that_shows_no_zeros, "V-SB-4 V-SB-2",
		"A handler fills memory elsewhere and moves it there: nobody reads zeros."),
	VT_CASE(old_and_zero_pages, "V-SB-5 V-PG-2",
		"After NONVOLATILE each page is all old or all zero."),
	VT_CASE(only_the_purged_page, "V-SB-1 V-SB-6",
		"Only the purged page faults, and only it is reported."),
};

VT_MAIN(cases)
