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

from harness.errors import InvocationError
from harness.shards import WHOLE, Shard

PROJECT = Path(__file__).resolve().parent.parent

# name: (default, what it means); `make help` and the docs print this table.
VARIABLES: dict[str, tuple[str, str]] = {
    "PROJECT": ("volatile", "which series: the folder below patches/ with its series.yaml"),
    "KERNEL": ("6.1", "base: 6.1, 6.12, or a path to a git tree, an unpacked tree or a tarball"),
    "REF": ("", "with KERNEL=/a/git/tree: the commit, tag or branch to start from (HEAD)"),
    "SERIES": ("", "a directory of patches, an mbox, or a git range; default: ours for KERNEL"),
    "PREVIOUS": ("", "make revision: the revision before, in a form that SERIES= takes"),
    "PATCHES": ("", "apply only the first N patches of the series (0: the bare base)"),
    "VARIANT": ("", "a patch on top of the series: a deliberate mistake, see make seen-red"),
    "CONFIG": ("default", "the flavour of the kernel configuration, see kconfig/flavours.yaml"),
    "MACHINE": ("auto", "microvm, q35, or auto: the fastest that this kernel can boot"),
    "ACCEL": ("auto", "kvm, tcg, or auto: KVM where a probe guest runs under it"),
    "TESTS": ("", "a pytest -k expression that selects guest tests"),
    "RACE": ("", "make repro: a scenario of guest-tests/races, several with commas, or all"),
    "MODE": ("", "make repro: stress repeats the programs without control as well"),
    "EXPLAIN": ("", "1: make repro prints each scenario with the kernel's source lines first"),
    "RUNS": ("20", "make repro: runs of a scenario on each kernel"),
    "CELL": ("", "make cell: a cell of make plan; make build-matrix: only this one of matrix.yaml"),
    "ROOTFS": ("", "a directory or an image to use as the guest's root"),
    "ROOTFS_LOGIN": (
        "root",
        "root or root:PASSWORD, on the console of a ROOTFS= image with an init; no: use our init",
    ),
    "DEBUG": ("", "1: build with debug information at once (shell: start QEMU's gdbstub)"),
    "CONSOLE": ("", "1: make shell gives the serial console itself, without SSH"),
    "DECODE": ("1", "0: do not build debug information to decode a splat"),
    "KIND": ("", "make soak: what to repeat, stress or model; without it the table so far"),
    "MINUTES": ("", "make soak: how long, all runs on one kernel together (30; SEED=: one round)"),
    "SEED": ("", "make soak, test-kernel: the seed of what is random, to see a failure again"),
    "CPUS": ("2", "virtual CPUs of a guest"),
    "SHARDS": ("1", "make plan: into how many parts the cases of each state go"),
    "REPEAT": (
        "",
        "run each broken guest case that many times more (make revision, cell: 5); "
        "make bench: cold runs (1)",
    ),
    "STATICS": ("1", "0: make revision and make plan leave checkpatch, sparse and kernel-doc out"),
    "KTAP": ("", "1: the results as KTAP on standard output, everything else on standard error"),
    "NOTES": (
        "",
        "1: make revision writes git notes on the tested commits of KERNEL=/a/git/tree",
    ),
    "JOBS": ("", "how many CPUs to use; default: all"),
    "TREE": ("", "make tree, make refresh: where the tree to edit is; default: tree/<kernel>"),
    "OUT": ("out", "where runs leave their results"),
    "HARNESS_CACHE": (
        "",
        "the store; default: $XDG_CACHE_HOME or ~/.cache, then kernel-series-harness",
    ),
    "HARNESS_CACHE_LIMIT": ("30", "size limit of the store in GiB; the oldest entries go first"),
}


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
    console: bool = False
    rootfs_login: str = "root"

    def asked(self) -> dict[str, str]:
        """The variables that matter for the verdict, for the report's head."""
        return {
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
            "CELL": self.cell,
            "ROOTFS": self.rootfs,
            "ROOTFS_LOGIN": self.rootfs_login if self.rootfs else "",
            "KIND": self.kind,
            "SEED": "" if self.seed is None else str(self.seed),
            "CPUS": str(self.cpus),
        }

    def given(self, *without: str) -> str:
        """The variables of this run that are not at their default, as they are typed."""
        asked = {n: v for n, v in self.asked().items() if v and n not in without}
        return " ".join(f"{n}={v}" for n, v in asked.items() if v != VARIABLES[n][0])


def _choice(env: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    value = env.get(name) or VARIABLES[name][0]
    if value not in allowed:
        raise InvocationError(
            f"{name}={value}: must be one of {', '.join(allowed)}", next_step="make help"
        )
    return value


def _number(env: Mapping[str, str], name: str, *, least: int) -> int | None:
    value = env.get(name) or VARIABLES[name][0]
    if not value:
        return None
    if not value.isdecimal() or int(value) < least:
        raise InvocationError(
            f"{name}={value}: must be a whole number, {least} or more", next_step="make help"
        )
    return int(value)


def _flag(env: Mapping[str, str], name: str) -> bool:
    return env.get(name, "") not in ("", "0")


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
        decode=(env.get("DECODE") or "1") != "0",
        jobs=_number(env, "JOBS", least=1) or os.cpu_count() or 1,
        tree=env.get("TREE", ""),
        out=Path(env.get("OUT") or VARIABLES["OUT"][0]).absolute(),
        cache=Path(cache).absolute() if cache else _default_cache(env),
        cache_limit=(limit or 1) << 30,
        previous=env.get("PREVIOUS", ""),
        race=env.get("RACE", ""),
        stress=_choice(env, "MODE", ("", "stress")) == "stress",
        explain=env.get("EXPLAIN", "") not in ("", "0"),
        runs=_number(env, "RUNS", least=1) or 20,
        kind=env.get("KIND", ""),
        minutes=_number(env, "MINUTES", least=1),
        seed=_number(env, "SEED", least=0),
        cpus=_number(env, "CPUS", least=2) or 2,
        shards=_number(env, "SHARDS", least=1) or 1,
        cell=env.get("CELL", ""),
        repeat=_number(env, "REPEAT", least=0),
        statics=(env.get("STATICS") or "1") != "0",
        ktap=_flag(env, "KTAP"),
        notes=_flag(env, "NOTES"),
        console=_flag(env, "CONSOLE"),
        rootfs_login=env.get("ROOTFS_LOGIN") or VARIABLES["ROOTFS_LOGIN"][0],
    )
