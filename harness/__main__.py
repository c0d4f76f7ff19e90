# SPDX-License-Identifier: GPL-2.0-only
"""``python3 -m harness COMMAND``: the command that the Makefile calls."""

import sys

from harness.cli import main

sys.exit(main())
