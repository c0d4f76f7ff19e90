/* SPDX-License-Identifier: GPL-2.0-only */
/* What work.c has of a kernel, so that it is an ordinary program. */
#include <stdbool.h>
#include <stddef.h>

#define READ_ONCE(x) (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, value) (*(volatile __typeof__(x) *)&(x) = (value))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define for_each_item(item, list) for (item = (list); item; item = item->next)
#define PAGE_SIZE 16
#define EINVAL 22
#define ENOMEM 12
#define GFP_KERNEL 0xc0u
#define GFP_ATOMIC 0x20u
#define FLAG_A 1u
#define FLAG_B 2u
#define FLAG_C 4u

struct item {
	struct item *next;
	unsigned int flags;
	long value;
	int lock;
};

/* Each adds to what the program says. */
void say(const char *what, long value);
void spin_lock(int *lock);
void spin_unlock(int *lock);
int mutex_lock_killable(int *lock);
void mutex_unlock(int *lock);
void smp_wmb(void);
void flush_tlb_page(long addr);
void item_put(struct item *item);
void range(long start, long end);
unsigned int alloc(unsigned int gfp);
