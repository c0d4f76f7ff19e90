// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that cannot be marked. Each kind is tried in the middle of a range of
 * plain memory: the call is refused, and the plain memory is not marked either,
 * though it can be marked alone.
 */
#include "vr_newer.h"

#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <linux/memfd.h>
#include <sys/shm.h>

#define PAGES	8
#define AT	3		/* the refused page, or pages, start here */

static struct vr_vmas before;

/* @p..@p+len is refused by @advice, and so is a range around it if there is one. */
static void refused(char *p, size_t len, int advice)
{
	vr_save_vmas(&before);
	EXPECT_EQ(vr_advise(p, len, advice), -EINVAL);
	EXPECT_SAME_VMAS(&before);
}

/* Page AT of eight at @p is of a kind that neither advice takes. */
static void both_refused_within(char *p)
{
	refused(p + AT * VR_PAGE, VR_PAGE, MADV_VOLATILE);
	refused(p + AT * VR_PAGE, VR_PAGE, MADV_NONVOLATILE);
	refused(p, PAGES * VR_PAGE, MADV_VOLATILE);
	refused(p, PAGES * VR_PAGE, MADV_NONVOLATILE);
	/* Control: what is around it does qualify. */
	EXPECT_EQ(vr_mark(p, AT * VR_PAGE), 0);
	EXPECT_EQ(vr_mark(p + (AT + 1) * VR_PAGE, 4 * VR_PAGE), 0);
	EXPECT_PICTURE(p, "VVV-VVVV");
}

/* Eight plain pages with one mapping of @fd in the place of page AT. */
static void file_refused(int fd, int prot, int flags)
{
	char *p = vr_anon(PAGES);

	REQUIRE(fd >= 0 || (flags & MAP_ANONYMOUS));
	REQUIRE(mmap(p + AT * VR_PAGE, VR_PAGE, prot, flags | MAP_FIXED, fd,
		     0) != MAP_FAILED);
	both_refused_within(p);
}

static int scratch_file(void)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	REQUIRE(fd >= 0);
	REQUIRE_EQ(ftruncate(fd, VR_PAGE), 0);
	return fd;
}

static void private_file(void)
{
	file_refused(scratch_file(), PROT_READ | PROT_WRITE, MAP_PRIVATE);
}

static void shared_file(void)
{
	file_refused(scratch_file(), PROT_READ | PROT_WRITE, MAP_SHARED);
}

