# SPDX-License-Identifier: GPL-2.0-only
"""``ci/b4-check``: our verdicts in ``b4 review``.

b4 gives a patch or a cover letter on standard input and takes a JSON array of objects
with ``tool``, ``status`` (pass, warn, fail), ``summary``, ``url`` and ``details``.
Source: ``review-perpatch-check-cmd`` and ``review-series-check-cmd`` in b4 0.16,
b4/review/checks.py. Nothing is built or run: the verdicts are those of the revisions
below OUT=, of which the newest one that has the patch counts.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from harness.commands.revision.reply import findings, verdict
from harness.commands.revision.verdict import Revision, Step
from harness.core.command_table import command
from harness.core.errors import InvocationError
from harness.core.jsondata import read_json
from harness.core.settings import Settings
from harness.series.mail import read_mail
from harness.series.patches import parse_patch

TOOL = "kernel-test"
MAX_DETAILS = 40  # lines


def b4_check(settings: Settings) -> int:
    """Answers the message on standard input."""
    sys.stdout.write(check(sys.stdin.buffer.read(), settings.out) + "\n")
    return 0


def check(mail: bytes, out: Path) -> str:
    """The answer to one message, as JSON."""
    found = list(revisions(out))
    try:
        patch_id = parse_patch(mail, "the message").patch_id
    except InvocationError:  # it carries no patch: a cover letter
        return json.dumps(_series(read_mail(mail)[0].message_id, found))
    for path, whole in found:
        for step in whole.steps:
            # The base's step has no id: without one nothing is known of a patch.
            if patch_id and step.patch_id == patch_id:
                return json.dumps([_patch(step, whole, path)])
    return json.dumps([_unknown("this patch")])


def revisions(out: Path) -> Iterator[tuple[Path, Revision]]:
    """Each revision.json below ``out`` with its path, the newest first."""
    paths = out.rglob("revision.json")
    for path in sorted(paths, key=lambda p: p.stat().st_mtime, reverse=True):
        yield path, read_json(Revision, path)


def _answer(status: str, summary: str, path: Path | None, details: str = "") -> dict[str, str]:
    url = path.with_name("report.html").absolute().as_uri() if path else ""
    return {"tool": TOOL, "status": status, "summary": summary, "url": url, "details": details}


def _unknown(what: str) -> dict[str, str]:
    again = command("revision", SERIES="MESSAGE-ID")
    return _answer("warn", f"{what} was not tested here: {again}", None)


def _series(cover: str | None, found: list[tuple[Path, Revision]]) -> list[dict[str, str]]:
    for path, whole in found:
        if cover and cover in (whole.cover, whole.source.strip("<>")):
            status = {0: "pass", 1: "fail"}.get(whole.exit_code, "warn")
            reply = path.with_name("reply.txt").read_text()
            return [_answer(status, verdict(whole), path, reply)]
    return [_unknown("this series")]


def _patch(step: Step, whole: Revision, path: Path) -> dict[str, str]:
    remarks = [f"{tool}: {said}" for tool, all_said in step.statics.items() for said in all_said]
    details = [*findings(step), *remarks]
    ran = f"; change so far: {step.change}" if step.change else ""
    status, summary = "pass", f"builds, boots, passes on {whole.base}{ran}"
    if step.bad:
        broken = f"{len(step.blame.ours)} broken after this patch"
        status, summary = "fail", step.error[0] if step.error else broken
    elif details:
        before = f"{len(remarks)} remarks, {len(step.blame.before)} broken before"
        status, summary = "warn", f"nothing broken by it; {before}"
    return _answer(status, summary, path, "\n".join(details[:MAX_DETAILS]))
