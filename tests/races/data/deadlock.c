// SPDX-License-Identifier: GPL-2.0-only
/*
 * name: deadlock
 * about: >-
 *   An order that cannot be: the fault of A holds the lock of the address space, or of
 *   the mapping, and B wants to change the mapping before A goes on.
 * project: volatile
 * clauses: [V-SB-3]
 * kernels: ["6.1", "6.12"]
 * cpus: 3
 * variant: fault-without-recheck
 * threads:
 *   A: {cpu: 1, does: reads a purged page}
 *   B: {cpu: 2, does: mprotect of the page}
 * points:
 *   - A: handle_purged_entry()
 *     says: has read a purged entry, and does not hold the page table lock
 *   - B: ends
 *     says: never, as A has to go on first
 *   - A: ends
 *     says: the fault finds another entry and is retried, or it signals
 * outcome:
 *   hit: SIGBUS, though the page is there and good
 *   miss: the access finds what B has written
 */
#include "race.h"
#include "vr_pages.h"

static volatile char *page;
static char *scratch;
static struct vr_range range;
static volatile int found, written, seen_in_handler;

/*
 * A purged page, touched and purged on one CPU: what is touched here is on no list
 * elsewhere. The mm has a flush of TLBs pending after that, which B's MADV_DONTNEED
 * would have to wait for while A's CPU is held: any other zap gets it done before.
 */
static void prepare(void)
{
	REQUIRE_EQ(mprotect(range.p, VR_PAGE, PROT_READ | PROT_WRITE), 0);
	REQUIRE_EQ(vr_advise(range.p, vr_len(&range), MADV_DONTNEED), 0);
	vr_fill_page(&range, 0);
	REQUIRE_EQ(vr_mark(range.p, vr_len(&range)), 0);
	REQUIRE_EQ(vr_advise(range.p, vr_len(&range), MADV_PAGEOUT), 0);
	REQUIRE_EQ(vr_count_pagemap(&range, VR_PM_PRESENT), 0);
	*scratch = 1;
	REQUIRE_EQ(vr_advise(scratch, VR_PAGE, MADV_DONTNEED), 0);
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
	REQUIRE_EQ(mprotect(range.p, VR_PAGE, PROT_READ), 0);
	written = 1;
}

static bool struck(void)
{
	if (found != -1)
		race_say("read %#x", found);
	return found == -1 && seen_in_handler;
}

RACE_MAIN(.setup = setup, .prepare = prepare, .struck = struck,
	  .threads = { { .name = "A", .run = read_it },
		       { .name = "B", .run = replace_it } })
