/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Contents: pages that know what they are, and what became of them.
 *
 * Every page starts with a tag of 16 bytes, a random number and its index, by
 * which the host finds it in the image of the swap disk; the rest of the page
 * follows from the tag, so that a page which is half old and half zero shows.
 */
#ifndef VR_PAGES_H
#define VR_PAGES_H

#include "vr_vmas.h"
#include "vt_lru.h"

#include <sys/random.h>

#define VR_WORDS	(VR_PAGE / sizeof(uint64_t))

/* A range of filled pages. */
struct vr_range {
	char *p;
	size_t pages;
	uint64_t magic;
};

static inline size_t vr_len(const struct vr_range *r)
{
	return r->pages * VR_PAGE;
}

static inline char *vr_page(const struct vr_range *r, size_t i)
{
	return r->p + i * VR_PAGE;
}

/* A loop over every word of memory: most of what such a case does. */
#define VR_HOT	__attribute__((optimize("O2")))

/* The word that belongs at place @w of page @i. */
static inline VR_HOT uint64_t vr_word(uint64_t magic, size_t i, size_t w)
{
	if (w == 0)
		return magic;
	if (w == 1)
		return i;
	return (magic ^ (i << 16) ^ w) * 0x9e3779b97f4a7c15ULL;
}

static inline VR_HOT void vr_fill_page(const struct vr_range *r, size_t i)
{
	volatile uint64_t *word = (uint64_t *)vr_page(r, i);
	size_t w;

	for (w = 0; w < VR_WORDS; w++)
		word[w] = vr_word(r->magic, i, w);
}

static inline struct vr_range vr_fill(char *p, size_t pages)
{
	struct vr_range r = { .p = p, .pages = pages };
	size_t i;

	REQUIRE_EQ(getrandom(&r.magic, sizeof(r.magic), 0), sizeof(r.magic));
	for (i = 0; i < pages; i++)
		vr_fill_page(&r, i);
	return r;
}

static inline struct vr_range vr_filled(size_t pages)
{
	return vr_fill(vr_anon(pages), pages);
}

enum vr_state { VR_OLD, VR_ZERO, VR_TORN };

/* Read the whole page; it must not be a purged one. */
static inline VR_HOT enum vr_state vr_state(const struct vr_range *r, size_t i)
{
	const volatile uint64_t *word = (uint64_t *)vr_page(r, i);
	size_t w, old = 0, zero = 0;

	for (w = 0; w < VR_WORDS; w++) {
		uint64_t is = word[w], was = vr_word(r->magic, i, w);

		old += is == was;
		zero += is == 0;
	}

	if (old == VR_WORDS)
		return VR_OLD;
	return zero == VR_WORDS ? VR_ZERO : VR_TORN;
}

/* How the pages of a range divide up. No page may be torn. */
struct vr_count {
	size_t old, zero;
};

static inline struct vr_count vr_count_pages(const struct vr_range *r,
					     size_t from, size_t to)
{
	struct vr_count n = { 0 };
	size_t i, torn = 0;

	for (i = from; i < to; i++) {
		enum vr_state state = vr_state(r, i);

		n.old += state == VR_OLD;
		n.zero += state == VR_ZERO;
		torn += state == VR_TORN;
	}
	EXPECT_EQ(torn, 0);
	return n;
}

static inline struct vr_count vr_count(const struct vr_range *r)
{
	return vr_count_pages(r, 0, r->pages);
}

#define EXPECT_ALL_OLD(r)	EXPECT_EQ(vr_count(r).old, (r)->pages)
#define EXPECT_ALL_ZERO(r)	EXPECT_EQ(vr_count(r).zero, (r)->pages)

static inline int vr_pageout(void *p, size_t len)
{
	return vr_advise(p, len, MADV_PAGEOUT);
}

static inline long long vr_vmstat(const char *key)
{
	return vt_key("/proc/vmstat", key);
}

/* Base pages purged since boot; 0 on a kernel that does not count them. */
static inline long long vr_purges(void)
{
	long long n = vt_try_key("/proc/vmstat", "pgvolpurged");

	return n < 0 ? 0 : n;
}

#define VR_PM_PRESENT	(1ULL << 63)
#define VR_PM_SWAP	(1ULL << 62)

/*
 * pagemap says of a page that is being moved, as compaction may at any time, that it is
 * in swap: up to 237 of 6144 were seen so at once. It is there, and who touches it waits.
 * The types of its entries are among the last of 32, those of swap disks are the first.
 * 31 is left out: on 7.3 it is that of markers, as of a guard, which have no page.
 * Without CAP_SYS_ADMIN every type reads as 0.
 */
static inline uint64_t vr_settled(uint64_t entry)
{
	unsigned int type = entry & 31;

	if ((entry & VR_PM_SWAP) && type >= 16 && type < 31)
		entry ^= VR_PM_SWAP | VR_PM_PRESENT;
	return entry;
}

static inline uint64_t vr_pagemap(const void *p)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry;

	REQUIRE(fd >= 0);
	REQUIRE_EQ(pread(fd, &entry, 8, (uintptr_t)p / VR_PAGE * 8), 8);
	close(fd);
	return vr_settled(entry);
}

/* How many pages of @r have any of @bits in their pagemap entry. */
static inline size_t vr_count_pagemap(const struct vr_range *r, uint64_t bits)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry[512];
	size_t i, j, n, found = 0;

	REQUIRE(fd >= 0);
	for (i = 0; i < r->pages; i += n) {
		n = r->pages - i < 512 ? r->pages - i : 512;
		REQUIRE_EQ(pread(fd, entry, n * 8,
				 ((uintptr_t)r->p / VR_PAGE + i) * 8), n * 8);
		for (j = 0; j < n; j++)
			found += !!(vr_settled(entry[j]) & bits);
	}
	close(fd);
	return found;
}

/*
 * Fill @pages, mark them and have reclaim take them: all are purged. Reclaim
 * takes only what is on the LRU, so touch and call share a CPU.
 */
static inline struct vr_range vr_purged(size_t pages)
{
	struct vr_range r;

	vt_pin(0);
	r = vr_filled(pages);
	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	REQUIRE_EQ(vr_pageout(r.p, vr_len(&r)), 0);
	REQUIRE_EQ(vr_count_pagemap(&r, VR_PM_PRESENT), 0);
	return r;
}

/*
 * Fill the one page of @r anew and have it purged, on the CPU of the caller: what is
 * touched here is on no list elsewhere. The mm has a flush of TLBs pending after that,
 * for which another's MADV_DONTNEED would wait while a CPU is held: a zap of @scratch,
 * which is another page, gets it done before.
 */
static inline void vr_purge_anew(struct vr_range *r, char *scratch)
{
	REQUIRE_EQ(vr_advise(r->p, vr_len(r), MADV_DONTNEED), 0);
	vr_fill_page(r, 0);
	REQUIRE_EQ(vr_mark(r->p, vr_len(r)), 0);
	REQUIRE_EQ(vr_advise(r->p, vr_len(r), MADV_PAGEOUT), 0);
	REQUIRE_EQ(vr_count_pagemap(r, VR_PM_PRESENT), 0);
	*scratch = 1;
	REQUIRE_EQ(vr_advise(scratch, VR_PAGE, MADV_DONTNEED), 0);
}

#endif
