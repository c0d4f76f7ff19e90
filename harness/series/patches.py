# SPDX-License-Identifier: GPL-2.0-only
"""The series: the patches that SERIES= names, read but not yet applied."""

from __future__ import annotations

import io
import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from unidiff.patch import PatchSet

from harness.core import git
from harness.core.errors import HarnessError, InvocationError
from harness.core.settings import PROJECT, Settings
from harness.series import b4
from harness.series.base import Base

FORMS = (
    "SERIES= takes a directory of patches, an mbox, a message-id,\n"
    "or, with KERNEL=/a/git/tree, a range a..b or a branch"
)
# How the harness writes patches: the same bytes for the same commits, whatever the
# user's settings, the width of the terminal, and the size of the repository.
FORMAT_PATCH = (
    "format-patch", "--no-numbered", "--zero-commit", "--no-signature", "--abbrev=12",
    "--stat=72", "--summary", "--patch", "--unified=3", "--find-renames=50%", "--no-ext-diff",
    "--no-textconv", "--diff-algorithm=myers", "--src-prefix=a/", "--dst-prefix=b/",
    "--subject-prefix=PATCH", "--filename-max-length=64", "--no-attach", "--no-thread",
    "--no-to", "--no-cc", "--no-base", "--encode-email-headers", "--no-cover-letter",
    "-O/dev/null", "--no-add-header", "--no-from", "--no-notes", "--no-relative", "--no-color",
    "--suffix=.patch", "--pretty=email", "--indent-heuristic", "--inter-hunk-context=0",
    "--submodule=short",
)  # fmt: skip


@dataclass(frozen=True)
class Patch:
    """One patch as a mail: ``text`` is what ``git am`` reads, ``files`` what it touches.

    ``message_id`` without brackets, where the mail has one; ``commit`` is where it came
    from in the user's own tree, None where it came from none.
    """

    subject: str
    text: bytes
    patch_id: str
    files: tuple[str, ...]
    message_id: str | None = None
    commit: str | None = None


@dataclass(frozen=True)
class Series:
    """``source`` is where it came from, as the report says it.

    ``letter`` is the cover letter as a mail, None where there is none.
    """

    source: str
    patches: tuple[Patch, ...]
    letter: bytes | None = None

    @property
    def cover(self) -> str | None:
        """The message-id of the cover letter; None where there is none."""
        return message_id(self.letter or b"")


def default_folder(settings: Settings, base: Base) -> Path:
    """Where the project's own series for this kernel line lies."""
    return settings.project / base.line


def load_series(settings: Settings, base: Base) -> Series:
    """Reads the patches of SERIES=, or of our own series for this base.

    Raises:
        InvocationError: SERIES= names no series.
    """
    if not settings.series:
        return _default(settings, base)
    spec = settings.series
    given = Path(spec).expanduser().absolute()
    if given.is_dir():
        # A folder of folders, one a kernel line, as patches/<name>/ is.
        lined = given / base.line
        return _folder(spec, lined if lined.is_dir() and not patch_files(given) else given)
    if given.is_file():
        return _mbox(spec, given)
    if message := b4.message_id(spec):
        with tempfile.TemporaryDirectory(prefix="harness-") as scratch:
            fetched = _mbox(spec, b4.fetch(message, Path(scratch)))
            return replace(fetched, letter=_letter(Path(scratch), "*.cover") or fetched.letter)
    if ".." in spec:
        return Series(spec, _range(spec, base))
    if base.origin is not None:
        return Series(spec, _branch(spec, base))
    raise InvocationError(f"SERIES={spec}: no such file or directory", next_step=FORMS)


