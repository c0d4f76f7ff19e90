/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest that is short of memory. What is too much is reserved as huge pages,
 * which is faster than writing to all of it.
 */
#ifndef VR_SCARCE_H
#define VR_SCARCE_H

#include "vr_pages.h"

/*
 * Leaves @left_mb of the guest's memory and fills @pages volatile pages of them.
 * Sets classic LRU or MGLRU by @mglru (n, y), and a swap disk.
 */
static inline struct vr_range vr_scarce(long long left_mb, size_t pages,
					const char *mglru)
{
	struct vr_range r;
	char huge[32];
	long long free;

	if (access("/proc/sys/vm/nr_hugepages", F_OK))
		vt_skip("no CONFIG_HUGETLBFS in this kernel");
	if (!access("/sys/kernel/mm/lru_gen/enabled", F_OK))
		vt_set("/sys/kernel/mm/lru_gen/enabled", mglru);
	else if (*mglru == 'y')
		vt_skip("no CONFIG_LRU_GEN in this kernel");
	vt_swap_disk();
	vt_write("/proc/sys/vm/drop_caches", "1");
	free = vt_key("/proc/meminfo", "MemFree") / 1024;
	VT_OR_ABANDON(EXPECT_GE(free, left_mb));
	snprintf(huge, sizeof(huge), "%lld", (free - left_mb) / 2);
	vt_set("/proc/sys/vm/nr_hugepages", huge);
	vt_pin(0);
	r = vr_filled(pages);
	VT_OR_ABANDON(EXPECT_EQ(vr_mark(r.p, vr_len(&r)), 0));
	/* Another's mappings of them would keep them from being purged. */
	VT_OR_ABANDON(EXPECT_EQ(madvise(r.p, vr_len(&r), MADV_DONTFORK), 0));
	return r;
}

#endif
