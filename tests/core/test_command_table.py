# SPDX-License-Identifier: GPL-2.0-only
"""What the harness prints to be typed does, pasted into a shell, what it says."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import cli
from harness.commands.revision.page import command as of_a_patch
from harness.core import command_table
from harness.core.command_table import COMMANDS, PROJECT, VARIABLES, command, default_kernel
from harness.core.events import CaseId
from harness.core.settings import Settings, from_environment
from harness.report.screen import again

NASTY = (
    "a and b",
    "sigbus and not (exec or fork)",
    "it's",
    'say "x"',
    "a$b ${HOME} $(HOME) $$ `id`",
    "~/linux",
    "a#b #c",
    "back\\slash",
    "semi;colon & | > * ? [a-z] !x",
    "%.o: =x := y",
    "\N{LATIN SMALL LETTER E WITH ACUTE}",
)
Paste = Callable[[str], tuple[str, Settings]]


@pytest.fixture(params=["make", "kernel-series-harness"])
def paste(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paste:
    """Runs a line in a shell and answers with the command and the settings that arrived.

    Once the Makefile reads it, and once it is the arguments of the installed program.
    """
    monkeypatch.setattr(command_table, "PROGRAM", request.param)
    dump = f"#!{sys.executable}\nimport json, os, sys\n"
    dump += "print(json.dumps([sys.argv[1:], dict(os.environ)]))\n"
    for path in (tmp_path / ".venv/bin/python", tmp_path / "bin" / "kernel-series-harness"):
        path.parent.mkdir(parents=True)
        path.write_text(dump)
        path.chmod(0o755)
    shutil.copy(PROJECT / "Makefile", tmp_path)
    clean = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    env = {**clean, "PYTHON": "true", "PATH": f"{tmp_path}/bin:{clean['PATH']}"}
    # Of a make that runs these tests.
    env = {
        n: v
        for n, v in env.items()
        if n not in ("MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS")
    }

    def run(line: str) -> tuple[str, Settings]:
        done = subprocess.run(
            ["sh", "-c", line], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        argv, passed = json.loads(done.stdout)
        words, given = cli._arguments(argv)
        return words[-1], from_environment({**passed, **given})

    return run


def asked(**variables: str) -> Settings:
    return from_environment({"HOME": os.environ.get("HOME", "/"), **variables})


@pytest.mark.parametrize("value", NASTY)
def test_every_value_comes_through_a_shell_and_make(value: str, paste: Paste) -> None:
    given = asked(PROJECT=value, KERNEL=value, SERIES=value, CONFIG=value, TESTS=value)
    assert paste(given.command("test-kernel")) == ("test-kernel", given)


@pytest.mark.parametrize("name", [n for n in COMMANDS if n not in ("help", "clean-cache")])
def test_the_example_of_a_command_can_be_typed(name: str, paste: Paste) -> None:
    example = COMMANDS[name].example
    assert paste(command(name, {}, **example)) == (name, asked(**example))


WHOLE = {
    "PROJECT": "other", "KERNEL": "6.12", "REF": "v6", "SERIES": "/my v15", "VARIANT": "x",
    "CONFIG": "kasan", "MACHINE": "q35", "ACCEL": "tcg", "ROOTFS": "/r", "DEBUG": "1",
    "CPUS": "4", "JOBS": "9999",
}  # fmt: skip


@pytest.mark.parametrize(
    ("case", "typed", "more"),
    [
        ("volatile/sigbus.c::a", "test-kernel", {"TESTS": "sigbus and a"}),
        ("kernel::leaks", "test-kernel", {"TESTS": "before"}),
        ("regression::mm: ksm", "test-regression", {"TESTS": "mm: ksm"}),
        ("matrix::arm64", "build-matrix", {"CELL": "arm64"}),
        ("races::fork-vote", "repro", {"RACE": "fork-vote", "MODE": "stress", "RUNS": "7"}),
    ],
)
def test_the_case_that_is_named_is_run_where_it_was_seen(
    case: str, typed: str, more: dict[str, str], paste: Paste
) -> None:
    seen = asked(**WHOLE, PATCHES="3", TESTS="before", MODE="stress", RUNS="7")
    assert paste(again(CaseId.parse(case), seen.asked())) == (
        typed,
        asked(**WHOLE, PATCHES="3", **more),
    )
    of_two = of_a_patch(seen.asked(), case, 2)
    assert paste(of_two) == (typed, asked(**WHOLE, PATCHES="2", **more))


def test_a_seed_is_soaked_again_where_it_failed(paste: Paste) -> None:
    seen = asked(**WHOLE, KIND="stress", MINUTES="30")
    assert paste(seen.command("soak", SEED="3")) == (
        "soak",
        asked(**WHOLE, KIND="stress", SEED="3"),
    )


def test_what_is_at_its_default_or_not_read_is_left_out() -> None:
    assert asked().command("test-kernel") == "make test-kernel"
    assert asked(RACE="x", KERNEL="6.12").command("shell") == "make shell KERNEL=6.12"
    assert asked(KERNEL="6.12").command("test-kernel", KERNEL="6.1") == (
        "make test-kernel KERNEL=6.1"
    )


@pytest.mark.parametrize(
    ("project", "line"),
    [("ours", "6.12"), ("theirs", "5.15"), ("none", "latest")],
)
def test_the_default_kernel_is_the_newest_by_number_that_the_series_has(
    project: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ours/6.1", "ours/6.12", "ours/matrix", "theirs/5.15"):
        (tmp_path / "patches" / name).mkdir(parents=True)
    (tmp_path / "patches" / "ours" / "9.9").write_text("no folder")
    monkeypatch.setattr(command_table, "PROJECT", tmp_path)
    assert default_kernel(project) == line
    given = asked(PROJECT=project)
    assert given.kernel == line
    assert command("test-kernel", {"PROJECT": project, "KERNEL": line}) == (
        f"make test-kernel PROJECT={project}"
    )


def test_no_command_is_written_by_hand() -> None:
    """A line to type comes from command_table.command: it knows the program, the shell and make."""
    names = "|".join(COMMANDS)
    written = re.compile(rf"""(?<!`)\bmake ({names})\b""")
    for path in (PROJECT / "harness").rglob("*.py"):
        tree = ast.parse(path.read_text())
        docs = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        texts = [
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
            if id(node) not in docs
        ]
        assert not [text for text in texts if written.search(text)], path.name
