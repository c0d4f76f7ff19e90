/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
#ifndef TOY_UAPI_MMAN_H
#define TOY_UAPI_MMAN_H

#define MADV_NORMAL	0
#define MADV_DONTNEED	4

#endif
