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
from harness.vm.splats import Splat

NAME = "known-complaints.yaml"
FIELDS = ("title", "until", "reason")
FORM = f"{NAME} is a list of entries, each with {', '.join(FIELDS)}; see docs/vm.md"


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
    def broken(line: int, what: str) -> InvocationError:
        return InvocationError(f"{path}:{line}: {what}", evidence=path, next_step=FORM)

    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise broken(mark.line + 1 if mark else 1, f"no YAML: {error.problem}") from error
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise broken(1, f"cannot be read: {error}") from error
    if root is None:
        return ()
    if not isinstance(root, yaml.SequenceNode):
        raise broken(root.start_mark.line + 1, "no list")
    found: dict[str, KnownComplaint] = {}
    for node in root.value:
        line = node.start_mark.line + 1
        if not isinstance(node, yaml.MappingNode):
            raise broken(line, f"an entry needs {', '.join(FIELDS)}")
        given: dict[str, str] = {}
        for key, value in node.value:
            at = key.start_mark.line + 1
            if key.value not in FIELDS or key.value in given:
                raise broken(at, f"'{key.value}' is none of {', '.join(FIELDS)}, or stands twice")
            if not isinstance(value, yaml.ScalarNode) or not value.value.strip():
                raise broken(at, f"'{key.value}' has no value")
            given[key.value] = value.value.strip()
            if key.value == "until":
                try:
                    date.fromisoformat(given["until"])
                except ValueError:
                    raise broken(at, f"'{given['until']}' is no date as 2027-03-31") from None
        if missing := [name for name in FIELDS if name not in given]:
            raise broken(line, f"an entry without {', '.join(missing)}")
        if given["title"] in found:
            raise broken(line, f"stands in {found[given['title']].where} already")
        found[given["title"]] = KnownComplaint(
            given["title"], date.fromisoformat(given["until"]), given["reason"], f"{path}:{line}"
        )
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
