// SPDX-License-Identifier: GPL-2.0-only
/* What the two advices return for which range, and that a failure does nothing. */
#include "vr_pages.h"

static struct vr_vmas before;

static const int advices[] = { MADV_VOLATILE, MADV_NONVOLATILE };

static void numbers_and_probe(void)
{
	EXPECT_EQ(MADV_VOLATILE, 26);
	EXPECT_EQ(MADV_NONVOLATILE, 27);
	EXPECT_EQ(vr_advise(NULL, 0, 26), 0);
	EXPECT_EQ(vr_advise(NULL, 0, 27), 0);
	/* Control: the probe tells a known advice from an unknown one. */
	EXPECT_EQ(vr_advise(NULL, 0, 99), -EINVAL);
}

/* Both advices on [p, p+len) return @want and change nothing. */
static void nothing_done(char *p, size_t len, int want)
{
	size_t i;

	vr_save_vmas(&before);
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(vr_advise(p, len, advices[i]), want);
		EXPECT_SAME_VMAS(&before);
	}
}

static void zero_length(void)
{
	char *p = vr_anon(4);

	REQUIRE_EQ(vr_mark(p + VR_PAGE, VR_PAGE), 0);
	nothing_done(p, 0, 0);
	nothing_done(p + VR_PAGE, 0, 0);
	nothing_done(p + 2 * VR_PAGE, 0, 0);
	REQUIRE_EQ(munmap(p + 2 * VR_PAGE, VR_PAGE), 0);
	nothing_done(p + 2 * VR_PAGE, 0, 0);
	nothing_done(p + 1, 0, -EINVAL);
}

static void unaligned_address(void)
{
	char *p = vr_anon(4);

	REQUIRE_EQ(vr_mark(p, 2 * VR_PAGE), 0);
	nothing_done(p + 1, VR_PAGE, -EINVAL);
	nothing_done(p + VR_PAGE - 1, VR_PAGE + 1, -EINVAL);
	nothing_done(p + 16, 3 * VR_PAGE - 16, -EINVAL);
}

static void unaligned_length_is_rounded_up(void)
{
	char *p = vr_anon(6);

	EXPECT_EQ(vr_mark(p, 1), 0);
	EXPECT_PICTURE(p, "V-----");
	EXPECT_EQ(vr_mark(p + 2 * VR_PAGE, VR_PAGE + 1), 0);
	EXPECT_PICTURE(p, "V-VV--");
	EXPECT_EQ(vr_unmark(p + 2 * VR_PAGE, VR_PAGE - 1), 0);
	EXPECT_PICTURE(p, "V--V--");
	EXPECT_EQ(vr_unmark(p, 3 * VR_PAGE + 1), 0);
	EXPECT_PICTURE(p, "------");
	/* The page that the rounding takes in must be there. */
	REQUIRE_EQ(munmap(p + 5 * VR_PAGE, VR_PAGE), 0);
	nothing_done(p, 5 * VR_PAGE + 1, -ENOMEM);
}

static void range_wraps(void)
{
	char *p = vr_anon(2);

	nothing_done(p, -1UL, -EINVAL);
	nothing_done(p, -VR_PAGE, -EINVAL);
	nothing_done(p, -(unsigned long)p, -EINVAL);
	nothing_done((char *)-VR_PAGE, 2 * VR_PAGE, -EINVAL);
	/* Control: the longest range that does not wrap is checked for holes. */
	nothing_done(p, -(unsigned long)p - VR_PAGE, -ENOMEM);
}

/* Six pages, half of them marked, with a hole of one page at @hole. */
static char *with_hole(size_t hole)
{
	char *p = vr_anon(6);

	vr_fill(p, 6);
	REQUIRE_EQ(vr_mark(p + 3 * VR_PAGE, 2 * VR_PAGE), 0);
	REQUIRE_EQ(munmap(p + hole * VR_PAGE, VR_PAGE), 0);
	return p;
}

static void hole_at_start(void)
{
	nothing_done(with_hole(0), 6 * VR_PAGE, -ENOMEM);
}

static void hole_in_middle(void)
{
	nothing_done(with_hole(2), 6 * VR_PAGE, -ENOMEM);
	nothing_done(with_hole(4), 6 * VR_PAGE, -ENOMEM);
}

static void hole_at_end(void)
{
	nothing_done(with_hole(5), 6 * VR_PAGE, -ENOMEM);
}

