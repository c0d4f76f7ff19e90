# SPDX-License-Identifier: GPL-2.0-only
"""How the kernel's make is called."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.build.toolchain import (
    BuildTools,
    Toolchain,
    compiling,
    environment,
    find_toolchain,
    make_argv,
    variables,
)
from harness.core.errors import InvocationError, MachineError
from harness.core.events import Events
from harness.core.store import Store

STORE = Store(Path("/store"), 10 << 30)


def test_the_environment_is_a_list_of_what_may_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    kept_out = {"MAKEFLAGS", "KCFLAGS", "ARCH", "DEBUG", "KERNEL", "V", "CCACHE_DISABLE"}
    for name in kept_out:
        monkeypatch.setenv(name, "1")
    env = environment()
    assert not kept_out & env.keys()
    assert env["KBUILD_BUILD_HOST"] == "localhost"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LLVM_IAS", "0"),
        ("CROSS_COMPILE", "aarch64-linux-gnu-"),
        ("ARCH", "arm64"),
        ("KCFLAGS", "-O3"),
        ("KCPPFLAGS", "-DX"),
        ("KAFLAGS", "-g"),
        ("KRUSTFLAGS", "-g"),
        ("W", "1"),
        ("KCONFIG_CONFIG", "other"),
        ("KCONFIG_ALLCONFIG", "all.config"),
    ],
)
def test_what_asks_for_another_kernel_is_refused(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvocationError, match=f"^{name}={value} is set") as caught:
        find_toolchain()
    assert f"unset {name}" in str(caught.value.next_step)
    monkeypatch.setenv(name, "")
    find_toolchain()


@pytest.fixture
def clang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on PATH with a played clang, and one of a version."""
    for suffix in ("", "-19"):
        for name in ("clang", "ld.lld", "llvm-nm"):
            program = tmp_path / f"{name}{suffix}"
            program.write_text(f"#!/bin/sh\necho {name} of{suffix or ' this'} machine\n")
            program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


@pytest.mark.parametrize(
    ("value", "compiler", "version"),
    [
        ("1", "clang", "clang of this machine; ld.lld of this machine"),
        ("-19", "clang-19", "clang of-19 machine; ld.lld of-19 machine"),
    ],
)
def test_llvm_is_what_kbuild_makes_of_it(
    value: str, compiler: str, version: str, clang: Path
) -> None:
    found = find_toolchain(llvm=value)
    assert (found.cc, found.version, found.nm, found.llvm) == (compiler, version, "", value)
    assert variables(found) == ["ARCH=x86", f"LLVM={value}", f"CC={compiler}"]
    with pytest.raises(InvocationError, match="aarch64-linux-gnu-gcc is what") as caught:
        find_toolchain("arm64", "aarch64-linux-gnu-", value)
    assert caught.value.next_step == "leave LLVM= out, or: unset LLVM"


def test_llvm_in_a_folder_does_without_ccache(clang: Path) -> None:
    found = find_toolchain(llvm=f"{clang}/")
    assert (found.cc, found.ccache) == (f"{clang}/clang", False)


def test_llvm_that_is_not_there_names_its_packages(
    clang: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (clang / "ld.lld-19").unlink()
    monkeypatch.setenv("PATH", str(clang))
    with pytest.raises(MachineError, match=r"LLVM=-19 is set, and ld\.lld-19 is not") as caught:
        find_toolchain(llvm="-19")
    assert "clang-19 lld-19 llvm-19" in str(caught.value.next_step)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ARCH", "x86"),
        ("ARCH", "x86_64"),
        ("MAKEFLAGS", "k -- V=1"),
        ("O", "/elsewhere"),
        ("KBUILD_OUTPUT", "/elsewhere"),
        ("V", "1"),
    ],
)
def test_what_asks_for_the_same_kernel_changes_nothing(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(name, raising=False)
    before = find_toolchain(), environment()
    monkeypatch.setenv(name, value)
    assert (find_toolchain(), environment()) == before


@pytest.mark.skipif(shutil.which("ccache") is None, reason="no ccache here")
def test_ccache_stands_in_the_compilers_place(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", 10 << 30)
    bench = BuildTools(store, Events(), Toolchain("gcc", "gcc 12", ccache=True), 3)
    env = compiling(bench)
    assert env["CCACHE_DIR"] == str(store.root / "ccache")
    assert int(env["CCACHE_MAXSIZE"]) == 2 << 30
    found = shutil.which("gcc", path=env["PATH"])
    assert (
        found is not None and Path(found).resolve() == Path(str(shutil.which("ccache"))).resolve()
    )
    # Called by that name, ccache finds the compiler behind it, and not itself.
    said = subprocess.run(["gcc", "--version"], env=env, capture_output=True, text=True, check=True)
    assert "Free Software Foundation" in said.stdout
    assert compiling(bench) == env
    without = BuildTools(store, Events(), Toolchain("gcc", "gcc 12", ccache=False), 3)
    assert compiling(without) == environment()


def test_the_call(tmp_path: Path) -> None:
    bench = BuildTools(STORE, Events(), Toolchain("gcc", "gcc 12", ccache=True), 3)
    argv = make_argv(bench, Path("/src"), Path("/out"), "vmlinux", "X=1")
    assert argv[:4] == ["make", "-C", "/src", "O=/out"]
    assert {"-j4", "ARCH=x86", "CC=gcc", "--output-sync=target"} <= set(argv)
    assert argv[-2:] == ["vmlinux", "X=1"]


def test_versions_are_part_of_the_toolchain() -> None:
    found = find_toolchain()
    assert "gcc" in found.version.lower()
    assert "ld" in found.version.lower()
    with pytest.raises(MachineError, match="no-such-gcc is not installed"):
        find_toolchain(cross="no-such-")


def test_symbols_are_listed_by_the_compilers_own_nm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("gcc", "ld", "gcc-nm"):
        tool = tmp_path / name
        tool.write_text(f"#!/bin/sh\necho {name} 1.0\n")
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert "NM=gcc-nm" in variables(find_toolchain())
    # One that does not find its plugin is worse than none.
    (tmp_path / "gcc-nm").write_text("#!/bin/sh\nexit 1\n")
    assert not [word for word in variables(find_toolchain()) if word.startswith("NM=")]
