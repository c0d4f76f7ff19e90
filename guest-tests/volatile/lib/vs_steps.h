/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stress: what each kind of thread does in a step. The lock of a plot is
 * held, but for those that stay apart.
 */
#ifndef VS_STEPS_H
#define VS_STEPS_H

#include "vs_kin.h"

#define VS_TOUCHES	64		/* for each cycle of others, at most */
#define VS_WILD		0x77696c64ULL	/* the number in the wild range's pages */

struct vs_thread {
	struct vs_self self;
	const struct vs_role *role;
	uint64_t seed;
	pthread_t id;
	/* A forker's, and a pinner's. */
	pid_t child[VS_CHILDREN];
	struct vs_keeper keeper;
	struct vs_pin pin[VS_PINS];
};

struct vs_role {
	const char *name;
	void (*step)(struct vs_thread *thread, struct vs_plot *plot);
	void (*end)(struct vs_thread *thread);
	int hold;			/* steps until what it holds is let go */
	bool apart;			/* takes no lock and counts no cycle */
};

/* Anything to the wild range, with nobody kept out: little can be said of it. */
static inline void vs_go_wild(struct vs_self *self)
{
	struct vs_part part = vs_part(self, vs.pages);
	size_t w = vs_below(self, VR_WORDS), len = vs_len(part);
	volatile uint64_t *word;
	uint64_t want, is;
	char *p = vs.wild + part.from * VR_PAGE;
	int ret = 0;

	word = (uint64_t *)p + w;
	want = vr_word(VS_WILD, part.from, w);
	switch (vs_below(self, 10)) {
	case 0 ... 1:
		ret = vr_mark(p, len);
		vt_check(!ret || ret == -EINVAL, "wild VOLATILE: %d", ret);
		break;
	case 2 ... 3:
		ret = vr_unmark(p, len);
		vt_check(ret == 0 || ret == 1, "wild NONVOLATILE: %d", ret);
		break;
	case 4:
		ret = vr_advise(p, len, MADV_DONTNEED);
		vt_check(!ret || ret == -EINVAL, "wild DONTNEED: %d", ret);
		break;
	case 5:
		ret = mlock2(p, len, MLOCK_ONFAULT) ? -errno : 0;
		vt_check(!ret, "wild mlock: %d", ret);
		break;
	case 6:
		ret = munlock(p, len) ? -errno : 0;
		vt_check(!ret, "wild munlock: %d", ret);
		break;
	case 7:
		if (!VS_FAULTED()) {
			*word = want;
			vs_safe();
		} else {
			vs_check_sigbus(word);
		}
		break;
	default:
		if (!vs_touch(word, vs_one_in(self, 2), &is))
			vt_check(!is || is == want, "wild: a foreign word");
		else
			vt_check(vs_fault.signo == SIGBUS, "wild: signal %d",
				 vs_fault.signo);
	}
	VS_COUNT(wild, 1);
}

static inline void vs_step_mark(struct vs_thread *thread, struct vs_plot *plot)
{
	struct vs_self *self = &thread->self;

	vs_mark(plot, self, vs_part(self, plot->pages));
	if (vs_one_in(self, 4))
		vs_pageout(plot, self, vs_part(self, plot->pages));
}

static inline void vs_step_unmark(struct vs_thread *thread, struct vs_plot *plot)
{
	struct vs_self *self = &thread->self;
	struct vs_part part = vs_part(self, plot->pages);

	vs_unmark(plot, self, part);
	if (vs_one_in(self, 2))
		vs_write(plot, self, part);
}

static inline void vs_step_write(struct vs_thread *thread, struct vs_plot *plot)
{
	struct vs_self *self = &thread->self;

	vs_write(plot, self, vs_part(self, plot->pages));
	vs_inspect(plot, vs_part(self, plot->pages));
	if (vs_one_in(self, 32))
		vs_check_flags(plot);
}

static inline void vs_step_give(struct vs_thread *thread, struct vs_plot *plot)
{
	struct vs_self *self = &thread->self;
	struct vs_part part = vs_part(self, plot->pages);

	switch (vs_below(self, 8)) {
	case 0:
		vs_map_over(plot, self, part);
		break;
	case 1 ... 2:
		vs_protect(plot, self, part);
		break;
	case 3:
		vs_pageout(plot, self, part);
		break;
	default:
		vs_dontneed(plot, self, part);
	}
	VS_COUNT(given, 1);
}

static inline void vs_step_lock(struct vs_thread *thread, struct vs_plot *plot)
{
	struct vs_self *self = &thread->self;
	struct vs_part part = vs_part(self, plot->pages);

	if (vs_one_in(self, 2))
		vs_unlock(plot, self, (struct vs_part){ 0, plot->pages });
	else
		vs_lock(plot, self, part, vs_one_in(self, 2));
}

