# SPDX-License-Identifier: GPL-2.0-only
"""What the harness's own tests share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from toy import Toy, repository

from harness import events as ev
from harness.store import Store


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


@pytest.fixture
def toy(tmp_path: Path, events: ev.Events) -> Toy:
    """The toy kernel as a git tree, with a store of its own."""
    store = Store(tmp_path / "store", 1 << 30)
    return Toy(tmp_path, repository(tmp_path / "linux"), store, events)
