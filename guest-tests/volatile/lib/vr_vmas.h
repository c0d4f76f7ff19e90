/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What smaps says about the mappings of a process. Nothing here allocates: the
 * reader must not change the list that it reads.
 */
#ifndef VR_VMAS_H
#define VR_VMAS_H

#include "vr.h"

#define VR_VMAS_MAX	(1 << 20)

/*
 * The VMA list as text: for every VMA its line of smaps and its VmFlags. Two
 * equal texts are the same list with the same flags.
 */
struct vr_vmas {
	int count;
	char text[VR_VMAS_MAX];
};

/* One VMA of such a text. */
struct vr_vma {
	unsigned long from, to;
	char flags[160];		/* " rd wr mr mw me ac sd" */
};

static struct vr_vmas vr_now;

static inline void vr_read_vmas(struct vr_vmas *v, const char *smaps)
{
	static char raw[VR_VMAS_MAX * 4];
	char *line, *end, *out = v->text;
	unsigned long from, to;

	vt_read(smaps, raw, sizeof(raw));
	v->count = 0;
	for (line = raw; *line; line = *end ? end + 1 : end) {
		bool is_vma = sscanf(line, "%lx-%lx ", &from, &to) == 2;

		end = strchrnul(line, '\n');
		if (!is_vma && strncmp(line, "VmFlags:", 8))
			continue;
		v->count += is_vma;
		REQUIRE(out + (end - line) + 2 < v->text + VR_VMAS_MAX);
		memcpy(out, line, end - line);
		out += end - line;
		*out++ = '\n';
	}
	*out = '\0';
}

static inline void vr_save_vmas(struct vr_vmas *v)
{
	vr_read_vmas(v, "/proc/self/smaps");
}

/* Step through such a text: false at its end. */
static inline bool vr_next_vma(const char **text, struct vr_vma *vma)
{
	const char *flags = strchr(*text, '\n');

	if (!flags)
		return false;
	REQUIRE(sscanf(*text, "%lx-%lx ", &vma->from, &vma->to) == 2);
	REQUIRE(sscanf(flags, "\nVmFlags:%159[^\n]", vma->flags) == 1);
	*text = strchr(flags + 1, '\n') + 1;
	return true;
}

/* The VMA list is still @before; if not, say where they part. */
static inline bool vr_vmas_unchanged(const struct vr_vmas *before,
				     const char *smaps)
{
	const char *a = before->text, *b = vr_now.text;

	vr_read_vmas(&vr_now, smaps);
	while (*a && !strncmp(a, b, strcspn(a, "\n") + 1)) {
		size_t n = strcspn(a, "\n") + 1;

		a += n;
		b += n;
	}
	if (!*a && !*b)
		return true;
	vt_diag("VMAs changed: was '%.*s' is '%.*s'", (int)strcspn(a, "\n"), a,
		(int)strcspn(b, "\n"), b);
	return false;
}

#define EXPECT_SAME_VMAS(before) \
	EXPECT(vr_vmas_unchanged(before, "/proc/self/smaps"))

/* How many VMAs lie in [p, p+len), wholly or in part. */
static inline int vr_count_vmas(const void *p, size_t len)
{
	unsigned long start = (unsigned long)p;
	const char *text = vr_now.text;
	struct vr_vma vma;
	int n = 0;

	vr_save_vmas(&vr_now);
	while (vr_next_vma(&text, &vma))
		n += vma.to > start && vma.from < start + len;
	return n;
}

/* The VMA that holds @p. */
static inline struct vr_vma vr_vma(const void *p)
{
	unsigned long at = (unsigned long)p;
	const char *text = vr_now.text;
	struct vr_vma vma;

	vr_save_vmas(&vr_now);
	while (vr_next_vma(&text, &vma))
		if (at >= vma.from && at < vma.to)
			return vma;
	VT_OR_ABANDON(vt_check(false, "no VMA at %p", p));
	return vma;
}

static inline bool vr_is_volatile(const void *p)
{
	return strstr(vr_vma(p).flags, " vl");
}

/*
 * Which pages of [p, p+pages) are volatile: 'V', not: '-', not mapped: '.'.
 * One reading of smaps for the whole range.
 */
static inline const char *vr_picture(const void *p, size_t pages)
{
	unsigned long start = (unsigned long)p, at;
	const char *text = vr_now.text;
	static char picture[4096];
	struct vr_vma vma;
	size_t i;

	REQUIRE(pages < sizeof(picture));
	memset(picture, '.', pages);
	picture[pages] = '\0';
	vr_save_vmas(&vr_now);
	while (vr_next_vma(&text, &vma)) {
		for (i = 0; i < pages; i++) {
			at = start + i * VR_PAGE;
			if (at >= vma.from && at < vma.to)
				picture[i] = strstr(vma.flags, " vl") ?
					     'V' : '-';
		}
	}
	return picture;
}

#define EXPECT_PICTURE(p, want) do {					\
	const char *vr_is = vr_picture(p, strlen(want));		\
									\
	vt_check(!strcmp(vr_is, want), "%s:%d: pages are %s, not %s",	\
		 __FILE__, __LINE__, vr_is, want);			\
} while (0)

#endif
