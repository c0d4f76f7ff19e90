# SPDX-License-Identifier: GPL-2.0-only
"""``make check``: ruff, mypy and the project's own tests, the one gate."""

from __future__ import annotations

import subprocess
import sys

from harness.core.command_table import PROJECT
from harness.core.events import Events
from harness.core.settings import Settings
from harness.setup.on_demand import provide

STEPS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy", "harness", "tests", "tools", "guest-tests", "patches", "examples"),
    ("pytest", "-rs"),
)


def check(settings: Settings) -> int:
    """Runs the steps until one fails; its exit status.

    The slow part builds a kernel and runs guests, which takes minutes for the first time.
    """
    if settings.slow:
        provide("test-kernel", settings.out / "setup.log", Events())
    for step in STEPS:
        fast = ("-m", "not slow") if step[0] == "pytest" and not settings.slow else ()
        command = [sys.executable, "-m", *step, *fast]
        if code := subprocess.run(command, cwd=PROJECT, check=False).returncode:
            return code
    return 0
