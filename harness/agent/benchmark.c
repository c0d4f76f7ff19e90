// SPDX-License-Identifier: GPL-2.0-only
/*
 * A fixed work load: how long it takes says how fast this guest is. It does what
 * tests do most, processes that map, touch, give back and touch memory again, so
 * that a kernel with checkers is as slow at it as it will be at them.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "common.h"

#define PROCESSES 8
#define ROUNDS 4
#define PAGES 128
#define PAGE 4096

static int one_process(void)
{
	for (int round = 0; round < ROUNDS; round++) {
		char *memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (memory == MAP_FAILED)
			return 1;
		for (int page = 0; page < PAGES; page++)
			memory[page * PAGE] = 1;
		/* Every other page a VMA of its own, and back again. */
		for (int page = 0; page < PAGES; page += 2)
			mprotect(memory + page * PAGE, PAGE, PROT_READ);
		mprotect(memory, PAGES * PAGE, PROT_READ | PROT_WRITE);
		madvise(memory, PAGES * PAGE, MADV_DONTNEED);
		for (int page = 0; page < PAGES; page++)
			memory[page * PAGE] = 2;
		munmap(memory, PAGES * PAGE);
	}
	return 0;
}

/* Prints the milliseconds it took. */
int benchmark(void)
{
	struct timespec from, to;

	clock_gettime(CLOCK_MONOTONIC, &from);
	for (int process = 0; process < PROCESSES; process++) {
		pid_t pid = fork();
		int status = 1;

		if (pid == 0)
			_exit(one_process());
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
			return 1;
	}
	clock_gettime(CLOCK_MONOTONIC, &to);
	printf("%ld\n", (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000);
	return 0;
}
