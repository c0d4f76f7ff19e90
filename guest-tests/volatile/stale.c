// SPDX-License-Identifier: GPL-2.0-only
/*
 * No access through a stale translation. Reclaim takes pages out of the page
 * table first and flushes other CPUs' translations later, in a batch. We keep
 * such translations warm on our CPU and end the purged state in between, in each
 * of the ways there are. What we then write must be in the page that the page
 * table has, which /proc/self/mem shows: the kernel looks at the page table, not
 * through our CPU's translations.
 */
#include "vr_reclaimer.h"
#include "vt_fault.h"

#define PAGES	128
#define ROUNDS	24

static int mem = -1;

/* Make our CPU know each page by a write to it. */
static void warm(const struct vr_range *r)
{
	size_t i;

	for (i = 0; i < r->pages; i++)
		((volatile uint64_t *)vr_page(r, i))[2] = r->magic;
}

static uint64_t number;

static void write_numbers(void *p)
{
	size_t i;

	for (i = 0; i < PAGES; i++)
		((volatile uint64_t *)((char *)p + i * VR_PAGE))[2] = number + i;
}

/*
 * Write a fresh number to each page: how many are not where they belong? -1 if
 * reclaim has come again since: who knows what it took.
 */
static int lost_writes(char *p)
{
	uint64_t is;
	int lost = 0;
	size_t i;

	number += PAGES;
	if (vt_catch(write_numbers, p).signo ||
	    vr_unmark(p, PAGES * VR_PAGE))
		return -1;
	for (i = 0; i < PAGES; i++) {
		REQUIRE_EQ(pread(mem, &is, 8, (off_t)(p + i * VR_PAGE) + 16),
			   8);
		lost += is != number + i;
	}
	return lost;
}

static char *by_nonvolatile(char *p)
{
	REQUIRE_GE(vr_unmark(p, PAGES * VR_PAGE), 0);
	return p;
}

static char *by_dontneed(char *p)
{
	REQUIRE_EQ(vr_advise(p, PAGES * VR_PAGE, MADV_DONTNEED), 0);
	return p;
}

static char *by_mapping_over(char *p)
{
	REQUIRE_EQ(munmap(p, PAGES * VR_PAGE), 0);
	REQUIRE(mmap(p, PAGES * VR_PAGE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p);
	return p;
}

/* The old place must fault, and be empty when something is mapped there. */
static char *by_mremap(char *p)
{
	char *new = mmap(NULL, PAGES * VR_PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	REQUIRE(new != MAP_FAILED);
	REQUIRE(mremap(p, PAGES * VR_PAGE, PAGES * VR_PAGE,
		       MREMAP_MAYMOVE | MREMAP_FIXED, new) == new);
	EXPECT_FAULT(vt_do_write, p + (PAGES - 1) * VR_PAGE + 16, SIGSEGV,
		     SEGV_MAPERR);
	REQUIRE_GE(vr_unmark(new, PAGES * VR_PAGE), 0);
	return new;
}

/*
 * End the purged state by @end at another moment of a reclaim each time, mostly
 * early: the pages go in the first part of it.
 */
static void interrupt_reclaim_by(char *(*end)(char *))
{
	long long purged;
	struct vr_range r;
	int round, judged = 0, wrong = 0, lost;
	long looks;

	vr_start_reclaimer(PAGES);
	mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	REQUIRE(mem >= 0);
	r = vr_filled(PAGES);
	looks = vr_looks_of_a_reclaim(&r);
	purged = vr_purges();
	for (round = 0; round < ROUNDS; round++) {
		REQUIRE_EQ(vr_advise(r.p, vr_len(&r), MADV_DONTNEED), 0);
		REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
		warm(&r);
		vr_ask_reclaim();
		vr_look_for_end(looks * round / ROUNDS * round / ROUNDS);
		r.p = end(r.p);
		lost = lost_writes(r.p);
		judged += lost >= 0;
		wrong += lost > 0;
		vr_wait_reclaim();
	}
	EXPECT_EQ(wrong, 0);
	EXPECT_GE(judged, ROUNDS / 4);
	purged = vr_purges() - purged;
	vt_diag("%lld pages purged in %d rounds of %ld looks, %d judged", purged,
		ROUNDS, looks, judged);
	/* Control: reclaim was there, and was interrupted. */
	EXPECT_GE(purged, PAGES);
	EXPECT_LE(purged, ROUNDS * PAGES - 1);
}

static void after_nonvolatile(void)
{
	interrupt_reclaim_by(by_nonvolatile);
}

static void after_dontneed(void)
{
	interrupt_reclaim_by(by_dontneed);
}

static void after_munmap(void)
{
	interrupt_reclaim_by(by_mapping_over);
}

static void after_mremap(void)
{
	interrupt_reclaim_by(by_mremap);
}

#define STALE(fn, about) VT_CASE(fn, "V-PG-12", about, .needs = "swapdisk")

static const struct vt_case cases[] = {
	STALE(after_nonvolatile,
	      "After NONVOLATILE in the middle of a purge every write lands."),
	STALE(after_dontneed,
	      "After DONTNEED in the middle of a purge every write lands."),
	STALE(after_munmap,
	      "After munmap in the middle of a purge new memory gets every write."),
	STALE(after_mremap,
	      "After mremap in the middle of a purge the old place faults."),
};

VT_MAIN(cases)
