/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stress: accesses that may end in a signal, by any thread, and what they
 * may find.
 */
#ifndef VS_LOOK_H
#define VS_LOOK_H

#include "vs_plot.h"

#include <setjmp.h>

static __thread struct {
	sigjmp_buf jump;
	bool armed;
	int signo, code;
	void *addr;
} vs_fault;

static inline void vs_on_fault(int signo, siginfo_t *info, void *context)
{
	(void)context;
	if (signo == SIGBUS)
		VS_COUNT(sigbus, 1);
	if (!vs_fault.armed) {
		vt_check(false, "signal %d, code %d, at %p, which is no page of ours",
			 signo, info->si_code, info->si_addr);
		_exit(1);
	}
	vs_fault.armed = false;
	vs_fault.signo = signo;
	vs_fault.code = info->si_code;
	vs_fault.addr = info->si_addr;
	siglongjmp(vs_fault.jump, 1);
}

static inline void vs_catch_faults(void)
{
	/* SA_NODEFER: the mask need not be restored after a jump. */
	struct sigaction act = { .sa_sigaction = vs_on_fault,
				 .sa_flags = SA_SIGINFO | SA_NODEFER };

	REQUIRE_EQ(sigaction(SIGBUS, &act, NULL), 0);
	REQUIRE_EQ(sigaction(SIGSEGV, &act, NULL), 0);
}

/* Whatever comes after it and before vs_safe() may fault; true: it did. */
#define VS_FAULTED() \
	(vs_fault.signo = 0, vs_fault.armed = true, \
	 sigsetjmp(vs_fault.jump, 0) != 0)

static inline void vs_safe(void)
{
	vs_fault.armed = false;
}

/* A SIGBUS is of the kind, and for the place, that a purged page has. */
static inline void vs_check_sigbus(const volatile void *p)
{
	vt_check(vs_fault.code == BUS_ADRERR && vs_fault.addr == p,
		 "SIGBUS code %d for %p, and %p was accessed", vs_fault.code,
		 vs_fault.addr, p);
}

enum vs_sight { VS_FINE, VS_ZEROS, VS_GONE, VS_TORN, VS_SEGV };

static const char *const vs_sights[] = {
	"as written", "zeros", "SIGBUS", "torn", "SIGSEGV"
};

/*
 * The loops over a page say in @at where they are; they are functions of their
 * own as a jump out of them loses what the compiler holds in registers.
 */
static VR_HOT __attribute__((noinline)) enum vs_sight
vs_compare(const volatile uint64_t *word, uint64_t magic, size_t i, bool zeros,
	   volatile size_t *at)
{
	uint64_t any = 0, is;
	bool fine = true;
	size_t w;

	for (w = 0; w < VR_WORDS; w++) {
		*at = w;
		is = word[w];
		any |= is;
		fine &= is == (zeros ? 0 : vr_word(magic, i, w));
	}
	if (fine)
		return VS_FINE;
	return any ? VS_TORN : VS_ZEROS;
}

static VR_HOT __attribute__((noinline)) void
vs_put(volatile uint64_t *word, uint64_t magic, size_t i, volatile size_t *at)
{
	size_t w;

	for (w = 0; w < VR_WORDS; w++) {
		*at = w;
		word[w] = vr_word(magic, i, w);
	}
}

/* Read all of page @i, expecting @gen (or, with 0, zeros). */
static inline enum vs_sight vs_look(const struct vs_plot *plot, size_t i,
				    uint32_t gen)
{
	const volatile uint64_t *word = (uint64_t *)vs_at(plot, i);
	volatile size_t at = 0;
	enum vs_sight sight;

	if (VS_FAULTED()) {
		if (vs_fault.signo != SIGBUS)
			return VS_SEGV;
		vs_check_sigbus(word + at);
		return VS_GONE;
	}
	sight = vs_compare(word, vs_magic(plot, gen), i, !gen, &at);
	vs_safe();
	return sight;
}

/* Write all of page @i; false: SIGBUS on the way. */
static inline bool vs_fill(const struct vs_plot *plot, size_t i, uint32_t gen)
{
	volatile uint64_t *word = (uint64_t *)vs_at(plot, i);
	volatile size_t at = 0;

	if (VS_FAULTED()) {
		vt_check(vs_fault.signo == SIGBUS, "signal %d on a write",
			 vs_fault.signo);
		vs_check_sigbus(word + at);
		return false;
	}
	vs_put(word, vs_magic(plot, gen), i, &at);
	vs_safe();
	return true;
}

/*
 * Access one word, as a write that changes nothing if @write. Returns the
 * signal, or 0 and the word in @value.
 */
static inline int vs_touch(volatile uint64_t *p, bool write, uint64_t *value)
{
	if (VS_FAULTED()) {
		if (vs_fault.signo == SIGBUS)
			vs_check_sigbus(p);
		return vs_fault.signo;
	}
	*value = write ? __atomic_fetch_or(p, 0, __ATOMIC_SEQ_CST) : *p;
	vs_safe();
	return 0;
}

/* Reclaim has no right to this page, whatever its flag. */
static inline bool vs_is_safe(const struct vs_page *page)
{
	return !page->vol || page->locked || page->kin || page->pin;
}

/* Is what was seen of a page what its book allows? It may just have gone. */
static inline bool vs_allowed(const struct vs_page *page, enum vs_sight sight)
{
	if (page->gone)
		return sight == VS_GONE;
	return sight == VS_FINE || (sight == VS_GONE && !vs_is_safe(page));
}

/* Look at a part of a plot, whose lock is held; learn which pages are gone. */
static inline void vs_inspect(struct vs_plot *plot, struct vs_part part)
{
	size_t i;

	for (i = part.from; i < part.to; i++) {
		struct vs_page *page = &plot->page[i];
		enum vs_sight sight = vs_look(plot, i, page->gen);

		if (!vs_allowed(page, sight)) {
			vs_wrong(plot, i, vs_sights[sight]);
			return;
		}
		page->gone = sight == VS_GONE;
	}
	vt_check(true, "%s", "");
}

#endif
