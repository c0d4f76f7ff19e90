# SPDX-License-Identifier: GPL-2.0-only
"""Which lines of a series have run in the guests: what it changes, where the code is, what ran."""
