# SPDX-License-Identifier: GPL-2.0-only
"""make build-matrix on the toy kernel: cells are built, judged, booted, and become records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.commands.matrix import build_matrix, c_files, said_by_guest
from harness.commands.report import merge, overall, read_runs, rows
from harness.core.errors import InvocationError
from harness.core.settings import Settings
from harness.run.session import RunKernel, RunResult
from tests.support.toy import WISH, Toy, grow

CONTRACT = "## S\n\n| clause | promise |\n| --- | --- |\n| V-KS-3 | builds |\n"
SERIES = """\
name: toy
title: Toy
contract: contract.md
guest_tests: toy
patches: [one]
holds_from: {"V-*": 1}
"""
MATRIX = """\
clause: V-KS-3
expectations:
  with: {config: {SWAP: y}, symbols: [grown]}
  without: {config: {SWAP: n}}
cells:
  swap: {about: with swap, fragments: [swap], expect: with}
  no-swap: {about: without swap, fragments: [noswap], expect: without}
  defconfig: {about: as the tree likes, defconfig: toy_defconfig, fragments: [], expect: with}
"""
NEW = ("one", {"mm/swap.c": grow})
WARNS = ("one", {"mm/swap.c": lambda t: grow(t) + "static int nobody(void) { return 1; }\n"})


@pytest.fixture
def project(toy: Toy) -> Path:
    folder = toy.root / "project"
    (folder / "matrix").mkdir(parents=True)
    (folder / "contract.md").write_text(CONTRACT)
    (folder / "series.yaml").write_text(SERIES)
    (folder / "matrix.yaml").write_text(MATRIX)
    (folder / "matrix" / "swap.config").write_text(WISH)
    (folder / "matrix" / "noswap.config").write_text("CONFIG_EXPERT=y\n# CONFIG_SWAP is not set\n")
    return folder


def never(settings: Settings) -> RunResult:
    raise AssertionError("no cell of this matrix boots")


def run(
    toy: Toy, project: Path, series: Path, test: RunKernel = never, **given: Any
) -> tuple[int, dict[str, Any]]:
    settings = toy.settings(project=project, series=str(series), out=toy.root / "out", **given)
    code = build_matrix(settings, test)
    document = json.loads((settings.out / "latest" / "results.json").read_text())
    return code, document


def statuses(document: dict[str, Any]) -> dict[str, str]:
    return {test["id"]: test["status"] for test in document["tests"]}


def test_every_cell_is_a_record_of_the_clause(toy: Toy, project: Path) -> None:
    code, document = run(toy, project, toy.series(NEW))
    assert statuses(document) == {
        "matrix::swap": "pass",
        "matrix::no-swap": "pass",
        "matrix::defconfig": "pass",
    }
    assert (code, document["clauses"]["V-KS-3"]["verdict"]) == (0, "pass")
    assert document["config"]["name"] == "matrix"
    merged = merge(read_runs(toy.root / "out"))
    assert overall(rows(merged)["V-KS-3"]) == "pass"


def test_one_cell_alone(toy: Toy, project: Path) -> None:
    _, document = run(toy, project, toy.series(NEW), cell="no-swap")
    assert statuses(document) == {"matrix::no-swap": "pass"}
    assert document["asked"]["CELL"] == "no-swap"
    with pytest.raises(InvocationError, match="no complete run"):
        merge(read_runs(toy.root / "out"))


def test_a_new_warning_breaks_its_cells_and_the_others_go_on(toy: Toy, project: Path) -> None:
    code, document = run(toy, project, toy.series(WARNS))
    assert code == 1
    assert set(statuses(document).values()) == {"fail"}
    assert len(document["tests"]) == 3
    assert "compiler warnings that the base does not have" in document["tests"][0]["reason"]
    assert document["clauses"]["V-KS-3"]["verdict"] == "fail"


def test_what_does_not_come_out_as_expected_breaks_the_cell(toy: Toy, project: Path) -> None:
    code, document = run(toy, project, toy.series(("one", {"mm/madvise.c": lambda t: t + "\n"})))
    assert code == 1
    assert statuses(document)["matrix::swap"] == "fail"
    assert document["tests"][0]["reason"] == "System.map lacks grown"
    assert statuses(document)["matrix::no-swap"] == "pass"


def test_a_defconfig_that_the_tree_lacks_is_the_invocations_fault(toy: Toy, project: Path) -> None:
    table = project / "matrix.yaml"
    table.write_text(table.read_text().replace("toy_defconfig", "other_defconfig"))
    code, document = run(toy, project, toy.series(NEW), cell="defconfig")
    assert code == 2
    assert "other_defconfig" in "\n".join(document["error"])


def test_no_such_cell(toy: Toy, project: Path) -> None:
    with pytest.raises(InvocationError, match="CELL=nowhere"):
        run(toy, project, toy.series(NEW), cell="nowhere")


# --- cells that boot -----------------------------------------------------------------


def guest(**more: Any) -> Any:
    return {"error": [], "tests": [{"id": "a.c::b", "status": "pass", "reason": ""}], "splats": [],
            "run": "r", **more}  # fmt: skip


def test_a_guest_counts_only_if_all_that_was_asked_for_passed() -> None:
    assert said_by_guest(guest()) == []
    assert said_by_guest(guest(tests=[])) == ["guest: no case ran"]
    assert said_by_guest(guest(error=["it did not boot"])) == ["guest: it did not boot"]
    skipped = [{"id": "a.c::b", "status": "skip", "reason": "no swap"}]
    assert said_by_guest(guest(tests=skipped)) == ["guest: a.c::b: skip: no swap"]
    assert len(said_by_guest(guest(splats=[{"title": "BUG: bad page"}]))) == 1


@pytest.mark.parametrize(("code", "ends"), [(0, "pass"), (1, "fail")])
def test_a_cell_is_booted_with_its_flavour_and_cases(
    toy: Toy, project: Path, monkeypatch: pytest.MonkeyPatch, code: int, ends: str
) -> None:
    flavour = toy.flavour(WISH)
    monkeypatch.setattr("harness.commands.matrix.load_flavour", lambda name: flavour)
    table = project / "matrix.yaml"
    row = "  booted: {about: b, flavour: toy, tests: kinds, expect: with}\n"
    table.write_text(table.read_text() + row)
    asked: list[tuple[str, str]] = []

    def boot(settings: Settings) -> RunResult:
        asked.append((settings.config, settings.tests or ""))
        status = "pass" if code == 0 else "fail"
        tests = [{"id": "kinds.c::a", "status": status, "reason": "lost"}]
        return RunResult(code, settings.out, guest(tests=tests))

    _, document = run(toy, project, toy.series(NEW), boot, cell="booted")
    assert asked == [("toy", "kinds")]
    assert statuses(document) == {"matrix::booted": ends}


def test_a_part_of_the_series_is_built_and_neither_booted_nor_judged(
    toy: Toy, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flavour = toy.flavour(WISH)
    monkeypatch.setattr("harness.commands.matrix.load_flavour", lambda name: flavour)
    row = "  booted: {about: b, flavour: toy, tests: kinds, expect: with}\n"
    (project / "matrix.yaml").write_text(MATRIX + row)
    series = toy.series(("first", {"mm/madvise.c": lambda t: t + "\n"}), NEW)
    _, document = run(toy, project, series, cell="booted", patches=1)
    assert statuses(document) == {"matrix::booted": "pass"}
    _, document = run(
        toy, project, toy.series(WARNS, ("two", {"mm/madvise.c": grow})), cell="swap", patches=1
    )
    assert statuses(document) == {"matrix::swap": "fail"}


def test_the_kernel_that_a_guest_ran_on_is_not_built_a_second_time(
    toy: Toy, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flavour = toy.flavour(WISH)
    monkeypatch.setattr("harness.commands.matrix.load_flavour", lambda name: flavour)
    row = "  booted: {about: b, flavour: toy, tests: kinds, expect: with}\n"
    (project / "matrix.yaml").write_text(MATRIX + row)
    series = toy.series(NEW)

    def boot(settings: Settings) -> RunResult:
        toy.build(series)
        return RunResult(0, settings.out, guest())

    _, document = run(toy, project, series, boot, cell="booted")
    assert {stage["name"]: stage["cached"] for stage in document["stages"]}["booted"]


def test_a_machine_that_cannot_boot_ends_the_command(
    toy: Toy, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flavour = toy.flavour(WISH)
    monkeypatch.setattr("harness.commands.matrix.load_flavour", lambda name: flavour)
    (project / "matrix.yaml").write_text(
        MATRIX + "  booted: {about: b, flavour: toy, tests: kinds, expect: with}\n"
    )

    def boot(settings: Settings) -> RunResult:
        return RunResult(3, settings.out, guest())

    settings = toy.settings(project=project, series=str(toy.series(NEW)), out=toy.root / "out")
    assert build_matrix(settings, boot) == 3


def test_c_files_are_the_kernels_own(toy: Toy) -> None:
    series = toy.series(
        ("one", {"mm/swap.c": grow, "tools/testing/a.c": "int a;\n", "mm/volatile.c": "int v;\n",
                 "mm/madvise.c": None, "include/linux/mm.h": lambda t: t + "\n"}),
    )  # fmt: skip
    assert c_files(toy.apply(series)[1]) == ["mm/swap.c", "mm/volatile.c"]
    assert c_files(toy.apply(None)[1]) == []
