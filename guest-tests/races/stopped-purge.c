// SPDX-License-Identifier: GPL-2.0-only
/*
 * name: stopped-purge
 * about: >-
 *   A large folio is volatile, and half of it is shared with a relative: the entries of
 *   that half are not writable. Reclaim has counted its references, then vmsplice() takes
 *   one, and the purge puts back the entries that it has cleared. It puts them back as one
 *   batch, so only what may be written to alike may be one. In the variant the first entry
 *   speaks for all: what the program writes then shows in the relative.
 * project: volatile
 * clauses: [V-PG-5, V-PG-8]
 * kernels: ["7.3"]
 * cpus: 3
 * variant: batches-ignore-write
 * threads:
 *   A: {cpu: 1, does: reclaims the folio from another process}
 *   B: {cpu: 2, does: vmsplice of its first page into a pipe}
 * points:
 *   - A: purge_one()
 *     within: folio_purge
 *     args: {3: vr_race_page}
 *     says: has found the folio volatile, and no reference to it
 *   - B: ends
 *     says: the pipe holds a page of it
 * outcome:
 *   hit: a page is lost, or a write to a shared page shows in the relative
 *   miss: every page is there, and the relative's are its own
 */
#include "race.h"
#include "vr_race.h"

#include <sys/uio.h>

#define PAGES	16
#define SIZE	(PAGES * VR_PAGE)
#define KNOB	"/sys/kernel/mm/transparent_hugepage/hugepages-64kB/enabled"

static struct vr_range folio;
static struct vt_gate ask;
static pid_t relative;
static int pipes[2];
static volatile ssize_t spliced;

static void setup(void)
{
	vt_set(KNOB, "always");
	vr_race_setup();
	ask = vt_gate();
	REQUIRE_EQ(pipe(pipes), 0);
}

static void share(void *arg)
{
	(void)arg;
	vt_gate_wait(&ask);
	if (vr_state(&folio, PAGES - 1) != VR_OLD)
		_exit(2);
}

/* As vr_race_fill() does it, with 16 pages at one touch. */
static void fill(void)
{
	folio.p = vr_race_touch(PAGES);
	folio.pages = PAGES;
	REQUIRE_EQ(vr_count_pagemap(&folio, VR_PM_PRESENT), PAGES);
	folio = vr_fill(folio.p, PAGES);
	REQUIRE_EQ(madvise(folio.p, VR_PAGE, MADV_WILLNEED), 0);
}

/* The relative has the second half only. For us it is one mapping all the time but then. */
static void prepare(void)
{
	fill();
	REQUIRE_EQ(vr_mark(folio.p, SIZE), 0);
	REQUIRE_EQ(madvise(folio.p, SIZE / 2, MADV_DONTFORK), 0);
	relative = vt_fork(share, NULL);
	REQUIRE_EQ(madvise(folio.p, SIZE / 2, MADV_DOFORK), 0);
	REQUIRE_EQ(vr_count_vmas(folio.p, SIZE), 1);
}

static void pin(void)
{
	struct iovec iov = { vr_race_page, VR_PAGE };

	/* EFAULT: it was purged before. */
	spliced = vmsplice(pipes[1], &iov, 1, 0);
}

static bool struck(void)
{
	static char held[VR_PAGE];
	int lost = vr_unmark(folio.p, SIZE), shown;
	size_t old = vr_count(&folio).old;

	REQUIRE_GE(lost, 0);
	if (spliced == VR_PAGE)
		REQUIRE_EQ(read(pipes[0], held, VR_PAGE), VR_PAGE);
	memset(vr_page(&folio, PAGES - 1), 1, VR_PAGE);
	vt_gate_open(&ask);
	shown = vt_wait(relative);
	race_say("MADV_NONVOLATILE said %d, %zu pages are there, the write %s", lost, old,
		 shown ? "shows in the relative" : "does not show");
	if (spliced != VR_PAGE) {
		race_say("the folio was purged before");
		return false;
	}
	return lost || old < PAGES || shown;
}

RACE_MAIN(.setup = setup, .prepare = prepare, .struck = struck,
	  .threads = { { .name = "A", .run = vr_race_reclaim, .process = true },
		       { .name = "B", .run = pin } })
