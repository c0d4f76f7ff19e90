// SPDX-License-Identifier: GPL-2.0-only
#include <linux/mm.h>
#include <uapi/linux/mman.h>

int madvise_one(int advice)
{
	switch (advice) {
	case MADV_NORMAL:
		return 0;
	case MADV_DONTNEED:
		return swap_in(advice);
	default:
		return -1;
	}
}
