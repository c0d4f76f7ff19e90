/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ranges whose every word is known, what a process gives up of them, and reclaim.
 */
#ifndef LF_H
#define LF_H

#include "vt_lru.h"

#define LF_PAGE		4096UL
#define LF_WORDS	(LF_PAGE / sizeof(uint64_t))
#define LF_PRESENT	(1ULL << 63)	/* of an entry in pagemap */
#define LF_SWAP		(1ULL << 62)
#define LF_PFN		((1ULL << 55) - 1)

struct lf_range {
	char *p;
	size_t pages;
};

static inline size_t lf_len(const struct lf_range *r)
{
	return r->pages * LF_PAGE;
}

static inline volatile uint64_t *lf_page(const struct lf_range *r, size_t i)
{
	return (uint64_t *)(r->p + i * LF_PAGE);
}

static inline uint64_t lf_word(size_t i, size_t w)
{
	return ((i << 16 | w) + 1) * 0x9e3779b97f4a7c15ULL;
}

/* Write every word of @pages at @p. */
static inline struct lf_range lf_fill(char *p, size_t pages)
{
	struct lf_range r = { p, pages };
	size_t i, w;

	for (i = 0; i < pages; i++)
		for (w = 0; w < LF_WORDS; w++)
			lf_page(&r, i)[w] = lf_word(i, w);
	return r;
}

static inline char *lf_map(size_t pages)
{
	char *p = mmap(NULL, pages * LF_PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	REQUIRE(p != MAP_FAILED);
	/* Huge pages are no part of this but where a case says so. */
	REQUIRE(!madvise(p, pages * LF_PAGE, MADV_NOHUGEPAGE) ||
		errno == EINVAL);
	return p;
}

static inline struct lf_range lf_filled(size_t pages)
{
	return lf_fill(lf_map(pages), pages);
}

/* How many pages are all @old or, else, all zero. Reading them brings them back. */
static inline size_t lf_count(const struct lf_range *r, bool old)
{
	size_t i, w, pages = 0;

	for (i = 0; i < r->pages; i++) {
		for (w = 0; w < LF_WORDS; w++)
			if (lf_page(r, i)[w] != (old ? lf_word(i, w) : 0))
				break;
		pages += w == LF_WORDS;
	}
	return pages;
}

#define EXPECT_KEPT(r)	EXPECT_EQ(lf_count(r, true), (r)->pages)
#define EXPECT_GONE(r)	EXPECT_EQ(lf_count(r, false), (r)->pages)

static inline void lf_read_all(const struct lf_range *r)
{
	size_t i;

	for (i = 0; i < r->pages; i++)
		(void)*lf_page(r, i);
}

/* The entries of @r in pagemap, into @entry. */
static inline void lf_pagemap(const struct lf_range *r, uint64_t *entry)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	ssize_t want = r->pages * sizeof(*entry);

	REQUIRE(fd >= 0);
	REQUIRE_EQ(pread(fd, entry, want, (uintptr_t)r->p / LF_PAGE * 8), want);
	close(fd);
}

static inline size_t lf_count_entries(const struct lf_range *r, uint64_t bit)
{
	uint64_t entry[512];
	size_t i, n = 0;

	REQUIRE(r->pages <= 512);
	lf_pagemap(r, entry);
	for (i = 0; i < r->pages; i++)
		n += !!(entry[i] & bit);
	return n;
}

static inline void lf_give_up(void *range)
{
	struct lf_range *r = range;

	REQUIRE_EQ(madvise(r->p, lf_len(r), MADV_FREE), 0);
}

/*
 * Reclaim what this process alone maps: lazyfree pages go, others are swapped if
 * they can be. MADV_FREE gathers pages in a batch of the CPU that it ran on.
 */
static inline void lf_reclaim(const struct lf_range *r)
{
	vt_drain_batches();
	REQUIRE_EQ(madvise(r->p, lf_len(r), MADV_PAGEOUT), 0);
}

/* Have all of @r in swap, and written; then read it back, without a write. */
static inline void lf_read_back(const struct lf_range *r)
{
	lf_reclaim(r);
	REQUIRE_EQ(lf_count_entries(r, LF_SWAP), r->pages);
	vt_wait_written();
	lf_read_all(r);
	REQUIRE_EQ(lf_count_entries(r, LF_PRESENT), r->pages);
}

#endif
