// SPDX-License-Identifier: GPL-2.0-only
/* Markers that userfaultfd leaves in page tables: next to those of purged pages, and none of them. */
#include "vr_newer.h"
#include "vt_fault.h"

#include <sys/mman.h>

#ifndef UFFD_FEATURE_WP_HUGETLBFS_SHMEM	/* 5.19 */
#define UFFD_FEATURE_WP_HUGETLBFS_SHMEM	(1 << 12)
#endif

#define PAGES	4
#define LEN	(PAGES * VR_PAGE)

/*
 * A mapping of a file in memory, write-protected as a whole. Nobody has touched any page but the
 * last, so that the others are markers; it is private, so that fork() copies the page table.
 */
static char *protected_file(int *fd)
{
	int file = memfd_create("markers", MFD_CLOEXEC), i;
	char *p;

	REQUIRE(file >= 0);
	REQUIRE_EQ(ftruncate(file, LEN), 0);
	p = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	REQUIRE(p != MAP_FAILED);
	close(file);
	p[LEN - VR_PAGE] = 1;
	*fd = vr_userfaultfd(p, LEN, UFFDIO_REGISTER_MODE_WP, UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
	vr_write_protect(*fd, p, LEN, UFFDIO_WRITEPROTECT_MODE_WP);
	for (i = 0; i < PAGES; i++)
		REQUIRE(vr_pagemap(p + i * VR_PAGE) & VR_PM_UFFD_WP);
	return p;
}

static void a_marker_is_read_over(void)
{
	int fd;
	char *p = protected_file(&fd);

	EXPECT_NO_FAULT(vt_do_read, p);
	EXPECT_EQ(*p, 0);
	/* It is a page now, and protected still. */
	EXPECT(vr_pagemap(p) & VR_PM_PRESENT);
	EXPECT(vr_pagemap(p) & VR_PM_UFFD_WP);
	close(fd);
}

static void a_marker_is_lifted(void)
{
	int fd;
	char *p = protected_file(&fd);

	vr_write_protect(fd, p, LEN, 0);
	/* Else the writes would wait for us. */
	REQUIRE_EQ(vr_pagemap(p) & VR_PM_UFFD_WP, 0);
	EXPECT_NO_FAULT(vt_do_write, p);
	EXPECT_NO_FAULT(vt_do_write, p + LEN - VR_PAGE);
	close(fd);
}

static void use_without_protection(void *arg)
{
	char *p = arg;

	EXPECT_EQ(vr_pagemap(p) & VR_PM_UFFD_WP, 0);
	EXPECT_NO_FAULT(vt_do_read, p);
	EXPECT_EQ(*p, 0);
	EXPECT_NO_FAULT(vt_do_write, p + VR_PAGE);
}

static void a_child_has_no_marker(void)
{
	int fd;
	char *p = protected_file(&fd);

	EXPECT_EQ(vt_run_child(use_without_protection, p), 0);
	/* Control: the parent has it still. */
	EXPECT(vr_pagemap(p) & VR_PM_UFFD_WP);
	close(fd);
}

static const struct vt_case cases[] = {
	VT_CASE(a_marker_is_read_over, "V-SB-12",
		"A write-protected page that was never touched can be read."),
	VT_CASE(a_marker_is_lifted, "V-SB-12",
		"Its protection ends when userfaultfd says so."),
	VT_CASE(a_child_has_no_marker, "V-SB-12",
		"A child, which has no userfaultfd, inherits no protection."),
};

VT_MAIN(cases)
