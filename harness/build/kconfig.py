# SPDX-License-Identifier: GPL-2.0-only
"""The kernel configuration: our fragments over the tree's tinyconfig, every symbol checked.

The tree's own merge_config.sh does the merging. It only warns of a symbol that
did not make it; here that is an error, with what the tree's Kconfig files say of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.build import kconfig_explain
from harness.build.build_dir import build_dir, marked
from harness.build.kconfig_explain import Block
from harness.build.toolchain import Workbench, environment, variables
from harness.core import git, proc
from harness.core.errors import InvocationError, SeriesError
from harness.core.settings import PROJECT
from harness.core.store import digest
from harness.series.apply import Applied, unpatched
from harness.series.base import Base, worktree
from harness.series.worktree import SourceTree, checkout, source_tree

FORMAT = 1
FOLDER = PROJECT / "kconfig"
NOT_SET = "n"


@dataclass(frozen=True)
class KernelConfig:
    """``path`` is the complete .config; ``name`` the flavour."""

    name: str
    path: Path
    sha256: str
    cached: bool = False

    @property
    def text(self) -> str:
        """The .config itself."""
        return self.path.read_text("utf-8")


@dataclass(frozen=True)
class Flavour:
    """One entry of ``flavours.yaml``; ``memory_mb``: of a guest, in MiB; None: as usual.

    ``defconfig``: the tree's file that the fragments are merged over; '' for its tinyconfig.
    """

    name: str
    fragments: tuple[Path, ...]
    memory_mb: int | None = None
    defconfig: str = ""

    def start(self, arch: str) -> tuple[str, ...]:
        """The tree's own files that come before the fragments, as far as the tree has them."""
        if self.defconfig:
            return (self.defconfig,)
        # What `make tinyconfig` merges.
        return ("kernel/configs/tiny-base.config", "kernel/configs/tiny.config",
                f"arch/{arch}/configs/tiny.config")  # fmt: skip


@dataclass(frozen=True)
class Request:
    """One line of a fragment; ``symbol`` without CONFIG_, ``value`` 'n' for 'is not set'.

    ``optional``: the line before says '# optional', because some kernels have no
    such symbol. A tree that has it must grant it all the same.
    """

    symbol: str
    value: str
    fragment: str
    line: int
    optional: bool = False

    def __str__(self) -> str:
        wants = f"CONFIG_{self.symbol}={self.value}"
        if self.value == NOT_SET:
            wants = f"# CONFIG_{self.symbol} is not set"
        return f"{self.fragment}:{self.line}: {wants}"


def load_flavour(name: str, folder: Path = FOLDER) -> Flavour:
    """The fragments of a flavour of ``flavours.yaml``.

    Raises:
        InvocationError: there is none of that name.
    """
    table: dict[str, dict[str, Any]] = yaml.safe_load((folder / "flavours.yaml").read_text("utf-8"))
    if name not in table:
        raise InvocationError(
            f"CONFIG={name}: there is no such flavour, only {', '.join(sorted(table))}",
            next_step="see kconfig/flavours.yaml",
        )
    fragments = tuple(folder / f"{fragment}.config" for fragment in table[name]["fragments"])
    return Flavour(name, fragments, table[name].get("memory_mb"))


def parse_config(text: str) -> dict[str, tuple[str, int]]:
    """``{symbol: (value, line)}`` of a fragment or a .config; 'is not set' is 'n'."""
    found: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.match(r"CONFIG_(\w+)=(.*)$", line):
            found[match[1]] = (match[2].strip(), number)
        elif match := re.match(r"# CONFIG_(\w+) is not set", line):
            found[match[1]] = (NOT_SET, number)
    return found


def requests(fragments: Sequence[Path]) -> list[Request]:
    """What the fragments ask for; where two ask for the same symbol, the later one's word."""
    wanted: dict[str, Request] = {}
    for path in fragments:
        text = path.read_text("utf-8")
        before = ["", *text.splitlines()]
        for symbol, (value, line) in parse_config(text).items():
            optional = before[line - 1].startswith("# optional")
            name = f"{path.parent.name}/{path.name}"
            wanted[symbol] = Request(symbol, value, name, line, optional)
    return list(wanted.values())


def vanished(asked: Sequence[Request], config: dict[str, str]) -> list[Request]:
    """The requests that the final configuration does not grant."""
    return [r for r in asked if config.get(r.symbol, NOT_SET) != r.value]


def read_values(config: Path) -> dict[str, str]:
    """``{symbol: value}`` of a .config; symbols that are not set are left out."""
    parsed = parse_config(config.read_text("utf-8"))
    return {symbol: value for symbol, (value, _) in parsed.items() if value != NOT_SET}


