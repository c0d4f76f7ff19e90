# SPDX-License-Identifier: GPL-2.0-only
"""One boot: each case in each condition, and what is no measurement is refused."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.commands.cost import command, measure
from harness.commands.cost.bars import Condition
from harness.commands.cost.judge import ALONE, FigureKey, Unit
from harness.commands.cost.measure import MeasuredKernel, Sample
from harness.core import events as ev
from harness.core.errors import HarnessError, InvocationError, SeriesError
from harness.image.programs import Case, Program
from harness.vm.guest import CaseRun
from harness.vm.machine import GuestSpec
from tests.commands.cost.test_judge import TABLE
from tests.support.recorder import Recorder

IN_USE, NOT_THERE = "the feature is in use", "the feature is not there"
USED = Condition("used", {"IN_USE": "1"}, base_says=NOT_THERE, series_says=IN_USE)
TOLD = replace(TABLE, conditions=(Condition("unused"), USED))
SPEC = GuestSpec(Path("/k"), "microvm", "tcg", Path("/r"), "key")


def case(program: str, name: str) -> Case:
    source = Path(f"/tests/toy/{program}.c")
    made = Program(source, f"toy/{program}.c", (f"/tests/toy/{program}",))
    return Case(ev.CaseId("guest", made.name, name), made, ("V-KS-2",), 1.0, "")


CASES = (case("paths", "fault"), case("marking", "mark"))


@dataclass
class CountingGuest:
    """Says in each condition what ``says`` has for it, and counts 7 of everything."""

    says: dict[str, str]
    status: int = 0
    counts: bool = True
    swap_image: Path = Path("/s")
    pace: float = 1.0
    spec: GuestSpec = SPEC
    trustworthy: bool = True

    def run_case(
        self, case_id: str, argv: tuple[str, ...], timeout: float, env: dict[str, str], **_: object
    ) -> CaseRun:
        name = argv[-1]
        lines = ["KTAP version 1", "1..1"]
        if self.counts:
            lines.append(f"# @cost {name}: 1 in 7")
        if said := self.says.get("used" if env else "unused"):
            lines.append(f"# {said}")
        lines.append(f"{'not ' if self.status else ''}ok 1 {name}")
        return CaseRun(self.status, "\n".join(lines))


@pytest.fixture
def kernel(tmp_path: Path, events: ev.Events, monkeypatch: pytest.MonkeyPatch) -> Any:
    def made(name: str, guest: CountingGuest) -> MeasuredKernel:
        @contextlib.contextmanager
        def guests(spec: GuestSpec, *_: object) -> Iterator[Any]:
            assert spec.cpus == 1 and spec.memory_mb == TABLE.memory_mb
            assert spec.accel == ("tcg" if spec.counted else "kvm")
            yield SimpleNamespace(fresh=lambda: guest, report_strays=lambda: None)

        monkeypatch.setattr(measure, "Guests", guests)
        monkeypatch.setattr(measure, "complaints_of", lambda _: lambda splat: splat)
        monkeypatch.setattr(measure, "kvm_verdict", lambda _: None)
        promises = SimpleNamespace(applicable=lambda *_: True)
        session = SimpleNamespace(out=tmp_path, events=events, data=promises)
        prepared = SimpleNamespace(base=SimpleNamespace(version="6.1.0"))
        equipment = SimpleNamespace(prepared=prepared, spec=SPEC)
        return MeasuredKernel(name, cast(Any, session), cast(Any, equipment), TOLD, 4)

    return made


def test_the_series_runs_what_the_base_cannot_run_as_well(kernel: Any, recorder: Recorder) -> None:
    on_base = kernel("base", CountingGuest({"used": NOT_THERE})).boot(1, "instructions", CASES)
    on_series = kernel("series", CountingGuest({"used": IN_USE})).boot(1, "instructions", CASES)
    compared = [FigureKey("instructions", where, "fault") for where in ("unused", "used")]
    assert on_base == dict.fromkeys(compared, 7.0)
    assert on_series == on_base | {FigureKey("instructions", ALONE, "mark"): 7.0}
    assert recorder.of(ev.CaseFinished) == []  # a boot's cases are no records of the run


@pytest.mark.parametrize(
    ("name", "guest", "kind", "what"),
    [
        ("base", CountingGuest({"used": IN_USE}), InvocationError, "used: it does not say"),
        ("series", CountingGuest({"used": NOT_THERE}), SeriesError, "used: it says"),
        ("series", CountingGuest({}), SeriesError, "used: it does not say 'the feature is in"),
        ("series", CountingGuest({"used": IN_USE}, counts=False), SeriesError, "counted nothing"),
        ("series", CountingGuest({"used": IN_USE}, status=1), SeriesError, "unused: fail"),
        ("base", CountingGuest({"used": NOT_THERE}, status=1), InvocationError, "unused: fail"),
    ],
)
def test_what_is_no_measurement_is_refused(
    kernel: Any, name: str, guest: CountingGuest, kind: type[HarnessError], what: str
) -> None:
    with pytest.raises(kind, match=what):
        kernel(name, guest).boot(1, "instructions", CASES)


def test_no_time_is_taken_of_a_guest_that_kvm_does_not_run(kernel: Any) -> None:
    under_kvm = replace(SPEC, accel="kvm")
    guest = CountingGuest({"used": NOT_THERE})
    assert kernel("base", guest).boot(1, "time", CASES) == {}
    assert kernel("base", replace(guest, spec=under_kvm)).boot(1, "time", CASES)


def test_boots_alternate_and_each_pair_comes_in_the_other_order(events: ev.Events) -> None:
    order: list[str] = []

    @dataclass
    class Kernel:
        name: str
        session: Any

        def boot(self, number: int, unit: Unit, cases: object) -> Sample:
            order.append(f"{self.name} {number}")
            return {FigureKey(unit, "unused", "fault"): float(number)}

    session = SimpleNamespace(events=events, settings=SimpleNamespace(jobs=2))
    kernels = cast(Any, (Kernel("base", session), Kernel("series", session)))
    base, series = command._boot_in_turn(kernels, "time", 3, ())
    assert order == ["base 1", "series 1", "series 2", "base 2", "base 3", "series 3"]
    assert base == series == {FigureKey("time", "unused", "fault"): [1.0, 2.0, 3.0]}
