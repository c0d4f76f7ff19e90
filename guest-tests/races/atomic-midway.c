// SPDX-License-Identifier: GPL-2.0-only
/*
 * name: atomic-midway
 * about: >-
 *   MADV_VOLATILE of three VMAs, of which the first and the last have to be split.
 *   Each of the allocations that it takes fails in its turn. Whichever it is, the
 *   call is EAGAIN and nothing has changed, or it is 0 and all has. The variant
 *   marks one VMA after the other: when the last one cannot be split, those before
 *   it are volatile.
 * project: volatile
 * clauses: [V-IF-6]
 * kernels: ["6.1", "6.12"]
 * config: kasan
 * controlled: false
 * cpus: 2
 * variant: marked-one-by-one
 * threads:
 *   A: {cpu: 1, does: "marks three VMAs, again and again, while the first, the second, … allocation fails"}
 * outcome:
 *   hit: MADV_VOLATILE was EAGAIN, and part of the range is volatile
 *   miss: EAGAIN, and nothing is
 */
#include "race.h"
#include "vr_pages.h"

#define PAGES		9
#define NOTHING		"---------"
#define EVERYTHING	"-VVVVVVV-"
#define MOST		64		/* allocations of a call, and then some */

static struct vr_range range;
static int refused, partly, calls;
static char left[PAGES + 1];

static void setup(void)
{
	if (access("/sys/kernel/debug/failslab", F_OK))
		vt_skip("no CONFIG_FAILSLAB and FAULT_INJECTION_DEBUG_FS");
	vt_set("/sys/kernel/debug/failslab/ignore-gfp-wait", "N");
	vt_set("/sys/kernel/debug/failslab/verbose", "0");
}

/* Three VMAs, the middle one of which is read-only. */
static void prepare(void)
{
	refused = partly = calls = 0;
}

static void map(void)
{
	range = vr_filled(PAGES);
	REQUIRE_EQ(mprotect(range.p + 3 * VR_PAGE, 3 * VR_PAGE, PROT_READ), 0);
}

/* The @n-th allocation of this thread from now on fails; 0: none. */
static void fail_allocation(int fd, int n)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", n);
	REQUIRE_EQ(pwrite(fd, text, strlen(text), 0), strlen(text));
}

/* Has it failed? It reads as 0 then. */
static bool allocation_failed(int fd)
{
	char text[16] = "";

	REQUIRE_GE(pread(fd, text, sizeof(text) - 1, 0), 1);
	fail_allocation(fd, 0);
	return atoi(text) == 0;
}

static void mark_without_memory(void)
{
	int fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	bool failed = true;
	int n, ret;

	REQUIRE(fd >= 0);
	for (n = 1; failed; n++) {
		const char *picture;

		REQUIRE(n < MOST);
		map();
		fail_allocation(fd, n);
		ret = vr_mark(range.p + VR_PAGE, 7 * VR_PAGE);
		failed = allocation_failed(fd);
		picture = vr_picture(range.p, PAGES);
		calls++;
		if (!ret) {
			REQUIRE(!strcmp(picture, EVERYTHING));
		} else {
			REQUIRE_EQ(ret, -EAGAIN);
			refused++;
			if (strcmp(picture, NOTHING)) {
				partly++;
				strcpy(left, picture);
			}
		}
		REQUIRE_EQ(munmap(range.p, vr_len(&range)), 0);
	}
	close(fd);
}

/* Two splits, each of which takes a VMA, an anon_vma_chain and tree nodes. */
static bool struck(void)
{
	REQUIRE_GE(refused, 4);
	if (partly)
		race_say("%d calls, %d times EAGAIN, %d times with a part marked: %s",
			 calls, refused, partly, left);
	else
		race_say("%d calls, %d times EAGAIN, never with a part marked",
			 calls, refused);
	return partly;
}

RACE_MAIN(.setup = setup, .prepare = prepare, .struck = struck,
	  .threads = { { .name = "A", .run = mark_without_memory } })
