/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A race on demand: a program whose threads the harness holds at points in the
 * kernel, see docs/races.md.
 *
 *	prog --rounds N A=1 B=2		N runs, thread A on CPU 1, B on CPU 2
 *	prog --seconds S A=1 B=2	as many runs as fit, all threads at once
 *
 * It is a guest test of one case: what goes wrong with the program itself, by a
 * check that fails, is not an outcome of the race. Each run is one line:
 *
 *	# run 3: hit: SIGBUS at ...
 *	# run 4: not
 *
 * and after --seconds one line for all of them: # 4711 runs, 3 hits, 20000 ms.
 */
#ifndef RACE_H
#define RACE_H

#include "vt_sys.h"

#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <time.h>

#define RACE_MOST	3		/* threads: CPU 0 is for the rest */

/*
 * What the harness reads and says: harness/races/programs.py has the same words, and a test
 * compares them, with the landmarks below.
 */
#define RACE_MAGIC	0x52414345	/* in calls that the harness looks for */
#define RACE_CASE	"race"
#define RACE_ROUNDS	"--rounds"
#define RACE_SECONDS	"--seconds"
#define RACE_RUN_LINE	"run %ld: %s%s%s"
#define RACE_TOTAL_LINE	"%ld runs, %ld hits, %.0f ms"

/*
 * Where the harness finds a thread: real functions, called with what they say.
 * What is called between race_begin() and race_end() is a thread's part of a run.
 */
#define RACE_LANDMARK	__attribute__((noipa, used))

static RACE_LANDMARK void race_begin(int thread, int magic)
{
	__asm__ volatile("" : : "r"(thread), "r"(magic));
}

static RACE_LANDMARK void race_end(int thread, int magic)
{
	__asm__ volatile("" : : "r"(thread), "r"(magic));
}

/* The run is over, and its outcome is known. */
static RACE_LANDMARK void race_outcome(int run, int hit, int magic)
{
	__asm__ volatile("" : : "r"(run), "r"(hit), "r"(magic));
}

struct race_thread {
	const char *name;
	void (*run)(void);
	bool process;			/* a child, forked after setup() */
};

struct race {
	void (*setup)(void);		/* once; may be NULL */
	void (*prepare)(void);		/* before each run; may be NULL */
	bool (*struck)(void);		/* after each run: the bad outcome? */
	struct race_thread threads[RACE_MOST];
};

/* What main and the threads share, processes among them. */
struct race_shared {
	sem_t go[RACE_MOST], done;
	int awake;			/* threads that are ready for this run */
	bool over;
	char remark[VT_ARG_MAX];
};

static struct race_shared *race_shared;
static const struct race *race;
static int race_count, race_cpu[RACE_MOST], race_rounds;
static double race_seconds;

/* A remark on this run. */
__attribute__((format(printf, 1, 2)))
static inline void race_say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(race_shared->remark, sizeof(race_shared->remark), fmt, ap);
	va_end(ap);
}

static __thread sigjmp_buf race_jump;
static __thread volatile void *race_fault_address;

static void race_on_signal(int sig, siginfo_t *info, void *context)
{
	(void)context;
	race_fault_address = info->si_addr;
	siglongjmp(race_jump, sig);
}

/*
 * Call @fn, and catch @sig (SIGBUS or SIGSEGV) if it comes. Returns whether it
 * did; race_fault_address is where.
 */
static inline bool race_caught(int sig, void (*fn)(void))
{
	struct sigaction act = { .sa_sigaction = race_on_signal,
				 .sa_flags = SA_SIGINFO };

	REQUIRE_EQ(sigaction(sig, &act, NULL), 0);
	if (sigsetjmp(race_jump, 1))
		return true;
	fn();
	return false;
}

static inline double race_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static inline void race_wait(sem_t *sem)
{
	while (sem_wait(sem))
		REQUIRE_EQ(errno, EINTR);
}

/*
 * A thread's life. All are awake and on their CPUs before one begins: the one
 * that the harness holds at its beginning must not be waited for by a wake-up.
 */
static inline void *race_live(void *arg)
{
	int self = (intptr_t)arg, run;

	vt_pin(race_cpu[self]);
	for (run = 1;; run++) {
		race_wait(&race_shared->go[self]);
		if (__atomic_load_n(&race_shared->over, __ATOMIC_ACQUIRE))
			return NULL;
		__atomic_fetch_add(&race_shared->awake, 1, __ATOMIC_ACQ_REL);
		while (__atomic_load_n(&race_shared->awake, __ATOMIC_ACQUIRE) <
		       run * race_count)
			;
		race_begin(self, RACE_MAGIC);
		race->threads[self].run();
		race_end(self, RACE_MAGIC);
		REQUIRE_EQ(sem_post(&race_shared->done), 0);
	}
}

