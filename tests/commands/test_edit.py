# SPDX-License-Identifier: GPL-2.0-only
"""make tree and make refresh: there and back again, byte by byte."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.commands import edit
from harness.commands.edit import EditTree, Refreshed, make_tree, place, write_back
from harness.core import git
from harness.core.errors import InvocationError
from tests.support.toy import Step, Toy, commit, grow

ONE: Step = ("mm: one", {"mm/swap.c": grow})
NAME = "mm: a \u201cname\u201d that is much longer than the sixty-four characters a file may have"
TWO: Step = (NAME, {"mm/volatile.c": "int one;\n", "include/linux/mm.h": grow})


class Desk:
    """A toy, a series in a directory, and the tree made from it."""

    def __init__(self, toy: Toy) -> None:
        self.toy = toy
        self.folder = toy.series(ONE, TWO)
        self.path = toy.root / "edit"

    def tree(self, **given: object) -> EditTree:
        wanted = {"series": str(self.folder), "tree": str(self.path), **given}
        return make_tree(self.toy.settings(**wanted), self.toy.store, self.toy.events)

    def refresh(self, series: str = "") -> Refreshed:
        return write_back(self.toy.settings(series=series, tree=str(self.path)))

    def files(self) -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in sorted(self.folder.iterdir())}


@pytest.fixture
def desk(toy: Toy) -> Desk:
    return Desk(toy)


def test_the_tree_is_a_branch_on_the_base(desk: Desk) -> None:
    made = desk.tree()
    assert (made.branch, made.patches, made.fresh) == ("series/series", 2, True)
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
    assert (done.written, done.removed, done.patches) == ((), (), 2)
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
    assert done.written == ("0003-mm-three.patch",)
    assert {n: desk.files()[n] for n in before} == before


def test_a_patch_that_is_dropped_is_removed_and_the_cover_letter_stays(desk: Desk) -> None:
    (desk.folder / "0000-cover-letter.patch").write_text("hello\n")
    desk.tree()
    git.text(desk.path, "reset", "--quiet", "--hard", "HEAD~1")
    done = desk.refresh()
    assert len(done.removed) == 1
    assert sorted(desk.files()) == ["0000-cover-letter.patch", "0001-mm-one.patch"]


def test_a_series_for_a_new_kernel_line_begins_on_the_bare_base(toy: Toy) -> None:
    project, path = toy.root / "patches", toy.root / "edit"
    (project / "6.12").mkdir(parents=True)
    settings = toy.settings(project=project, tree=str(path), patches=None)
    with pytest.raises(InvocationError, match="no series of ours") as caught:
        make_tree(settings, toy.store, toy.events)
    assert settings.command("tree", PATCHES="0") in str(caught.value.next_step)
    made = make_tree(
        toy.settings(project=project, tree=str(path), patches=0), toy.store, toy.events
    )
    assert (made.patches, made.folder) == (0, project / "6.1")
    commit(path, {"mm/first.c": "int first;\n"}, "mm: one")
    done = write_back(toy.settings(project=project, tree=str(path)))
    assert (done.folder, done.written) == (project / "6.1", ("0001-mm-one.patch",))


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
    assert not desk.tree().fresh


def test_an_unedited_tree_follows_the_series(desk: Desk) -> None:
    desk.tree()
    desk.toy.series(ONE)
    made = desk.tree()
    assert (made.patches, made.fresh) == (1, False)
    assert not (desk.path / "mm/volatile.c").exists()


def test_the_tree_outlives_the_store(desk: Desk) -> None:
    desk.tree()
    shutil.rmtree(desk.toy.store.root)
    assert git.text(desk.path, "fsck", "--connectivity-only") == ""
    assert desk.refresh().patches == 2


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
    assert desk.tree(series=str(mbox)).folder is None
    with pytest.raises(InvocationError, match="none of which can be written back"):
        desk.refresh()
    desk.folder = desk.toy.root / "written"
    desk.refresh(str(desk.folder))
    assert desk.files() == before


def test_a_directory_of_somebody_else_is_left_alone(desk: Desk) -> None:
    desk.path.mkdir()
    (desk.path / "precious").write_text("x")
    with pytest.raises(InvocationError, match="is no tree of ours"):
        desk.tree()
    with pytest.raises(InvocationError, match="no tree of ours"):
        desk.refresh()


def test_the_commands_say_what_to_type(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    settings = desk.toy.settings(series=str(desk.folder), tree=str(desk.path))
    assert edit.tree(settings) == 0
    typed = settings.command("refresh", SERIES="")
    assert f"{typed} writes the branch back" in capsys.readouterr().out
    assert edit.refresh(settings) == 0
    assert "2 patches, none changed" in capsys.readouterr().out


def test_the_default_place_is_named_after_the_kernel(toy: Toy) -> None:
    from harness.core.settings import PROJECT

    assert place(toy.settings(kernel="6.1")) == PROJECT / "tree" / "6.1"
    assert place(toy.settings(kernel="6.1", tree="/x/y")) == Path("/x/y")


def test_the_tree_of_an_installed_program_names_no_place_to_write_to(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = toy.series(ONE, name="6.1").parent
    monkeypatch.setattr(edit, "PROGRAM", "kernel-series-harness")
    monkeypatch.setattr(edit, "PROJECT", project)
    settings = toy.settings(project=project, tree=str(toy.root / "edit"))
    assert make_tree(settings, toy.store, toy.events).folder is None
    with pytest.raises(InvocationError, match="the installed program"):
        write_back(settings)
