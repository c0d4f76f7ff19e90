# SPDX-License-Identifier: GPL-2.0-only
"""Cases whose steps come from the host: a driver beside the series talks to the program.

A guest case that names a ``driver`` in its listing is run as any other, with one thing
more: what the driver asks reaches the program (``protocol.py``). When the driver has
done, the program reads the end of its input, and gives its own verdict by KTAP. The
driver's verdict counts beside it: it knows what should have been answered.

The driver is ``drive`` of the module or package of that name beside ``series.yaml``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.cases.plugins import load_plugin
from harness.core import events as ev
from harness.core.errors import InternalError
from harness.vm.protocol import Ask


@dataclass(frozen=True)
class Dialogue:
    """What a driver works with.

    ``ask`` sends one line and returns the answer; it raises EndedError where the program
    has ended, and must not be kept from raising. ``env``: what the case has in its
    environment. ``folder``: where the run leaves its files. ``again``: what to type for
    this run again, to which a driver may add a seed. ``pace``: how much slower than the
    reference the guest is.
    """

    ask: Ask
    env: Mapping[str, str]
    folder: Path
    again: str
    pace: float = 1.0


@dataclass(frozen=True)
class Judgement:
    """A driver's verdict: ``status`` 'pass' or 'fail'; ``notes`` go to the diagnostics."""

    status: ev.Status
    reason: str = ""
    notes: tuple[str, ...] = ()


class Driver(Protocol):
    """The host's half of a case."""

    def __call__(self, dialogue: Dialogue) -> Judgement: ...


def load_driver(folder: Path, name: str) -> Driver:
    """``drive`` of ``folder/name.py``, or of the package ``folder/name``.

    Raises:
        InternalError: there is none.
    """
    module = load_plugin(folder, name)
    if module is None:
        raise InternalError(f"there is no driver {name} in {folder}")
    drive: Driver | None = getattr(module, "drive", None)
    if drive is None:
        raise InternalError(f"{module.__file__} has no function drive")
    return drive
