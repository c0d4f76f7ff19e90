// SPDX-License-Identifier: GPL-2.0-only
/* Faults, mappings, locks, moves and exits of memory that nobody has marked. */
#include "cost.h"

#define PAGES		256
#define VMAS		64
#define MORE_ROUNDS	100	/* of short ones */
#define FAULT_AROUND	16	/* pages that one read fault of a file maps */

static void fault_anon(void)
{
	int round;

	cost_begin();
	for (round = 0; round < COST_ROUNDS; round++) {
		char *p = cost_memory(PAGES);
		uint64_t t = cost_now();

		cost_write(p, PAGES);
		cost_tell("fault_anon", PAGES, cost_now() - t);
		cost_give_back(p, PAGES);
	}
	EXPECT_EQ(round, COST_ROUNDS);
}

/* A file in memory of @pages, all of them there. */
static int file_of(size_t pages)
{
	static char page[COST_PAGE];
	int fd = memfd_create("cost", MFD_CLOEXEC);
	size_t i;

	REQUIRE(fd >= 0);
	for (i = 0; i < pages; i++)
		REQUIRE_EQ(write(fd, page, sizeof(page)), sizeof(page));
	return fd;
}

static char *map_file(int fd, size_t pages, int prot, int flags)
{
	char *p = cost_room(pages, PROT_NONE);

	REQUIRE(mmap(p, pages * COST_PAGE, prot, flags | MAP_FIXED, fd, 0) == p);
	return p;
}

static void fault_file(void)
{
	enum { FAULTS = 128 };
	const size_t pages = FAULTS * FAULT_AROUND;
	int fd = file_of(pages), round;

	cost_begin();
	for (round = 0; round < COST_ROUNDS; round++) {
		char *p = map_file(fd, pages, PROT_READ, MAP_SHARED);
		uint64_t t = cost_now();
		size_t i;

		for (i = 0; i < pages; i += FAULT_AROUND)
			(void)*(volatile char *)(p + i * COST_PAGE);
		cost_tell("fault_file", FAULTS, cost_now() - t);
		cost_give_back(p, pages);
	}
	EXPECT_EQ(round, COST_ROUNDS);
}

static void fault_file_copy(void)
{
	int fd = file_of(PAGES), round;

	cost_begin();
	for (round = 0; round < COST_ROUNDS; round++) {
		char *p = map_file(fd, PAGES, PROT_READ | PROT_WRITE, MAP_PRIVATE);
		uint64_t t = cost_now();

		cost_write(p, PAGES);
		cost_tell("fault_file_copy", PAGES, cost_now() - t);
		cost_give_back(p, PAGES);
	}
	EXPECT_EQ(round, COST_ROUNDS);
}

static void fork_exit(void)
{
	char *p = cost_memory(4 * PAGES);
	int round;
	size_t i;

	cost_begin();
	cost_write(p, 4 * PAGES);
	for (i = 0; i < VMAS; i += 2)
		REQUIRE_EQ(mprotect(p + i * COST_PAGE, COST_PAGE, PROT_READ), 0);
	for (round = 0; round < MORE_ROUNDS; round++) {
		uint64_t t = cost_now();
		pid_t pid = fork();

		if (!pid)
			_exit(0);
		EXPECT_EQ(vt_wait(pid), 0);
		cost_tell("fork_exit", 1, cost_now() - t);
	}
}

static void fault_cow(void)
{
	int round;

	cost_begin();
	for (round = 0; round < COST_ROUNDS; round++) {
		struct cost_child child = { 0 };
		char *p = cost_memory(PAGES);
		uint64_t t;

		cost_write(p, PAGES);
		cost_child_start(&child);
		t = cost_now();
		cost_write(p, PAGES);
		cost_tell("fault_cow", PAGES, cost_now() - t);
		cost_child_end(&child);
		cost_give_back(p, PAGES);
	}
}

