# SPDX-License-Identifier: GPL-2.0-only
"""The command line: what is typed wrong ends with 2 and says what to type instead."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import cli
from harness.commands import report
from harness.core.command_table import COMMANDS, PROJECT, VARIABLES, default_kernel
from harness.core.errors import MachineError
from harness.core.settings import Settings
from harness.setup import bootstrap, help


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "one command, please"),
        (["tset-kernel"], "no command tset-kernel; there is test-kernel"),
        (["quux", "--help"], "no command quux"),
        (["test-kernel", "report"], "one command, please"),
        (["test-kernel", "KERNLE=6.1"], "no variable KERNLE; there is KERNEL"),
        (["test-kernel", "KTAP=maybe"], "KTAP=maybe"),
        (["test-kernel", "PATCHES=x"], "PATCHES=x"),
    ],
)
def test_what_is_typed_wrong_is_an_invocation_error(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    said = capsys.readouterr().err
    assert message in said and "next: make help" in said
    assert said.splitlines()[-1] == "verdict: usage (exit 2)"


def test_arguments_outweigh_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Settings] = []

    def command(settings: Settings) -> int:
        seen.append(settings)
        return 0

    monkeypatch.setattr(report, "report", command)
    monkeypatch.setenv("KERNEL", "6.12")
    assert cli.main(["report", "KERNEL=/my/tree"]) == 0
    assert seen[0].kernel == "/my/tree"


@pytest.mark.parametrize(
    ("arguments", "project", "kernel"),
    [
        (["example"], "volatile-swapless", "7.3"),
        (["example", "PROJECT="], "volatile-swapless", "7.3"),
        (["example", "PROJECT=volatile", "KERNEL=6.12"], "volatile", "6.12"),
        (["cost"], "volatile", default_kernel("volatile")),
    ],
)
def test_a_command_may_have_defaults_of_its_own(
    arguments: list[str], project: str, kernel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Settings] = []

    def run(_: str, settings: Settings) -> int:
        seen.append(settings)
        return 0

    monkeypatch.setattr(cli, "_run", run)
    for name in ("PROJECT", "KERNEL"):
        monkeypatch.delenv(name, raising=False)
    assert cli.main(arguments) == 0
    assert (seen[0].project.name, seen[0].kernel) == (project, kernel)


def test_an_error_prints_what_where_and_what_next(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(settings: Settings) -> int:
        raise MachineError("no [room]\nat all", evidence=Path("/log"), next_step="make room")

    monkeypatch.setattr(report, "report", command)
    assert cli.main(["report"]) == 3
    assert capsys.readouterr().err.splitlines() == [
        "machine error: no [room]",
        "  at all",
        "  evidence: /log",
        "  next: make room",
        "verdict: infra (exit 3)",
    ]


def test_a_defect_of_ours_is_70_with_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(settings: Settings) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(report, "report", command)
    assert cli.main(["report"]) == 70
    said = capsys.readouterr().err
    assert "ZeroDivisionError" in said and "verdict: infra (exit 70)" in said


def test_a_command_may_return_what_knows_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class Result:
        code: int

    monkeypatch.setattr(report, "report", lambda settings: Result(3))
    assert cli.main(["report"]) == 3


def test_help_names_every_command_and_variable() -> None:
    text = help.text()
    assert all(f"  {name} " in text for name in COMMANDS)
    assert all(f"  {name} " in text for name in VARIABLES)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_of_the_table_is_there_and_explains_itself(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    about = COMMANDS[name]
    assert callable(cli.load(about.target))
    assert set(about.uses.split()) <= {*cli.SHARED, "console"}
    assert len(inspect.signature(cli.load(about.target)).parameters) == 1 + len(about.uses.split())
    assert set(about.variables.split()) == set(about.reads)
    assert set(about.example) <= set(about.reads)
    assert cli.main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert about.about in text and f"for example: make {name}" in text
    shown = {line.split()[0] for line in text.splitlines() if re.match("  [A-Z]", line)}
    assert shown == set(about.reads)


def test_every_variable_is_read_by_a_command() -> None:
    assert {name for about in COMMANDS.values() for name in about.reads} == set(VARIABLES)


def test_help_and_clean_cache_need_nothing_but_python(tmp_path: Path) -> None:
    env = {"HARNESS_CACHE": str(tmp_path / "c"), "PATH": "/usr/bin:/bin"}
    for words, status in ((["help"], 0), (["clean-cache"], 0), (["nonsense"], 2)):
        # -S: no site-packages, so nothing of the venv can be imported.
        done = subprocess.run(
            [sys.executable, "-S", "-m", "harness", *words],
            cwd=PROJECT,
            env=env,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == status, done.stderr


def test_what_a_command_needs_is_seen_to_without_make(monkeypatch: pytest.MonkeyPatch) -> None:
    def unable(*_: object) -> None:
        raise bootstrap.UnableError("not found: flex\nPaste this:\n\n    apt-get install flex")

    monkeypatch.setattr(bootstrap, "missing", lambda table, purpose: [{"command": ["flex"]}])
    monkeypatch.setattr(bootstrap, "provide", unable)
    monkeypatch.setattr(report, "report", lambda settings: 0)
    assert cli.main(["test-kernel"]) == 3
    assert cli.main(["report"]) == 0  # builds nothing


def test_the_makefile_knows_every_command() -> None:
    text = (PROJECT / "Makefile").read_text().replace("\\\n", " ")
    named = next(line for line in text.splitlines() if line.startswith("COMMANDS :="))
    assert {*named.split()[2:], "help", "clean-cache"} == set(COMMANDS)
