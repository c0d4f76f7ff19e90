/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest that is short of memory. What is too much is reserved as huge pages,
 * which is faster than writing to all of it.
 */
#ifndef VR_SCARCE_H
#define VR_SCARCE_H

#include "vr_pages.h"

#define VR_LEFT_MB	56
#define VR_HELD_PAGES	((24 << 20) / VR_PAGE)
#define VR_ENOUGH	2048
#define VR_STEP_PAGES	((1 << 20) / VR_PAGE)
/* What is free, and what lies on the lists of two CPUs, which is not counted. */
#define VR_GROWTH_PAGES	((120 << 20) / VR_PAGE)

/*
 * Leaves @left_mb of the guest's memory and fills @pages volatile pages of them;
 * with the one LRU or the other.
 */
static inline struct vr_range vr_scarce_without_swap(long long left_mb,
						     size_t pages, bool mglru)
{
	struct vr_range r;
	char huge[32];
	long long free;

	if (access("/proc/sys/vm/nr_hugepages", F_OK))
		vt_skip("no CONFIG_HUGETLBFS in this kernel");
	vt_mglru(mglru);
	vt_write("/proc/sys/vm/drop_caches", "1");
	free = vt_key("/proc/meminfo", "MemFree") / 1024;
	REQUIRE_GE(free, left_mb);
	snprintf(huge, sizeof(huge), "%lld", (free - left_mb) / 2);
	vt_set("/proc/sys/vm/nr_hugepages", huge);
	vt_pin(0);
	r = vr_filled(pages);
	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	/* Another's mappings of them would keep them from being purged. */
	REQUIRE_EQ(madvise(r.p, vr_len(&r), MADV_DONTFORK), 0);
	return r;
}

/* The same with a swap disk. */
static inline struct vr_range vr_scarce(long long left_mb, size_t pages,
					bool mglru)
{
	vt_swap_disk();
	return vr_scarce_without_swap(left_mb, pages, mglru);
}

/*
 * How many of the pages of @r, which is unmarked, have been purged since the counter was
 * @before. kswapd counts a batch when it is through with it, and may be at one now.
 */
static inline long long vr_all_counted(const struct vr_range *r, long long before)
{
	long long zero = vr_count(r).zero;

	while (vr_purges() - before < zero)
		sched_yield();
	EXPECT_EQ(vr_purges() - before, zero);
	return zero;
}

/* Grow until enough is purged; @arg: how much was before. */
static inline void vr_grow(void *arg)
{
	long long before = *(long long *)arg;
	struct vr_range r = { .p = vr_anon(VR_GROWTH_PAGES), .magic = 1 };

	while (r.pages < VR_GROWTH_PAGES && vr_purges() < before + VR_ENOUGH) {
		size_t end = r.pages + VR_STEP_PAGES;

		for (; r.pages < end; r.pages++)
			vr_fill_page(&r, r.pages);
	}
	vt_diag("grew by %zu pages", r.pages);
	EXPECT_ALL_OLD(&r);
}

#endif
