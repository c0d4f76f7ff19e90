# SPDX-License-Identifier: GPL-2.0-only
"""The files of a verdict on a revision: revision.json, reply.txt, report.html."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.outputs import page_environment, write_atomically
from harness.revision_text import reply, verdict
from harness.series_states import State
from harness.verdicts import Revision, Runs

FORMAT = 1


def html(document: dict[str, Any], states: Sequence[State]) -> str:
    """``report.html``: one self-contained page, readable without network or scripts."""
    page = page_environment().get_template("revision.html.j2")
    return page.render(whole=document, states=states, verdict=verdict(document))


def write(whole: Revision, runs: Runs, states: Sequence[State], out: Path) -> None:
    """Writes the files of one verdict into ``out``, which is made."""
    out.mkdir(parents=True, exist_ok=True)
    document = {"format": FORMAT, **asdict(whole)}
    write_atomically(out / "revision.json", json.dumps(document, indent=1) + "\n")
    write_atomically(out / "reply.txt", reply(document))
    write_atomically(out / "report.html", html(document, states))
