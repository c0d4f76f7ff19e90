/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stress: how much of everything a run must have met, and so when it ends.
 *
 * What it meets in a cycle varies with the seed by two orders of magnitude: with
 * huge pages most of all, where two ranges that happen to be unmarked when reclaim
 * comes are 1024 pages swapped and none purged. So a run goes on past its cycles
 * until each floor is reached, and is inconclusive if VS_PATIENCE times as many
 * were not enough.
 */
#ifndef VS_FLOORS_H
#define VS_FLOORS_H

#include "vs_plot.h"

#include <stddef.h>

#define VS_PATIENCE	10

/* At least so many in a thousand cycles: a fifth of what most runs have, or less. */
static const struct vs_floor {
	const char *name;
	size_t at;			/* in struct vs_counts */
	int per_mille;
	bool small;			/* cannot be met with huge pages */
} vs_floors[] = {
#define VS_FLOOR(what, n)	.name = #what, .at = offsetof(struct vs_counts, what), \
				.per_mille = n
	{ VS_FLOOR(intact, 25) },
	{ VS_FLOOR(lost, 30) },
	{ VS_FLOOR(sigbus, 200) },
	{ VS_FLOOR(splits, 5) },
	{ VS_FLOOR(merges, 5) },
	{ VS_FLOOR(judged, 500) },
	{ VS_FLOOR(forks, 8) },
	{ VS_FLOOR(locks, 8) },
	{ VS_FLOOR(moves, 15) },
	{ VS_FLOOR(given, 15) },
	{ VS_FLOOR(pins, 8) },
	{ VS_FLOOR(wild, 20) },
	{ VS_FLOOR(reclaims, 8) },
	{ VS_FLOOR(kept, 20), .small = true },
};

#define VS_FLOORS	(sizeof(vs_floors) / sizeof(vs_floors[0]))
#define VS_PURGES	80		/* in a thousand cycles, of the whole system */
#define VS_SWAPPED	300

static inline long vs_least(int per_mille)
{
	long least = vs.cycles * per_mille / 1000;

	return least ? least : 1;
}

static inline long vs_met(const struct vs_floor *floor)
{
	return __atomic_load_n((long *)((char *)vs.count + floor->at),
			       __ATOMIC_RELAXED);
}

static inline bool vs_applies(const struct vs_floor *floor)
{
	return !(vs.huge && floor->small);
}

static bool vs_may_end(long n)
{
	size_t i;

	if (n >= VS_PATIENCE * vs.cycles)
		return true;
	for (i = 0; i < VS_FLOORS; i++)
		if (vs_applies(&vs_floors[i]) &&
		    vs_met(&vs_floors[i]) < vs_least(vs_floors[i].per_mille))
			return false;
	return vr_purges() - vs.purges >= vs_least(VS_PURGES) &&
	       vr_vmstat("pswpout") - vs.swapped >= vs_least(VS_SWAPPED);
}

static inline void vs_check_floor(const char *name, long count, int per_mille)
{
	vt_diag("@count %s %ld", name, count);
	vt_check(count >= vs_least(per_mille),
		 "%s:%d: inconclusive: %ld %s in %ld cycles, the floor is %ld",
		 __FILE__, __LINE__, count, name, vs.count->cycles,
		 vs_least(per_mille));
}

static inline void vs_check_floors(void)
{
	size_t i;

	vt_diag("@count cycles %ld", vs.count->cycles);
	vs_check_floor("purges", vr_purges() - vs.purges, VS_PURGES);
	vs_check_floor("swapped", vr_vmstat("pswpout") - vs.swapped, VS_SWAPPED);
	for (i = 0; i < VS_FLOORS; i++)
		if (vs_applies(&vs_floors[i]))
			vs_check_floor(vs_floors[i].name, vs_met(&vs_floors[i]),
				       vs_floors[i].per_mille);
}

#endif
