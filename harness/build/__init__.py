# SPDX-License-Identifier: GPL-2.0-only
"""A commit and a .config become a vmlinux: toolchain, kconfig, make, warnings, decoding."""
