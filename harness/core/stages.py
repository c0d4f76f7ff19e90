# SPDX-License-Identifier: GPL-2.0-only
"""One stage of a run: begun, timed, ended or failed, always as events."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

from harness.core import events as ev
from harness.core.errors import HarnessError


@dataclass
class StageOutcome:
    """What a stage says of itself before it ends."""

    cached: bool = False
    detail: str = ""


@contextlib.contextmanager
def stage(events: ev.Events, name: str) -> Iterator[StageOutcome]:
    """Emits StageStarted, then StageFinished or, on any exception, StageFailed."""
    events.emit(ev.StageStarted(name))
    start = time.monotonic()
    outcome = StageOutcome()
    try:
        yield outcome
    except BaseException as error:
        kind = error.kind if isinstance(error, HarnessError) else type(error).__name__
        message = str(error).splitlines()[0] if str(error) else kind
        events.emit(ev.StageFailed(name, time.monotonic() - start, kind, message))
        raise
    events.emit(ev.StageFinished(name, time.monotonic() - start, outcome.cached, outcome.detail))
