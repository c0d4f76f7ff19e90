// SPDX-License-Identifier: GPL-2.0-only
/* The advices and what smaps says of them come and go together. */
#include "vr_pages.h"

/* A known advice that every kernel with madvise() has. */
static bool advice_is_there(void)
{
	char *p = vr_anon(1);

	return vr_advise(p, VR_PAGE, MADV_DONTNEED) == 0;
}

static void the_advices_and_vl_come_together(void)
{
	int probe = vr_advise(NULL, 0, MADV_VOLATILE);
	int undo = vr_advise(NULL, 0, MADV_NONVOLATILE);
	bool known = probe == 0;
	char *p = vr_anon(4);

	vt_diag("probe: %d, madvise is %s", probe, advice_is_there() ? "there" : "not there");
	EXPECT_EQ(undo, probe);
	if (!known)
		EXPECT_EQ(probe, advice_is_there() ? -EINVAL : -ENOSYS);
	EXPECT_EQ(vr_mark(p, 4 * VR_PAGE), probe);
	EXPECT(vr_is_volatile(p) == known);
	EXPECT_EQ(vr_unmark(p, 4 * VR_PAGE), probe);
	EXPECT(!vr_is_volatile(p));
}

static const struct vt_case cases[] = {
	VT_CASE(the_advices_and_vl_come_together, "V-IF-1 V-MK-1",
		"Either both advices are known and vl shows, or neither is and it does not."),
};

VT_MAIN(cases)
