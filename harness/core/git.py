# SPDX-License-Identifier: GPL-2.0-only
"""Git as the harness calls it: the same on every machine, whatever the user's settings."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, TypedDict, Unpack

from harness.core import proc
from harness.core.errors import InternalError

# Committer of everything the harness commits: part of commit ids, so never change it.
NAME = "Kernel Series Harness"
EMAIL = "harness@localhost"
# 2000-01-01: the date of base commits that come from no repository.
EPOCH = "946684800 +0000"
SUBMODULE = "160000"  # the mode of a commit of another repository in a tree


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment without the user's git settings, hooks, pager and locale."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env.update(
        LC_ALL="C",
        GIT_CONFIG_GLOBAL="/dev/null",
        GIT_CONFIG_NOSYSTEM="1",
        GIT_OPTIONAL_LOCKS="0",
        GIT_TERMINAL_PROMPT="0",
        GIT_PAGER="cat",
        GIT_AUTHOR_NAME=NAME,
        GIT_AUTHOR_EMAIL=EMAIL,
        GIT_COMMITTER_NAME=NAME,
        GIT_COMMITTER_EMAIL=EMAIL,
    )
    options = {
        # Stores may belong to another user, as under sudo.
        "safe.directory": "*",
        "gc.auto": "0",
        "maintenance.auto": "false",
        "core.hooksPath": "/dev/null",
        "core.fsmonitor": "false",
        "commit.gpgSign": "false",
        "advice.detachedHead": "false",
        "init.defaultBranch": "base",
        "core.quotePath": "false",
        # A tree's own .git/config is read even so; of it, what changes our patches and files.
        "core.attributesFile": "/dev/null",
        "core.autocrlf": "false",
        "core.eol": "lf",
        "diff.ignoreSubmodules": "none",
        "diff.suppressBlankEmpty": "false",
        "format.forceInBodyFrom": "false",
        "format.mboxrd": "false",
        "i18n.commitEncoding": "UTF-8",
        "i18n.logOutputEncoding": "UTF-8",
        "log.showSignature": "false",
    }
    env["GIT_CONFIG_COUNT"] = str(len(options))
    for number, (key, value) in enumerate(options.items()):
        env[f"GIT_CONFIG_KEY_{number}"] = key
        env[f"GIT_CONFIG_VALUE_{number}"] = value
    env.update(extra or {})
    return env


class Options(TypedDict, total=False):
    """What a call of git may be given: input, more environment, statuses that are no failure."""

    stdin: bytes
    env: Mapping[str, str]
    expect: tuple[int, ...]


def raw(repo: Path | None, *args: str, **options: Unpack[Options]) -> bytes:
    """``git -C repo args...``: stdout as bytes; a HarnessError for a status not in ``expect``."""
    where = () if repo is None else ("-C", str(repo))
    options["env"] = environment(options.get("env"))
    return proc.capture(("git", *where, *args), **options)


def text(repo: Path | None, *args: str, **options: Unpack[Options]) -> str:
    """``raw`` decoded, without the final newline."""
    return raw(repo, *args, **options).decode("utf-8", "surrogateescape").rstrip("\n")


def commit_id(repo: Path | None, name: str) -> str:
    """The id of the commit that a name stands for; a HarnessError where there is none."""
    found = text(repo, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    if found.startswith("^"):
        raise InternalError(f"{name} excludes a commit, and names none")
    return found


def file_text(repo: Path, commit: str, path: str) -> str | None:
    """A file's text as a commit has it; None where it is not there."""
    try:
        return raw(repo, "cat-file", "blob", f"{commit}:{path}").decode("utf-8", "replace")
    except InternalError:
        return None


def init(repo: Path, *objects: Path, like: Path | None = None) -> None:
    """A bare repository with nothing of the user's settings.

    Args:
        objects: objects directories that it reads as well.
        like: a repository whose object format, shallow commits and promisor remote (of a
            partial clone, which fetches what it lacks) are this one's too.
    """
    form = text(like, "rev-parse", "--show-object-format") if like else "sha1"
    text(None, "init", "--quiet", "--bare", "--template=", f"--object-format={form}", str(repo))
    if objects:
        info = repo / "objects" / "info"
        info.mkdir(parents=True, exist_ok=True)
        lines = (os.fsencode(o) for o in objects)
        quoted = (b'"%s"' % o.replace(b"\n", b"\\n") if b"\n" in o else o for o in lines)
        (info / "alternates").write_bytes(b"".join(line + b"\n" for line in quoted))
    if like is None:
        return
    shallow = Path(text(like, "rev-parse", "--path-format=absolute", "--git-path", "shallow"))
    if shallow.is_file():
        shutil.copyfile(shallow, repo / "shallow")
    for key in ("promisor", "partialclonefilter"):
        found = text(like, "config", "--get-regexp", rf"^remote\..*\.{key}$", expect=(0, 1))
        for name, _, value in (line.partition(" ") for line in found.splitlines()):
            remote = name.removeprefix("remote.").removesuffix(f".{key}")
            url = text(like, "config", "--get", f"remote.{remote}.url")
            if (like / url).exists():  # a path is relative to the clone
                url = str((like / url).resolve())
            for setting, content in (("url", url), (key, value)):
                text(repo, "config", f"remote.{remote}.{setting}", content)
            text(repo, "config", "extensions.partialClone", remote)
            text(repo, "config", "core.repositoryFormatVersion", "1")


def blobs(repo: Path, ids: list[str]) -> dict[str, bytes]:
    """The contents of blobs by id, in one process."""
    if not ids:
        return {}
    out = raw(repo, "cat-file", "--batch", stdin="".join(f"{i}\n" for i in ids).encode())
    found: dict[str, bytes] = {}
    at = 0
    for wanted in ids:
        end = out.index(b"\n", at)
        size = int(out[at:end].split()[2])
        found[wanted] = out[end + 1 : end + 1 + size]
        at = end + 1 + size + 1
    return found


class FileChange(NamedTuple):
    """How a file differs between two commits: its mode and blob in each.

    ``status``: git's letter, A, D, M or T. The mode is 000000 where the file is not there.
    """

    path: str
    status: str
    old_mode: str
    old_blob: str
    mode: str
    blob: str


def changed_files(repo: Path, old: str, new: str) -> list[FileChange]:
    """What differs between two commits, in order of the paths; a renamed file is two."""
    if old == new:
        return []
    out = raw(repo, "diff-tree", "-r", "-z", "--raw", "--no-renames", old, new)
    words = [os.fsdecode(word) for word in out.split(b"\0") if word]
    changed: list[FileChange] = []
    for what, path in zip(words[0::2], words[1::2], strict=True):
        old_mode, mode, old_blob, blob, status = what.removeprefix(":").split(" ")
        changed.append(FileChange(path, status, old_mode, old_blob, mode, blob))
    return changed


@functools.lru_cache(maxsize=4)  # configuration and headers ask for the same 80,000 files
def tree_files(repo: Path, commit: str, *paths: str) -> Mapping[str, tuple[str, str]]:
    """``{path: (mode, blob id)}`` of a commit, given by its id, or of only ``paths`` in it."""
    out = raw(repo, "ls-tree", "-r", "-z", commit, *(("--", *paths) if paths else ()))
    files: dict[str, tuple[str, str]] = {}
    for record in os.fsdecode(out).split("\0"):
        if record:
            head, _, name = record.partition("\t")
            mode, _, blob = head.split(" ")
            files[name] = (mode, blob)
    return files
