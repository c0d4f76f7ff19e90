# SPDX-License-Identifier: GPL-2.0-only
"""``make check``: its steps, and where they stop."""

from __future__ import annotations

import subprocess

import pytest

from harness import cli
from tools import check


@pytest.mark.parametrize(
    ("slow", "last"), [("", ["-rs"]), ("yes", ["-rs"]), ("FALSE", ["-rs", "-m", "not slow"])]
)
def test_check_runs_its_steps_and_stops_at_the_first_that_fails(
    slow: str, last: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []
    broken = ""

    def step(argv: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        ran.append(argv[2:])
        return subprocess.CompletedProcess(argv, int(argv[2] == broken))

    provided: list[str] = []
    monkeypatch.setattr(subprocess, "run", step)
    monkeypatch.setattr(check, "provide", lambda purpose, *_: provided.append(purpose))
    assert cli.main(["check", f"SLOW={slow}"]) == 0
    assert [argv[0] for argv in ran] == ["ruff", "ruff", "mypy", "pytest"]
    assert ran[-1][1:] == last
    assert provided == ([] if slow == "FALSE" else ["test-kernel"])
    ran.clear()
    broken = "mypy"
    assert cli.main(["check", f"SLOW={slow}"]) == 1
    assert [argv[0] for argv in ran] == ["ruff", "ruff", "mypy"]
    ran.clear()
    assert cli.main(["check", "SLOW=maybe"]) == 2
    assert not ran