def configure(
    bench: Workbench,
    base: Base,
    applied: Applied,
    flavour: Flavour,
    log: Path,
    beside: Callable[[SourceTree], AbstractContextManager[object]] = contextlib.nullcontext,
) -> KernelConfig:
    """The configuration of the patched tree, from the store or made now.

    Args:
        beside: entered with the patched tree while that is being configured, which
            leaves most of the second CPU to it.

    Raises:
        InvocationError: the flavour asks for what this kernel does not have.
        SeriesError: the base would grant it and the series took it away.
    """
    fragments = [path.read_text("utf-8") for path in flavour.fragments]
    arch = bench.toolchain.arch
    state = _kconfig_state(applied, arch, flavour.start(arch))
    key = digest(FORMAT, fragments, state, bench.toolchain.version)

    def make(draft: Path) -> None:
        with (
            source_tree(bench.store, base, applied, bench.events) as source,
            beside(source),
            build_dir(bench, base, flavour.name, source) as out,
        ):
            config = run_merge(bench, source.path, out, flavour, log)
            check(source.path, config)
            shutil.copyfile(config, draft / "kernel.config")

    def check(source: Path, config: Path) -> None:
        gone = vanished(requests(flavour.fragments), read_values(config))
        if not gone:
            return
        blocks = list(kconfig_explain.read(source, arch))
        known = {block.symbol for block in blocks}
        gone = [r for r in gone if not r.optional or r.symbol in known]
        if gone:
            text = _explain(gone, blocks, read_values(config))
            blame: list[Request] = []
            if applied.commit != base.commit:
                blame = _granted_by_base(bench, gone, base, flavour, log)
            raise _error(text, blame, flavour, base, log)

    entry = bench.store.entry("config", key, make, bench.events.note)
    path = entry.path / "kernel.config"
    return KernelConfig(
        flavour.name, path, hashlib.sha256(path.read_bytes()).hexdigest(), entry.cached
    )


def _kconfig_state(applied: Applied, arch: str, start: Sequence[str]) -> str:
    """A hash of every file of the tree that a configuration can depend on."""
    files = git.tree_files(applied.repo, applied.commit)
    relevant = {
        path: blob
        for path, blob in files.items()
        if path.rpartition("/")[2].startswith("Kconfig")
        or path.startswith("scripts/")
        or path in (*start, "Makefile", f"arch/{arch}/Makefile")
    }
    return digest(relevant)


def run_merge(bench: Workbench, source: Path, out: Path, flavour: Flavour, log: Path) -> Path:
    """Runs the tree's merge_config.sh in ``out``; the .config.

    Raises:
        SeriesError: the tree's Kconfig files are broken.
        InvocationError: the tree has no such defconfig.
    """
    for leftover in source.glob(".tmp.config.*"):
        leftover.unlink()
    start = [name for name in flavour.start(bench.toolchain.arch) if (source / name).is_file()]
    if flavour.defconfig and not start:
        raise InvocationError(
            f"{flavour.name}: this kernel has no {flavour.defconfig}",
            next_step="choose another KERNEL=, or name another defconfig",
        )
    # What nobody mentions is off over tinyconfig, and at its default over a defconfig.
    rest = () if flavour.defconfig else ("-n",)
    # merge_config.sh calls make without arguments of ours; this is how make takes them.
    flags = " ".join(value.replace(" ", "\\ ") for value in variables(bench.toolchain))
    argv = ("sh", "scripts/kconfig/merge_config.sh", *rest, "-O", str(out), *start,
            *(str(path) for path in flavour.fragments))  # fmt: skip
    env = {**environment(), "MAKEFLAGS": f" -- {flags}"}
    lines: list[str] = []
    out.mkdir(parents=True, exist_ok=True)
    with marked(out):
        done = proc.run(argv, cwd=source, env=env, log=log, on_line=lines.append)
    if done.returncode != 0:
        proc.check_disk(argv, "\n".join(lines), log)
        first = [line for line in lines if re.search(r"Kconfig[^:]*:\d+:|[Ee]rror", line)]
        raise SeriesError(
            "\n".join(["the kernel cannot be configured", *(first or lines)[:6]]),
            evidence=log,
            next_step="mend the Kconfig file that it names",
        )
    return out / ".config"


def _explain(gone: list[Request], blocks: list[Block], config: dict[str, str]) -> str:
    told = []
    for request in gone:
        has = config.get(request.symbol)
        told.append(f"{request}: the result has it {f'as {has}' if has else 'not set'}")
        told += [f"  {line}" for line in kconfig_explain.explain(request.symbol, blocks, config)]
    return "\n".join(told)


def _granted_by_base(
    bench: Workbench, gone: list[Request], base: Base, flavour: Flavour, log: Path
) -> list[Request]:
    """Those of ``gone`` that the bare base has: the series is to blame for them.

    Runs inside the work directories of the failed attempt and leaves them at the base;
    the next checkout moves them on.
    """
    work_dir = worktree(bench.store, base.key).parent
    source = checkout(base, unpatched(base), work_dir).path
    out = work_dir / "bare-config"
    shutil.rmtree(out, ignore_errors=True)
    try:
        config = read_values(run_merge(bench, source, out, flavour, log))
    except SeriesError:
        return []
    finally:
        shutil.rmtree(out, ignore_errors=True)
    still_gone = {request.symbol for request in vanished(gone, config)}
    return [request for request in gone if request.symbol not in still_gone]


def _error(
    text: str, blame: list[Request], flavour: Flavour, base: Base, log: Path
) -> SeriesError | InvocationError:
    """The series is at fault for what the base grants; the flavour for the rest."""
    if blame:
        names = ", ".join(f"CONFIG_{request.symbol}" for request in blame)
        return SeriesError(
            f"the configuration loses symbols, and on the bare base it keeps {names}\n{text}",
            evidence=log,
            next_step="the series changes what these symbols depend on",
        )
    return InvocationError(
        f"CONFIG={flavour.name} asks for symbols that Linux {base.version} does not grant\n{text}",
        evidence=log,
        next_step="change the line in the fragment, or choose another CONFIG= or KERNEL=",
    )
