// SPDX-License-Identifier: GPL-2.0-only
/*
 * name: lock-amid-purge
 * about: >-
 *   A page of two processes is volatile for both, and reclaim has purged it for one of
 *   them. Before it comes to the other, that one locks its range: its page stays. So a
 *   page would be purged from one of its mappings and not from the other. In the series
 *   mlock() of a volatile range takes the lock of the anon_vma root, which a purge holds
 *   from the first mapping to the last.
 * project: volatile
 * clauses: [V-PG-4, V-PG-7]
 * kernels: ["7.3"]
 * cpus: 3
 * variant: mlock-without-root-lock
 * threads:
 *   A: {cpu: 1, does: reclaims the page from another process}
 *   B: {cpu: 2, does: mlock2 with ONFAULT of the mapping that is purged last}
 * points:
 *   - A: purge_one()
 *     within: folio_purge
 *     args: {3: vr_race_page}
 *     nth: 2
 *     says: the page is purged for the relative
 *   - B: ends
 *     says: has locked its own mapping
 * outcome:
 *   hit: it has the page, and the relative has lost it
 *   miss: both have it, or neither
 *   excluded: {B: volatile_set_vm_flags, lock: the lock of the anon_vma root, from A: folio_purge}
 */
#include "race.h"
#include "vr_race_relative.h"

static void lock(void)
{
	REQUIRE_EQ(mlock2(vr_race_page, VR_PAGE, MLOCK_ONFAULT), 0);
}

static bool struck(void)
{
	int own = vr_race_unmark(), lost;

	lost = vr_race_unmark_relative();
	race_say("MADV_NONVOLATILE said %d, and %d to the relative", own, lost);
	return !own && lost;
}

RACE_MAIN(.setup = vr_race_setup_shared, .prepare = vr_race_fill_shared,
	  .struck = struck,
	  .threads = { { .name = "A", .run = vr_race_reclaim, .process = true },
		       { .name = "B", .run = lock } })
