// SPDX-License-Identifier: GPL-2.0-only
int driver(void)
{
	int unused_in_the_base;

	return 0;
}
