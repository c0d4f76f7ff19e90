# SPDX-License-Identifier: GPL-2.0-only
"""A kernel with one program of ours as its only process: its initramfs, and what it said."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.commands import matrix
from harness.core.errors import HarnessError
from tests.support.limits import SOON_S, time_out_after

CLEAN = (
    "[    0.1] Linux version 6.1\r\n\r\nKTAP version 1\r\n1..1\r\n# purged pages: 64\r\nok 1 a\r\n"
)
OOPS = "[    1.0] BUG: kernel NULL pointer dereference, address: 00000000\r\n"


def test_what_a_sound_guest_says() -> None:
    assert matrix.judge_console(CLEAN, "a", True) == ([], ("purged pages: 64",))


@pytest.mark.parametrize(
    ("text", "ended", "said"),
    [
        (
            CLEAN.replace("ok 1 a", "# a.c:7: x is 1\nnot ok 1 a"),
            True,
            "guest: fail: a.c:7: x is 1",
        ),
        (CLEAN.replace("ok 1 a", ""), True, "guest: error: ended before its result line"),
        (CLEAN, False, "guest: error: reported a result and never ended"),
        ("", True, "guest: error: printed no KTAP header"),
        (CLEAN.replace("ok 1 a", "ok 1 b"), True, "guest: error: reported 'b' when asked for 'a'"),
    ],
)
def test_anything_else_is_wrong(text: str, ended: bool, said: str) -> None:
    assert matrix.judge_console(text, "a", ended)[0] == [said]


def test_a_complaint_of_the_kernel_is_wrong_whatever_the_program_says() -> None:
    wrong = matrix.judge_console(CLEAN + OOPS, "a", True)[0]
    assert len(wrong) == 1
    assert wrong[0].startswith("guest: the kernel complained: BUG:")


def test_the_archive_read_back_as_the_format_says(tmp_path: Path) -> None:
    content = b"\x7fELF" + bytes(range(251))
    done = subprocess.run(
        ["python3", "-c", READER],
        input=matrix.initramfs(content),
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode().split() == ["init", "0o100755", str(len(content)), "TRAILER!!!"]


READER = """
import sys
data, at = sys.stdin.buffer.read(), 0
while at < len(data):
    assert data[at:at + 6] == b"070701"
    fields = [int(data[at + 6 + 8 * i:at + 14 + 8 * i], 16) for i in range(13)]
    name = data[at + 110:at + 110 + fields[11] - 1].decode()
    at = (at + 110 + fields[11] + 3) // 4 * 4
    print(name, *([oct(fields[1]), fields[6]] if fields[6] else []))
    at = (at + fields[6] + 3) // 4 * 4
"""


def test_a_kernel_that_hangs_after_its_result_has_not_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """QEMU, asked to end, ends with 0."""
    qemu = tmp_path / "qemu"
    lines = "".join(f"echo '{line.rstrip()}'\n" for line in CLEAN.splitlines())
    qemu.write_text(f"#!/bin/sh\ntrap 'exit 0' TERM\n{lines}while :; do sleep 0.1; done\n")
    qemu.chmod(0o755)
    monkeypatch.setattr(matrix, "QEMU", str(qemu))
    monkeypatch.setattr(matrix, "HANG_TIMEOUT_S", SOON_S)
    time_out_after(monkeypatch, "ok 1 a")
    (tmp_path / "a.c").write_text("void _start(void);\nvoid _start(void) { for (;;) ; }\n")
    wrong, _ = matrix.boot_single(tmp_path / "vmlinux", tmp_path / "a.c", (), tmp_path / "log")
    assert wrong == ["guest: error: reported a result and never ended"]


def test_a_program_that_does_not_compile_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text("void _start(void) { nothing; }\n")
    with pytest.raises(HarnessError, match="nothing"):
        matrix.boot_single(tmp_path / "vmlinux", tmp_path / "a.c", (), tmp_path / "log")
