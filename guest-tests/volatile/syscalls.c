// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel touching a purged page for the user: EFAULT or a short count, EIO
 * where somebody else asks, no signal, and the page stays purged.
 */
#include "vr_pages.h"

#include <linux/futex.h>
#include <linux/rseq.h>
#include <sys/ptrace.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/uio.h>

/* Four pages: the first is intact, the others are purged; all are volatile. */
static struct vr_range intact_then_purged(void)
{
	struct vr_range r = vr_purged(4);

	REQUIRE_EQ(vr_unmark(r.p, VR_PAGE), 1);
	vr_fill_page(&r, 0);
	REQUIRE_EQ(vr_mark(r.p, VR_PAGE), 0);
	return r;
}

/* Nothing of what was tried has changed the state of @r. */
static void expect_state_kept(const struct vr_range *r)
{
	EXPECT_EQ(vr_unmark(r->p, VR_PAGE), 0);
	EXPECT_EQ(vr_state(r, 0), VR_OLD);
	EXPECT_EQ(vr_unmark(r->p + VR_PAGE, VR_PAGE), 1);
	EXPECT_EQ(vr_unmark(r->p + 2 * VR_PAGE, VR_PAGE), 1);
	EXPECT_EQ(vr_unmark(r->p + 3 * VR_PAGE, VR_PAGE), 1);
}

static long result(long ret)
{
	return ret < 0 ? -errno : ret;
}

/* A pipe with @pages pages of zeros in it. */
static int full_pipe(size_t pages)
{
	static char zeros[4 * VR_PAGE];
	int fd[2];

	REQUIRE_EQ(pipe(fd), 0);
	REQUIRE_EQ(write(fd[1], zeros, pages * VR_PAGE), pages * VR_PAGE);
	return fd[0];
}

static void read_into(void)
{
	struct vr_range r = intact_then_purged();

	EXPECT_EQ(result(read(full_pipe(1), r.p + VR_PAGE, 10)), -EFAULT);
	EXPECT_EQ(result(read(full_pipe(2), r.p, 2 * VR_PAGE)), VR_PAGE);
	/* Control: that did write to the intact page. */
	EXPECT_EQ(vr_state(&r, 0), VR_ZERO);
	vr_fill_page(&r, 0);
	expect_state_kept(&r);
}

static void write_from(void)
{
	struct vr_range r = intact_then_purged();
	int fd = memfd_create("vr", 0), pipes[2];

	REQUIRE(fd >= 0);
	EXPECT_EQ(result(write(fd, r.p + VR_PAGE, 10)), -EFAULT);
	EXPECT_EQ(result(write(fd, r.p, 2 * VR_PAGE)), VR_PAGE);
	REQUIRE_EQ(pipe(pipes), 0);
	EXPECT_EQ(result(write(pipes[1], r.p + 2 * VR_PAGE, 10)), -EFAULT);
	EXPECT_EQ(result(write(pipes[1], r.p, 2 * VR_PAGE)), VR_PAGE);
	expect_state_kept(&r);
}

static void process_vm(void)
{
	struct vr_range r = intact_then_purged();
	static char buf[2 * VR_PAGE];
	struct iovec local = { buf, VR_PAGE };
	struct iovec remote = { r.p + VR_PAGE, VR_PAGE };
	struct iovec two = { buf, 2 * VR_PAGE }, both = { r.p, 2 * VR_PAGE };
	pid_t self = getpid();

	EXPECT_EQ(result(process_vm_readv(self, &local, 1, &remote, 1, 0)),
		  -EFAULT);
	EXPECT_EQ(result(process_vm_writev(self, &local, 1, &remote, 1, 0)),
		  -EFAULT);
	EXPECT_EQ(result(process_vm_readv(self, &two, 1, &both, 1, 0)), VR_PAGE);
	EXPECT_EQ(memcmp(buf, r.p, VR_PAGE), 0);
	expect_state_kept(&r);
}

static long futex(void *word, int op, int value)
{
	return result(syscall(SYS_futex, word, op, value, NULL, NULL, 0));
}

static void futexes(void)
{
	struct vr_range r = intact_then_purged();
	char *word = r.p + VR_PAGE;

	EXPECT_EQ(futex(word, FUTEX_WAIT_PRIVATE, 0), -EFAULT);
	EXPECT_EQ(futex(word, FUTEX_WAIT, 0), -EFAULT);
	EXPECT_EQ(futex(word, FUTEX_WAKE, 1), -EFAULT);
	/* This one does not look at the word, whether it is there or not. */
	EXPECT_EQ(futex(word, FUTEX_WAKE_PRIVATE, 1), 0);
	/* Control: on the intact page the same calls see the word. */
	EXPECT_EQ(futex(r.p, FUTEX_WAIT_PRIVATE, ~*(int *)r.p), -EAGAIN);
	EXPECT_EQ(futex(r.p, FUTEX_WAKE, 1), 0);
	expect_state_kept(&r);
}

static void proc_mem(void)
{
	struct vr_range r = intact_then_purged();
	int fd = open("/proc/self/mem", O_RDWR);
	char buf[16] = { 0 };

	REQUIRE(fd >= 0);
	EXPECT_EQ(result(pread(fd, buf, 16, (off_t)r.p + VR_PAGE)), -EIO);
	EXPECT_EQ(result(pwrite(fd, buf, 16, (off_t)r.p + VR_PAGE)), -EIO);
	EXPECT_EQ(result(pread(fd, buf, 16, (off_t)r.p)), 16);
	EXPECT_EQ(memcmp(buf, r.p, 16), 0);
	expect_state_kept(&r);
}

