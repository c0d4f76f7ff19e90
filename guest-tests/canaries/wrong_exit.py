# SPDX-License-Identifier: GPL-2.0-only
"""Says ok and exits 3."""

import sys

from common import say_ok

say_ok()
sys.exit(3)
