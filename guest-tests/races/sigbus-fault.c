// SPDX-License-Identifier: GPL-2.0-only
/*
 * name: sigbus-fault
 * about: >-
 *   A fault has read a purged entry. Before it takes the page table lock, another
 *   thread drops the entry with MADV_DONTNEED and writes to the page anew. The
 *   fault must not signal then: the page is there and good.
 * project: volatile
 * clauses: [V-SB-3]
 * cpus: 3
 * variant: fault-without-recheck
 * threads:
 *   A: {cpu: 1, does: reads a purged page}
 *   B: {cpu: 2, does: "MADV_DONTNEED, then writes to the page"}
 * points:
 *   - A: {"6.1": handle_purged_entry(), "6.12": handle_purged_entry(), "7.3": pte_marker_handle_purged()}
 *     says: has read a purged entry, and does not hold the page table lock
 *   - B: ends
 *     says: the entry is gone, and a fresh page is in its place
 *   - A: ends
 *     says: the fault finds another entry and is retried, or it signals
 * outcome:
 *   hit: SIGBUS, though the page is there and good
 *   miss: the access finds what B has written
 */
#include "race.h"
#include "vr_pages.h"

#define FRESH	0x5eed

static volatile char *page;
static char *scratch;
static struct vr_range range;
static volatile int found, written, seen_in_handler;

static void prepare(void)
{
	vr_purge_anew(&range, scratch);
	found = written = seen_in_handler = 0;
}

static void setup(void)
{
	range = vr_filled(1);
	page = range.p;
	scratch = vr_anon(1);
}

static void look(void)
{
	found = *(volatile int *)page;
}

static void read_it(void)
{
	if (race_caught(SIGBUS, look)) {
		seen_in_handler = written;
		race_say("SIGBUS at %p", (void *)race_fault_address);
		found = -1;
	}
}

static void replace_it(void)
{
	REQUIRE_EQ(vr_advise(range.p, vr_len(&range), MADV_DONTNEED), 0);
	*(volatile int *)page = FRESH;
	written = 1;
}

/*
 * Without control this counts signals that came when the page was there again;
 * the fault may have been right about that a moment before, so only where the
 * order is known is such a signal wrong for sure.
 */
static bool struck(void)
{
	if (found != -1)
		race_say("read %#x", found);
	return found == -1 && seen_in_handler;
}

RACE_MAIN(.setup = setup, .prepare = prepare, .struck = struck,
	  .threads = { { .name = "A", .run = read_it },
		       { .name = "B", .run = replace_it } })
