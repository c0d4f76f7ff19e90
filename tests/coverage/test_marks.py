# SPDX-License-Identifier: GPL-2.0-only
"""What QEMU's plugin marks: which addresses have run, and in which cases."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.core.errors import MachineError
from harness.core.events import CaseId
from harness.core.store import Store
from harness.coverage import marks
from harness.coverage.marks import RanCode, build_plugin
from harness.vm.machine import QEMU, CodeWatch

ONE, TWO = CaseId.parse("a.c::one"), CaseId.parse("a.c::two")
ADDRESSES = frozenset({0xFFFFFFFF81000019, 0xFFFFFFFF81000011, 0xFFFFFFFF81000020})
# A boot sector: it jumps over a byte that is none of its instructions, and halts.
SECTOR = b"\xeb\x01\x90\x40\xf4" + b"\0" * 505 + b"\x55\xaa"
needs_qemu = pytest.mark.skipif(
    shutil.which(QEMU) is None or shutil.which("gcc") is None, reason="needs QEMU and gcc"
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", 1 << 30)


def test_each_case_has_its_marks_and_the_first_of_an_address_stays(tmp_path: Path) -> None:
    code, file = RanCode(ADDRESSES), tmp_path / "guest1.marks"
    assert code.order == [0xFFFFFFFF81000011, 0xFFFFFFFF81000019, 0xFFFFFFFF81000020]
    file.write_bytes(b"\1\0\0")
    code.read(file, None)  # at boot
    file.write_bytes(b"\1\1\0")
    code.read(file, ONE)
    assert file.read_bytes() == bytes(3)
    file.write_bytes(b"\0\1\0")
    code.read(file, TWO)
    code.read(file, TWO)
    assert code.first == {0xFFFFFFFF81000011: (0, None), 0xFFFFFFFF81000019: (1, ONE)}
    assert code.cases == {ONE: {0xFFFFFFFF81000011, 0xFFFFFFFF81000019}, TWO: {0xFFFFFFFF81000019}}


def test_of_several_addresses_the_one_that_ran_first_counts(tmp_path: Path) -> None:
    code, file = RanCode(frozenset({1, 2, 3})), tmp_path / "m"
    file.write_bytes(b"\0\1\0")
    code.read(file, None)
    file.write_bytes(b"\1\0\0")
    code.read(file, ONE)
    assert code.first_of([1, 2, 3]) == (0, None)
    assert code.first_of([1, 3]) == (1, ONE)
    assert code.first_of([3]) is None


@needs_qemu
def test_what_a_machine_runs_is_marked(store: Store, tmp_path: Path) -> None:
    sector, file = tmp_path / "sector", tmp_path / "marks"
    sector.write_bytes(SECTOR)
    watch = CodeWatch(build_plugin(store), tmp_path / "addresses")
    code = RanCode(frozenset({0x7C00, 0x7C02, 0x7C03, 0x7C04}))
    code.write_addresses(watch.addresses)
    file.write_bytes(bytes(watch.count))
    machine = subprocess.Popen(
        [QEMU, "-nodefaults", "-display", "none", "-accel", "tcg",
         "-drive", f"if=floppy,format=raw,readonly=on,file={sector}", *watch.options(file)]
    )  # fmt: skip
    try:
        while len(code.first) < 3:
            assert machine.poll() is None
            code.read(file, ONE)
    finally:
        machine.kill()
        machine.wait()
    assert code.cases == {ONE: {0x7C00, 0x7C03, 0x7C04}}


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
@pytest.mark.parametrize("version", marks.VERSIONS)
def test_each_version_compiles_and_says_which_it_is(tmp_path: Path, version: int) -> None:
    plugin = tmp_path / "marks.so"
    marks.compile_plugin(version, plugin)
    loaded = ctypes.CDLL(str(plugin), mode=os.RTLD_LAZY)
    assert ctypes.c_int.in_dll(loaded, "qemu_plugin_version").value == version


@needs_qemu
def test_a_qemu_that_takes_no_plugin_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "VERSIONS", (0x7FFFFFFF,))
    with pytest.raises(MachineError, match="takes no plugin"):
        build_plugin(store)
