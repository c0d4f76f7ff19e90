// SPDX-License-Identifier: GPL-2.0-only
/*
 * name: stale-tlb
 * about: >-
 *   Reclaim has purged a page and left the flush of the TLB for later, when it is
 *   through with its batch. A third CPU goes on writing to the page by what its TLB
 *   remembers. When MADV_NONVOLATILE has returned, that must be over, or what is
 *   written after it is lost: it flushes what is pending before it clears a purged
 *   entry. The variant does not.
 * project: volatile
 * clauses: [V-PG-12]
 * cpus: 4
 * variant: stale-translations
 * threads:
 *   A: {cpu: 1, does: reclaims the page from another process}
 *   B: {cpu: 3, does: "MADV_NONVOLATILE, while CPU 2 writes to the page without a pause"}
 * points:
 *   - A: {"6.1": try_to_unmap_one(), "6.12": try_to_unmap_one(), "7.3": purge_one()}
 *     within: folio_purge
 *     args: {3: vr_race_page}
 *     says: is about to purge the page
 *   - A: try_to_unmap_flush()
 *     says: the page is purged, the TLB of CPU 2 is not flushed
 *   - B: ends
 *     says: has unmarked the page, and looked at what CPU 2 wrote since
 * outcome:
 *   hit: what CPU 2 wrote after MADV_NONVOLATILE had returned is not in the page
 *   miss: it is
 */
#include "race.h"
#include "vr_race.h"

/* What the writer shares with the others, on a page of its own. */
static struct {
	volatile long written;		/* so much, in the page and here */
	volatile bool write, writing, unmarked, signalled;
} *shared;

static volatile int unmarked;
static volatile long seen, expected;

static void setup_shared(void)
{
	shared = mmap(NULL, VR_PAGE, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	REQUIRE(shared != MAP_FAILED);
}

/* Too early: the page is purged, and the TLB knows. It is over soon. */
static void wait_for_page(int sig)
{
	(void)sig;
	shared->signalled = true;
	while (!shared->unmarked)
		;
}

/* The word that is written has a place where vr_fill() puts nothing of note. */
static volatile long *word(void)
{
	return (volatile long *)vr_race_page + VR_WORDS - 1;
}

/*
 * Nothing else may run on its CPU in the meantime: when the writer comes back from
 * the shortest switch to another task, the kernel sees that a flush is due.
 */
static void *write_on(void *arg)
{
	const struct sched_param first = { .sched_priority = 50 };
	long n;

	(void)arg;
	vt_pin(2);
	REQUIRE_EQ(sched_setscheduler(0, SCHED_FIFO, &first), 0);
	for (;;) {
		/* Between runs; not busily, for nobody else would get this CPU. */
		while (!shared->write)
			usleep(1000);
		for (n = 1; shared->write; n++) {
			*word() = n;
			shared->written = n;
			shared->writing = true;
		}
		shared->writing = false;
	}
	return NULL;
}

static void setup(void)
{
	pthread_t writer;

	vr_race_setup();
	setup_shared();
	/* Without a share for others. */
	vt_set("/proc/sys/kernel/sched_rt_runtime_us", "-1");
	REQUIRE(signal(SIGBUS, wait_for_page) != SIG_ERR);
	REQUIRE_EQ(pthread_create(&writer, NULL, write_on, NULL), 0);
}

static void stop_writing(void)
{
	shared->write = false;
	while (shared->writing)
		;
}

static void prepare(void)
{
	vr_race_fill();
	shared->signalled = shared->unmarked = false;
	shared->write = true;
	while (!shared->writing)
		;
	vr_race_mark();
}

static void unmark(void)
{
	volatile long *first = (volatile long *)vr_race_page;

	unmarked = vr_unmark(vr_race_page, VR_PAGE);
	if (unmarked == 1)
		*first = 1;
	shared->unmarked = true;
	expected = shared->written + 1000;
	while (shared->written < expected)
		;
	seen = *word();
}

static bool struck(void)
{
	stop_writing();
	race_say("MADV_NONVOLATILE said %d, write %ld was made after it, the page has %ld%s",
		 unmarked, expected, seen,
		 shared->signalled ? ", CPU 2 had to wait" : "");
	REQUIRE_GE(unmarked, 0);
	return seen < expected;
}

RACE_MAIN(.setup = setup, .prepare = prepare, .struck = struck,
	  .threads = { { .name = "A", .run = vr_race_reclaim, .process = true },
		       { .name = "B", .run = unmark } })
