/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stress: what the kernel lists for a plot. Read as a stream, for others
 * change the list around it all the time.
 */
#ifndef VS_MAPS_H
#define VS_MAPS_H

#include "vs_look.h"

#define VS_SAMPLE	4		/* of so many calls one is counted */

/* One line of maps or smaps, applied to what is known of a plot so far. */
static inline int vs_take_line(const struct vs_plot *plot, const char *line,
			       size_t *from, size_t *to, char *picture)
{
	unsigned long start, end, base = (unsigned long)plot->base;
	unsigned long last = base + plot->pages * VR_PAGE;

	if (sscanf(line, "%lx-%lx ", &start, &end) == 2) {
		*from = *to = 0;
		if (end <= base || start >= last)
			return 0;
		*from = start <= base ? 0 : (start - base) / VR_PAGE;
		*to = (end >= last ? last - base : end - base) / VR_PAGE;
		return 1;
	}
	if (picture && !strncmp(line, "VmFlags:", 8) && *to > *from)
		memset(picture + *from,
		       strstr(line, " vl") ? (strstr(line, " lo") ? 'B' : 'V') :
		       (strstr(line, " lo") ? 'L' : '-'), *to - *from);
	return 0;
}

/*
 * For the rest of a process's life. While nobody has it open, reclaim may evict the
 * directory in the middle of a lookup, and 6.1 then says ESRCH: docs/bugs-found.md.
 */
static inline void vs_keep_proc(void)
{
	REQUIRE(open("/proc/self", O_PATH | O_CLOEXEC) >= 0);
}

/*
 * How many VMAs the plot has; where @picture is given, also the flags of its
 * pages: 'V' volatile, 'L' locked, 'B' both, '-' none, '.' not mapped.
 */
static inline int vs_list(const struct vs_plot *plot, char *picture)
{
	const char *path = picture ? "/proc/self/smaps" : "/proc/self/maps";
	int fd = open(path, O_RDONLY | O_CLOEXEC), vmas = 0;
	size_t have = 0, from = 0, to = 0;
	char text[8192], *line, *end;
	ssize_t n;

	REQUIRE(fd >= 0);
	if (picture)
		memset(picture, '.', plot->pages);
	while ((n = read(fd, text + have, sizeof(text) - 1 - have)) > 0) {
		text[have + n] = '\0';
		for (line = text; (end = strchr(line, '\n')); line = end + 1) {
			*end = '\0';
			vmas += vs_take_line(plot, line, &from, &to, picture);
		}
		have = strlen(line);
		memmove(text, line, have);
	}
	close(fd);
	REQUIRE_EQ(n, 0);
	return vmas;
}

/* The kernel's flags of all pages are those of the book. */
static inline void vs_check_flags(struct vs_plot *plot)
{
	static __thread char picture[VS_PAGES];
	size_t i;

	vs_list(plot, picture);
	for (i = 0; i < plot->pages; i++) {
		const struct vs_page *page = &plot->page[i];
		char want = page->vol ? (page->locked ? 'B' : 'V') :
			    (page->locked ? 'L' : '-');

		if (picture[i] == want)
			continue;
		vt_diag("smaps says '%c', the book '%c'", picture[i], want);
		vs_wrong(plot, i, "flags");
		return;
	}
	vt_check(true, "%s", "");
}

/* How a call has changed the number of VMAs. */
static inline void vs_count_vmas(const struct vs_plot *plot, int before)
{
	int more = vs_list(plot, NULL) - before;

	if (more > 0)
		VS_COUNT(splits, more);
	else
		VS_COUNT(merges, -more);
}

#endif
