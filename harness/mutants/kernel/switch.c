// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which mutant is on (0: none), and which have been reached since that was
 * said. /sys/module/kernel/parameters/harness_mutant: a number written sets the
 * one and clears the other; what is read is a number in hex, in which bit n
 * says that mutant n was reached.
 */
#include <linux/export.h>
#include <linux/harness_mutant.h>
#include <linux/kernel.h>
#include <linux/moduleparam.h>
#include <linux/string.h>

unsigned int harness_mutant;
EXPORT_SYMBOL_GPL(harness_mutant);
/* Whole hex digits, and no more than a page has room for */
unsigned char harness_mutant_reached[HARNESS_MUTANTS / 4 * 4 + 4];
EXPORT_SYMBOL_GPL(harness_mutant_reached);
static_assert(sizeof(harness_mutant_reached) / 4 + 1 < PAGE_SIZE);

static int harness_mutant_set(const char *text, const struct kernel_param *param)
{
	unsigned int number;
	int error = kstrtouint(text, 0, &number);

	if (error)
		return error;
	if (number > HARNESS_MUTANTS)
		return -ERANGE;
	WRITE_ONCE(harness_mutant, number);
	memset(harness_mutant_reached, 0, sizeof(harness_mutant_reached));
	return 0;
}

static int harness_mutant_get(char *page, const struct kernel_param *param)
{
	int at = 0, first;

	for (first = sizeof(harness_mutant_reached) - 4; first >= 0; first -= 4) {
		const unsigned char *four = harness_mutant_reached + first;

		page[at++] = "0123456789abcdef"[four[0] | four[1] << 1 |
						four[2] << 2 | four[3] << 3];
	}
	page[at++] = '\n';
	return at;
}

static const struct kernel_param_ops harness_mutant_ops = {
	.set = harness_mutant_set,
	.get = harness_mutant_get,
};
__module_param_call("", harness_mutant, &harness_mutant_ops, NULL, 0644, -1, 0);
