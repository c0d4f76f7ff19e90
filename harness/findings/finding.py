# SPDX-License-Identifier: GPL-2.0-only
"""What a finding says of itself: ``finding.json``, beside kernel and images in the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.debugger.code import Unit
from harness.races.breakpoints import Breakpoint
from harness.races.scenario import Scenario

DATA = "finding.json"
RATE = "rate.json"  # added once it was measured
# What it is built from, and who asks for that: beside what is run.
PATCHES, CONFIG, SOURCE, RECIPE = "patches", "kernel.config", "source", "rootfs.yaml"
# The files of a replay's folder, as QEMU's command line names them.
KERNEL, ROOT, TESTS, SWAP, STUB = "kernel", "root.img", "tests.img", "swap.img", "gdb"
SYMBOL_MAP = "System.map"
# In the guest: what runs the case, given its number, time limit, the guest's pace and a number of
# runs; and where its output goes.
SCRIPT = "/tests/finding"
OUT_FILE, ERR_FILE = "/run/harness/out", "/run/harness/err"

Mode = Literal["case", "order", "runs"]


@dataclass(frozen=True)
class Origin:
    """Where it was found: all that a build from sources begins with.

    ``base``: what the user called the base, ``tree``: git's id of its files, ``version``: as its
    Makefile says. ``config``: the flavour, and the ``.config``'s hash. ``patches``: files of the
    folder patches/, in order; ``variant``: one that goes on top of them. ``asked``: the run's
    variables.
    """

    base: str
    tree: str
    version: str
    config: str
    config_sha256: str
    patches: tuple[str, ...]
    variant: str | None
    run: str
    command: str
    asked: dict[str, str]


@dataclass(frozen=True)
class Schedule:
    """The order of a race, its points resolved to addresses of this very kernel.

    ``program``: addresses in the guest program. ``code``: of the functions that are looked for
    on a stack, inlined copies too. ``assembly``: the symbols that have no debug information, by
    their addresses: their code keeps no frame pointer.
    """

    scenario: Scenario
    breakpoints: tuple[Breakpoint, ...]
    program: dict[str, int]
    code: Unit
    assembly: tuple[int, ...]


@dataclass(frozen=True)
class Finding:
    """One failure. ``title``: what to expect, in words; ``test``: the id of its record.

    Args:
        case: what its program calls it.
        mode: a case, a race whose CPUs are held in order, or a program that runs many times.
        splat: the title of the kernel's report that is the failure; '' for none.
        argv: QEMU's, for a folder with the files of this module.
        timeout_s: of one run in a guest of reference speed.
        swap_mb: size of the swap disk.
        search_swap: the swap disk is searched after the case.
        ignored: titles of reports that do not count.
        pace_reference_s: what the fixed work load takes in a guest of reference speed.
        seen: in the run it is from, how often of ``runs``.
    """

    id: str
    mode: Mode
    title: str
    test: str
    case: str
    clauses: tuple[str, ...]
    splat: str
    argv: tuple[str, ...]
    timeout_s: float
    swap_mb: int
    search_swap: bool
    oom_expected: bool
    ignored: tuple[str, ...]
    pace_reference_s: float
    seen: int
    runs: int
    origin: Origin
    schedule: Schedule | None = None


@dataclass(frozen=True)
class Rate:
    """How often a replay was the *same*, something *other*, or nothing, of ``runs``."""

    same: int
    other: int
    runs: int
