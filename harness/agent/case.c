// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the harness asks of a guest over SSH: to say who it is, and to run a
 * test case such that nothing of it stays behind.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <linux/random.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>

#include "common.h"

#define TIMEOUT_STATUS 124

/*
 * The first command after boot and after each restore. A restored guest has the
 * clock and the random state of its snapshot, and so have all its siblings.
 */
int hello(const char *seconds, const char *hex)
{
	static char boot_id[64], tainted[32];
	struct { struct rand_pool_info head; unsigned char bytes[64]; } seed;
	struct timeval now = { 0 };
	struct utsname name;
	unsigned int byte, count = 0;
	double wanted = strtod(seconds, NULL);
	int fd;

	now.tv_sec = (time_t)wanted;
	now.tv_usec = (suseconds_t)((wanted - (double)now.tv_sec) * 1e6);
	settimeofday(&now, NULL);
	while (count < sizeof(seed.bytes) && sscanf(hex + 2 * count, "%2x", &byte) == 1)
		seed.bytes[count++] = byte;
	seed.head.entropy_count = count * 8;
	seed.head.buf_size = count;
	fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		ioctl(fd, RNDADDENTROPY, &seed);
		ioctl(fd, RNDRESEEDCRNG);
		close(fd);
	}
	uname(&name);
	get("/proc/sys/kernel/random/boot_id", boot_id, sizeof(boot_id));
	get("/proc/sys/kernel/tainted", tainted, sizeof(tainted));
	boot_id[strcspn(boot_id, "\n")] = '\0';
	tainted[strcspn(tainted, "\n")] = '\0';
	printf("%s %s %s\n", boot_id, tainted, name.release);
	return 0;
}

static pid_t parent_of(pid_t pid)
{
	char path[64], text[1024], *after;
	int parent = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (get(path, text, sizeof(text)) < 0)
		return 0;
	after = strrchr(text, ')');
	if (!after || sscanf(after + 1, " %*c %d", &parent) != 1)
		return 0;
	return parent;
}

static int descends(pid_t pid, pid_t ancestor)
{
	for (int depth = 0; pid > 1 && depth < 64; depth++) {
		pid = parent_of(pid);
		if (pid == ancestor)
			return 1;
	}
	return 0;
}

static void show(pid_t pid, const char *name)
{
	char path[64], text[4096];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	if (get(path, text, sizeof(text)) > 0)
		fprintf(stderr, "harness: %s:\n%s", path, text);
}

/* Calls for every process below `ancestor`: a signal, or (0) a look at its stack. */
static int each_below(pid_t ancestor, int sig)
{
	DIR *all = opendir("/proc");
	struct dirent *entry;
	int count = 0;

	while (all && (entry = readdir(all))) {
		pid_t pid = atoi(entry->d_name);

		if (pid <= 1 || !descends(pid, ancestor))
			continue;
		count++;
		if (sig) {
			kill(pid, sig);
			continue;
		}
		show(pid, "stat");
		show(pid, "stack");
	}
	if (all)
		closedir(all);
	return count;
}

static long long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* Kills all below `ancestor` and reaps what is ours; false: something cannot die. */
static int kill_below(pid_t ancestor)
{
	const char *pace = getenv(WORD_PACE_VARIABLE); /* how much slower than the reference */
	long long give_up = now_ms() + (long long)(1500 * (pace ? strtod(pace, NULL) : 1.0));

	/*
	 * Orphans become the subreaper's, so who has no child has no descendant: then
	 * there is nothing to look for in /proc, which is slow under TCG.
	 */
	if (ancestor == getpid()) {
		pid_t gone;

		do
			gone = waitpid(-1, NULL, WNOHANG);
		while (gone > 0);
		if (gone < 0 && errno == ECHILD)
			return 1;
	}
	while (each_below(ancestor, SIGKILL)) {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (now_ms() > give_up)
			return 0;
		usleep(2000);
	}
	return 1;
}

int run_case(const char *seq, const char *id, double seconds, char **argv)
{
	char path[64], text[64], tainted[32];
	long long deadline = now_ms() + (long long)(seconds * 1000);
	struct pollfd wait_for = { .events = POLLIN };
	int status = 0, timed_out = 0, over = 0, result;
	sigset_t watched, before;
	pid_t child;

	/* A WARN_ON_ONCE speaks once per boot: every case deserves its own. */
	put("/sys/kernel/debug/clear_warn_once", "1");
	put("/proc/self/oom_score_adj", "-1000");
	/* What a case leaves behind becomes ours, so that it can be found and killed. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	snprintf(path, sizeof(path), CASE_DIR "/case-%s", seq);
	snprintf(text, sizeof(text), "%d\n", getpid());
	put(path, text);
	sigemptyset(&watched);
	sigaddset(&watched, SIGCHLD);
	sigprocmask(SIG_BLOCK, &watched, &before);
	wait_for.fd = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);

	say(WORD_BEGIN " %s %s", seq, id);
	child = fork();
	if (child == 0) {
		setsid();
		sigprocmask(SIG_SETMASK, &before, NULL);
		/* What the host sends is for a case that it talks to, and for no other. */
		if (!getenv(WORD_DIALOGUE_VARIABLE))
			dup2(open("/dev/null", O_RDONLY), 0);
		put("/proc/self/oom_score_adj", "0");
		execvp(argv[0], argv);
		fprintf(stderr, "harness: %s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	while (!over && !timed_out) {
		struct signalfd_siginfo got;
		long long left = deadline - now_ms();
		pid_t gone;
		int one;

		if (left <= 0) {
			timed_out = 1;
			break;
		}
		poll(&wait_for, 1, left > 1000000 ? 1000000 : (int)left);
		if (read(wait_for.fd, &got, sizeof(got)) < 0) {
			/* Woken by the clock. */
		}
		while ((gone = waitpid(-1, &one, WNOHANG)) > 0) {
			if (gone == child) {
				over = 1;
				status = one;
			}
		}
	}
	if (timed_out) {
		fprintf(stderr, "harness: timed out after %g s; what was running:\n", seconds);
		each_below(getpid(), 0);
	}
	fflush(stderr);
	if (!kill_below(getpid()))
		say(WORD_STUCK " %s: a process of the case cannot be killed", seq);
	unlink(path);
	get("/proc/sys/kernel/tainted", tainted, sizeof(tainted));
	tainted[strcspn(tainted, "\n")] = '\0';
	if (timed_out)
		result = TIMEOUT_STATUS;
	else
		result = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	if (!timed_out && WIFSIGNALED(status))
		say(WORD_END " %s signal=%d tainted=%s", seq, WTERMSIG(status), tainted);
	else
		say(WORD_END " %s %s=%d tainted=%s", seq, timed_out ? "timeout" : "exit", result,
		    tainted);
	return result;
}

int kill_case(const char *seq)
{
	char path[64], text[64];
	pid_t pid;

	snprintf(path, sizeof(path), CASE_DIR "/case-%s", seq);
	if (get(path, text, sizeof(text)) < 0)
		return 0;
	pid = atoi(text);
	return pid > 1 && kill_below(pid) ? 0 : 1;
}
