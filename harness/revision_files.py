# SPDX-License-Identifier: GPL-2.0-only
"""The files of a verdict on a revision: revision.json, reply.txt, report.html."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from harness import revision_page as page
from harness.atomic import write_atomically
from harness.outputs import page_environment
from harness.plots import plots
from harness.revision_text import reply, statement, verdict
from harness.verdicts import Revision, Runs

FORMAT = 1


def html(whole: Revision, runs: Runs, asked: Mapping[str, str]) -> str:
    """``report.html``: one self-contained page, readable without network or scripts."""
    environment = page_environment()
    environment.filters["statement"] = lambda flaky: statement(asdict(flaky))
    return environment.get_template("revision.html.j2").render(
        whole=whole,
        verdict=verdict(asdict(whole)),
        checks=page.CHECKS,
        rows=page.rows(whole, runs),
        broken=page.broken(whole, runs, asked),
        bars=list(page.drawn(page.times(runs))),
        plots=plots(runs.steps[-1]["tests"]),
    )


def write(whole: Revision, runs: Runs, out: Path, asked: Mapping[str, str]) -> None:
    """Writes the files of one verdict into ``out``, which is made.

    ``asked``: the variables that see a failure again, such as KERNEL= and SERIES=.
    """
    out.mkdir(parents=True, exist_ok=True)
    document = {"format": FORMAT, **asdict(whole)}
    write_atomically(out / "revision.json", json.dumps(document, indent=1) + "\n")
    write_atomically(out / "reply.txt", reply(document))
    write_atomically(out / "report.html", html(whole, runs, asked))
