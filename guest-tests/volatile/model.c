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
#include "vm_access.h"
#include "vm_look.h"

#include <linux/sched.h>

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
	unsigned char core;
	int ret;

	ret = placed(mremap(page(s->page), s->count * VR_PAGE, len, flags, page(s->to)),
		     page(s->to));
	/*
	 * Since 6.17 a move over the end of a VMA fails before what is in the way
	 * is gone. Let it go all the same: one program for all kernels.
	 */
	if (ret == -EFAULT && !mincore(page(s->page), VR_PAGE, &core))
		ret = munmap(page(s->to), len) ? -errno : ret;
	return ret;
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
