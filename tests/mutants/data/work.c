// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is hard to switch, each with a result that is said: conditions inside
 * conditions, bodies without braces, else, macros that are loops, pointers and
 * masks as conditions, initializers, labels and jumps.
 */
#include "mutants.h"

int first(struct item *list, long n);
long second(struct item *item, long start, long end);
void third(struct item *list);
bool fourth(struct item *item);

static int checked(struct item *item, long n)
{
	if (!item || (n < 0 && !(item->flags & (FLAG_A | FLAG_B))))
		return -EINVAL;
	return n > 100 ? -ENOMEM : 0;
}

int first(struct item *list, long n)
{
	unsigned int seen = 0, mask = FLAG_A | FLAG_B;
	struct item *item;
	int error = 3;

	error = checked(list, n);
	if (error)
		goto out;
	for_each_item(item, list)
		if (item->flags & mask)
			seen |= item->flags;
		else if (item->value && n)
			say("else", item->value);
		else
			say("neither", n);
	for_each_item(item, list) {
		if (item->flags == FLAG_C)
			continue;
		say("flags", item->flags &
			     ~FLAG_A); /* over two lines,
					* with a comment */
	}
	switch (seen & (FLAG_A | FLAG_C)) {
	case FLAG_A | FLAG_C:
		say("both", seen);
		break;
	case FLAG_A:
		error = 1;
		say("one", seen);
		break;
	default:
		say("none", seen);
	}
out:
	say("out", error);
	return error;
}

long second(struct item *item, long start, long end)
{
	long sum = start ? start - 1 : end;
	long i = 0, limit = end;

	if (unlikely(mutex_lock_killable(&item->lock)))
		return -1;
	for (i = start; i < limit; i++)
		sum += i;
	for (i = end; i != start; i -= 2)
		if (i < start)
			break;
	do {
		sum++;
		limit--;
	} while (limit > start && sum < 1000);
	range(start, end);
	mutex_unlock(&item->lock);
	return sum;
}

void third(struct item *list)
{
	struct item *item = list;
	unsigned int gfp = GFP_KERNEL;

	while (item && item->next)
		item = item->next;
	if (list) {
		if (list->next)
			say("next", list->next->value);
		else
			say("last", list->value);
	}
	if (item) {
		spin_lock(&item->lock);
		WRITE_ONCE(item->value, READ_ONCE(item->value) + 1);
		say("value", item->value);
		item->flags |= FLAG_C;
		spin_unlock(&item->lock);
	} else {
		say("no item", 0);
	}
	smp_wmb();
	flush_tlb_page(item ? item->value : 0);
	say("gfp", alloc(gfp) + alloc(GFP_ATOMIC));
	if (item)
		item_put(item);
}

bool fourth(struct item *item)
{
	bool found = false;

	if (item && ({ say("asked", item->value); item->value; }) &&
	    (item->flags & FLAG_A || item->next))
		found = true;
#ifdef NOT_DEFINED
	found = !found;
#endif
	return found || !(item != NULL);
}
