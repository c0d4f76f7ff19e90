// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the counters say of a purge, and what the rest of the kernel makes of it:
 * memory that was purged is memory that was found.
 */
#include "vr_group.h"

#define PAGES	2048

/* The resident size in kB, by the counter that is kept in batches. */
static long long vm_rss(void)
{
	return vt_key("/proc/self/status", "VmRSS");
}

/*
 * Each CPU may hold back a batch of 64 pages, and each counter of a process as
 * many events.
 */
static void resident_size(void)
{
	const long long batch = 4 * 64 * sysconf(_SC_NPROCESSORS_CONF);
	long long rss, high;
	struct vr_range r;

	vt_pin(0);
	r = vr_filled(PAGES);
	high = vt_key("/proc/self/status", "VmHWM");
	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	rss = vm_rss();
	EXPECT_EQ(vr_pageout(r.p, vr_len(&r)), 0);
	rss -= vm_rss();
	vt_diag("VmRSS went down by %lld kB of %d", rss, PAGES * 4);
	EXPECT_GE(rss, PAGES * 4 - batch);
	EXPECT_LE(rss, PAGES * 4 + batch);
	/* What was there is remembered. */
	EXPECT_GE(vt_key("/proc/self/status", "VmHWM"), high - batch);
	/* Unmarking and touching again counts each page once more, not twice. */
	REQUIRE_EQ(vr_unmark(r.p, vr_len(&r)), 1);
	rss = vm_rss();
	r = vr_fill(r.p, PAGES);
	rss = vm_rss() - rss;
	EXPECT_GE(rss, PAGES * 4 - batch);
	EXPECT_LE(rss, PAGES * 4 + batch);
	EXPECT_LE(vt_key("/proc/self/status", "VmHWM") - high, batch);
	/* At exit the kernel would complain of a wrong counter. */
}

static void stat_of(const char *group, const char *key, long long *value)
{
	*value = vt_key(vt_cgroup_path(group, "memory.stat"), key);
}

/* The group's own count, and what it says to have reclaimed. */
static void counted_as_reclaimed(void)
{
	const char *group = vr_group(false);
	struct vr_range r = vr_filled(PAGES);
	long long purged, stolen, own, before;

	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	before = vr_purges();
	stat_of(group, "pgsteal", &stolen);
	EXPECT_EQ(vt_cgroup_try_write(group, "memory.reclaim",
				      PAGES / 2 * VR_PAGE), 0);
	purged = vr_purges() - before;
	stat_of(group, "pgsteal", &own);
	EXPECT_GE(purged, PAGES / 4);
	EXPECT_GE(own - stolen, purged);
	stat_of(group, "pgvolpurged", &own);
	EXPECT_EQ(own, purged);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 1);
	EXPECT_EQ(vr_count(&r).zero, purged);
}

/*
 * A group at its limit takes its volatile pages, one allocation after the other,
 * and nobody is killed.
 */
static void grow(void *arg)
{
	struct vr_range new = vr_filled(PAGES / 2);

	(void)arg;
	EXPECT_ALL_OLD(&new);
}

static void no_kill_while_there_is_some(void)
{
	const char *group = vr_group(false);
	struct vr_range r = vr_filled(PAGES);
	long long before = vr_purges();

	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	REQUIRE_EQ(madvise(r.p, vr_len(&r), MADV_DONTFORK), 0);
	vt_cgroup_write(group, "memory.max",
			vt_read_number(vt_cgroup_path(group, "memory.current")) +
			64 * (long long)VR_PAGE);
	EXPECT_EQ(vt_run_child(grow, NULL), 0);
	EXPECT_EQ(vt_key(vt_cgroup_path(group, "memory.events"), "oom_kill"),
		  0);
	EXPECT_GE(vt_key(vt_cgroup_path(group, "memory.events"), "max"), 1);
	EXPECT_GE(vr_purges() - before, PAGES / 4);
	vt_write(vt_cgroup_path(group, "memory.max"), "max");
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 1);
}

static const struct vt_case cases[] = {
	VT_CASE(resident_size, "V-PG-11",
		"VmRSS goes down by what was purged, and up by what is touched again."),
	VT_CASE(counted_as_reclaimed, "V-PG-11",
		"Purged pages count as reclaimed, and once in memory.stat."),
	VT_CASE(no_kill_while_there_is_some, "V-PG-11",
		"A group at its limit takes volatile pages, and kills nobody."),
};

VT_MAIN(cases)
