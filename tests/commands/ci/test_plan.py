# SPDX-License-Identifier: GPL-2.0-only
"""A plan is data; its cells, run in any order and merged, say what one go says."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from harness.commands.ci.merge import merge
from harness.commands.ci.plan import (
    PlanCell,
    cells,
    kernel_name,
    listed,
    parse,
    plan,
    run_cell,
    settings_of,
)
from harness.commands.revision.command import revision
from harness.core import events as ev
from harness.core.errors import InvocationError, MachineError
from harness.core.settings import PROJECT, WHOLE, Settings, Shard
from harness.report.results import Results, document
from harness.run.session import RunKernel, RunResult
from harness.series import contract
from tests.support.toy import Toy, grow

QUIET = Console(quiet=True)
CASES = tuple(f"volatile/p{n % 3}.c::case_{n}" for n in range(23))
IDS = st.lists(st.text(min_size=1), unique=True)
SHARDS = st.integers(min_value=1, max_value=9)


@given(IDS, SHARDS)
def test_each_case_is_in_exactly_one_shard(ids: list[str], of: int) -> None:
    shards = [Shard(number, of) for number in range(1, of + 1)]
    assert all(sum(shard.holds(case) for shard in shards) == 1 for case in ids)


@given(IDS, SHARDS, st.text(min_size=1))
def test_a_case_that_is_added_moves_no_other(ids: list[str], of: int, new: str) -> None:
    before = [case for case in ids if Shard(1, of).holds(case)]
    after = [case for case in sorted({*ids, new}) if Shard(1, of).holds(case)]
    assert set(after) - {new} == set(before) - {new}


KERNELS = st.sampled_from(("6.1", "6.12", "tree"))
CONFIGS = st.sampled_from(("default", "kasan", "x86-64-v3", "default+a-b.config"))


STATES = st.sampled_from(("p0", "p3", "p14", "previous", "statics"))


@given(KERNELS, CONFIGS, STATES, SHARDS)
def test_a_name_says_all_of_a_cell(kernel: str, config: str, state: str, of: int) -> None:
    cell = PlanCell(kernel, config, state, Shard(of, of))
    assert parse(cell.name) == cell
    assert cell.patches == (int(state[1:]) if state[1:].isdecimal() else None)
    assert not set(cell.name) & set(' /\\:*?"<>|,')  # names of artefacts, files, variables


@pytest.mark.parametrize(
    "name", ["", "6.1", "6.1-default-p4", "6.1-default-p4-s2of1", "a-b-p1-s0of1"]
)
def test_what_is_no_cell_is_the_users_mistake(name: str) -> None:
    with pytest.raises(InvocationError, match="is no cell"):
        parse(name)


def test_a_plan_has_every_state_of_every_kernel_in_every_flavour() -> None:
    found = cells({"6.1": 2, "6.12": 1}, ("default", "kasan"), True, 2, True)
    assert len(found) == len(set(found)) == 2 * 2 * (4 + 3) + 2
    assert [c.state for c in found[:8:2]] == ["p0", "p1", "p2", "previous"]
    assert len(cells({"6.1": 2}, ("default",), False, 1, False)) == 3
    assert listed("6.1, 6.12,") == ("6.1", "6.12")
    assert [kernel_name(k) for k in ("6.1", "/a/6.1", "linux")] == ["6.1", "tree", "tree"]


def test_a_cell_says_what_its_run_is_asked(toy: Toy) -> None:
    settings = toy.settings(series="new", previous="old")
    chosen = settings_of(settings, parse("tree-kasan-p3-s1of2"))
    assert (chosen.kernel, chosen.config, chosen.patches) == (str(toy.tree), "kasan", 3)
    assert (chosen.shard, chosen.series) == (Shard(1, 2), "new")
    assert settings_of(settings, parse("tree-kasan-previous-s1of1")).series == "old"
    with pytest.raises(InvocationError, match="how many patches"):
        settings_of(replace(settings, patches=1), parse("tree-kasan-p3-s1of2"))
    with pytest.raises(InvocationError, match="previous revision"):
        settings_of(replace(settings, previous=""), parse("tree-kasan-previous-s1of1"))
    with pytest.raises(InvocationError, match="is for a kernel tree"):
        settings_of(replace(settings, kernel="6.1"), parse("tree-kasan-p1-s1of1"))


def test_a_file_in_config_is_named_for_the_file(toy: Toy) -> None:
    extra = toy.root / "deep" / "extra.config"
    extra.parent.mkdir()
    extra.write_text("CONFIG_TOY=y\n")
    config = f"default+{extra}"
    cell = parse("tree-default+extra.config-p1-s1of1")
    chosen = settings_of(toy.settings(config=f"kasan,{config}"), cell)
    assert (chosen.config, chosen.cell) == (config, cell.name)
    assert (
        settings_of(toy.settings(config=f"kasan,{config}"), parse("tree-kasan-p1-s1of1")).config
        == "kasan"
    )


# --- a revision whose runs are made up ---------------------------------------------


def status(patches: int | None, case: str, bad: frozenset[tuple[int | None, str]]) -> ev.Status:
    return "fail" if (patches, case) in bad else "pass"


def made_up(bad: frozenset[tuple[int | None, str]]) -> RunKernel:
    """A run as the harness makes it, less kernel and guest; ``bad``: (patches, case) that fail.

    A case that fails after two patches makes the kernel complain as well.
    """
    data = contract.load(PROJECT / "patches" / "volatile")
    clauses = list(data.clauses)
    count = 0

    def run(settings: Settings) -> RunResult:
        nonlocal count
        count += 1
        before = (settings.series or "").endswith("v1") and settings.patches is None
        patches = None if before else settings.patches
        results = Results()
        name = f"{count:03}"
        results(ev.RunStarted(name, "", "test-kernel", settings.asked()))
        results(ev.BaseKnown("6.1.192", "6.1", "c0ffee"))
        applied = tuple(ev.PatchInfo(f"s{n}", f"id{n}") for n in range(patches or 2))
        applied = applied[: 2 if patches is None else patches]
        results(ev.SeriesKnown("here", applied, 2))
        results(ev.ConfigKnown("default", "f00"))
        ids = tuple(map(ev.CaseId.parse, CASES))
        for stage in ("build", "boot"):
            results(ev.StageFinished(stage, 1.0, False))
        results(ev.CasesChosen(settings.shard.number, settings.shard.of, ids))
        if settings.shard.first:
            results(ev.CaseFinished(ev.CaseId.parse("host::look"), "pass", "", 0.1, (clauses[0],)))
        ran = [case for case in CASES if settings.shard.holds(case)]
        for case in ran:
            said = status(patches, case, bad)
            clause = clauses[CASES.index(case)]
            if said == "fail" and patches == 2:
                results(
                    ev.SplatSeen(
                        f"WARNING in {case[-2:]}", "warning", ev.CaseId.parse(case), "trace"
                    )
                )
            reason = "so it is" if said == "fail" else ""
            results(ev.CaseFinished(ev.CaseId.parse(case), said, reason, 0.5, (clause,)))
        failed = results.failures() or results.complaints()
        results(ev.RunFinished("fail" if failed else "pass", 1 if failed else 0, 2.0))
        out = settings.out / name
        out.mkdir(parents=True)
        told = document(results, data)
        (out / "results.json").write_text(json.dumps(told))
        return RunResult(told["exit_code"], out, told)

    return run


def look(settings: Settings) -> RunResult:
    """The static checkers' run."""
    results = Results()
    results(ev.RunStarted("999", "", "static-checks", settings.asked()))
    results(ev.RunFinished("fail", 1, 2.0))
    out = settings.out / "999"
    out.mkdir(parents=True, exist_ok=True)
    told = document(results, None)
    (out / "results.json").write_text(json.dumps(told))
    tools = {"checkpatch": {"open": ["WARNING: so long"], "justified": 1}}
    patches = [{"number": 2, "subject": "two", "tools": tools}]
    (out / "statics.json").write_text(json.dumps({"patches": patches}))
    return RunResult(1, out, told)


