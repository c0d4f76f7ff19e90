# SPDX-License-Identifier: GPL-2.0-only
"""``make help``: every command and every variable. Needs nothing but Python itself."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from harness.core.command_table import COMMANDS, PROGRAM, VARIABLES, command
from harness.core.settings import Settings


def _variables(names: Iterable[str]) -> list[str]:
    rows = ((name, *VARIABLES[name]) for name in names)
    return [f"  {n:<20} {about}" + (f" [{value}]" if value else "") for n, value, about in rows]


def of(name: str) -> str:
    """The help text of one command, ending with a newline."""
    about = COMMANDS[name]
    lines = [f"{PROGRAM} {name}: {about.about}", "", "variables (also from the environment):"]
    lines += _variables(about.reads) or ["  none"]
    lines += ["", f"for example: {command(name, {}, **about.example)}"]
    return "\n".join(lines) + "\n"


def text() -> str:
    """The help text, ending with a newline."""
    lines = [f"{PROGRAM} COMMAND [VARIABLE=value ...]", ""]
    lines += [f"  {name:<20} {about.about}" for name, about in COMMANDS.items()]
    lines += ["", "variables (also from the environment):", *_variables(VARIABLES)]
    lines += ["", "exit status: 0 pass, 1 the series is at fault, 2 the invocation, 3 the machine,"]
    lines += ["70 the harness itself."]
    if PROGRAM == "make":
        lines[-1] += " It is that of `.venv/bin/python -m harness COMMAND`; make turns every"
        lines += ["failure into 2, so the last line on the screen names the kind as well."]
    return "\n".join(lines) + "\n"


def show(_: Settings) -> int:
    """``make help``."""
    sys.stdout.write(text())
    return 0
