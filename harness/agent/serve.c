// SPDX-License-Identifier: GPL-2.0-only
/*
 * One case after another for one command over SSH. A command of its own would cost each
 * case a channel, a fork of the SSH server (dropbear then reads half of /proc to stir its
 * random numbers), a shell and a start of this program: of the 35 ms that an empty case
 * takes under TCG, these are 25.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "common.h"

static int read_fully(char *to, size_t wanted)
{
	while (wanted) {
		ssize_t got = read(0, to, wanted);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return 0;
		to += got;
		wanted -= got;
	}
	return 1;
}

/* A line with the number of bytes, and so many bytes; NULL at the end of the input. */
static char *take_request(size_t *length)
{
	char digits[16], *request;
	size_t count = 0;

	do {
		if (count == sizeof(digits) || !read_fully(digits + count, 1))
			return NULL;
	} while (digits[count++] != '\n');
	*length = strtoul(digits, NULL, 10);
	request = malloc(*length + 1);
	if (request && read_fully(request, *length)) {
		request[*length] = '\0';
		return request;
	}
	free(request);
	return NULL;
}

static char *next(char **at)
{
	char *word = *at;

	*at += strlen(word) + 1;
	return word;
}

/* SEQ ID SECONDS [NAME=VALUE...] "" CMD..., a NUL after each. In a process of its own. */
static int obey(char *at, const char *end)
{
	char *seq = next(&at), *id = next(&at), *seconds = next(&at), *word;
	char **argv = calloc(end - at + 1, sizeof(*argv));
	int argc = 0;

	while (*(word = next(&at)))
		putenv(word);
	while (at < end)
		argv[argc++] = next(&at);
	return argc ? run_case(seq, id, strtod(seconds, NULL), argv) : 127;
}

/*
 * Ends with its input. After each case `mark` is written to both outputs, with the
 * case's status on the first: -1 if what ran the case was killed itself.
 */
int serve(const char *mark)
{
	size_t length;
	char *request;

	while ((request = take_request(&length))) {
		int status = 0;
		pid_t runner = fork();

		if (runner == 0)
			_exit(obey(request, request + length));
		while (runner > 0 && waitpid(runner, &status, 0) < 0 && errno == EINTR)
			;
		dprintf(1, "%s %d\n", mark,
			runner > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1);
		dprintf(2, "%s\n", mark);
		free(request);
	}
	return 0;
}
