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

/* Notes that a mutant's place has been reached, and tells whether it is on. */
static inline __attribute__((__always_inline__)) int HARNESS_MUTANT(unsigned int number)
{
	*(volatile unsigned char *)&harness_mutant_reached[number] = 1;
	return *(volatile unsigned int *)&harness_mutant == number;
}

#endif
#endif
