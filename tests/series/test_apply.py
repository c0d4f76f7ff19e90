# SPDX-License-Identifier: GPL-2.0-only
"""Patches become commits, or an error that says where the tree differs."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core import git
from harness.core.errors import InvocationError, MachineError, SeriesError
from harness.core.store import Store
from tests.support.toy import Step, Toy, commit, grow

ONE: Step = ("mm: one", {"mm/swap.c": grow})
TWO: Step = ("mm: two", {"mm/volatile.c": "int volatile_one;\n", "include/linux/mm.h": grow})


def test_one_commit_a_patch_with_its_own_author_and_date(toy: Toy) -> None:
    base, applied = toy.apply(toy.series(ONE, TWO))
    log = git.text(applied.repo, "log", "--format=%s|%an|%ad|%cn|%cd", "--date=raw",
                   f"{base.commit}..{applied.commit}")  # fmt: skip
    assert log.splitlines() == [
        f"mm: {n}|Toy Developer|1700000000 +0100|{git.NAME}|1700000000 +0100"
        for n in ("two", "one")
    ]
    assert [p.subject for p in applied.patches] == ["mm: one", "mm: two"]
    assert git.text(applied.repo, "rev-parse", f"{applied.commit}^{{tree}}") == applied.tree
    assert "mm/volatile.c" in git.tree_files(applied.repo, applied.commit)


def test_ids_are_the_same_in_another_store(toy: Toy) -> None:
    folder = toy.series(ONE, TWO)
    _, first = toy.apply(folder)
    toy.store = Store(toy.root / "store2", 1 << 30)
    _, second = toy.apply(folder)
    assert first.commit == second.commit
    assert not second.cached


def test_it_is_cached_and_the_store_can_be_moved(toy: Toy) -> None:
    folder = toy.series(ONE)
    toy.apply(folder)
    toy.store.root.rename(toy.root / "moved")
    toy.store = Store(toy.root / "moved", 1 << 30)
    _, applied = toy.apply(folder)
    assert applied.cached
    assert git.text(applied.repo, "cat-file", "-t", applied.commit) == "commit"


def test_patches_limits_how_many(toy: Toy) -> None:
    folder = toy.series(ONE, TWO)
    base, none = toy.apply(folder, 0)
    assert (none.commit, none.total) == (base.commit, 2)
    _, one = toy.apply(folder, 1)
    assert [p.subject for p in one.patches] == ["mm: one"]
    with pytest.raises(InvocationError, match="only 2 patches"):
        toy.apply(folder, 3)


def test_lines_that_moved_are_no_obstacle(toy: Toy) -> None:
    folder = toy.series(ONE)
    commit(toy.tree, {"mm/swap.c": lambda text: "// moved\n" * 20 + text}, "move")
    _, applied = toy.apply(folder)
    assert "int grown" in git.text(applied.repo, "show", f"{applied.commit}:mm/swap.c")


def test_three_way_merge_where_only_the_context_differs(toy: Toy) -> None:
    folder = toy.series(
        ("edit", {"mm/swap.c": lambda text: text.replace("return page + 1", "return page + 2")})
    )
    commit(toy.tree, {"mm/swap.c": lambda text: text.replace("return -1", "return -5")}, "near")
    _, applied = toy.apply(folder)
    merged = git.text(applied.repo, "show", f"{applied.commit}:mm/swap.c")
    assert "page + 2" in merged
    assert "return -5" in merged


def test_a_patch_that_does_not_apply_is_explained(toy: Toy) -> None:
    folder = toy.series(
        ONE,
        ("mm: edit", {"mm/madvise.c": lambda text: text.replace("return 0", "return 1")}),
    )
    commit(
        toy.tree,
        {
            "mm/madvise.c": lambda t: t.replace("return 0", "return 42").replace(
                "default:", "case 9:"
            )
        },
        "other",
    )
    with pytest.raises(SeriesError) as caught:
        toy.apply(folder)
    said = caught.value.what
    assert "patch 2 of 2 (mm: edit) does not apply" in said
    assert "mm/madvise.c: there is no place for the hunk at line " in said
    expected, tree = said.split("the tree has")
    assert "  \t\treturn 0;" in expected and "return 42;" not in expected
    assert "return 42;" in tree and "return 0;" not in tree
    assert "PATCHES=1" in str(caught.value.next_step)


def test_the_place_that_moved_is_found(toy: Toy) -> None:
    folder = toy.series(
        ("edit", {"mm/swap.c": lambda text: text.replace("return page + 1", "return page + 2")})
    )
    moved = "// moved\n" * 20
    edit = {"mm/swap.c": lambda t: moved + t.replace("return page + 1", "return page + 5")}
    commit(toy.tree, edit, "other")
    line = 1 + git.text(toy.tree, "show", "HEAD:mm/swap.c").splitlines().index("\treturn page + 5;")
    with pytest.raises(SeriesError, match=rf"(?m)^ +{line}  \treturn page \+ 5;$"):
        toy.apply(folder)


def test_a_failure_leaves_nothing_behind(toy: Toy) -> None:
    folder = toy.series(ONE)
    commit(toy.tree, {"mm/swap.c": "int all_other;\n"}, "other")
    status = git.text(toy.tree, "status", "--porcelain")
    with pytest.raises(SeriesError):
        toy.apply(folder)
    assert git.text(toy.tree, "status", "--porcelain") == status
    assert not list((toy.store.root / "applied").iterdir())


@pytest.mark.parametrize(
    ("edits", "says"),
    [
        ({"mm/swap.c": None}, "mm/swap.c: does not exist"),
        ({"mm/volatile.c": "int taken;\n"}, "mm/volatile.c: already exists"),
    ],
)
def test_files_that_are_missing_or_there_already(
    toy: Toy, edits: dict[str, str | None], says: str
) -> None:
    folder = toy.series(ONE if "mm/swap.c" in edits else TWO)
    commit(toy.tree, edits, "other")
    with pytest.raises(SeriesError, match=says):
        toy.apply(folder)


def test_a_patch_that_is_in_the_tree_already(toy: Toy) -> None:
    folder = toy.series(ONE)
    commit(toy.tree, {"mm/swap.c": grow}, "the same")
    with pytest.raises(SeriesError, match="changes nothing"):
        toy.apply(folder)


def test_a_damaged_hunk_is_not_the_series_fault(toy: Toy) -> None:
    patch = next(toy.series(ONE).glob("*.patch"))
    lines = patch.read_text().splitlines(keepends=True)
    hunk = next(n for n, line in enumerate(lines) if line.startswith("@@"))
    lines[hunk] = "@@ -12,3 +12,99 @@\n"
    patch.write_text("".join(lines))
    with pytest.raises(InvocationError, match=r"mm: one.*in mm/swap.c, fits into no hunk"):
        toy.apply(patch.parent)


def test_without_the_base_blobs_a_plain_apply_must_do(toy: Toy) -> None:
    patch = next(toy.series(ONE).glob("*.patch"))
    text = patch.read_text()
    index = next(line for line in text.splitlines() if line.startswith("index "))
    patch.write_text(text.replace(index, "index 1234567890ab..ba0987654321 100644"))
    _, applied = toy.apply(patch.parent)
    assert len(applied.patches) == 1


def test_the_users_git_settings_change_nothing(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = toy.series(ONE)
    config = tmp_path / "gitconfig"
    config.write_text("[user]\nname=Me\nemail=me@x.y\n[core]\nautocrlf=true\n[am]\nkeepcr=false\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_COMMITTER_NAME", "Somebody")
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    _, applied = toy.apply(folder)
    assert git.text(applied.repo, "log", "-1", "--format=%cn", applied.commit) == git.NAME


def test_a_full_disk_is_not_the_series_fault(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = toy.series(ONE)
    toy.base()
    fake = tmp_path / "bin"
    fake.mkdir()
    (fake / "git").write_text(
        '#!/bin/sh\ncase "$*" in *" am "*)\n'
        'echo "fatal: write: No space left on device" >&2; exit 128;;\n'
        'esac\nexec /usr/bin/git "$@"\n'
    )
    (fake / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake}:/usr/bin:/bin")
    with pytest.raises(MachineError, match="disk is full"):
        toy.apply(folder)
