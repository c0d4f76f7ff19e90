// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random programs, told by the host: an interpreter that does each step and says
 * what became of it. What is right and what is wrong, the host knows:
 * patches/volatile/model/.
 *
 * A request is a line: `go N HEX`, N the LRU (0 classic, 1 MGLRU), HEX a number of
 * programs. Each is a byte, how many steps, and the steps, struct step below. The
 * answer is a line `@reply HEX`: per program a byte (enum end), the length of the
 * records in two bytes, and the records, one a step: two bytes of result, and after
 * it what the step asked for. Numbers are little endian.
 *
 * Each program has processes of its own, which are in a control group of their own,
 * and take turns. This process stays outside and reclaims when it is a program's turn
 * to have that done. All of it runs on one CPU: what was touched is on the LRU when
 * it is reclaimed.
 */
#include "vr.h"

#include <linux/futex.h>
#include <linux/sched.h>
#include <setjmp.h>
#include <sys/syscall.h>

#define PAGES		16
#define PROCESSES	3
#define KEEPER		PROCESSES		/* whose turn it is: this process's */
#define LEAVE		(KEEPER + 1)		/* or that process 0, 1 ... is to end */
#define ALL_END		(LEAVE + PROCESSES)	/* or that all are */
#define STEPS		250
#define RECORDS		(64 << 10)		/* bytes, of one program */
#define REQUEST		(1 << 20)

/* Below the program, so that it comes first in smaps. */
static char *const arena = (char *)0x200000;

extern const char __executable_start[];

enum op {
	OP_LOOK, OP_READ, OP_WRITE, OP_MARK, OP_UNMARK, OP_PAGEOUT, OP_RECLAIM,
	OP_MPROTECT, OP_MMAP, OP_MUNMAP, OP_DONTNEED, OP_MOVE, OP_RESIZE, OP_FORK,
	OP_EXIT,
};

#define LOOK_PAGES	0x40		/* after the step: where the pages are */
#define LOOK_VMAS	0x80		/* after the step: the VMAs, and all of that */

struct step {
	uint8_t op, who, page, count, to, more;
};

enum end { END_OK, END_CRASHED, END_STUCK };

/* What an access came to: the number before the tag that was read. */
enum access { ACC_ZERO, ACC_TAG, ACC_TORN, ACC_BUS, ACC_UNMAPPED, ACC_FORBIDDEN, ACC_ODD };

static struct shared {
	uint32_t turn;			/* a futex */
	bool crashed;			/* the last one to have its turn */
	unsigned int at, steps;
	struct step step[STEPS];
	unsigned int used;
	uint8_t records[RECORDS];
} *sh;

static uint32_t me;
static int smaps = -1, pagemap = -1;
static pid_t children[PROCESSES];
static sigjmp_buf jump;
static volatile sig_atomic_t accessing;
static volatile int trap_signo, trap_code;
static void *volatile trap_addr;

static void put(unsigned int byte)
{
	if (sh->used < RECORDS)
		sh->records[sh->used++] = byte;
}

static void put2(int value)
{
	put(value & 0xff);
	put(value >> 8 & 0xff);
}

static char *page(unsigned int i)
{
	return arena + i * VR_PAGE;
}

/* ---- taking turns ----------------------------------------------------------- */

static void wake(void)
{
	syscall(SYS_futex, &sh->turn, FUTEX_WAKE, PROCESSES + 1, NULL, NULL, 0);
}

static void give_turn(uint32_t who)
{
	__atomic_store_n(&sh->turn, who, __ATOMIC_SEQ_CST);
	wake();
}

static void wait_turn(void)
{
	uint32_t turn;

	for (;;) {
		turn = __atomic_load_n(&sh->turn, __ATOMIC_SEQ_CST);
		if (turn == ALL_END || turn == LEAVE + me)
			_exit(0);
		if (turn == me)
			return;
		syscall(SYS_futex, &sh->turn, FUTEX_WAIT, turn, NULL, NULL, 0);
	}
}

/* Whose turn it is to do the step at hand. */
static uint32_t next_one(void)
{
	const struct step *s = &sh->step[sh->at];

	return sh->at == sh->steps || (s->op & 0x3f) == OP_RECLAIM ? KEEPER : s->who;
}

