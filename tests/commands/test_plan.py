# SPDX-License-Identifier: GPL-2.0-only
"""A plan has a command for each kernel and flavour, which says all of what its cell is."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from harness.commands.plan import listed, plan, rows
from harness.core.errors import InvocationError
from harness.core.settings import Settings, from_environment


def asked(**variables: str) -> Settings:
    return from_environment({"KERNEL": "6.1,6.12", "CONFIG": "default,kasan", **variables})


def given(command: str) -> dict[str, str]:
    program, name, *words = shlex.split(command)
    assert (program, name) == ("make", "revision")
    return dict(word.split("=", 1) for word in words)


def test_each_kernel_in_each_flavour_is_a_revision_of_its_own() -> None:
    found = rows(asked(SERIES="~/v 15", PREVIOUS="v14.mbox", TESTS="sigbus and not exec"))
    names = ["6.1-default", "6.1-kasan", "6.12-default", "6.12-kasan"]
    assert list(found) == names
    for cell, typed in found.items():
        variables = given(typed)
        kernel, _, config = cell.partition("-")
        statics = "1" if config == "default" else "0"  # once a kernel
        assert variables == {
            "KERNEL": kernel, "CONFIG": config, "STATICS": statics, "SERIES": "~/v 15",
            "PREVIOUS": "v14.mbox", "TESTS": "sigbus and not exec",
        }  # fmt: skip


def test_what_is_typed_asks_for_what_was_planned() -> None:
    """In the environment of a job stand the lists of the whole plan."""
    settings = asked(SERIES="v15", STATICS="0")
    lists = {"KERNEL": "6.1,6.12", "CONFIG": "default,kasan", "SERIES": "v15", "STATICS": "1"}
    cells = [from_environment({**lists, **given(typed)}) for typed in rows(settings).values()]
    assert cells == [
        replace(settings, kernel=kernel, config=config)
        for kernel in ("6.1", "6.12")
        for config in ("default", "kasan")
    ]


def test_a_path_is_no_part_of_a_cells_name(tmp_path: Path) -> None:
    extra = tmp_path / "extra.config"
    extra.write_text("CONFIG_TOY=y\n")
    ((cell, typed),) = rows(asked(KERNEL=str(tmp_path), CONFIG=f"default+{extra}")).items()
    assert cell == "tree-default+extra.config"
    variables = given(typed)
    assert (variables["KERNEL"], variables["CONFIG"]) == (str(tmp_path), f"default+{extra}")


def test_two_cells_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvocationError, match="two cells are tree-default"):
        rows(asked(KERNEL=f"{tmp_path},{tmp_path}"))


@pytest.mark.parametrize(
    ("variables", "what"),
    [
        ({"KERNEL": "6.1,6.77"}, "KERNEL=6.77: neither a kernel"),
        ({"CONFIG": "default,nosuch"}, "nosuch"),
        ({"PATCHES": "2"}, "make plan runs every number of patches"),
    ],
)
def test_what_no_cell_can_be_is_said_before_any_runs(variables: dict[str, str], what: str) -> None:
    with pytest.raises(InvocationError, match=what):
        rows(asked(**variables))


def test_ci_reads_what_is_printed(tmp_path: Path) -> None:
    settings = asked(OUT=str(tmp_path / "out"))
    with Console(file=(tmp_path / "said").open("w"), width=40) as console:
        assert plan(settings, console) == 0
    commands = (tmp_path / "said").read_text().splitlines()
    matrix = json.loads((settings.out / "cells.json").read_text())
    assert [row["command"] for row in matrix] == commands
    jobs = yaml.safe_load((settings.out / "cells.gitlab.yml").read_text())
    assert [jobs[row["cell"]]["variables"]["COMMAND"]["value"] for row in matrix] == commands


def test_a_list_may_have_blanks_and_a_last_comma() -> None:
    assert listed("6.1, 6.12,") == ("6.1", "6.12")
