# SPDX-License-Identifier: GPL-2.0-only
"""The command line: what is typed wrong ends with 2 and says what to type instead."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness import cli, helptext
from harness.errors import MachineError
from harness.settings import PROJECT, VARIABLES, Settings


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "one command, please"),
        (["nonsense"], "one command, please"),
        (["test-kernel", "report"], "one command, please"),
        (["test-kernel", "KERNLE=6.1"], "no variable KERNLE"),
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

    monkeypatch.setitem(cli.COMMANDS, "report", command)
    monkeypatch.setenv("KERNEL", "6.12")
    assert cli.main(["report", "KERNEL=/my/tree"]) == 0
    assert seen[0].kernel == "/my/tree"


def test_an_error_prints_what_where_and_what_next(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(settings: Settings) -> int:
        raise MachineError("no [room]\nat all", evidence=Path("/log"), next_step="make room")

    monkeypatch.setitem(cli.COMMANDS, "report", command)
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

    monkeypatch.setitem(cli.COMMANDS, "report", command)
    assert cli.main(["report"]) == 70
    said = capsys.readouterr().err
    assert "ZeroDivisionError" in said and "verdict: infra (exit 70)" in said


def test_help_names_every_command_and_variable() -> None:
    text = helptext.text()
    commands = (set(cli.COMMANDS) | {"check"}) - {"help"}
    assert all(f"  {name} " in text for name in commands)
    assert all(f"  {name} " in text for name in VARIABLES)


def test_help_and_clean_cache_need_nothing_but_python(tmp_path: Path) -> None:
    env = {"HARNESS_CACHE": str(tmp_path / "c"), "PATH": "/usr/bin:/bin"}
    for module in ("harness.helptext", "harness.clean_cache"):
        # -S: no site-packages, so nothing of the venv can be imported.
        done = subprocess.run(
            [sys.executable, "-S", "-m", module],
            cwd=PROJECT,
            env=env,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr


def test_the_makefile_knows_every_command_and_variable() -> None:
    text = (PROJECT / "Makefile").read_text()
    assert all(name in text for name in cli.COMMANDS)
    exported = text.split("VARIABLES :=")[1].split("export")[0].replace("\\\n", " ").split()
    assert set(exported) == set(VARIABLES)
