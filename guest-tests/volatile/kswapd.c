// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reclaim in the background: the guest has less left than it wants to have, but
 * enough that nobody has to reclaim for himself.
 */
#include "vr_scarce.h"

#define MB		(1 << 20)
/* Wanted free: 5 % of all memory to wake kswapd, 10 % to put it to sleep. */
#define SCALE		"500"
#define LEFT_MB		64
#define HELD_PAGES	(24 * MB / VR_PAGE)
/* What has not been purged of them by then will not be. */
#define STOLEN_PAGES	2048
/* The kernel's counters of free pages lag behind by less than this, in pages. */
#define LAG		512

/* The pages below which kswapd is woken: the low watermarks of all zones. */
static long long low_watermark(void)
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

/*
 * Take page after page until kswapd has something to do, and has done it: has
 * purged enough, or has taken so much else that it is not going to.
 *
 * How many pages that takes is not known beforehand: the per-CPU lists hold free
 * pages that MemFree does not count, on 6.12 up to 13 MB a CPU. So pages are taken
 * while more are free than kswapd minds, and never so many that others must reclaim.
 */
static void grow_until_purged(void *arg)
{
	long long stolen = vr_vmstat("pgsteal_kswapd");
	long long low = low_watermark();
	long long *purged = arg;
	size_t i = 0, j, max = 128 * MB / VR_PAGE;
	char *p = vr_anon(max);

	while (vr_purges() - *purged < 512 &&
	       vr_vmstat("pgsteal_kswapd") - stolen < STOLEN_PAGES) {
		if (vr_vmstat("nr_free_pages") < low - LAG) {
			sched_yield();
			continue;
		}
		REQUIRE_GE(max, i + 64);
		for (j = i + 64; i < j; i++)
			p[i * VR_PAGE] = 1;
	}
}

static void background_reclaim(bool mglru)
{
	struct vr_range r = vr_scarce(LEFT_MB, HELD_PAGES, mglru);
	struct vr_range control = vr_filled(64);
	long long purged, direct, kswapd;

	purged = vr_purges();
	direct = vr_vmstat("pgscan_direct");
	kswapd = vr_vmstat("pgsteal_kswapd");
	vt_set("/proc/sys/vm/watermark_scale_factor", SCALE);
	EXPECT_EQ(vt_run_child(grow_until_purged, &purged), 0);
	EXPECT_GE(vr_vmstat("pgsteal_kswapd") - kswapd, 512);
	EXPECT_EQ(vr_vmstat("pgscan_direct") - direct, 0);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 1);
	vt_diag("kswapd purged %lld of %lu volatile pages",
		vr_purges() - purged, HELD_PAGES);
	EXPECT_EQ(vr_count(&r).zero, vr_purges() - purged);
	EXPECT_ALL_OLD(&control);
}

static void purges_lru(void)
{
	background_reclaim(false);
}

static void purges_mglru(void)
{
	background_reclaim(true);
}

static const struct vt_case cases[] = {
	VT_CASE(purges_lru, "V-PG-2 V-PG-11",
		"kswapd purges before anybody has to wait for memory; classic LRU.",
		.timeout = 20),
	VT_CASE(purges_mglru, "V-PG-2 V-PG-11",
		"kswapd purges before anybody has to wait for memory; MGLRU.",
		.timeout = 20),
};

VT_MAIN(cases)
