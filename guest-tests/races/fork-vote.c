// SPDX-License-Identifier: GPL-2.0-only
/*
 * name: fork-vote
 * about: >-
 *   A page is shared by two processes, for one of which it is volatile. That one is
 *   in the middle of a fork(): the VMA of the child is there already, volatile like
 *   that of the parent, its page table entry is not. Reclaim must not take the page
 *   from any of them: only entries that really map a page have a vote, and one that
 *   is not volatile decides. The variant counts the VMAs that cover the place, as
 *   in 2014, and finds two votes for two mappings.
 * project: volatile
 * clauses: [V-PG-4]
 * cpus: 3
 * variant: covering-is-a-vote
 * threads:
 *   A: {cpu: 1, does: reclaims the page from another process}
 *   B: {cpu: 2, does: "fork, with a relative that shares the page and does not call it volatile"}
 * points:
 *   - B: copy_page_range()
 *     says: has linked the VMA of the new child, and copied no page table entry
 *   - A: folio_purge() returns
 *     says: has asked the mappings, and purged the page or not
 *   - B: ends
 *     says: the child has what was there to be copied
 * outcome:
 *   hit: the page is purged for the one, though the other needs it
 *   miss: both still have it
 */
#include "race.h"
#include "vr_race.h"

/* The relative shares the page since before it was marked. */
static struct vt_gate ask;
static pid_t relative;

static void setup(void)
{
	vr_race_setup();
	ask = vt_gate();
}

static void share(void *arg)
{
	(void)arg;
	vt_gate_wait(&ask);
	/* If it is gone this is a SIGBUS, where nothing was ever volatile. */
	if (vr_state(&vr_race_range, 0) != VR_OLD)
		_exit(2);
}

static void prepare(void)
{
	vr_race_fill();
	relative = vt_fork(share, NULL);
	vr_race_mark();
}

static void fork_once(void)
{
	pid_t child = fork();

	REQUIRE(child >= 0);
	if (!child)
		_exit(0);
	REQUIRE_EQ(vt_wait(child), 0);
}

static bool struck(void)
{
	int lost = vr_race_unmark(), status;

	vt_gate_open(&ask);
	status = vt_wait(relative);
	race_say("MADV_NONVOLATILE said %d, the relative's page is %s", lost,
		 status ? "gone" : "there");
	return lost || status;
}

RACE_MAIN(.setup = setup, .prepare = prepare, .struck = struck,
	  .threads = { { .name = "A", .run = vr_race_reclaim, .process = true },
		       { .name = "B", .run = fork_once } })
