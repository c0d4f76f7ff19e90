/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Do an access and say which signal it got. The access is one instruction, and
 * the signal is caught on a stack of its own, so that it can be anywhere.
 */
#ifndef VT_FAULT_H
#define VT_FAULT_H

#include "vtest.h"

#include <setjmp.h>

struct vt_fault {
	int signo;		/* 0: the access went through */
	int code;
	void *addr;
};

static struct vt_fault vt_fault;
static sigjmp_buf vt_fault_jump;

static inline void vt_fault_handler(int signo, siginfo_t *info, void *context)
{
	(void)context;
	vt_fault.signo = signo;
	vt_fault.code = info->si_code;
	vt_fault.addr = info->si_addr;
	siglongjmp(vt_fault_jump, 1);
}

static inline struct vt_fault vt_catch(void (*access)(void *), void *arg)
{
	struct sigaction bus, segv, act = {
		.sa_sigaction = vt_fault_handler,
		.sa_flags = SA_SIGINFO | SA_ONSTACK,
	};

	memset(&vt_fault, 0, sizeof(vt_fault));
	sigaction(SIGBUS, &act, &bus);
	sigaction(SIGSEGV, &act, &segv);
	if (!sigsetjmp(vt_fault_jump, 1))
		access(arg);
	sigaction(SIGBUS, &bus, NULL);
	sigaction(SIGSEGV, &segv, NULL);
	return vt_fault;
}

static inline void vt_do_read(void *p)
{
	(void)*(volatile char *)p;
}

static inline void vt_do_write(void *p)
{
	*(volatile char *)p = 1;
}

static inline void vt_do_call(void *p)
{
	((void (*)(void))p)();
}

/* The access at @p got signal @signo_ with @code_ for exactly the address @p. */
#define EXPECT_FAULT(access, p, signo_, code_) do {			\
	struct vt_fault vt_f = vt_catch(access, p);			\
									\
	EXPECT_EQ(vt_f.signo, signo_);					\
	if (vt_f.signo) {						\
		EXPECT_EQ(vt_f.code, code_);				\
		EXPECT_EQ((uintptr_t)vt_f.addr, (uintptr_t)(p));	\
	}								\
} while (0)

#define EXPECT_NO_FAULT(access, p)					\
	EXPECT_EQ(vt_catch(access, p).signo, 0)

#endif
