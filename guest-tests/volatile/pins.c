// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages that somebody holds on to: while he does they are not purged, all around
 * them are, and as soon as he lets go they are purged by the same call.
 */
#include "vr_newer.h"

#include <linux/io_uring.h>
#include <pthread.h>
#include <sys/uio.h>

#define PAGES	16
#define HELD	5			/* the page that is held */

/*
 * @r, filled and marked, of which only the held page may survive this. It may be
 * on its way to swap.
 */
static void expect_all_but_held_purged(const struct vr_range *r)
{
	struct vr_count n;

	EXPECT_EQ(vr_pageout(r->p, vr_len(r)), 0);
	EXPECT_EQ(vr_unmark(vr_page(r, HELD), VR_PAGE), 0);
	EXPECT_EQ(vr_unmark(r->p, vr_len(r)), 1);
	n = vr_count(r);
	EXPECT_EQ(n.zero, PAGES - 1);
	EXPECT_EQ(vr_state(r, HELD), VR_OLD);
}

/* Nobody holds the page any more: filled and marked again, it goes. */
static void expect_held_purged(struct vr_range *r)
{
	REQUIRE_EQ(vr_mark(r->p, vr_len(r)), 0);
	EXPECT_EQ(vr_pageout(r->p, vr_len(r)), 0);
	EXPECT_EQ(vr_unmark(vr_page(r, HELD), VR_PAGE), 1);
	EXPECT_EQ(vr_state(r, HELD), VR_ZERO);
}

static struct vr_range prepare(void)
{
	vt_swap_disk();
	vt_pin(0);
	return vr_filled(PAGES);
}

static void in_a_pipe(void)
{
	struct vr_range r = prepare();
	struct iovec iov = { vr_page(&r, HELD), VR_PAGE };
	char got[VR_PAGE];
	int fd[2];

	REQUIRE_EQ(pipe(fd), 0);
	REQUIRE_EQ(vmsplice(fd[1], &iov, 1, 0), VR_PAGE);
	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	expect_all_but_held_purged(&r);
	REQUIRE_EQ(read(fd[0], got, VR_PAGE), VR_PAGE);
	EXPECT_EQ(memcmp(got, vr_page(&r, HELD), VR_PAGE), 0);
	expect_held_purged(&r);
}

static void registered_buffer(void)
{
	struct io_uring_params params = { 0 };
	struct vr_range r = prepare();
	struct iovec iov = { vr_page(&r, HELD), VR_PAGE };
	int fd = syscall(SYS_io_uring_setup, 1, &params);

	if (fd < 0 && errno == ENOSYS)
		vt_skip("no CONFIG_IO_URING in this kernel");
	REQUIRE(fd >= 0);
	REQUIRE_EQ(syscall(SYS_io_uring_register, fd, IORING_REGISTER_BUFFERS,
			   &iov, 1), 0);
	REQUIRE_EQ(vr_mark(r.p, vr_len(&r)), 0);
	expect_all_but_held_purged(&r);
	REQUIRE_EQ(syscall(SYS_io_uring_register, fd,
			   IORING_UNREGISTER_BUFFERS, NULL, 0), 0);
	expect_held_purged(&r);
}

/* A direct read from the disk into two pages, the second of which is missing. */
struct direct_read {
	char *p;
	int fd;
};

static void *read_directly(void *arg)
{
	struct direct_read *d = arg;

	EXPECT_EQ(pread(d->fd, d->p, 2 * VR_PAGE, 0), 2 * VR_PAGE);
	return NULL;
}

/*
 * Direct I/O holds the pages that it has from the time that it collects them.
 * It is stopped there by a page that userfaultfd has to bring, and stays in
 * flight for as long as we like.
 */