def asked(toy: Toy, tmp_path: Path, name: str) -> Settings:
    one: tuple[str, dict[str, Any]] = ("one", {"mm/swap.c": grow})
    two: tuple[str, dict[str, Any]] = ("two", {"mm/madvise.c": grow})
    before, now = toy.series(one, name="v1"), toy.series(one, two, name="v2")
    return toy.settings(
        series=str(now), previous=str(before), out=tmp_path / name, shards=3, repeat=0,
        project=PROJECT / "patches" / "volatile",
    )  # fmt: skip


BAD = frozenset(
    {(0, CASES[1]), (1, CASES[1]), (1, CASES[5]), (2, CASES[7]), (2, CASES[1]), (None, CASES[9])}
)


def said(found: dict[str, Any]) -> dict[str, Any]:
    """A verdict less the names of its runs."""
    return {**found, "steps": [{**step, "run": ""} for step in found["steps"]]}


@pytest.mark.parametrize(
    ("bad", "code"), [(BAD, 1), (frozenset(), 0), (frozenset({(0, CASES[3]), (1, CASES[3])}), 0)]
)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_cells_in_any_order_say_what_one_go_says(
    toy: Toy, tmp_path: Path, bad: frozenset[tuple[int | None, str]], code: int, seed: int
) -> None:
    whole = asked(toy, tmp_path, "whole")
    assert revision(replace(whole, shards=1), made_up(bad), look, QUIET) == code
    (one_go,) = whole.out.glob("revision-*/revision.json")
    spread = asked(toy, tmp_path, "spread")
    assert plan(spread, QUIET) == 0
    names = [row["cell"] for row in json.loads((spread.out / "cells.json").read_text())]
    assert len(names) == 3 * 4 + 1
    random.Random(seed).shuffle(names)
    run = made_up(bad)
    for name in [*names, names[0]]:  # one of them twice
        assert run_cell(replace(spread, cell=name), run, look, QUIET) == 0
    assert merge(spread, QUIET) == code
    folder = spread.out / "merged" / "tree-default"
    merged = json.loads((folder / "revision.json").read_text())
    assert said(merged) == said(json.loads(one_go.read_text()))
    assert merged["steps"][2]["statics"] == {"checkpatch": ["WARNING: so long"]}
    documents = {
        d["asked"]["PATCHES"] + d["asked"]["SERIES"][-2:]: d
        for d in map(json.loads, (p.read_text() for p in whole.out.glob("0*/results.json")))
    }
    for state, key in (("p0", "0v2"), ("p1", "1v2"), ("p2", "2v2"), ("previous", "v1")):
        shards, lone = json.loads((folder / state / "results.json").read_text()), documents[key]
        for part in ("tests", "splats", "clauses", "exit_code", "verdict", "shard"):
            assert shards[part] == lone[part], (state, part)
    # Merging again changes nothing, and finds none of its own files.
    assert merge(spread, QUIET) == code
    assert json.loads((folder / "revision.json").read_text()) == merged


