# SPDX-License-Identifier: GPL-2.0-only
"""The file itself: what is in it, what the guest is told, what QEMU is."""

from __future__ import annotations

import lzma
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.errors import MachineError
from harness.findings import pyz_file
from harness.findings.finding import Rate
from harness.findings.pyz_file import Parts, add_rate, argv_of, case_script, write_finding
from harness.series.patches import Patch
from harness.vm.machine import GuestSpec
from tests.findings.made_up import finding


def spec(folder: Path) -> GuestSpec:
    return GuestSpec(folder / "vmlinux", "microvm", "tcg", folder / "rootfs.img", "key", gdb="x")


def parts(folder: Path) -> Parts:
    """Of a case in Python: its root is taken as it is."""
    (folder / "vmlinux").write_bytes(b"kernel")
    (folder / "rootfs.img").write_bytes(b"root")
    (folder / "tree" / "volatile").mkdir(parents=True)
    (folder / "tree" / "volatile" / "a.py").write_text("print()\n")
    (folder / "config").write_text("CONFIG_X=y\n")
    (folder / "System.map").write_text("0 T f\n")
    patch = Patch("first", b"diff", "id", ())
    config = SimpleNamespace(path=folder / "config")
    prepared: Any = SimpleNamespace(kernel=SimpleNamespace(config=config))
    return Parts(
        prepared=prepared,
        spec=spec(folder), tree=folder / "tree", program=None,
        argv=("python3", "/tests/volatile/a.py", "--run", "it"), env=(("A", "b c"),), python=True,
        symbol_map=folder / "System.map",
        patches={"patches/0001-first.patch": patch, "variant.patch": patch},
        sources=(folder / "tree" / "volatile" / "a.py",),
    )  # fmt: skip


def test_the_file_has_all_that_it_needs_and_says_what_it_is(tmp_path: Path) -> None:
    target = tmp_path / "finding-x.pyz"
    write_finding(finding(), parts(tmp_path), tmp_path / "draft", target)
    add_rate(target, Rate(4, 0, 5))
    with zipfile.ZipFile(target) as archive:
        names = set(archive.namelist())
        assert lzma.decompress(archive.read("kernel.xz")) == b"kernel"
        assert lzma.decompress(archive.read("root.img.xz")) == b"root"
        assert archive.read("patches/0001-first.patch") == b"diff"
    assert {
        "variant.patch",
        "kernel.config",
        "source/a.py",
        "rootfs.yaml",
        "System.map.xz",
    } <= names
    assert not (tmp_path / "draft").exists()
    argv = [sys.executable, "-I", "-S", str(target), "--show"]
    said = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    assert said.startswith(f"finding {finding().id}: volatile/a.c::it")
    assert "replayed there: 4 of 5" in said


def test_a_file_that_nobody_can_mail_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pyz_file, "MAX_BYTES", 1000)
    with pytest.raises(MachineError, match=r"finding-x\.pyz has 0 MiB, more than"):
        write_finding(finding(), parts(tmp_path), tmp_path / "draft", tmp_path / "finding-x.pyz")


def test_qemu_finds_its_files_in_the_folder_of_a_replay(tmp_path: Path) -> None:
    argv = " ".join(argv_of(spec(tmp_path), stub=True))
    assert str(tmp_path) not in argv
    assert "-kernel kernel " in argv and "file=root.img" in argv and "file=tests.img" in argv
    assert "unix:gdb," in argv and "monitor" not in argv
    assert "gdb" not in " ".join(argv_of(spec(tmp_path), stub=False))


def test_the_guest_is_told_the_case_as_it_was(tmp_path: Path) -> None:
    """The script, run by a shell, with a stand-in for the guest's runner of cases."""
    runner = tmp_path / "init"
    runner.write_text('#!/bin/sh\necho "$A,$HARNESS_PACE"; for word; do echo "$word"; done\n')
    runner.chmod(0o755)
    script = case_script("volatile/a.c::it", ("/tests/a", "--rounds", "$4", "x y"), [("A", "b c")])
    script = script.replace("/harness/init", str(runner))
    script = script.replace("/run/harness/", f"{tmp_path}/")
    subprocess.run(["sh", "-c", script, "sh", "1", "20", "1.5", "7"], check=True)
    said = (tmp_path / "out").read_text().splitlines()
    words = ["case", "1", "volatile/a.c::it", "20", "/tests/a", "--rounds", "7", "x y"]
    assert said == ["b c,1.5", *words]