static void direct_io_in_flight(void)
{
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_api api = { .api = UFFD_API };
	struct direct_read d = { .fd = -1 };
	struct uffdio_zeropage zero = { 0 };
	static char want[VR_PAGE];
	struct uffd_msg msg;
	struct vr_range r;
	pthread_t thread;
	char *missing;
	int uffd;

	r = prepare();
	d.fd = open(getenv("VTEST_SWAPDISK"), O_RDONLY | O_DIRECT | O_CLOEXEC);
	REQUIRE(d.fd >= 0);
	uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (uffd < 0 && errno == ENOSYS)
		vt_skip("no CONFIG_USERFAULTFD in this kernel");
	REQUIRE_EQ(ioctl(uffd, UFFDIO_API, &api), 0);
	/* The held page is the last one below the missing one. */
	missing = vr_page(&r, HELD + 1);
	REQUIRE_EQ(vr_advise(missing, VR_PAGE, MADV_DONTNEED), 0);
	reg.range = (struct uffdio_range){ (uintptr_t)missing, VR_PAGE };
	REQUIRE_EQ(ioctl(uffd, UFFDIO_REGISTER, &reg), 0);
	REQUIRE_EQ(vr_mark(r.p, (HELD + 1) * VR_PAGE), 0);
	d.p = vr_page(&r, HELD);
	REQUIRE_EQ(pthread_create(&thread, NULL, read_directly, &d), 0);
	/* It has got the first page, and asks for the second. */
	REQUIRE_EQ(read(uffd, &msg, sizeof(msg)), sizeof(msg));
	EXPECT_EQ(msg.arg.pagefault.address, (uintptr_t)missing);
	EXPECT_EQ(vr_pageout(r.p, (HELD + 1) * VR_PAGE), 0);
	/* Control: those next to it are gone. */
	EXPECT_EQ(vr_unmark(r.p, HELD * VR_PAGE), 1);
	EXPECT_EQ(vr_count_pages(&r, 0, HELD).zero, HELD);
	zero.range = reg.range;
	REQUIRE_EQ(ioctl(uffd, UFFDIO_ZEROPAGE, &zero), 0);
	pthread_join(thread, NULL);
	/* What was read has arrived in a page that is still ours. */
	EXPECT_EQ(vr_unmark(vr_page(&r, HELD), VR_PAGE), 0);
	REQUIRE_EQ(ioctl(uffd, UFFDIO_UNREGISTER, &reg.range), 0);
	REQUIRE_EQ(pread(d.fd, vr_page(&r, HELD + 2), VR_PAGE, 0), VR_PAGE);
	memcpy(want, vr_page(&r, HELD + 2), VR_PAGE);
	EXPECT_EQ(memcmp(vr_page(&r, HELD), want, VR_PAGE), 0);
	vr_fill_page(&r, HELD);
	EXPECT_EQ(vr_state(&r, HELD), VR_OLD);
	expect_held_purged(&r);
}

/* Who asks for a purged page gets an error, not an empty page. */
static void purged_pages_cannot_be_held(void)
{
	struct io_uring_params params = { 0 };
	struct vr_range r;
	struct iovec iov;
	int pipes[2], disk, ring;

	disk = open(getenv("VTEST_SWAPDISK"), O_RDONLY | O_DIRECT | O_CLOEXEC);
	REQUIRE(disk >= 0);
	REQUIRE_EQ(pipe(pipes), 0);
	r = vr_purged(2);
	iov = (struct iovec){ r.p, VR_PAGE };
	EXPECT_EQ(vmsplice(pipes[1], &iov, 1, 0), -1);
	EXPECT_EQ(errno, EFAULT);
	EXPECT_EQ(pread(disk, r.p, VR_PAGE, 0), -1);
	EXPECT_EQ(errno, EFAULT);
	ring = syscall(SYS_io_uring_setup, 1, &params);
	if (ring >= 0) {
		EXPECT_EQ(syscall(SYS_io_uring_register, ring,
				  IORING_REGISTER_BUFFERS, &iov, 1), -1);
		EXPECT_EQ(errno, EFAULT);
	}
	/* Control: unmarked, the same calls take the page. */
	EXPECT_EQ(vr_unmark(r.p, VR_PAGE), 1);
	EXPECT_EQ(vmsplice(pipes[1], &iov, 1, 0), VR_PAGE);
	EXPECT_EQ(pread(disk, r.p, VR_PAGE, 0), VR_PAGE);
	EXPECT_EQ(vr_unmark(r.p, vr_len(&r)), 1);
}

static const struct vt_case cases[] = {
	VT_CASE(in_a_pipe, "V-PG-5",
		"A page that vmsplice gave to a pipe is not purged until it is read."),
	VT_CASE(registered_buffer, "V-PG-5",
		"A registered buffer of io_uring is not purged until it is released."),
	VT_CASE(direct_io_in_flight, "V-PG-5",
		"A page that direct I/O is under way to is not purged until it is there."),
	VT_CASE(purged_pages_cannot_be_held, "V-SB-2",
		"vmsplice, direct I/O and buffer registration of a purged page: EFAULT."),
};

VT_MAIN(cases)
