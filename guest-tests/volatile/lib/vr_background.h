/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reclaim in the background: a guest has less left than it wants to have, but
 * enough that nobody has to reclaim for himself.
 */
#ifndef VR_BACKGROUND_H
#define VR_BACKGROUND_H

#include "vr_scarce.h"

#define VR_MB		(1 << 20)
/* Wanted free: 5 % of all memory to wake kswapd, 10 % to put it to sleep. */
#define VR_SCALE	"500"
/* The kernel's counters of pages lag behind by less than this. */
#define VR_LAG		512

/* Who grows: his pages, how many of them he has, and what he must look at. */
struct vr_growth {
	char *p;
	size_t pages, max;
	long long low;
	char kswapd[32];
};

/* The pages below which kswapd is woken: the low watermarks of all zones. */
static inline long long vr_low_watermark(void)
{
	FILE *zones = fopen("/proc/zoneinfo", "r");
	long long sum = 0, low;
	char line[256];

	VT_OR_ABANDON(vt_check(zones, "/proc/zoneinfo: %m"));
	while (fgets(line, sizeof(line), zones))
		if (sscanf(line, " low %lld", &low) == 1)
			sum += low;
	fclose(zones);
	return sum;
}

static inline struct vr_growth vr_growth(size_t max)
{
	struct vr_growth g = { vr_anon(max), 0, max, vr_low_watermark(), "" };
	char comm[64] = "";
	int pid;

	for (pid = 2; strncmp(comm, "kswapd0", 7); pid++) {
		REQUIRE_GE(1000, pid);
		snprintf(g.kswapd, sizeof(g.kswapd), "/proc/%d/comm", pid);
		if (!access(g.kswapd, R_OK))
			vt_read(g.kswapd, comm, sizeof(comm));
		snprintf(g.kswapd, sizeof(g.kswapd), "/proc/%d/stat", pid);
	}
	return g;
}

/* Does kswapd wait for somebody who wakes it? */
static inline bool vr_kswapd_sleeps(const struct vr_growth *g)
{
	char stat[256];

	vt_read(g->kswapd, stat, sizeof(stat));
	return strstr(stat, ") S ");
}

/*
 * Take page after page until kswapd has something to do, and has done it: has
 * purged @enough, or has taken @too_much of all kinds, so that it is not going to.
 *
 * How many pages that takes is not known beforehand: the per-CPU lists hold free
 * pages that MemFree does not count, on 6.12 up to 13 MB a CPU. So pages are taken
 * while more are free than kswapd minds, and never so many that others must reclaim.
 * The last page that is taken may have thousands moved to such a list, after it was
 * found that enough are free: then only one more wakes kswapd.
 */
static inline void vr_grow_until_purged(struct vr_growth *g, long long enough,
					long long too_much)
{
	long long stolen = vr_vmstat("pgsteal_kswapd");
	long long purged = vr_purges();
	size_t end;

	while (vr_purges() - purged < enough &&
	       vr_vmstat("pgsteal_kswapd") - stolen < too_much) {
		if (vr_vmstat("nr_free_pages") < g->low - VR_LAG) {
			sched_yield();
			end = g->pages + vr_kswapd_sleeps(g);
		} else {
			end = g->pages + 64;
		}
		REQUIRE_GE(g->max, end);
		for (; g->pages < end; g->pages++)
			g->p[g->pages * VR_PAGE] = 1;
	}
}

#endif
