// SPDX-License-Identifier: GPL-2.0-only
/*
 * name: voted-twice
 * about: >-
 *   Reclaim has met the entry of a volatile page, and mremap() takes it along to a mapping
 *   that reclaim comes to next: the same entry votes twice. More votes than mappings are
 *   no veto, and it is not for that reason that the page may be written to swap. In the
 *   series it is kept, and is purged when it is looked at again. The variant takes it for
 *   one that cannot be purged.
 * project: volatile
 * clauses: [V-PG-2, V-PG-4]
 * kernels: ["7.3"]
 * cpus: 3
 * variant: two-votes-are-no-purge
 * threads:
 *   A: {cpu: 1, does: reclaims the page from another process}
 *   B: {cpu: 2, does: mremap of the page to another place}
 * points:
 *   - B: move_page_tables()
 *     says: has the new mapping, and the entry is in the old one
 *   - A: purge_vote_one()
 *     within: folio_purge
 *     args: {3: new_place}
 *     says: has met the entry in the old mapping
 *   - B: unmap_source_vma()
 *     says: the entry is in the new mapping, where reclaim meets it as well
 * outcome:
 *   hit: the page is written to swap, though it is volatile everywhere
 *   miss: it is purged, or there
 */
#include "race.h"
#include "vr_race.h"

/* The same for both: A is a process of its own. */
static char *volatile new_place = VR_RACE_ADDRESS + 16 * VR_PAGE;

static void prepare(void)
{
	vr_race_fill();
	vr_race_mark();
}

static void move(void)
{
	REQUIRE(mremap(vr_race_page, VR_PAGE, VR_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		       new_place) == new_place);
}

static bool struck(void)
{
	struct vr_range r = vr_race_range;
	bool swapped;
	int lost;

	r.p = new_place;
	swapped = vr_count_pagemap(&r, VR_PM_SWAP);
	lost = vr_unmark(r.p, VR_PAGE);
	REQUIRE_GE(lost, 0);
	REQUIRE_EQ(vr_state(&r, 0), lost ? VR_ZERO : VR_OLD);
	REQUIRE_EQ(munmap(r.p, VR_PAGE), 0);
	race_say("the page is %s", swapped ? "in swap" : lost ? "purged" : "there");
	return swapped;
}

RACE_MAIN(.setup = vr_race_setup, .prepare = prepare, .struck = struck,
	  .threads = { { .name = "A", .run = vr_race_reclaim, .process = true },
		       { .name = "B", .run = move } })
