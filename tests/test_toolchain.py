# SPDX-License-Identifier: GPL-2.0-only
"""How the kernel's make is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import MachineError
from harness.events import Events
from harness.store import Store
from harness.toolchain import Toolchain, Workbench, environment, find_toolchain, make_argv

STORE = Store(Path("/store"), 10 << 30)


def test_the_environment_is_a_list_of_what_may_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    kept_out = {"MAKEFLAGS", "KCFLAGS", "ARCH", "DEBUG", "KERNEL", "V", "CCACHE_DISABLE"}
    for name in kept_out:
        monkeypatch.setenv(name, "1")
    env = environment(STORE)
    assert not kept_out & env.keys()
    assert env["CCACHE_DIR"] == "/store/ccache"
    assert env["KBUILD_BUILD_HOST"] == "localhost"
    assert int(env["CCACHE_MAXSIZE"]) == 2 << 30


def test_the_call(tmp_path: Path) -> None:
    bench = Workbench(STORE, Events(), Toolchain("gcc", "gcc 12", ccache=True), 3)
    argv = make_argv(bench, Path("/src"), Path("/out"), "vmlinux", "X=1")
    assert argv[:4] == ["make", "-C", "/src", "O=/out"]
    assert {"-j4", "ARCH=x86", "CC=ccache gcc", "--output-sync=target"} <= set(argv)
    assert argv[-2:] == ["vmlinux", "X=1"]
    plain = Workbench(STORE, Events(), Toolchain("gcc", "gcc 12", ccache=False), 3)
    assert "CC=gcc" in make_argv(plain, Path("/src"), Path("/out"))


def test_versions_are_part_of_the_toolchain() -> None:
    found = find_toolchain()
    assert "gcc" in found.version.lower()
    assert "ld" in found.version.lower()
    with pytest.raises(MachineError, match="no-such-cc is not installed"):
        find_toolchain("no-such-cc")