static void traced(void *arg)
{
	struct vr_range *r = arg;

	REQUIRE_EQ(ptrace(PTRACE_TRACEME, 0, NULL, NULL), 0);
	REQUIRE_EQ(raise(SIGSTOP), 0);
	expect_state_kept(r);
}

static void ptrace_peek_and_poke(void)
{
	struct vr_range r = intact_then_purged();
	pid_t pid = vt_fork(traced, &r);
	long word;

	REQUIRE(WIFSTOPPED(vt_wait(pid)));
	errno = 0;
	EXPECT_EQ(ptrace(PTRACE_PEEKDATA, pid, r.p + VR_PAGE, NULL), -1);
	EXPECT_EQ(errno, EIO);
	EXPECT_EQ(ptrace(PTRACE_POKEDATA, pid, r.p + VR_PAGE, 1L), -1);
	EXPECT_EQ(errno, EIO);
	errno = 0;
	word = ptrace(PTRACE_PEEKDATA, pid, r.p, NULL);
	EXPECT_EQ(errno, 0);
	EXPECT_EQ(word, *(long *)r.p);
	REQUIRE_EQ(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
	EXPECT_EQ(vt_wait(pid), 0);
}

static void populate(void)
{
	struct vr_range r = intact_then_purged();
	size_t len = vr_len(&r);

	EXPECT_EQ(vr_advise(r.p, len, MADV_POPULATE_READ), -EFAULT);
	EXPECT_EQ(vr_advise(r.p, len, MADV_POPULATE_WRITE), -EFAULT);
	EXPECT_EQ(vr_advise(r.p, VR_PAGE, MADV_POPULATE_WRITE), 0);
	expect_state_kept(&r);
}

static void do_nothing(int signo)
{
	(void)signo;
}

/* Take a signal on the stack at @arg. */
static void signal_on_stack(void *arg)
{
	struct sigaction act = { .sa_handler = do_nothing,
				 .sa_flags = SA_ONSTACK };
	stack_t stack = { .ss_sp = arg, .ss_size = 16 * VR_PAGE };

	REQUIRE_EQ(sigaltstack(&stack, NULL), 0);
	REQUIRE_EQ(sigaction(SIGUSR1, &act, NULL), 0);
	REQUIRE_EQ(raise(SIGUSR1), 0);
}

static void signal_frame(void)
{
	struct vr_range r = vr_purged(16);
	int status = vt_run_child(signal_on_stack, r.p);

	EXPECT(WIFSIGNALED(status));
	EXPECT_EQ(WTERMSIG(status), SIGSEGV);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 1);
	/* Control: the stack is good otherwise. */
	EXPECT_EQ(vt_run_child(signal_on_stack, r.p), 0);
}

#ifndef RSEQ_SIG
#define RSEQ_SIG	0x53053053
#endif

/*
 * Take back what libc has registered. It must be given the same size: all that the
 * kernel can fill, as glibc says from 2.40 on, and 32 at least.
 */
static void unregister_rseq(void)
{
	char *area = (char *)__builtin_thread_pointer() + __rseq_offset;

	if (__rseq_size)
		REQUIRE_EQ(syscall(SYS_rseq, area, __rseq_size < 32 ? 32 : __rseq_size,
				   RSEQ_FLAG_UNREGISTER, RSEQ_SIG), 0);
}

/* Have the kernel write our CPU to @arg, which is purged if @purge, and move. */
static void move_with_rseq(void *arg, bool purge)
{
	vt_pin(0);
	unregister_rseq();
	REQUIRE_EQ(syscall(SYS_rseq, arg, 32, 0, RSEQ_SIG), 0);
	REQUIRE_EQ(vr_mark(arg, VR_PAGE), 0);
	if (purge)
		REQUIRE_EQ(vr_pageout(arg, VR_PAGE), 0);
	vt_pin(1);
	EXPECT_EQ(((struct rseq *)arg)->cpu_id, 1);
}

static void move_purged(void *arg)
{
	move_with_rseq(arg, true);
}

static void move_intact(void *arg)
{
	move_with_rseq(arg, false);
}

static void rseq_area(void)
{
	/* Touched by the child first: what it shares is not purged. */
	int status = vt_run_child(move_purged, vr_anon(1));

	EXPECT(WIFSIGNALED(status));
	EXPECT_EQ(WIFSIGNALED(status) ? WTERMSIG(status) : 0, SIGSEGV);
	EXPECT_EQ(vt_run_child(move_intact, vr_anon(1)), 0);
}

static const struct vt_case cases[] = {
	VT_CASE(read_into, "V-SB-2",
		"read into a purged page: EFAULT, or short before it."),
	VT_CASE(write_from, "V-SB-2",
		"write from a purged page: EFAULT, or short before it."),
	VT_CASE(process_vm, "V-SB-2",
		"process_vm_readv and writev: EFAULT, or short before it."),
	VT_CASE(futexes, "V-SB-2",
		"A futex in a purged page: EFAULT where the word is looked at."),
	VT_CASE(proc_mem, "V-SB-2",
		"/proc/PID/mem of a purged page: EIO."),
	VT_CASE(ptrace_peek_and_poke, "V-SB-2 V-SB-7",
		"ptrace of a purged page: EIO."),
	VT_CASE(populate, "V-SB-11",
		"MADV_POPULATE over purged pages: EFAULT, and they stay purged."),
	VT_CASE(signal_frame, "V-SB-2 V-SB-7",
		"A signal frame in a purged page: SIGSEGV."),
	VT_CASE(rseq_area, "V-SB-2", "A purged rseq area: SIGSEGV."),
};

VT_MAIN(cases)
