/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Volatile ranges: the calls, memory to try them on, and what the kernel says
 * about a process's mappings.
 */
#ifndef VR_H
#define VR_H

#include "vt_sys.h"

#include <linux/mman.h>

/* Headers of a tree from before the series: the numbers of V-IF-1. */
#ifndef MADV_VOLATILE
#define MADV_VOLATILE		26
#define MADV_NONVOLATILE	27
#endif

#define VR_PAGE	4096UL

/* What madvise() says: 0, 1 or -errno. */
static inline int vr_advise(void *p, size_t len, int advice)
{
	int ret = madvise(p, len, advice);

	return ret == -1 ? -errno : ret;
}

static inline int vr_mark(void *p, size_t len)
{
	return vr_advise(p, len, MADV_VOLATILE);
}

static inline int vr_unmark(void *p, size_t len)
{
	return vr_advise(p, len, MADV_NONVOLATILE);
}

/*
 * @pages of fresh anonymous memory with unlike neighbours: nothing outside can
 * merge with it, so the number of VMAs within it is its own.
 */
static inline char *vr_map(size_t pages, int prot)
{
	int fence = prot == PROT_NONE ? PROT_READ : PROT_NONE;
	char *p = mmap(NULL, (pages + 2) * VR_PAGE, fence,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	REQUIRE(p != MAP_FAILED);
	REQUIRE_EQ(mprotect(p + VR_PAGE, pages * VR_PAGE, prot), 0);
	return p + VR_PAGE;
}

/* A PROT_READ|PROT_WRITE vr_map() of @pages. */
static inline char *vr_anon(size_t pages)
{
	return vr_map(pages, PROT_READ | PROT_WRITE);
}

#endif