def _default(settings: Settings, base: Base) -> Series:
    folder = default_folder(settings, base)
    shown = str(folder.relative_to(PROJECT)) if folder.is_relative_to(PROJECT) else str(folder)
    if any(folder.glob("*.patch")):
        return _folder(shown, folder)
    if settings.patches == 0:
        return Series("none", ())
    lines = sorted(p.name for p in folder.parent.glob("*") if any(p.glob("*.patch")))
    have = ", ".join(lines) or "none"
    raise InvocationError(
        f"there is no series of ours for Linux {base.line} (only for: {have})",
        next_step=f"{FORMS}\nPATCHES=0 tests the bare base\n"
        f"{settings.command('tree', PATCHES='0')} begins a series",
    )


def _folder(source: str, folder: Path) -> Series:
    files = patch_files(folder)
    if not files:
        raise InvocationError(f"{folder} holds no *.patch files", next_step=FORMS)
    patches = tuple(parse_patch(path.read_bytes(), str(path)) for path in files)
    return Series(source, patches, _letter(folder, "0000-*.patch"))


def _letter(folder: Path, pattern: str) -> bytes | None:
    """The cover letter in a folder."""
    return next((path.read_bytes() for path in sorted(folder.glob(pattern))), None)


def patch_files(folder: Path) -> list[Path]:
    """The ``*.patch`` files by name, less the cover letter."""
    return [p for p in sorted(folder.glob("*.patch")) if not p.name.startswith("0000-")]


def _mbox(source: str, path: Path) -> Series:
    """The patches of an mbox, by their number in '[PATCH n/m]' where all have one."""
    with tempfile.TemporaryDirectory(prefix="harness-") as scratch:
        try:
            git.text(None, "mailsplit", "--keep-cr", f"-o{scratch}", str(path))
        except HarnessError as error:
            raise InvocationError(f"{path} is no mailbox", next_step=FORMS) from error
        mails = [_read_mail(p.read_bytes()) for p in sorted(Path(scratch).iterdir())]
    patches = [
        (mail.number, _patch(mail, f"{path}, message {at}"))
        for at, mail in enumerate(mails, 1)
        if mail.has_diff
    ]
    if not patches:
        raise InvocationError(f"{path} holds no patch", next_step=FORMS)
    numbers = {number for number, _ in patches}
    if None not in numbers and len(numbers) == len(patches):
        patches.sort(key=lambda pair: pair[0] or 0)
    letters = (mail.text for mail in mails if not mail.has_diff and mail.number == 0)
    return Series(source, tuple(patch for _, patch in patches), next(letters, None))


def _branch(name: str, base: Base) -> tuple[Patch, ...]:
    """The commits of a branch of the user's tree that the base does not have."""
    try:
        git.commit_id(base.origin, name)
    except HarnessError as error:
        raise InvocationError(
            f"SERIES={name}: no such file or directory, and no branch of {base.origin}",
            next_step=FORMS,
        ) from error
    try:
        return _range(f"{base.commit}..{name}", base)
    except InvocationError as error:
        raise InvocationError(
            f"SERIES={name} has no commit that the base, {base.commit[:12]}, does not have",
            next_step=f"REF= says where the branch began: REF=$(git merge-base {name} master)",
        ) from error


def _range(spec: str, base: Base) -> tuple[Patch, ...]:
    if base.origin is None:
        raise InvocationError(
            f"SERIES={spec} is a git range, and KERNEL={base.name} is no git tree", next_step=FORMS
        )
    try:
        # The names are the user's tree's, the settings (format.*, diff.*) are not.
        ids = git.text(base.origin, "rev-parse", "--revs-only", "--end-of-options", spec).split()
        mbox = git.raw(base.repo, *FORMAT_PATCH, "--no-zero-commit", "--stdout", *ids)
    except HarnessError as error:
        raise InvocationError(
            f"SERIES={spec} is no range of commits in {base.origin}\n{error.what}", next_step=FORMS
        ) from error
    found = re.split(rb"(?m)^From ([0-9a-f]{40,64})(?= Mon Sep 17 00:00:00 2001$)", mbox)[1:]
    if not found:
        raise InvocationError(f"SERIES={spec} holds no commits", next_step=FORMS)
    # The mail itself is the same for the same patch, as FORMAT_PATCH makes it.
    zero = b"From " + b"0" * 40
    return tuple(
        replace(parse_patch(zero + mail, f"{spec}, commit {n}"), commit=commit.decode())
        for n, (commit, mail) in enumerate(zip(found[::2], found[1::2], strict=True), 1)
    )


