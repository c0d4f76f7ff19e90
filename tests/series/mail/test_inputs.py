# SPDX-License-Identifier: GPL-2.0-only
"""A loop over what people hand in, read and applied to the toy kernel."""

from __future__ import annotations

import gzip
import os
import socket
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.core import git
from harness.core.errors import HarnessError, InvocationError
from harness.core.events import Events
from harness.core.store import Store
from harness.series import mailbox
from harness.series.apply import Applied, apply_series
from harness.series.mail import read_mail
from harness.series.patches import Series, load_series
from tests.series.mail.inputs import AND_MORE, AS_POSTED, Input
from tests.series.mail.odd_inputs import FOLDERS, INPUTS
from tests.series.mail.parts import OTHER, STEPS, Part, mail, mbox, posted, split_patch
from tests.support.toy import Toy, repository


class Reader:
    """A toy kernel and the parts of a series on it."""

    def __init__(self, root: Path) -> None:
        self.toy = Toy(root, repository(root / "linux"), Store(root / "store", 1 << 30), Events())
        self.base = self.toy.base()
        folder = self.toy.series(*STEPS)
        self.parts = [split_patch(p.read_bytes()) for p in sorted(folder.glob("*.patch"))]
        self.tree = self.apply(folder)[1].tree

    def apply(self, given: Path, **more: object) -> tuple[Series, Applied]:
        """Reads and applies what SERIES= names."""
        series = load_series(self.toy.settings(series=str(given), **more), self.base)
        return series, apply_series(self.base, series, None, self.toy.store, Events())


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    return Reader(tmp_path_factory.mktemp("mail"))


@pytest.mark.parametrize("one", INPUTS, ids=lambda one: one.name)
def test_what_comes_of_a_file(reader: Reader, tmp_path: Path, one: Input) -> None:
    path = tmp_path / "handed.in"
    path.write_bytes(one.make(reader.parts))
    if one.status in (AS_POSTED, AND_MORE):
        series, applied = reader.apply(path)
        assert (applied.tree == reader.tree) is (one.status == AS_POSTED)
        assert one.says in "\n".join(series.remarks)
        assert one.says or not [said for said in series.remarks if "left out" in said]
        return
    with pytest.raises(HarnessError) as caught:
        reader.apply(path)
    assert caught.value.exit_code == one.status, caught.value.what
    assert one.says in caught.value.what


@pytest.mark.parametrize("make", FOLDERS)
def test_what_comes_of_a_folder(reader: Reader, tmp_path: Path, make: object) -> None:
    make(tmp_path, reader.parts)  # type: ignore[operator]
    series, applied = reader.apply(tmp_path)
    assert applied.tree == reader.tree
    headed = make.__name__ not in ("quilt", "two_versions")  # type: ignore[attr-defined]
    letter = series.letter
    assert (letter is not None and letter.message_id == "v1-0@example.org") is headed


def test_a_list_of_quilt_that_leads_elsewhere_is_refused(reader: Reader, tmp_path: Path) -> None:
    (tmp_path / "a.patch").write_bytes(reader.parts[0].diff)
    for line in ("../a.patch", "b.patch", "a.patch -R"):
        (tmp_path / "series").write_text(f"a.patch\n{line}\n")
        with pytest.raises(InvocationError, match="series:2: "):
            reader.apply(tmp_path)


def test_two_patches_of_one_number_are_refused(reader: Reader, tmp_path: Path) -> None:
    for name in ("0001-a.patch", "0001-b.patch"):
        (tmp_path / name).write_bytes(posted(reader.parts)[0])
    with pytest.raises(InvocationError, match=r"one number.*\n  0001-a.patch\n  0001-b.patch"):
        reader.apply(tmp_path)


