# SPDX-License-Identifier: GPL-2.0-only
"""What a series is to a kernel: whose it is, which of its files are compiled."""
