# SPDX-License-Identifier: GPL-2.0-only
"""The kernels that are known by name: ``kernels.yaml``, and the places that it names.

Needs a table only: what comes from a place is made a base in base.py.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from harness.core.jsondata import from_json
from harness.core.store import Store
from harness.setup import apt
from harness.setup.fetch import UnavailableError

LATEST = "latest"
MACHINE = "machine"


@dataclass(frozen=True)
class SourcePlace:
    """Where a kernel may be: lists of packages that apt can use, or a tarball's address.

    ``apt``: ``machine`` or a suite, of the archive with the Label ``archive``. ``url`` and
    ``sha256``, 64 hex digits: a tarball.
    """

    apt: str | None = None
    archive: str | None = None
    url: str | None = None
    sha256: str | None = None

    def __str__(self) -> str:
        if self.url is not None:
            return self.url
        return "this machine's apt" if self.apt == MACHINE else f"{self.archive}'s suite {self.apt}"


@dataclass(frozen=True)
class NamedKernel:
    """One row of the table."""

    package: str
    places: tuple[SourcePlace, ...]
    files: int
    objects: dict[str, int] = field(default_factory=dict)

    @property
    def tarball(self) -> str:
        """The path of the source in the package, without the leading slash."""
        return f"usr/src/{self.package}.tar.xz"


@functools.cache
def known_kernels() -> dict[str, NamedKernel]:
    """The table, by kernel line."""
    text = Path(__file__).with_name("kernels.yaml").read_text("utf-8")
    return from_json(dict[str, NamedKernel], yaml.safe_load(text))


def resolved(kernel: str) -> str:
    """``KERNEL=`` with ``latest`` replaced by the newest line of the table."""
    newest = max(known_kernels(), key=lambda line: [int(part) for part in line.split(".")])
    return ",".join(newest if part.strip() == LATEST else part for part in kernel.split(","))


@contextlib.contextmanager
def lists_of(place: SourcePlace, store: Store) -> Iterator[Sequence[str]]:
    """The options by which apt uses the lists of a place.

    Raises:
        UnavailableError: no apt here, or no such archive among its sources; see ``suite_lists``.
    """
    if not apt.available():
        raise UnavailableError("this machine has no apt")
    with apt.machine_lists(store) as options:
        if place.apt == MACHINE or place.apt is None:
            yield options
            return
        uri = apt.archives(options).get(place.archive or "")
    if uri is None:
        raise UnavailableError(f"no archive with the label {place.archive} is a source of apt here")
    with apt.suite_lists(store, place.apt, uri) as options:
        yield options
