/* SPDX-License-Identifier: GPL-2.0-only */
/* What the guest's process 1 and its runner of cases share. */
#ifndef GUEST_COMMON_H
#define GUEST_COMMON_H

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "protocol.h"

#define CASE_DIR "/run/harness"

/* One line in the kernel's log: level warning, so that no loglevel hides it. */
static inline void __attribute__((format(printf, 1, 2))) say(const char *format, ...)
{
	char line[900] = "<4>" WORD_HEAD;
	size_t head = strlen(line);
	va_list args;
	int fd, length;

	va_start(args, format);
	length = vsnprintf(line + head, sizeof(line) - head - 1, format, args);
	va_end(args);
	if (length < 0)
		return;
	if ((size_t)length > sizeof(line) - head - 2)
		length = sizeof(line) - head - 2;
	line[head + length] = '\n';
	fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, line, head + length + 1) < 0) {
		/* Nowhere left to complain to. */
	}
	close(fd);
}

static inline int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ssize_t done;

	if (fd < 0)
		return -1;
	done = write(fd, text, strlen(text));
	close(fd);
	return done < 0 ? -1 : 0;
}

static inline ssize_t get(const char *path, char *text, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t have = 0;
	ssize_t done;

	text[0] = '\0';
	if (fd < 0)
		return -1;
	while (have < room - 1 && (done = read(fd, text + have, room - 1 - have)) > 0)
		have += done;
	close(fd);
	text[have] = '\0';
	return have;
}

/* case.c */
int hello(const char *seconds, const char *hex);
int run_case(const char *seq, const char *id, double seconds, char **argv);
int kill_case(const char *seq);

/* serve.c */
int serve(const char *mark);

/* benchmark.c */
int benchmark(void);

#endif
