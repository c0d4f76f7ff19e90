// SPDX-License-Identifier: GPL-2.0-only
#include <linux/mm.h>

int start_kernel(void)
{
	return swap_out(1) + madvise_one(2);
}
