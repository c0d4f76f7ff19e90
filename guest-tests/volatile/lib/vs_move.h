/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stress: mremap(). Contents, flags and purged entries go along.
 */
#ifndef VS_MOVE_H
#define VS_MOVE_H

#include "vs_deeds.h"

/*
 * Move pages of the plot to its other place. mremap() takes one VMA at a time,
 * and where VMAs end only the kernel knows: try less until it fits. Returns how
 * many pages went.
 */
static inline size_t vs_move_some(struct vs_plot *plot, char *to, size_t from,
				  size_t pages, bool leave)
{
	int flags = MREMAP_MAYMOVE | MREMAP_FIXED;
	char *old = vs_at(plot, from), *new = to + from * VR_PAGE;

	flags |= leave ? MREMAP_DONTUNMAP : 0;
	while (mremap(old, pages * VR_PAGE, pages * VR_PAGE, flags, new) != new) {
		REQUIRE_EQ(errno, EFAULT);
		REQUIRE_GE(pages, 2);
		pages /= 2;
	}
	return pages;
}

/*
 * What DONTUNMAP leaves behind is empty, and volatile as before: zeros that a
 * late toucher has brought up may be purged.
 */
static inline void vs_look_behind(const struct vs_plot *plot, size_t i)
{
	uint64_t is = 0;
	int signo = vs_touch((uint64_t *)vs_at(plot, i), false, &is);

	if (is || (signo && (signo != SIGBUS || !plot->page[i].vol)))
		vs_wrong(plot, i, "DONTUNMAP left something");
}

/*
 * MREMAP_DONTUNMAP of a part of a locked VMA: newer kernels split it first,
 * others unlock all of it (6.1.176 did, 6.1.192 does not).
 */
static inline bool vs_unlocks_the_rest(void)
{
	char *p = mmap(NULL, 2 * VR_PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *moved;
	int ret;

	REQUIRE(p != MAP_FAILED);
	REQUIRE_EQ(mlock2(p, 2 * VR_PAGE, MLOCK_ONFAULT), 0);
	moved = mremap(p, VR_PAGE, VR_PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP,
		       NULL);
	REQUIRE(moved != MAP_FAILED);
	ret = vr_pageout(p + VR_PAGE, VR_PAGE);
	REQUIRE_EQ(munmap(moved, VR_PAGE), 0);
	REQUIRE_EQ(munmap(p, 2 * VR_PAGE), 0);
	REQUIRE(ret == 0 || ret == -EINVAL);
	return ret == 0;
}

/* What has lost its lock, without having been unlocked, may be purged from now on. */
static inline void vs_learn_locks(struct vs_plot *plot)
{
	static __thread char picture[VS_PAGES];
	size_t i;

	vs_list(plot, picture);
	for (i = 0; i < plot->pages; i++)
		plot->page[i].locked &= picture[i] == 'L' || picture[i] == 'B';
}

static inline void vs_move(struct vs_plot *plot, struct vs_self *self)
{
	char *to = plot->place[!plot->at];
	size_t len = plot->pages * VR_PAGE, done = 0, i;
	bool leave = vs_one_in(self, 3);

	vs_begin(plot);
	while (done < plot->pages) {
		size_t most = plot->pages - done;

		if (vs_one_in(self, 2))
			most = 1 + vs_below(self, most);
		done += vs_move_some(plot, to, done, most, leave);
	}
	for (i = 0; i < plot->pages && leave; i += 1 + vs_below(self, 32))
		vs_look_behind(plot, i);
	REQUIRE(mmap(plot->base, len, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
		     -1, 0) == plot->base);
	plot->at = !plot->at;
	plot->base = to;
	if (leave && vs.unlocks_the_rest)
		vs_learn_locks(plot);
	vs_note(plot, self, leave ? "moved, DONTUNMAP" : "moved",
		(struct vs_part){ 0, plot->pages }, 0);
	vs_end(plot);
	VS_COUNT(moves, 1);
}

/* Cut off the end of a plot and let what is before it grow again. */
static inline void vs_regrow(struct vs_plot *plot, struct vs_self *self)
{
	size_t cut = 1 + vs_below(self, plot->pages - 1), i;
	const struct vs_page *last = &plot->page[cut - 1];
	struct vs_part part = { cut, plot->pages };
	char *p = vs_at(plot, cut - 1);

	vs_begin(plot);
	REQUIRE_EQ(munmap(vs_at(plot, cut), vs_len(part)), 0);
	REQUIRE(mremap(p, VR_PAGE, VR_PAGE + vs_len(part), 0) == p);
	vs_note(plot, self, "grown", part, 0);
	for (i = cut; i < plot->pages; i++)
		plot->page[i] = (struct vs_page){ .vol = last->vol,
						  .locked = last->locked };
	vs_end(plot);
	VS_COUNT(moves, 1);
}

#endif
