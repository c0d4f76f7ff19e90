# SPDX-License-Identifier: GPL-2.0-only
"""make tree and make refresh: there and back again, byte by byte."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.commands import edit
from harness.commands.edit import place
from harness.core import git
from harness.core.errors import InvocationError
from tests.support.toy import Step, Toy, commit, grow

ONE: Step = ("mm: one", {"mm/swap.c": grow})
NAME = "mm: a \u201cname\u201d that is much longer than the sixty-four characters a file may have"
TWO: Step = (NAME, {"mm/volatile.c": "int one;\n", "include/linux/mm.h": grow})


class Desk:
    """A toy, a series in a directory, and the tree made from it; both commands' output."""

    def __init__(self, toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
        self.toy = toy
        self.capsys = capsys
        self.folder = toy.series(ONE, TWO)
        self.path = toy.root / "edit"

    def project(self, folder: Path) -> Path:
        """The folder as that of a project: what it promises is not looked at here."""
        about = (
            "name: toy\ntitle: Toy\ncontract: contract.md\nguest_tests: toy\nholds_from: {T-1: 0}\n"
        )
        (folder / "series.yaml").write_text(f"{about}patches: []\n")
        (folder / "contract.md").write_text("## Toy\n| T-1 | It is there. |\n")
        return folder

    def tree(self, **given: object) -> str:
        wanted = {"series": str(self.folder), "tree": str(self.path), **given}
        assert edit.tree(self.toy.settings(**wanted)) == 0
        return self.capsys.readouterr().out

    def refresh(self, **given: object) -> list[str]:
        wanted = {"series": "", "tree": str(self.path), **given}
        assert edit.refresh(self.toy.settings(**wanted)) == 0
        return self.capsys.readouterr().out.splitlines()

    def files(self) -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in sorted(self.folder.iterdir())}


