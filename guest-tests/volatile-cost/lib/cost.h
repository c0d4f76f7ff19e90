/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What `make cost` measures with. A case runs its work in rounds, and prints a
 * line for each:
 *
 *	# @cost NAME: UNITS in COUNTS
 *
 * COUNTS is of the time stamp counter: instructions where the guest counts them
 * (docs/cost.md), time at a constant rate under KVM. A round is shorter than a
 * tick of the timer, a million, where it can be: the best round has none in it.
 */
#ifndef COST_H
#define COST_H

#include "vt_sys.h"

#include <linux/mman.h>

#ifndef __x86_64__
#error "the time stamp counter of x86-64 is what counts instructions"
#endif

/* Headers of a tree that does not have them: the numbers of those that do. */
#ifndef MADV_VOLATILE
#define MADV_VOLATILE		26
#define MADV_NONVOLATILE	27
#endif
#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE		0x08
#endif

#define COST_CLAUSE	"V-KS-2"
#define COST_PAGE	4096UL
#define COST_TABLE	(2UL << 20)	/* what one page table maps */
#define COST_ROUNDS	15

static inline uint64_t cost_now(void)
{
	return __builtin_ia32_rdtsc();
}

static inline void cost_tell(const char *name, size_t units, uint64_t counts)
{
	vt_diag("@cost %s: %zu in %llu", name, units,
		(unsigned long long)counts);
}

/*
 * Room for @pages that starts at a page table of its own, with nothing beside it
 * that it could merge with: the same work in each boot, wherever it is.
 */
static inline char *cost_room(size_t pages, int prot)
{
	size_t len = pages * COST_PAGE;
	char *p = mmap(NULL, len + 3 * COST_TABLE, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t before, after;

	REQUIRE(p != MAP_FAILED);
	before = -(uintptr_t)p % COST_TABLE;
	after = COST_TABLE - before;
	if (before)
		REQUIRE_EQ(munmap(p, before), 0);
	p += before + COST_TABLE;
	REQUIRE_EQ(munmap(p + len + COST_TABLE, after), 0);
	if (prot != PROT_NONE)
		REQUIRE_EQ(mprotect(p, len, prot), 0);
	return p;
}

static inline char *cost_memory(size_t pages)
{
	return cost_room(pages, PROT_READ | PROT_WRITE);
}

/* Give back what cost_room() has mapped, fences and all. */
static inline void cost_give_back(char *p, size_t pages)
{
	REQUIRE_EQ(munmap(p - COST_TABLE, pages * COST_PAGE + 2 * COST_TABLE), 0);
}

static inline void cost_write(char *p, size_t pages)
{
	size_t i;

	for (i = 0; i < pages; i++)
		*(volatile char *)(p + i * COST_PAGE) = 1;
}

/* One word all over the page: zram keeps such a page without compressing it. */
static inline void cost_fill(char *p, size_t pages)
{
	memset(p, 0x5a, pages * COST_PAGE);
}

/* Put on the LRU what this CPU, the only one, has in its batches. */
static inline void cost_drain(void)
{
	char *p = mmap(NULL, COST_PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	REQUIRE(p != MAP_FAILED);
	REQUIRE_EQ(madvise(p, COST_PAGE, MADV_COLD), 0);
	REQUIRE_EQ(munmap(p, COST_PAGE), 0);
}

/* A child that has started, until it is told to end. */
struct cost_child {
	void (*first)(void *arg);
	void *arg;
	struct vt_gate ready, end;
	pid_t pid;
};

static inline void cost_child_run(void *arg)
{
	struct cost_child *child = arg;

	if (child->first)
		child->first(child->arg);
	vt_gate_open(&child->ready);
	vt_gate_wait(&child->end);
}

static inline void cost_child_start(struct cost_child *child)
{
	child->ready = vt_gate();
	child->end = vt_gate();
	child->pid = vt_fork(cost_child_run, child);
	vt_gate_wait(&child->ready);
}

static inline void cost_child_forget(struct cost_child *child)
{
	int i;

	for (i = 0; i < 2; i++) {
		close(child->ready.fd[i]);
		close(child->end.fd[i]);
	}
}

static inline void cost_child_end(struct cost_child *child)
{
	vt_gate_open(&child->end);
	EXPECT_EQ(vt_wait(child->pid), 0);
	cost_child_forget(child);
}

static inline void cost_mark_one(void *arg)
{
	char *p = cost_memory(1);
	int ret;

	(void)arg;
	*p = 1;
	ret = madvise(p, COST_PAGE, MADV_VOLATILE);
	REQUIRE(ret == 0 || errno == EINVAL);
	vt_diag(ret ? "the feature is not there" : "the feature is in use");
}

/*
 * With COST_IN_USE=1 another process marks a page first and lives on. A kernel
 * without the feature gets the same process.
 */
static inline void cost_begin(void)
{
	static struct cost_child user = { .first = cost_mark_one };
	const char *in_use = getenv("COST_IN_USE");

	vt_pin(0);
	if (in_use && *in_use == '1')
		cost_child_start(&user);
}

#endif
