// SPDX-License-Identifier: GPL-2.0-only
/* The end of a process that has purged pages: by any hand, without a word. */
#include "vr_pages.h"
#include "vt_fault.h"

#include <elf.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define PAGES	64
#define CORE	"/tmp/vr-core"

static void unlink_core(const char *arg)
{
	unlink(arg);
}

/* Every other page purged; then the process dumps its core. */
static void abort_with_holes(void *arg)
{
	struct rlimit core = { RLIM_INFINITY, RLIM_INFINITY };
	struct vr_range *r = arg;
	size_t i;

	REQUIRE_EQ(setrlimit(RLIMIT_CORE, &core), 0);
	*r = vr_fill(r->p, PAGES);
	REQUIRE_EQ(vr_mark(r->p, vr_len(r)), 0);
	for (i = 0; i < PAGES; i += 2)
		REQUIRE_EQ(vr_pageout(vr_page(r, i), VR_PAGE), 0);
	REQUIRE_EQ(vr_count_pagemap(r, VR_PM_PRESENT), PAGES / 2);
	abort();
}

/* Where the contents of address @p lie in a core file, or -1. */
static off_t core_offset(int fd, const void *p)
{
	Elf64_Phdr phdr;
	Elf64_Ehdr ehdr;
	int i;

	REQUIRE_EQ(pread(fd, &ehdr, sizeof(ehdr), 0), sizeof(ehdr));
	REQUIRE_EQ(memcmp(ehdr.e_ident, ELFMAG, SELFMAG), 0);
	for (i = 0; i < ehdr.e_phnum; i++) {
		REQUIRE_EQ(pread(fd, &phdr, sizeof(phdr),
				 ehdr.e_phoff + i * sizeof(phdr)),
			   sizeof(phdr));
		if (phdr.p_type == PT_LOAD &&
		    phdr.p_vaddr <= (uintptr_t)p &&
		    phdr.p_vaddr + phdr.p_filesz >= (uintptr_t)p + VR_PAGE)
			return phdr.p_offset + ((uintptr_t)p - phdr.p_vaddr);
	}
	return -1;
}

static void core_dump(void)
{
	size_t i, wrong = 0, w;
	struct vr_range *r;
	uint64_t *page;
	int status, fd;

	vt_pin(0);
	r = mmap(NULL, VR_PAGE, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	page = malloc(VR_PAGE);
	REQUIRE(r != MAP_FAILED && page);
	/* Nothing of it is touched before the fork: it is the child's alone. */
	*r = (struct vr_range){ .p = vr_anon(PAGES), .pages = PAGES };
	vt_set("/proc/sys/kernel/core_pattern", CORE);
	vt_set("/proc/sys/kernel/core_uses_pid", "0");
	vt_cleanup(unlink_core, CORE);
	status = vt_run_child(abort_with_holes, r);
	EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	REQUIRE(WCOREDUMP(status));
	fd = open(CORE, O_RDONLY | O_CLOEXEC);
	REQUIRE(fd >= 0);
	for (i = 0; i < PAGES; i++) {
		off_t at = core_offset(fd, vr_page(r, i));

		REQUIRE_GE(at, 0);
		REQUIRE_EQ(pread(fd, page, VR_PAGE, at), VR_PAGE);
		/* Intact pages, which are the control, are there in full. */
		for (w = 0; w < VR_WORDS; w++)
			wrong += page[w] != (i % 2 ? vr_word(r->magic, i, w) :
						     0);
	}
	EXPECT_EQ(wrong, 0);
}

/* A child with purged pages that sleeps until it is killed. */
struct victim {
	struct vr_range r;
	struct vt_gate ready, never;
};

static void sleep_with_purged(void *arg)
{
	struct victim *victim = arg;

	vr_purged(PAGES);
	vt_gate_open(&victim->ready);
	vt_gate_wait(&victim->never);
}

/*
 * Killed but not yet ended, its memory is taken by us. It shares our CPU, on
 * which it only runs when we let it: we need not hurry.
 */
static void released_by_another(void)
{
	struct victim victim = { .ready = vt_gate(), .never = vt_gate() };
	struct sched_param fifo = { .sched_priority = 1 }, normal = { 0 };
	int pidfd, status;
	pid_t pid;

	vt_pin(0);
	pid = vt_fork(sleep_with_purged, &victim);
	vt_gate_wait(&victim.ready);
	pidfd = syscall(SYS_pidfd_open, pid, 0);
	REQUIRE(pidfd >= 0);
	REQUIRE_EQ(sched_setscheduler(0, SCHED_FIFO, &fifo), 0);
	REQUIRE_EQ(kill(pid, SIGKILL), 0);
	EXPECT(!process_mrelease(pidfd, 0));
	REQUIRE_EQ(sched_setscheduler(0, SCHED_OTHER, &normal), 0);
	status = vt_wait(pid);
	EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* Past its group's limit: killed, and its memory reaped from outside. */
static void outgrow(void *arg)
{
	const char *group = arg;
	size_t i;
	char *p;

	vt_cgroup_enter(group);
	vr_purged(PAGES);
	p = vr_anon(4096);
	for (i = 0; i < 4096; i++)
		p[i * VR_PAGE] = 1;
}

static void out_of_memory(void)
{
	const char *group;
	int status;

	vt_pin(0);
	group = vt_cgroup("vr-oom");
	vt_cgroup_write(group, "memory.max", 8 << 20);
	status = vt_run_child(outgrow, (void *)group);
	EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	EXPECT_EQ(vt_key(vt_cgroup_path(group, "memory.events"), "oom_kill"),
		  1);
}

static const struct vt_case cases[] = {
	VT_CASE(core_dump, "V-SB-11",
		"A core dump has intact pages in full, and holes for purged ones."),
	VT_CASE(released_by_another, "V-SB-9",
		"process_mrelease of a process with purged pages works silently."),
	VT_CASE(out_of_memory, "V-SB-9",
		"A process with purged pages is killed for lack of memory, silently.",
		.needs = "oom"),
};

VT_MAIN(cases)
