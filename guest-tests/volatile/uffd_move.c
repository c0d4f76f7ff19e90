// SPDX-License-Identifier: GPL-2.0-only
/* UFFDIO_MOVE takes pages from a volatile range: what is there, not what is lost. */
#include "vr_newer.h"
#include "vt_fault.h"

#define PAGES	8
#define LEN	(PAGES * VR_PAGE)

static int armed(void *dst)
{
	return vr_userfaultfd(dst, LEN, UFFDIO_REGISTER_MODE_MISSING, UFFD_FEATURE_MOVE);
}

/* How many bytes were moved, or -errno. */
static long long move(int fd, void *dst, void *src, size_t len)
{
	struct uffdio_move arg = {
		.dst = (uintptr_t)dst,
		.src = (uintptr_t)src,
		.len = len,
	};
	int ret = ioctl(fd, UFFDIO_MOVE, &arg);

	return ret && arg.move <= 0 ? (arg.move ? arg.move : -errno) : arg.move;
}

static void moves_intact_pages(void)
{
	char *dst = vr_anon(PAGES);
	int fd = armed(dst);
	struct vr_range r;

	vt_pin(0);
	r = vr_filled(PAGES);
	REQUIRE_EQ(vr_mark(r.p, LEN), 0);
	REQUIRE_EQ(vr_pageout(r.p, LEN / 2), 0);
	/* Purged pages are not there to be moved, and stay purged. */
	EXPECT_EQ(move(fd, dst, r.p, VR_PAGE), -EFAULT);
	EXPECT_FAULT(vt_do_read, r.p, SIGBUS, BUS_ADRERR);
	EXPECT_EQ(move(fd, dst, r.p + LEN / 2, LEN / 2), LEN / 2);
	EXPECT_EQ(((uint64_t *)dst)[0], r.magic);
	EXPECT_EQ(((uint64_t *)dst)[1], PAGES / 2);
	EXPECT_EQ(((uint64_t *)(dst + LEN / 2 - VR_PAGE))[1], PAGES - 1);
	/* They are not volatile where they are now: reclaim keeps them. */
	EXPECT_PICTURE(dst, "--------");
	EXPECT_EQ(vr_pageout(dst, LEN / 2), 0);
	EXPECT_EQ(((uint64_t *)dst)[0], r.magic);
	/* What is left behind has been given away, and is not purged. */
	EXPECT_EQ(vr_unmark(r.p + LEN / 2, LEN / 2), 0);
	EXPECT_EQ(vr_unmark(r.p, LEN), 1);
	EXPECT_ALL_ZERO(&r);
}

/* A range of both kinds: what comes before the purged page is moved. */
static void stops_at_a_purged_page(void)
{
	char *dst = vr_anon(PAGES);
	int fd = armed(dst);
	struct vr_range r;

	vt_pin(0);
	r = vr_filled(PAGES);
	REQUIRE_EQ(vr_mark(r.p, LEN), 0);
	REQUIRE_EQ(vr_pageout(vr_page(&r, 2), VR_PAGE), 0);
	EXPECT_EQ(move(fd, dst, r.p, LEN), 2 * VR_PAGE);
	EXPECT_FAULT(vt_do_read, vr_page(&r, 2), SIGBUS, BUS_ADRERR);
	EXPECT_EQ(vr_unmark(r.p, LEN), 1);
	EXPECT_EQ(vr_count_pages(&r, 0, 3).zero, 3);
	EXPECT_EQ(vr_count_pages(&r, 3, PAGES).old, PAGES - 3);
}

static const struct vt_case cases[] = {
	VT_CASE(moves_intact_pages, "V-SB-12",
		"UFFDIO_MOVE takes intact pages; purged ones are EFAULT and stay.",
		.needs = "linux-6.8"),
	VT_CASE(stops_at_a_purged_page, "V-SB-12",
		"UFFDIO_MOVE of a mixed range stops at the purged page.",
		.needs = "linux-6.8"),
};

VT_MAIN(cases)
