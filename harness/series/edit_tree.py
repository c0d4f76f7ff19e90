# SPDX-License-Identifier: GPL-2.0-only
"""The series as a git branch to edit, and the branch back as patches.

The tree is the user's: a complete repository of its own that outlives the store.
What it was made from is noted in its git configuration (``harness.*``).
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from harness.core import git
from harness.core.atomic import drafted_directory, write_atomically
from harness.core.errors import HarnessError, InvocationError
from harness.core.events import Events
from harness.core.settings import Settings
from harness.core.store import Store, full_disk_explained
from harness.core.usage import HOME
from harness.series.apply import Applied, apply_series
from harness.series.base import Base, obtain_base
from harness.series.patches import FORMAT_PATCH, default_folder, load_series

BASE_BRANCH = "base"


@dataclass(frozen=True)
class EditTree:
    """A tree to edit: ``branch`` holds the series, ``folder`` is where refresh writes it."""

    path: Path
    branch: str
    folder: Path | None
    patches: int
    fresh: bool


@dataclass(frozen=True)
class Refreshed:
    """What a refresh wrote and removed, by file name; empty where nothing differed."""

    folder: Path
    written: tuple[str, ...]
    removed: tuple[str, ...]
    patches: int


def place(settings: Settings) -> Path:
    """Where the tree to edit is: TREE=, or tree/ with the kernel's name."""
    if settings.tree:
        return Path(settings.tree).expanduser().absolute()
    return HOME / "tree" / Path(settings.kernel).name


def make_tree(settings: Settings, store: Store, events: Events) -> EditTree:
    """``make tree``: the patched tree as a branch, or what is there brought up to date.

    A tree in which nothing was edited since is moved to the series as it is now.

    Raises:
        InvocationError: the directory holds edits, or something else.
        SeriesError: the series does not apply.
    """
    base = obtain_base(settings, store, events)
    series = load_series(settings, base)
    if settings.patches not in (None, len(series.patches)):
        raise InvocationError(
            "PATCHES= has no meaning here: refresh would drop the other patches",
            next_step="leave it out; git rebase -i goes to any patch",
        )
    applied = apply_series(base, series, None, store, events)
    folder = _folder(settings, base)
    branch = f"series/{_name(settings)}"
    target = place(settings)
    if target.exists() and any(target.iterdir()):
        _move(settings, branch, base, applied)
        fresh = False
    else:
        with full_disk_explained(target.parent):
            _create(target, branch, base, applied)
        fresh = True
    _note(target, "folder", str(folder or ""))
    _note(target, "at", applied.commit)
    _note(target, "base", base.commit)
    return EditTree(target, branch, folder, len(applied.patches), fresh)


def _name(settings: Settings) -> str:
    return Path(settings.series).stem if settings.series else settings.project.name


def _folder(settings: Settings, base: Base) -> Path | None:
    """The directory that a refresh writes to; an mbox or a range cannot be written back."""
    if not settings.series:
        return default_folder(settings, base)
    given = Path(settings.series).expanduser().absolute()
    return given if given.is_dir() else None


def _create(target: Path, branch: str, base: Base, applied: Applied) -> None:
    """A repository of its own: objects are linked or copied, never borrowed from the store."""
    with drafted_directory(target) as draft:
        git.text(
            None, "clone", "--quiet", "--no-checkout", "--no-tags", "--single-branch",
            "--branch=base", str(base.repo), str(draft),
        )  # fmt: skip
        series = f"+{applied.commit}:refs/heads/{branch}"
        git.text(draft, "fetch", "--quiet", str(applied.repo), series)
        git.text(draft, "symbolic-ref", "--delete", "refs/remotes/origin/HEAD", expect=(0, 1, 128))
        git.text(draft, "remote", "remove", "origin")
        # The clone is on the branch base already, without files.
        git.text(draft, "symbolic-ref", "HEAD", f"refs/heads/{branch}")
        git.text(draft, "-c", "checkout.workers=0", "reset", "--quiet", "--hard")


