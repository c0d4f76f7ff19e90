# SPDX-License-Identifier: GPL-2.0-only
"""What CONFIG= may say: a flavour, a file; fragments with a +."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.build.flavours import flavour_names, load_flavour
from harness.build.fragments import requests
from harness.core.errors import InvocationError


def test_the_flavours_that_are_there_have_their_fragments() -> None:
    for name in flavour_names():
        flavour = load_flavour(name)
        assert flavour.name == name and flavour.own is None
        assert requests(flavour.fragments, "6.12")


@pytest.mark.parametrize("config", ["fast", "", ".config", "fast+extra.config"])
def test_an_unknown_flavour_names_those_there_are(
    config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvocationError, match=r"CONFIG=.*: there is no file .*default, kasan"):
        load_flavour(config)


def file(folder: Path, name: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("CONFIG_A=y\n")
    return path


def test_fragments_are_added_to_a_flavour(tmp_path: Path) -> None:
    one, two = file(tmp_path, "one.config"), file(tmp_path, "deep/a b+c.config")
    plain, more = load_flavour("kasan"), load_flavour(f"kasan+{one}+{two}")
    assert more.fragments == (*plain.fragments, one, two)
    assert (more.memory_mb, more.name) == (1024, "kasan+one.config+a-b-c.config")
    with pytest.raises(InvocationError, match=r"there is no file .*missing\.config$"):
        load_flavour(f"kasan+{tmp_path}/missing.config+{one}")
    with pytest.raises(InvocationError, match=r"there is no file \(nothing\)"):
        load_flavour("kasan+")


def test_a_configuration_of_the_users_own_gets_what_a_guest_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, extra = file(tmp_path, "linux-7.3+/.config"), file(tmp_path, "extra.config")
    flavour = load_flavour(f"{own}+{extra}")
    assert (flavour.own, flavour.fragments[-1]) == (own, extra)
    assert [path.stem for path in flavour.fragments[:-1]] == ["boot", "watch", "memory", "foreign"]
    assert flavour.name == "linux-7.3-.config+extra.config"
    assert flavour.start("x86") == ()
    monkeypatch.chdir(tmp_path)
    assert load_flavour("extra.config").own == extra
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_flavour("~/extra.config").own == extra


def test_a_files_name_is_no_flavours(tmp_path: Path) -> None:
    # Its runs would stand in the place of those of the flavour in a report.
    assert load_flavour(str(file(tmp_path, "kasan"))).name == "kasan.config"
    assert load_flavour(str(file(tmp_path, "kasan.config"))).name == "kasan.config"
