// SPDX-License-Identifier: GPL-2.0-only
/*
 * name: lazyfree-while-unmarking
 * about: >-
 *   A page of a volatile range was given to MADV_FREE. MADV_NONVOLATILE has cleared the
 *   mark, and has not come to the page yet. Reclaim, which discards lazyfree pages,
 *   would leave nothing behind now, and NONVOLATILE would say 0 for contents that are
 *   gone. In the series lazyfree pages of a process are kept until it has been there.
 * project: volatile
 * clauses: [V-PG-3]
 * cpus: 3
 * variant: lazyfree-goes-while-unmarking
 * threads:
 *   A: {cpu: 1, does: MADV_NONVOLATILE of the page}
 *   B: {cpu: 2, does: reclaims the page from another process}
 * points:
 *   - A: volatile_unpurge_pmd()
 *     says: the mark is gone, and the entry of the page has not been looked at
 *   - B: try_to_unmap_flush()
 *     says: has got to the page, and has discarded it or not
 *   - A: ends
 *     says: has been told whether the page is intact
 * outcome:
 *   hit: NONVOLATILE has returned 0, and the contents are gone
 *   miss: what NONVOLATILE says is true
 */
#include "race.h"
#include "vr_race.h"

static volatile int answer;

static void prepare(void)
{
	vr_race_fill();
	vr_race_mark();
	REQUIRE_EQ(madvise(vr_race_range.p, VR_PAGE, MADV_FREE), 0);
	/* Out of this CPU's batch: it is lazyfree from here on. */
	vr_race_drain();
}

static void unmark(void)
{
	answer = vr_unmark(vr_race_page, VR_PAGE);
}

static bool struck(void)
{
	enum vr_state state = vr_state(&vr_race_range, 0);

	REQUIRE_GE(answer, 0);
	race_say("NONVOLATILE said %d, and the page is %s", answer,
		 state == VR_OLD ? "as it was" : "zero");
	return !answer && state != VR_OLD;
}

RACE_MAIN(.setup = vr_race_setup, .prepare = prepare, .struck = struck,
	  .threads = { { .name = "A", .run = unmark },
		       { .name = "B", .run = vr_race_reclaim, .process = true } })
