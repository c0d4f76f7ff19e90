# SPDX-License-Identifier: GPL-2.0-only
"""Debian's packages as a source of files: which version there is, and its contents.

Nothing is installed and nothing outside the given directories is written.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path

from harness.core import proc
from harness.core.errors import MachineError
from harness.core.machine_faults import check_output
from harness.core.store import Store

_ENV = {"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
# Two that ask at once would both parse the lists.
_asking = threading.Lock()


class UnavailableError(MachineError):
    """No network, or the mirror no longer has what its lists name."""


def available() -> bool:
    """Whether this machine gets its packages by apt."""
    return all(shutil.which(name) for name in ("apt-get", "apt-cache", "dpkg-deb", "dpkg-query"))


def keeping(store: Store) -> tuple[str, ...]:
    """Options by which apt keeps in the store what it has parsed of its lists (37 MB).

    A call takes 0.7 s of processor time without that and 0.02 s with it. apt does so by
    itself, but not in images for containers, which switch it off to be smaller.
    """
    folder = store.root / "apt"
    folder.mkdir(parents=True, exist_ok=True)
    return (
        "-o", f"Dir::Cache::pkgcache={folder}/pkgcache.bin", "-o", "Dir::Cache::srcpkgcache="
    )  # fmt: skip


def _ask(*argv: str) -> str:
    with _asking:
        answer = proc.capture(("apt-cache", *argv), env={**os.environ, **_ENV})
    return answer.decode("utf-8", "replace")


def known(options: Sequence[str]) -> frozenset[str]:
    """Every package that apt could install."""
    return frozenset(_ask(*options, "pkgnames").split())


def candidate(package: str, store: Store) -> str | None:
    """The version that apt would install, from its lists; None where it has none."""
    policy = _ask(*keeping(store), "policy", package)
    version = re.search(r"^ *Candidate: (?!\(none\))(\S+)", policy, re.M)
    return version and version[1]


def update() -> bool:
    """Renews apt's lists; False where we may not, or where there is no network."""
    if os.geteuid() != 0:
        return False
    options = ("-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=10")
    done = proc.run(("apt-get", *options, "-q", "update"), env={**os.environ, **_ENV})
    # apt calls failed fetches warnings and ends with 0.
    return done.returncode == 0 and "Failed to fetch" not in done.output


def installed(package: str) -> str | None:
    """The version that is installed here, or None."""
    said = proc.capture(
        ("dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", package), expect=(0, 1)
    ).decode()
    status, _, version = said.partition(" ")
    return version if status == "installed" else None


def download(package: str, version: str, folder: Path, store: Store) -> Path:
    """Fetches one package file into ``folder``, or raises UnavailableError."""
    plain = ("-o", "APT::Sandbox::User=root") if os.geteuid() == 0 else ()
    argv = ("apt-get", *keeping(store), *plain, "-q", "download", f"{package}={version}")
    done = proc.run(argv, cwd=folder, env={**os.environ, **_ENV})
    files = sorted(folder.glob(f"{package}_*.deb"))
    if done.returncode == 0 and files:
        return files[-1]
    check_output(argv[0], done.output)
    tail = "\n".join(done.output.strip().splitlines()[-3:])
    step = "check the network, apt-get update, or give a tree: KERNEL=/path/to/linux"
    what = f"the package {package} {version} could not be downloaded\n{tail}"
    raise UnavailableError(what, next_step=step)
