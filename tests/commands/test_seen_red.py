# SPDX-License-Identifier: GPL-2.0-only
"""A clause is seen red where a case of it fails on a kernel that breaks it, and only there."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.commands import seen_red as command
from harness.commands.seen_red import reds_of, seen_red
from harness.core.errors import InvocationError
from harness.core.settings import Settings, from_environment
from harness.run.session import RunKernel, RunResult
from harness.series.contract import Clause, SeriesData, Variant, Variants, load_table, with_variant
from harness.series.patches import Series
from tests.support.toy import Toy, grow

TWO = Variant(("A-1", "A-2"))
ONE = Variant(("A-1",), "A-1")


def case(name: str, status: str, *clauses: str, reason: str = "no") -> dict[str, Any]:
    return {"id": name, "status": status, "reason": reason, "clauses": list(clauses)}


def document(*tests: dict[str, Any], code: int = 0) -> Any:
    return {"tests": list(tests), "run": "r", "exit_code": code, "error": [], "seconds": 30.0}


GOOD = document(case("p::a", "pass", "A-1"), case("p::b", "pass", "A-2", "A-3"))
PASSING = {"p::a", "p::b"}


def test_a_red_needs_the_clause_the_variant_and_a_green_control() -> None:
    broken = document(
        case("p::a", "fail", "A-1"),
        case("p::b", "fail", "A-2", "A-3"),
        case("p::new", "fail", "A-1"),
    )
    found = [(red.clause, red.case) for red in reds_of("two", TWO, broken, PASSING)]
    assert found == [("A-1", "p::a"), ("A-2", "p::b")]


def test_a_failed_control_page_shows_nothing() -> None:
    broken = document(case("p::a", "fail", "A-1", reason="inconclusive: nothing was purged"))
    assert reds_of("one", ONE, broken, PASSING) == []


def test_host_checks_are_no_guest_tests() -> None:
    told = document(case("host::x", "pass", "A-1"), case("kernel::kasan", "pass", "A-2"))
    outcome = command.SeenRed("6.1")
    outcome.judge(told, {"A-1", "A-2"})
    assert (outcome.cases, outcome.never) == (0, [])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    for name in ("one", "two"):
        (tmp_path / "variants").mkdir(exist_ok=True)
        (tmp_path / "variants" / f"{name}.patch").write_text("")
    (tmp_path / "out").mkdir()
    return from_environment({"HARNESS_CACHE": str(tmp_path / "c"), "OUT": str(tmp_path / "out")})


def runner(documents: dict[str, Any]) -> RunKernel:
    def run(settings: Settings) -> RunResult:
        told = documents[settings.variant or ""]
        return RunResult(told["exit_code"], settings.out, told)

    return run


def call(
    settings: Settings, documents: dict[str, dict[str, Any]], table: Variants
) -> tuple[int, str]:
    console = Console(width=200, record=True)
    clauses = {name: Clause(name, "", "", 0) for name in ("A-1", "A-2", "A-3")}
    data = SeriesData("toy", "Toy", settings.out.parent, "toy", (), clauses)
    code = seen_red(settings, runner(documents), table, "6.1", console, data)
    return code, console.export_text()


RED_ONE = document(case("p::a", "fail", "A-1"), code=1)
RED_TWO = document(case("p::a", "pass", "A-1"), case("p::b", "fail", "A-2", "A-3"), code=1)


def test_a_clause_that_was_never_red_fails(settings: Settings) -> None:
    only_two = Variant(("A-2",))
    documents = {"": GOOD, "one": RED_ONE, "two": RED_TWO}
    code, said = call(settings, documents, Variants({"one": ONE, "two": only_two}))
    assert code == 1
    assert "A-3" in said and "NEVER SEEN RED" in said
    code, said = call(
        settings, documents, Variants({"one": ONE, "two": only_two}, {"A-3": "no user space can"})
    )
    assert code == 0
    told = json.loads((settings.out / "seen-red-6.1.json").read_text())
    assert [(r["clause"], r["variant"], r["case"]) for r in told["reds"]] == [
        ("A-1", "one", "p::a"),
        ("A-2", "two", "p::b"),
    ]
    assert told["seconds"] == {"control": 30.0, "one": 30.0, "two": 30.0}
    assert "control and 2 variants: 1.5 minutes" in said


def test_cases_that_nothing_made_fail_are_counted(settings: Settings) -> None:
    good = document(case("p::a", "pass", "A-1"), case("p::c", "pass", "A-1"))
    code, said = call(settings, {"": good, "one": RED_ONE}, Variants({"one": ONE}))
    assert code == 0
    assert "1 of 2 guest cases failed on a kernel that must break them" in said
    assert json.loads((settings.out / "seen-red-6.1.json").read_text())["green"] == ["p::c"]


def test_the_report_has_one_row_a_clause_and_a_broken_kernel() -> None:
    reds = [
        command.Red("A-10", "one", "p::a", "no", "r"),
        command.Red("A-9", "one", "p::a", "no", "r"),
        command.Red("A-9", "one", "p::b", "no", "r"),
        command.Red("A-9", "two", "p::b", "no", "r"),
    ]
    shown = command.SeenRed("6.1", reds=reds, never=["A-11"]).report()
    cells = [list(column.cells) for column in shown.columns]
    assert cells[0] == ["A-9", "A-9", "A-10"]
    assert cells[2] == ["p::a +1", "p::b", "p::a"]


def test_a_variant_that_breaks_less_than_it_says_fails(settings: Settings) -> None:
    code, said = call(settings, {"": GOOD, "two": RED_TWO}, Variants({"two": TWO}, {"A-3": "x"}))
    assert code == 1
    assert "MISSED A-1 stayed green on two: 1 fail, 1 pass" in said


def test_one_variant_alone_is_judged_by_its_own_clauses(settings: Settings) -> None:
    chosen = replace(settings, variant="one")
    code, said = call(chosen, {"": GOOD, "one": RED_ONE}, Variants({"one": ONE, "two": TWO}))
    assert code == 0
    assert "variant two" not in said
    both = replace(settings, variant="two,one")
    assert (
        call(both, {"": GOOD, "one": RED_ONE, "two": RED_TWO}, Variants({"one": ONE, "two": TWO}))[
            0
        ]
        == 1
    )


def test_a_variant_that_is_not_in_the_table_is_named(settings: Settings) -> None:
    with pytest.raises(InvocationError, match=r"four is not in variants.yaml"):
        call(replace(settings, variant="one,four"), {}, Variants({"one": ONE, "two": TWO}))


def test_whose_fault_it_is_goes_through(settings: Settings) -> None:
    assert call(settings, {"": document(code=3)}, Variants({"one": ONE}))[0] == 3
    assert call(settings, {"": GOOD, "one": document(code=70)}, Variants({"one": ONE}))[0] == 70


def test_what_befalls_the_machine_costs_one_variant(settings: Settings) -> None:
    only_two = Variant(("A-2",))
    lost = {**document(code=3), "error": ["machine error: the disk is full"]}
    documents = {"": GOOD, "one": lost, "two": RED_TWO}
    code, said = call(settings, documents, Variants({"one": ONE, "two": only_two}, {"A-3": "x"}))
    assert code == 3
    assert "LOST one: machine error: the disk is full" in said
    assert "next: make seen-red VARIANT=one" in said
    assert "A-2" in said


def test_what_was_seen_before_an_interrupt_is_told(settings: Settings) -> None:
    both = Variants({"one": ONE, "two": TWO})
    code, said = call(settings, {"": GOOD, "one": RED_ONE, "two": document(code=130)}, both)
    assert code == 130
    assert "A-1 seen red" in said and "1 of 2" not in said
    assert "control and 1 variants" in said
    assert not (settings.out / "seen-red-6.1.json").exists()


def test_a_variant_goes_on_top_of_the_series(toy: Toy) -> None:
    whole = toy.series(("good", {"mm/swap.c": grow}), ("mistake", {"mm/madvise.c": grow}))
    patches = sorted(whole.glob("*.patch"))
    place = toy.root / "patches" / "variants" / "6.1"
    place.mkdir(parents=True)
    (place / "mistake.patch").write_bytes(patches[1].read_bytes())
    patches[1].unlink()
    base, _ = toy.apply(whole)
    from harness.series.patches import load_series

    series = load_series(toy.settings(series=str(whole)), base)
    made = with_variant(series, "mistake", toy.root / "patches", "6.1")
    assert [patch.subject for patch in made.patches] == ["good", "mistake"]
    with pytest.raises(InvocationError, match=r"no variant of that name for Linux 6\.12"):
        with_variant(Series("x", ()), "mistake", toy.root / "patches", "6.12")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("variants: {x: {clauses: [V-XX-1]}}", "has no V-XX-1"),
        ("variants: {x: {clauses: []}}", "names no clause"),
        ("variants: {x: {clauses: [V-IF-1]}}", "no patch for x on Linux 6.1"),
    ],
)
def test_a_table_that_cannot_be_is_the_users_mistake(
    data: SeriesData, tmp_path: Path, text: str, complaint: str
) -> None:
    (tmp_path / "variants.yaml").write_text(text)
    (tmp_path / "6.1").mkdir()
    (tmp_path / "6.1" / "0001-x.patch").write_text("")
    with pytest.raises(InvocationError, match=complaint):
        load_table(replace(data, folder=tmp_path))


def test_a_variant_may_belong_to_some_lines_only(data: SeriesData, tmp_path: Path) -> None:
    for line in ("6.1", "6.12"):
        (tmp_path / line).mkdir()
        (tmp_path / line / "0001-x.patch").write_text("")
    patch = tmp_path / "variants" / "6.12" / "x.patch"
    patch.parent.mkdir(parents=True)
    patch.write_text("")
    table = tmp_path / "variants.yaml"
    table.write_text("variants: {x: {clauses: [V-IF-1]}}")
    with pytest.raises(InvocationError, match=r"no patch for x on Linux 6\.1$"):
        load_table(replace(data, folder=tmp_path))
    table.write_text("variants: {x: {clauses: [V-IF-1], lines: ['6.12']}}")
    assert load_table(replace(data, folder=tmp_path)).variants["x"].lines == ("6.12",)


def test_the_project_has_a_table_that_holds(data: SeriesData) -> None:
    assert load_table(data).variants
