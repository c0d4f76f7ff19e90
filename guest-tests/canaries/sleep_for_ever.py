# SPDX-License-Identifier: GPL-2.0-only
"""Says ok and does not end."""

import time

from common import say_ok

say_ok()
while True:
    time.sleep(1000)
