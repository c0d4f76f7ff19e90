# SPDX-License-Identifier: GPL-2.0-only
"""What runs a change: the user's own program, the kernel's selftests; chosen, built, judged."""
