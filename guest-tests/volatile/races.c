// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reclaim of another process's choosing while this one marks and unmarks.
 * MADV_PAGEOUT would not do: it holds the lock of the mm and so keeps marking
 * out. The reclaimer works on our control group and stays outside of it.
 */
#include "vr_pages.h"
#include "vt_fault.h"

#include <limits.h>

#define PAGES	64
#define ROUNDS	20

/*
 * Another process reclaims some of our group whenever it is asked to, and says
 * when it is done. In between it runs beside whatever we do.
 */
static struct reclaimer {
	const char *group;
	struct vt_gate asked, done;
} reclaimer;

static void serve(void *arg)
{
	(void)arg;
	vt_pin(1);
	for (;;) {
		vt_gate_wait(&reclaimer.asked);
		/* It may fall short: what it takes, not how much, matters. */
		vt_cgroup_try_write(reclaimer.group, "memory.reclaim",
				    PAGES * VR_PAGE);
		vt_gate_open(&reclaimer.done);
	}
}

static void start_reclaimer(void)
{
	vt_swap_disk();
	reclaimer.group = vt_cgroup("vr-races");
	reclaimer.asked = vt_gate();
	reclaimer.done = vt_gate();
	/* Before there is anything volatile: what it inherits is shared. */
	vt_fork(serve, NULL);
	vt_cgroup_enter(reclaimer.group);
	vt_pin(0);
}

/* What NONVOLATILE says is true: every byte is there, or some are not. */
static bool answer_is_true(struct vr_range *r)
{
	struct vr_count n;

	if (vr_unmark(r->p, vr_len(r)) == 0) {
		EXPECT_ALL_OLD(r);
		return true;
	}
	n = vr_count(r);
	EXPECT_GE(n.zero, 1);
	*r = vr_fill(r->p, PAGES);
	return false;
}

/* Look up to @max times whether the reclaim is done. Returns how often it took. */
static long look_for_end(long max)
{
	struct pollfd done = { .fd = reclaimer.done.fd[0], .events = POLLIN };
	long looks = 0;

	while (looks < max && !poll(&done, 1, 0))
		looks++;
	return looks;
}

/* How long one whole reclaim of @r takes, in looks. */
static long looks_of_a_reclaim(struct vr_range *r)
{
	long looks;

	REQUIRE_EQ(vr_mark(r->p, vr_len(r)), 0);
	vt_gate_open(&reclaimer.asked);
	looks = look_for_end(LONG_MAX);
	vt_gate_wait(&reclaimer.done);
	/* Control: that has purged. */
	EXPECT(!answer_is_true(r));
	return looks;
}

/* 0 means that every byte is there, and that it stays. */
static void intact_stays_intact(void)
{
	struct vr_range r;
	int round, intact = 0;
	long looks;

	start_reclaimer();
	r = vr_filled(PAGES);
	looks = looks_of_a_reclaim(&r);
	for (round = 0; round < ROUNDS; round++) {
		/* Pages that have been in swap might not be purged. */
		REQUIRE_EQ(vr_advise(r.p, vr_len(&r), MADV_DONTNEED), 0);
		r = vr_fill(r.p, PAGES);
		REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
		vt_gate_open(&reclaimer.asked);
		/* Interrupt it at another place every time, mostly early. */
		look_for_end(looks * round / ROUNDS * round / ROUNDS);
		intact += answer_is_true(&r);
		/* What it began before the answer must not land after it. */
		vt_gate_wait(&reclaimer.done);
		EXPECT_ALL_OLD(&r);
	}
	vt_diag("%d of %d times intact beside a reclaim of %ld looks", intact,
		ROUNDS, looks);
	/* Control: without a reclaim it always is. */
	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	EXPECT(answer_is_true(&r));
}

static struct vr_range cache;
static volatile long refills;

static void refill(int signo, siginfo_t *info, void *context)
{
	size_t i = ((char *)info->si_addr - cache.p) / VR_PAGE;

	(void)signo;
	(void)context;
	refills++;
	/* Reclaim may have been faster again: that is another SIGBUS. */
	if (i >= cache.pages || info->si_code != BUS_ADRERR ||
	    vr_unmark(vr_page(&cache, i), VR_PAGE) != 1)
		_exit(2);
	vr_fill_page(&cache, i);
	if (vr_mark(vr_page(&cache, i), VR_PAGE))
		_exit(3);
}

/* A cache whose handler refills pages: its reader never sees a wrong word. */
static void refilled_under_reclaim(void)
{
	struct sigaction act = { .sa_sigaction = refill,
				 .sa_flags = SA_SIGINFO };
	int round;

	start_reclaimer();
	cache = vr_filled(PAGES);
	REQUIRE_EQ(sigaction(SIGBUS, &act, NULL), 0);
	REQUIRE_EQ(vr_mark(cache.p, vr_len(&cache)), 0);
	for (round = 0; round < ROUNDS; round++) {
		vt_gate_open(&reclaimer.asked);
		EXPECT_ALL_OLD(&cache);
		vt_gate_wait(&reclaimer.done);
		EXPECT_ALL_OLD(&cache);
	}
	vt_diag("%ld pages refilled", refills);
	EXPECT_GE(refills, ROUNDS);
	vr_unmark(cache.p, vr_len(&cache));
	EXPECT_PICTURE(cache.p, "--------");
}

static const struct vt_case cases[] = {
	VT_CASE(intact_stays_intact, "V-PG-3 V-SB-5 V-PG-2",
		"Under another's reclaim, NONVOLATILE 0 means intact for good.",
		.needs = "swapdisk"),
	VT_CASE(refilled_under_reclaim, "V-SB-4 V-PG-3",
		"Under another's reclaim, a refilling handler hides every purge.",
		.needs = "swapdisk"),
};

VT_MAIN(cases)
