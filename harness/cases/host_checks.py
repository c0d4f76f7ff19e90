# SPDX-License-Identifier: GPL-2.0-only
"""Clauses that are checked on the host: on the patched tree rather than in a guest.

A series may keep ``host_checks.py`` beside its ``series.yaml``. Each function
there marked with :func:`check` writes the same records as a guest case.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.cases.plugins import load_plugin
from harness.core import events as ev
from harness.core.errors import InternalError
from harness.series.apply import PatchedTree

Check = Callable[[PatchedTree], Sequence[str]]  # gives what is wrong, one line each


@dataclass(frozen=True)
class HostCheck:
    """``about``: what it shows; ``id``: what its record is called."""

    id: ev.CaseId
    clauses: tuple[str, ...]
    about: str
    function: Check


def check(*clauses: str) -> Callable[[Check], HostCheck]:
    """Makes a check of a function of a ``host_checks.py``; its docstring says what it shows.

    What a patch promises beside the clauses of the contract names none.
    """

    def make(function: Check) -> HostCheck:
        about = (function.__doc__ or "").strip().splitlines()
        if not about:
            raise InternalError(f"host check {function.__name__} needs a docstring")
        identity = ev.CaseId("host", None, function.__name__)
        return HostCheck(identity, clauses, about[0], function)

    return make


def load_checks(folder: Path) -> tuple[HostCheck, ...]:
    """The checks in ``folder/host_checks.py``; none where the file is not there."""
    module = load_plugin(folder, "host_checks")
    found = vars(module).values() if module else ()
    return tuple(item for item in found if isinstance(item, HostCheck))


def run_check(item: HostCheck, tree: PatchedTree) -> ev.CaseFinished:
    """Runs one check and gives its record, ``host::name``."""
    start = time.monotonic()
    wrong = tuple(item.function(tree))
    seconds = time.monotonic() - start
    return ev.judged(item.id, wrong, seconds=seconds, clauses=item.clauses, about=item.about)
