# SPDX-License-Identifier: GPL-2.0-only
"""What the harness's own tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import events as ev
from harness.store import Store
from tests.recorder import Recorder
from tests.toy import Toy, repository


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