def test_two_mailboxes_in_a_folder_are_refused(reader: Reader, tmp_path: Path) -> None:
    for name in ("a.mbx", "b.mbx"):
        (tmp_path / name).write_bytes(mbox(posted(reader.parts)))
    with pytest.raises(InvocationError, match=r"2 mailboxes.*\n  a.mbx\n  b.mbx"):
        reader.apply(tmp_path)


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        ("a.mbox", "0001-a.patch", "and"),
        ("a.eml", "0001-a.patch", "and"),
        ("a.mbox", "a.eml", "and"),
        ("a.mbx", "b.mbox", "mailboxes"),
        ("a.mbox", "b.mbox.gz", "mailboxes"),
    ],
)
def test_a_folder_of_two_kinds_is_refused(
    reader: Reader, tmp_path: Path, one: str, other: str, kind: str
) -> None:
    for name in (one, other):
        (tmp_path / name).write_bytes(mbox(posted(reader.parts)))
    with pytest.raises(InvocationError, match=rf"(?s)holds .*{one}.*{other}") as caught:
        reader.apply(tmp_path)
    assert f" {kind}" in caught.value.what


@pytest.mark.parametrize("name", ["cur/1", "0001-a.patch", "0000-cover-letter.patch", "a.eml"])
def test_a_pipe_in_a_folder_is_refused(reader: Reader, tmp_path: Path, name: str) -> None:
    """Nobody writes to it, so that whoever reads it waits for ever."""
    (tmp_path / "0002-b.patch").write_bytes(posted(reader.parts)[0])
    if not name.endswith(".patch"):
        (tmp_path / "0002-b.patch").unlink()
    (tmp_path / name).parent.mkdir(exist_ok=True)
    os.mkfifo(tmp_path / name)
    with pytest.raises(InvocationError, match=f"{name} is no plain file"):
        reader.apply(tmp_path)


def test_more_mails_than_a_series_has_are_not_read(
    reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailbox, "MAX_MAILS", 2)
    (tmp_path / "cur").mkdir()
    for n, one in enumerate(posted(reader.parts)):
        (tmp_path / "cur" / str(n)).write_bytes(one)
    (tmp_path / "x").write_bytes(mbox(posted(reader.parts)))
    for path in (tmp_path, tmp_path / "x"):
        with pytest.raises(InvocationError, match="holds 3 mails, more than 2"):
            reader.apply(path)
    monkeypatch.setattr(mailbox, "MAX_BYTES", 1000)
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"\n" * 1001))
    for path in (tmp_path / "x", tmp_path / "x.gz"):
        with pytest.raises(InvocationError, match="is larger than"):
            reader.apply(path)


def test_a_part_of_a_version_beside_an_older_one_is_refused(reader: Reader, tmp_path: Path) -> None:
    first, *others = posted(reader.parts)
    for name, one in zip(("0001-a", "0002-b", "0003-c"), (first, *others), strict=True):
        (tmp_path / f"{name}.patch").write_bytes(one)
    (tmp_path / "v2-0001-a.patch").write_bytes(first)
    with pytest.raises(
        InvocationError, match=r"0003-c.patch\nby .* 3 patches, and 2, 3 is missing"
    ):
        reader.apply(tmp_path)


def test_a_patch_that_is_not_in_a_folder_is_told(reader: Reader, tmp_path: Path) -> None:
    (tmp_path / "0001-a.patch").write_bytes(posted(reader.parts)[0])
    said = "by their subjects they are of 3 patches, and 2, 3 is missing"
    assert reader.apply(tmp_path)[0].remarks == (said,)


@pytest.mark.parametrize(
    ("sender", "author"),
    [
        ("Änne Écrivain <ann@example.org>", "Änne Écrivain"),
        ("=?big5_tw?B?tn21b6rMpdI=?= <ann@example.org>", "開發者甲"),
        ('"" <ann@example.org>', "ann@example.org"),
        ('"Author, Ann" <ann@example.org>', "Author, Ann"),
        ("Author, Ann <ann@example.org>", "Author, Ann"),
    ],
)
@pytest.mark.parametrize("encoding", ["8bit", "quoted-printable"])
def test_the_author_is_who_git_am_says(
    reader: Reader, tmp_path: Path, sender: str, author: str, encoding: str
) -> None:
    path = tmp_path / "x.mbox"
    body = reader.parts[1].body.replace(b"=", b"=3D")
    if encoding == "8bit":
        body = reader.parts[1].body
    path.write_bytes(mail("[PATCH] x", body, sender=sender, Content_Transfer_Encoding=encoding))
    _, applied = reader.apply(path)
    assert git.text(applied.repo, "log", "-1", "--format=%an", applied.commit) == author


