# SPDX-License-Identifier: GPL-2.0-only
"""The series: the patches that SERIES= names, read but not yet applied."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from harness.core import git
from harness.core.errors import HarnessError, InvocationError
from harness.core.settings import PROJECT, Settings
from harness.series.base import Base
from harness.series.choose_mails import choose
from harness.series.diff import files_of, foreign, hidden, identity
from harness.series.fetch_thread import fetch, message_id
from harness.series.mail import Mail, read_mail
from harness.series.mailbox import (
    FORMS,
    box_of,
    content,
    cover_letter,
    mails_of,
    natural,
    older_versions,
    patch_files,
    quilt_mails,
)

MAX_HIDDEN_SHOWN = 10  # lines
_DIFF = re.compile(rb"^diff --git ", re.MULTILINE)
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

    ``letter`` is the cover letter, None where there is none. ``remarks``: what had to be
    decided or undone to read it, for the screen.
    """

    source: str
    patches: tuple[Patch, ...]
    letter: Mail | None = None
    remarks: tuple[str, ...] = ()


def default_folder(settings: Settings, base: Base) -> Path:
    """Where the project's own series for this kernel line lies."""
    return settings.project / base.line


def load_series(settings: Settings, base: Base) -> Series:
    """Reads the patches of SERIES=, or of our own series for this base.

    Raises:
        InvocationError: SERIES= names no series, nothing says which mails are it, one was
            damaged on its way, or adds characters that nobody sees and ALLOW_BIDI= is not set.
    """
    try:
        series = _load(settings, base)
    except (OSError, RecursionError) as error:  # a mail in a mail in a mail ...
        raise InvocationError(f"SERIES={settings.series}: {error}", next_step=FORMS) from error
    if not settings.allow_bidi:
        _refuse_hidden(series)
    return series


def _load(settings: Settings, base: Base) -> Series:
    if not settings.series:
        return _default(settings, base)
    spec = settings.series
    given = Path(spec).expanduser().absolute()
    if given.is_dir():
        # A folder of folders, one a kernel line, as patches/<name>/ is.
        lined = given / base.line
        return _folder(spec, lined if lined.is_dir() and not patch_files(given) else given)
    if given.is_file():
        return _mailbox(spec, mails_of(given), str(given))
    if message := message_id(spec):
        with tempfile.TemporaryDirectory(prefix="harness-") as scratch:
            return _mailbox(spec, mails_of(fetch(message, Path(scratch))), spec)
    if ".." in spec:
        return _range(spec, spec, base)
    if base.origin is not None:
        return _branch(spec, base)
    raise InvocationError(f"SERIES={spec}: no such file or directory", next_step=FORMS)


def _refuse_hidden(series: Series) -> None:
    """Refuses text that reads otherwise than it compiles (CVE-2021-42574), as b4 am does.

    Not the series' fault, exit status 1: a translation or a test may need such a character.
    Whoever runs it has to look, and to say so.
    """
    for patch in series.patches:
        if found := hidden(patch.text, patch.files):
            shown = [*found[:MAX_HIDDEN_SHOWN], *["..."][: len(found) - MAX_HIDDEN_SHOWN]]
            raise InvocationError(
                f"'{patch.subject}' has characters that nobody sees, bidirectional or invisible:\n"
                + "\n".join(f"  {line}" for line in shown),
                next_step="look at these lines; ALLOW_BIDI=yes tests the series as it is",
            )


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


def _mailbox(source: str, mails: list[Mail], where: str) -> Series:
    """What b4 makes of the mails of a mailbox."""
    thread = choose(mails, where)
    remarks = [*thread.remarks, *_undone(thread.patches)]
    patches = tuple(_patch(mail) for mail in thread.patches)
    return Series(source, patches, thread.letter, tuple(remarks))


def _folder(source: str, folder: Path) -> Series:
    """A folder: a Maildir or with a mailbox in it, with quilt's list, or with numbered patches."""
    if (box := box_of(folder)) is not None:
        return _mailbox(source, box, str(folder))
    mails, older = quilt_mails(folder), []
    if mails is None:
        older = older_versions(folder)
        mails = [mail for path in patch_files(folder) for mail in read_mail(content(path))]
    if not mails:
        raise InvocationError(f"{folder} holds no *.patch files", next_step=FORMS)
    missing = _missing(mails)
    if missing and older:
        raise InvocationError(
            f"{folder} has a part of a version, and an older one: {', '.join(older)}\n{missing}",
            next_step="leave in the folder what belongs together, under one version",
        )
    remarks = [f"patches of an older version left out: {', '.join(older)}"] if older else []
    remarks += [missing] if missing else []
    remarks += _undone(mails)
    patches = tuple(_patch(mail) for mail in mails)
    return Series(source, patches, cover_letter(folder), tuple(remarks))


def _missing(mails: Iterable[Mail]) -> str | None:
    """Which patches are not there, by what the subjects count, in words; None: all are."""
    counts = {mail.subject.count for mail in mails}
    if None in counts or len({of for _, of in filter(None, counts)}) != 1:
        return None  # from several series, or without a number
    (total,) = {of for _, of in filter(None, counts)}
    left = set(range(1, total + 1)) - {number for number, _ in filter(None, counts)}
    shown = ", ".join(map(str, sorted(left)))
    return (
        f"by their subjects they are of {total} patches, and {shown} is missing" if left else None
    )