/* ---- accesses ------------------------------------------------------------------ */

static void trap(int signo, siginfo_t *info, void *context)
{
	(void)context;
	if (!accessing) {
		sh->crashed = true;
		give_turn(KEEPER);
		_exit(1);
	}
	accessing = 0;
	trap_signo = signo;
	trap_code = info->si_code;
	trap_addr = info->si_addr;
	siglongjmp(jump, 1);
}

static enum access trapped(const char *p)
{
	if (trap_addr != p)
		return ACC_ODD;
	if (trap_signo == SIGBUS && trap_code == BUS_ADRERR)
		return ACC_BUS;
	if (trap_signo == SIGSEGV && trap_code == SEGV_MAPERR)
		return ACC_UNMAPPED;
	if (trap_signo == SIGSEGV && trap_code == SEGV_ACCERR)
		return ACC_FORBIDDEN;
	return ACC_ODD;
}

#define HOT	__attribute__((optimize("O2")))

static HOT uint64_t word(unsigned int tag, unsigned int w)
{
	return 1ULL << 63 | (uint64_t)tag << 32 | w;
}

/* The first word of a page, read or written; false if that trapped. */
static bool first_word(volatile uint64_t *p, const uint64_t *to_write, uint64_t *read)
{
	if (sigsetjmp(jump, 0))
		return false;
	accessing = 1;
	if (to_write)
		*p = *to_write;
	else
		*read = *p;
	accessing = 0;
	return true;
}

static HOT enum access rest_of_page(const volatile uint64_t *words, uint64_t first)
{
	unsigned int tag = first >> 32 & 0xffff, w;

	for (w = 0; w < VR_PAGE / 8; w++)
		if (words[w] != (first ? word(tag, w) : 0))
			return ACC_TORN;
	return first ? ACC_TAG : ACC_ZERO;
}

static void read_page(const char *p)
{
	uint64_t first = 0;

	if (first_word((uint64_t *)p, NULL, &first))
		put(rest_of_page((const uint64_t *)p, first));
	else
		put(trapped(p));
	put2(first >> 32 & 0xffff);
}

static HOT void write_page(char *p, unsigned int tag)
{
	volatile uint64_t *words = (volatile uint64_t *)p;
	uint64_t first = word(tag, 0);
	unsigned int w;

	if (!first_word(words, &first, NULL)) {
		put(trapped(p));
		put2(0);
		return;
	}
	for (w = 1; w < VR_PAGE / 8; w++)
		words[w] = word(tag, w);
	put(ACC_TAG);
	put2(tag);
}

/* ---- looking ---------------------------------------------------------------------- */

#define SEEN_MAPPED	1
#define SEEN_READ	2
#define SEEN_WRITE	4
#define SEEN_VOLATILE	8
#define SEEN_BORDER	16	/* below this page */

#define SEEN_PRESENT	1
#define SEEN_SWAP	2
#define SEEN_IN_CORE	4
#define SEEN_NO_MINCORE	8	/* it said an error */

static uint8_t seen[PAGES], where[PAGES];

/*
 * The VMAs of the arena, by smaps. It is most of what a program costs: the file is read in
 * small pieces and no further than needed, and only two lines of a VMA are looked into.
 */
static void look_at_vmas(void)
{
	static char text[4096];
	char *line = text, *end;
	unsigned long from = 0, to = 0, i;
	unsigned int bits = 0;
	size_t have = 0;
	ssize_t n;

	if (smaps < 0)
		smaps = open("/proc/self/smaps", O_RDONLY | O_CLOEXEC);
	memset(seen, 0, sizeof(seen));
	lseek(smaps, 0, SEEK_SET);
	for (;;) {
		end = memchr(line, '\n', text + have - line);
		if (!end) {	/* the rest of a line is not read yet */
			have -= line - text;
			memmove(text, line, have);
			line = text;
			n = read(smaps, text + have, 2048);
			if (n <= 0)
				return;
			have += n;
			continue;
		}
		*end = '\0';
		if (line[0] < 'A' || line[0] > 'Z') {	/* 200000-201000 rw-p ... */
			from = strtoul(line, &line, 16);
			to = strtoul(line + 1, &line, 16);
			if (from >= (unsigned long)page(PAGES))
				return;
			bits = SEEN_MAPPED;
			bits |= line[1] == 'r' ? SEEN_READ : 0;
			bits |= line[2] == 'w' ? SEEN_WRITE : 0;
		} else if (!strncmp(line, "VmFlags:", 8)) {
			bits |= strstr(line, " vl") ? SEEN_VOLATILE : 0;
			i = (from - (unsigned long)arena) / VR_PAGE;
			seen[i] = SEEN_BORDER;
			for (; page(i) < (char *)to; i++)
				seen[i] |= bits;
		}
		line = end + 1;
	}
}

