// SPDX-License-Identifier: GPL-2.0-only
/*
 * All at once: threads that mark, unmark, write, touch, give back, lock, move,
 * pin and fork the same few ranges, while other processes reclaim. After each
 * call the pages must be what the book about them says; see vs_plot.h.
 *
 * The seed (VTEST_SEED, else random; it is printed) decides what each thread does
 * in its n-th step: to which plot, which part, and which call. It does not decide
 * how the steps of different threads interleave, nor when reclaim comes: that is
 * the scheduler's. So the same seed again is the same work, and a failure that
 * needs a certain overlap may take many runs of it.
 */
#include "vs_crew.h"
#include "vs_floors.h"

#include <sys/sysinfo.h>

#define THREADS		(2 * VS_ROLES)
#define KHUGEPAGED	"/sys/kernel/mm/transparent_hugepage/khugepaged/"

static long env_number(const char *name, long otherwise)
{
	const char *text = getenv(name);

	return text ? strtoll(text, NULL, 0) : otherwise;
}

/* Swap, huge pages or none, one LRU or the other, a control group. */
static const char *settings(struct vs_self *self)
{
	const char *group;
	bool mglru = vs_one_in(self, 2);

	if (!access("/sys/kernel/mm/lru_gen/enabled", F_OK))
		vt_set("/sys/kernel/mm/lru_gen/enabled", mglru ? "y" : "n");
	if (!access("/sys/kernel/mm/transparent_hugepage/enabled", F_OK)) {
		vt_set("/sys/kernel/mm/transparent_hugepage/enabled",
		       vs.huge ? "always" : "never");
		vt_set(KHUGEPAGED "scan_sleep_millisecs", "100");
	} else if (vs.huge) {
		vt_skip("no CONFIG_TRANSPARENT_HUGEPAGE");
	}
	if (vs_one_in(self, 2) && !access("/dev/zram0", F_OK))
		vt_swap_zram(128);
	else
		vt_swap_disk();
	group = vt_cgroup("vr-stress");
	vt_diag("%s, MGLRU %s", vs.huge ? "huge pages" : "small pages",
		mglru ? "on" : "off");
	return group;
}

static void start_reclaimers(const char *group, struct vs_self *self)
{
	int n = get_nprocs() / 2;

	REQUIRE_EQ(pipe2(vs.bell, O_CLOEXEC), 0);
	while (n--) {
		uint64_t seed = vs_random(self);
		pid_t pid = fork();

		REQUIRE(pid >= 0);
		if (!pid)
			vs_reclaim(group, seed);
	}
	/* Who rings does not wait; who waits does. */
	REQUIRE_EQ(fcntl(vs.bell[1], F_SETFL, O_NONBLOCK), 0);
}

static void everyone(struct vs_self *self)
{
	static struct vs_thread thread[THREADS];
	size_t n = VS_ROLES, i;

	if (get_nprocs() > 3)
		n *= 2;
	for (i = 0; i < n; i++) {
		thread[i].role = &vs_roles[i % VS_ROLES];
		thread[i].self.name = thread[i].role->name;
		thread[i].seed = vs_random(self);
		REQUIRE_EQ(pthread_create(&thread[i].id, NULL, vs_live,
					  &thread[i]), 0);
	}
	for (i = 0; i < n; i++)
		REQUIRE_EQ(pthread_join(thread[i].id, NULL), 0);
}

/* Nobody else is left: all is as the books say, and stays so. */
static void reckon(struct vs_self *self)
{
	int i;

	for (i = 0; i < vs.plots && !vt_shared->failures; i++) {
		struct vs_part all = { 0, vs.plot[i].pages };

		vs_check_flags(&vs.plot[i]);
		vs_inspect(&vs.plot[i], all);
		vs_unmark(&vs.plot[i], self, all);
		vs_check_flags(&vs.plot[i]);
		vs_inspect(&vs.plot[i], all);
	}
}

static void stress(bool huge, int plots, size_t pages, long cycles)
{
	struct vs_self self = { "main", 0 };
	const char *group;
	uint32_t seed;
	size_t i;

	REQUIRE_EQ(getrandom(&seed, sizeof(seed), 0), sizeof(seed));
	vs.seed = env_number("VTEST_SEED", seed);
	vs.cycles = cycles * env_number("STRESS_TIMES", 1);
	vs.huge = huge;
	vs.plots = plots;
	vs.pages = pages;
	self.random = vs.seed << 8;
	vt_diag("seed %llu, %ld cycles, %d CPUs", (unsigned long long)vs.seed,
		vs.cycles, get_nprocs());
	vs.count = mmap(NULL, VR_PAGE, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	REQUIRE(vs.count != MAP_FAILED);
	vs.unlocks_the_rest = vs_unlocks_the_rest();
	group = settings(&self);
	/* Before there is anything to be shared with. */
	start_reclaimers(group, &self);
	vt_cgroup_enter(group);
	vs_keep_proc();
	vs_make_plots();
	vs_catch_faults();
	vs.purges = vr_purges();
	vs.swapped = vr_vmstat("pswpout");
	for (i = 0; i < (size_t)vs.plots; i++)
		vs_write(&vs.plot[i], &self, (struct vs_part){ 0, pages });
	everyone(&self);
	reckon(&self);
	if (!vt_shared->failures)
		vs_check_floors();
}

static void small_pages(void)
{
	stress(false, 4, 64, 800);
}

static void huge_pages(void)
{
	stress(true, 2, 512, 300);
}

static const struct vt_case cases[] = {
	VT_CASE(small_pages, "V-PG-3 V-PG-4 V-PG-5 V-PG-7 V-SB-5 V-SB-7 V-SB-8",
		"All at once on small pages: each page is what its book says.", .timeout = 30),
	VT_CASE(huge_pages, "V-PG-3 V-PG-5 V-PG-7 V-PG-8 V-SB-5 V-SB-7 V-SB-8",
		"All at once on huge pages: each page is what its book says.", .timeout = 30),
};

VT_MAIN(cases)