/* Freed VMAs come back with an RCU grace period: only few at a time need no new slab. */
static void mmap_munmap(void)
{
	enum { PAIRS = 16 };
	int round, i;

	cost_begin();
	for (round = 0; round < MORE_ROUNDS; round++) {
		char *p = cost_room(16, PROT_NONE);
		uint64_t t = cost_now();

		for (i = 0; i < PAIRS; i++) {
			mmap(p, 16 * COST_PAGE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
			munmap(p, 16 * COST_PAGE);
		}
		cost_tell("mmap_munmap", PAIRS, cost_now() - t);
		cost_give_back(p, 16);
	}
	EXPECT_EQ(round, MORE_ROUNDS);
}

static void munmap_pages(void)
{
	int round;

	cost_begin();
	for (round = 0; round < COST_ROUNDS; round++) {
		char *p = cost_memory(PAGES);
		uint64_t t;

		cost_write(p, PAGES);
		cost_drain();
		t = cost_now();
		EXPECT_EQ(munmap(p, PAGES * COST_PAGE), 0);
		cost_tell("munmap_pages", PAGES, cost_now() - t);
		cost_give_back(p, PAGES);
	}
}

static void mprotect_split(void)
{
	enum { PAIRS = 16 };
	char *p = cost_memory(PAGES);
	int round, i;

	cost_begin();
	cost_write(p, PAGES);
	for (round = 0; round < MORE_ROUNDS; round++) {
		uint64_t t = cost_now();

		for (i = 0; i < PAIRS; i++) {
			mprotect(p + 8 * COST_PAGE, COST_PAGE, PROT_READ);
			mprotect(p + 8 * COST_PAGE, COST_PAGE,
				 PROT_READ | PROT_WRITE);
		}
		cost_tell("mprotect_split", PAIRS, cost_now() - t);
	}
	EXPECT_EQ(round, MORE_ROUNDS);
}

static void mlock_munlock(void)
{
	char *p = cost_memory(PAGES);
	int round;

	cost_begin();
	cost_write(p, PAGES);
	for (round = 0; round < COST_ROUNDS; round++) {
		uint64_t t = cost_now();

		EXPECT_EQ(mlock(p, PAGES * COST_PAGE), 0);
		EXPECT_EQ(munlock(p, PAGES * COST_PAGE), 0);
		cost_tell("mlock_munlock", PAGES, cost_now() - t);
	}
}

/* A page beside its page table, so that entries are moved and no whole table. */
static void mremap_move(void)
{
	char *at[] = { cost_memory(PAGES), cost_room(PAGES + 1, PROT_NONE) };
	int round;

	cost_begin();
	cost_write(at[0], PAGES);
	at[1] += COST_PAGE;
	for (round = 0; round < COST_ROUNDS; round++) {
		char *from = at[round % 2], *to = at[(round + 1) % 2];
		uint64_t t = cost_now();

		REQUIRE(mremap(from, PAGES * COST_PAGE, PAGES * COST_PAGE,
			       MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
		cost_tell("mremap_move", PAGES, cost_now() - t);
	}
}

static void large_memory(void *arg)
{
	(void)arg;
	cost_write(cost_memory(8 * PAGES), 8 * PAGES);
}

static void exit_large(void)
{
	int round;

	cost_begin();
	for (round = 0; round < COST_ROUNDS; round++) {
		struct cost_child child = { .first = large_memory };
		uint64_t t;

		cost_child_start(&child);
		t = cost_now();
		kill(child.pid, SIGKILL);
		EXPECT(WIFSIGNALED(vt_wait(child.pid)));
		cost_tell("exit_large", 8 * PAGES, cost_now() - t);
		cost_child_forget(&child);
	}
}

#define COST(fn, about) VT_CASE(fn, COST_CLAUSE, about, .timeout = 60)

static const struct vt_case cases[] = {
	COST(fault_anon, "First write to an anonymous page; per page."),
	COST(fault_file, "Read fault of a file's pages in memory; per fault, 16 pages."),
	COST(fault_file_copy, "Write to a private mapping of a file; per page."),
	COST(fault_cow, "Write to a page that a child shares; per page."),
	COST(fork_exit, "fork, exit and wait with 1024 pages in 64 VMAs; per process."),
	COST(mmap_munmap, "mmap and munmap without pages; per pair."),
	COST(munmap_pages, "munmap of memory with pages; per page."),
	COST(mprotect_split, "mprotect of a part and back, split and merge; per pair."),
	COST(mlock_munlock, "mlock and munlock of pages; per page."),
	COST(mremap_move, "mremap that moves page table entries; per page."),
	COST(exit_large, "End of a killed process with 2048 pages; per page."),
};

VT_MAIN(cases)
