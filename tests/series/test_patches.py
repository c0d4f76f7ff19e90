# SPDX-License-Identifier: GPL-2.0-only
"""SERIES= in all its forms."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core import git
from harness.core.errors import InvocationError
from harness.series.patches import FORMAT_PATCH, Series, load_series, parse_patch
from tests.support.toy import Step, Toy, commit, grow

TWO: tuple[Step, ...] = (
    ("mm: one more function", {"mm/swap.c": grow}),
    ("mm: a new file\u2019s first line", {"mm/volatile.c": "int volatile_one;\n"}),
)


def load(toy: Toy, **given: object) -> Series:
    return load_series(toy.settings(**given), toy.base())


def test_a_directory_in_order_without_its_cover_letter(toy: Toy) -> None:
    folder = toy.series(*TWO)
    (folder / "0000-cover-letter.patch").write_text("Subject: [PATCH 0/2] hello\n\nfoo\n")
    (folder / "notes.txt").write_text("not a patch")
    series = load(toy, series=str(folder))
    assert [p.subject for p in series.patches] == [s for s, _ in TWO]
    assert [p.files for p in series.patches] == [("mm/swap.c",), ("mm/volatile.c",)]
    assert len({p.patch_id for p in series.patches}) == 2


def test_the_patch_id_does_not_depend_on_the_message(toy: Toy) -> None:
    one = load(toy, series=str(toy.series(("first wording", {"mm/swap.c": grow}))))
    two = load(toy, series=str(toy.series(("second wording", {"mm/swap.c": grow}))))
    assert one.patches[0].patch_id == two.patches[0].patch_id


def test_an_mbox_is_sorted_by_number_and_talk_is_left_out(toy: Toy) -> None:
    first, second = (
        p.read_bytes().replace(b"[PATCH]", b"[PATCH %d/2]" % n)
        for n, p in enumerate(sorted(toy.series(*TWO).glob("*.patch")), 1)
    )
    talk = (
        b"From mboxrd@z Thu Jan  1 00:00:00 1970\nFrom: A <a@example.org>\n"
        b"Subject: Re: [PATCH 1/2] one\nDate: Thu, 1 Jan 2026 00:00:00 +0000\n\nNice.\n\n"
    )
    mbox = toy.root / "v2.mbox"
    mbox.write_bytes(second + b"\n" + talk + first)
    series = load(toy, series=str(mbox))
    assert [p.subject for p in series.patches] == [s for s, _ in TWO]


def test_a_git_range_of_the_kernel_tree(toy: Toy) -> None:
    git.text(toy.tree, "tag", "start")
    for subject, edits in TWO:
        commit(toy.tree, edits, subject)
    git.text(toy.tree, "branch", "-m", "topic")
    series = load_series(toy.settings(series="start..topic", ref="start"), toy.base(ref="start"))
    assert [p.subject for p in series.patches] == [s for s, _ in TWO]


@pytest.mark.parametrize("spec", ["no..where", "HEAD..HEAD"])
def test_a_range_without_commits_is_refused(toy: Toy, spec: str) -> None:
    with pytest.raises(InvocationError, match=r"SERIES="):
        load(toy, series=spec)


def test_what_is_no_series_is_refused(toy: Toy) -> None:
    empty = toy.root / "empty"
    empty.mkdir()
    text = toy.root / "text"
    text.write_text("hello\n")
    for given in (empty, text, toy.root / "missing"):
        with pytest.raises(InvocationError):
            load(toy, series=str(given))


@pytest.mark.parametrize(
    ("mail", "lacks"),
    [
        (b"--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n", "Subject"),
        (b"From: A <a@b.c>\nSubject: [PATCH] talk\n\nNo diff here.\n", "no diff"),
        (b"Subject: [PATCH] x\n\n---\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n", "From"),
    ],
)
def test_a_file_that_is_no_mail_with_a_patch_is_refused(mail: bytes, lacks: str) -> None:
    with pytest.raises(InvocationError, match=lacks):
        parse_patch(mail, "0001-x.patch")


def test_a_mail_without_a_date_gets_one() -> None:
    diff = b"--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"
    mail = b"From: A <a@b.c>\nSubject: [PATCH v2 1/2] x: y\n\nz\n---\n" + diff
    patch = parse_patch(mail, "x")
    assert patch.subject == "x: y"
    assert b"\nFrom: A" in patch.text or patch.text.startswith(b"Date:")
    assert patch.text.count(b"Date:") == 1


def test_renames_and_deletions_name_both_paths(toy: Toy) -> None:
    scratch = toy.root / "scratch"
    git.text(None, "clone", "--quiet", str(toy.tree), str(scratch))
    (scratch / "mm/swap.c").rename(scratch / "mm/swap_file.c")
    commit(scratch, {"drivers/driver.c": None}, "move")
    mail = git.raw(scratch, *FORMAT_PATCH, "--find-renames", "--stdout", "-1")
    files = parse_patch(mail, "x").files
    assert set(files) == {"mm/swap.c", "mm/swap_file.c", "drivers/driver.c"}


def test_the_default_series_is_that_of_the_line(toy: Toy, tmp_path: Path) -> None:
    project = tmp_path / "patches"
    project.mkdir()
    toy.series(*TWO).rename(project / "6.1")
    series = load(toy, project=project)
    assert len(series.patches) == 2


def test_a_kernel_without_a_default_series_says_which_there_are(toy: Toy, tmp_path: Path) -> None:
    project = tmp_path / "patches"
    project.mkdir()
    toy.series(*TWO).rename(project / "6.12")
    with pytest.raises(InvocationError, match=r"Linux 6\.1 \(only for: 6\.12\)"):
        load(toy, project=project)
    assert load(toy, project=project, patches=0).patches == ()
