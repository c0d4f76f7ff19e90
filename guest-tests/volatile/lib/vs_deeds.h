/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stress: what is done to a plot whose lock is held. Each deed tells the
 * book what the kernel must have done, and looks whether it has.
 */
#ifndef VS_DEEDS_H
#define VS_DEEDS_H

#include "vs_maps.h"

static inline size_t vs_len(struct vs_part part)
{
	return (part.to - part.from) * VR_PAGE;
}

/* The first locked page of a part, or its end. */
static inline size_t vs_first_locked(const struct vs_plot *plot,
				     struct vs_part part)
{
	size_t i;

	for (i = part.from; i < part.to && !plot->page[i].locked; i++)
		;
	return i;
}

/* A call's answer is the one that it must give. */
static inline void vs_expect(struct vs_plot *plot, struct vs_self *self,
			     const char *what, struct vs_part part, int ret,
			     int want)
{
	vs_note(plot, self, what, part, ret);
	if (ret == want)
		return;
	vt_diag("%s said %d, not %d", what, ret, want);
	vs_wrong(plot, part.from, "wrong answer");
}

static inline void vs_mark(struct vs_plot *plot, struct vs_self *self,
			   struct vs_part part)
{
	bool locked = vs_first_locked(plot, part) < part.to;
	bool counted = vs_one_in(self, VS_SAMPLE);
	int ret, before = counted ? vs_list(plot, NULL) : 0;
	size_t i;

	vs_begin(plot);
	ret = vr_mark(vs_at(plot, part.from), vs_len(part));
	vs_expect(plot, self, "VOLATILE", part, ret, locked ? -EINVAL : 0);
	for (i = part.from; i < part.to && !ret; i++)
		plot->page[i].vol = true;
	vs_end(plot);
	if (counted)
		vs_count_vmas(plot, before);
}

/* After unmarking: each page is all old or all zero. Returns how many are lost. */
static inline size_t vs_settle(struct vs_plot *plot, struct vs_part part,
			       int ret)
{
	size_t i, lost = 0;

	for (i = part.from; i < part.to; i++) {
		struct vs_page *page = &plot->page[i];
		enum vs_sight sight;

		sight = vs_look(plot, i, page->gone ? 0 : page->gen);
		if (sight == VS_ZEROS && ret == 1 && !vs_is_safe(page))
			page->gone = true;
		else if (sight != VS_FINE)
			vs_wrong(plot, i, vs_sights[sight]);
		lost += page->gone;
		if (page->gone)
			*page = (struct vs_page){ .locked = page->locked };
		page->vol = false;
	}
	return lost;
}

static inline void vs_unmark(struct vs_plot *plot, struct vs_self *self,
			     struct vs_part part)
{
	bool must = false, may = false, blank = false;
	bool counted = vs_one_in(self, VS_SAMPLE);
	int ret, before = counted ? vs_list(plot, NULL) : 0;
	size_t i, lost;

	for (i = part.from; i < part.to; i++) {
		const struct vs_page *page = &plot->page[i];

		must |= page->gone;
		may |= page->gone || !vs_is_safe(page);
		/* Zeros that somebody had touched: nobody sees them go. */
		blank |= page->vol && !page->gen;
	}
	vs_begin(plot);
	ret = vr_unmark(vs_at(plot, part.from), vs_len(part));
	vs_note(plot, self, "NONVOLATILE", part, ret);
	if (ret < must || ret > may || ret < 0) {
		vt_diag("NONVOLATILE said %d, not %d%s", ret, must,
			must != may ? " or 1" : "");
		vs_wrong(plot, part.from, "wrong answer");
	}
	lost = vs_settle(plot, part, ret);
	if (ret == 1 && !lost && !blank)
		vs_wrong(plot, part.from, "NONVOLATILE said 1, and all is there");
	vs_end(plot);
	if (ret)
		VS_COUNT(lost, 1);
	else
		VS_COUNT(intact, 1);
	if (counted)
		vs_count_vmas(plot, before);
}

/* What a handler of SIGBUS would do: unmark, refill, mark again. */
static inline void vs_refill(struct vs_plot *plot, struct vs_self *self,
			     size_t i, uint32_t gen)
{
	struct vs_page *page = &plot->page[i];
	struct vs_part part = { i, i + 1 };
	int ret;

	page->gone = true;
	ret = vr_unmark(vs_at(plot, i), VR_PAGE);
	vs_expect(plot, self, "NONVOLATILE to refill", part, ret, 1);
	vs_settle(plot, part, 1);
	VS_COUNT(lost, 1);
	vt_check(vs_fill(plot, i, gen), "SIGBUS on a page that was unmarked");
	page->gen = gen;
	ret = vr_mark(vs_at(plot, i), VR_PAGE);
	vs_expect(plot, self, "VOLATILE again", part, ret,
		  page->locked ? -EINVAL : 0);
	page->vol = !ret;
}

