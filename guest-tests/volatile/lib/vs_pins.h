/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stress: pages that a pipe holds by a reference. They are not purged, and
 * what comes out of the pipe is what was in them.
 */
#ifndef VS_PINS_H
#define VS_PINS_H

#include "vs_deeds.h"

#include <sys/uio.h>

#define VS_PINS		3
#define VS_PINNED	8		/* pages a pipe, at most */

struct vs_pin {
	struct vs_plot *plot;
	int pipe[2];
	size_t n, page[VS_PINNED];
	uint32_t gen[VS_PINNED];
};

/* Have touchers only read: a write takes a copy of a page that is shared. */
static inline void vs_hush(struct vs_plot *plot)
{
	__atomic_fetch_add(&plot->quiet, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&plot->writers, __ATOMIC_SEQ_CST))
		sched_yield();
}

static inline void vs_unhush(struct vs_plot *plot)
{
	__atomic_fetch_sub(&plot->quiet, 1, __ATOMIC_SEQ_CST);
}

/* Into the pipe with page @i. */
static inline bool vs_pin_page(struct vs_pin *pin, size_t i)
{
	struct vs_page *page = &pin->plot->page[i];
	struct iovec iov = { vs_at(pin->plot, i), VR_PAGE };
	ssize_t n = vmsplice(pin->pipe[1], &iov, 1, 0);

	if (n < 0) {
		/* Purged, and so can the kernel not read it either. */
		if (errno != EFAULT || vs_is_safe(page))
			vs_wrong(pin->plot, i, "vmsplice failed");
		page->gone = true;
		return false;
	}
	REQUIRE_EQ(n, VR_PAGE);
	page->pin = true;
	return true;
}

static inline void vs_pin(struct vs_pin *pin, struct vs_plot *plot,
			  struct vs_self *self)
{
	struct vs_part all = { 0, plot->pages };
	size_t from = vs_below(self, plot->pages), n;

	*pin = (struct vs_pin){ .plot = plot };
	REQUIRE_EQ(pipe2(pin->pipe, O_CLOEXEC), 0);
	vs_hush(plot);
	vs_begin(plot);
	vs_note(plot, self, "vmsplice", all, 0);
	for (n = 0; n < plot->pages && pin->n < VS_PINNED; n++) {
		size_t i = (from + n) % plot->pages;
		const struct vs_page *page = &plot->page[i];

		if (!page->gen || page->gone || page->pin || !vs_pin_page(pin, i))
			continue;
		pin->page[pin->n] = i;
		pin->gen[pin->n++] = page->gen;
	}
	vs_end(plot);
	/* At risk, were it not for the pipe. */
	vs_unlock(plot, self, all);
	vs_mark(plot, self, all);
	VS_COUNT(pins, pin->n);
}

/* Out of the pipe: what was in the page. The plot's lock is held. */
static inline void vs_unpin(struct vs_pin *pin, struct vs_self *self)
{
	struct vs_plot *plot = pin->plot;
	uint64_t word[VR_WORDS];
	size_t i, w;

	vs_begin(plot);
	for (i = 0; i < pin->n; i++) {
		struct vs_page *page = &plot->page[pin->page[i]];
		uint64_t magic = vs_magic(plot, pin->gen[i]);

		REQUIRE_EQ(read(pin->pipe[0], word, VR_PAGE), VR_PAGE);
		/* Written since, it may be the same page or a copy. */
		if (!page->pin || page->gen != pin->gen[i])
			continue;
		for (w = 0; w < VR_WORDS; w++)
			if (word[w] != vr_word(magic, pin->page[i], w))
				break;
		if (w < VR_WORDS)
			vs_wrong(plot, pin->page[i], "the pipe has something else");
		page->pin = false;
	}
	vs_note(plot, self, "pipe read", (struct vs_part){ 0, plot->pages }, 0);
	vs_end(plot);
	vs_unhush(plot);
	close(pin->pipe[0]);
	close(pin->pipe[1]);
	pin->plot = NULL;
}

#endif
