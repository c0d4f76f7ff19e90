# SPDX-License-Identifier: GPL-2.0-only
"""``make tree`` and ``make refresh`` as the user sees them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from shlex import quote

from harness.core.events import Event, Events, Note, StageProgress
from harness.core.settings import Settings
from harness.core.store import Store
from harness.series import edit_tree


def _shown(path: Path) -> str:
    """A path as the user would type it from here."""
    here = Path.cwd()
    return os.path.relpath(path, here) if path.is_relative_to(here) else str(path)


def _tell(event: Event) -> None:
    match event:
        case Note(text=text) | StageProgress(done=0, note=text) if text:
            sys.stdout.write(f"{text}\n")


def tree(settings: Settings) -> int:
    """Makes the tree and says what to type in it."""
    events = Events([_tell])
    made = edit_tree.make_tree(settings, Store(settings.cache, settings.cache_limit), events)
    path = _shown(made.path)
    refresh = settings.command("refresh", SERIES="" if made.folder else "DIRECTORY")
    sys.stdout.write(
        f"{path}: branch {made.branch}, {made.patches} patches on {edit_tree.BASE_BRANCH}"
        f"{'' if made.fresh else ' (was there already)'}\n"
        f"  edit, then: git -C {quote(path)} commit --all --amend, "
        f"or git rebase -i {edit_tree.BASE_BRANCH}\n"
        f"  {refresh} writes the branch back{f' to {_shown(made.folder)}' if made.folder else ''}\n"
    )
    return 0


def refresh(settings: Settings) -> int:
    """Writes the patches and says which changed."""
    done = edit_tree.refresh(settings)
    for name in done.written:
        sys.stdout.write(f"written {name}\n")
    for name in done.removed:
        sys.stdout.write(f"removed {name}\n")
    state = "" if done.written or done.removed else ", none changed"
    sys.stdout.write(f"{_shown(done.folder)}: {done.patches} patches{state}\n")
    return 0