@pytest.fixture
def desk(toy: Toy, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(toy, capsys)


def test_the_tree_is_a_branch_on_the_base(desk: Desk) -> None:
    made = desk.tree()
    assert f"{desk.path}: branch series/series, 2 patches on base, 6.1.7 (" in made
    assert git.text(desk.path, "branch", "--show-current") == "series/series"
    assert git.text(desk.path, "rev-list", "--count", "base..HEAD") == "2"
    assert git.text(desk.path, "status", "--porcelain") == ""
    assert "grown" in (desk.path / "mm/swap.c").read_text()


def test_there_and_back_is_the_same_bytes(desk: Desk) -> None:
    before = desk.files()
    times = {p.name: p.stat().st_mtime_ns for p in desk.folder.iterdir()}
    desk.tree()
    done = desk.refresh()
    assert desk.files() == before
    assert done == [f"{desk.folder}: 2 patches, none changed"]
    assert {p.name: p.stat().st_mtime_ns for p in desk.folder.iterdir()} == times


def test_the_users_settings_do_not_show(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    before = desk.files()
    config = desk.toy.root / "gitconfig"
    config.write_text(
        "[format]\nsignature=me\nnumbered=true\nthread=true\nsubjectPrefix=RFC\n"
        "[diff]\nnoprefix=true\ncontext=9\nalgorithm=patience\nrenames=false\n"
        "[core]\nabbrev=7\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("COLUMNS", "40")
    desk.tree()
    desk.refresh()
    assert desk.files() == before


def test_an_edit_changes_its_patch_only(desk: Desk) -> None:
    before = desk.files()
    desk.tree()
    commit(desk.path, {"mm/third.c": "int third;\n"}, "mm: three")
    done = desk.refresh()
    assert done == ["written 0003-mm-three.patch", f"{desk.folder}: 3 patches"]
    assert {n: desk.files()[n] for n in before} == before


def test_a_patch_that_is_dropped_is_removed_and_the_cover_letter_stays(desk: Desk) -> None:
    (desk.folder / "0000-cover-letter.patch").write_text("hello\n")
    desk.tree()
    git.text(desk.path, "reset", "--quiet", "--hard", "HEAD~1")
    done = desk.refresh()
    assert [line.split()[0] for line in done] == ["removed", f"{desk.folder}:"]
    assert sorted(desk.files()) == ["0000-cover-letter.patch", "0001-mm-one.patch"]


def test_a_series_for_a_new_kernel_line_begins_on_the_bare_base(desk: Desk) -> None:
    project = desk.toy.root / "patches"
    (project / "6.12").mkdir(parents=True)
    new = {"series": "", "project": desk.project(project)}
    with pytest.raises(InvocationError, match="no series of ours") as caught:
        desk.tree(**new, patches=None)
    settings = desk.toy.settings(**new, tree=str(desk.path), patches=None)
    assert settings.command("tree", PATCHES="0") in str(caught.value.next_step)
    made = desk.tree(**new, patches=0)
    assert "0 patches on base, 6.1.7 (" in made
    assert f"writes the branch back to {project / '6.1'}\n" in made
    commit(desk.path, {"mm/first.c": "int first;\n"}, "mm: one")
    done = desk.refresh(project=project)
    assert done == ["written 0001-mm-one.patch", f"{project / '6.1'}: 1 patches"]


def test_uncommitted_edits_are_not_lost_silently(desk: Desk) -> None:
    desk.tree()
    (desk.path / "mm/swap.c").write_text("int edited;\n")
    with pytest.raises(InvocationError, match="not committed") as caught:
        desk.refresh()
    assert "--amend" in str(caught.value.next_step)
    with pytest.raises(InvocationError, match="holds edits"):
        desk.toy.series(ONE)
        desk.tree()
    assert (desk.path / "mm/swap.c").read_text() == "int edited;\n"


def test_committed_edits_are_not_overwritten_either(desk: Desk) -> None:
    desk.tree()
    commit(desk.path, {"mm/third.c": "int third;\n"}, "mm: three")
    with pytest.raises(InvocationError, match="holds edits"):
        desk.tree()
    desk.refresh()
    assert "(was there already)" in desk.tree()


def test_an_unedited_tree_follows_the_series(desk: Desk) -> None:
    desk.tree()
    desk.toy.series(ONE)
    made = desk.tree()
    assert "1 patches on base, 6.1.7 (" in made and ") (was there already)\n" in made
    assert not (desk.path / "mm/volatile.c").exists()


def test_the_tree_outlives_the_store(desk: Desk) -> None:
    desk.tree()
    shutil.rmtree(desk.toy.store.root)
    assert git.text(desk.path, "fsck", "--connectivity-only") == ""
    assert desk.refresh() == [f"{desk.folder}: 2 patches, none changed"]


def test_a_merge_and_a_lost_base_are_refused(desk: Desk) -> None:
    desk.tree()
    git.text(desk.path, "checkout", "--quiet", "-b", "side", "base")
    commit(desk.path, {"side": "x\n"}, "side")
    git.text(desk.path, "checkout", "--quiet", "series/series")
    git.text(desk.path, "merge", "--quiet", "--no-edit", "side")
    with pytest.raises(InvocationError, match="has a merge"):
        desk.refresh()
    git.text(desk.path, "checkout", "--quiet", "--orphan", "alone")
    git.text(desk.path, "commit", "--quiet", "--message=alone")
    with pytest.raises(InvocationError, match="no longer starts at its base"):
        desk.refresh()


def test_a_part_of_the_series_is_not_taken_for_the_whole(desk: Desk) -> None:
    with pytest.raises(InvocationError, match="would drop the other patches"):
        desk.tree(patches=1)


def test_an_mbox_cannot_be_written_back_but_a_directory_can_be_named(desk: Desk) -> None:
    mbox = desk.toy.root / "v1.mbox"
    mbox.write_bytes(b"".join(desk.files().values()))
    before = desk.files()
    assert f"SERIES=DIRECTORY TREE={desk.path} writes the branch back\n" in desk.tree(
        series=str(mbox)
    )
    with pytest.raises(InvocationError, match="none of which can be written back"):
        desk.refresh()
    desk.folder = desk.toy.root / "written"
    desk.refresh(series=str(desk.folder))
    assert desk.files() == before


def test_a_directory_of_somebody_else_is_left_alone(desk: Desk) -> None:
    desk.path.mkdir()
    (desk.path / "precious").write_text("x")
    with pytest.raises(InvocationError, match="is no tree of ours"):
        desk.tree()
    with pytest.raises(InvocationError, match="no tree of ours"):
        desk.refresh()


def test_the_tree_says_what_to_type(desk: Desk) -> None:
    made = desk.tree()
    settings = desk.toy.settings(series=str(desk.folder), tree=str(desk.path))
    assert f"{settings.command('refresh', SERIES='')} writes the branch back to" in made
    assert f"git -C {desk.path} commit --all --amend" in made


def test_the_default_place_is_named_after_the_kernel(toy: Toy) -> None:
    from harness.core.settings import PROJECT

    assert place(toy.settings(kernel="6.1")) == PROJECT / "tree" / "6.1"
    assert place(toy.settings(kernel="6.1", tree="/x/y")) == Path("/x/y")


def test_the_tree_of_an_installed_program_names_no_place_to_write_to(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = desk.project(desk.toy.series(ONE, name="6.1").parent)
    monkeypatch.setattr(edit, "PROGRAM", "kernel-series-harness")
    monkeypatch.setattr(edit, "PROJECT", project)
    made = desk.tree(series="", project=project)
    assert f"SERIES=DIRECTORY TREE={desk.path} writes the branch back\n" in made
    with pytest.raises(InvocationError, match="the installed program"):
        desk.refresh(project=project)
