// SPDX-License-Identifier: GPL-2.0-only
/*
 * name: refill-while-unmarking
 * about: >-
 *   MADV_NONVOLATILE has found a purged entry and is about to clear it. Another thread
 *   drops the entry with MADV_DONTNEED and writes to the page anew. The walk of
 *   NONVOLATILE holds no more of the mmap_lock than that thread does: only the lock of
 *   the page table keeps it from clearing the entry of the new page, which would be lost.
 * project: volatile
 * clauses: [V-SB-9]
 * kernels: ["7.3"]
 * cpus: 3
 * variant: unmarking-without-page-lock
 * threads:
 *   A: {cpu: 1, does: MADV_NONVOLATILE of a purged page}
 *   B: {cpu: 2, does: "MADV_DONTNEED, then writes to the page"}
 * points:
 *   - A: "volatile_unpurge_pmd: pte_clear(mm, addr, pte);"
 *     says: has found the purged entry
 *   - B: ends
 *     says: the entry is gone, and a fresh page is in its place
 *   - A: ends
 *     says: has cleared what is there
 * outcome:
 *   hit: what B has written is gone
 *   miss: it is there
 *   excluded: {B: zap_pte_range, lock: the lock of the page table, from A: volatile_unpurge_pmd}
 */
#include "race.h"
#include "vr_pages.h"

#define FRESH	0x5eed

static char *scratch;
static struct vr_range range;
static volatile int unmarked;

static void prepare(void)
{
	vr_purge_anew(&range, scratch);
}

static void setup(void)
{
	range = vr_filled(1);
	scratch = vr_anon(1);
}

static void unmark(void)
{
	unmarked = vr_unmark(range.p, vr_len(&range));
}

static void replace_it(void)
{
	REQUIRE_EQ(vr_advise(range.p, vr_len(&range), MADV_DONTNEED), 0);
	*(volatile int *)range.p = FRESH;
}

static bool struck(void)
{
	int found = *(volatile int *)range.p;

	REQUIRE_GE(unmarked, 0);
	race_say("MADV_NONVOLATILE said %d, the page has %#x", unmarked, found);
	return found != FRESH;
}

RACE_MAIN(.setup = setup, .prepare = prepare, .struck = struck,
	  .threads = { { .name = "A", .run = unmark },
		       { .name = "B", .run = replace_it } })
