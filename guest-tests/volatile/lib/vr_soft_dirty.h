/* SPDX-License-Identifier: GPL-2.0-only */
/* Soft-dirty bits: which pages have been written to since they were cleared. */
#ifndef VR_SOFT_DIRTY_H
#define VR_SOFT_DIRTY_H

#include "vr_pages.h"

#define VR_PM_SOFT_DIRTY	(1ULL << 55)

static inline void vr_clear_soft_dirty(void)
{
	vt_write("/proc/self/clear_refs", "4");
}

/* The same at the beginning of a case: @p, an address in what it is about, is clean then. */
static inline void vr_begin_soft_dirty(const void *p)
{
	vr_clear_soft_dirty();
	if (vr_pagemap(p) & VR_PM_SOFT_DIRTY)
		vt_skip("no CONFIG_MEM_SOFT_DIRTY in this kernel");
}

/* Runs of pages, so that neither one entry alone nor a whole large folio is alike. */
static inline bool vr_in_dirty_run(size_t page)
{
	return page % 6 < 3;
}

/* Write to three pages of six of a marked range, from the first on. */
static inline void vr_dirty_in_runs(struct vr_range *r)
{
	size_t i;

	vr_begin_soft_dirty(r->p);
	for (i = 0; i < r->pages; i++)
		if (vr_in_dirty_run(i))
			vr_fill_page(r, i);
}

static inline void vr_expect_dirty_runs(const struct vr_range *r)
{
	size_t i, right = 0;

	for (i = 0; i < r->pages; i++)
		right += !!(vr_pagemap(vr_page(r, i)) & VR_PM_SOFT_DIRTY) ==
			 vr_in_dirty_run(i);
	EXPECT_EQ(right, r->pages);
}

#endif
