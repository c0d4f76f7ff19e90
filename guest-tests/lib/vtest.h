/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest test program: a list of cases, one of which runs per process.
 *
 *	prog --list		one JSON object per case, no side effects
 *	prog --run NAME		that case, as KTAP on stdout
 *
 * A case runs in a worker process, its verdict is given by the process that
 * started the worker. So a worker that dies of a signal, or of the OOM killer,
 * is a failed case and no lost one, and what the case registered with
 * vt_cleanup() is undone all the same.
 *
 * Output goes out with one write() per line: nothing is buffered when a process
 * forks or dies.
 */
#ifndef VTEST_H
#define VTEST_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

struct vt_case {
	const char *name;		/* [a-z0-9_]+, unique in the program */
	void (*run)(void);
	const char *clauses;		/* space separated */
	const char *about;		/* one sentence */
	const char *needs;		/* space separated, may be NULL */
	const char *host_checks;	/* space separated, may be NULL */
	const char *driver;		/* who on the host talks to it, may be NULL */
	int timeout;			/* seconds on a fast guest; 0: 10 */
};

/* A line of the table of cases: a case is named like its function. */
#define VT_CASE(fn, clauses_, about_, ...)				\
	{ .name = #fn, .run = fn, .clauses = clauses_, .about = about_,	\
	  __VA_ARGS__ }

#define VT_ARG_MAX	256
#define VT_CLEANUP_MAX	32

/* What worker, its children and the judging process share. */
struct vt_shared {
	int checks;
	int failures;
	bool skipped;
	char reason[VT_ARG_MAX];
	int ncleanups;
	struct {
		void (*undo)(const char *arg);
		char arg[VT_ARG_MAX];
	} cleanup[VT_CLEANUP_MAX];
};

static struct vt_shared *vt_shared;

__attribute__((format(printf, 1, 0)))
static inline void vt_vdiag(const char *fmt, va_list ap)
{
	char line[1024] = "# ";

	vsnprintf(line + 2, sizeof(line) - 3, fmt, ap);
	strcat(line, "\n");
	if (write(STDOUT_FILENO, line, strlen(line)) < 0)
		_exit(1);
}

/* One diagnostic line. */
__attribute__((format(printf, 1, 2)))
static inline void vt_diag(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vt_vdiag(fmt, ap);
	va_end(ap);
}

/* Count one check; say what failed if it did. Returns whether it held. */
__attribute__((format(printf, 2, 3)))
static inline bool vt_check(bool held, const char *fmt, ...)
{
	va_list ap;

	__atomic_fetch_add(&vt_shared->checks, 1, __ATOMIC_RELAXED);
	if (held)
		return true;
	__atomic_fetch_add(&vt_shared->failures, 1, __ATOMIC_RELAXED);
	va_start(ap, fmt);
	vt_vdiag(fmt, ap);
	va_end(ap);
	return false;
}

/*
 * A value as a person wants to read it: errors by name, addresses in hex. -1 is
 * what libc returns for any error, and -EPERM too: errno says which it was.
 */
static inline const char *vt_show(long long v, char *buf, size_t size)
{
	const char *name = v < 0 && v > -200 ? strerrorname_np(-v) : NULL;

	if (v == -1 && errno)
		snprintf(buf, size, "-1 (errno %s)", strerrorname_np(errno));
	else if (v != -1 && name)
		snprintf(buf, size, "%lld (-%s)", v, name);
	else if (v > 0xffffff || v < -0xffffff)
		snprintf(buf, size, "%lld (%#llx)", v, (unsigned long long)v);
	else
		snprintf(buf, size, "%lld", v);
	return buf;
}

/* End the calling process, worker or child of one, as failed. */
__attribute__((noreturn))
static inline void vt_abandon(void)
{
	_exit(1);
}

#define VT_CMP(a, op, b) ({						\
	long long vt_a = (long long)(a), vt_b = (long long)(b);		\
	char vt_x[64], vt_y[64];					\
	vt_check(vt_a op vt_b, "%s:%d: %s " #op " %s: %s, %s",		\
		 __FILE__, __LINE__, #a, #b,				\
		 vt_show(vt_a, vt_x, sizeof(vt_x)),			\
		 vt_show(vt_b, vt_y, sizeof(vt_y)));			\
})

/* EXPECT goes on after a failure, REQUIRE ends the process. */
#define EXPECT(cond) ({							\
	bool vt_held = (cond);						\
	vt_check(vt_held, "%s:%d: %s: errno %d (%s)", __FILE__,		\
		 __LINE__, #cond, errno, strerrorname_np(errno));	\
})
#define EXPECT_EQ(a, b)	VT_CMP(a, ==, b)
#define EXPECT_NE(a, b)	VT_CMP(a, !=, b)
#define EXPECT_GE(a, b)	VT_CMP(a, >=, b)
#define EXPECT_LE(a, b)	VT_CMP(a, <=, b)
#define VT_OR_ABANDON(held) do { if (!(held)) vt_abandon(); } while (0)
#define REQUIRE(cond)	VT_OR_ABANDON(EXPECT(cond))
#define REQUIRE_EQ(a, b) VT_OR_ABANDON(EXPECT_EQ(a, b))
#define REQUIRE_GE(a, b) VT_OR_ABANDON(EXPECT_GE(a, b))

/* The kernel's configuration cannot offer what the case needs. */
__attribute__((noreturn, format(printf, 1, 2)))
static inline void vt_skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(vt_shared->reason, sizeof(vt_shared->reason), fmt, ap);
	va_end(ap);
	vt_shared->skipped = true;
	_exit(0);
}

/* Have @undo(@arg) called when the case has ended, the last one first. */
static inline void vt_cleanup(void (*undo)(const char *), const char *arg)
{
	int n = vt_shared->ncleanups;

	REQUIRE(n < VT_CLEANUP_MAX && strlen(arg) < VT_ARG_MAX);
	strcpy(vt_shared->cleanup[n].arg, arg);
	vt_shared->cleanup[n].undo = undo;
	vt_shared->ncleanups = n + 1;
}

/* Start a child that runs @fn and exits with 0, or with 1 if abandoned. */
static inline pid_t vt_fork(void (*fn)(void *), void *arg)
{
	pid_t pid = fork();

	REQUIRE(pid >= 0);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fn(arg);
	_exit(0);
}

/* The wait status of @pid. */
static inline int vt_wait(pid_t pid)
{
	int status;

	REQUIRE_EQ(TEMP_FAILURE_RETRY(waitpid(pid, &status, 0)), pid);
	return status;
}

/* Run @fn in a child: its wait status, 0 if it ran to its end. */
static inline int vt_run_child(void (*fn)(void *), void *arg)
{
	return vt_wait(vt_fork(fn, arg));
}

#include "vt_judge.h"

#define VT_MAIN(cases)							\
int main(int argc, char **argv)						\
{									\
	return vt_main(argc, argv, cases, sizeof(cases) / sizeof(*cases)); \
}

#endif
