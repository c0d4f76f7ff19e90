# SPDX-License-Identifier: GPL-2.0-only
"""What the harness's own tests share."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from harness.core import events as ev
from harness.core.settings import PROJECT
from harness.core.store import Store
from harness.series.contract import SeriesData, load
from tests.support.limits import HUNG_S, SLOW_HUNG_S
from tests.support.recorder import Recorder
from tests.support.toy import Toy, repository

FIRST_PID = 1000  # a sandbox numbers its processes from 1, and has far fewer

# Hypothesis would fail an example that takes 0.2 s, and one that is drawn slowly.
hypothesis.settings.register_profile(
    "busy machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("busy machine")


@pytest.fixture(autouse=True)
def _ended_when_it_hangs(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tests wait for events; one whose event never comes must not stop all others."""
    limit = SLOW_HUNG_S if request.node.get_closest_marker("slow") else HUNG_S

    def hung(*_: object) -> None:
        pytest.fail(f"it hangs: not over after {limit:.0f} s")

    before = signal.signal(signal.SIGALRM, hung)
    signal.setitimer(signal.ITIMER_REAL, limit)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """A process whose number none in a sandbox has, where numbers are low too (a container)."""
    while (process := subprocess.Popen(("sleep", "inf"))).pid < FIRST_PID:
        process.kill()
        process.wait()
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def events(recorder: Recorder) -> ev.Events:
    """A bus whose only consumer is ``recorder``."""
    bus = ev.Events()
    bus.consumers.append(recorder)
    return bus


@pytest.fixture(scope="session")
def data() -> SeriesData:
    """What is promised of our series."""
    return load(PROJECT / "patches" / "volatile")


@pytest.fixture
def toy(tmp_path: Path, events: ev.Events) -> Toy:
    """The toy kernel as a git tree, with a store of its own."""
    store = Store(tmp_path / "store", 1 << 30)
    return Toy(tmp_path, repository(tmp_path / "linux"), store, events)
