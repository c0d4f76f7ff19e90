# SPDX-License-Identifier: GPL-2.0-only
"""A failure as one file that replays it: made here, and what the file itself runs."""
