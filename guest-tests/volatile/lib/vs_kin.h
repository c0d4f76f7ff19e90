/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stress: relatives. A child gets a plot as it is at the fork, book and all,
 * and goes its own way with it; or it only keeps it, and never marks it, and so
 * nothing of it may be purged from its parent either.
 */
#ifndef VS_KIN_H
#define VS_KIN_H

#include "vs_move.h"
#include "vs_pins.h"

#define VS_CHILDREN	3		/* of a forker, at a time */
#define VS_CHILD_STEPS	12

/* A deed of any kind that concerns one process alone. */
static inline void vs_any_deed(struct vs_plot *plot, struct vs_self *self)
{
	struct vs_part part = vs_part(self, plot->pages);

	switch (vs_below(self, 12)) {
	case 0 ... 2:
		vs_mark(plot, self, part);
		break;
	case 3 ... 5:
		vs_unmark(plot, self, part);
		break;
	case 6 ... 7:
		vs_write(plot, self, part);
		break;
	case 8:
		vs_dontneed(plot, self, part);
		break;
	case 9:
		vs_protect(plot, self, part);
		break;
	case 10:
		vs_move(plot, self);
		break;
	default:
		vs_inspect(plot, part);
	}
	vs_cycle();
}

/* The book as it is for a child: locks are not inherited, nor is what a pipe holds. */
static inline void vs_inherit(struct vs_plot *plot)
{
	size_t i;

	vs_keep_proc();
	for (i = 0; i < plot->pages; i++)
		plot->page[i].locked = plot->page[i].kin =
			plot->page[i].pin = false;
}

/* Start a child of @plot, whose lock is held, that runs @fn. */
static inline pid_t vs_fork(struct vs_plot *plot, struct vs_self *self,
			    void (*fn)(struct vs_plot *, struct vs_self *))
{
	struct vs_self child = { "child", vs_random(self) };
	pid_t pid = fork();

	REQUIRE(pid >= 0);
	VS_COUNT(forks, !!pid);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	vs_inherit(plot);
	fn(plot, &child);
	_exit(0);
}

static inline void vs_live_alone(struct vs_plot *plot, struct vs_self *self)
{
	struct vs_part all = { 0, plot->pages };
	int steps = 1 + vs_below(self, VS_CHILD_STEPS);
	pid_t grandchild = 0;

	vs_inspect(plot, all);
	while (steps-- && !vs_over()) {
		if (!grandchild && vs_one_in(self, 16)) {
			self->name = "parent";
			grandchild = vs_fork(plot, self, vs_live_alone);
		}
		vs_any_deed(plot, self);
	}
	vs_unmark(plot, self, all);
	if (grandchild)
		EXPECT_EQ(vt_wait(grandchild), 0);
}

/* One that only keeps a plot, until it is told to end. */
struct vs_keeper {
	struct vs_plot *plot;
	pid_t pid;
	struct vt_gate end;
};

/*
 * The lock of @plot is held. All of it is filled and kept, and then marked: it
 * is at risk, were it not for the child.
 */
static inline void vs_keep(struct vs_keeper *keeper, struct vs_plot *plot,
			   struct vs_self *self)
{
	struct vs_part all = { 0, plot->pages };
	size_t i, kept = 0;

	*keeper = (struct vs_keeper){ .plot = plot, .end = vt_gate() };
	vs_unlock(plot, self, all);
	vs_unmark(plot, self, all);
	for (i = 0; i < plot->pages; i++)
		if (!plot->page[i].gen)
			vs_write(plot, self, (struct vs_part){ i, i + 1 });
	vs_hush(plot);
	keeper->pid = fork();
	REQUIRE(keeper->pid >= 0);
	if (!keeper->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		vs_inherit(plot);
		vt_gate_wait(&keeper->end);
		vs_inspect(plot, all);
		_exit(0);
	}
	VS_COUNT(forks, 1);
	vs_note(plot, self, "kept by a child", all, 0);
	vs_begin(plot);
	for (i = 0; i < plot->pages; i++) {
		struct vs_page *page = &plot->page[i];

		/* khugepaged copies pages, and a copy is nobody else's. */
		page->kin = !vs.huge;
		kept += page->kin;
	}
	vs_end(plot);
	vs_mark(plot, self, all);
	VS_COUNT(kept, kept);
}

/* The lock of its plot is held. */
static inline void vs_unkeep(struct vs_keeper *keeper, struct vs_self *self)
{
	struct vs_plot *plot = keeper->plot;
	struct vs_part all = { 0, plot->pages };
	size_t i;

	/* While it is kept nothing may have gone. */
	vs_inspect(plot, all);
	vs_begin(plot);
	for (i = 0; i < plot->pages; i++)
		plot->page[i].kin = false;
	vs_note(plot, self, "kept no longer", all, 0);
	vs_end(plot);
	vs_unhush(plot);
	vt_gate_open(&keeper->end);
	EXPECT_EQ(vt_wait(keeper->pid), 0);
	close(keeper->end.fd[0]);
	close(keeper->end.fd[1]);
	keeper->plot = NULL;
}

#endif
