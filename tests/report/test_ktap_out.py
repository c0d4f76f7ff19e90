# SPDX-License-Identifier: GPL-2.0-only
"""KTAP on standard output: a strict reader gets every verdict back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from harness import cli
from harness.core.settings import Settings
from harness.report import ktap_out
from harness.run.session import RunResult

LINE = re.compile(r"^(?P<bad>not )?ok (?P<number>\d+) (?P<name>[^#]*?)(?: # (?P<more>.*))?$")


def parse(text: str, depth: int = 0) -> dict[str, Any]:
    """{name: 'ok', 'not ok' or 'skip'} of one level: Documentation/dev-tools/ktap.rst."""
    pad = "  " * depth
    lines = [line for line in text.splitlines() if line.startswith(pad)]
    mine = [line[len(pad) :] for line in lines if not line[len(pad) :].startswith("  ")]
    assert mine[0] == "KTAP version 1"
    (plan,) = [line for line in mine if re.fullmatch(r"1\.\.\d+", line)]
    found: dict[str, Any] = {}
    for match in filter(None, map(LINE.match, mine)):
        assert int(match["number"]) == len(found) + 1
        said = "not ok" if match["bad"] else "ok"
        found[match["name"]] = "skip" if (match["more"] or "").startswith("SKIP") else said
    assert plan == f"1..{len(found)}"
    known = ("#", "KTAP", "1..")
    assert all(LINE.match(line) or line.startswith(known) for line in mine), mine
    return found


def record(name: str, status: str, reason: str = "") -> dict[str, Any]:
    return {"id": name, "status": status, "reason": reason, "diagnostics": ["p.c:7: a\nb"]}


def document(*tests: dict[str, Any], **more: Any) -> Any:
    code = 1 if any(t["status"] in ("fail", "error", "timeout") for t in tests) else 0
    whole = {
        "tests": list(tests),
        "splats": [],
        "error": [],
        "untested": [],
        "exit_code": code,
        "run": "r",
    }
    return {**whole, "clauses": {}, "repeats": [], "stages": [], **more}


def test_programs_are_subtests() -> None:
    text = ktap_out.run(
        document(
            record("v/p.c::one", "pass"),
            record("v/p.c::two", "timeout", "did not\nend"),
            record("v/q.c::gone", "not_applicable", "holds from patch 4"),
            record("v/q.c::skipped", "skip", "no zram"),
        )
    )
    assert parse(text) == {"v/p.c": "not ok", "v/q.c": "skip"}
    first, second = re.split(r"(?m)^(?:not )?ok \d+ .*\n", text)[:2]
    assert parse(first[first.index("  KTAP") :], 1) == {"one": "ok", "two": "not ok"}
    assert parse(second, 1) == {"gone": "skip", "skipped": "skip"}
    assert "    # two: timeout: did not end" not in text
    assert "  # two: timeout: did not end\n  # p.c:7: a b\n  not ok 2 two\n" in text
    assert "  # Subtest: v/p.c\n" in text
    assert "ok 1 gone # SKIP not applicable: holds from patch 4\n" in text


def test_what_the_kernel_said_and_what_ended_the_run_are_failures() -> None:
    splat = {"title": "BUG #1 in f", "category": "bug", "text": "a\nb"}
    text = ktap_out.run(document(splats=[splat], error=["the guest did not boot", "next: x"]))
    assert parse(text) == {"kernel log": "not ok", "run": "not ok"}
    assert "not ok 1 BUG no. 1 in f\n" in text
    assert "# the guest did not boot\n  # next: x\n" in text


def test_several_runs_are_subtests() -> None:
    bad, good = document(record("v/p.c::one", "fail", "so")), document(record("v/p.c::one", "pass"))
    # What is broken before is no failure of a patch: who asks says so.
    text = ktap_out.states([("0 the base", True, bad), ("1 a", False, bad), ("2 b #2", True, good)])
    assert parse(text) == {"0 the base": "ok", "1 a": "not ok", "2 b no. 2": "ok"}


@pytest.mark.parametrize("how", ["--ktap", "KTAP=1"])
def test_standard_output_is_for_ktap_alone(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(settings: Settings) -> RunResult:
        assert settings.ktap
        return RunResult(0, settings.out, document(record("v/p.c::one", "pass")))

    monkeypatch.setattr("harness.setup.on_demand.provide", lambda *_: None)
    monkeypatch.setattr("harness.commands.one_kernel.run_kernel", run)
    assert cli.main(["test-kernel", how, f"OUT={tmp_path}"]) == 0
    assert parse(capsys.readouterr().out) == {"v/p.c": "ok"}
