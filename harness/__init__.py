# SPDX-License-Identifier: GPL-2.0-only
"""Find out in a virtual machine whether what a kernel patch series claims is true."""

import sys
from typing import Any

# For one word of a user's ssh_config, which nothing here reads, paramiko imports a task
# runner, and that is half of its time. Where there is none it does without.
_NONE: Any = None
sys.modules.setdefault("invoke", _NONE)
