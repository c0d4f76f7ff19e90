# SPDX-License-Identifier: GPL-2.0-only
"""A consumer for tests: what was emitted, in order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from harness.core import events as ev

E = TypeVar("E", bound=ev.Event)


@dataclass
class Recorder:
    """A consumer that keeps every event."""

    seen: list[ev.Event] = field(default_factory=list)

    def __call__(self, event: ev.Event) -> None:
        self.seen.append(event)

    def of(self, kind: type[E]) -> list[E]:
        """The recorded events of one type, in order."""
        return [event for event in self.seen if isinstance(event, kind)]
