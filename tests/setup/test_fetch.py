# SPDX-License-Identifier: GPL-2.0-only
"""A fetched file is the one whose hash was asked for, or is not there."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from harness.setup.fetch import UnavailableError, fetch
from tests.support.web import served

TEXT = b"linux" * 1000


def test_the_file_with_that_hash_is_fetched(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_bytes(TEXT)
    with served(tmp_path / "there") as (url, asked):
        fetch(f"{url}/file", hashlib.sha256(TEXT).hexdigest(), tmp_path / "here")
    assert (tmp_path / "here").read_bytes() == TEXT
    assert asked == ["/file"]


def test_another_file_is_not_left(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(TEXT[1:])
    with (
        served(tmp_path) as (url, _),
        pytest.raises(UnavailableError, match=rf"not {hashlib.sha256(TEXT).hexdigest()}"),
    ):
        fetch(f"{url}/file", hashlib.sha256(TEXT).hexdigest(), tmp_path / "here")
    assert not (tmp_path / "here").exists()


def test_what_is_not_there_is_said_with_its_address(tmp_path: Path) -> None:
    with served(tmp_path) as (url, _), pytest.raises(UnavailableError, match=f"{url}/x.*404"):
        fetch(f"{url}/x", "0" * 64, tmp_path / "here")
    # The server has gone: nobody listens there.
    with pytest.raises(UnavailableError, match=f"{url}/x.*refused"):
        fetch(f"{url}/x", "0" * 64, tmp_path / "here")
