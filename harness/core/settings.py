# SPDX-License-Identifier: GPL-2.0-only
"""What the user asked for: the variables of the command line, checked once.

``make test-kernel KERNEL=6.12 TESTS=sigbus`` and the same names in the
environment or as arguments of ``python3 -m harness`` mean the same thing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal, TypeVar, cast

from harness.core.command_table import PROJECT as PROJECT
from harness.core.command_table import command, default
from harness.core.errors import InvocationError

# The kinds of workloads: the series' own cases, the kernel's selftests and KUnit suites,
# stress-ng, RUN=.
CASES, KSELFTEST, KUNIT, STRESS, RUN = "cases", "kselftest", "kunit", "stress-ng", "run"
WORKLOADS = (CASES, KSELFTEST, KUNIT, STRESS, RUN, "none")
# What TESTS= may say beside an expression: the cases that reach what was edited since the last
# whole run, before all others, or no others.
TOUCHED, TOUCHED_ONLY = "touched", "touched-only"
OWN = "volatile"  # the project's series where PROJECT= and SERIES= name none
_YES = ("1", "yes", "true", "on")
_NO = ("0", "no", "false", "off")

T = TypeVar("T")
W = TypeVar("W", bound=str)
Env = Mapping[str, str]


# Readers of a variable's text. A ValueError says what it must be.
def _optional(read: Callable[[str], T]) -> Callable[[str], T | None]:
    return lambda value: read(value) if value else None


def _choice(*allowed: W) -> Callable[[str], W]:
    def read(value: str) -> W:
        for word in allowed:
            if word == value:
                return word
        raise ValueError(f"one of {', '.join(allowed)}")

    return read


def _number(least: int) -> Callable[[str], int]:
    def read(value: str) -> int:
        if not value.isdecimal() or int(value) < least:
            raise ValueError(f"a whole number, {least} or more")
        return int(value)

    return read


def _percentage(value: str) -> int:
    if not value.isdecimal() or int(value) > 100:
        raise ValueError("a percentage, 0 to 100")
    return int(value)


def _flag(value: str) -> bool:
    if value and value.lower() not in _YES + _NO:
        raise ValueError(f"yes or no: {' '.join(_YES)}, or {' '.join(_NO)}")
    return value.lower() in _YES


def _suite(value: str) -> str:
    if not re.fullmatch("[a-z][a-z-]*", value):
        raise ValueError("the name of a Debian suite, such as trixie")
    return value


def _several(*allowed: str) -> Callable[[str], tuple[str, ...]]:
    def read(value: str) -> tuple[str, ...]:
        words = tuple(word for word in value.split(",") if word)
        if not set(words) <= {*allowed}:
            raise ValueError(f"{', '.join(allowed)}, one or several with commas")
        return words

    return read


def _llvm(value: str) -> str:
    if value and not (value == "1" or value.startswith("-") or value.endswith("/")):
        raise ValueError("1, a suffix such as -19, or a folder with a / at its end")
    return value


def _sample(value: str) -> int | Literal["all"]:
    if value == "all":
        return "all"
    if not value.isdecimal() or not int(value):
        raise ValueError("a whole number, 1 or more, or all")
    return int(value)


def _path(value: str) -> Path:
    return Path(value).absolute()


def _given(name: str, read: Callable[[str], T], *, asked: bool = False) -> T:
    """A field that the variable ``name`` gives; ``asked``: it says what is run."""
    return cast(T, field(metadata={"name": name, "read": read, "asked": asked}))


@dataclass(frozen=True)
class Login:
    """Who logs in on the serial console of an image with an init of its own."""

    user: str
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Settings:
    """The invocation, checked. Paths are absolute."""

    # The folder with series.yaml.
    project: Path = _given("PROJECT", lambda v: PROJECT / "patches" / (v or OWN), asked=True)
    claimed: bool = _given("PROJECT", bool)  # it was said, whatever the patches look like
    kernel: str = _given("KERNEL", str, asked=True)
    name: str | None = _given("NAME", _optional(str))
    ref: str | None = _given("REF", _optional(str), asked=True)
    series: str | None = _given("SERIES", _optional(str), asked=True)
    allow_bidi: bool = _given("ALLOW_BIDI", _flag, asked=True)
    warnings: Literal["refuse", "note"] = _given("WARNINGS", _choice("refuse", "note"), asked=True)
    previous: str | None = _given("PREVIOUS", _optional(str))
    patches: int | None = _given("PATCHES", _optional(_number(0)), asked=True)
    variant: str | None = _given("VARIANT", _optional(str), asked=True)
    fix: str | None = _given("FIX", _optional(str), asked=True)
    config: str = _given("CONFIG", str, asked=True)
    autoconfig: bool = _given("AUTOCONFIG", _flag)
    llvm: str = _given("LLVM", _llvm, asked=True)  # '': GCC builds the kernel
    machine: str = _given("MACHINE", _choice("auto", "microvm", "q35"), asked=True)
    accel: str = _given("ACCEL", _choice("auto", "kvm", "tcg"), asked=True)
    tests: str | None = _given("TESTS", _optional(str), asked=True)
    maxfail: int | None = _given("MAXFAIL", _optional(_number(1)), asked=True)
    workloads: tuple[str, ...] = _given("WORKLOADS", _several(*WORKLOADS), asked=True)
    run: str | None = _given("RUN", _optional(str), asked=True)
    guest_files: Path | None = _given("GUEST_FILES", _optional(_path), asked=True)
    race: str | None = _given("RACE", _optional(str), asked=True)
    claim: Path | None = _given("FROM", _optional(_path), asked=True)
    program: Path | None = _given("PROGRAM", _optional(_path), asked=True)
    mode: str = _given("MODE", _choice("", "stress"), asked=True)
    explain: bool = _given("EXPLAIN", _flag)
    runs: int = _given("RUNS", _number(1), asked=True)
    id: str | None = _given("ID", _optional(str))
    address: str | None = _given("ADDRESS", _optional(str))
    cell: str | None = _given("CELL", _optional(str), asked=True)
    rootfs: str | None = _given("ROOTFS", _optional(str), asked=True)
    rootfs_login: str = _given("ROOTFS_LOGIN", str, asked=True)
    debug: bool = _given("DEBUG", _flag, asked=True)
    dump: bool = _given("DUMP", _flag, asked=True)
    console: bool = _given("CONSOLE", _flag)
    decode: bool = _given("DECODE", _flag)
    coverage: bool = _given("COVERAGE", _flag)
    # Percent of the changed lines that have to run; None: each changed function, no more.
    cover: int | None = _given("COVER", _optional(_percentage), asked=True)
    kind: str | None = _given("KIND", _optional(str), asked=True)
    minutes: int | None = _given("MINUTES", _optional(_number(1)))
    seed: int | None = _given("SEED", _optional(_number(0)), asked=True)
    sample: int | Literal["all"] = _given("SAMPLE", _sample, asked=True)
    patch: int | None = _given("PATCH", _optional(_number(1)), asked=True)  # from 1
    engine: str = _given("ENGINE", _choice("local", "dask"))
    scheduler: str | None = _given("SCHEDULER", _optional(str))
    mutants: int | None = _given("MUTANTS", _optional(_number(1)))
    score: int | None = _given("SCORE", _optional(_percentage))  # percent
    function: str | None = _given("FUNCTION", _optional(str), asked=True)
    budget: int = _given("BUDGET", _number(1), asked=True)  # minutes
    suite: str = _given("SUITE", _suite)
    cpus: int = _given("CPUS", _number(2), asked=True)
    # Times that a broken case is run again; None: not said.
    repeat: int | None = _given("REPEAT", _optional(_number(0)))
    statics: bool = _given("STATICS", _flag)
    ktap: bool = _given("KTAP", _flag)
    notes: bool = _given("NOTES", _flag)
    slow: bool = _given("SLOW", _flag)
    jobs: int = _given("JOBS", lambda v: _number(1)(v or f"{os.cpu_count() or 1}"), asked=True)
    sandbox: str = _given("SANDBOX", _choice("auto", "require", "no"), asked=True)
    tree: str | None = _given("TREE", _optional(str))
    out: Path = _given("OUT", _path)
    cache: Path = _given("HARNESS_CACHE", _path)
    cache_limit: int = _given("HARNESS_CACHE_LIMIT", lambda v: _number(1)(v) << 30)  # bytes
    # What no variable gives: ids of cases (of those that TESTS= selects, no others), whether
    # each case that ran is repeated and not only the broken ones, whether SAMPLE= mutants are
    # those of each patch, and whether the cases that reach what was edited are run before the
    # others, as with TESTS=touched.
    only: tuple[str, ...] = ()
    every: bool = False
    each_patch: bool = False
    touched_first: bool = False

    def asked(self) -> dict[str, str]:
        """The variables that say what is run, for the report's head; '' where none was given."""
        asked = (f for f in fields(self) if f.metadata.get("asked"))
        given: dict[str, object] = {f.metadata["name"]: getattr(self, f.name) for f in asked}
        shipped = PROJECT / "patches"
        if self.project.is_relative_to(shipped):
            given["PROJECT"] = self.project.relative_to(shipped) if self.claimed else None
        given["WORKLOADS"] = ",".join(self.workloads)
        if not self.rootfs:
            given["ROOTFS_LOGIN"] = None
        if not self.autoconfig:
            given["AUTOCONFIG"] = 0
        if self.jobs == os.cpu_count():
            given["JOBS"] = None
        return {
            name: "" if value is None or value is False else "1" if value is True else str(value)
            for name, value in given.items()
        }

    def refuse_bare_base(self, name: str) -> None:
        """For a command that compares with the bare base: InvocationError where it is all."""
        if self.patches == 0:
            raise InvocationError(
                f"{name} compares the series with the bare base, which is PATCHES=0",
                next_step="leave PATCHES= out, or give 1 and more",
            )

    def command(self, name: str, **more: str) -> str:
        """What to type for ``name`` on what these settings name; see ``core.command_table``."""
        given = {"TREE": self.tree or "", "PREVIOUS": self.previous or "", **self.asked()}
        return command(name, given, **more)


def from_environment(env: Env | None = None) -> Settings:
    """Reads the variables of ``VARIABLES``; an InvocationError for a value without sense."""
    env = os.environ if env is None else env
    caches = env.get("XDG_CACHE_HOME") or Path(env.get("HOME") or "~").expanduser() / ".cache"
    given = {}
    for f in fields(Settings):
        if name := f.metadata.get("name"):
            value = env.get(name) or default(name, env)
            if name == "HARNESS_CACHE" and not value:
                value = f"{caches}/kernel-series-harness"
            try:
                given[f.name] = f.metadata["read"](value)
            except ValueError as error:
                what = f"{name}={value}: must be {error}"
                raise InvocationError(what, next_step=command("help")) from error
    return Settings(**given)
