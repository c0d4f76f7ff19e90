// SPDX-License-Identifier: GPL-2.0-only
/*
 * name: unmark-amid-purge
 * about: >-
 *   A page of two processes is volatile for both, and reclaim has purged it for one of
 *   them. Before it comes to the other, that one unmarks its range and is told that its
 *   page is intact. So a page would be purged from one of its mappings and not from the
 *   other. In the series the mark changes only with the lock of the anon_vma root held,
 *   which a purge holds from the first mapping to the last.
 * project: volatile
 * clauses: [V-PG-4]
 * kernels: ["7.3"]
 * cpus: 3
 * variant: unmarking-without-root-lock
 * threads:
 *   A: {cpu: 1, does: reclaims the page from another process}
 *   B: {cpu: 2, does: MADV_NONVOLATILE of the mapping that is purged last}
 * points:
 *   - A: purge_one()
 *     within: folio_purge
 *     args: {3: vr_race_page}
 *     nth: 2
 *     says: the page is purged for the relative
 *   - B: ends
 *     says: has unmarked its own mapping
 * outcome:
 *   hit: it was told that the page is intact, and the relative has lost it
 *   miss: both have it, or neither
 *   excluded: {B: volatile_set_vm_flags, lock: the lock of the anon_vma root, from A: folio_purge}
 */
#include "race.h"
#include "vr_race_relative.h"

static volatile int unmarked;

static void unmark(void)
{
	unmarked = vr_unmark(vr_race_page, VR_PAGE);
}

static bool struck(void)
{
	enum vr_state state = vr_state(&vr_race_range, 0);
	int lost;

	REQUIRE_GE(unmarked, 0);
	REQUIRE_EQ(state, unmarked ? VR_ZERO : VR_OLD);
	lost = vr_race_unmark_relative();
	race_say("MADV_NONVOLATILE said %d, and %d to the relative", unmarked, lost);
	return !unmarked && lost;
}

RACE_MAIN(.setup = vr_race_setup_shared, .prepare = vr_race_fill_shared,
	  .struck = struck,
	  .threads = { { .name = "A", .run = vr_race_reclaim, .process = true },
		       { .name = "B", .run = unmark } })
