# SPDX-License-Identifier: GPL-2.0-only
"""The build matrix: what the table says, and what is wrong with a kernel by it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.build.fragments import requests
from harness.build.toolchain import ARCH
from harness.commands.matrix import Expectation, broken, chosen, load_cells, misplaced
from harness.core.errors import InvocationError
from harness.core.settings import PROJECT
from harness.series.contract import SeriesData, load

OURS = load(PROJECT / "patches" / "volatile")
CELL = {"about": "a", "fragments": ["a"], "expect": "on"}
TABLE: dict[str, Any] = {
    "clause": "V-KS-3",
    "expectations": {"on": {"config": {"SWAP": "y"}}},
    "cells": {"one": CELL},
}
MAP = """\
ffffffff81000000 T start_kernel
ffffffff81000040 T __x64_sys_ni_syscall
ffffffff81000060 W __x64_sys_madvise
ffffffff81000080 T __x64_sys_mincore
"""


def data(folder: Path, table: dict[str, Any]) -> SeriesData:
    (folder / "matrix").mkdir(exist_ok=True)
    (folder / "matrix" / "a.config").write_text("CONFIG_SWAP=y\n")
    (folder / "matrix.yaml").write_text(yaml.safe_dump(table))
    return replace(OURS, folder=folder)


# --- our own table -------------------------------------------------------------------


def test_our_matrix_has_what_the_clause_names() -> None:
    cells = {cell.name: cell for cell in load_cells(OURS, "6.12")}
    assert {cell.row.arch for cell in cells.values()} == {"x86", "arm64", "riscv"}
    off = {
        request.symbol
        for cell in cells.values()
        for request in requests(cell.kconfig.fragments, "6.12")
        if request.value == "n"
    }
    off |= {s for c in cells.values() for s, value in c.expected.config.items() if value == "n"}
    assert off >= {"64BIT", "SWAP", "TRANSPARENT_HUGEPAGE", "MEMCG", "ADVISE_SYSCALLS", "MMU",
                   "MIGRATION", "VOLATILE_RANGES"}  # fmt: skip
    assert {c.name for c in cells.values() if c.row.tests} >= {
        "no-swap",
        "no-memcg",
        "no-huge-pages",
    }


def test_each_cross_compiler_has_a_package() -> None:
    needs = json.loads((PROJECT / "harness" / "setup" / "packages.json").read_text())["needs"]
    for cell in load_cells(OURS, "6.12"):
        assert (cell.row.arch == ARCH) == (cell.row.cross == "")
        if cell.row.cross:
            tools = [t for n in needs if cell.row.arch in n["for"] for t in n["command"]]
            assert f"{cell.row.cross}gcc" in tools


def test_check_and_a_plain_run_ask_for_no_cross_compiler() -> None:
    needs = json.loads((PROJECT / "harness" / "setup" / "packages.json").read_text())["needs"]
    for need in needs:
        if {"check", "test-kernel"} & set(need["for"]):
            assert not any("linux-gnu" in name for name in need.get("command", ()))


# --- the table -----------------------------------------------------------------------


def test_a_cell_is_chosen_by_name(tmp_path: Path) -> None:
    cells = load_cells(data(tmp_path, TABLE), "6.12")
    assert [cell.name for cell in chosen(cells, "")] == ["one"]
    assert chosen(cells, "one")[0].kconfig.name == "matrix-one"
    with pytest.raises(InvocationError, match="CELL=two"):
        chosen(cells, "two")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"clause": "V-KS-99"}, "the contract has no V-KS-99"),
        ({"cells": {"one": CELL | {"expect": "off"}}}, "named off"),
        ({"cells": {"one": CELL | {"fragments": ["z"]}}}, r"no .*z\.config"),
        ({"cells": {"one": CELL | {"tests": "x"}}}, "only a flavour"),
        ({"cells": {"one": CELL | {"fragments": "a"}}}, "one: fragments: tuple"),
        ({"cels": {}}, "cels is none of clause, expectations, cells"),
        ({"cells": {"one": CELL | {"flavor": "kasan"}}}, "one: .*flavor is none of about"),
        ({"cells": {"one": {"expect": "on"}}}, "one: .*about is missing"),
        ({"cells": {"one": None}}, r"cells\.one: dict\S* expected"),
        (
            {"expectations": {"on": {"config": {}, "symbol": []}}},
            r"expectations\.on: symbol is none of config",
        ),
    ],
)
def test_a_table_that_makes_no_sense_is_the_invocations_fault(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvocationError, match=rf"matrix\.yaml: .*{said}"):
        load_cells(data(tmp_path, TABLE | change), "6.12")


def test_a_cell_differs_by_kernel_line(tmp_path: Path) -> None:
    there = {"expect": "off", "tests": ""}
    cell = CELL | {"lines": {"7.3": there}}
    table = TABLE | {"cells": {"one": cell}}
    table["expectations"] = TABLE["expectations"] | {"off": {"config": {"SWAP": "n"}}}
    read = {line: load_cells(data(tmp_path, table), line)[0] for line in ("6.12", "7.3")}
    assert read["6.12"].expected.config == {"SWAP": "y"}
    assert read["7.3"].expected.config == {"SWAP": "n"}
    assert read["7.3"].kconfig == read["6.12"].kconfig
    cell["lines"] = {"7.3": {"expected": "off"}}
    with pytest.raises(InvocationError, match=r"one: .*expected is none of about"):
        load_cells(data(tmp_path, table), "6.12")


def test_on_7_3_32_bits_go_without_the_feature() -> None:
    off = {cell.name: cell.expected.config for cell in load_cells(OURS, "7.3") if "32" in cell.name}
    assert off and all(config["VOLATILE_RANGES"] == "n" for config in off.values())


def test_an_unknown_key_is_told_with_those_that_are_known(tmp_path: Path) -> None:
    cells = {"one": CELL | {"flavor": "kasan"}}
    with pytest.raises(InvocationError) as caught:
        load_cells(data(tmp_path, TABLE | {"cells": cells}), "6.12")
    assert "flavor is none of about, expect, fragments" in caught.value.what


def test_a_series_without_a_matrix_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvocationError, match=r"matrix\.yaml"):
        load_cells(replace(OURS, folder=tmp_path), "6.12")


# --- judging a kernel ----------------------------------------------------------------


def test_configuration_both_ways() -> None:
    expect = Expectation({"SWAP": "y", "MMU": "n"})
    assert broken(expect, {"SWAP": "y"}, MAP) == []
    assert broken(expect, {"MMU": "y"}, MAP) == [
        "CONFIG_SWAP is n, must be y",
        "CONFIG_MMU is y, must be n",
    ]


def test_symbols_both_ways() -> None:
    expect = Expectation({}, symbols=("start_kernel", "purge"), no_symbols=("start_kernel",))
    assert broken(expect, {}, MAP) == ["System.map lacks purge", "System.map has start_kernel"]


def test_a_system_call_that_nobody_defines_has_a_weak_entry_only() -> None:
    expect = Expectation({}, unimplemented=("madvise", "mincore", "mlock"))
    assert broken(expect, {}, MAP) == [
        "__x64_sys_mincore is implemented",
        "System.map has no entry of mlock at all",
    ]


def test_a_touched_file_is_compiled_or_said_to_be_left_out() -> None:
    touched, compiled = ("mm/a.c", "mm/c.c"), ("mm/a.c",)
    assert misplaced(touched, compiled, ()) == [
        "mm/c.c is touched by the series and not compiled here"
    ]
    assert misplaced(touched, compiled, ("mm/c.c",)) == []
    assert misplaced(touched, compiled, ("mm/c.c", "mm/a.c")) == ["mm/a.c is compiled here"]
    assert misplaced(touched, compiled, ("mm/c.c", "mm/other-line.c")) == []
