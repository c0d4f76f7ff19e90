# SPDX-License-Identifier: GPL-2.0-only
"""``make tree`` and ``make refresh``: the series as a git branch to edit, and back as patches.

The tree is the user's: a complete repository of its own that outlives the store.
What it was made from is noted in its git configuration (``harness.*``).
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from shlex import quote

from harness.core import git
from harness.core.atomic import drafted_directory, write_atomically
from harness.core.command_table import HOME, PROGRAM, PROJECT
from harness.core.errors import InvocationError
from harness.core.events import Event, Events, Note, StageProgress
from harness.core.settings import Settings
from harness.core.store import Store
from harness.series.apply import Applied, apply_series
from harness.series.base import Base
from harness.series.mailbox import patch_files
from harness.series.on_top import obtain_base
from harness.series.patches import FORMAT_PATCH, default_folder, load_series

BASE_BRANCH = "base"


def place(settings: Settings) -> Path:
    """Where the tree to edit is: TREE=, or tree/ with the kernel's name."""
    if settings.tree:
        return Path(settings.tree).expanduser().absolute()
    return HOME / "tree" / Path(settings.kernel).name


def _tell(event: Event) -> None:
    match event:
        case Note(text=text) | StageProgress(done=0, note=text) if text:
            sys.stdout.write(f"{text}\n")


def _shown(path: Path) -> str:
    """A path as the user would type it from here."""
    here = Path.cwd()
    return os.path.relpath(path, here) if path.is_relative_to(here) else str(path)


def tree(settings: Settings) -> int:
    """Makes the patched tree as a branch, or brings what is there up to date; says what to type.

    A tree in which nothing was edited since is moved to the series as it is now.

    Raises:
        InvocationError: the directory holds edits, or something else.
        SeriesError: the series does not apply.
    """
    store, events = Store(settings.cache, settings.cache_limit), Events([_tell])
    base = obtain_base(settings, store, events)
    series = load_series(settings, base)
    if settings.patches not in (None, len(series.patches)):
        what = "PATCHES= has no meaning here: refresh would drop the other patches"
        raise InvocationError(what, next_step="leave it out; git rebase -i goes to any patch")
    applied = apply_series(base, series, None, store, events)
    given = settings.series and Path(settings.series).expanduser().absolute()
    folder = given or default_folder(settings, base)
    writable = not _installed(folder) and (folder.is_dir() or not given)
    branch = f"series/{Path(settings.series or '').stem or settings.project.name}"
    target = place(settings)
    fresh = not (target.exists() and any(target.iterdir()))
    if fresh:
        _create(target, branch, base, applied)
    else:
        _update(settings, branch, base, applied)
    _note(target, folder=str(folder) if writable else "", at=applied.commit, base=base.commit)
    path, back = _shown(target), f" to {_shown(folder)}" if writable else ""
    refresh = settings.command("refresh", SERIES="" if writable else "DIRECTORY")
    sys.stdout.write(
        f"{path}: branch {branch}, {len(applied.patches)} patches on {BASE_BRANCH}, "
        f"{base.version} ({base.source})"
        f"{'' if fresh else ' (was there already)'}\n"
        f"  edit, then: git -C {quote(path)} commit --all --amend, "
        f"or git rebase -i {BASE_BRANCH}\n"
        f"  {refresh} writes the branch back{back}\n"
    )
    return 0


def _installed(folder: Path) -> bool:
    """Whether a folder is among the files of an installed program, which nobody edits."""
    return PROGRAM != "make" and folder.is_relative_to(PROJECT)


def _create(target: Path, branch: str, base: Base, applied: Applied) -> None:
    """A repository of its own: objects are linked or copied, never borrowed from the store."""
    with drafted_directory(target) as draft:
        git.text(
            None, "clone", "--quiet", "--no-checkout", "--no-tags", "--single-branch",
            "--branch=base", str(base.chain[-1].repo), str(draft),
        )  # fmt: skip
        series = f"+{applied.commit}:refs/heads/{branch}"
        git.text(draft, "fetch", "--quiet", str(applied.repo), series)
        git.text(draft, "symbolic-ref", "--delete", "refs/remotes/origin/HEAD", expect=(0, 1, 128))
        git.text(draft, "remote", "remove", "origin")
        # The clone is on the branch base already, without files.
        git.text(draft, "symbolic-ref", "HEAD", f"refs/heads/{branch}")
        git.text(draft, "update-ref", f"refs/heads/{BASE_BRANCH}", base.commit)
        git.text(draft, "-c", "checkout.workers=0", "reset", "--quiet", "--hard")


