/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The switch of the mutants in this kernel: see switch.c. Nothing is included,
 * so that any file can include this first.
 */
#ifndef _LINUX_HARNESS_MUTANT_H
#define _LINUX_HARNESS_MUTANT_H
#if !defined(__ASSEMBLY__) && !defined(__ASSEMBLER__)

extern unsigned int harness_mutant;
extern unsigned char harness_mutant_reached[];

static inline __attribute__((__always_inline__)) int HARNESS_MUTANT_ON(unsigned int number)
{
	return *(volatile unsigned int *)&harness_mutant == number;
}

static inline __attribute__((__always_inline__)) void HARNESS_REACHED(unsigned int number)
{
	*(volatile unsigned char *)&harness_mutant_reached[number] = 1;
}

/* Notes that a mutant's place has been reached, and tells whether it is on. */
static inline __attribute__((__always_inline__)) int HARNESS_MUTANT(unsigned int number)
{
	HARNESS_REACHED(number);
	return HARNESS_MUTANT_ON(number);
}

/* The value of a condition; a mutant that takes it for the other one is reached. */
static inline __attribute__((__always_inline__)) int
HARNESS_CONDITION(unsigned int number, int taken, int is)
{
	if (is != taken)
		HARNESS_REACHED(number);
	return is;
}

#endif
#endif
