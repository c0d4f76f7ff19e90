/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The part of vtest.h that no case sees: listing the cases, running one in a
 * worker, and giving the verdict.
 */
#ifndef VT_JUDGE_H
#define VT_JUDGE_H

static inline void vt_list_words(const char *key, const char *words)
{
	const char *sep = "";

	printf(", \"%s\": [", key);
	while (words && *words) {
		int n = strcspn(words, " ");

		printf("%s\"%.*s\"", sep, n, words);
		words += n + strspn(words + n, " ");
		sep = ", ";
	}
	printf("]");
}

static inline void vt_list(const struct vt_case *c)
{
	printf("{\"name\": \"%s\"", c->name);
	vt_list_words("clauses", c->clauses);
	printf(", \"timeout\": %d", c->timeout ? c->timeout : 10);
	vt_list_words("needs", c->needs);
	if (c->host_checks)
		vt_list_words("host_checks", c->host_checks);
	if (c->driver)
		printf(", \"driver\": \"%s\"", c->driver);
	printf(", \"about\": \"%s\"}\n", c->about);
}

/*
 * Wait until @worker has ended, and see to it that nothing of it is left.
 * Returns its wait status, or -1 if we were told to stop before.
 */
static inline int vt_supervise(pid_t worker, const sigset_t *watched)
{
	int status = 0, told = 0, pid_status;
	pid_t pid = 0;

	while (pid != worker) {
		int sig = sigwaitinfo(watched, NULL);

		if (sig > 0 && sig != SIGCHLD) {
			vt_diag("told to stop by signal %d", sig);
			told = 1;
			kill(worker, SIGKILL);
		}
		while ((pid = waitpid(-1, &pid_status, WNOHANG)) > 0) {
			if (pid != worker)
				continue;
			status = pid_status;
			break;
		}
	}
	kill(-worker, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0)
		;
	return told ? -1 : status;
}

/* Run one case to its verdict. Returns the exit status of the program. */
static inline int vt_run(const struct vt_case *c)
{
	sigset_t watched, old;
	pid_t worker;
	int status, i;

	vt_shared = mmap(NULL, sizeof(*vt_shared), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (vt_shared == MAP_FAILED)
		return 1;
	dprintf(STDOUT_FILENO, "KTAP version 1\n1..1\n");
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	sigemptyset(&watched);
	sigaddset(&watched, SIGCHLD);
	sigaddset(&watched, SIGTERM);
	sigaddset(&watched, SIGINT);
	sigaddset(&watched, SIGHUP);
	sigprocmask(SIG_BLOCK, &watched, &old);
	worker = fork();
	if (worker < 0)
		return 1;
	if (!worker) {
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		sigprocmask(SIG_SETMASK, &old, NULL);
		c->run();
		_exit(0);
	}
	status = vt_supervise(worker, &watched);
	for (i = vt_shared->ncleanups; i-- > 0;)
		vt_shared->cleanup[i].undo(vt_shared->cleanup[i].arg);

	if (WIFSIGNALED(status) && status != -1)
		vt_check(false, "the case died of signal %d (%s)",
			 WTERMSIG(status), strsignal(WTERMSIG(status)));
	else if (status)
		vt_check(false, "the case was abandoned (status %#x)", status);
	if (!vt_shared->checks && !vt_shared->skipped)
		vt_check(false, "the case asserted nothing");
	if (vt_shared->failures) {
		dprintf(STDOUT_FILENO, "not ok 1 %s\n", c->name);
		return 1;
	}
	if (vt_shared->skipped)
		dprintf(STDOUT_FILENO, "ok 1 %s # SKIP %s\n", c->name,
			vt_shared->reason);
	else
		dprintf(STDOUT_FILENO, "ok 1 %s\n", c->name);
	return 0;
}

static inline int vt_main(int argc, char **argv, const struct vt_case *cases,
			  size_t n)
{
	size_t i;

	if (argc == 2 && !strcmp(argv[1], "--list")) {
		for (i = 0; i < n; i++)
			vt_list(&cases[i]);
		return 0;
	}
	if (argc == 3 && !strcmp(argv[1], "--run"))
		for (i = 0; i < n; i++)
			if (!strcmp(argv[2], cases[i].name))
				return vt_run(&cases[i]);
	fprintf(stderr, "usage: %s --list | --run NAME\n", argv[0]);
	return 2;
}

#endif
