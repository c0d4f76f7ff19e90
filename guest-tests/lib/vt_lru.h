/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What reclaim can get at: pages on the LRU, and out of the hands of writeback.
 */
#ifndef VT_LRU_H
#define VT_LRU_H

#include "vt_sys.h"

/*
 * Put on the LRU what CPUs have in their batches. Where a page has been written the
 * CPU that took the interrupt keeps it in one, and a reference to it: such a page is
 * not reclaimed. MADV_COLD, of any page, drains the batches of the CPU that it runs on.
 */
static inline void vt_drain_batches(void)
{
	int cpu, n = sysconf(_SC_NPROCESSORS_ONLN);
	size_t page = sysconf(_SC_PAGESIZE);
	cpu_set_t was;
	void *p;

	REQUIRE_EQ(sched_getaffinity(0, sizeof(was), &was), 0);
	p = mmap(NULL, page, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(p != MAP_FAILED);
	for (cpu = 0; cpu < n; cpu++) {
		vt_pin(cpu);
		REQUIRE_EQ(madvise(p, page, MADV_COLD), 0);
	}
	REQUIRE_EQ(munmap(p, page), 0);
	REQUIRE_EQ(sched_setaffinity(0, sizeof(was), &was), 0);
}

/*
 * Wait until no page is under way to swap. Until then a page that is touched
 * stays in the swap cache, whose pages are another case than those outside.
 * The counters are per CPU: stat_refresh adds them up.
 */
static inline void vt_wait_written(void)
{
	do
		vt_write("/proc/sys/vm/stat_refresh", "1");
	while (vt_key("/proc/vmstat", "nr_writeback") > 0);
	vt_drain_batches();
}

#endif
