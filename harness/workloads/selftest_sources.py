# SPDX-License-Identifier: GPL-2.0-only
"""What the kernel's own selftests are built from, written out of git: no worktree is touched."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from harness.core import git

SELFTESTS = "tools/testing/selftests"
# All of them but APART: the folders include one another's headers.
_SOURCES = (
    SELFTESTS, "tools/include", "tools/arch/x86/include",
    "mm/gup_test.h", "lib/test_hmm_uapi.h", "include/vdso/time64.h",  # the folder mm's
    "scripts/Makefile.compiler", "scripts/subarch.include", "tools/scripts",  # of Makefiles
)  # fmt: skip
# Folders, 3481 of the 5354 files of 7.3, of which no other one includes any on x86.
_APART = (
    "arm64", "bpf", "drivers", "ftrace", "hid", "kvm", "livepatch", "powerpc", "rcutorture",
    "riscv", "sched_ext", "tc-testing", "ublk", "wireguard",
)  # fmt: skip

_NAMES = "harness-names:"


def object_of(repo: Path, commit: str, path: str) -> str:
    """The git object of a path in a commit; '' where it is not there."""
    named = f"{commit}:{path}"
    return git.text(repo, "rev-parse", "--verify", "--quiet", named, expect=(0, 1)).strip()


def selftest_sources(repo: Path, commit: str) -> dict[str, str]:
    """Those that this tree has, and their git objects."""
    found = {path: object_of(repo, commit, path) for path in _SOURCES}
    return {path: known for path, known in found.items() if known}


def write_sources(repo: Path, commit: str, folder: str, target: Path) -> Path:
    """Writes them to ``target``; where ``folder``, which is below tools/testing/selftests, is."""
    own = folder.split("/")[0]
    rest = [f":(exclude){SELFTESTS}/{name}" for name in _APART if name != own]
    paths = (*selftest_sources(repo, commit), *rest)
    archive = git.raw(repo, "archive", "--format=tar", commit, "--", *paths)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(target, filter="data")
    return target / SELFTESTS / folder


def question(*variables: str) -> tuple[str, ...]:
    """Words for make that ask it for the names in ``variables``, all expanded by make itself."""
    names = " ".join(f"$({name})" for name in variables)
    return "-s", f"--eval={_NAMES} ; @echo {_NAMES} $(notdir {names})", _NAMES.rstrip(":")


def answer(said: str) -> list[str]:
    """The names in what make said, beside whatever its Makefile says as well."""
    return [
        name for line in said.splitlines() if line.startswith(_NAMES) for name in line.split()[1:]
    ]