static void look_at_pages(void)
{
	uint64_t entries[PAGES] = { 0 };
	unsigned int i;

	if (pagemap < 0)
		pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (pread(pagemap, entries, sizeof(entries), (uintptr_t)arena / VR_PAGE * 8) !=
	    sizeof(entries))
		_exit(1);
	for (i = 0; i < PAGES; i++) {
		where[i] = entries[i] >> 63 & 1 ? SEEN_PRESENT : 0;
		where[i] |= entries[i] >> 62 & 1 ? SEEN_SWAP : 0;
	}
}

/* After look_at_vmas(): what mincore() says, one call for each stretch without a hole. */
static void look_at_core(void)
{
	unsigned char core[PAGES];
	unsigned int i, from, to;

	for (from = 0; from < PAGES; from = to + 1) {
		for (to = from; to < PAGES && seen[to]; to++)
			;
		if (to == from)
			continue;
		if (mincore(page(from), (to - from) * VR_PAGE, core)) {
			for (i = from; i < to; i++)
				where[i] |= SEEN_NO_MINCORE;
			continue;
		}
		for (i = from; i < to; i++)
			where[i] |= core[i - from] & 1 ? SEEN_IN_CORE : 0;
	}
}

static void look(unsigned int op)
{
	unsigned int i;

	if (op & (LOOK_VMAS | LOOK_PAGES))
		look_at_pages();
	if (op & LOOK_VMAS) {
		look_at_vmas();
		look_at_core();
		for (i = 0; i < PAGES; i++)
			put(seen[i]);
	}
	if (op & (LOOK_VMAS | LOOK_PAGES))
		for (i = 0; i < PAGES; i++)
			put(where[i]);
}

/* ---- steps ----------------------------------------------------------------------------- */

static int result(long ret)
{
	return ret == -1 ? -errno : ret;
}

/* A call that returns an address: 0 if it is the one that was asked for. */
static int placed(void *ret, void *wanted)
{
	if (ret == MAP_FAILED)
		return -errno;
	return ret != wanted;
}

static int advise(const struct step *s, int advice)
{
	size_t len = s->count * VR_PAGE;
	char *p = page(s->page);

	/* The same pages by an odd length; an odd address. */
	if (s->more == 1 && len)
		len -= VR_PAGE - 1;
	if (s->more == 2)
		p += 8;
	return result(madvise(p, len, advice));
}

static int move(const struct step *s)
{
	bool keep = s->more & 0x80;
	size_t len = (s->more & 0x7f) * VR_PAGE;
	int flags = MREMAP_MAYMOVE | MREMAP_FIXED | (keep ? MREMAP_DONTUNMAP : 0);

	return placed(mremap(page(s->page), s->count * VR_PAGE, len, flags, page(s->to)),
		      page(s->to));
}

static void perform(void);

static int split_off(unsigned int who)
{
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid) {
		children[who] = pid;
		return 0;
	}
	me = who;
	smaps = pagemap = -1;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	perform();
	_exit(0);
}

static int end_child(unsigned int who)
{
	int status;

	give_turn(LEAVE + who);
	if (waitpid(children[who], &status, 0) < 0)
		return -errno;
	give_turn(me);
	return status;
}

static const int rights[] = { PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE };

