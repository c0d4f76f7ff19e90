/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The model's interpreter: reading and writing pages that may not be there.
 */
#ifndef VM_ACCESS_H
#define VM_ACCESS_H

#include "vm_turns.h"

#include <setjmp.h>

/* What an access came to: the number before the tag that was read. */
enum access { ACC_ZERO, ACC_TAG, ACC_TORN, ACC_BUS, ACC_UNMAPPED, ACC_FORBIDDEN, ACC_ODD };

static sigjmp_buf jump;
static volatile sig_atomic_t accessing;
static volatile int trap_signo, trap_code;
static void *volatile trap_addr;

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

#endif