static void past_the_last_vma(void)
{
	struct vr_vma vma, last = { 0 };
	const char *text = before.text;

	vr_save_vmas(&before);
	while (vr_next_vma(&text, &vma))
		if (vma.to < 1UL << 47)
			last = vma;
	nothing_done((char *)last.to, VR_PAGE, -ENOMEM);
	nothing_done((char *)(1UL << 47), VR_PAGE, -ENOMEM);
	nothing_done((char *)(-1UL << 47), VR_PAGE, -ENOMEM);
}

/* Nothing lies above the range that is marked, nor does anything below it end there. */
static void topmost_mapping(void)
{
	const unsigned long last = (1UL << 47) - 2 * VR_PAGE;
	char *p = mmap((void *)last, VR_PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (p != (char *)last)
		vt_skip("the stack is at the top of the address space");
	p[0] = 1;
	nothing_done(p, 2 * VR_PAGE, -ENOMEM);
	EXPECT_EQ(vr_mark(p, VR_PAGE), 0);
	EXPECT_PICTURE(p, "V");
	nothing_done(p, 2 * VR_PAGE, -ENOMEM);
	EXPECT_EQ(vr_unmark(p, VR_PAGE), 0);
	EXPECT_PICTURE(p, "-");
	EXPECT_EQ(p[0], 1);
}

/* A file mapping, which cannot be marked, in the place of page @at. */
static void put_file(char *p, size_t at)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	REQUIRE(mmap(p + at * VR_PAGE, VR_PAGE, PROT_READ,
		     MAP_PRIVATE | MAP_FIXED, fd, 0) != MAP_FAILED);
	close(fd);
}

static void hole_goes_before_refusal(void)
{
	char *p = with_hole(4);

	put_file(p, 1);
	nothing_done(p, 6 * VR_PAGE, -ENOMEM);
	/* Control: it is the hole, without it the file decides. */
	nothing_done(p, 3 * VR_PAGE, -EINVAL);
	p = with_hole(1);
	put_file(p, 4);
	nothing_done(p, 6 * VR_PAGE, -ENOMEM);
	nothing_done(p + 2 * VR_PAGE, 4 * VR_PAGE, -EINVAL);
}

static void neighbours_have_no_say(void)
{
	char *p = vr_anon(6);

	put_file(p, 1);
	REQUIRE_EQ(munmap(p + 4 * VR_PAGE, VR_PAGE), 0);
	EXPECT_EQ(vr_mark(p + 2 * VR_PAGE, 2 * VR_PAGE), 0);
	EXPECT_PICTURE(p, "--VV.-");
	EXPECT_EQ(vr_unmark(p + 2 * VR_PAGE, 2 * VR_PAGE), 0);
	p = vr_anon(6);
	REQUIRE_EQ(mlock(p + 4 * VR_PAGE, VR_PAGE), 0);
	EXPECT_EQ(vr_mark(p, 4 * VR_PAGE), 0);
	EXPECT_PICTURE(p, "VVVV--");
	EXPECT_EQ(vr_unmark(p, 4 * VR_PAGE), 0);
	EXPECT_PICTURE(p, "------");
}

static const struct vt_case cases[] = {
	VT_CASE(numbers_and_probe, "V-IF-1",
		"The advices are 26 and 27, and madvise(NULL, 0, 26) is the probe."),
	VT_CASE(zero_length, "V-IF-3",
		"Length 0 returns 0 and changes nothing, wherever it is."),
	VT_CASE(unaligned_address, "V-IF-3",
		"An address that is not page aligned is EINVAL, nothing changed."),
	VT_CASE(unaligned_length_is_rounded_up, "V-IF-3",
		"A length that is not page aligned is rounded up."),
	VT_CASE(range_wraps, "V-IF-3",
		"A range that wraps is EINVAL, nothing changed."),
	VT_CASE(hole_at_start, "V-IF-4 V-IF-2",
		"A hole at the start of the range is ENOMEM, nothing changed."),
	VT_CASE(hole_in_middle, "V-IF-4 V-IF-2",
		"A hole within the range is ENOMEM, nothing changed."),
	VT_CASE(hole_at_end, "V-IF-4 V-IF-2",
		"A hole at the end of the range is ENOMEM, nothing changed."),
	VT_CASE(topmost_mapping, "V-IF-4 V-MK-2",
		"The last page that there can be is marked; a range past it gets ENOMEM."),
	VT_CASE(past_the_last_vma, "V-IF-4",
		"A range above the last mapping is ENOMEM, nothing changed."),
	VT_CASE(hole_goes_before_refusal, "V-IF-4",
		"With a hole and a refused mapping in the range it is ENOMEM."),
	VT_CASE(neighbours_have_no_say, "V-IF-4",
		"Files, holes and locked memory next to the range do not matter."),
};

VT_MAIN(cases)
