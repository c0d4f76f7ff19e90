# SPDX-License-Identifier: GPL-2.0-only
"""What the user asked for: the variables of the command line, checked once.

``make test-kernel KERNEL=6.12 TESTS=sigbus`` and the same names in the
environment or as arguments of ``python3 -m harness`` mean the same thing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TypeVar, cast

from harness.core.errors import InvocationError
from harness.core.usage import PROJECT as PROJECT
from harness.core.usage import VARIABLES, command

_YES = ("1", "yes", "true", "on")
_NO = ("0", "no", "false", "off")

T = TypeVar("T")
Env = Mapping[str, str]


def _invalid(name: str, value: str, wanted: str) -> InvocationError:
    return InvocationError(f"{name}={value}: must be {wanted}", next_step=command("help"))


def _text(env: Env, name: str) -> str:
    return env.get(name) or VARIABLES[name][0]


def _optional(env: Env, name: str) -> str | None:
    return _text(env, name) or None


def _choice(*allowed: str) -> Callable[[Env, str], str]:
    def read(env: Env, name: str) -> str:
        if (value := _text(env, name)) not in allowed:
            raise _invalid(name, value, f"one of {', '.join(allowed)}")
        return value

    return read


def _optional_number(least: int) -> Callable[[Env, str], int | None]:
    def read(env: Env, name: str) -> int | None:
        value = _text(env, name)
        if value and (not value.isdecimal() or int(value) < least):
            raise _invalid(name, value, f"a whole number, {least} or more")
        return int(value) if value else None

    return read


def _number(least: int, default: int = 0, unit: int = 1) -> Callable[[Env, str], int]:
    """``default``: where the table of variables has none."""
    return lambda env, name: (_optional_number(least)(env, name) or default) * unit


def _flag(env: Env, name: str) -> bool:
    value = _text(env, name) or "no"
    if value.lower() not in _YES + _NO:
        raise _invalid(name, value, f"yes or no: {' '.join(_YES)}, or {' '.join(_NO)}")
    return value.lower() in _YES


def _cache(env: Env, name: str) -> Path:
    if given := env.get(name):
        return Path(given).absolute()
    root = env.get("XDG_CACHE_HOME") or str(Path(env.get("HOME") or "~").expanduser() / ".cache")
    return Path(root) / "kernel-series-harness"


def _given(name: str, read: Callable[[Env, str], T], *, asked: bool = False) -> T:
    """A field that the variable ``name`` gives; ``asked``: it says what is run."""
    return cast(T, field(metadata={"name": name, "read": read, "asked": asked}))


@dataclass(frozen=True)
class Shard:
    """Part ``number`` (from 1) of ``of`` parts of the cases, so that others can take the rest.

    A case's part follows from its id alone. A case that is added, moved or renamed changes
    no other's, and two machines agree without talking.
    """

    number: int = 1
    of: int = 1

    def holds(self, case_id: str) -> bool:
        """Whether a case belongs to this part."""
        value = int.from_bytes(hashlib.sha256(case_id.encode()).digest()[:8], "big")
        return value % self.of == self.number - 1

    @property
    def first(self) -> bool:
        """Whether this part also does what a run does once, such as the host checks."""
        return self.number == 1


WHOLE = Shard()


@dataclass(frozen=True)
class Settings:
    """The invocation, checked. Paths are absolute."""

    # The folder with series.yaml.
    project: Path = _given("PROJECT", lambda e, n: PROJECT / "patches" / _text(e, n), asked=True)
    kernel: str = _given("KERNEL", _text, asked=True)
    ref: str | None = _given("REF", _optional, asked=True)
    series: str | None = _given("SERIES", _optional, asked=True)
    allow_bidi: bool = _given("ALLOW_BIDI", _flag, asked=True)
    previous: str | None = _given("PREVIOUS", _optional)
    patches: int | None = _given("PATCHES", _optional_number(0), asked=True)
    variant: str | None = _given("VARIANT", _optional, asked=True)
    config: str = _given("CONFIG", _text, asked=True)
    machine: str = _given("MACHINE", _choice("auto", "microvm", "q35"), asked=True)
    accel: str = _given("ACCEL", _choice("auto", "kvm", "tcg"), asked=True)
    tests: str | None = _given("TESTS", _optional, asked=True)
    race: str | None = _given("RACE", _optional, asked=True)
    mode: str = _given("MODE", _choice("", "stress"), asked=True)
    explain: bool = _given("EXPLAIN", _flag)
    runs: int = _given("RUNS", _number(1), asked=True)
    cell: str | None = _given("CELL", _optional, asked=True)
    rootfs: str | None = _given("ROOTFS", _optional, asked=True)
    rootfs_login: str = _given("ROOTFS_LOGIN", _text, asked=True)
    debug: bool = _given("DEBUG", _flag, asked=True)
    console: bool = _given("CONSOLE", _flag)
    decode: bool = _given("DECODE", _flag)
    kind: str | None = _given("KIND", _optional, asked=True)
    minutes: int | None = _given("MINUTES", _optional_number(1))
    seed: int | None = _given("SEED", _optional_number(0), asked=True)
    cpus: int = _given("CPUS", _number(2), asked=True)
    shards: int = _given("SHARDS", _number(1))
    # Times that a broken case is run again; None: not said.
    repeat: int | None = _given("REPEAT", _optional_number(0))
    statics: bool = _given("STATICS", _flag)
    ktap: bool = _given("KTAP", _flag)
    notes: bool = _given("NOTES", _flag)
    slow: bool = _given("SLOW", _flag)
    jobs: int = _given("JOBS", _number(1, default=os.cpu_count() or 1), asked=True)
    tree: str | None = _given("TREE", _optional)
    out: Path = _given("OUT", lambda env, name: Path(_text(env, name)).absolute())
    cache: Path = _given("HARNESS_CACHE", _cache)
    cache_limit: int = _given("HARNESS_CACHE_LIMIT", _number(1, unit=1 << 30))  # bytes
    # What no variable gives: ids of cases (of those that TESTS= selects, no others), whether
    # each case that ran is repeated and not only the broken ones, and which part to run.
    only: tuple[str, ...] = ()
    every: bool = False
    shard: Shard = WHOLE

    def asked(self) -> dict[str, str]:
        """The variables that say what is run, for the report's head; '' where none was given."""
        asked = (f for f in fields(self) if f.metadata.get("asked"))
        given: dict[str, object] = {f.metadata["name"]: getattr(self, f.name) for f in asked}
        shipped = PROJECT / "patches"
        if self.project.is_relative_to(shipped):
            given["PROJECT"] = self.project.relative_to(shipped)
        if not self.rootfs:
            given["ROOTFS_LOGIN"] = None
        if self.jobs == os.cpu_count():
            given["JOBS"] = None
        return {
            name: "" if value is None or value is False else "1" if value is True else str(value)
            for name, value in given.items()
        }

    def command(self, name: str, **more: str) -> str:
        """What to type for ``name`` on what these settings name; see :func:`usage.command`."""
        given = {"TREE": self.tree or "", "PREVIOUS": self.previous or "", **self.asked()}
        return command(name, given, **more)


def from_environment(env: Env | None = None) -> Settings:
    """Reads and checks the variables of ``VARIABLES``.

    Raises:
        InvocationError: a value that no later stage could make sense of.
    """
    env = os.environ if env is None else env
    given = [(f.name, f.metadata) for f in fields(Settings) if f.metadata]
    return Settings(**{name: about["read"](env, about["name"]) for name, about in given})
