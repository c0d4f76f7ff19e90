# SPDX-License-Identifier: GPL-2.0-only
"""One kernel that has many mutants: each behind a switch, and none on until one is asked for.

A mutant costs no build of its own then. ``switch.h`` and ``switch.c`` are the switch: which
mutant is on, and which have been reached; /sys/module/kernel/parameters/harness_mutant sets
the one and tells the other. A condition that is taken for true or for false is reached where it
is the opposite: whatever runs elsewhere cannot tell this mutant.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.core import git
from harness.core.errors import InternalError
from harness.core.events import PatchInfo
from harness.core.store import Store
from harness.mutants.mutant import Edit, Mutant
from harness.series.apply import BRANCH, Applied, in_store
from harness.series.base import Base

HEADER = "include/linux/harness_mutant.h"
HOST = "init/main.c"  # is in every kernel, and gets switch.c at its end
_INCLUDE = b"#include <linux/harness_mutant.h>"
SUBJECT = "The mutants, each behind a switch"
_CONSTANTS = ("0", "1")  # what a condition is taken for


@dataclass
class _Span:
    """A piece of the source with all that may stand in its place, and the pieces in it."""

    start: int
    end: int
    choices: list[tuple[int, Edit]] = field(default_factory=list)
    inside: list[_Span] = field(default_factory=list)


def switched(source: bytes, mutants: Iterable[Mutant]) -> bytes:
    """A file with mutants behind switches, with as many lines as before.

    Raises:
        InternalError: two edits overlap, and neither is inside the other.
    """
    whole = _Span(0, len(source))
    choices = [(mutant.number, edit) for mutant in mutants for edit in mutant.edits]
    open_now = [whole]
    for number, edit in sorted(choices, key=lambda one: (one[1].start, -one[1].end, one[0])):
        while not (edit.start < open_now[-1].end or _is_same(edit, open_now[-1])) and open_now[1:]:
            open_now.pop()
        around = open_now[-1]
        if edit.end > around.end:
            raise InternalError(f"mutant {number}: {edit} overlaps {around.choices}")
        if not _is_same(edit, around):
            span = _Span(edit.start, edit.end)
            around.inside.append(span)
            open_now.append(span)
        open_now[-1].choices.append((number, edit))
    text = _inner(source, whole)
    if source.lstrip().startswith((b"/*", b"//")):
        return _INCLUDE + b" " + text
    return _INCLUDE + b"\n#line 1\n" + text


def _is_same(edit: Edit, span: _Span) -> bool:
    return (edit.start, edit.end) == (span.start, span.end) and bool(span.choices)


def _inner(source: bytes, span: _Span) -> bytes:
    pieces, at = [], span.start
    for part in span.inside:
        pieces += [source[at : part.start], _switch(source, part)]
        at = part.end
    return b"".join((*pieces, source[at : span.end]))


def _switch(source: bytes, span: _Span) -> bytes:
    text = _inner(source, span)
    forms = {edit.form for _, edit in span.choices}
    if forms == {"statement"}:
        return (
            b"{ "
            + b" else ".join(
                f"if (HARNESS_MUTANT({number})) {{ {edit.instead} }}".encode()
                for number, edit in span.choices
            )
            + (b" else { " + text + b" }" if text else b"")
            + b" }"
        )
    truth = "!!" if "condition" in forms else ""
    value = f"{truth}(".encode() + text + b")"
    tests = ""
    for number, edit in span.choices:
        if truth and edit.instead in _CONSTANTS:
            # Where the condition has this value anyway, the mutant does what the sound kernel does.
            tests += f"HARNESS_MUTANT_ON({number}) ? {edit.instead} : "
            value = f"HARNESS_CONDITION({number}, {edit.instead}, ".encode() + value + b")"
        else:
            tests += f"HARNESS_MUTANT({number}) ? {truth}({edit.instead}) : "
    return f"({tests}".encode() + value + b")"


def switch_sources(most: int) -> dict[str, str]:
    """The texts of the switch: of the header, and of what ``HOST`` gets at its end.

    Args:
        most: the highest number.
    """
    folder = Path(__file__).parent / "kernel"
    body = (folder / "switch.c").read_text("utf-8")
    return {
        HEADER: (folder / "switch.h").read_text("utf-8"),
        HOST: f"\n#define HARNESS_MUTANTS {most}\n{body}",
    }


def switched_tree(base: Base, applied: Applied, mutants: Sequence[Mutant], store: Store) -> Applied:
    """The patched tree with mutants behind switches, as one commit more."""
    by_path: dict[str, list[Mutant]] = defaultdict(list)
    for mutant in mutants:
        by_path[mutant.path].append(mutant)

    def make(draft: Path) -> None:
        repo = draft / "repo.git"
        below = replace(base, repo=applied.repo, under=base)
        git.init(repo, *below.objects, like=base.repo)
        texts = {path: switched(_blob(applied, path), inside) for path, inside in by_path.items()}
        sources = switch_sources(max(mutant.number for mutant in mutants))
        texts[HEADER] = sources[HEADER].encode()
        texts[HOST] = texts.get(HOST, b"") or _blob(applied, HOST)
        texts[HOST] += sources[HOST].encode()
        _commit(repo, draft / "index", applied.commit, texts)

    inputs = applied.tree, [(m.number, m.path, [vars(edit) for edit in m.edits]) for m in mutants]
    entry = store.entry("switched", inputs, make)
    patches = (*applied.patches, PatchInfo(SUBJECT, ""))
    return in_store(entry, applied.base, patches, len(patches))


def _blob(applied: Applied, path: str) -> bytes:
    return git.raw(applied.repo, "cat-file", "blob", f"{applied.commit}:{path}")


def _commit(repo: Path, index: Path, parent: str, texts: dict[str, bytes]) -> None:
    """A commit that has these files' texts on top of another, as the branch of ``repo``."""
    env = {"GIT_INDEX_FILE": str(index)}
    git.text(repo, "read-tree", parent, env=env)
    for path, text in texts.items():
        blob = git.text(repo, "hash-object", "-w", "--stdin", stdin=text)
        git.text(repo, "update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", env=env)
    tree = git.text(repo, "write-tree", env=env)
    index.unlink()
    dates = {"GIT_AUTHOR_DATE": git.EPOCH, "GIT_COMMITTER_DATE": git.EPOCH}
    commit = git.text(repo, "commit-tree", tree, "-p", parent, "-m", SUBJECT, env=dates)
    git.text(repo, "update-ref", BRANCH, commit)
