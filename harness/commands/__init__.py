# SPDX-License-Identifier: GPL-2.0-only
"""One file or folder for each ``make`` target; nothing below knows one."""
