# SPDX-License-Identifier: GPL-2.0-only
"""``make soak``: rounds of one kind, summed up a kernel."""
