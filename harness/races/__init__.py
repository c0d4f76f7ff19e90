# SPDX-License-Identifier: GPL-2.0-only
"""Threads held in order until a race strikes or cannot."""
