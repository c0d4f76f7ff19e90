// SPDX-License-Identifier: GPL-2.0-only
/*
 * name: mlock-vs-purge
 * about: >-
 *   Reclaim has asked all mappings of a page, and they are volatile and not locked.
 *   Before it takes the page, mlock() locks it and returns 0. The page must stay
 *   then. mlock() of a volatile range takes the lock of the anon_vma root, which a
 *   purge holds from its first look to its last; and the purge looks for VM_LOCKED
 *   once more with the page table lock held. The variant does neither.
 * project: volatile
 * clauses: [V-PG-7]
 * cpus: 3
 * variant: mlock-unseen-by-purge
 * threads:
 *   A: {cpu: 1, does: reclaims the page from another process}
 *   B: {cpu: 2, does: mlock of the page}
 * points:
 *   - A: {"6.1": try_to_unmap_one(), "6.12": try_to_unmap_one(), "7.3": purge_one()}
 *     within: folio_purge
 *     args: {3: vr_race_page}
 *     says: has found the page volatile and not locked, everywhere
 *   - B: ends
 *     says: the page is locked
 * outcome:
 *   hit: mlock has returned 0, and the page is purged all the same
 *   miss: the page is there
 *   excluded: {B: volatile_set_vm_flags, lock: the lock of the anon_vma root, from A: folio_purge}
 */
#include "race.h"
#include "vr_race.h"

static volatile int locked;

static void prepare(void)
{
	vr_race_fill();
	vr_race_mark();
}

static void lock(void)
{
	locked = mlock(vr_race_page, VR_PAGE);
	/* It came too late: what was purged before cannot be brought back. */
	if (locked)
		REQUIRE_EQ(errno, ENOMEM);
}

static bool struck(void)
{
	int lost;

	REQUIRE_EQ(munlock(vr_race_page, VR_PAGE), 0);
	lost = vr_race_unmark();
	race_say("mlock() said %d, MADV_NONVOLATILE %d", locked, lost);
	return !locked && lost;
}

RACE_MAIN(.setup = vr_race_setup, .prepare = prepare, .struck = struck,
	  .threads = { { .name = "A", .run = vr_race_reclaim, .process = true },
		       { .name = "B", .run = lock } })
