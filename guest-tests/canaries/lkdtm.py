# SPDX-License-Identifier: GPL-2.0-only
"""Says ok, and provokes the LKDTM crash that it is told."""

import sys

from common import crash, say_ok

say_ok()
crash(sys.argv[1])
