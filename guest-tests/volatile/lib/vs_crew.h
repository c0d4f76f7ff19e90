/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stress: who takes part. Threads, each with one job, and reclaimers, which
 * are processes outside of the control group that they reclaim from.
 */
#ifndef VS_CREW_H
#define VS_CREW_H

#include "vs_steps.h"

#include <sys/resource.h>

#define VS_RECLAIM	64		/* pages at a time, and some more */

static const struct vs_role vs_roles[] = {
	{ .name = "marker", .step = vs_step_mark },
	{ .name = "unmarker", .step = vs_step_unmark },
	{ .name = "writer", .step = vs_step_write },
	{ .name = "toucher", .step = vs_step_touch, .apart = true },
	{ .name = "giver", .step = vs_step_give },
	{ .name = "locker", .step = vs_step_lock },
	{ .name = "mover", .step = vs_step_move },
	{ .name = "forker", .step = vs_step_fork, .end = vs_end_fork, .hold = 64 },
	{ .name = "keeper", .step = vs_step_keep, .end = vs_end_keep, .hold = 12 },
	{ .name = "pinner", .step = vs_step_pin, .end = vs_end_pins, .hold = 12 },
};

#define VS_ROLES	(sizeof(vs_roles) / sizeof(vs_roles[0]))

/*
 * A thread's life. Each step has random numbers of its own, so that what a
 * thread does in its n-th step follows from the seed, and only the state that
 * it meets, and how long it takes, from what the others did.
 */
static inline void *vs_live(void *arg)
{
	struct vs_thread *thread = arg;
	const struct vs_role *role = thread->role;
	uint64_t step;

	for (step = 0; !vs_over(); step++) {
		struct vs_self *self = &thread->self;
		struct vs_plot *plot;

		self->random = thread->seed + (step << 32);
		plot = &vs.plot[vs_below(self, vs.plots)];
		if (vs_one_in(self, 8)) {
			vs_go_wild(self);
			continue;
		}
		/* Before its lock is taken: never two at a time. */
		if (role->hold && !(step % role->hold))
			role->end(thread);
		if (!role->apart)
			pthread_mutex_lock(&plot->lock);
		role->step(thread, plot);
		if (!role->apart) {
			pthread_mutex_unlock(&plot->lock);
			vs_cycle();
		}
	}
	vs_tick();
	if (role->end)
		role->end(thread);
	return NULL;
}

/* Reclaims some of the group whenever it is woken. */
static inline void vs_reclaim(const char *group, uint64_t seed)
{
	struct vs_self self = { "reclaimer", seed };
	char c;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setpriority(PRIO_PROCESS, 0, -10);
	while (TEMP_FAILURE_RETRY(read(vs.bell[0], &c, 1)) == 1) {
		size_t pages = 8 + vs_below(&self, VS_RECLAIM);

		/* It may fall short: what it takes, not how much, matters. */
		vt_cgroup_try_write(group, "memory.reclaim", pages * VR_PAGE);
		VS_COUNT(reclaims, 1);
	}
	_exit(1);
}

#endif
