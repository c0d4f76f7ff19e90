# SPDX-License-Identifier: GPL-2.0-only
"""What the user types is checked once, before anything is done."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import InvocationError
from harness.settings import VARIABLES, from_environment


def test_nothing_given_means_the_documented_defaults() -> None:
    settings = from_environment({"HOME": "/home/u"})
    assert (settings.kernel, settings.config, settings.machine) == ("6.1", "default", "auto")
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
    assert from_environment({"ROOTFS_LOGIN": "root:x"}).given() == ""
    image = {"ROOTFS": "/i"}
    assert from_environment(image).given() == "ROOTFS=/i"
    given = from_environment({**image, "ROOTFS_LOGIN": "root:x"}).given()
    assert given == "ROOTFS=/i ROOTFS_LOGIN=root:x"


def test_patches_zero_is_the_bare_base() -> None:
    assert from_environment({"PATCHES": "0"}).patches == 0


def test_the_cache_moves_by_a_variable(tmp_path: Path) -> None:
    assert from_environment({"HARNESS_CACHE": str(tmp_path)}).cache == tmp_path
    moved = from_environment({"XDG_CACHE_HOME": str(tmp_path)}).cache
    assert moved == tmp_path / "kernel-series-harness"


def test_the_limit_is_in_gibibytes() -> None:
    assert from_environment({"HARNESS_CACHE_LIMIT": "2"}).cache_limit == 2 << 30


def test_what_was_asked_is_recorded() -> None:
    asked = from_environment({"KERNEL": "6.12", "TESTS": "sigbus"}).asked()
    assert (asked["KERNEL"], asked["TESTS"], asked["PATCHES"]) == ("6.12", "sigbus", "")
