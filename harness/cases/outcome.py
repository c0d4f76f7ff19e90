# SPDX-License-Identifier: GPL-2.0-only
"""What one case comes to, from all that was seen of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from harness.cases.ktap import MAX_LINE_CHARS, read_case
from harness.core.events import Status
from harness.vm.protocol import CaseEnd
from harness.vm.swap_disk import find_tags

MAX_STDERR_LINES = 20  # among a case's diagnostics
COMPLAINED = "the kernel complained"  # how the reason of a case begins in which it did
_SWAP_CHECK = re.compile(r"^@swap (?P<what>absent|present) (?P<magic>[0-9a-f]{16}) (?P<count>\d+)$")


def check_swap_image(image: Path, diagnostics: tuple[str, ...]) -> str:
    """Searches the raw swap disk for the tags that a case declared; '' if all is as it says.

    A case prints ``# @swap absent MAGIC COUNT`` for pages that must never have
    been written and ``# @swap present MAGIC COUNT`` for a control range.
    """
    checks = [m for m in map(_SWAP_CHECK.match, diagnostics) if m]
    if {m["what"] for m in checks} != {"absent", "present"}:
        return "asked for a search of the swap image and did not name both kinds of tags"
    for check in checks:
        count = int(check["count"])
        found = len(find_tags(image, bytes.fromhex(check["magic"]), count))
        if check["what"] == "absent" and found:
            return f"{found} of {count} pages that must not were written to the swap disk"
        if check["what"] == "present" and found != count:
            return f"inconclusive: only {found} of {count} control pages are on the swap disk"
    return ""


def judge_end(
    end: CaseEnd, complaints: Sequence[str], case: str, swap_image: Path | None = None
) -> tuple[Status, str, tuple[str, ...]]:
    """Status, reason and diagnostics of the case of that name; ``swap_image``: to be searched.

    ``complaints``: titles of what the kernel said meanwhile, and nobody asked for.

    The kernel's own complaints come first: a test that says ok on a kernel that
    printed a WARNING has not passed.
    """
    output = read_case(end.stdout, case, end.exit_code)
    notes = output.diagnostics
    errors = end.stderr.strip().splitlines()[:MAX_STDERR_LINES]
    notes += tuple(f"stderr: {line[:MAX_LINE_CHARS]}" for line in errors)
    if complaints:
        return "fail", f"{COMPLAINED}: {complaints[0]}", notes
    if end.lost:
        return "error", end.lost, notes
    if end.timed_out:
        return "timeout", f"did not end within {end.seconds:.1f} s", notes
    if output.outcome == "pass" and swap_image is not None:
        wrong = check_swap_image(swap_image, notes)
        return ("fail", wrong, notes) if wrong else ("pass", "", notes)
    return output.outcome, output.reason, notes