static inline void vs_write(struct vs_plot *plot, struct vs_self *self,
			    struct vs_part part)
{
	size_t i;

	vs_note(plot, self, "written", part, 0);
	vs_begin(plot);
	for (i = part.from; i < part.to; i++) {
		struct vs_page *page = &plot->page[i];
		uint32_t gen = ++plot->last_gen;

		/* The first word takes a copy, and that may go before the last. */
		if (page->kin || page->pin)
			vs_inspect(plot, (struct vs_part){ i, i + 1 });
		page->kin = page->pin = false;
		if (!vs_fill(plot, i, gen)) {
			if (vs_is_safe(page) && !page->gone)
				vs_wrong(plot, i, "SIGBUS on a write");
			vs_refill(plot, self, i, gen);
			continue;
		}
		if (page->gone)
			vs_wrong(plot, i, "could be written");
		page->gen = gen;
	}
	vs_end(plot);
}

static inline void vs_dontneed(struct vs_plot *plot, struct vs_self *self,
			       struct vs_part part)
{
	size_t i, upto = vs_first_locked(plot, part);
	int ret;

	vs_begin(plot);
	ret = vr_advise(vs_at(plot, part.from), vs_len(part), MADV_DONTNEED);
	/* It goes VMA by VMA, and ends at one that is locked. */
	vs_expect(plot, self, "DONTNEED", part, ret, upto < part.to ? -EINVAL : 0);
	for (i = part.from; i < upto; i++)
		plot->page[i] = (struct vs_page){ .vol = plot->page[i].vol };
	vs_end(plot);
}

/* Fresh memory in its place. */
static inline void vs_map_over(struct vs_plot *plot, struct vs_self *self,
			       struct vs_part part)
{
	char *p = vs_at(plot, part.from);

	vs_begin(plot);
	REQUIRE(mmap(p, vs_len(part), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
		     -1, 0) == p);
	vs_note(plot, self, "mapped over", part, 0);
	memset(&plot->page[part.from], 0,
	       (part.to - part.from) * sizeof(plot->page[0]));
	vs_end(plot);
}

static inline void vs_pageout(struct vs_plot *plot, struct vs_self *self,
			      struct vs_part part)
{
	bool locked = vs_first_locked(plot, part) < part.to;
	int ret = vr_pageout(vs_at(plot, part.from), vs_len(part));

	vs_expect(plot, self, "PAGEOUT", part, ret, locked ? -EINVAL : 0);
}

/* For a moment nobody may write: its entries look like none meanwhile. */
static inline void vs_protect(struct vs_plot *plot, struct vs_self *self,
			      struct vs_part part)
{
	char *p = vs_at(plot, part.from);
	size_t i;

	vs_begin(plot);
	REQUIRE_EQ(mprotect(p, vs_len(part), PROT_READ), 0);
	REQUIRE_EQ(mprotect(p, vs_len(part), PROT_READ | PROT_WRITE), 0);
	vs_note(plot, self, "mprotect twice", part, 0);
	/* What is locked and becomes writable is copied at once, as by mlock. */
	for (i = part.from; i < part.to; i++)
		if (plot->page[i].locked)
			plot->page[i].kin = plot->page[i].pin = false;
	vs_end(plot);
}

static inline void vs_lock(struct vs_plot *plot, struct vs_self *self,
			   struct vs_part part, bool onfault)
{
	size_t i, gone = 0;
	int ret;

	vs_begin(plot);
	ret = mlock2(vs_at(plot, part.from), vs_len(part),
		     onfault ? MLOCK_ONFAULT : 0) ? -errno : 0;
	vs_note(plot, self, onfault ? "mlock ONFAULT" : "mlock", part, ret);
	/* It is locked whatever it said: what is gone now stays so, no more goes. */
	for (i = part.from; i < part.to; i++) {
		struct vs_page *page = &plot->page[i];
		enum vs_sight sight;

		/* mlock writes, in its way, which takes copies of shared pages. */
		if (!onfault)
			page->kin = page->pin = false;
		sight = vs_look(plot, i, page->gen);
		if (!vs_allowed(page, sight))
			vs_wrong(plot, i, vs_sights[sight]);
		page->gone = sight == VS_GONE;
		page->locked = true;
		gone += page->gone;
	}
	if (ret != (gone && !onfault ? -ENOMEM : 0)) {
		vt_diag("mlock said %d, %zu pages are gone", ret, gone);
		vs_wrong(plot, part.from, "wrong answer");
	}
	vs_end(plot);
	VS_COUNT(locks, 1);
}

static inline void vs_unlock(struct vs_plot *plot, struct vs_self *self,
			     struct vs_part part)
{
	size_t i;

	vs_begin(plot);
	REQUIRE_EQ(munlock(vs_at(plot, part.from), vs_len(part)), 0);
	vs_note(plot, self, "munlock", part, 0);
	for (i = part.from; i < part.to; i++)
		plot->page[i].locked = false;
	vs_end(plot);
}

#endif
