# SPDX-License-Identifier: GPL-2.0-only
"""The source of a 'kernel' of one file, for what looks for places in optimised code."""

from __future__ import annotations

# The call in the branch keeps it one: gcc 16 makes two conditional moves of it else.
SOURCE = """\
extern void sink(int value);
int data[4];

static inline __attribute__((always_inline)) int inner(int x)
{
	data[0] += x;
	return data[1] * x;
}

static inline __attribute__((always_inline)) int folded(void)
{
	return 3;
}

__attribute__((noinline)) int outer(int x)
{
	/* nothing is done here */
	int unused = folded();
	int r = inner(x) + 1;

	(void)unused;
	if (x > 3) {
		sink(x);
		r += inner(x + 2);
	}
	sink(r);
	return r;
}

__attribute__((noinline)) void sink(int value)
{
	data[2] = value;
}

__attribute__((noinline)) int __x64_sys_toy(int x)
{
	return outer(x) - 1;
}

int main(int argc, char **argv)
{
	(void)argv;
	return outer(argc) + __x64_sys_toy(argc);
}
"""


def line_of(text: str) -> int:
    return next(n for n, line in enumerate(SOURCE.splitlines(), 1) if text in line)
