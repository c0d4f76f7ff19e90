# SPDX-License-Identifier: GPL-2.0-only
"""The table of kernels, and how apt is asked about a place."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.command_table import VARIABLES, default_kernel
from harness.core.store import Store
from harness.series.kernels import SourcePlace, known_kernels, lists_of, resolved
from harness.setup import apt
from harness.setup.fetch import UnavailableError


def test_latest_is_the_newest_line_by_number() -> None:
    newest = max(known_kernels(), key=lambda line: tuple(map(int, line.split("."))))
    assert resolved("latest") == newest
    assert resolved("6.1,latest") == f"6.1,{newest}"
    assert resolved("/latest") == "/latest"


def test_every_place_is_a_suite_or_a_tarball_with_its_hash() -> None:
    for line, about in known_kernels().items():
        assert about.package == f"linux-source-{line}"
        assert about.places[0] == SourcePlace(apt="machine")
        for place in about.places[1:]:
            if place.url is None:
                assert place.apt and place.archive, (line, place)
            else:
                assert place.url.startswith("https://"), place
                assert f"/linux-{line}." in place.url, place
                assert len(bytes.fromhex(place.sha256 or "")) == 32, place


def test_the_default_and_what_help_names_are_in_the_table() -> None:
    assert default_kernel("volatile") in known_kernels()
    assert f"base: {', '.join(known_kernels())}, latest," in VARIABLES["KERNEL"][1]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What suites are asked about, on a machine whose sources are Debian's main archive only."""
    found: list[tuple[str, str]] = []

    @contextlib.contextmanager
    def machine_lists(store: Store) -> Iterator[tuple[str, ...]]:
        yield ("machine",)

    @contextlib.contextmanager
    def suite_lists(store: Store, suite: str, uri: str) -> Iterator[tuple[str, ...]]:
        found.append((suite, uri))
        yield ("suite",)

    monkeypatch.setattr(apt, "available", lambda: True)
    monkeypatch.setattr(apt, "machine_lists", machine_lists)
    monkeypatch.setattr(apt, "suite_lists", suite_lists)
    monkeypatch.setattr(apt, "archives", lambda options=(): {"Debian": "http://mirror/debian/"})
    return found


def test_a_suite_is_looked_for_at_the_machines_own_mirror(
    asked: list[tuple[str, str]], tmp_path: Path
) -> None:
    store = Store(tmp_path, 1)
    with lists_of(SourcePlace(apt="machine"), store) as options:
        assert options == ("machine",)
    with lists_of(SourcePlace(apt="experimental", archive="Debian"), store) as options:
        assert options == ("suite",)
    assert asked == [("experimental", "http://mirror/debian/")]


def test_an_archive_that_is_no_source_here_is_said(
    asked: list[tuple[str, str]], tmp_path: Path
) -> None:
    place = SourcePlace(apt="bookworm-security", archive="Debian-Security")
    with (
        pytest.raises(UnavailableError, match="Debian-Security is a source"),
        lists_of(place, Store(tmp_path, 1)),
    ):
        pass
    assert not asked
