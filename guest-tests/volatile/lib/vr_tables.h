/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Much address space with page tables but without memory: page table entries
 * that all map the zero page, for what depends on their number alone.
 */
#ifndef VR_TABLES_H
#define VR_TABLES_H

#include "vr_pages.h"

#define VR_HUGE	(2UL << 20)
#define VR_THP	"/sys/kernel/mm/transparent_hugepage/"

/*
 * @len bytes, a multiple of VR_HUGE, in which every page has an entry. Huge
 * zero pages are mapped and cut up by giving back one page of each, which is a
 * hundred times faster than a fault for each page.
 */
static inline char *vr_map_tables(size_t len)
{
	char *p = mmap(NULL, len + VR_HUGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t i;

	REQUIRE(p != MAP_FAILED);
	p += VR_HUGE - (uintptr_t)p % VR_HUGE;
	if (access(VR_THP, F_OK))
		vt_skip("no CONFIG_TRANSPARENT_HUGEPAGE to fill page tables by");
	/* In a guest below 512 MB they are off. */
	vt_set(VR_THP "enabled", "madvise");
	vt_set(VR_THP "use_zero_page", "1");
	REQUIRE_EQ(madvise(p, len, MADV_HUGEPAGE), 0);
	for (i = 0; i < len; i += VR_HUGE) {
		(void)*(volatile char *)(p + i);
		REQUIRE_EQ(madvise(p + i, VR_PAGE, MADV_DONTNEED), 0);
		(void)*(volatile char *)(p + i);
	}
	return p;
}

/* All of it is there: what is measured on it counts. */
static inline void vr_require_tables(char *p, size_t len)
{
	struct vr_range r = { .p = p, .pages = len / VR_PAGE };

	REQUIRE_EQ(vr_count_pagemap(&r, VR_PM_PRESENT), r.pages);
}

#endif
