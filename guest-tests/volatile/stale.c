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
#define ROUNDS	12

static int mem = -1;

/* Make our CPU know each page by a write to it. */
static void warm(const struct vr_range *r)
{
	size_t i;

	for (i = 0; i < r->pages; i++)
		((volatile uint64_t *)vr_page(r, i))[2] = r->magic;
}

static uint64_t number;

static void write_number(void *p)
{
	*(volatile uint64_t *)((char *)p + 16) = number;
}

/*
 * Write a fresh number to each page, wait for the end of the reclaim, and see
 * that the numbers are where they belong. Reclaim may have come again since, if
 * the pages are still volatile: those that it took, which NONVOLATILE tells, are
 * not judged. Returns how many are.
 */
static int judge_writes(char *p)
{
	uint64_t first = number + 1, is;
	int judged = 0, lost = 0;
	size_t i;

	for (i = 0; i < PAGES; i++) {
		number++;
		vt_catch(write_number, p + i * VR_PAGE);
	}
	vr_wait_reclaim();
	for (i = 0; i < PAGES; i++) {
		if (vr_unmark(p + i * VR_PAGE, VR_PAGE))
			continue;
		REQUIRE_EQ(pread(mem, &is, 8, (off_t)(p + i * VR_PAGE) + 16),
			   8);
		judged++;
		lost += is != first + i;
	}
	EXPECT_EQ(lost, 0);
	return judged;
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
 * End the purged state by @end in the middle of a reclaim, when it has taken
 * another number of pages each time: those are out of the page table, and the
 * translations of the last of them are still to be flushed.
 */
static void interrupt_reclaim_by(char *(*end)(char *))
{
	long long purged;
	struct vr_range r;
	int round, judged = 0;

	vr_start_reclaimer(PAGES);
	mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	REQUIRE(mem >= 0);
	r = vr_filled(PAGES);
	purged = vr_purges();
	for (round = 0; round < ROUNDS; round++) {
		REQUIRE_EQ(vr_advise(r.p, vr_len(&r), MADV_DONTNEED), 0);
		REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
		warm(&r);
		vr_ask_reclaim();
		vr_wait_taken(&r, 1 + round * (PAGES - 1) / ROUNDS);
		r.p = end(r.p);
		judged += judge_writes(r.p);
	}
	EXPECT_GE(judged, ROUNDS * PAGES / 4);
	purged = vr_purges() - purged;
	vt_diag("%lld pages purged in %d rounds, %d judged", purged, ROUNDS,
		judged);
	/* Control: reclaim was there. */
	EXPECT_GE(purged, PAGES);
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
