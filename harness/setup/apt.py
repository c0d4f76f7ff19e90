# SPDX-License-Identifier: GPL-2.0-only
"""Debian's packages as a source of files: which version there is, and its contents.

Nothing is installed and nothing outside the given directories is written. ``options`` are the
words that tell apt which lists of packages to use: ``machine_lists`` and ``suite_lists`` give them.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from harness.core import proc
from harness.core.machine_faults import check_output
from harness.core.store import Store, digest
from harness.setup.fetch import UnavailableError

_ENV = {"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
# Two that ask at once would both parse the lists.
_asking = threading.Lock()
KEYRINGS = tuple(
    Path(f"/usr/share/keyrings/debian-archive-keyring.{suffix}") for suffix in ("pgp", "gpg")
)
LISTS_AGE_S = 24 * 3600.0  # after which lists of ours are fetched again
# What makes apt use lists below a folder of ours. Nothing of the machine may weaken what is
# checked, and its hooks are for its own lists.
_CONFIGURATION = """
Dir::State::Lists "{folder}/lists";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "";
APT::Sandbox::User "root";
APT::Get::AllowUnauthenticated "false";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::Languages "none";
Acquire::Retries "0";
Acquire::http::Timeout "10";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
"""
_ONE_SUITE = """
APT::Update::Error-Mode "any";
Dir::Etc::SourceList "{folder}/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
"""


def available() -> bool:
    """Whether this machine gets its packages by apt."""
    return all(shutil.which(name) for name in ("apt-get", "apt-cache", "dpkg-deb", "dpkg-query"))


def _keeping(store: Store) -> tuple[str, ...]:
    """Options by which apt keeps in the store what it has parsed of its lists (37 MB).

    A call takes 0.7 s of processor time without that and 0.02 s with it. apt does so by
    itself, but not in images for containers, which switch it off to be smaller.
    """
    folder = store.root / "apt"
    folder.mkdir(parents=True, exist_ok=True)
    return (
        "-o", f"Dir::Cache::pkgcache={folder}/pkgcache.bin", "-o", "Dir::Cache::srcpkgcache=",
        # As root apt would hand a download to a user who may not write here.
        "-o", "APT::Sandbox::User=root",
    )  # fmt: skip


def _ask(*argv: str) -> str:
    with _asking:
        answer = proc.capture(argv, env={**os.environ, **_ENV})
    return answer.decode("utf-8", "replace")


def archives(options: Sequence[str] = ()) -> dict[str, str]:
    """Where apt's sources lead, by the Label of the Release there: ``{'Debian': 'http://...'}``.

    One whose lists have not been fetched has no label, so it is not named.
    """
    rows = _ask("apt-get", *options, "indextargets", "--format", "$(LABEL)\t$(REPO_URI)",
                "Created-By: Packages")  # fmt: skip
    pairs = (row.split("\t") for row in rows.splitlines())
    return {label: uri for label, uri in pairs if label and not label.startswith("$")}


@contextlib.contextmanager
def machine_lists(store: Store, *, fresh: bool = False) -> Iterator[tuple[str, ...]]:
    """Options for the machine's own sources: with its lists, or where it has none, with ours.

    ``fresh``: with ours even so, fetched now. A fresh image has no lists, and old ones name
    packages that the mirrors no longer have; neither is mended in the system's own place, which
    may not be ours.

    Raises:
        UnavailableError: ours could not be fetched.
    """
    if not fresh and archives(options := _keeping(store)):
        yield options
        return
    with _private_lists(store, None, 0.0 if fresh else LISTS_AGE_S) as options:
        yield options


@contextlib.contextmanager
def suite_lists(store: Store, suite: str, uri: str) -> Iterator[tuple[str, ...]]:
    """Options for one suite of Debian's archive at ``uri``, which need not be a machine's source.

    Its lists are kept in the store, and are what a Release says that is signed with a key of
    Debian's keyring; apt takes no package but with the hash that they name.

    Raises:
        UnavailableError: they could not be fetched, or no such key has signed them.
    """
    keyring = next((path for path in KEYRINGS if path.is_file()), None)
    if keyring is None:
        what = f"the keys to check {suite} with are not here (package debian-archive-keyring)"
        raise UnavailableError(what)
    source = f"deb [signed-by={keyring} target=Packages] {uri} {suite} main\n"
    with _private_lists(store, source, LISTS_AGE_S) as options:
        yield options


@contextlib.contextmanager
def _private_lists(store: Store, source: str | None, age_s: float) -> Iterator[tuple[str, ...]]:
    """Options for lists in the store: of ``source``, or (None) of the machine's own sources.

    They are fetched where they are older than ``age_s``; where that fails, old ones serve.
    """
    with store.work_dir("apt", digest(source)) as folder:
        configuration = _CONFIGURATION
        if source is not None:
            (folder / "sources.list").write_text(source, "utf-8")
            configuration += _ONE_SUITE
        (folder / "apt.conf").write_text(configuration.format(folder=folder), "utf-8")
        (folder / "status").touch()
        for name in ("lists/partial", "cache/archives/partial"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        options = "-c", str(folder / "apt.conf")
        stamp = folder / "fetched"
        if not stamp.is_file() or time.time() - stamp.stat().st_mtime > age_s:
            argv = "apt-get", *options, "-q", "update"
            done = proc.run(argv, env={**os.environ, **_ENV})
            # Of several sources apt calls what it could not fetch a warning, and ends with 0.
            if done.returncode == 0 and archives(options):
                stamp.touch()
            elif not stamp.is_file():
                raise UnavailableError(f"its lists could not be fetched\n{_last(done.output)}")
        yield options


def known(options: Sequence[str]) -> frozenset[str]:
    """Every package that apt could install."""
    return frozenset(_ask("apt-cache", *options, "pkgnames").split())


def candidate(package: str, options: Sequence[str]) -> str | None:
    """The version of that very package that apt would install; None where it has none."""
    return read_candidate(_ask("apt-cache", *options, "policy", package), package)


def read_candidate(policy: str, package: str) -> str | None:
    """The candidate in what ``apt-cache policy`` says; None: it does not speak of that package.

    Where there is no such package apt takes the name for a pattern: asked for linux-source-6.1,
    it answers for linux-source-6.12.
    """
    found = re.search(rf"^{re.escape(package)}:\n  Installed: .*\n  Candidate: (.+)", policy, re.M)
    return None if found is None or found[1] == "(none)" else found[1]


def installed(package: str) -> str | None:
    """The version that is installed here, or None."""
    said = proc.capture(
        ("dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", package), expect=(0, 1)
    ).decode()
    status, _, version = said.partition(" ")
    return version if status == "installed" else None


def download(versions: Mapping[str, str], folder: Path, options: Sequence[str]) -> None:
    """Fetches the files of packages into ``folder``, which has no others yet, in one call.

    Measured through a proxy: a call takes 5 s, be it for one small package or for three.

    Raises:
        UnavailableError: no network, or the mirror no longer has what its lists name.
    """
    wanted = [f"{package}={version}" for package, version in versions.items()]
    argv = ("apt-get", *options, "-q", "download", *wanted)
    done = proc.run(argv, cwd=folder, env={**os.environ, **_ENV})
    missing = [name for name in versions if not any(folder.glob(f"{name}_*.deb"))]
    if done.returncode == 0 and not missing:
        return
    check_output(argv[0], done.output)
    named = ", ".join(f"{name} {versions[name]}" for name in missing or versions)
    what = f"{'the package' if len(versions) == 1 else 'packages'} {named} could not be downloaded"
    raise UnavailableError(f"{what}\n{_last(done.output)}")


def _last(output: str) -> str:
    return "\n".join(output.strip().splitlines()[-3:])
