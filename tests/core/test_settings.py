# SPDX-License-Identifier: GPL-2.0-only
"""What the user types is checked once, before anything is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.core.command_table import VARIABLES
from harness.core.errors import InvocationError
from harness.core.settings import Settings, from_environment


def test_nothing_given_means_the_documented_defaults() -> None:
    settings = from_environment({"HOME": "/home/u"})
    assert (settings.kernel, settings.config, settings.machine) == ("7.3", "default", "auto")
    assert settings.patches is None
    assert settings.decode and not settings.debug
    assert settings.cache == Path("/home/u/.cache/kernel-series-harness")


def test_empty_is_the_same_as_not_given() -> None:
    empty = dict.fromkeys(VARIABLES, "")
    assert from_environment({**empty, "HOME": "/h"}) == from_environment({"HOME": "/h"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ACCEL", "hvf"),
        ("MACHINE", "pc98"),
        ("PATCHES", "two"),
        ("PATCHES", "-1"),
        ("JOBS", "0"),
        ("HARNESS_CACHE_LIMIT", "lots"),
    ],
)
def test_nonsense_is_named(name: str, value: str) -> None:
    with pytest.raises(InvocationError, match=f"{name}={value}") as caught:
        from_environment({name: value})
    assert caught.value.exit_code == 2
    assert caught.value.next_step


def test_a_login_is_repeated_only_where_it_was_given() -> None:
    def typed(**given: str) -> str:
        return from_environment(given).command("shell")

    assert "ROOTFS" not in typed(ROOTFS_LOGIN="root:x")
    assert typed(ROOTFS="/i").endswith(" ROOTFS=/i")
    assert typed(ROOTFS="/i", ROOTFS_LOGIN="root:x").endswith(" ROOTFS=/i ROOTFS_LOGIN=root:x")


def test_patches_zero_is_the_bare_base() -> None:
    assert from_environment({"PATCHES": "0"}).patches == 0


def test_the_cache_moves_by_a_variable(tmp_path: Path) -> None:
    assert from_environment({"HARNESS_CACHE": str(tmp_path)}).cache == tmp_path
    moved = from_environment({"XDG_CACHE_HOME": str(tmp_path)}).cache
    assert moved == tmp_path / "kernel-series-harness"


def test_the_limit_is_in_gibibytes() -> None:
    assert from_environment({"HARNESS_CACHE_LIMIT": "2"}).cache_limit == 2 << 30


FLAGS = ("DEBUG", "DECODE", "EXPLAIN", "STATICS", "KTAP", "NOTES", "SLOW")


@pytest.mark.parametrize("name", FLAGS)
def test_yes_and_no_mean_the_same_in_every_variable(name: str) -> None:
    def said(value: str) -> bool:
        return bool(getattr(from_environment({name: value}), name.lower()))

    assert all(said(yes) for yes in ("1", "yes", "true", "on", "Yes", "ON"))
    assert not any(said(no) for no in ("0", "no", "false", "off", "No", "FALSE"))
    assert said("") is (VARIABLES[name][0] == "1")
    for nonsense in ("maybe", "2", "y"):
        with pytest.raises(InvocationError, match=f"{name}={nonsense}: must be yes or no"):
            from_environment({name: nonsense})


def test_every_variable_of_the_table_is_read_and_no_other() -> None:
    class Spy(dict[str, str]):
        def get(self, name: str, default: object = None) -> Any:
            seen.add(name)
            return default

    seen: set[str] = set()
    assert isinstance(from_environment(Spy()), Settings)
    assert seen - {"HOME", "XDG_CACHE_HOME"} == set(VARIABLES)


def test_what_was_asked_is_recorded() -> None:
    asked = from_environment({"KERNEL": "6.12", "TESTS": "sigbus"}).asked()
    assert (asked["KERNEL"], asked["TESTS"], asked["PATCHES"]) == ("6.12", "sigbus", "")
    odd = from_environment({"PATCHES": "0", "DEBUG": "yes", "TESTS": "None", "REF": "True"}).asked()
    assert (odd["PATCHES"], odd["DEBUG"], odd["TESTS"], odd["REF"]) == ("0", "1", "None", "True")


def test_a_kernel_without_what_the_change_needs_is_asked_for_again_so() -> None:
    without = from_environment({"AUTOCONFIG": "0"})
    assert without.command("test-kernel") == "make test-kernel AUTOCONFIG=0"
    assert from_environment({}).command("test-kernel") == "make test-kernel"


@pytest.mark.parametrize("value", ["1", "-19", "/opt/llvm/bin/"])
def test_a_kernel_of_clang_is_asked_for_again_so(value: str) -> None:
    assert from_environment({"LLVM": value}).command("tree") == "make tree"
    assert from_environment({"LLVM": value}).command("mutants") == f"make mutants LLVM={value}"


@pytest.mark.parametrize("value", ["clang", "0", "19", "/opt/llvm/bin"])
def test_llvm_is_what_kbuild_takes(value: str) -> None:
    with pytest.raises(InvocationError, match=f"^LLVM={value}: must be 1, a suffix such as -19"):
        from_environment({"LLVM": value})