def test_a_cell_without_results_is_no_verdict(toy: Toy, tmp_path: Path) -> None:
    settings = asked(toy, tmp_path, "o")
    plan(settings, QUIET)
    rows = json.loads((settings.out / "cells.json").read_text())
    run = made_up(frozenset())
    for row in rows[1:]:
        run_cell(replace(settings, cell=row["cell"]), run, look, QUIET)
    with pytest.raises(MachineError, match="1 of 13 cells left no results:\n" + rows[0]["cell"]):
        merge(settings, QUIET)
    assert "No results of 1 cells" in (settings.out / "merged" / "summary.md").read_text()


def test_a_cell_takes_the_revision_from_the_plan(toy: Toy, tmp_path: Path) -> None:
    settings = asked(toy, tmp_path, "o")
    plan(settings, QUIET)
    seen: list[Settings] = []

    def run(chosen: Settings) -> RunResult:
        seen.append(chosen)
        return RunResult(3, chosen.out, document(Results(), None))

    bare = replace(settings, series="", previous="", cell="tree-default-previous-s2of3")
    assert run_cell(bare, run, look, QUIET) == 3
    assert seen[0].series == settings.previous
    with pytest.raises(InvocationError, match=r"and the plan .* is for SERIES="):
        run_cell(replace(bare, series="another"), run, look, QUIET)


def test_the_caches_of_a_cell_follow_from_what_it_is_made_of(toy: Toy, tmp_path: Path) -> None:
    settings = replace(asked(toy, tmp_path, "o"), config="default,kasan")
    plan(settings, QUIET)
    rows = {r["cell"]: r for r in json.loads((settings.out / "cells.json").read_text())}
    assert len({r["base"] for r in rows.values()}) == 1
    assert rows["tree-default-p1-s1of3"]["cache"] == rows["tree-default-p1-s2of3"]["cache"]
    assert len({r["cache"] for r in rows.values()}) == 2 * 4
    assert all(r["cache"].startswith(r["near"] + "-") for r in rows.values())


def test_only_one_kernel_tree_fits_in_a_plan(toy: Toy, tmp_path: Path) -> None:
    settings = asked(toy, tmp_path, "o")
    with pytest.raises(InvocationError, match="one kernel tree"):
        plan(replace(settings, kernel=f"{toy.tree},{toy.tree}"), QUIET)


def test_a_whole_run_is_its_only_shard() -> None:
    assert WHOLE.first and all(WHOLE.holds(case) for case in CASES)