@dataclass(frozen=True)
class _Mail:
    """A mail as ``git am`` decodes it; ``diff`` is its patch text, ``number`` n of '[PATCH n/m]'.

    ``has_diff``: whether it carries a patch rather than talk about one.
    """

    text: bytes
    fields: dict[str, str]
    diff: bytes
    number: int | None
    has_diff: bool


def _read_mail(text: bytes) -> _Mail:
    with tempfile.TemporaryDirectory(prefix="harness-") as scratch:
        message, patch = Path(scratch, "message"), Path(scratch, "patch")
        out = git.text(None, "mailinfo", "-k", str(message), str(patch), stdin=text)
        diff = patch.read_bytes()
    fields = dict(re.findall(r"(?m)^(\w+): (.*)$", out))
    number = re.search(r"\[[^]]*?(\d+)/\d+\]", fields.get("Subject", ""))
    has_diff = bool(re.search(rb"(?m)^diff --git |^--- \S", diff))
    return _Mail(text, fields, diff, int(number[1]) if number else None, has_diff)


def parse_patch(mail: bytes, where: str) -> Patch:
    """Reads one mail with a patch; ``where`` names it in an error.

    A mail without a date gets one, so that commit ids never depend on the clock.

    Raises:
        InvocationError: it is no such mail.
    """
    return _patch(_read_mail(mail), where)


def _patch(mail: _Mail, where: str) -> Patch:
    subject = re.sub(r"^(\s*\[[^]]*\])+\s*", "", mail.fields.get("Subject", ""))
    if not mail.fields.get("Email") or not subject:
        raise InvocationError(
            f"{where} is no mail with a patch: it lacks a {'From' if subject else 'Subject'} line",
            next_step="git format-patch writes such mails",
        )
    files = files_of(mail.diff.decode("utf-8", "replace"))
    if not files:
        raise InvocationError(f"{where} ({subject}) holds no diff", next_step=FORMS)
    text = mail.text
    if not mail.fields.get("Date"):
        date = b"Date: Sat, 1 Jan 2000 00:00:00 +0000\n"
        text = re.sub(rb"(?m)^(?=From:)|\A(?!From )", date, text, count=1)
    said = git.text(None, "patch-id", "--stable", stdin=mail.diff).split()
    return Patch(subject, text, said[0] if said else "", files, message_id(text))


def message_id(mail: bytes) -> str | None:
    """The Message-Id of a mail without its brackets; None where it has none."""
    head = re.split(rb"\r?\n\r?\n", mail, maxsplit=1)[0]
    found = re.search(rb"(?im)^message-id:\s*<([^>\s]+)>", head)
    return found[1].decode("ascii", "replace") if found else None


def files_of(text: str) -> tuple[str, ...]:
    """Every path that a diff names, old and new, sorted.

    A hunk that is damaged is not this function's matter: applying the patch says
    which one it is, so the headers alone must do.
    """
    headers = re.findall(r"(?m)^diff --git (a/\S+) (b/\S+)$", text)
    headers += re.findall(r"(?m)^--- ([^\t\n]+).*\n\+\+\+ ([^\t\n]+)", text)
    names = {name for pair in headers for name in pair}
    return tuple(sorted({name[2:] for name in names if name[:2] in ("a/", "b/")}))


def changed_lines(text: str) -> dict[str, set[int]]:
    """The lines of each file, as numbered after it, that a ``git diff -U0`` touches.

    Where lines are only taken away, those around the place.
    """
    return {
        file.path: {
            line
            for hunk in file
            for line in range(hunk.target_start, hunk.target_start + (hunk.target_length or 2))
        }
        for file in PatchSet(io.StringIO(text))
        if not file.is_removed_file
    }
