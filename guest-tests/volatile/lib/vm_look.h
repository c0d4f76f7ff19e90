/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The model's interpreter: where the pages are, and the VMAs around them.
 */
#ifndef VM_LOOK_H
#define VM_LOOK_H

#include "vm_turns.h"

static int smaps = -1, pagemap = -1;

#define SEEN_MAPPED	1
#define SEEN_READ	2
#define SEEN_WRITE	4
#define SEEN_VOLATILE	8
#define SEEN_BORDER	16	/* below this page */

#define SEEN_PRESENT	1
#define SEEN_SWAP	2
#define SEEN_IN_CORE	4
#define SEEN_NO_MINCORE	8	/* it said an error */

static uint8_t seen[PAGES], where[PAGES];

/*
 * The VMAs of the arena, by smaps. It is most of what a program costs: the file is read in
 * small pieces and no further than needed, and only two lines of a VMA are looked into.
 */
static void look_at_vmas(void)
{
	static char text[4096];
	char *line = text, *end;
	unsigned long from = 0, to = 0, i;
	unsigned int bits = 0;
	size_t have = 0;
	ssize_t n;

	if (smaps < 0)
		smaps = open("/proc/self/smaps", O_RDONLY | O_CLOEXEC);
	memset(seen, 0, sizeof(seen));
	lseek(smaps, 0, SEEK_SET);
	for (;;) {
		end = memchr(line, '\n', text + have - line);
		if (!end) {	/* the rest of a line is not read yet */
			have -= line - text;
			memmove(text, line, have);
			line = text;
			n = read(smaps, text + have, 2048);
			if (n <= 0)
				return;
			have += n;
			continue;
		}
		*end = '\0';
		if (line[0] < 'A' || line[0] > 'Z') {	/* 200000-201000 rw-p ... */
			from = strtoul(line, &line, 16);
			to = strtoul(line + 1, &line, 16);
			if (from >= (unsigned long)page(PAGES))
				return;
			bits = SEEN_MAPPED;
			bits |= line[1] == 'r' ? SEEN_READ : 0;
			bits |= line[2] == 'w' ? SEEN_WRITE : 0;
		} else if (!strncmp(line, "VmFlags:", 8)) {
			bits |= strstr(line, " vl") ? SEEN_VOLATILE : 0;
			i = (from - (unsigned long)arena) / VR_PAGE;
			seen[i] = SEEN_BORDER;
			for (; page(i) < (char *)to; i++)
				seen[i] |= bits;
		}
		line = end + 1;
	}
}

static void look_at_pages(void)
{
	uint64_t entries[PAGES] = { 0 };
	unsigned int i;

	if (pagemap < 0)
		pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (pread(pagemap, entries, sizeof(entries), (uintptr_t)arena / VR_PAGE * 8) !=
	    sizeof(entries))
		_exit(1);
	for (i = 0; i < PAGES; i++) {
		where[i] = entries[i] >> 63 & 1 ? SEEN_PRESENT : 0;
		where[i] |= entries[i] >> 62 & 1 ? SEEN_SWAP : 0;
	}
}

/* After look_at_vmas(): what mincore() says, one call for each stretch without a hole. */
static void look_at_core(void)
{
	unsigned char core[PAGES];
	unsigned int i, from, to;

	for (from = 0; from < PAGES; from = to + 1) {
		for (to = from; to < PAGES && seen[to]; to++)
			;
		if (to == from)
			continue;
		if (mincore(page(from), (to - from) * VR_PAGE, core)) {
			for (i = from; i < to; i++)
				where[i] |= SEEN_NO_MINCORE;
			continue;
		}
		for (i = from; i < to; i++)
			where[i] |= core[i - from] & 1 ? SEEN_IN_CORE : 0;
	}
}

static void look(unsigned int op)
{
	unsigned int i;

	if (op & (LOOK_VMAS | LOOK_PAGES))
		look_at_pages();
	if (op & LOOK_VMAS) {
		look_at_vmas();
		look_at_core();
		for (i = 0; i < PAGES; i++)
			put(seen[i]);
	}
	if (op & (LOOK_VMAS | LOOK_PAGES))
		for (i = 0; i < PAGES; i++)
			put(where[i]);
}

#endif
