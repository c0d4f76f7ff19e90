# SPDX-License-Identifier: GPL-2.0-only
"""``make example``: the programs of ``examples/`` run in guests, and a page about what they did."""