static void do_step(const struct step *s)
{
	size_t len = s->count * VR_PAGE;
	char *p = page(s->page);
	unsigned int i;
	int ret = 0;

	switch ((enum op)(s->op & 0x3f)) {
	case OP_LOOK:
	case OP_READ:
	case OP_WRITE:
	case OP_RECLAIM:
		break;
	case OP_MARK:
		ret = advise(s, MADV_VOLATILE);
		break;
	case OP_UNMARK:
		ret = advise(s, MADV_NONVOLATILE);
		break;
	case OP_PAGEOUT:
		ret = advise(s, MADV_PAGEOUT);
		break;
	case OP_DONTNEED:
		ret = advise(s, MADV_DONTNEED);
		break;
	case OP_MPROTECT:
		ret = result(mprotect(p, len, rights[s->more]));
		break;
	case OP_MMAP:
		ret = placed(mmap(p, len, rights[s->more], MAP_PRIVATE | MAP_ANONYMOUS |
				  MAP_FIXED | MAP_NORESERVE, -1, 0), p);
		break;
	case OP_MUNMAP:
		ret = result(munmap(p, len));
		break;
	case OP_MOVE:
		ret = move(s);
		break;
	case OP_RESIZE:
		ret = placed(mremap(p, len, s->more * VR_PAGE, 0), p);
		break;
	case OP_FORK:
		ret = split_off(s->to);
		break;
	case OP_EXIT:
		ret = end_child(s->to);
		break;
	}
	put2(ret);
	for (i = 0; i < s->count && (s->op & 0x3f) == OP_READ; i++)
		read_page(page(s->page + i));
	for (i = 0; i < s->count && (s->op & 0x3f) == OP_WRITE; i++)
		write_page(page(s->page + i), 1 + sh->at * PAGES + i);
	look(s->op);
}

/* A process of a program: does its steps when it is its turn. */
static void perform(void)
{
	for (;;) {
		wait_turn();
		while (next_one() == me) {
			do_step(&sh->step[sh->at]);
			sh->at++;
		}
		give_turn(next_one());
	}
}

/* ---- programs --------------------------------------------------------------------------- */

static int group_fd, reclaim_fd;
static const char *group;
static double patience = 10;		/* seconds, of a program that does not go on */

static void reclaim(const struct step *s)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%lu", s->count * VR_PAGE);

	/* It may fall short: what it takes, not how much, matters. */
	put2(result(pwrite(reclaim_fd, text, n, 0)) < 0 ? -EAGAIN : 0);
}

/* The first process of a program starts in the group: no page of it was outside. */
static void start(void)
{
	struct clone_args args = {
		.flags = CLONE_INTO_CGROUP,
		.exit_signal = SIGCHLD,
		.cgroup = group_fd,
	};
	long pid = syscall(SYS_clone3, &args, sizeof(args));

	REQUIRE(pid >= 0);
	if (pid)
		return;
	me = 0;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	perform();
}

/* Wait for the turn to come back; false: it did not. */
static bool wait_keeper(void)
{
	struct timespec limit = { .tv_sec = patience };
	uint32_t turn;

	for (;;) {
		turn = __atomic_load_n(&sh->turn, __ATOMIC_SEQ_CST);
		if (turn == KEEPER)
			return true;
		if (syscall(SYS_futex, &sh->turn, FUTEX_WAIT, turn, &limit, NULL, 0) &&
		    errno == ETIMEDOUT)
			return false;
	}
}

static enum end run_program(void)
{
	enum end how = END_OK;

	sh->at = sh->used = sh->crashed = 0;
	sh->turn = next_one();
	start();
	for (;;) {
		if (!wait_keeper()) {
			how = END_STUCK;
			vt_write(vt_cgroup_path(group, "cgroup.kill"), "1");
			break;
		}
		if (sh->crashed)
			how = END_CRASHED;
		if (sh->crashed || sh->at == sh->steps)
			break;
		while (sh->at < sh->steps && next_one() == KEEPER)
			reclaim(&sh->step[sh->at++]);
		give_turn(next_one());
	}
	give_turn(ALL_END);
	while (waitpid(-1, NULL, 0) > 0)
		;
	return how;
}

static uint8_t request[REQUEST];
static char answer[8 << 20];
static size_t answered;

static void answer_byte(unsigned int byte)
{
	static const char digits[] = "0123456789abcdef";

	REQUIRE(answered + 3 < sizeof(answer));
	answer[answered++] = digits[byte >> 4 & 15];
	answer[answered++] = digits[byte & 15];
}

