// SPDX-License-Identifier: GPL-2.0-only
/*
 * name: merge-use-after-free
 * about: >-
 *   MADV_NONVOLATILE of the middle of a mapping joins the three pieces, and two of
 *   the three VMAs are freed by that. Each merge can free any of them, so all are
 *   looked up anew after it. The variant goes on with a pointer from before. Since
 *   6.4 a VMA is not freed before a grace period is over; there it is used by the
 *   next call.
 * project: volatile
 * clauses: [V-MK-2]
 * config: kasan
 * controlled: false
 * cpus: 2
 * variant: vma-used-after-merge
 * threads:
 *   A: {cpu: 1, does: unmarks the middle of a mapping and marks it again}
 * outcome:
 *   hit: KASAN reports the use of a VMA after it was freed
 *   miss: nothing is reported
 *   splat: "KASAN: .*use-after-free"
 */
#include "race.h"
#include "vr_vmas.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>

#define PIECE	4		/* pages */

static char *whole, *middle;

static void prepare(void)
{
	whole = vr_anon(3 * PIECE);
	middle = whole + PIECE * VR_PAGE;
	memset(whole, 1, 3 * PIECE * VR_PAGE);
	REQUIRE_EQ(vr_mark(middle, PIECE * VR_PAGE), 0);
	REQUIRE_EQ(vr_count_vmas(whole, 3 * PIECE * VR_PAGE), 3);
}

/*
 * membarrier() waits for a callback of RCU on this CPU. The callbacks of a CPU run in
 * the order in which they were queued, so what this thread has left to RCU is freed by
 * then. The second one is for what the first one's callbacks may have queued.
 */
static void let_it_be_freed(void)
{
	REQUIRE_EQ(syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0), 0);
	REQUIRE_EQ(syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0), 0);
}

static void unmark_and_mark(void)
{
	REQUIRE_EQ(vr_unmark(middle, PIECE * VR_PAGE), 0);
	let_it_be_freed();
	REQUIRE_EQ(vr_mark(middle, PIECE * VR_PAGE), 0);
}

/* What the kernel has touched on the way is for KASAN to say. */
static bool struck(void)
{
	race_say("%d VMAs", vr_count_vmas(whole, 3 * PIECE * VR_PAGE));
	return false;
}

RACE_MAIN(.prepare = prepare, .struck = struck,
	  .threads = { { .name = "A", .run = unmark_and_mark } })
