// SPDX-License-Identifier: GPL-2.0-only
/*
 * name: purge-after-intact
 * about: >-
 *   Reclaim has asked all mappings of a page, and they are volatile. Before it takes
 *   the page, MADV_NONVOLATILE clears the mark, finds the page intact and returns 0.
 *   No purge that began earlier may land after that. In the series the mark changes
 *   under the lock of the anon_vma root, which a purge holds from its first look to
 *   its last, and the purge looks for the mark once more with the page table lock
 *   held. The variant does neither.
 * project: volatile
 * clauses: [V-PG-3]
 * cpus: 3
 * variant: purge-without-retest
 * threads:
 *   A: {cpu: 1, does: reclaims the page from another process}
 *   B: {cpu: 2, does: MADV_NONVOLATILE of the page}
 * points:
 *   - A: {"6.1": try_to_unmap_one(), "6.12": try_to_unmap_one(), "7.3": purge_one()}
 *     within: folio_purge
 *     args: {3: vr_race_page}
 *     says: has found the page volatile everywhere, and is about to discard it
 *   - B: ends
 *     says: has been told that the page is intact
 * outcome:
 *   hit: NONVOLATILE has returned 0, and the page is purged all the same
 *   miss: what NONVOLATILE says is true
 *   excluded: {B: volatile_set_vm_flags, lock: the lock of the anon_vma root, from A: folio_purge}
 */
#include "race.h"
#include "vr_race.h"

static volatile int answer;
static volatile enum vr_state state;

static void prepare(void)
{
	vr_race_fill();
	vr_race_mark();
}

static void unmark(void)
{
	answer = vr_unmark(vr_race_page, VR_PAGE);
}

static void look(void)
{
	state = vr_state(&vr_race_range, 0);
}

static bool struck(void)
{
	bool gone = race_caught(SIGBUS, look);

	REQUIRE_GE(answer, 0);
	race_say("NONVOLATILE said %d, and the page is %s", answer,
		 gone ? "purged" : state == VR_OLD ? "as it was" : "zero");
	return !answer && (gone || state != VR_OLD);
}

RACE_MAIN(.setup = vr_race_setup, .prepare = prepare, .struck = struck,
	  .threads = { { .name = "A", .run = vr_race_reclaim, .process = true },
		       { .name = "B", .run = unmark } })
