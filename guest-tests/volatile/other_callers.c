// SPDX-License-Identifier: GPL-2.0-only
/* The advices by other ways than madvise(): process_madvise() and io_uring. */
#include "vr_pages.h"

#include <linux/io_uring.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>

static long process_advise(int pidfd, void *p, size_t len, int advice)
{
	struct iovec iov = { p, len };
	long ret = syscall(SYS_process_madvise, pidfd, &iov, 1, advice, 0);

	return ret < 0 ? -errno : ret;
}

static void process_madvise_refuses(void)
{
	static struct vr_vmas before;
	char *p = vr_anon(4);
	int self = syscall(SYS_pidfd_open, getpid(), 0);
	int parent = syscall(SYS_pidfd_open, getppid(), 0);

	REQUIRE(self >= 0 && parent >= 0);
	REQUIRE_EQ(vr_mark(p, VR_PAGE), 0);
	vr_save_vmas(&before);
	EXPECT_EQ(process_advise(self, p, 4 * VR_PAGE, MADV_VOLATILE), -EINVAL);
	EXPECT_EQ(process_advise(self, p, 4 * VR_PAGE, MADV_NONVOLATILE),
		  -EINVAL);
	EXPECT_EQ(process_advise(parent, p, VR_PAGE, MADV_VOLATILE), -EINVAL);
	EXPECT_EQ(process_advise(parent, p, VR_PAGE, MADV_NONVOLATILE), -EINVAL);
	EXPECT_SAME_VMAS(&before);
	/* Controls: by the same way, an advice that there is not, and one that is taken. */
	EXPECT_EQ(process_advise(self, p, 4 * VR_PAGE, 999), -EINVAL);
	EXPECT_EQ(process_advise(self, p, 4 * VR_PAGE, MADV_COLD), 4 * VR_PAGE);
}

/* As much of io_uring as one request at a time takes. */
struct ring {
	int fd;
	struct io_uring_sqe *sqe;
	unsigned int *sq_tail, *cq_head, *cq_tail, cq_mask;
	struct io_uring_cqe *cqes;
};

static struct ring open_ring(void)
{
	struct io_uring_params params = { 0 };
	struct ring ring;
	size_t sqes;
	char *rings;

	ring.fd = syscall(SYS_io_uring_setup, 1, &params);
	REQUIRE(ring.fd >= 0);
	REQUIRE(params.features & IORING_FEAT_SINGLE_MMAP);
	rings = mmap(NULL, params.cq_off.cqes + params.cq_entries *
		     sizeof(struct io_uring_cqe), PROT_READ | PROT_WRITE,
		     MAP_SHARED, ring.fd, IORING_OFF_SQ_RING);
	REQUIRE(rings != MAP_FAILED);
	sqes = params.sq_entries * sizeof(struct io_uring_sqe);
	ring.sqe = mmap(NULL, sqes, PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd,
			IORING_OFF_SQES);
	REQUIRE(ring.sqe != MAP_FAILED);
	ring.sq_tail = (unsigned int *)(rings + params.sq_off.tail);
	((unsigned int *)(rings + params.sq_off.array))[0] = 0;
	ring.cq_head = (unsigned int *)(rings + params.cq_off.head);
	ring.cq_tail = (unsigned int *)(rings + params.cq_off.tail);
	ring.cq_mask = *(unsigned int *)(rings + params.cq_off.ring_mask);
	ring.cqes = (struct io_uring_cqe *)(rings + params.cq_off.cqes);
	return ring;
}

/* The result of one madvise request. */
static int ring_advise(struct ring *ring, void *p, size_t len, int advice)
{
	unsigned int head = *ring->cq_head;
	int res;

	memset(ring->sqe, 0, sizeof(*ring->sqe));
	ring->sqe->opcode = IORING_OP_MADVISE;
	ring->sqe->fd = -1;
	ring->sqe->addr = (uintptr_t)p;
	ring->sqe->len = len;
	ring->sqe->fadvise_advice = advice;
	__atomic_store_n(ring->sq_tail, *ring->sq_tail + 1, __ATOMIC_RELEASE);
	REQUIRE_EQ(syscall(SYS_io_uring_enter, ring->fd, 1, 1,
			   IORING_ENTER_GETEVENTS, NULL, 0), 1);
	REQUIRE_EQ(__atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE), head + 1);
	res = ring->cqes[head & ring->cq_mask].res;
	__atomic_store_n(ring->cq_head, head + 1, __ATOMIC_RELEASE);
	return res;
}

static void io_uring_returns_the_result(void)
{
	struct ring ring = open_ring();
	struct vr_range r;
	size_t len;

	vt_pin(0);
	r = vr_filled(8);
	len = vr_len(&r);
	EXPECT_EQ(ring_advise(&ring, r.p, len, MADV_VOLATILE), 0);
	EXPECT_PICTURE(r.p, "VVVVVVVV");
	EXPECT_EQ(ring_advise(&ring, r.p, len, MADV_NONVOLATILE), 0);
	EXPECT_PICTURE(r.p, "--------");
	EXPECT_ALL_OLD(&r);
	EXPECT_EQ(ring_advise(&ring, ring.sqe, VR_PAGE, MADV_VOLATILE),
		  -EINVAL);
	REQUIRE_EQ(munmap(r.p + 4 * VR_PAGE, VR_PAGE), 0);
	EXPECT_EQ(ring_advise(&ring, r.p, len, MADV_VOLATILE), -ENOMEM);
}

static void io_uring_returns_one(void)
{
	struct ring ring = open_ring();
	struct vr_range r = vr_purged(8);

	EXPECT_EQ(ring_advise(&ring, r.p, vr_len(&r), MADV_NONVOLATILE), 1);
	EXPECT_EQ(ring_advise(&ring, r.p, vr_len(&r), MADV_NONVOLATILE), 0);
	EXPECT_ALL_ZERO(&r);
}

static const struct vt_case cases[] = {
	VT_CASE(process_madvise_refuses, "V-IF-7",
		"process_madvise is EINVAL for both, for itself and others."),
	VT_CASE(io_uring_returns_the_result, "V-IF-7",
		"An io_uring madvise request marks, unmarks, and returns errors."),
	VT_CASE(io_uring_returns_one, "V-IF-7 V-PG-2",
		"An io_uring NONVOLATILE of purged pages completes with 1."),
};

VT_MAIN(cases)
