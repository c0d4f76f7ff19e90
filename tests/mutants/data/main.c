// SPDX-License-Identifier: GPL-2.0-only
/* Runs work.c with the mutant of the number given, and prints what it says. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "mutants.h"

int first(struct item *list, long n);
long second(struct item *item, long start, long end);
void third(struct item *list);
bool fourth(struct item *item);

extern unsigned int harness_mutant;
extern unsigned char harness_mutant_reached[];
unsigned int harness_mutant;
unsigned char harness_mutant_reached[4096];

static int lines;

/* A mutant that never ends, or reads nothing's memory, ends here the same way. */
static void ended(int number)
{
	(void)number;
	fflush(stdout);
	_exit(1);
}

void say(const char *what, long value)
{
	printf("%s %ld\n", what, value);
	if (++lines > 300)
		ended(0);
}

void spin_lock(int *lock) { say("lock", (*lock)++); }
void spin_unlock(int *lock) { say("unlock", (*lock)--); }
int mutex_lock_killable(int *lock) { say("mutex", (*lock)++); return 0; }
void mutex_unlock(int *lock) { say("mutex given", (*lock)--); }
void smp_wmb(void) { say("barrier", 0); }
void flush_tlb_page(long addr) { say("flush", addr); }
void item_put(struct item *item) { say("put", item->value); }
void range(long start, long end) { say("start", start); say("end", end); }
unsigned int alloc(unsigned int gfp) { say("alloc", gfp); return gfp; }

int main(int argc, char **argv)
{
	struct item items[3] = {
		{ &items[1], FLAG_A, 7, 0 },
		{ &items[2], FLAG_C, 0, 0 },
		{ NULL, FLAG_B | FLAG_C, 9, 0 },
	};

	signal(SIGSEGV, ended);
	signal(SIGALRM, ended);
	alarm(1);
	harness_mutant = argc > 1 ? atoi(argv[1]) : 0;
	for (long n = -1; n < 2; n++)
		say("first", first(items, n));
	say("first", first(NULL, 0));
	say("first", first(items, 200));
	say("first", first(&items[1], 3));
	say("second", second(items, 2, 6));
	say("second", second(items, 0, 4));
	for (int i = 0; i < 3; i++) {
		say("fourth", fourth(&items[i]));
		third(&items[i]);
	}
	third(NULL);
	say("fourth", fourth(NULL));
	return 0;
}