def _move(settings: Settings, branch: str, base: Base, applied: Applied) -> None:
    """Brings an existing tree to the series as it is now, unless that would lose edits."""
    target = place(settings)
    at = _noted(target, "at")
    if at is None:
        raise InvocationError(
            f"{target} is there already and is no tree of ours",
            next_step="TREE=another/directory, or remove it",
        )
    ref = f"refs/heads/{branch}"
    head = git.text(target, "rev-parse", "--verify", "--quiet", ref, expect=(0, 1))
    if head == applied.commit and not _edited(target):
        return
    if head != at or _edited(target):
        raise InvocationError(
            f"{target} holds edits that are not in the patches",
            next_step=f"{settings.command('refresh')} writes them to the patches; "
            "or remove the directory",
        )
    git.text(target, "fetch", "--quiet", str(applied.repo), applied.commit)
    git.text(target, "fetch", "--quiet", str(base.repo), f"+{base.commit}:refs/heads/{BASE_BRANCH}")
    git.text(target, "checkout", "--quiet", "-B", branch, applied.commit)


def _edited(target: Path) -> bool:
    return bool(git.text(target, "status", "--porcelain", "--untracked-files=no"))


def _note(target: Path, key: str, value: str) -> None:
    git.text(target, "config", f"harness.{key}", value)


def _noted(target: Path, key: str) -> str | None:
    if not (target / ".git").exists():
        return None
    return git.text(target, "config", "--get", f"harness.{key}", expect=(0, 1)) or None


def refresh(settings: Settings) -> Refreshed:
    """``make refresh``: the branch of the tree back as patches.

    Writes only files that differ; the same branch gives the same bytes.

    Raises:
        InvocationError: there is no tree, it has uncommitted edits or a merge, or
            there is no directory to write to.
    """
    target = place(settings)
    base, folder = _noted(target, "base"), _noted(target, "folder")
    if base is None:
        raise InvocationError(f"{target} is no tree of ours", next_step=settings.command("tree"))
    if settings.series:
        folder = str(Path(settings.series).expanduser().absolute())
    if not folder or Path(folder).is_file():
        raise InvocationError(
            "the series came from an mbox or a range, which cannot be written back",
            next_step=settings.command("refresh", SERIES="DIRECTORY"),
        )
    if _edited(target):
        raise InvocationError(
            f"{target} has changes that are not committed",
            next_step=f"git -C {quote(str(target))} commit --all --amend, or git rebase, then "
            f"{settings.command('refresh')}",
        )
    _check_branch(target, base)
    return _write(target, base, Path(folder))


def _check_branch(target: Path, base: str) -> None:
    try:
        git.text(target, "merge-base", "--is-ancestor", base, "HEAD")
    except HarnessError as error:
        raise InvocationError(
            f"the branch in {target} no longer starts at its base {base[:12]}",
            next_step=f"git -C {quote(str(target))} rebase {base[:12]}",
        ) from error
    if git.text(target, "rev-list", "--merges", f"{base}..HEAD"):
        raise InvocationError(
            f"the branch in {target} has a merge, which patches cannot carry",
            next_step=f"git -C {quote(str(target))} rebase {base[:12]}",
        )


def _write(target: Path, base: str, folder: Path) -> Refreshed:
    draft = target / ".git" / "harness-patches"
    shutil.rmtree(draft, ignore_errors=True)
    git.text(target, *FORMAT_PATCH, "--quiet", f"--output-directory={draft}", f"{base}..HEAD")
    draft.mkdir(exist_ok=True)
    fresh = {path.name: path.read_bytes() for path in draft.glob("*.patch")}
    shutil.rmtree(draft)
    folder.mkdir(parents=True, exist_ok=True)
    have = {p.name for p in folder.glob("*.patch") if not p.name.startswith("0000-")}
    written = []
    for name, content in sorted(fresh.items()):
        place = folder / name
        if not place.is_file() or place.read_bytes() != content:
            write_atomically(place, content)
            written.append(name)
    removed = sorted(have - fresh.keys())
    for name in removed:
        (folder / name).unlink()
    _note(target, "at", git.text(target, "rev-parse", "HEAD"))
    return Refreshed(folder, tuple(written), tuple(removed), len(fresh))
