#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/wait.h>
#include <unistd.h>

#define VOLATILE	26	/* MADV_VOLATILE */
#define NONVOLATILE	27	/* MADV_NONVOLATILE */
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT	21
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

#define NONE	PROT_NONE
#define R	PROT_READ
#define RW	(PROT_READ | PROT_WRITE)
#define USED	__attribute__((unused))
#define GROUP	"/sys/fs/cgroup/divergence"

static const size_t PAGE = 4096;
static char *const arena = (char *)0x200000;

/* Processes take turns: a step is done by the one that it names. */
static struct { volatile int now, leave, diverged; } *turn;
static int me;
static pid_t children[4];

static USED int my_turn(int step, int who)
{
	while (who == me && turn->now < step) {
		if (turn->leave == me)
			_exit(0);
		sched_yield();
	}
	return who == me;
}

#define STEP(step, who, what) do {					\
	if (my_turn(step, who)) {					\
		what;							\
		__sync_bool_compare_and_swap(&turn->now, step, (step) + 1); \
	}								\
} while (0)

static char *page(int n)
{
	return arena + n * PAGE;
}

static int result(long ret)
{
	return ret == -1 ? -errno : (int)ret;
}

static USED void say(int step, const char *what, int got)
{
	printf("%2d  process %d: %s = %d%s%s\n", step, me, what, got, got < 0 ? " -" : "",
	       got < 0 ? strerrorname_np(-got) : "");
}

static USED void wanted(const char *what, int got, int want)
{
	printf("    %s is %d, wanted %d%s\n", what, got, want, got == want ? "" : ": DIVERGED");
	turn->diverged |= got != want;
}

static USED void wanted_text(const char *what, int page, const char *got, const char *want)
{
	int same = strstr(want, got) != NULL;

	printf("    %s of page %d is %s, wanted %s%s\n", what, page, got, want,
	       same ? "" : ": DIVERGED");
	turn->diverged |= !same;
}

/* ---- calls ---- */

static USED int map(int first, int count, int prot)
{
	return mmap(page(first), count * PAGE, prot,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) ==
	       MAP_FAILED ? -errno : 0;
}

static USED int unmap(int first, int count)
{
	return result(munmap(page(first), count * PAGE));
}

static USED int protect(int first, int count, int prot)
{
	return result(mprotect(page(first), count * PAGE, prot));
}

static USED int advise(int first, int count, int advice)
{
	return result(madvise(page(first), count * PAGE, advice));
}

/* The same pages by an odd length. */
static USED int advise_odd(int first, int count, int advice)
{
	return result(madvise(page(first), count * PAGE - PAGE + 1, advice));
}

static USED int advise_unaligned(int first, int count, int advice)
{
	return result(madvise(page(first) + 8, count * PAGE, advice));
}

static USED int move(int first, int count, int to, int size, int flags)
{
	int ret = mremap(page(first), count * PAGE, size * PAGE,
			 MREMAP_MAYMOVE | MREMAP_FIXED | flags, page(to)) ==
		  MAP_FAILED ? -errno : 0;
	unsigned char core;

	/* Since 6.17 what is in the way of a move that fails stays: let it go. */
	if (ret == -EFAULT && !mincore(page(first), PAGE, &core))
		munmap(page(to), size * PAGE);
	return ret;
}

static USED int resize(int first, int count, int size)
{
	return mremap(page(first), count * PAGE, size * PAGE, 0) == MAP_FAILED ? -errno : 0;
}

/* By another process, which shares no page with us. */
static USED int reclaim(int pages)
{
	char command[128];

	snprintf(command, sizeof(command), "echo %d > " GROUP "/memory.reclaim 2>/dev/null",
		 pages * 4096);
	return system(command) ? -EAGAIN : 0;
}

static USED int fork_off(int who)
{
	pid_t pid = fork();

	if (!pid)
		me = who;
	else
		children[who] = pid;
	return pid < 0 ? -errno : 0;
}

static USED int end(int who)
{
	int status;

	turn->leave = who;
	return waitpid(children[who], &status, 0) < 0 ? -errno : status;
}

/* ---- accesses ---- */

static sigjmp_buf jump;
static volatile int trapped, code;
static void *volatile addr;

static void trap(int signo, siginfo_t *info, void *context)
{
	(void)context;
	trapped = signo;
	code = info->si_code;
	addr = info->si_addr;
	siglongjmp(jump, 1);
}

