# SPDX-License-Identifier: GPL-2.0-only
"""``make new-series``: a project for patches: its folders, a contract, two cases to be written.

Nothing is written unless the patches apply. The cases fail until they show something.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import yaml
from rich.console import Console

from harness.core import git
from harness.core.command_table import PROGRAM, PROJECT
from harness.core.errors import InvocationError
from harness.core.events import Events
from harness.core.settings import Settings
from harness.core.stages import stage
from harness.core.store import Store
from harness.report.files import page_environment
from harness.report.screen import Screen
from harness.series.apply import apply_series
from harness.series.base import obtain_kernel
from harness.series.contract import load
from harness.series.on_top import stand_on
from harness.series.patches import FORMAT_PATCH, load_series

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
# Template beside this file -> what becomes of it, below the two folders of a project.
IN_PATCHES = ("series.yaml", "contract.md")
IN_TESTS = ("example.c", "example.py")


def clause_prefix(name: str) -> str:
    """What the clauses of a project begin with: 'LS' of lazyfree-shared, 'REA' of readahead."""
    words = [re.sub(r"[^a-z]", "", word) for word in name.split("-")]
    letters = "".join(word[:1] for word in words)
    return (letters if len(letters) > 1 else "".join(words)[:3]).upper()


def new_series(settings: Settings, console: Console) -> int:
    """Writes the project NAME= for the patches of SERIES=, and says what to do next.

    PROJECT=, where it is given, is the project that the new one stands on.

    Raises:
        InvocationError: NAME= is none or taken, SERIES= names no patches.
        SeriesError: they do not apply.
    """
    name = settings.name or ""
    patches, tests = PROJECT / "patches" / name, PROJECT / "guest-tests" / name
    again = settings.command("new-series", NAME="a-name", SERIES=settings.series or "PATCHES.mbox")
    if PROGRAM != "make":
        what = "new-series writes into a checkout, and this is the installed program"
        raise InvocationError(what, next_step="type it in a clone of the project")
    if not NAME.fullmatch(name):
        what = f"NAME={name}: must be small letters and digits, with - between words"
        raise InvocationError(what, next_step=again)
    if taken := next((folder for folder in (patches, tests) if folder.exists()), None):
        raise InvocationError(f"NAME={name}: {taken} is there already", next_step=again)
    if not settings.series:
        what = "SERIES= names the patches: a mailbox, a folder, or a range of KERNEL=/a/git/tree"
        raise InvocationError(what, next_step=settings.command("new-series", SERIES="PATCHES.mbox"))
    screen = Screen(console)
    store, events = Store(settings.cache, settings.cache_limit), Events([screen])
    with stage(events, "tree") as outcome:
        base = obtain_kernel(settings, store, events)
        below = load(settings.project) if settings.claimed else None
        if below is not None:
            base = stand_on(settings, replace(below, below=below), base, store, events)
        outcome.cached, outcome.detail = base.cached, f"{base.version} ({base.source})"
    with stage(events, "series") as outcome:
        series = load_series(settings, base)
        applied = apply_series(base, series, None, store, events)
        outcome.detail = f"{applied.total} patches from {series.source}"
    subjects = [patch.subject for patch in series.patches]
    prefix = clause_prefix(name)
    words = {
        "name": name,
        "prefix": prefix,
        "clause": f"{prefix}-EX-1",
        "title": _quoted(subjects[0]),
        "below": below and below.folder.name,
    }
    line = patches / base.line
    line.mkdir(parents=True)
    tests.mkdir(parents=True)
    git.text(applied.repo, *FORMAT_PATCH, "--quiet", f"--output-directory={line}",
             f"{base.commit}..{applied.commit}")  # fmt: skip
    templates = page_environment(Path(__file__).parent, whole=True)
    for folder, names in ((patches, IN_PATCHES), (tests, IN_TESTS)):
        for file in names:
            told = [_quoted(s) for s in subjects] if file.endswith(".yaml") else subjects
            made = templates.get_template(f"{file}.j2").render(words, subjects=told)
            (folder / file).write_text(made, "utf-8")
    shown = [path.relative_to(PROJECT) for path in (line, patches / "contract.md", tests)]
    console.print(
        f"{shown[0]}: {applied.total} patches\n"
        f"{shown[1]}: one clause, {prefix}-EX-1: write what the series promises\n"
        f"{shown[2]}: {' and '.join(IN_TESTS)}: a case each, which fails until it is written\n"
        f"next: {settings.command('test-kernel', PROJECT=name, SERIES='')}",
        markup=False, soft_wrap=True,
    )  # fmt: skip
    return 0


def _quoted(text: str) -> str:
    """A text as a scalar of YAML, on one line."""
    return yaml.safe_dump(text, width=10_000, allow_unicode=True).removesuffix("...\n").strip()