def _update(settings: Settings, branch: str, base: Base, applied: Applied) -> None:
    """Brings an existing tree to the series as it is now, unless that would lose edits."""
    target = place(settings)
    at = _noted(target, "at")
    if at is None:
        what = f"{target} is there already and is no tree of ours"
        raise InvocationError(what, next_step="TREE=another/directory, or remove it")
    ref = f"refs/heads/{branch}"
    head = git.text(target, "rev-parse", "--verify", "--quiet", ref, expect=(0, 1))
    if head not in (applied.commit, at) or _edited(target):
        step = f"{settings.command('refresh')} writes them to the patches; or remove the directory"
        raise InvocationError(f"{target} holds edits that are not in the patches", next_step=step)
    if head != applied.commit:
        bases = f"+{base.commit}:refs/heads/{BASE_BRANCH}"
        git.text(target, "fetch", "--quiet", str(applied.repo), applied.commit)
        git.text(target, "fetch", "--quiet", str(base.repo), bases)
        git.text(target, "checkout", "--quiet", "-B", branch, applied.commit)


def _edited(target: Path) -> bool:
    return bool(git.text(target, "status", "--porcelain", "--untracked-files=no"))


def _note(target: Path, **values: str) -> None:
    for key, value in values.items():
        git.text(target, "config", f"harness.{key}", value)


def _noted(target: Path, key: str) -> str | None:
    if not (target / ".git").exists():
        return None
    return git.text(target, "config", "--get", f"harness.{key}", expect=(0, 1)) or None


def refresh(settings: Settings) -> int:
    """Writes the branch of the tree back as patches and says which changed.

    Writes only files that differ; the same branch gives the same bytes.

    Raises:
        InvocationError: no tree, uncommitted edits, a merge, or no directory to write to.
    """
    target = place(settings)
    base = _noted(target, "base")
    if base is None:
        raise InvocationError(f"{target} is no tree of ours", next_step=settings.command("tree"))
    named = settings.series or _noted(target, "folder")
    folder = Path(named).expanduser().absolute() if named else None
    if folder is None or folder.is_file() or _installed(folder):
        raise InvocationError(
            "the series came from an mbox, a range or the installed program, none of which can "
            "be written back",
            next_step=settings.command("refresh", SERIES="DIRECTORY"),
        )
    in_tree = f"git -C {quote(str(target))}"
    if _edited(target):
        step = f"{in_tree} commit --all --amend, or git rebase, then {settings.command('refresh')}"
        raise InvocationError(f"{target} has changes that are not committed", next_step=step)
    wrong = None
    if git.text(target, "merge-base", base, "HEAD", expect=(0, 1)) != base:
        wrong = f"no longer starts at its base {base[:12]}"
    elif git.text(target, "rev-list", "--merges", f"{base}..HEAD"):
        wrong = "has a merge, which patches cannot carry"
    if wrong:
        step = f"{in_tree} rebase {base[:12]}"
        raise InvocationError(f"the branch in {target} {wrong}", next_step=step)
    with tempfile.TemporaryDirectory(prefix="harness-") as scratch:
        git.text(target, *FORMAT_PATCH, "--quiet", f"--output-directory={scratch}", f"{base}..HEAD")
        fresh = {path.name: path.read_bytes() for path in Path(scratch).glob("*.patch")}
    folder.mkdir(parents=True, exist_ok=True)
    have = {path.name: path.read_bytes() for path in patch_files(folder)}
    written = sorted(name for name, content in fresh.items() if have.get(name) != content)
    removed = sorted(have.keys() - fresh.keys())
    for name in written:
        write_atomically(folder / name, fresh[name])
        sys.stdout.write(f"written {name}\n")
    for name in removed:
        (folder / name).unlink()
        sys.stdout.write(f"removed {name}\n")
    _note(target, at=git.text(target, "rev-parse", "HEAD"))
    state = "" if written or removed else ", none changed"
    sys.stdout.write(f"{_shown(folder)}: {len(fresh)} patches{state}\n")
    return 0
