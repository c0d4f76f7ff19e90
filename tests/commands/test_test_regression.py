# SPDX-License-Identifier: GPL-2.0-only
"""Two kernels are compared test by test, and only what differs on both counts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.cases.runner import CaseRunner
from harness.commands import test_regression as command
from harness.commands.test_regression import compare, test_regression
from harness.core import events as ev
from harness.core.errors import InvocationError, MachineError
from harness.core.settings import from_environment
from harness.image.programs import Case
from harness.run import two_kernels
from harness.run.assemble_guest import Equipment
from harness.run.session import Session
from harness.run.two_kernels import Observed, Reports
from harness.vm.guest import CaseRun, Guest
from harness.vm.splats import Splat
from harness.workloads.judge import WHOLE, Seen
from harness.workloads.regression_selftests import (
    FILE,
    RegressionRow,
    Selftest,
    SelftestList,
    case_of,
)
from tests.cases.test_runner import FakeGuest
from tests.support.recorder import Recorder

LISTED = SelftestList(
    source=Path("/x/regression.yaml"),
    clause="V-KS-2",
    floor=2,
    tests=(Selftest("a", ("a",)), Selftest("b", ("b",)), Selftest("c", ("c",), flaps="it races")),
    row=RegressionRow("vm", 512, ()),
)
test_regression.__test__ = False  # type: ignore[attr-defined]  # a command, no test of ours


@dataclass
class FakeKernel:
    """Says of each run of a test what ``script`` says: one status each, the last one for ever."""

    script: dict[str, list[str]]
    asked: list[list[str]] = field(default_factory=list)

    def observe(self, cases: Sequence[Case], expression: str, again: bool = False) -> Observed:
        self.asked.append(
            [f"{c.name}#{c.id.attempt}" if c.id.attempt > 1 else c.name for c in cases]
        )
        found: Observed = {}
        for case in cases:
            if expression not in case.name:
                continue
            left = self.script.get(case.name, ["pass"])
            status = left.pop(0) if len(left) > 1 else left[0]
            found.setdefault(case.name, []).append(Seen({WHOLE: status}, "why"))
        return found


def outcome(
    events: ev.Events, base: FakeKernel, series: FakeKernel, expression: str = ""
) -> dict[str, ev.CaseFinished]:
    records = compare(LISTED, expression, base.observe, series.observe, events)
    return {record.id.name: record for record in records}


def test_no_difference_is_a_pass_for_every_test(events: ev.Events, recorder: Recorder) -> None:
    base, series = FakeKernel({}), FakeKernel({})
    found = outcome(events, base, series)
    assert [record.status for record in found.values()] == ["pass"] * 3
    assert all(record.clauses == ("V-KS-2",) for record in found.values())
    assert base.asked == series.asked and len(base.asked) == 1
    note = recorder.of(ev.Note)[-1]
    assert isinstance(note, ev.Note) and note.text.startswith("3 of 3 selftests compared")


def test_what_is_known_to_flap_is_repeated_at_once(events: ev.Events) -> None:
    base, series = FakeKernel({}), FakeKernel({})
    outcome(events, base, series)
    assert base.asked[0] == ["a", "b", "c", *(f"c#{n}" for n in range(2, 12))]


def test_what_differs_is_repeated_on_both(events: ev.Events) -> None:
    base, series = FakeKernel({}), FakeKernel({"b": ["fail"]})
    found = outcome(events, base, series)
    assert base.asked[1] == series.asked[1] == [f"b#{n}" for n in range(2, 12)]
    assert found["b"].status == "fail" and found["a"].status == "pass"
    assert "pass 10 of 10 without the series, 0 of 10 with it" in found["b"].reason


def test_a_single_slip_is_no_difference(events: ev.Events) -> None:
    found = outcome(events, FakeKernel({}), FakeKernel({"b": ["fail", "pass"]}))
    assert found["b"].status == "pass" and "no evidence of a difference" in found["b"].reason


def test_only_what_is_selected_is_compared(events: ev.Events) -> None:
    assert list(outcome(events, FakeKernel({}), FakeKernel({}), "b")) == ["b"]


def test_tests_that_fail_everywhere_show_nothing(events: ev.Events) -> None:
    broken = {"a": ["skip"], "b": ["fail"]}
    with pytest.raises(MachineError, match=r"(?s)only 1 selftests pass .*a: skip: why\nb: fail"):
        outcome(events, FakeKernel(dict(broken)), FakeKernel(dict(broken)))


def test_one_of_them_is_skipped_with_its_reason(events: ev.Events) -> None:
    found = outcome(events, FakeKernel({"a": ["skip"]}), FakeKernel({"a": ["skip"]}))
    assert (found["a"].status, found["a"].reason) == ("skip", "on the bare base too: skip: why")


def splat(title: str) -> Splat:
    return Splat(title, "warning", "text", 1, 0, 1)


def seen(title: str) -> ev.SplatSeen:
    return ev.SplatSeen(title, "warning", ev.CaseId.parse("a"), "text")


def test_a_complaint_counts_where_the_base_does_not_say_it(
    events: ev.Events, recorder: Recorder
) -> None:
    reports = Reports(events)
    assert reports.of_base(splat("WARNING in old")).foreign
    sort_out = reports.of_series(lambda s: s)
    assert sort_out(splat("WARNING in old")).foreign
    assert not sort_out(splat("WARNING in new")).foreign
    reports.waiting += [seen("WARNING in old"), seen("WARNING in new"), seen("WARNING in late")]
    reports.of_base(splat("WARNING in late"))  # the base says it when it is run again
    reports.emit()
    counted = [s.title for s in recorder.of(ev.SplatSeen) if not s.foreign]
    assert counted == ["WARNING in new"]


def test_the_base_is_not_compared_with_itself() -> None:
    with pytest.raises(InvocationError, match="which is PATCHES=0"):
        test_regression(replace(from_environment({}), patches=0))


@pytest.mark.parametrize("runs", [3, 40])
def test_runs_of_a_test_reach_the_comparison_and_not_the_results(
    events: ev.Events,
    recorder: Recorder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    runs: int,
) -> None:
    """With few cases there is one runner and no thread, with many there are two."""

    class FakeGuests:
        def report_strays(self) -> None:
            pass

    @contextlib.contextmanager
    def booted(*_: object) -> Iterator[FakeGuests]:
        yield FakeGuests()

    def case_runners(session: Session, *_: object) -> list[CaseRunner]:
        def fresh() -> Guest:
            script: list[CaseRun | Exception] = [_said_ok() for _ in range(runs)]
            return cast(Guest, FakeGuest(script))

        return [CaseRunner(session.data, 0, "6.1.1", fresh) for _ in range(2)]

    monkeypatch.setattr(two_kernels, "booted", booted)
    monkeypatch.setattr(two_kernels, "case_runners", case_runners)
    (tmp_path / FILE).write_text("")
    session = cast(
        Session,
        SimpleNamespace(events=events, out=tmp_path / "out", data=SimpleNamespace(folder=tmp_path)),
    )
    monkeypatch.setattr(two_kernels, "replace", _replace)
    kernel = two_kernels.ComparedKernel(
        session, cast(Equipment, None), lambda s: s, Reports(events), "base", LISTED.tests
    )
    cases = [case_of(LISTED.tests[0], tmp_path / FILE, n) for n in range(1, runs + 1)]
    found = kernel.observe(cases, "")
    assert [seen.status for seen in found["a"]] == ["pass"] * runs
    assert not recorder.of(ev.CaseFinished) and not recorder.of(ev.CaseStarted)
    progress = [e.done for e in recorder.of(ev.StageProgress)]
    assert progress == list(range(1, runs + 1))


def _said_ok() -> CaseRun:
    return CaseRun(0, "KTAP version 1\n1..1\nok 1 a\n", "", 0.1, False, "", None, ())


def _replace(thing: Any, **changes: Any) -> Any:
    """``dataclasses.replace``, for the stand-in of a session as well."""
    if isinstance(thing, SimpleNamespace):
        return SimpleNamespace(**{**vars(thing), **changes})
    return replace(thing, **changes)


def test_what_the_kernels_said_is_not_lost_with_an_interrupt(
    events: ev.Events, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def equip(session: Session, reports: Reports) -> tuple[Any, Any, Any]:
        reports.waiting.append(seen("WARNING in new"))
        config = SimpleNamespace(path=Path("config"))
        kernel = SimpleNamespace(kernel=SimpleNamespace(config=config))
        equipment = SimpleNamespace(prepared=kernel)
        base = SimpleNamespace(equipment=equipment, observe=None)
        return LISTED, base, SimpleNamespace(observe=None)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_equip", equip)
    monkeypatch.setattr(command, "read_values", lambda _: {})
    monkeypatch.setattr(command, "compare", interrupted)
    session = SimpleNamespace(
        events=events, data=SimpleNamespace(folder=Path("x")), settings=from_environment({})
    )
    with pytest.raises(KeyboardInterrupt):
        command._regression(cast(Session, session))
    assert recorder.of(ev.SplatSeen) == [seen("WARNING in new")]
