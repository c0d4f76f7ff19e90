// SPDX-License-Identifier: GPL-2.0-only
/*
 * name: merge-use-after-free
 * about: >-
 *   MADV_NONVOLATILE of the middle of a mapping joins the three pieces, and two of
 *   the three VMAs are freed by that. Each merge can free any of them, so all are
 *   looked up anew after it. The variant goes on with a pointer from before. Since
 *   6.4 a VMA is not freed before a grace period is over. It is over before the
 *   page tables have been walked, as another thread often wants the CPU meanwhile.
 * project: volatile
 * clauses: [V-MK-2]
 * kernels: ["6.1"]
 * config: kasan
 * controlled: false
 * cpus: 2
 * variant: vma-used-after-merge
 * threads:
 *   A: {cpu: 1, does: marks the middle of a mapping and unmarks it}
 * outcome:
 *   hit: KASAN reports the use of a VMA after it was freed
 *   miss: nothing is reported
 *   splat: "KASAN: .*use-after-free"
 */
#include "race.h"
#include "vr_tables.h"

#define MIDDLE	(128 * VR_HUGE)
#define BREAK	0.06		/* seconds */

static char *middle;
static volatile bool unmarking;

/* Takes the CPU whenever the walk offers it, for longer than a grace period. */
static void *interrupt(void *arg)
{
	const struct sched_param first = { .sched_priority = 1 };
	double start;

	(void)arg;
	vt_pin(1);
	REQUIRE_EQ(sched_setscheduler(0, SCHED_FIFO, &first), 0);
	for (;;) {
		usleep(1000);
		for (start = race_now(); unmarking && race_now() - start < BREAK;)
			;
	}
	return NULL;
}

static void setup(void)
{
	pthread_t thread;

	REQUIRE_EQ(pthread_create(&thread, NULL, interrupt, NULL), 0);
}

static void prepare(void)
{
	middle = vr_map_tables(MIDDLE + 2 * VR_HUGE) + VR_HUGE;
	REQUIRE_EQ(vr_count_vmas(middle, MIDDLE), 1);
	REQUIRE_EQ(vr_mark(middle, MIDDLE), 0);
	REQUIRE_EQ(vr_count_vmas(middle - VR_HUGE, MIDDLE + 2 * VR_HUGE), 3);
}

static void unmark(void)
{
	unmarking = true;
	REQUIRE_EQ(vr_unmark(middle, MIDDLE), 0);
	unmarking = false;
}

/* Whatever the kernel has touched, the pieces are one. */
static bool struck(void)
{
	race_say("%d VMAs", vr_count_vmas(middle, MIDDLE));
	return false;
}

RACE_MAIN(.setup = setup, .prepare = prepare, .struck = struck,
	  .threads = { { .name = "A", .run = unmark } })