static void memfd(void)
{
	int fd = memfd_create("vr", MFD_CLOEXEC);

	REQUIRE(fd >= 0);
	REQUIRE_EQ(ftruncate(fd, VR_PAGE), 0);
	file_refused(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
	file_refused(fd, PROT_READ | PROT_WRITE, MAP_PRIVATE);
}

static void shared_anonymous(void)
{
	file_refused(-1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
}

static void dev_zero_private(void)
{
	file_refused(open("/dev/zero", O_RDWR | O_CLOEXEC),
		     PROT_READ | PROT_WRITE, MAP_PRIVATE);
}

static void droppable(void)
{
	file_refused(-1, PROT_READ | PROT_WRITE, MAP_DROPPABLE | MAP_ANONYMOUS);
}

static void sysv_shm(void)
{
	int id = shmget(IPC_PRIVATE, VR_PAGE, IPC_CREAT | 0600);
	char *p = vr_anon(PAGES);

	REQUIRE(id >= 0);
	REQUIRE(shmat(id, p + AT * VR_PAGE, SHM_REMAP) != (void *)-1);
	REQUIRE_EQ(shmctl(id, IPC_RMID, NULL), 0);
	both_refused_within(p);
}

static void hugetlb(void)
{
	const size_t huge = 2 << 20;
	char *p;

	if (access("/proc/sys/vm/nr_hugepages", F_OK))
		vt_skip("no CONFIG_HUGETLBFS in this kernel");
	vt_set("/proc/sys/vm/nr_hugepages", "1");
	p = mmap(NULL, huge, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	REQUIRE(p != MAP_FAILED);
	refused(p, huge, MADV_VOLATILE);
	refused(p, huge, MADV_NONVOLATILE);
	/* Control: the same size in the same place, of small pages. */
	REQUIRE_EQ(munmap(p, huge), 0);
	REQUIRE(mmap(p, huge, PROT_READ | PROT_WRITE, MAP_PRIVATE |
		     MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p);
	EXPECT_EQ(vr_mark(p, huge), 0);
}

static void growing_stack(void)
{
	char *p = vr_anon(PAGES), *top = (char *)&p;

	/* Without its fence it would grow over plain memory: leave a hole. */
	REQUIRE_EQ(munmap(p + (AT - 1) * VR_PAGE, VR_PAGE), 0);
	REQUIRE(mmap(p + AT * VR_PAGE, VR_PAGE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED,
		     -1, 0) != MAP_FAILED);
	REQUIRE(strstr(vr_vma(p + AT * VR_PAGE).flags, " gd"));
	refused(p + AT * VR_PAGE, 5 * VR_PAGE, MADV_VOLATILE);
	refused(p + AT * VR_PAGE, 5 * VR_PAGE, MADV_NONVOLATILE);
	EXPECT_EQ(vr_mark(p + (AT + 1) * VR_PAGE, 4 * VR_PAGE), 0);
	/* And the stack that this runs on. */
	top -= (unsigned long)top % VR_PAGE;
	REQUIRE(strstr(vr_vma(top).flags, " gd"));
	refused(top, VR_PAGE, MADV_VOLATILE);
	refused(top, VR_PAGE, MADV_NONVOLATILE);
}

static void locked(void)
{
	char *p = vr_anon(PAGES);

	REQUIRE_EQ(mlock(p + AT * VR_PAGE, VR_PAGE), 0);
	refused(p + AT * VR_PAGE, VR_PAGE, MADV_VOLATILE);
	refused(p, PAGES * VR_PAGE, MADV_VOLATILE);
	/* NONVOLATILE is not: what was locked after marking must get out. */
	EXPECT_EQ(vr_unmark(p, PAGES * VR_PAGE), 0);
	REQUIRE_EQ(munlock(p + AT * VR_PAGE, VR_PAGE), 0);
	EXPECT_EQ(vr_mark(p, PAGES * VR_PAGE), 0);
	REQUIRE_EQ(mlock(p + AT * VR_PAGE, VR_PAGE), 0);
	refused(p, PAGES * VR_PAGE, MADV_VOLATILE);
	EXPECT_PICTURE(p, "VVVVVVVV");
	EXPECT_EQ(vr_unmark(p, PAGES * VR_PAGE), 0);
	EXPECT_PICTURE(p, "--------");
	EXPECT_EQ(vr_count_vmas(p, PAGES * VR_PAGE), 3);
}

static void userfaultfd_armed(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	char *p = vr_anon(PAGES);

	if (fd < 0 && errno == ENOSYS)
		vt_skip("no CONFIG_USERFAULTFD in this kernel");
	REQUIRE(fd >= 0);
	REQUIRE_EQ(ioctl(fd, UFFDIO_API, &api), 0);
	reg.range.start = (uintptr_t)p + AT * VR_PAGE;
	reg.range.len = VR_PAGE;
	REQUIRE_EQ(ioctl(fd, UFFDIO_REGISTER, &reg), 0);
	refused(p + AT * VR_PAGE, VR_PAGE, MADV_VOLATILE);
	refused(p, PAGES * VR_PAGE, MADV_VOLATILE);
	EXPECT_EQ(vr_unmark(p, PAGES * VR_PAGE), 0);
	REQUIRE_EQ(ioctl(fd, UFFDIO_UNREGISTER, &reg.range), 0);
	EXPECT_EQ(vr_mark(p, PAGES * VR_PAGE), 0);
	EXPECT_PICTURE(p, "VVVVVVVV");
}

/* The mapping of this process that smaps calls @name. */
static struct vr_vma named_vma(const char *name)
{
	const char *text = before.text;
	struct vr_vma vma;

	vr_save_vmas(&before);
	text = strstr(before.text, name);
	VT_OR_ABANDON(vt_check(text, "no %s in this process", name));
	while (text > before.text && text[-1] != '\n')
		text--;
	REQUIRE(vr_next_vma(&text, &vma));
	return vma;
}

/* A kernel mapping without a file: what refuses it is its flag. */
static void special_refused(const char *name, const char *flag)
{
	struct vr_vma vma = named_vma(name);

	REQUIRE(strstr(vma.flags, flag));
	refused((char *)vma.from, vma.to - vma.from, MADV_VOLATILE);
	refused((char *)vma.from, vma.to - vma.from, MADV_NONVOLATILE);
	EXPECT_EQ(vr_mark(vr_anon(1), VR_PAGE), 0);
}

static void vdso_dontexpand(void)
{
	special_refused("[vdso]", " de");
}

/* Since 6.15 the pages of the paravirtual clocks are a mapping of their own. */
static void vvar_pfnmap(void)
{
	const char *name = "[vvar_vclock]";

	vr_save_vmas(&before);
	if (!strstr(before.text, name))
		name = "[vvar]";
	special_refused(name, " pf");
	special_refused(name, " io");
}

static void aio_ring(void)
{
	aio_context_t ring = 0;

	REQUIRE_EQ(syscall(SYS_io_setup, 1, &ring), 0);
	refused((char *)ring, VR_PAGE, MADV_VOLATILE);
	refused((char *)ring, VR_PAGE, MADV_NONVOLATILE);
	EXPECT_EQ(vr_mark(vr_anon(1), VR_PAGE), 0);
	REQUIRE_EQ(syscall(SYS_io_destroy, ring), 0);
}

static void io_uring_ring(void)
{
	struct io_uring_params params = { 0 };
	int fd = syscall(SYS_io_uring_setup, 1, &params);
	char *p;

	REQUIRE(fd >= 0);
	/* Its place cannot be chosen. */
	p = mmap(NULL, VR_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		 IORING_OFF_SQ_RING);
	REQUIRE(p != MAP_FAILED);
	refused(p, VR_PAGE, MADV_VOLATILE);
	refused(p, VR_PAGE, MADV_NONVOLATILE);
	EXPECT_EQ(vr_mark(vr_anon(1), VR_PAGE), 0);
}

static const struct vt_case cases[] = {
	VT_CASE(private_file, "V-IF-5 V-IF-2",
		"A private file mapping is refused, nothing around it is marked."),
	VT_CASE(shared_file, "V-IF-5 V-IF-2",
		"A shared file mapping is refused, nothing around it is marked."),
	VT_CASE(memfd, "V-IF-5 V-IF-2",
		"A memfd is refused, shared or private."),
	VT_CASE(shared_anonymous, "V-IF-5 V-IF-2",
		"Shared anonymous memory is refused."),
	VT_CASE(dev_zero_private, "V-IF-5 V-IF-2",
		"A private mapping of /dev/zero is refused, though anonymous."),
	VT_CASE(droppable, "V-IF-5 V-IF-2",
		"Droppable memory, which is given up without a word, is refused.",
		.needs = "linux-6.11"),
	VT_CASE(sysv_shm, "V-IF-5 V-IF-2",
		"A System V shared memory segment is refused."),
	VT_CASE(hugetlb, "V-IF-5 V-IF-2",
		"A private hugetlb mapping is refused."),
	VT_CASE(growing_stack, "V-IF-5 V-IF-2",
		"A MAP_GROWSDOWN mapping and the main stack are refused."),
	VT_CASE(locked, "V-IF-5 V-IF-2 V-MK-4",
		"Locked memory cannot be marked, but can be unmarked."),
	VT_CASE(userfaultfd_armed, "V-IF-5 V-IF-2",
		"Memory armed with userfaultfd cannot be marked, but unmarked."),
	VT_CASE(vdso_dontexpand, "V-IF-5 V-IF-2",
		"The vdso, VM_DONTEXPAND without a file, is refused."),
	VT_CASE(vvar_pfnmap, "V-IF-5 V-IF-2",
		"The vvar pages, VM_IO and VM_PFNMAP without a file, are refused."),
	VT_CASE(aio_ring, "V-IF-5 V-IF-2", "The ring of AIO is refused."),
	VT_CASE(io_uring_ring, "V-IF-5 V-IF-2", "A ring of io_uring is refused."),
};

VT_MAIN(cases)
