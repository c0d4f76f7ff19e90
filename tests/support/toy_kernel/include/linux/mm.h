/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TOY_MM_H
#define TOY_MM_H

int swap_out(int page);
int swap_in(int page);
int madvise_one(int advice);

#endif
