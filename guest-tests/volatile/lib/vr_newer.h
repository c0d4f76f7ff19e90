/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the headers of older trees lack. The cases that use it name the kernel
 * that has it (.needs = "linux-6.10").
 */
#ifndef VR_NEWER_H
#define VR_NEWER_H

#include "vr_pages.h"

#include <linux/fs.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#ifndef __NR_mseal			/* 6.10 */
#define __NR_mseal	462
#endif

#ifndef MAP_DROPPABLE			/* 6.11 */
#define MAP_DROPPABLE	0x08
#endif

#ifndef UFFDIO_MOVE			/* 6.8 */
#define UFFD_FEATURE_MOVE	(1 << 16)
#define UFFDIO_MOVE		_IOWR(UFFDIO, 0x05, struct uffdio_move)

struct uffdio_move {
	__u64 dst, src, len, mode;
	__s64 move;
};
#endif

#ifndef UFFDIO_POISON			/* 6.6 */
#define UFFD_FEATURE_POISON	(1 << 14)
#define UFFDIO_POISON		_IOWR(UFFDIO, 0x08, struct uffdio_poison)

struct uffdio_poison {
	struct uffdio_range range;
	__u64 mode;
	__s64 updated;
};
#endif

#ifndef PAGEMAP_SCAN			/* 6.7 */
#define PAGEMAP_SCAN	_IOWR('f', 16, struct pm_scan_arg)
#define PAGE_IS_WRITTEN		(1 << 1)
#define PAGE_IS_FILE		(1 << 2)
#define PAGE_IS_PRESENT		(1 << 3)
#define PAGE_IS_SWAPPED		(1 << 4)
#define PAGE_IS_PFNZERO		(1 << 5)
#define PAGE_IS_HUGE		(1 << 6)
#define PAGE_IS_SOFT_DIRTY	(1 << 7)

struct page_region {
	__u64 start, end, categories;
};

struct pm_scan_arg {
	__u64 size, flags, start, end, walk_end, vec, vec_len, max_pages,
	      category_inverted, category_mask, category_anyof_mask,
	      return_mask;
};
#endif

/* A userfaultfd for @p, in the registration's @mode; its end gives @p back. */
static inline int vr_userfaultfd(void *p, size_t len, uint64_t mode, uint64_t features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	struct uffdio_register reg = {
		.range = { (uintptr_t)p, len },
		.mode = mode,
	};
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0 && errno == ENOSYS)
		vt_skip("no CONFIG_USERFAULTFD in this kernel");
	REQUIRE(fd >= 0);
	REQUIRE_EQ(ioctl(fd, UFFDIO_API, &api), 0);
	REQUIRE_EQ(ioctl(fd, UFFDIO_REGISTER, &reg), 0);
	return fd;
}

#define VR_PM_UFFD_WP	(1ULL << 57)

/* Write protection by the userfaultfd @fd: UFFDIO_WRITEPROTECT_MODE_WP, or 0 to lift it. */
static inline void vr_write_protect(int fd, void *p, size_t len, uint64_t mode)
{
	struct uffdio_writeprotect arg = { { (uintptr_t)p, len }, mode };

	REQUIRE_EQ(ioctl(fd, UFFDIO_WRITEPROTECT, &arg), 0);
}

static inline int vr_seal(void *p, size_t len)
{
	return syscall(__NR_mseal, p, len, 0UL) ? -errno : 0;
}

#endif