def _undone(mails: Iterable[Mail]) -> list[str]:
    """What mail programs did and was undone, in one line."""
    count = Counter(word for mail in mails for word in mail.undone)
    if not count:
        return []
    return ["undone: " + ", ".join(f"{what} (in {n})" for what, n in count.items())]


def _branch(name: str, base: Base) -> Series:
    """The commits of a branch of the user's tree that the base does not have."""
    try:
        git.commit_id(base.origin, name)
    except HarnessError as error:
        raise InvocationError(
            f"SERIES={name}: no such file or directory, and no branch of {base.origin}",
            next_step=FORMS,
        ) from error
    try:
        # A series that is part of the base may be no part of the user's tree.
        return _range(name, f"{base.chain[-1].commit}..{name}", base)
    except InvocationError as error:
        raise InvocationError(
            f"SERIES={name} has no commit that the base, {base.commit[:12]}, does not have",
            next_step=f"REF= says where the branch began: REF=$(git merge-base {name} master)",
        ) from error


def _range(source: str, spec: str, base: Base) -> Series:
    """The commits of a range of the user's tree, less merges and those that change nothing."""
    if base.origin is None:
        raise InvocationError(
            f"SERIES={spec} is a git range, and KERNEL={base.name} is no git tree", next_step=FORMS
        )
    try:
        # The names are the user's tree's, the settings (format.*, diff.*) are not.
        ids = git.text(base.origin, "rev-parse", "--revs-only", "--end-of-options", spec).split()
        commits = git.text(base.repo, "rev-list", *ids, "--").split()
        with tempfile.TemporaryDirectory(prefix="harness-") as scratch:
            git.text(base.repo, *FORMAT_PATCH, "--no-zero-commit", f"-o{scratch}", *ids)
            mails = [path.read_bytes() for path in sorted(Path(scratch).iterdir(), key=natural)]
    except HarnessError as error:
        raise InvocationError(
            f"SERIES={spec} is no range of commits in {base.origin}\n{error.what}", next_step=FORMS
        ) from error
    # Of a commit without a change git 2.47 writes a mail, and git 2.39 none.
    found = [mail.split(b" ", 2) for mail in mails if _DIFF.search(mail)]
    if not found:
        raise InvocationError(f"SERIES={spec} holds no commits", next_step=FORMS)
    # The mail itself is the same for the same patch, as FORMAT_PATCH makes it.
    zero = b"From %s " % (b"0" * 40)
    patches = tuple(
        replace(parse_patch(zero + rest, f"{spec}, commit {n}"), commit=commit.decode())
        for n, (_, commit, rest) in enumerate(found, 1)
    )
    left = len(commits) - len(patches)
    said = (
        f"{left} commits left out: merges, whose own changes are in no patch, or without a change"
    )
    return Series(source, patches, remarks=(said,) if left else ())


def parse_patch(mail: bytes, where: str) -> Patch:
    """Reads one mail with a patch; ``where`` names it in an error.

    A mail without a date gets one, so that commit ids never depend on the clock.

    Raises:
        InvocationError: it is no such mail.
    """
    mails = [one for one in read_mail(mail) if one.is_patch]
    if len(mails) != 1:
        raise InvocationError(f"{where} holds no diff that is a patch", next_step=FORMS)
    return _patch(mails[0], where)


def _patch(mail: Mail, where: str | None = None) -> Patch:
    where = where or mail.named
    if mail.fault:
        raise InvocationError(
            f"{where} cannot be taken as it came: {mail.fault}",
            next_step="get it as it was sent: b4, the archive's mbox, or git format-patch",
        )
    with tempfile.TemporaryDirectory(prefix="harness-") as scratch:
        message, patch = Path(scratch, "message"), Path(scratch, "patch")
        argv = ("mailinfo", str(message), str(patch))
        try:
            out = git.text(None, *argv, stdin=mail.text)
        except HarnessError as error:
            raise InvocationError(
                f"git cannot read {where}\n{error.what}", next_step=FORMS
            ) from error
        diff = patch.read_bytes()
    fields = dict(re.findall(r"(?m)^(\w+): (.*)$", out))
    subject = fields.get("Subject", "")
    if not fields.get("Email") or not subject:
        raise InvocationError(
            f"{where} is no mail with a patch: it lacks a {'From' if subject else 'Subject'} line",
            next_step="git format-patch writes such mails",
        )
    files = files_of(diff)
    if not files:
        raise InvocationError(f"{where} ({subject}) holds no diff", next_step=FORMS)
    if odd := foreign(diff, files):
        what, step = f"{where} is of no kernel: {odd}", "git format-patch writes no such patch"
        raise InvocationError(what, next_step=step)
    text = mail.text
    if not fields.get("Date"):
        date = b"Date: Sat, 1 Jan 2000 00:00:00 +0000\n"
        text = re.sub(rb"(?m)^(?=From:)|\A(?!From )", date, text, count=1)
    return Patch(subject, text, identity(diff), files, mail.message_id)
