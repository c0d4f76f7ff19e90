/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The model's interpreter: what its processes share, and how they take turns.
 */
#ifndef VM_TURNS_H
#define VM_TURNS_H

#include "vr.h"

#include <linux/futex.h>
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

static struct shared {
	uint32_t turn;			/* a futex */
	bool crashed;			/* the last one to have its turn */
	unsigned int at, steps;
	struct step step[STEPS];
	unsigned int used;
	uint8_t records[RECORDS];
} *sh;

static uint32_t me;
static pid_t children[PROCESSES];

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

#endif
