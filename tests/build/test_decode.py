# SPDX-License-Identifier: GPL-2.0-only
"""Decoding by the tree's script, with small stand-ins for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.build import debuginfo
from harness.build.debuginfo import decode
from harness.core.errors import InternalError, MachineError
from tests.support.limits import SOON_S

TEXT = "[ 1.0] Call Trace:\n[ 1.0] Code: 0f 0b <c3>\n[ 1.0]  do_thing+0x1/0x2"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "scripts").mkdir(parents=True)
    (tree / "vmlinux").touch()
    return tree


def script(source: Path, body: str) -> None:
    (source / "scripts" / "decode_stacktrace.sh").write_text(body)


def test_frames_are_decoded_and_code_is_left(source: Path) -> None:
    script(source, 'test -f "$1" -a -d "$2/scripts" && sed "s/+0x.*/ (mm\\/x.c:5)/"\n')
    decoded = decode(TEXT, source / "vmlinux", source)
    assert decoded.splitlines() == [
        "[ 1.0] Call Trace:",
        "[ 1.0] Code: 0f 0b <c3>",
        "[ 1.0]  do_thing (mm/x.c:5)",
    ]


def test_the_script_takes_no_tools_from_the_users_environment(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LLVM", "CROSS_COMPILE"):
        monkeypatch.setenv(name, "1")
    script(source, 'sed "s/+0x.*/ by $LLVM$CROSS_COMPILE./"\n')
    assert decode(TEXT, source / "vmlinux", source).endswith("do_thing by .")


def test_a_tree_without_the_script(source: Path) -> None:
    with pytest.raises(MachineError, match="decode_stacktrace"):
        decode(TEXT, source / "vmlinux", source)


def test_a_script_that_fails_is_quoted(source: Path) -> None:
    script(source, "echo 'ERROR! vmlinux image is bad' >&2; exit 2\n")
    with pytest.raises(InternalError, match="vmlinux image is bad"):
        decode(TEXT, source / "vmlinux", source)


def test_lines_that_do_not_come_back_are_noticed(source: Path) -> None:
    script(source, "head -1\n")
    with pytest.raises(InternalError, match="1 of 2 lines"):
        decode(TEXT, source / "vmlinux", source)


def test_a_script_that_takes_for_ever(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debuginfo, "DECODE_TIMEOUT_S", SOON_S)
    script(source, "exec sleep 3600\n")
    with pytest.raises(InternalError, match="took more than"):
        decode(TEXT, source / "vmlinux", source)
