# SPDX-License-Identifier: GPL-2.0-only
"""What the tests of whole runs share; each file has a ``built`` of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.run.fake_guest_run import Job
from tests.support.toy import Toy


@pytest.fixture
def job(built: tuple[Toy, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Job]:
    made = Job(*built, tmp_path / "out", monkeypatch)
    yield made
    made.end()