def test_the_first_line_of_a_mail_names_another_author(reader: Reader, tmp_path: Path) -> None:
    path = tmp_path / "x.mbox"
    body = b"From: Somebody Else <else@example.org>\n\n" + reader.parts[0].body
    path.write_bytes(mbox([mail("[PATCH] x", body)]))
    _, applied = reader.apply(path)
    assert git.text(applied.repo, "log", "-1", "--format=%ae", applied.commit) == "else@example.org"


def test_hidden_characters_are_taken_when_asked_for(reader: Reader, tmp_path: Path) -> None:
    path = tmp_path / "x.mbox"
    part = reader.parts[0].but(b"counted(", "counted(\u202e".encode())
    path.write_bytes(mbox(posted([part])))
    assert len(reader.apply(path, allow_bidi=True)[1].patches) == 1


def test_b4_does_not_use_the_network_for_a_mailbox(
    reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("it tried the network")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    path = tmp_path / "x.mbox"
    signed = {"DKIM_Signature": "v=1; a=rsa-sha256; d=example.org; s=x; b=AA==", "List_Id": "<x.y>"}
    link = mail("Re: [PATCH 1/3] x", b"Reviewed-by: A <a@b.c>\nLink: https://x.y/\n", "r", "v1-1")
    path.write_bytes(mbox([*posted(reader.parts, **signed), link]))
    assert reader.apply(path)[1].tree == reader.tree


def test_a_remark_is_one_line(reader: Reader, tmp_path: Path) -> None:
    path = tmp_path / "x.mbox"
    path.write_bytes(mbox([*posted(reader.parts), *posted(reader.parts, "PATCH v2 {n}/{m}", "v2")]))
    series, _ = reader.apply(path)
    assert series.remarks == ("b4: v2, 3 patches; left out: v1",)


WORDS = [b"\n\n", b"=?x?Q?", b"\0", b"\n@@ -1,9 +1 @@\n", b"Content-Type: multipart/mixed\n"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_whatever_the_bytes_it_is_no_defect_of_ours(
    reader: Reader, tmp_path: Path, data: st.DataObject
) -> None:
    """A mailbox with bytes changed, cut and put in is read, or refused by its kind of error."""
    whole = data.draw(st.sampled_from(INPUTS)).make(reader.parts)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole)))
        cut = data.draw(st.integers(0, 40))
        put = data.draw(st.one_of(st.binary(max_size=9), st.sampled_from(WORDS)))
        whole = whole[:at] + put + whole[at + cut :]
    path = tmp_path / "x.mbox"
    path.write_bytes(whole)
    try:
        reader.apply(path)
    except HarnessError as error:
        assert error.exit_code in (1, 2), error.what


@given(st.binary(max_size=300))
def test_any_bytes_read_as_a_mail(text: bytes) -> None:
    assert all(isinstance(one.text, bytes) for one in read_mail(b"From: a\n" + text))


@pytest.mark.parametrize("kind", ["multipart/mixed; boundary=b", "message/news", "message/partial"])
def test_an_attached_mail_that_has_no_parts_keeps_its_bytes(reader: Reader, kind: str) -> None:
    """The email package writes such a text decoded: it failed, and would have changed a diff."""
    body = reader.parts[2].body.replace("ö".encode(), b"\xf6")
    assert b"\xf6" in body
    inner = f"From: {OTHER}\nSubject: [PATCH] one\nContent-Type: {kind}\n\n".encode() + body
    outer = f"From: {OTHER}\nSubject: see below\nContent-Type: message/rfc822\n\n".encode()
    (mail,) = read_mail(outer + inner)
    assert b"\xf6" in mail.text or mail.fault is not None


def test_the_parts_are_those_of_the_series(reader: Reader) -> None:
    assert [part.subject for part in reader.parts] == [subject for subject, _ in STEPS]
    assert all(isinstance(part, Part) and part.diff.startswith(b"diff") for part in reader.parts)
