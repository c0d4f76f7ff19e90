# SPDX-License-Identifier: GPL-2.0-only
"""Applies the series, or says why a patch does not: ``git am --3way``, 0.7 s for four patches.

The index names all files of the tree, the worktree holds only those that the
patches touch (a sparse checkout), and the new objects go to a small repository
that reads the base's. Nothing else is touched, so a failure leaves nothing.
"""

from __future__ import annotations

import difflib
import re
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core import git, proc
from harness.core.errors import InvocationError, SeriesError
from harness.core.events import Events, PatchInfo, StageProgress
from harness.core.machine_faults import check_output
from harness.core.store import Entry, Store
from harness.series.base import Base
from harness.series.patches import Patch, Series

STAGE = "series"
BRANCH = "refs/heads/series"  # of an entry's repository: what was applied
GIT = ("git", "-c", "core.bare=false", "-c", "core.sparseCheckout=true")
MAX_LINES_SHOWN = 16  # of a hunk, and of the tree
_FAILED = re.compile(
    r"(?ms)^error: while searching for:\n(.*?)\n*^error: patch failed: (.*?):(\d+)$"
)
# What git apply says of a diff that is none, wherever it would be applied.
_GARBLED = re.compile(
    "corrupt|garbage|bad git-diff|lacks filename|unrecognized|without header|invalid|No valid"
    "|gone wild|incorrect result"  # a binary patch that is not what it was
    "|without full index line"  # a binary file, of which format-patch --no-binary has a line
)
# A file's end without its lines: format-patch --irreversible-delete.
_HOLLOW = re.compile(rb"(?m)^deleted file mode \d+\nindex \S+\n(?!--- |GIT )")
_OF_OLD = re.compile(rb"(?m)^--- (?!/dev/null)")  # that it changes a file
AM = ("am", "--patch-format=mbox", "--3way", "--keep-cr", "--committer-date-is-author-date")
# With which option of git apply a patch applies that does not without, and what that tells.
MISREAD = {
    "--ignore-whitespace": "but for its white space it does: a mail program has changed that",
    "-p0": "its names lack the folder in front, a/ and b/, that git am takes away",
}


@dataclass(frozen=True)
class PatchedTree:
    """``commit`` of ``repo`` is the patched tree, ``base`` the commit that it was made from."""

    repo: Path
    commit: str
    base: str

    def read(self, path: str, commit: str | None = None) -> str:
        """A file's text at the applied commit (or another one); '' where it is not there."""
        return git.file_text(self.repo, commit or self.commit, path) or ""

    def commits(self) -> list[str]:
        """The commits of the patches, in order."""
        return git.text(self.repo, "rev-list", "--reverse", f"{self.base}..{self.commit}").split()

    def diff(self, *options: str) -> str:
        """What git says of the change; a file under another name is two, as no diff finds out."""
        return git.text(self.repo, "diff", "--no-renames", self.base, self.commit, *options)

    def mentioning(self, words: Collection[str], paths: Sequence[str]) -> list[str]:
        """Those of the paths (patterns, as git has them) in which one of the words stands."""
        if not words or not paths:
            return []
        given = [part for word in sorted(words) for part in ("-e", word)]
        argv = ("grep", "-l", "-w", "-F", *given, self.commit, "--", *paths)
        said = git.text(self.repo, *argv, expect=(0, 1))
        return sorted(line.partition(":")[2] for line in said.splitlines())


@dataclass(frozen=True)
class Applied(PatchedTree):
    """The patched tree with its patches; ``tree``: its id; ``total`` counts the whole series."""

    tree: str
    patches: tuple[PatchInfo, ...]
    total: int
    cached: bool = False


def unpatched(base: Base, total: int = 0) -> Applied:
    """The bare base, as what none of ``total`` patches was applied to."""
    return Applied(base.repo, base.commit, base.commit, base.tree, (), total, cached=True)


def in_store(entry: Entry, base: str, patches: tuple[PatchInfo, ...], total: int) -> Applied:
    """What the repository of an entry has on its branch, made from the commit ``base``."""
    repo = entry.path / "repo.git"
    commit, tree = git.text(repo, "rev-parse", BRANCH, f"{BRANCH}^{{tree}}").split()
    return Applied(repo, commit, base, tree, patches, total, entry.cached)


def apply_series(
    base: Base, series: Series, count: int | None, store: Store, events: Events
) -> Applied:
    """The base with the first ``count`` patches of the series (None: all).

    Raises:
        SeriesError: a patch does not apply; says which, where, and what is there instead.
        InvocationError: the series has fewer patches than that.
    """
    total = len(series.patches)
    if count is not None and count > total:
        raise InvocationError(
            f"PATCHES={count}: the series has only {total} patches",
            next_step=f"PATCHES= takes 0 to {total}; leave it out for the whole series",
        )
    chosen = series.patches[:count]
    if not chosen:
        return unpatched(base, total)

    def make(draft: Path) -> None:
        _apply(base, chosen, draft, events)

    texts = [patch.text.decode("latin-1") for patch in chosen]
    entry = store.entry("applied", [base.key, base.commit, texts], make, events.note)
    infos = tuple(PatchInfo(patch.subject, patch.patch_id) for patch in chosen)
    return in_store(entry, base.commit, infos, total)


