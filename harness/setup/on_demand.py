# SPDX-License-Identifier: GPL-2.0-only
"""System packages that only some commands need, seen to when such a command runs."""

from __future__ import annotations

import json
from pathlib import Path

from harness.core.errors import MachineError
from harness.core.events import Events, Note
from harness.setup import bootstrap

TABLE = Path(__file__).with_name("packages.json")


def provide(purpose: str, log: Path, events: Events) -> None:
    """Installs what ``purpose`` needs, where that is possible without asking.

    Args:
        purpose: a word under ``for`` in packages.json, such as 'sparse' or 'arm64'.

    Raises:
        MachineError: it is not there and was not installed; says what to type.
    """
    table = json.loads(TABLE.read_text("utf-8"))
    needs = bootstrap.missing(table, purpose)
    if not needs:
        return
    events.emit(Note(f"not found: {', '.join(map(bootstrap.what, needs))}"))
    try:
        bootstrap.provide(table, purpose, log)
    except bootstrap.UnableError as error:
        what, _, rest = str(error).partition("\n")
        raise MachineError(what, next_step=rest.strip()) from error
