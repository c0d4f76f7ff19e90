# SPDX-License-Identifier: GPL-2.0-only
"""A stopped kernel read from outside: gdb protocol, DWARF, symbols, stacks, waits."""
