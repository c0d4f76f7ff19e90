# SPDX-License-Identifier: GPL-2.0-only
"""The killer of runs sees what a kill leaves behind."""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path

import pytest

from tests.support.limits import HUNG_S
from tools import kill_runs
from tools.kill_runs import Killing


class Late(random.Random):
    """The latest moment that there is."""

    def uniform(self, a: float, b: float) -> float:
        return b


def killing(tmp_path: Path, program: str) -> Killing:
    """Runs of a small program, whose store has one entry, that are killed at their end."""
    entry = tmp_path / "store" / "kernel" / "key"
    entry.mkdir(parents=True)
    (entry / "vmlinux").write_text("kernel")
    argv = (sys.executable, "-c", f"STORE = {str(tmp_path / 'store')!r}\n{program}")
    job = Killing(argv, tmp_path / "store", lambda: "pass", Late())
    job.seconds, job.expected = HUNG_S, (0, "pass")
    return job


def test_a_clean_program_has_no_fault(tmp_path: Path) -> None:
    job = killing(tmp_path, "pass")
    job.one(1)
    assert job.faults == []


def test_a_process_that_stays_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kill_runs, "GONE_TIMEOUT_S", 0.0)
    # Only the run that is to be killed, whose environment has a mark, leaves one.
    leaves = "import os, subprocess as s; 'KILLED_RUN' in os.environ and s.Popen(['sleep', '60'])"
    job = killing(tmp_path, leaves)
    job.one(1)
    (fault,) = job.faults
    assert "left behind" in fault and "sleep" in fault
    os.kill(int(fault.split("left behind: ")[1].split()[0]), signal.SIGKILL)


def test_a_changed_entry_and_another_verdict_are_faults(tmp_path: Path) -> None:
    job = killing(
        tmp_path, "open(STORE + '/kernel/key/vmlinux', 'a').write('!'); raise SystemExit(3)"
    )
    job.one(7)
    changed, ended = job.faults
    assert changed.startswith("kill 7, after") and changed.endswith("kernel/key/vmlinux")
    assert "(3, 'pass'), not with (0, 'pass')" in ended
