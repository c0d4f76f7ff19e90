// SPDX-License-Identifier: GPL-2.0-only
/*
 * A limit of cgroup v1, in a guest that boots with v2: the controller is taken
 * from the one and mounted as the other for the time of the case.
 */
#include "vr_pages.h"

#include <sys/mount.h>

#define MB	(1 << 20)
#define V2	"/sys/fs/cgroup/"
#define V1	"/tmp/vr-v1"
#define GROUP	V1 "/vr"
#define PAGES	2048

/* How many groups the controller has, those included that are about to go. */
static int groups(void)
{
	int hierarchy, n = 0;
	char text[4096];
	char *line;

	vt_read("/proc/cgroups", text, sizeof(text));
	line = strstr(text, "\nmemory");
	if (line)
		sscanf(line, " memory %d %d", &hierarchy, &n);
	return n;
}

/* The controller is v2's again when the last group of v1 is gone. */
static void undo_v1(const char *arg)
{
	int ret;

	(void)arg;
	/* A hierarchy with a group that is not quite gone would stay for good. */
	vt_try_write(GROUP "/memory.force_empty", "0");
	rmdir(GROUP);
	vt_try_write("/proc/sys/vm/drop_caches", "3");
	while (groups() > 1)
		sched_yield();
	umount(V1);
	rmdir(V1);
	/* Until then v2 does not know it. */
	while ((ret = vt_try_write(V2 "cgroup.subtree_control", "+memory")) ==
	       -ENOENT)
		sched_yield();
	if (ret)
		vt_check(false, "+memory: %s", strerror(-ret));
}

static void mount_v1(void)
{
	if (vt_try_write(V2 "cgroup.subtree_control", "-memory"))
		vt_skip("the guest does not have cgroup v2 to take it from");
	vt_cleanup(undo_v1, "");
	/* Groups of earlier cases stay for as long as a page is charged to them. */
	vt_write("/proc/sys/vm/drop_caches", "3");
	REQUIRE_EQ(mkdir(V1, 0755), 0);
	while (mount("v1", V1, "cgroup", 0, "memory")) {
		if (errno == EINVAL || errno == ENOENT)
			vt_skip("no memory controller of cgroup v1 in this kernel");
		REQUIRE_EQ(errno, EBUSY);
		sched_yield();
	}
	REQUIRE_EQ(mkdir(GROUP, 0755), 0);
}

static void grow_to_the_limit(const char *mglru)
{
	struct vr_range r, new;
	long long purged;
	char text[32];

	if (!access("/sys/kernel/mm/lru_gen/enabled", F_OK))
		vt_set("/sys/kernel/mm/lru_gen/enabled", mglru);
	else if (*mglru == 'y')
		vt_skip("no CONFIG_LRU_GEN in this kernel");
	mount_v1();
	vt_swap_disk();
	vt_pin(0);
	vt_write(GROUP "/cgroup.procs", "0");
	r = vr_filled(PAGES);
	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	snprintf(text, sizeof(text), "%lld",
		 vt_read_number(GROUP "/memory.usage_in_bytes") + MB);
	vt_write(GROUP "/memory.limit_in_bytes", text);
	purged = vr_purges();
	new = vr_filled(4 * MB / VR_PAGE);
	/* What is unmarked may be swapped: nothing may press on it then. */
	vt_write(GROUP "/memory.limit_in_bytes", "-1");
	EXPECT_EQ(vr_count_pagemap(&r, VR_PM_SWAP), 0);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 1);
	purged = vr_purges() - purged;
	vt_diag("%lld of %d volatile pages purged", purged, PAGES);
	EXPECT_GE(purged, 2 * MB / (long long)VR_PAGE);
	EXPECT_EQ(vr_count(&r).zero, purged);
	EXPECT_ALL_OLD(&new);
	vt_write(V1 "/cgroup.procs", "0");
}

static void purges_lru(void)
{
	grow_to_the_limit("n");
}

static void purges_mglru(void)
{
	grow_to_the_limit("y");
}

static const struct vt_case cases[] = {
	VT_CASE(purges_lru, "V-PG-2",
		"Growing to a limit of cgroup v1 purges; classic LRU.",
		.needs = "swapdisk"),
	VT_CASE(purges_mglru, "V-PG-2",
		"Growing to a limit of cgroup v1 purges; MGLRU.",
		.needs = "swapdisk"),
};

VT_MAIN(cases)
