# SPDX-License-Identifier: GPL-2.0-only
"""Complaints of the tree under test that are known: shown, and no failure until a date.

They stand in ``known-complaints.yaml``, in the top folder of the tree that KERNEL= names
or beside that folder::

    - title: 'lockdep: possible circular locking dependency in console_lock'
      until: 2027-03-31
      reason: reported, https://lore.kernel.org/...

A title is compared whole, as the report shows it. After the last day it fails again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import yaml

from harness.core.errors import InvocationError
from harness.core.jsondata import NO_YAML, from_json
from harness.vm.splats import Splat

NAME = "known-complaints.yaml"
FORM = f"{NAME} is a list of entries, each with title, until and reason; see docs/vm.md"


@dataclass(frozen=True)
class KnownComplaint:
    """One entry. ``until``: the last day on which it is no failure; ``where``: file and line."""

    title: str
    until: date
    reason: str
    where: str


def load_known(kernel: str) -> tuple[KnownComplaint, ...]:
    """The list that is kept with the tree; empty where there is none.

    Args:
        kernel: what KERNEL= says.

    Raises:
        InvocationError: the list cannot be read; names file and line.
    """
    tree = Path(kernel).expanduser().absolute()
    if not tree.exists():  # a kernel by its name
        return ()
    for path in (tree / NAME, tree.parent / NAME):
        if path.is_file():
            return _read(path)
    return ()


def _read(path: Path) -> tuple[KnownComplaint, ...]:
    found: dict[str, KnownComplaint] = {}
    line = 1
    try:
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8"))
        root = loader.get_single_node()
        if root is not None and not isinstance(root, yaml.SequenceNode):
            raise TypeError("no list")
        for node in root.value if root else ():
            line = node.start_mark.line + 1
            given = loader.construct_object(node, deep=True)
            if isinstance(given, dict):
                given["where"] = f"{path}:{line}"
            entry = from_json(KnownComplaint, given)
            if entry.title in found:
                raise TypeError(f"stands in {found[entry.title].where} already")
            found[entry.title] = entry
    except (*NO_YAML, TypeError, OSError) as error:
        mark = getattr(error, "problem_mark", None)
        at = f"{path}:{mark.line + 1 if mark else line}"
        raise InvocationError(f"{at}: {error}", evidence=path, next_step=FORM) from error
    return tuple(found.values())


def mark_known(splat: Splat, known: Sequence[KnownComplaint], today: date) -> Splat:
    """The splat, marked where the list has it and its last day is not over."""
    for entry in known:
        if entry.title == splat.title and splat.foreign is None and today <= entry.until:
            why = f"known until {entry.until.isoformat()}: {entry.reason}"
            return replace(splat, foreign=why)
    return splat


def ended(known: Sequence[KnownComplaint], today: date) -> list[str]:
    """A line for each entry whose last day is over."""
    return [
        f"{entry.where}: ended on {entry.until.isoformat()}: {entry.title}"
        for entry in known
        if today > entry.until
    ]
