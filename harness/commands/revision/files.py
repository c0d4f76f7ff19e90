# SPDX-License-Identifier: GPL-2.0-only
"""The files of a verdict on a revision: revision.json, reply.txt, report.html."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.commands.revision import page
from harness.commands.revision.reply import reply, statement, verdict
from harness.commands.revision.verdict import Revision, RevisionRuns, as_json
from harness.core.atomic import write_atomically
from harness.report.files import page_environment
from harness.report.plots import plots


def html(whole: Revision, runs: RevisionRuns, asked: Mapping[str, str]) -> str:
    """``report.html``: one self-contained page, readable without network or scripts."""
    environment = page_environment(Path(__file__).parent)
    environment.filters["statement"] = statement
    return environment.get_template("revision.html.j2").render(
        whole=whole,
        verdict=verdict(whole),
        checks=page.CHECKS,
        rows=page.rows(whole, runs),
        broken=page.broken(whole, runs, asked),
        bars=list(page.drawn(page.times(runs))),
        plots=plots(runs.steps[-1]["tests"]),
    )


def write(whole: Revision, runs: RevisionRuns, out: Path, asked: Mapping[str, str]) -> None:
    """Writes the files of one verdict into ``out``, which is made.

    ``asked``: the variables that see a failure again, such as KERNEL= and SERIES=.
    """
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "revision.json", as_json(whole))
    write_atomically(out / "reply.txt", reply(whole))
    write_atomically(out / "report.html", html(whole, runs, asked))
