# SPDX-License-Identifier: GPL-2.0-only
"""b4 review asks for a message; it gets our verdict on it."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.commands.revision.b4_check import check
from harness.commands.revision.inputs import Inputs
from harness.commands.revision.page import write
from harness.commands.revision.verdict import RevisionRuns, conclude
from harness.commands.static_checks import OpenRemarks
from harness.core.command_table import COMMANDS
from harness.core.settings import PROJECT
from harness.series.patches import parse_patch
from tests.commands.revision.test_verdict_of_flaky_cases import document
from tests.support.toy import Toy, grow

COVER = b"From: A <a@b.c>\nSubject: [PATCH 0/2] x\nMessage-Id: <cover@example.org>\n\nHello.\n"


def mails(toy: Toy) -> list[bytes]:
    folder = toy.series(("one", {"mm/swap.c": grow}), ("two", {"mm/madvise.c": grow}))
    return [path.read_bytes() for path in sorted(folder.glob("*.patch"))]


def judged(
    mail: list[bytes], out: Path, *documents: Any, statics: OpenRemarks | None = None
) -> None:
    patches = tuple(replace(parse_patch(m, "m"), subject=f"s{n}") for n, m in enumerate(mail))
    inputs = Inputs("Linux 6.1", "w", "", "s", "", patches, "", "cover@example.org")
    runs = RevisionRuns(documents, None, {}, statics or {})
    write(conclude(inputs, runs), runs, out, {})


def answer(mail: bytes, out: Path) -> dict[str, str]:
    (found,) = json.loads(check(mail, out))
    # What b4 0.16 takes: checks.py, _run_external_cmd.
    assert set(found) == {"tool", "status", "summary", "url", "details"}
    assert found["status"] in ("pass", "warn", "fail")
    assert all(isinstance(value, str) for value in found.values())
    return dict(found)


def test_each_patch_and_the_cover_letter_have_a_verdict(toy: Toy, tmp_path: Path) -> None:
    one, two = mails(toy)
    judged([one, two], tmp_path / "revision-1", document(), document(), document("fail"))
    assert answer(one, tmp_path)["status"] == "pass"
    found = answer(two, tmp_path)
    assert (found["status"], found["summary"]) == ("fail", "1 broken after this patch")
    assert found["details"] == "broken: t/p.c::a"
    assert found["url"] == (tmp_path / "revision-1" / "report.html").as_uri()
    whole = answer(COVER, tmp_path)
    assert whole["status"] == "fail" and "after patch 2" in whole["summary"]
    assert whole["details"].startswith("Verdict: ")


def test_the_wording_of_a_commit_does_not_matter_and_the_newest_verdict_counts(
    toy: Toy, tmp_path: Path
) -> None:
    one, two = mails(toy)
    judged([one, two], tmp_path / "a", document(), document("fail"), document())
    judged([one, two], tmp_path / "b", document(), document(), document())
    os.utime(tmp_path / "a" / "revision.json", (1, 1))
    assert answer(one.replace(b"one", b"another"), tmp_path)["status"] == "pass"


def test_what_was_not_tested_is_no_pass(toy: Toy, tmp_path: Path) -> None:
    one, two = mails(toy)
    judged([one], tmp_path / "a", document(), document())
    for mail in (two, COVER.replace(b"cover@", b"other@")):
        found = answer(mail, tmp_path)
        assert found["status"] == "warn" and "not tested" in found["summary"]


def test_a_patch_that_git_gives_no_id_has_no_verdict_but_its_own(toy: Toy, tmp_path: Path) -> None:
    """The base's step has no id either, and its verdict was given for each such patch."""
    one, two = mails(toy)
    judged([one], tmp_path / "a", document(), document())
    plain = re.sub(rb"(?m)^(diff --git|index) .*\n", b"", two)
    found = answer(plain, tmp_path)
    assert found["status"] == "warn" and "not tested" in found["summary"]
    judged([plain], tmp_path / "b", document(), document())
    assert answer(plain.replace(b"two", b"second"), tmp_path)["status"] == "pass"


def test_a_letter_or_an_answer_with_a_diff_is_no_patch(toy: Toy, tmp_path: Path) -> None:
    one, _ = mails(toy)
    judged([one], tmp_path / "a", document(), document())
    diff = one[one.index(b"diff --git") :]
    assert answer(COVER + diff, tmp_path)["status"] == "pass"
    other = COVER.replace(b"cover@", b"answer@").replace(b"[PATCH 0/2]", b"Re: [PATCH 1/2]")
    assert "not tested" in answer(other + diff, tmp_path)["summary"]


def test_remarks_and_what_was_broken_before_are_warnings(toy: Toy, tmp_path: Path) -> None:
    (one, _) = mails(toy)
    statics: OpenRemarks = {1: {"checkpatch": ("WARNING: so long",)}}
    judged([one], tmp_path, document("fail"), document("fail"), statics=statics)
    found = answer(one, tmp_path)
    assert found["status"] == "warn"
    assert found["summary"] == "nothing broken by it; 1 remarks, 1 broken before"
    assert "checkpatch: WARNING: so long" in found["details"]


def test_the_program_that_b4_starts_is_there() -> None:
    program = PROJECT / "ci" / "b4-check"
    assert os.access(program, os.X_OK)
    assert program.read_text().rstrip().endswith("-m harness b4-check")
    assert "b4-check" in COMMANDS
