// SPDX-License-Identifier: GPL-2.0-only
/* What marking costs, against MADV_FREE of the same memory. */
#include "cost.h"

#define GIB_PAGES	262144UL
#define OBJECT_PAGES	64UL

static uint64_t advise(char *p, size_t pages, int advice)
{
	uint64_t t = cost_now();

	REQUIRE_EQ(madvise(p, pages * COST_PAGE, advice), 0);
	return cost_now() - t;
}

/* All pages are there; for a second round of MADV_FREE they are made anew. */
static void measure(size_t pages, int free_rounds, const char *mark,
		    const char *unmark, const char *madv_free)
{
	char *p = cost_memory(pages);
	int round;

	vt_pin(0);
	cost_write(p, pages);
	for (round = 0; round < COST_ROUNDS; round++) {
		cost_tell(mark, 1, advise(p, pages, MADV_VOLATILE));
		cost_tell(unmark, 1, advise(p, pages, MADV_NONVOLATILE));
	}
	for (round = 0; round < free_rounds; round++) {
		if (round) {
			advise(p, pages, MADV_DONTNEED);
			cost_write(p, pages);
		}
		cost_drain();
		cost_tell(madv_free, 1, advise(p, pages, MADV_FREE));
	}
	EXPECT_EQ(round, free_rounds);
}

static void one_gib(void)
{
	measure(GIB_PAGES, 1, "mark_1gib", "unmark_1gib", "madv_free_1gib");
}

static void one_object(void)
{
	measure(OBJECT_PAGES, COST_ROUNDS, "mark_256kib", "unmark_256kib",
		"madv_free_256kib");
}

#define COST(fn, about) VT_CASE(fn, COST_CLAUSE, about, .timeout = 120)

static const struct vt_case cases[] = {
	COST(one_gib, "VOLATILE, NONVOLATILE and MADV_FREE of 1 GiB of pages; per call."),
	COST(one_object, "The same of 256 KiB; per call."),
};

VT_MAIN(cases)
