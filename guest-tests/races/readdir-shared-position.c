// SPDX-License-Identifier: GPL-2.0-only
/*
 * name: readdir-shared-position
 * about: >-
 *   A process with one thread reads a directory that nobody else has open: nobody
 *   can be in its way, so it need not lock the position, the kernel thought until
 *   6.5. But with pidfd_getfd() another process can get hold of the file in the
 *   middle of the call. It has to wait until the position has moved on. Without the
 *   lock both are given the same entries.
 * cpus: 3
 * variant: position-of-one-user-unlocked
 * threads:
 *   A: {cpu: 1, does: getdents64 of a directory}
 *   B: {cpu: 2, does: "pidfd_getfd of the same open file, then getdents64"}
 * points:
 *   - A: filldir64()
 *     says: has taken the position, and begins to hand out entries
 *   - B: ends
 *     says: has read on from where A has come to
 * outcome:
 *   hit: both processes were given the same entries
 *   miss: each entry was given to one of them
 *   excluded: {B: fdget_pos, lock: the lock of the position, from A: iterate_dir}
 */
#include "race.h"

#include <sys/syscall.h>

/* What the two processes tell each other. */
static struct {
	pid_t pid;
	int fd;
	long bytes[2];
	char entries[2][2048];
} *shared;

static void setup(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	REQUIRE(shared != MAP_FAILED);
}

static void prepare(void)
{
	memset(shared, 0, sizeof(*shared));
}

static void read_entries(int fd, int who)
{
	shared->bytes[who] = syscall(SYS_getdents64, fd, shared->entries[who],
				     sizeof(shared->entries[who]));
	REQUIRE_GE(shared->bytes[who], 0);
}

static void read_first(void)
{
	int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	REQUIRE(fd >= 0);
	shared->pid = getpid();
	__atomic_store_n(&shared->fd, fd, __ATOMIC_RELEASE);
	read_entries(fd, 0);
	close(fd);
}

static void read_too(void)
{
	int pidfd, fd;

	/* Without control, A may not have opened it yet. */
	while (!__atomic_load_n(&shared->fd, __ATOMIC_ACQUIRE))
		;
	pidfd = syscall(SYS_pidfd_open, shared->pid, 0);
	REQUIRE(pidfd >= 0);
	fd = syscall(SYS_pidfd_getfd, pidfd, shared->fd, 0);
	close(pidfd);
	/* Or may have closed it. */
	if (fd < 0) {
		REQUIRE_EQ(errno, EBADF);
		return;
	}
	read_entries(fd, 1);
	close(fd);
}

static bool struck(void)
{
	race_say("A was given %ld bytes of entries, B %ld", shared->bytes[0],
		 shared->bytes[1]);
	return shared->bytes[1] > 0 &&
	       !memcmp(shared->entries[0], shared->entries[1], shared->bytes[1]);
}

RACE_MAIN(.setup = setup, .prepare = prepare, .struck = struck,
	  .threads = { { .name = "A", .run = read_first, .process = true },
		       { .name = "B", .run = read_too, .process = true } })