static inline void race_live_apart(void *arg)
{
	race_live(arg);
}

static inline void race_start_threads(pthread_t *threads, pid_t *children)
{
	intptr_t i;

	for (i = 0; i < race_count; i++) {
		if (race->threads[i].process)
			children[i] = vt_fork(race_live_apart, (void *)i);
		else
			REQUIRE_EQ(pthread_create(&threads[i], NULL, race_live,
						  (void *)i), 0);
	}
}

static inline bool race_run_once(void)
{
	int i;

	race_shared->remark[0] = '\0';
	if (race->prepare)
		race->prepare();
	for (i = 0; i < race_count; i++)
		REQUIRE_EQ(sem_post(&race_shared->go[i]), 0);
	for (i = 0; i < race_count; i++)
		race_wait(&race_shared->done);
	return race->struck();
}

static inline void race_run(void)
{
	pthread_t threads[RACE_MOST];
	pid_t children[RACE_MOST];
	long runs = 0, hits = 0;
	double start;
	int i;

	race_shared = mmap(NULL, sizeof(*race_shared), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	REQUIRE(race_shared != MAP_FAILED);
	REQUIRE_EQ(sem_init(&race_shared->done, 1, 0), 0);
	for (i = 0; i < race_count; i++)
		REQUIRE_EQ(sem_init(&race_shared->go[i], 1, 0), 0);
	if (race->setup)
		race->setup();
	race_start_threads(threads, children);
	start = race_now();
	while (race_seconds ? race_now() - start < race_seconds :
			      runs < race_rounds) {
		bool hit = race_run_once();

		hits += hit;
		if (!race_seconds)
			vt_diag(RACE_RUN_LINE, runs + 1, hit ? "hit" : "not",
				*race_shared->remark ? ": " : "",
				race_shared->remark);
		race_outcome(runs++, hit, RACE_MAGIC);
	}
	vt_diag(RACE_TOTAL_LINE, runs, hits,
		(race_now() - start) * 1000);
	__atomic_store_n(&race_shared->over, true, __ATOMIC_RELEASE);
	for (i = 0; i < race_count; i++) {
		REQUIRE_EQ(sem_post(&race_shared->go[i]), 0);
		if (race->threads[i].process)
			EXPECT_EQ(vt_wait(children[i]), 0);
		else
			EXPECT_EQ(pthread_join(threads[i], NULL), 0);
	}
}

/* Which CPU each thread is for: A=1 B=2. */
static inline bool race_place(int argc, char **argv)
{
	int i, j, placed = 0;

	while (race_count < RACE_MOST && race->threads[race_count].name)
		race_count++;
	for (i = 0; i < argc; i++)
		for (j = 0; j < race_count; j++) {
			const char *name = race->threads[j].name;
			size_t len = strlen(name);

			if (strncmp(argv[i], name, len) || argv[i][len] != '=')
				continue;
			race_cpu[j] = atoi(argv[i] + len + 1);
			placed++;
		}
	return placed == race_count && placed == argc;
}

/*
 * Go on in an address space that only CPU 0 has run. 7.3, unlike 6.1, keeps a CPU in
 * mm_cpumask() when it has gone on to another process, and asks it to flush its TLB
 * as well; one that is held does not answer.
 */
static inline void race_begin_on_cpu_0(char **argv)
{
	cpu_set_t set;

	if (!sched_getaffinity(0, sizeof(set), &set) &&
	    CPU_COUNT(&set) == 1 && CPU_ISSET(0, &set))
		return;
	CPU_ZERO(&set);
	CPU_SET(0, &set);
	if (!sched_setaffinity(0, sizeof(set), &set))
		execv("/proc/self/exe", argv);
	perror("CPU 0");
	exit(2);
}

static inline int race_main(int argc, char **argv, const struct race *what)
{
	static const struct vt_case c = { .name = RACE_CASE, .run = race_run };

	race = what;
	if (argc > 3 && !strcmp(argv[1], RACE_ROUNDS))
		race_rounds = atoi(argv[2]);
	else if (argc > 3 && !strcmp(argv[1], RACE_SECONDS))
		race_seconds = atof(argv[2]);
	if ((race_rounds <= 0 && race_seconds <= 0) ||
	    !race_place(argc - 3, argv + 3)) {
		fprintf(stderr, "usage: %s " RACE_ROUNDS " N|" RACE_SECONDS
			" S THREAD=CPU...\n", argv[0]);
		return 2;
	}
	race_begin_on_cpu_0(argv);
	return vt_run(&c);
}

#define RACE_MAIN(...)							\
int main(int argc, char **argv)						\
{									\
	static const struct race what = { __VA_ARGS__ };		\
									\
	return race_main(argc, argv, &what);				\
}

#endif
