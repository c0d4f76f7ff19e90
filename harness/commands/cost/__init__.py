# SPDX-License-Identifier: GPL-2.0-only
"""``make cost``: what a series costs, in instructions; base against series."""