static inline void vs_step_move(struct vs_thread *thread, struct vs_plot *plot)
{
	struct vs_self *self = &thread->self;

	if (vs_one_in(self, 4))
		vs_regrow(plot, self);
	else
		vs_move(plot, self);
	vs_inspect(plot, vs_part(self, plot->pages));
}

static inline void vs_step_fork(struct vs_thread *thread, struct vs_plot *plot)
{
	pid_t *child = &thread->child[vs_below(&thread->self, VS_CHILDREN)];

	if (*child)
		EXPECT_EQ(vt_wait(*child), 0);
	*child = vs_fork(plot, &thread->self, vs_live_alone);
}

static inline void vs_end_fork(struct vs_thread *thread)
{
	int i;

	for (i = 0; i < VS_CHILDREN; i++) {
		if (thread->child[i])
			EXPECT_EQ(vt_wait(thread->child[i]), 0);
		thread->child[i] = 0;
	}
}

static inline void vs_end_keep(struct vs_thread *thread)
{
	struct vs_plot *plot = thread->keeper.plot;

	if (!plot)
		return;
	pthread_mutex_lock(&plot->lock);
	vs_unkeep(&thread->keeper, &thread->self);
	pthread_mutex_unlock(&plot->lock);
}

static inline void vs_end_pins(struct vs_thread *thread)
{
	int i;

	for (i = 0; i < VS_PINS; i++) {
		struct vs_plot *plot = thread->pin[i].plot;

		if (!plot)
			continue;
		pthread_mutex_lock(&plot->lock);
		vs_unpin(&thread->pin[i], &thread->self);
		pthread_mutex_unlock(&plot->lock);
	}
}

/* While it holds something it sees to it that there is something to purge. */
static inline void vs_step_hold(struct vs_thread *thread, struct vs_plot *plot)
{
	struct vs_self *self = &thread->self;

	vs_pageout(plot, self, vs_part(self, plot->pages));
	vs_inspect(plot, vs_part(self, plot->pages));
}

static inline void vs_step_keep(struct vs_thread *thread, struct vs_plot *plot)
{
	if (thread->keeper.plot)
		vs_step_hold(thread, plot);
	else
		vs_keep(&thread->keeper, plot, &thread->self);
}

static inline void vs_step_pin(struct vs_thread *thread, struct vs_plot *plot)
{
	int i;

	for (i = 0; i < VS_PINS; i++) {
		if (thread->pin[i].plot)
			continue;
		vs_pin(&thread->pin[i], plot, &thread->self);
		return;
	}
	vs_step_hold(thread, plot);
}

/* Without a lock: what is seen counts where nobody changed anything meanwhile. */
static inline void vs_touch_one(struct vs_self *self)
{
	struct vs_plot *plot = &vs.plot[vs_below(self, vs.plots)];
	size_t i = vs_below(self, plot->pages), w = vs_below(self, VR_WORDS);
	unsigned int epoch = __atomic_load_n(&plot->epoch, __ATOMIC_SEQ_CST);
	bool write = vs_one_in(self, 3), writes = false;
	struct vs_page page = plot->page[i];
	uint64_t want, is = 0;
	int signo;

	want = page.gen ? vr_word(vs_magic(plot, page.gen), i, w) : 0;
	if (write) {
		__atomic_fetch_add(&plot->writers, 1, __ATOMIC_SEQ_CST);
		writes = !__atomic_load_n(&plot->quiet, __ATOMIC_SEQ_CST);
	}
	signo = vs_touch((uint64_t *)vs_at(plot, i) + w, writes, &is);
	if (write)
		__atomic_fetch_sub(&plot->writers, 1, __ATOMIC_SEQ_CST);
	VS_COUNT(touches, 1);
	if (epoch % 2 ||
	    epoch != __atomic_load_n(&plot->epoch, __ATOMIC_SEQ_CST))
		return;
	VS_COUNT(judged, 1);
	if (signo ? signo != SIGBUS || !(page.gone || !vs_is_safe(&page)) :
		    page.gone || is != want) {
		vt_diag("a touch: signal %d, word %zu is %#llx", signo, w,
			(unsigned long long)is);
		vs_wrong(plot, i, "touched");
	}
	if (!signo || page.gone)
		return;
	/* It was purged, and that must be told: unless it changes until then. */
	pthread_mutex_lock(&plot->lock);
	if (plot->epoch == epoch)
		plot->page[i].gone = true;
	pthread_mutex_unlock(&plot->lock);
}

static inline void vs_step_touch(struct vs_thread *thread, struct vs_plot *plot)
{
	int n, tick = __atomic_load_n(&vs.count->tick, __ATOMIC_SEQ_CST);

	(void)plot;
	for (n = 0; n < VS_TOUCHES; n++)
		vs_touch_one(&thread->self);
	/* Whoever makes it be over ticks after that. */
	if (!vs_over())
		vs_wait_cycle(tick);
}

#endif
