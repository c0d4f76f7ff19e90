# SPDX-License-Identifier: GPL-2.0-only
"""The page of a revision: a mark for each patch and check, each failure once, with what to type."""

from __future__ import annotations

from typing import Any

from harness.commands.revision.inputs import Inputs
from harness.commands.revision.page import (
    CHECKS,
    MAX_SHOWN,
    broken,
    command,
    html,
    rows,
)
from harness.commands.revision.verdict import RevisionRuns, conclude
from harness.commands.static_checks import OpenRemarks
from harness.series.patches import Patch
from tests.commands.revision.test_verdict_of_flaky_cases import CASE, document

PATCHES = tuple(Patch(n, b"", n, ()) for n in ("one", "two", "three"))
INPUTS = Inputs("b", "w", "", "s", "", PATCHES, "")


def marks(*documents: Any, statics: OpenRemarks | None = None) -> list[dict[str, tuple[str, str]]]:
    runs = RevisionRuns(documents, None, {}, statics or {})
    return [
        dict(zip(CHECKS, found, strict=True)) for _, found in rows(conclude(INPUTS, runs), runs)
    ]


def test_every_check_has_its_mark() -> None:
    statics: OpenRemarks = {1: {"checkpatch": ("a", "b"), "sparse": ()}}
    base, one, two = marks(document(), document(), document("fail"), statics=statics)
    assert base["checkpatch"][0] == "none" and base["cases"] == ("ok", "1 pass")
    assert one["checkpatch"] == ("warn", "2 new") and one["sparse"] == ("ok", "ok")
    assert one["kernel-doc"][0] == "none"
    assert two["cases"] == ("bad", "1 broken, 1 ran")
    assert {one[name] for name in ("applies", "builds", "boots")} == {("ok", "ok")}


def test_how_far_a_patch_came() -> None:
    def ended(**failed: str) -> Any:
        stages = [{"name": "build"}, {"name": "boot"}]
        stages = [{"name": n, "failed": "series"} for n in failed] or stages
        return document("pass", error=["no"], stages=stages, tests=[])

    _, one = marks(document(), ended(series=""))
    assert (one["applies"][0], one["builds"][0], one["boots"][0]) == ("bad", "none", "none")
    _, one = marks(document(), ended(build=""))
    assert (one["applies"][0], one["builds"]) == ("ok", ("bad", "build failed"))
    boot = document("pass", error=["no"], tests=[])
    boot["stages"][1]["failed"] = "series"
    _, one = marks(document(), boot)
    assert (one["builds"][0], one["boots"]) == ("ok", ("bad", "failed"))
    assert one["cases"] == ("none", "none ran")


def test_broken_before_is_a_warning_and_no_failure() -> None:
    base, one = marks(document("fail"), document("fail"))
    assert base["cases"][0] == one["cases"][0] == "warn"
    runs = RevisionRuns((document("fail"), document("fail")), None, {})
    assert broken(conclude(INPUTS, runs), runs) == []


def test_a_failure_is_told_where_it_is_first_seen() -> None:
    splat = {"title": "WARNING in f", "test": CASE, "decoded": "by it", "text": "f+0x1 (mm/f.c:7)"}
    bad = document("fail", splats=[splat])
    runs = RevisionRuns((document(), bad, bad, document()), None, {})
    whole = conclude(INPUTS, runs)
    first, second = broken(whole, runs)
    assert first.new == (CASE, "WARNING in f") and first.still == ()
    assert second.new == () and second.still == (CASE, "WARNING in f")
    again = "make test-kernel KERNEL=6.12 SERIES=&#39;/a b&#39; PATCHES=1 TESTS=&#39;p and a&#39;"
    assert html(whole, runs, {"KERNEL": "6.12", "SERIES": "/a b"}).count(again) == 2
    page = html(whole, runs, {"KERNEL": "6.12"})
    assert f"<div>in {CASE}</div>" in page
    assert page.count('WARNING in f <span class="dim">trace: by it</span>') == 2
    assert page.count("f+0x1 (mm/f.c:7)") == 2 and page.count("still broken") == 2
    assert "KERNEL=6.12 PATCHES=1" in page and "A claim." in page
    assert "<script" not in page and "http" not in page


def test_what_a_page_shows_is_bounded() -> None:
    said = {"status": "fail", "reason": "so", "about": "", "diagnostics": ["x"] * 500, "seconds": 1}
    tests = [{"id": f"t/p.c::c{n}", **said} for n in range(MAX_SHOWN + 5)]
    runs = RevisionRuns((document(), document("fail", tests=tests)), None, {})
    whole = conclude(INPUTS, runs)
    page = html(whole, runs, {})
    assert page.count("x\n... 460 more lines</pre>") == MAX_SHOWN and "and 5 more: out/" in page


def test_a_complaint_outside_of_cases_is_seen_again_by_the_whole_run() -> None:
    assert command({"KERNEL": ""}, "", 2) == "make test-kernel PATCHES=2"
