# SPDX-License-Identifier: GPL-2.0-only
"""Clauses that are checked on the host: on the patched tree rather than in a guest.

A series may keep ``host_checks.py`` beside its ``series.yaml``. Each function
there marked with :func:`check` writes the same records as a guest case.
"""

from __future__ import annotations

import importlib.util
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import events as ev
from harness.errors import InternalError


@dataclass(frozen=True)
class PatchedTree:
    """The patched tree as git objects; nothing is checked out for reading it."""

    repo: Path
    commit: str
    base: str

    def read(self, path: str, commit: str | None = None) -> str:
        """A file's text at the applied commit (or another one); '' where it is not there."""
        done = subprocess.run(
            ["git", "-C", str(self.repo), "show", f"{commit or self.commit}:{path}"],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout if done.returncode == 0 else ""


Check = Callable[[PatchedTree], Sequence[str]]


@dataclass(frozen=True)
class HostCheck:
    """``function`` returns what is wrong, one line each; nothing means it holds."""

    name: str
    clauses: tuple[str, ...]
    about: str
    function: Check


_registered: list[HostCheck] = []


def check(*clauses: str) -> Callable[[Check], Check]:
    """Registers a function of a ``host_checks.py``; its docstring says what it shows.

    What a patch promises beside the clauses of the contract names none.
    """

    def register(function: Check) -> Check:
        about = (function.__doc__ or "").strip().splitlines()
        if not about:
            raise InternalError(f"host check {function.__name__} needs a docstring")
        _registered.append(HostCheck(function.__name__, clauses, about[0], function))
        return function

    return register


def load_checks(folder: Path) -> tuple[HostCheck, ...]:
    """The checks in ``folder/host_checks.py``; none where the file is not there."""
    path = folder / "host_checks.py"
    if not path.is_file():
        return ()
    spec = importlib.util.spec_from_file_location(f"host_checks_{folder.name}", path)
    if spec is None or spec.loader is None:
        raise InternalError(f"{path} cannot be loaded")
    before = len(_registered)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    return tuple(_registered[before:])


def run_check(item: HostCheck, tree: PatchedTree) -> ev.CaseFinished:
    """Runs one check and gives its record, ``host::name``."""
    start = time.monotonic()
    wrong = tuple(item.function(tree))
    seconds = time.monotonic() - start
    return ev.CaseFinished(
        f"host::{item.name}",
        "fail" if wrong else "pass",
        wrong[0] if wrong else "",
        seconds,
        item.clauses,
        diagnostics=wrong,
        about=item.about,
    )
