# SPDX-License-Identifier: GPL-2.0-only
"""``make test-regression``: the kernel's own selftests, without the series and with it."""
