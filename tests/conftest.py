# SPDX-License-Identifier: GPL-2.0-only
"""What the harness's own tests share."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from harness import events as ev


@dataclass
class Recorder:
    """A consumer that keeps every event."""

    seen: list[ev.Event] = field(default_factory=list)

    def __call__(self, event: ev.Event) -> None:
        self.seen.append(event)

    def of(self, kind: type) -> list[ev.Event]:
        """The recorded events of one type, in order."""
        return [event for event in self.seen if isinstance(event, kind)]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def events(recorder: Recorder) -> ev.Events:
    """A bus whose only consumer is ``recorder``."""
    bus = ev.Events()
    bus.subscribe(recorder)
    return bus
