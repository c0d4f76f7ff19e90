# SPDX-License-Identifier: GPL-2.0-only
"""Full disks, limits and places that cannot be written: the machine's fault, with the place."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.core.errors import MachineError
from harness.core.machine_faults import check_store, machine_faults, mount_of


def full_device() -> None:
    with open("/dev/full", "w") as file:
        file.write("x")


def long_name() -> None:
    Path("/", "x" * 300).write_text("x")


@pytest.mark.parametrize(
    ("fault", "said"),
    [(full_device, "the disk is full"), (long_name, r"too long.*x \(on /\)")],
)
def test_a_fault_of_the_machine_is_told_with_its_place(
    fault: Callable[[], None], said: str, tmp_path: Path
) -> None:
    with pytest.raises(MachineError, match=said), machine_faults(tmp_path):
        fault()


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), machine_faults(tmp_path):
        (tmp_path / "nothing").read_text()
    with pytest.raises(OSError, match="a defect"), machine_faults():
        raise OSError(errno.EBADF, "a defect")


@pytest.mark.parametrize("odd", list(" \t\n:#$%&;()<>|`'\"\\*?"))
def test_a_store_where_no_kernel_can_be_built_is_refused(odd: str, tmp_path: Path) -> None:
    # Of a blank kbuild says so itself, in the stage config: the series was to blame.
    with pytest.raises(MachineError, match="no kernel can be built in") as caught:
        check_store(tmp_path / f"my{odd}cache" / "store")
    assert "HARNESS_CACHE" in str(caught.value.next_step)
    check_store(tmp_path / "ä,@+=~[!^{}_-.b" / "store")


def test_a_store_on_a_noexec_mount_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    check_store(tmp_path / "not" / "there-yet")
    if os.statvfs("/proc").f_flag & os.ST_NOEXEC:
        with pytest.raises(MachineError, match="/proc is mounted noexec"):
            check_store(Path("/proc/sys"))
    assert mount_of(Path("/proc/sys/none/such")) == Path("/proc")


LIMITED = """
import resource, sys
resource.setrlimit(resource.{limit}, ({value}, {value}))
from harness.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("limit", "value", "said"),
    [("RLIMIT_FSIZE", 10, "ulimit -f"), ("RLIMIT_NOFILE", 4, "ulimit -n")],
)
def test_a_limit_of_the_shell_is_named(limit: str, value: int, said: str, tmp_path: Path) -> None:
    program = LIMITED.format(limit=limit, value=value)
    done = subprocess.run(
        [sys.executable, "-c", program, "list-tests", f"OUT={tmp_path}/out", "KERNEL=none"],
        capture_output=True, text=True, check=False,
        env={**os.environ, "HARNESS_CACHE": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 3, done.stdout + done.stderr
    assert said in done.stdout + done.stderr
