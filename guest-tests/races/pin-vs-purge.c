// SPDX-License-Identifier: GPL-2.0-only
/*
 * name: pin-vs-purge
 * about: >-
 *   Reclaim has counted the references of a page, and nobody has one that would be
 *   in the way. Before it takes the page, vmsplice() gives it to a pipe. The purge
 *   counts once more, with the page table entry gone, when nobody can take a
 *   reference by it any more. The variant does not: then the pipe has a page that
 *   the program has lost.
 * project: volatile
 * clauses: [V-PG-5]
 * cpus: 3
 * variant: pins-not-looked-at-again
 * threads:
 *   A: {cpu: 1, does: reclaims the page from another process}
 *   B: {cpu: 2, does: vmsplice of the page into a pipe}
 * points:
 *   - A: {"6.1": try_to_unmap_one(), "6.12": try_to_unmap_one(), "7.3": purge_one()}
 *     within: folio_purge
 *     args: {3: vr_race_page}
 *     says: has found the page volatile, and no reference to it
 *   - B: ends
 *     says: the pipe holds the page
 * outcome:
 *   hit: the pipe still holds the page, and it is purged all the same
 *   miss: the page is there, and is the one in the pipe
 */
#include "race.h"
#include "vr_race.h"

#include <sys/uio.h>

static int pipes[2];
static volatile ssize_t spliced;

static void setup(void)
{
	vr_race_setup();
	REQUIRE_EQ(pipe(pipes), 0);
}

static void prepare(void)
{
	vr_race_fill();
	vr_race_mark();
}

static void pin(void)
{
	struct iovec iov = { vr_race_page, VR_PAGE };

	/* EFAULT: the page was purged before. */
	spliced = vmsplice(pipes[1], &iov, 1, 0);
}

static bool struck(void)
{
	static char held[VR_PAGE];
	bool same;
	int lost;

	if (spliced != VR_PAGE) {
		race_say("the page was purged before");
		REQUIRE_EQ(vr_race_unmark(), 1);
		return false;
	}
	lost = vr_race_unmark();
	REQUIRE_EQ(read(pipes[0], held, VR_PAGE), VR_PAGE);
	same = !memcmp(held, vr_race_page, VR_PAGE);
	race_say("MADV_NONVOLATILE said %d, the page and the one in the pipe %s",
		 lost, same ? "are the same" : "differ");
	REQUIRE_EQ(same, !lost);
	return lost;
}

RACE_MAIN(.setup = setup, .prepare = prepare, .struck = struck,
	  .threads = { { .name = "A", .run = vr_race_reclaim, .process = true },
		       { .name = "B", .run = pin } })
