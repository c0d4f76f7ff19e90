// SPDX-License-Identifier: GPL-2.0-only
/*
 * name: atomic-midway
 * about: >-
 *   MADV_VOLATILE of three VMAs, of which the first and the last have to be split.
 *   From some allocation on none succeeds: at first from the very first one, then
 *   from a later one, until the call has all that it needs. Before that it is EAGAIN,
 *   and nothing is marked. The variant marks one VMA after the other: when the last
 *   one cannot be split, those before it are volatile.
 * project: volatile
 * clauses: [V-IF-6]
 * config: kasan
 * controlled: false
 * cpus: 2
 * variant: marked-one-by-one
 * threads:
 *   A: {cpu: 1, does: "marks three VMAs with memory for less than that, each time with a bit more"}
 * outcome:
 *   hit: MADV_VOLATILE was EAGAIN, and part of the range is volatile
 *   miss: EAGAIN, and nothing is
 */
#include "race.h"
#include "vr_pages.h"

#define PAGES		9
#define NOTHING		"---------"
#define EVERYTHING	"-VVVVVVV-"
#define STEP		128		/* bytes: less than a VMA has */
#define MOST		(64 << 10)	/* bytes: more than a call takes */
#define FAILSLAB	"/sys/kernel/debug/failslab/"

static struct vr_range range;
static int refused, partly, calls;
static char left[PAGES + 1];

/* Three VMAs, the middle one of which is read-only. */
static void setup(void)
{
	if (access(FAILSLAB, F_OK))
		vt_skip("no CONFIG_FAILSLAB and FAULT_INJECTION_DEBUG_FS");
	vt_set(FAILSLAB "ignore-gfp-wait", "N");
	vt_set(FAILSLAB "verbose", "0");
	vt_set(FAILSLAB "task-filter", "Y");
	vt_set(FAILSLAB "times", "-1");
	vt_set(FAILSLAB "probability", "100");
	range = vr_filled(PAGES);
	REQUIRE_EQ(mprotect(range.p + 3 * VR_PAGE, 3 * VR_PAGE, PROT_READ), 0);
}

static void prepare(void)
{
	refused = partly = calls = 0;
}

/* This thread's allocations may fail, or not. @fd is kept open: opening it allocates. */
static void may_fail(int fd, const char *yes)
{
	REQUIRE_EQ(pwrite(fd, yes, 1, 0), 1);
}

/* Mark, with so many @bytes left for this thread. */
static int mark_with(int fd, int bytes)
{
	char text[16];
	int ret;

	snprintf(text, sizeof(text), "%d", bytes);
	vt_write(FAILSLAB "space", text);
	may_fail(fd, "1");
	ret = vr_mark(range.p + VR_PAGE, 7 * VR_PAGE);
	may_fail(fd, "0");
	return ret;
}

static void mark_without_memory(void)
{
	int fd = open("/proc/thread-self/make-it-fail", O_RDWR | O_CLOEXEC);
	int bytes, ret;

	REQUIRE(fd >= 0);
	may_fail(fd, "0");
	for (bytes = 0; (ret = mark_with(fd, bytes)); bytes += STEP) {
		const char *picture = vr_picture(range.p, PAGES);

		REQUIRE_EQ(ret, -EAGAIN);
		REQUIRE(bytes < MOST);
		refused++;
		if (strcmp(picture, NOTHING)) {
			partly++;
			strcpy(left, picture);
		}
		/* A border that could not be taken back goes as well. */
		REQUIRE_EQ(vr_unmark(range.p, vr_len(&range)), 0);
	}
	/* Control: with enough it does mark them. */
	REQUIRE(!strcmp(vr_picture(range.p, PAGES), EVERYTHING));
	REQUIRE_EQ(vr_unmark(range.p, vr_len(&range)), 0);
	calls = refused + 1;
	close(fd);
}

static bool struck(void)
{
	REQUIRE_GE(refused, 2);
	race_say("%d calls, %d times EAGAIN, %d times with a part marked%s%s", calls,
		 refused, partly, partly ? ": " : "", partly ? left : "");
	return partly;
}

RACE_MAIN(.setup = setup, .prepare = prepare, .struck = struck,
	  .threads = { { .name = "A", .run = mark_without_memory } })