static const char *trap_name(const char *p)
{
	if (addr != p)
		return "ODD";
	if (trapped == SIGBUS && code == BUS_ADRERR)
		return "BUS";
	if (trapped == SIGSEGV && code == SEGV_MAPERR)
		return "UNMAPPED";
	if (trapped == SIGSEGV && code == SEGV_ACCERR)
		return "FORBIDDEN";
	return "ODD";
}

static uint64_t word(int number, unsigned int w)
{
	return 1ULL << 63 | (uint64_t)number << 32 | w;
}

/* ZERO, TAG (a number in all of the page), TORN, or how it trapped. */
static USED const char *reading(int n, int *number)
{
	volatile uint64_t *words = (uint64_t *)page(n);
	unsigned int w;

	if (sigsetjmp(jump, 1))
		return trap_name(page(n));
	*number = words[0] >> 32 & 0xffff;
	for (w = 0; w < PAGE / 8; w++)
		if (words[w] != (words[0] ? word(*number, w) : 0))
			return "TORN";
	return words[0] ? "TAG" : "ZERO";
}

static USED const char *writing(int n, int number)
{
	volatile uint64_t *words = (uint64_t *)page(n);
	unsigned int w;

	if (sigsetjmp(jump, 1))
		return trap_name(page(n));
	for (w = 0; w < PAGE / 8; w++)
		words[w] = word(number, w);
	return "TAG";
}

static USED void read_pages(int step, int first, int count)
{
	const char *what;
	int n, number;

	for (n = first; n < first + count; n++) {
		number = 0;
		what = reading(n, &number);
		printf("%2d  process %d: reading page %d: %s %d\n", step, me, n, what, number);
	}
}

/* Page by page the numbers from @number on. */
static USED void write_pages(int step, int first, int count, int number)
{
	int n;

	for (n = first; n < first + count; n++, number++)
		printf("%2d  process %d: writing %d to page %d: %s\n", step, me, number, n,
		       writing(n, number));
}

/* ---- what the kernel shows ---- */

/* "rw volatile", "not mapped" ...; and whether a VMA begins there. */
static USED const char *vma(int n, int *begins)
{
	static char text[64];
	unsigned long from = 0, to = 0, at = (unsigned long)page(n);
	char line[512], rights[5] = "";
	FILE *smaps = fopen("/proc/self/smaps", "re");

	strcpy(text, "not mapped");
	*begins = 0;
	while (smaps && fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%lx-%lx %4s", &from, &to, rights) == 3)
			*begins |= from == at;
		if (!strncmp(line, "VmFlags:", 8) && from <= at && at < to)
			snprintf(text, sizeof(text), "%.2s%s", rights,
				 strstr(line, " vl") ? " volatile" : "");
	}
	if (smaps)
		fclose(smaps);
	return text;
}

static USED const char *pagemap(int n)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;

	if (pread(fd, &entry, 8, (uintptr_t)page(n) / PAGE * 8) != 8)
		perror("pagemap");
	close(fd);
	return entry >> 63 ? "present" : entry >> 62 & 1 ? "in swap" : "empty";
}

static USED const char *in_core(int n)
{
	unsigned char core = 0;

	return mincore(page(n), PAGE, &core) ? "an error" : core & 1 ? "1" : "0";
}

/* ---- */

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
	close(fd);
}

static void begin(int argc, char **argv, const char *mglru)
{
	struct sigaction act = { .sa_sigaction = trap, .sa_flags = SA_SIGINFO };
	cpu_set_t cpus;

	setvbuf(stdout, NULL, _IONBF, 0);
	if (argc > 1 && swapon(argv[1], 0))
		perror(argv[1]);
	if (!access("/sys/kernel/mm/lru_gen/enabled", W_OK))
		write_file("/sys/kernel/mm/lru_gen/enabled", mglru);
	mkdir(GROUP, 0755);
	write_file(GROUP "/cgroup.procs", "0");
	/* What was touched is on the LRU of the CPU that reclaims. */
	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	turn = mmap(NULL, 4096, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	turn->leave = -1;
	sigaction(SIGBUS, &act, NULL);
	sigaction(SIGSEGV, &act, NULL);
}

static int finish(int argc, char **argv, int steps)
{
	while (turn->now < steps && turn->leave != me)
		sched_yield();
	if (me)
		_exit(0);
	write_file("/sys/fs/cgroup/cgroup.procs", "0");
	while (wait(NULL) > 0)
		;
	rmdir(GROUP);
	if (argc > 1)
		swapoff(argv[1]);
	puts(turn->diverged ? "DIVERGED" : "as the contract says");
	return turn->diverged;
}
