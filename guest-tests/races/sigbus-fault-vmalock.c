// SPDX-License-Identifier: GPL-2.0-only
/*
 * name: sigbus-fault-vmalock
 * about: >-
 *   MADV_NONVOLATILE has cleared the flag and let faults in again, but has yet to
 *   clear the purged entries. A fault, which holds no more than the lock of the VMA,
 *   reads such an entry. Before it takes the page table lock, MADV_NONVOLATILE clears
 *   the entry and returns, and the page is filled again. The fault must not signal
 *   then: the page is not even volatile any more.
 * project: volatile
 * clauses: [V-SB-3]
 * kernels: ["6.12", "7.3"]
 * cpus: 3
 * variant: fault-without-recheck
 * threads:
 *   A: {cpu: 1, does: reads a purged page}
 *   B: {cpu: 2, does: "MADV_NONVOLATILE, then writes to the page"}
 * points:
 *   - B: walk_page_range()
 *     within: madvise_volatile
 *     says: has cleared the flag; holds the mmap_lock for reading; the purged entry is there
 *   - A: handle_mm_fault()
 *     args: {2: vr_race_page, 3: "& 0x1000"}    # FAULT_FLAG_VMA_LOCK
 *     says: has the lock of the VMA, for reading, and not the mmap_lock
 *   - A: {"6.12": handle_purged_entry(), "7.3": handle_pte_marker()}
 *     says: has read the purged entry, and does not hold the page table lock
 *   - B: ends
 *     says: has unmarked the page and filled it again
 *   - A: ends
 *     says: the fault finds another entry and is retried, or it signals
 * outcome:
 *   hit: SIGBUS, though the page is there and not volatile
 *   miss: the access finds what B has written
 */
#include "race.h"
#include "vr_race.h"

#define FRESH	0x5eed

static volatile int found, written, unmarked, seen_in_handler;
static char *scratch;

/*
 * Purged by a call, on one CPU. The zap that follows leaves no flush of the TLB
 * pending: MADV_NONVOLATILE would do it, and wait for the CPU that is held.
 */
static void prepare(void)
{
	vr_race_fill();
	vr_race_mark();
	/* Not before that: what is mapped then is locked. */
	if (!scratch)
		scratch = vr_anon(1);
	REQUIRE_EQ(vr_pageout(vr_race_page, VR_PAGE), 0);
	REQUIRE_EQ(vr_count_pagemap(&vr_race_range, VR_PM_PRESENT), 0);
	*scratch = 1;
	REQUIRE_EQ(madvise(scratch, VR_PAGE, MADV_DONTNEED), 0);
	found = written = seen_in_handler = 0;
}

static void look(void)
{
	found = *(volatile int *)vr_race_page;
}

static void read_it(void)
{
	if (race_caught(SIGBUS, look)) {
		seen_in_handler = written;
		found = -1;
	}
}

static void unmark_and_fill(void)
{
	unmarked = vr_unmark(vr_race_page, VR_PAGE);
	*(volatile int *)vr_race_page = FRESH;
	written = 1;
}

/* Without control, as for sigbus-fault: only signals that come too late count. */
static bool struck(void)
{
	REQUIRE_EQ(unmarked, 1);
	if (found == -1)
		race_say("SIGBUS at %p", (void *)race_fault_address);
	else
		race_say("read %#x", found);
	return found == -1 && seen_in_handler;
}

RACE_MAIN(.setup = vr_race_setup, .prepare = prepare, .struck = struck,
	  .threads = { { .name = "A", .run = read_it },
		       { .name = "B", .run = unmark_and_fill } })
