# SPDX-License-Identifier: GPL-2.0-only
"""The table of canaries, and the words in which they are judged."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from harness.core.events import CanaryFinished, Events
from harness.detectors.canaries import (
    PROGRAMS,
    Canary,
    describe,
    judge,
    load_canaries,
    run_canaries,
)
from harness.vm.guest import CaseRun
from harness.vm.splats import Splat
from tests.support.recorder import Recorder

CANARIES = load_canaries()
PASSING = "KTAP version 1\n1..1\nok 1 canary\n"


def run(**changes: Any) -> CaseRun:
    fields: dict[str, Any] = {
        "exit_code": 0,
        "stdout": PASSING,
        "stderr": "",
        "seconds": 1.0,
        "timed_out": False,
        "lost": "",
        "evidence": None,
        "splats": (),
    }
    return CaseRun(**fields | changes)


def splat(category: str, title: str, *, expected: bool = False) -> Splat:
    return Splat(title, category, "text", 1, 0, 1, False, expected)


@pytest.mark.parametrize(
    "fault",
    [
        "WARN",
        "oops",
        "guest hangs",
        "soft lockup",
        "RCU stall",
        "panic",
        "wrong test exit",
        "SSH connection lost",
        "out-of-memory kill",
    ],
)
def test_every_fault_that_was_promised_has_a_canary(fault: str) -> None:
    assert fault in {canary.name for canary in CANARIES}


@pytest.mark.parametrize("canary", CANARIES, ids=lambda c: c.name)
def test_each_row_has_a_program_and_a_pattern_that_no_pass_satisfies(canary: Canary) -> None:
    source = (PROGRAMS / f"{canary.program}.py").read_text()
    assert ast.get_docstring(ast.parse(source))
    assert canary.seconds <= 20
    assert re.compile(canary.expect).fullmatch("pass") is None


def test_names_are_unique() -> None:
    assert len({canary.name for canary in CANARIES}) == len(CANARIES)


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (run(), "pass"),
        (run(splats=(splat("warning", "WARNING in f"),)), "splat warning: WARNING in f"),
        (run(splats=(splat("oom", "x", expected=True),)), "pass"),
        (run(lost="the guest died"), "lost: the guest died"),
        (run(timed_out=True, exit_code=None), "timeout"),
        (
            run(timed_out=True, splats=(splat("hung_task", "INFO: task hung in f"),)),
            "splat hung_task: INFO: task hung in f",
        ),
        (run(exit_code=3), "error: said 'ok' and exited 3"),
        (
            run(exit_code=139, stdout="KTAP version 1\n1..1\n"),
            "error: died by signal 11: ended before its result line",
        ),
        (
            run(
                splats=(splat("panic", "kernel panic: x"),), lost="the guest died (kernel panic: x)"
            ),
            "splat panic: kernel panic: x; lost: the guest died (kernel panic: x)",
        ),
    ],
)
def test_what_was_seen_in_words(seen: CaseRun, words: str) -> None:
    assert describe(seen) == words


def test_a_canary_that_is_not_seen_is_not_ok() -> None:
    (warn,) = [canary for canary in CANARIES if canary.name == "WARN"]
    assert not judge(warn, "pass", 1.0).ok
    assert judge(warn, "splat warning: WARNING in lkdtm_WARNING", 1.0).ok
    assert not judge(warn, "splat warning: WARNING in lkdtm_WARNING; timeout", 1.0).ok


class ScriptedGuest:
    """A guest whose cases end as they are told."""

    def __init__(self, ending: CaseRun) -> None:
        self.ending, self.closed, self.cases = ending, False, 0
        self.installed = b""
        self.pace = 1.0

    def exec(self, command: str, timeout: float, stdin: bytes) -> Any:
        self.installed = stdin
        return type("Done", (), {"exit_code": 0, "stderr": ""})

    def run_case(self, *args: object, **named: object) -> CaseRun:
        self.cases += 1
        return self.ending

    def close(self) -> None:
        self.closed = True


def test_each_canary_has_a_guest_of_its_own(events: Events, recorder: Recorder) -> None:
    made: list[ScriptedGuest] = []

    def fresh() -> Any:
        made.append(ScriptedGuest(run(splats=(splat("warning", "WARNING in lkdtm_WARNING"),))))
        return made[-1]

    canaries = (
        Canary("one", "lkdtm", 5.0, "splat warning: WARNING in lkdtm_WARNING", ("WARNING",)),
        Canary("two", "lkdtm", 5.0, "splat panic: .*", ("PANIC",), repeat=2),
    )
    results = run_canaries(fresh, events, {}, canaries)
    assert [result.ok for result in results] == [True, False]
    assert [guest.cases for guest in made] == [1, 2]
    assert all(guest.closed for guest in made)
    told = [event for event in recorder.of(CanaryFinished) if isinstance(event, CanaryFinished)]
    assert [(event.name, event.ok) for event in told] == [("one", True), ("two", False)]
    assert b"END-OF-PROGRAM" in made[0].installed


def test_a_detector_that_the_kernel_does_not_have_is_not_tried(events: Events) -> None:
    wants = Canary("kasan", "lkdtm", 5.0, "splat kasan: .*", ("X",), needs="KASAN")

    def fresh() -> Any:
        return ScriptedGuest(run(splats=(splat("kasan", "KASAN: x"),)))

    assert run_canaries(fresh, events, {"KASAN": "n"}, (wants,)) == ()
    assert [r.ok for r in run_canaries(fresh, events, {"KASAN": "y"}, (wants,))] == [True]


def test_a_canary_that_leaks_is_judged_with_its_leaks(
    events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    leak = splat("kmemleak", "kmemleak: memory leaked by x")
    monkeypatch.setattr("harness.detectors.canaries.leaks_of", lambda guest: (leak,))
    leaks = Canary("leak", "leak", 5.0, ".*; splat kmemleak: .* leaked by x", (), leaks=True)

    def fresh() -> Any:
        return ScriptedGuest(run(splats=(splat("bug", "BUG: x"),)))

    assert [r.ok for r in run_canaries(fresh, events, {}, (leaks,))] == [True]


def test_a_guest_is_closed_although_its_canary_raises(events: Events) -> None:
    guest = ScriptedGuest(run())

    def fail(*args: object, **named: object) -> CaseRun:
        raise RuntimeError("boom")

    guest.run_case = fail  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        run_canaries(lambda: guest, events, {}, CANARIES[:1])  # type: ignore[arg-type,return-value]
    assert guest.closed


def test_programs_install_as_they_are() -> None:
    programs = list(PROGRAMS.glob("*.py"))
    assert programs
    for path in programs:
        assert "END-OF-PROGRAM" not in path.read_text()
        assert Path(path).read_text().startswith("# SPDX-License-Identifier: GPL-2.0-only")