static void send_answer(void)
{
	size_t sent = 0;
	ssize_t n;

	answer[answered++] = '\n';
	while (sent < answered) {
		n = write(STDOUT_FILENO, answer + sent, answered - sent);
		REQUIRE(n > 0);
		sent += n;
	}
}

static unsigned int digit(int c)
{
	return c <= '9' ? c - '0' : c - 'a' + 10;
}

static void choose_lru(const char *which)
{
	static const char knob[] = "/sys/kernel/mm/lru_gen/enabled";
	static char now;

	if (now == which[0] || access(knob, F_OK))
		return;
	if (!now)
		vt_set(knob, which[0] == '1' ? "y" : "n");
	else
		vt_write(knob, which[0] == '1' ? "y" : "n");
	now = which[0];
}

/* All programs of one line. Returns how many. */
static size_t run_request(const char *line)
{
	const char *hex = line + strlen("go 0 ");
	size_t have = 0, at = 0, count = 0, i;

	REQUIRE(!strncmp(line, "go ", 3));
	choose_lru(line + 3);
	for (; hex[0] > ' ' && hex[1] > ' '; hex += 2) {
		REQUIRE(have < REQUEST);
		request[have++] = digit(hex[0]) << 4 | digit(hex[1]);
	}
	answered = 0;
	for (i = 0; i < strlen("@reply "); i++)
		answer[answered++] = "@reply "[i];
	for (; at < have; count++) {
		enum end how;

		sh->steps = request[at++];
		REQUIRE(sh->steps <= STEPS && at + sh->steps * sizeof(*sh->step) <= have);
		memcpy(sh->step, request + at, sh->steps * sizeof(*sh->step));
		at += sh->steps * sizeof(*sh->step);
		how = run_program();
		answer_byte(how);
		answer_byte(sh->used & 0xff);
		answer_byte(sh->used >> 8);
		for (i = 0; i < sh->used; i++)
			answer_byte(sh->records[i]);
	}
	send_answer();
	return count;
}

static void random_programs(void)
{
	struct sigaction act = {
		.sa_sigaction = trap,
		.sa_flags = SA_SIGINFO | SA_NODEFER,
	};
	const char *pace = getenv("HARNESS_PACE");
	size_t size = 0, count = 0;
	char *line = NULL;

	REQUIRE(__executable_start >= page(PAGES));
	if (pace)
		patience *= strtod(pace, NULL);
	vt_swap_disk();
	vt_pin(0);
	group = vt_cgroup("vr-model");
	/* Nothing else is there, before it or in it. */
	REQUIRE_EQ(mmap(arena, PAGES * VR_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS |
			MAP_FIXED_NOREPLACE, -1, 0) == arena, true);
	look_at_vmas();
	REQUIRE(seen[0] == (SEEN_MAPPED | SEEN_BORDER) && seen[PAGES - 1] == SEEN_MAPPED);
	REQUIRE_EQ(munmap(arena, PAGES * VR_PAGE), 0);
	close(smaps);
	smaps = -1;
	group_fd = open(group, O_PATH | O_DIRECTORY | O_CLOEXEC);
	reclaim_fd = open(vt_cgroup_path(group, "memory.reclaim"), O_WRONLY | O_CLOEXEC);
	REQUIRE(group_fd >= 0 && reclaim_fd >= 0);
	/* Orphans of a program are ours to wait for. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	REQUIRE(sh != MAP_FAILED);
	sigaction(SIGBUS, &act, NULL);
	sigaction(SIGSEGV, &act, NULL);
	while (getline(&line, &size, stdin) > 0)
		count += run_request(line);
	EXPECT_GE(count, 1);
	vt_diag("%zu programs", count);
}

static const struct vt_case cases[] = {
	VT_CASE(random_programs,
		"V-IF-2 V-IF-3 V-IF-4 V-MK-1 V-MK-2 V-MK-4 V-MK-5 V-MK-7 V-PG-1 V-PG-2 V-PG-3 "
		"V-PG-4 V-PG-10 V-SB-1 V-SB-5 V-SB-6 V-SB-7 V-SB-8 V-SB-9 V-SB-10",
		"Random programs do what the model of the contract says, step by step.",
		.driver = "model", .timeout = 60),
};
VT_MAIN(cases)