def _apply(base: Base, patches: tuple[Patch, ...], draft: Path, events: Events) -> None:
    repo, worktree = draft / "repo.git", draft / "worktree"
    git.init(repo, *base.objects, like=base.repo)
    worktree.mkdir()
    env = git.environment({"GIT_DIR": str(repo), "GIT_WORK_TREE": str(worktree)})
    touched = sorted({name for patch in patches for name in patch.files})
    # Each path as a pattern that matches only itself.
    literal = (re.sub(r"([*?\[\\])", r"\\\1", name) for name in touched)
    (repo / "info").mkdir(exist_ok=True)
    patterns = "".join(f"/{name}\n" for name in literal)
    (repo / "info" / "sparse-checkout").write_text(patterns, "utf-8", "surrogateescape")
    git.text(repo, "symbolic-ref", "HEAD", BRANCH)
    git.text(repo, "update-ref", "HEAD", base.commit)
    proc.capture((*GIT, "read-tree", "-m", "-u", "HEAD"), cwd=worktree, env=env)
    mails = [draft / f"{number:04d}.mail" for number in range(1, len(patches) + 1)]
    for mail, patch in zip(mails, patches, strict=True):
        mail.write_bytes(patch.text)
    begun = 0

    def on_line(line: str) -> None:
        nonlocal begun
        if line.startswith("Applying: "):
            note = patches[begun].subject if begun < len(patches) else ""
            events.emit(StageProgress(STAGE, begun, len(patches), "patches", note))
            begun += 1
        elif line == "No changes -- Patch already applied.":
            raise SeriesError(
                f"{_named(patches, begun)} changes nothing: what it does is in the tree already",
                next_step="take it out of the series, or choose the base that it was written for",
            )

    done = proc.run((*GIT, *AM, *map(str, mails)), cwd=worktree, env=env, on_line=on_line)
    if done.returncode != 0:
        check_output("git", done.output)
        state = repo / "rebase-apply" / "next"
        number = int(state.read_text()) if state.is_file() else 1
        before = git.text(repo, "rev-parse", "HEAD")
        reason = _explain(repo, before, mails[number - 1], _named(patches, number))
        if reason is None:
            lines = [line for line in done.output.splitlines() if not line.startswith("hint:")]
            raise InvocationError(
                f"{_named(patches, number)} applies, but git am does not take the mail\n"
                + "\n".join(f"  {line}" for line in lines[-8:]),
                next_step="git format-patch writes such mails",
            )
        raise SeriesError(
            f"{_named(patches, number)} does not apply\n{reason}",
            next_step=f"write the patch anew for Linux {base.version}; "
            f"PATCHES={number - 1} tests what comes before it",
        )
    shutil.rmtree(worktree)
    for path in (repo / "index", *mails):
        path.unlink()


def _named(patches: tuple[Patch, ...], number: int) -> str:
    return f"patch {number} of {len(patches)} ({patches[number - 1].subject})"


def _explain(repo: Path, commit: str, mail: Path, named: str) -> str | None:
    """What stands against applying a patch to ``commit``, by git, and what the tree has there.

    None where it does apply.

    Raises:
        InvocationError: it would apply if it were read otherwise, or is no diff.
    """
    text = mail.read_bytes()
    env = git.environment({"GIT_INDEX_FILE": str(mail.with_suffix(".index"))})
    git.text(repo, "read-tree", commit, env=env)

    def check(*options: str) -> proc.ProgramResult:
        argv = ("git", "-C", str(repo), "apply", "--cached", "--check", "--verbose", *options)
        return proc.run((*argv, str(mail)), env=env)

    tried = check()
    if tried.returncode == 0:
        return None
    for option, why in MISREAD.items():
        # White space that only the tree has changed is the series' matter: a patch with a tab
        # in it has come through whole. And for new files there is room under any name.
        telling = _OF_OLD.search(text) if option == "-p0" else b"\t" not in text
        if telling and check(option).returncode == 0:
            raise InvocationError(
                f"{named} does not apply; {why}", next_step="get it as it was sent"
            )
    failed = _FAILED.search(tried.output)
    if failed is None:
        errors = [line for line in tried.output.splitlines() if line.startswith("error: ")]
        hollow = "removal patch leaves" in tried.output and _HOLLOW.search(text)
        if errors and (hollow or _GARBLED.search(errors[0])):
            raise InvocationError(
                f"{named} is damaged; git says:\n" + "\n".join(f"  {e}" for e in errors[-8:]),
                next_step="get it as it was sent",
            )
        return "\n".join(["git says:", *(f"  {line}" for line in errors[-8:])])
    wanted, path, number = failed[1].split("\n"), failed[2], int(failed[3])
    have = (git.file_text(repo, commit, path) or "").splitlines()
    match = difflib.SequenceMatcher(None, wanted, have, autojunk=False).find_longest_match()
    at = max(0, match.b - match.a if match.size else min(number, len(have)) - 1)
    shown = have[at : at + len(wanted)][:MAX_LINES_SHOWN]
    return "\n".join((
        f"{path}: there is no place for the hunk at line {number}, which expects:",
        *(f"  {line}" for line in wanted[:MAX_LINES_SHOWN]),
        f"the tree has, where the most lines in a row agree ({match.size} of {len(wanted)}):",
        *(f"  {n:6d}  {line}" for n, line in enumerate(shown, at + 1)),
    ))  # fmt: skip
