# SPDX-License-Identifier: GPL-2.0-only
"""The command line: ``python3 -m harness COMMAND``, variables from the environment.

Every command ends with one of the exit statuses of :mod:`harness.errors`; an
error prints what happened, where the evidence is and what to type next.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from types import FrameType

from rich.console import Console
from rich.markup import escape

from harness import helptext
from harness.errors import HarnessError, InvocationError
from harness.screen import PIPE_WIDTH
from harness.settings import VARIABLES, Settings, from_environment


def _console(settings: Settings) -> Console:
    """Where a command speaks: standard output is for KTAP where that was asked for."""
    stream = sys.stderr if settings.ktap else sys.stdout
    width = None if stream.isatty() else PIPE_WIDTH
    return Console(file=stream, highlight=False, width=width)


def _test_kernel(settings: Settings) -> int:
    from harness import ktap_report
    from harness.run import test_kernel

    result = test_kernel(settings)
    if settings.ktap:
        sys.stdout.write(ktap_report.run(result.document))
    return result.code


def _test_series(settings: Settings) -> int:
    from harness.run import test_kernel
    from harness.series_states import test_series

    return test_series(settings, test_kernel, _console(settings))


def _seen_red(settings: Settings) -> int:
    from harness.base import obtain_base
    from harness.contract import load
    from harness.events import Events
    from harness.run import test_kernel
    from harness.seenred import seen_red
    from harness.store import Store
    from harness.variants import load_table

    table = load_table(load(settings.project))
    line = obtain_base(settings, Store(settings.cache, settings.cache_limit), Events()).line
    console = _console(settings)
    return seen_red(settings, test_kernel, table, line, console, settings.project)


def _revision(settings: Settings) -> int:
    from harness.revision import revision
    from harness.run import test_kernel
    from harness.static_checks import static_checks

    return revision(settings, test_kernel, static_checks, _console(settings))


def _soak(settings: Settings) -> int:
    from harness.soak import soak

    return soak(settings)


def _repro(settings: Settings) -> int:
    from harness.repro import repro

    return repro(settings)


def _build_matrix(settings: Settings) -> int:
    from harness.build_matrix import build_matrix
    from harness.run import test_kernel

    return build_matrix(settings, test_kernel)


def _static_checks(settings: Settings) -> int:
    from harness.static_checks import static_checks

    return static_checks(settings).code


def _regression(settings: Settings) -> int:
    from harness.regression import test_regression

    return test_regression(settings)


def _plan(settings: Settings) -> int:
    from harness.plan_commands import plan

    return plan(settings, _console(settings))


def _cell(settings: Settings) -> int:
    from harness.plan_commands import run_cell
    from harness.run import test_kernel
    from harness.static_checks import static_checks

    return run_cell(settings, test_kernel, static_checks, _console(settings))


def _merge(settings: Settings) -> int:
    from harness.merge_cells import merge

    return merge(settings, _console(settings))


def _selftest(settings: Settings) -> int:
    from harness.run import selftest_detectors

    return selftest_detectors(settings)


def _shell(settings: Settings) -> int:
    from harness.run import shell

    return shell(settings)


def _list_tests(settings: Settings) -> int:
    from harness.run import list_tests

    return list_tests(settings)


def _tree(settings: Settings) -> int:
    from harness.edit_commands import tree

    return tree(settings)


def _refresh(settings: Settings) -> int:
    from harness.edit_commands import refresh

    return refresh(settings)


def _report(settings: Settings) -> int:
    from harness.merge import lines, merge, read_runs

    for line in lines(merge(read_runs(settings.out))):
        sys.stdout.write(line + "\n")
    return 0


def _b4_check(settings: Settings) -> int:
    from harness.b4check import check

    sys.stdout.write(check(sys.stdin.buffer.read(), settings.out) + "\n")
    return 0


def _bench(settings: Settings) -> int:
    from tools.bench import bench

    return bench(settings)


def _clean_cache(_: Settings) -> int:
    from harness.clean_cache import main as clean

    return clean()


def _help(_: Settings) -> int:
    sys.stdout.write(helptext.text())
    return 0


# What can be said with dashes as well.
OPTIONS = {"--ktap": ("KTAP", "1"), "--notes": ("NOTES", "1")}

# Imported in the functions: `help` must not pay for paramiko.
COMMANDS: dict[str, Callable[[Settings], int]] = {
    "test-kernel": _test_kernel,
    "test-series": _test_series,
    "revision": _revision,
    "plan": _plan,
    "cell": _cell,
    "merge": _merge,
    "seen-red": _seen_red,
    "test-regression": _regression,
    "soak": _soak,
    "repro": _repro,
    "build-matrix": _build_matrix,
    "static-checks": _static_checks,
    "selftest-detectors": _selftest,
    "shell": _shell,
    "list-tests": _list_tests,
    "tree": _tree,
    "refresh": _refresh,
    "report": _report,
    "b4-check": _b4_check,
    "bench": _bench,
    "clean-cache": _clean_cache,
    "help": _help,
}


def _terminate(signum: int, frame: FrameType | None) -> None:
    """SIGTERM unwinds like Ctrl-C, so that QEMU and make end with us."""
    raise KeyboardInterrupt


def _arguments(argv: Sequence[str]) -> tuple[str, dict[str, str]]:
    """The command, and ``NAME=value`` and ``--name`` arguments laid over the environment."""
    given: dict[str, str] = {}
    words = []
    for word in argv:
        if word in OPTIONS:
            name, value = OPTIONS[word]
            given[name] = value
            continue
        name, equals, value = word.partition("=")
        if equals and name.isupper():
            if name not in VARIABLES:
                raise InvocationError(f"there is no variable {name}", next_step="make help")
            given[name] = value
        else:
            words.append(word)
    if len(words) != 1 or words[0] not in COMMANDS:
        raise InvocationError(
            f"one command, please; there is {', '.join(COMMANDS)}", next_step="make help"
        )
    return words[0], given


def print_error(console: Console, error: HarnessError) -> None:
    """Prints an error as the user reads it: kind first, then what, where, what next."""
    lines = error.lines()
    console.print(f"[bold red]{error.kind} error:[/] {escape(lines[0])}", highlight=False)
    for line in lines[1:]:
        console.print(f"  {escape(line)}", highlight=False, soft_wrap=True)
    console.print(f"verdict: {error.verdict} (exit {error.exit_code})", highlight=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    signal.signal(signal.SIGTERM, _terminate)
    console = Console(stderr=True)
    try:
        command, given = _arguments(sys.argv[1:] if argv is None else argv)
        return COMMANDS[command](from_environment({**os.environ, **given}))
    except HarnessError as error:
        print_error(console, error)
        return error.exit_code
    except KeyboardInterrupt:
        console.print("interrupted", highlight=False)
        return 130
    except Exception:
        console.print(escape(traceback.format_exc()), highlight=False, soft_wrap=True)
        console.print("internal error: a defect of the harness itself; please report the above")
        console.print("verdict: infra (exit 70)", highlight=False)
        return 70
