# SPDX-License-Identifier: GPL-2.0-only
"""The command line: ``python3 -m harness COMMAND``, variables from the environment.

Every command ends with one of the exit statuses of :mod:`harness.core.errors`; an
error prints what happened, where the evidence is and what to type next.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from harness.core.command_table import COMMANDS, PROJECT, VARIABLES, command, similar
from harness.core.errors import HarnessError, InvocationError
from harness.core.machine_faults import machine_faults
from harness.core.settings import Settings, from_environment
from harness.core.terminal import ending_signals, standard_streams
from harness.setup import help

# What can be said with dashes as well.
OPTIONS = {"--ktap": ("KTAP", "1"), "--notes": ("NOTES", "1")}
# What commands are given beside the settings, by the word under ``uses`` in the table of commands.
SHARED = {
    "console": "harness.run.session:console_of",
    "run": "harness.commands.one_kernel:run_kernel",
    "look": "harness.commands.static_checks:static_checks",
    "mutate": "harness.commands.mutants:run_mutants",
}


def load(target: str) -> Callable[..., Any]:
    """The function ``module:function``. Imported now: `help` must not pay for paramiko.

    Raises:
        InvocationError: it is one of ``tools/``, which an installed program does not have.
    """
    module, _, name = target.partition(":")
    if module.startswith("tools.") and not (PROJECT / "tools").is_dir():
        what = f"{name} is about the project itself, which is not here"
        raise InvocationError(what, next_step="use a checkout")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def _run(name: str, settings: Settings) -> int:
    about = COMMANDS[name]
    if "KERNEL" in about.reads:  # as the Makefile does, for whoever does not come from there
        from harness.core.events import Events
        from harness.setup.on_demand import provide

        provide("test-kernel", settings.out / "setup.log", Events())
        from harness.series.kernels import resolved

        settings = replace(settings, kernel=resolved(settings.kernel))
    uses = [
        load(SHARED[word])(settings) if word == "console" else load(SHARED[word])
        for word in about.uses.split()
    ]
    if about.one_run:
        from harness.run.session import run_session

        return run_session(settings, name, load(about.target)).code
    ended = load(about.target)(settings, *uses)
    code: int = ended if isinstance(ended, int) else ended.code  # of a RunResult
    return code


def _arguments(argv: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The words, and ``NAME=value`` and ``--name`` arguments laid over the environment."""
    given: dict[str, str] = {}
    words = []
    for word in argv:
        name, equals, value = word.partition("=")
        if word in OPTIONS:
            given.update([OPTIONS[word]])
        elif equals and name.isupper():
            if name not in VARIABLES:
                raise InvocationError(
                    f"there is no variable {name}{similar(name, VARIABLES)}",
                    next_step=command("help"),
                )
            given[name] = value
        else:
            words.append(word)
    return words, given


def _command(words: Sequence[str]) -> str:
    """The one command among the words."""
    if len(words) == 1 and words[0] in COMMANDS:
        return words[0]
    what = f"one command, please; there is {', '.join(COMMANDS)}"
    if len(words) == 1:
        what = f"there is no command {words[0]}{similar(words[0], COMMANDS)}"
    raise InvocationError(what, next_step=command("help"))


def print_error(error: HarnessError) -> None:
    """Prints an error as the user reads it: kind first, then what, where, what next."""
    first, *more = error.lines()
    kind = f"{error.kind} error:"
    if sys.stderr.isatty():
        kind = f"\x1b[1;31m{kind}\x1b[0m"
    lines = [f"{kind} {first}", *(f"  {line}" for line in more)]
    lines.append(f"verdict: {error.verdict} (exit {error.exit_code})")
    sys.stderr.write("\n".join(lines) + "\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    try:
        with standard_streams():
            try:
                with ending_signals():
                    return _main(sys.argv[1:] if argv is None else argv)
            except KeyboardInterrupt:
                sys.stderr.write("interrupted\n")
                return 130
    except HarnessError as error:
        print_error(error)
        return error.exit_code


def _main(argv: Sequence[str]) -> int:
    try:
        words, given = _arguments(argv)
        if {"--help", "-h"} & set(words):
            named = [word for word in words if not word.startswith("-")]
            sys.stdout.write(help.of(_command(named)) if named else help.text())
            return 0
        name = _command(words)
        env = {n: value for n, value in {**os.environ, **given}.items() if value}
        settings = from_environment({**COMMANDS[name].defaults, **env})
        with machine_faults(settings.out, settings.cache):
            return _run(name, settings)
    except HarnessError as error:
        print_error(error)
        return error.exit_code
    except Exception:
        sys.stderr.write(
            f"{traceback.format_exc()}\n"
            "internal error: a defect of the harness itself; please report the above\n"
            "verdict: infra (exit 70)\n"
        )
        return 70
