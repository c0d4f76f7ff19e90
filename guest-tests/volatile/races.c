// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reclaim of another process's choosing while this one marks and unmarks.
 */
#include "vr_reclaimer.h"

#define PAGES	64
#define ROUNDS	20

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

/* 0 means that every byte is there, and that it stays. */
static void intact_stays_intact(void)
{
	struct vr_range r;
	int round, intact = 0;
	long looks;

	vr_start_reclaimer(PAGES);
	r = vr_filled(PAGES);
	looks = vr_looks_of_a_reclaim(&r);
	for (round = 0; round < ROUNDS; round++) {
		/* Pages that have been in swap might not be purged. */
		REQUIRE_EQ(vr_advise(r.p, vr_len(&r), MADV_DONTNEED), 0);
		r = vr_fill(r.p, PAGES);
		REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
		vr_ask_reclaim();
		/* Interrupt it at another place every time, mostly early. */
		vr_look_for_end(looks * round / ROUNDS * round / ROUNDS);
		intact += answer_is_true(&r);
		/* What it began before the answer must not land after it. */
		vr_wait_reclaim();
		EXPECT_ALL_OLD(&r);
	}
	vt_diag("%d of %d times intact beside a reclaim of %ld looks", intact,
		ROUNDS, looks);
	/* Control: without a reclaim it always is. */
	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	EXPECT(answer_is_true(&r));
}

/*
 * A relative that unmarks its copy in the middle of a reclaim: after @looks at
 * its end, or, where @taken is set, once that many pages are gone.
 */
struct relative {
	struct vr_range *r;
	long looks;
	size_t taken;
	int intact;
};

static void unmark_in_the_middle(void *arg)
{
	struct relative *relative = arg;
	struct vr_range *r = relative->r;

	vt_pin(0);
	vr_ask_reclaim();
	if (relative->taken)
		vr_wait_taken(r, relative->taken);
	else
		vr_look_for_end(relative->looks);
	relative->intact = !vr_unmark(r->p, vr_len(r));
	vr_wait_reclaim();
	/* 0: not one page was lost, then or since. */
	if (relative->intact)
		EXPECT_ALL_OLD(r);
	else
		EXPECT_GE(vr_count(r).zero, 1);
	/* What it has unmarked is kept for good. */
	vr_ask_reclaim();
	vr_wait_reclaim();
	if (relative->intact)
		EXPECT_ALL_OLD(r);
}

/*
 * Two share pages that both call volatile; one changes its mind in the middle.
 * If it is told that nothing is lost, nothing is; the other's answer is as true.
 */
static void one_of_two_unmarks(void)
{
	struct relative *relative = mmap(NULL, VR_PAGE, PROT_READ | PROT_WRITE,
					 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int round, intact = 0, both = 0;
	struct vr_range r;
	long looks;

	REQUIRE(relative != MAP_FAILED);
	vr_start_reclaimer(PAGES);
	r = vr_filled(PAGES);
	looks = vr_looks_of_a_reclaim(&r);
	for (round = 0; round < ROUNDS; round++) {
		REQUIRE_EQ(vr_advise(r.p, vr_len(&r), MADV_DONTNEED), 0);
		r = vr_fill(r.p, PAGES);
		REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
		*relative = (struct relative){
			.r = &r,
			.looks = looks * round / ROUNDS * round / ROUNDS,
			/* How long a reclaim takes is not the same every time. */
			.taken = round % 2 ? PAGES * round / ROUNDS : 0,
		};
		EXPECT_EQ(vt_run_child(unmark_in_the_middle, relative), 0);
		intact += relative->intact;
		both += answer_is_true(&r);
	}
	vt_diag("%d of %d times the one was in time, %d times the other lost nothing",
		intact, ROUNDS, both);
	/* Control: reclaim did take pages that both had marked. */
	EXPECT_LE(both, ROUNDS - 1);
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

	vr_start_reclaimer(PAGES);
	cache = vr_filled(PAGES);
	REQUIRE_EQ(sigaction(SIGBUS, &act, NULL), 0);
	REQUIRE_EQ(vr_mark(cache.p, vr_len(&cache)), 0);
	for (round = 0; round < ROUNDS; round++) {
		vr_ask_reclaim();
		EXPECT_ALL_OLD(&cache);
		vr_wait_reclaim();
		EXPECT_ALL_OLD(&cache);
	}
	vt_diag("%ld pages refilled", refills);
	EXPECT_GE(refills, ROUNDS);
	vr_unmark(cache.p, vr_len(&cache));
	EXPECT_PICTURE(cache.p, "--------");
}

static const struct vt_case cases[] = {
	VT_CASE(intact_stays_intact, "V-PG-3 V-SB-5 V-PG-2",
		"Under another's reclaim, NONVOLATILE 0 means intact for good."),
	VT_CASE(one_of_two_unmarks, "V-PG-3 V-PG-4",
		"One of two sharers unmarks during reclaim: what it is told is true."),
	VT_CASE(refilled_under_reclaim, "V-SB-4 V-PG-3",
		"Under another's reclaim, a refilling handler hides every purge."),
};

VT_MAIN(cases)
