# SPDX-License-Identifier: GPL-2.0-only
"""SERIES=<message-id>: b4 fetches it, and what b4 says when it cannot reaches the user."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import MachineError
from harness.series import fetch_thread
from harness.series.fetch_thread import message_id
from harness.series.patches import load_series
from tests.support.limits import SOON_S, time_out_after
from tests.support.toy import Toy, grow

ID = "20140429-volatile@example.org"


@pytest.mark.parametrize(
    ("spec", "one"),
    [
        (ID, True),
        (f"<{ID}>", True),
        (f"https://archive.example.org/linux-mm/{ID}/", True),
        (f"https://archive.example.org/linux-mm/{ID}/T/#u", True),
        (f"{ID}/0001-x.patch", False),
        ("https://user@example.org/v15.mbox", False),
        ("v15.mbox", False),
        ("a@b..c", True),
        ("../a@b", False),
        ("HEAD~2..HEAD", False),
    ],
)
def test_what_is_a_message_id(spec: str, one: bool) -> None:
    assert (message_id(spec) is not None) is one
    if one and ID in spec:
        assert message_id(spec) == ID


def fake_b4(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """A program called b4 in PATH that notes its arguments."""
    folder.mkdir()
    program = folder / "b4"
    program.write_text(f'#!/bin/sh\necho "$@" > {folder}/asked\n{script}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return folder


def test_b4_fetches_the_thread(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = toy.series(("one", {"mm/swap.c": grow}), ("two", {"mm/madvise.c": grow}))
    mbox = tmp_path / "thread"
    head = b"From mboxrd@z Thu Jan  1 00:00:00 1970\nSubject: [PATCH 0/2] x\n"
    cover = head + b"Message-ID: <cover@example.org>\n\nHello.\n"
    patches = (p.read_bytes() for p in sorted(folder.glob("*.patch")))
    mbox.write_bytes(b"\n".join([cover, *patches]))
    b4 = fake_b4(tmp_path / "bin", monkeypatch, f"cp {mbox} ./{ID}.mbx")
    series = load_series(toy.settings(series=f"<{ID}>"), toy.base())
    assert [p.subject for p in series.patches] == ["one", "two"]
    assert series.letter and series.letter.message_id == "cover@example.org"
    assert series.source == f"<{ID}>"
    asked = (b4 / "asked").read_text().split()
    assert asked[0] == "mbox" and asked[-1] == ID


@pytest.mark.parametrize("status", [1, 0])
def test_what_b4_says_reaches_the_user(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    fake_b4(
        tmp_path / "bin", monkeypatch, f"echo Grabbing thread; echo no route >&2; exit {status}"
    )
    with pytest.raises(MachineError, match="no route") as caught:
        load_series(toy.settings(series=ID), toy.base())
    assert caught.value.exit_code == 3 and ID in caught.value.what


def test_an_archive_that_does_not_answer_is_given_up(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_b4(tmp_path / "bin", monkeypatch, "echo Grabbing thread; exec sleep infinity")
    monkeypatch.setattr(fetch_thread, "FETCH_TIMEOUT_S", SOON_S)
    time_out_after(monkeypatch, "Grabbing thread")
    with pytest.raises(MachineError, match="Grabbing thread\nended by signal"):
        load_series(toy.settings(series=ID), toy.base())
