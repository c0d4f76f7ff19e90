# SPDX-License-Identifier: GPL-2.0-only
"""What the user asked for: the variables of the command line, checked once.

``make test-kernel KERNEL=6.12 TESTS=sigbus`` and the same names in the
environment or as arguments of ``python3 -m harness`` mean the same thing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import InvocationError
from harness.core.shards import WHOLE, Shard
from harness.core.usage import PROJECT as PROJECT
from harness.core.usage import VARIABLES, command

_YES = ("1", "yes", "true", "on")
_NO = ("0", "no", "false", "off")


@dataclass(frozen=True)
class Settings:
    """The invocation, checked. Paths are absolute; empty strings mean 'not given'."""

    project: Path  # the folder with series.yaml
    kernel: str
    ref: str
    series: str
    patches: int | None
    config: str
    machine: str
    accel: str
    tests: str
    rootfs: str
    debug: bool
    variant: str
    decode: bool
    jobs: int
    tree: str
    out: Path
    cache: Path
    cache_limit: int  # bytes
    previous: str = ""
    race: str = ""
    stress: bool = False
    explain: bool = False
    runs: int = 20
    kind: str = ""
    minutes: int | None = None
    seed: int | None = None
    cpus: int = 2
    shards: int = 1
    shard: Shard = WHOLE
    cell: str = ""
    repeat: int | None = None  # times that a broken case is run again; None: not said
    only: tuple[str, ...] = ()  # ids of cases: of those that TESTS= selects, no others
    every: bool = False  # repeat each case that ran, not only the broken ones
    statics: bool = True
    ktap: bool = False
    notes: bool = False
    slow: bool = True
    console: bool = False
    rootfs_login: str = "root"

    def asked(self) -> dict[str, str]:
        """The variables that say what is run, for the report's head; '' where none was given."""
        shipped = PROJECT / "patches"
        project = self.project
        if project.is_relative_to(shipped):
            project = project.relative_to(shipped)
        return {
            "PROJECT": str(project),
            "KERNEL": self.kernel,
            "REF": self.ref,
            "SERIES": self.series,
            "PATCHES": "" if self.patches is None else str(self.patches),
            "VARIANT": self.variant,
            "CONFIG": self.config,
            "MACHINE": self.machine,
            "ACCEL": self.accel,
            "TESTS": self.tests,
            "RACE": self.race,
            "MODE": "stress" if self.stress else "",
            "RUNS": str(self.runs),
            "CELL": self.cell,
            "ROOTFS": self.rootfs,
            "DEBUG": "1" if self.debug else "",
            "ROOTFS_LOGIN": self.rootfs_login if self.rootfs else "",
            "KIND": self.kind,
            "SEED": "" if self.seed is None else str(self.seed),
            "CPUS": str(self.cpus),
            "JOBS": "" if self.jobs == os.cpu_count() else str(self.jobs),
        }

    def command(self, name: str, **more: str) -> str:
        """What to type for ``name`` on what these settings name; see :func:`usage.command`."""
        given = {"TREE": self.tree, "PREVIOUS": self.previous, **self.asked()}
        return command(name, given, **more)


def _choice(env: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    value = env.get(name) or VARIABLES[name][0]
    if value not in allowed:
        raise InvocationError(
            f"{name}={value}: must be one of {', '.join(allowed)}", next_step=command("help")
        )
    return value


def _number(env: Mapping[str, str], name: str, *, least: int) -> int | None:
    value = env.get(name) or VARIABLES[name][0]
    if not value:
        return None
    if not value.isdecimal() or int(value) < least:
        raise InvocationError(
            f"{name}={value}: must be a whole number, {least} or more", next_step=command("help")
        )
    return int(value)


def _flag(env: Mapping[str, str], name: str) -> bool:
    value = env.get(name) or VARIABLES[name][0] or "no"
    if value.lower() not in _YES + _NO:
        raise InvocationError(
            f"{name}={value}: must be yes or no: {' '.join(_YES)}, or {' '.join(_NO)}",
            next_step=command("help"),
        )
    return value.lower() in _YES


def _default_cache(env: Mapping[str, str]) -> Path:
    root = env.get("XDG_CACHE_HOME") or str(Path(env.get("HOME") or "~").expanduser() / ".cache")
    return Path(root) / "kernel-series-harness"


def from_environment(env: Mapping[str, str] | None = None) -> Settings:
    """Reads and checks the variables of ``VARIABLES``.

    Raises:
        InvocationError: a value that no later stage could make sense of.
    """
    env = os.environ if env is None else env
    cache = env.get("HARNESS_CACHE")
    limit = _number(env, "HARNESS_CACHE_LIMIT", least=1)
    return Settings(
        project=PROJECT / "patches" / (env.get("PROJECT") or VARIABLES["PROJECT"][0]),
        kernel=env.get("KERNEL") or VARIABLES["KERNEL"][0],
        ref=env.get("REF", ""),
        series=env.get("SERIES", ""),
        patches=_number(env, "PATCHES", least=0),
        config=env.get("CONFIG") or VARIABLES["CONFIG"][0],
        machine=_choice(env, "MACHINE", ("auto", "microvm", "q35")),
        accel=_choice(env, "ACCEL", ("auto", "kvm", "tcg")),
        tests=env.get("TESTS", ""),
        rootfs=env.get("ROOTFS", ""),
        debug=_flag(env, "DEBUG"),
        variant=env.get("VARIANT", ""),
        decode=_flag(env, "DECODE"),
        jobs=_number(env, "JOBS", least=1) or os.cpu_count() or 1,
        tree=env.get("TREE", ""),
        out=Path(env.get("OUT") or VARIABLES["OUT"][0]).absolute(),
        cache=Path(cache).absolute() if cache else _default_cache(env),
        cache_limit=(limit or 1) << 30,
        previous=env.get("PREVIOUS", ""),
        race=env.get("RACE", ""),
        stress=_choice(env, "MODE", ("", "stress")) == "stress",
        explain=_flag(env, "EXPLAIN"),
        runs=_number(env, "RUNS", least=1) or 20,
        kind=env.get("KIND", ""),
        minutes=_number(env, "MINUTES", least=1),
        seed=_number(env, "SEED", least=0),
        cpus=_number(env, "CPUS", least=2) or 2,
        shards=_number(env, "SHARDS", least=1) or 1,
        cell=env.get("CELL", ""),
        repeat=_number(env, "REPEAT", least=0),
        statics=_flag(env, "STATICS"),
        ktap=_flag(env, "KTAP"),
        notes=_flag(env, "NOTES"),
        slow=_flag(env, "SLOW"),
        console=_flag(env, "CONSOLE"),
        rootfs_login=env.get("ROOTFS_LOGIN") or VARIABLES["ROOTFS_LOGIN"][0],
    )
