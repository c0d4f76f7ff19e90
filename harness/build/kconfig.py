# SPDX-License-Identifier: GPL-2.0-only
"""The kernel configuration: fragments over a beginning, every symbol that they ask for checked.

The beginning is the tree's tinyconfig, a defconfig of it, or a .config of the user's.

The tree's own merge_config.sh does the merging. It only warns of a symbol that
did not make it; here that is an error, with what the tree's Kconfig files say of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.build.explain import explain, read_kconfig
from harness.build.flavours import HELP, Flavour
from harness.build.folder import build_dir, marked
from harness.build.fragments import NOT_SET, as_fragment, fragment_lines, read_values, requests
from harness.build.make import MAX_REFUSED, check_said, tell_refused, told_refused
from harness.build.toolchain import environment, inside, variables
from harness.build.tree import TreeUnderTest
from harness.core import git, proc
from harness.core.atomic import write_atomically
from harness.core.errors import InvocationError, MachineError, SeriesError
from harness.core.sandbox import refused, taken
from harness.core.store import digest
from harness.series.apply import Applied, unpatched
from harness.series.base import Base
from harness.series.worktree import SourceTree, partial_tree

Beside = Callable[[SourceTree], contextlib.AbstractContextManager[object]]
_KBUILD = re.compile(r"scripts/|(.*/)?Kconfig[^/]*$")
_HEAD = re.compile(r"# Linux/\w+ ")
MAX_SHOWN = 6  # symbols in one remark
# Symbols that Kconfig itself sets from what it finds out of the compiler and its like.
_OF_TOOLS = re.compile(
    r"(CC|LD)_(HAS|IS|CAN|VERSION)|(GCC|CLANG)_VERSION|(AS|LLD|RUSTC|BINDGEN|PAHOLE)_"
)
_UNSUPPORTED = re.compile(r"Sorry, this (C compiler|assembler|linker) is not supported")
_TRIED = "try-config"  # the build folder of a tree that is only configured


@dataclass(frozen=True)
class KernelConfig:
    """``path`` is the complete .config; ``name`` the flavour."""

    name: str
    path: Path
    cached: bool = False

    @property
    def text(self) -> str:
        """The .config itself."""
        return self.path.read_text("utf-8")

    @property
    def sha256(self) -> str:
        """Its hash."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


class LostSymbolsError(InvocationError):
    """The kernel does not grant ``symbols`` (without CONFIG_); ``told``: what it says of them."""

    def __init__(self, what: str, told: str, symbols: set[str], log: Path) -> None:
        step = "change the line in the fragment, or choose another CONFIG= or KERNEL="
        super().__init__(f"{what}\n{told}", evidence=log, next_step=step)
        self.told, self.symbols = told, symbols


def configure(
    tree: TreeUnderTest,
    flavour: Flavour,
    beside: Beside = contextlib.nullcontext,
    source: SourceTree | None = None,
) -> KernelConfig:
    """The configuration of the patched tree, from the store or made now.

    Args:
        beside: entered with the patched tree while that is being configured, which
            leaves most of the second CPU to it.
        source: a tree of the caller's to do it in, see ``kconfig_tree``.

    Raises:
        InvocationError: the flavour asks for what this kernel does not have (a symbol, its
            defconfig), or a fragment is malformed.
        SeriesError: the base would grant it and the series took it away, or broke Kconfig files.
    """
    tools, base, applied, log = tree.tools, tree.base, tree.applied, tree.log
    asked, arch = requests(flavour.fragments, base.line), tools.toolchain.arch
    texts = [as_fragment(asked)]
    if flavour.own:
        _refuse_other_architecture(flavour.own, arch)
        texts.insert(0, as_fragment(requests([flavour.own], base.line)))

    def make(draft: Path) -> None:
        with (
            contextlib.nullcontext(source) if source else tree.source() as held,
            beside(held),
            build_dir(tools, base, _TRIED if source else flavour.name, held) as out,
        ):
            try:
                config = _run_merge(tree, held.path, out, flavour, texts)
            except SeriesError as error:
                if applied.commit != base.commit:
                    raise
                raise InvocationError(error.what, evidence=log) from error
            check(held.path, read_values(config))
            shutil.copyfile(config, draft / "kernel.config")

    def check(source: Path, config: dict[str, str]) -> None:
        if not (lost := [r for r in asked if not r.granted(config)]):
            return
        blocks = list(read_kconfig(source, arch))
        known = {block.symbol for block in blocks}
        told = []
        lost = [r for r in lost if not r.optional or r.symbol in known]
        for request in lost:
            has = config.get(request.symbol)
            told.append(f"{request}: the result has it {f'as {has}' if has else 'not set'}")
            told += [f"  {line}" for line in explain(request.symbol, blocks, config)]
        if lost:
            name, linux = f"CONFIG={flavour.name}", f"Linux {base.version}"
            what = f"{name} asks for symbols that {linux} does not grant"
            raise LostSymbolsError(what, "\n".join(told), {r.symbol for r in lost}, log)

    relevant = _kbuild_files(applied, flavour, arch)
    optional = [r.symbol for r in asked if r.optional]
    inputs = texts, optional, bool(flavour.own), digest(relevant), tools.toolchain.version
    try:
        entry = tools.store.entry("config", inputs, make, tools.events.note)
    except LostSymbolsError as error:
        if applied.commit != base.commit:
            _compare_with_base(tree, flavour, error)
        raise
    return KernelConfig(flavour.name, entry.path / "kernel.config", entry.cached)


def _kbuild_files(applied: Applied, flavour: Flavour, arch: str) -> dict[str, tuple[str, str]]:
    """Every file of the tree that a configuration can depend on, as git has it."""
    start = (*flavour.start(arch), "Makefile", f"arch/{arch}/Makefile")
    files = git.tree_files(applied.repo, applied.commit).items()
    return {path: blob for path, blob in files if _KBUILD.match(path) or path in start}


def kconfig_tree(tree: TreeUnderTest) -> contextlib.AbstractContextManager[SourceTree]:
    """A tree that can be configured and no more, in a second: no file of the kernel's code."""
    arch = tree.tools.toolchain.arch
    return partial_tree(tree.applied, _kbuild_files(tree.applied, Flavour("", ()), arch))


def remarks(
    flavour: Flavour, base: Base, config: KernelConfig, most: int | None = MAX_SHOWN
) -> list[str]:
    """What became of a configuration of the user's own; ``most``: symbols in one line."""
    if not flavour.own:
        return []
    values = read_values(config.path)
    given = {request.symbol: request for request in requests([flavour.own], base.line)}
    asked = {r.symbol: r for r in requests(flavour.fragments, base.line)}
    was = {symbol: request.value for symbol, request in given.items()}
    told = []
    if _head(flavour.own) is None:
        told.append("not a complete .config: what it leaves open is at this kernel's default")
    if laid := [r for r in asked.values() if not r.granted(was)]:
        changed = (f"{r.text} (was {was.get(r.symbol, NOT_SET)})" for r in laid)
        told.append(f"laid over it: {_some(changed, most)}")
    theirs = [r for r in given.values() if r.symbol not in asked and not _OF_TOOLS.match(r.symbol)]
    lost = [r for r in theirs if not r.granted(values)]
    if lost:
        changed = (f"{r.symbol} is {values.get(r.symbol, NOT_SET)}, not {r.value}" for r in lost)
        told.append(f"otherwise in Linux {base.version}: {_some(changed, most)}")
    if modules := list(values.values()).count("m"):
        told.append(f"{modules} modules of it are not built, and not in the guest")
    return [f"{flavour.own.name}: {line}" for line in told]


def _some(parts: Iterable[str], most: int | None) -> str:
    every = list(parts)
    more = f" and {len(every[most:])} more: see try-config" if most and every[most:] else ""
    return f"{', '.join(every[:most])}{more}"


def _head(own: Path) -> tuple[int, str] | None:
    """Number and text of the line by which kbuild begins a .config: '# Linux/x86 6.1.192 ...'."""
    heads = ((n, text) for n, text in enumerate(fragment_lines(own), 1) if _HEAD.match(text))
    return next(heads, None)


def _refuse_other_architecture(own: Path, arch: str) -> None:
    head = _head(own)
    if head and not head[1].startswith(f"# Linux/{arch}"):
        what = f"{own}:{head[0]}: {head[1]!r}: guests are {arch}"
        raise InvocationError(what, next_step=HELP)


def _compare_with_base(tree: TreeUnderTest, flavour: Flavour, lost: LostSymbolsError) -> None:
    """Raises SeriesError for symbols that the bare base keeps."""
    try:
        values = read_values(configure(replace(tree, applied=unpatched(tree.base)), flavour).path)
        asked = requests(flavour.fragments, tree.base.line)
        lost_there = {r.symbol for r in asked if not r.granted(values)}
    except LostSymbolsError as error:
        lost_there = error.symbols
    except InvocationError:
        return  # the base cannot be configured at all
    if taken := lost.symbols - lost_there:
        names = ", ".join(f"CONFIG_{symbol}" for symbol in sorted(taken))
        what = f"the configuration loses symbols, and on the bare base it keeps {names}"
        step = "the series changes what these symbols depend on"
        raise SeriesError(f"{what}\n{lost.told}", evidence=tree.log, next_step=step) from lost


def _refuse_old_tools(lines: Sequence[str], log: Path) -> None:
    """A compiler, linker or assembler that the tree takes for too old is this machine's fault.

    scripts/Kconfig.include asks scripts/min-tool-version.sh, before any file of the configuration.
    """
    if any(map(_UNSUPPORTED.search, lines)):
        words = [line.strip("* ") for line in lines if line.startswith("*** ")]
        raise MachineError(
            "\n".join(["this kernel does not take the compiler of this machine", *words]),
            evidence=log,
            next_step="install a newer one; LLVM=-19 names a version of clang",
        )


def _run_merge(
    tree: TreeUnderTest, source: Path, out: Path, flavour: Flavour, texts: Sequence[str]
) -> Path:
    """Runs the tree's merge_config.sh on ``texts`` in ``out``; the .config.

    There rather than in the tree, which it may not write; so its make needs a Makefile there,
    the one that kbuild makes.
    """
    tools, log = tree.tools, tree.log
    parts = (source / name for name in flavour.start(tools.toolchain.arch))
    start = [str(path) for path in parts if path.is_file()]
    write_atomically(out / "Makefile", f"include {source}/Makefile\n")
    if flavour.defconfig and not start:
        raise InvocationError(
            f"{flavour.name}: this kernel has no {flavour.defconfig}",
            next_step="choose another KERNEL=, or name another defconfig",
        )
    # What nobody mentions is off over tinyconfig, and at its default over anything else.
    rest = () if flavour.defconfig or flavour.own else ("-n",)
    # merge_config.sh calls make without arguments of ours; this is how make takes them.
    flags = " ".join(value.replace(" ", "\\ ") for value in variables(tools.toolchain))
    env = {**environment(), "MAKEFLAGS": f" -- {flags}"}
    lines: list[str] = []
    for number, text in enumerate(texts):
        write_atomically(out / f".harness-{number}.config", text)
    fragments = [str(out / f".harness-{number}.config") for number in range(len(texts))]
    argv = ("sh", f"{source}/scripts/kconfig/merge_config.sh", *rest, "-O", str(out), *start,
            *fragments)  # fmt: skip
    with marked(out):
        box = inside(tools, source, out)
        done = proc.run(argv, cwd=out, env=env, inside=box, log=log, on_line=lines.append)
    tried = refused(lines)
    if done.returncode != 0:
        check_said(argv[0], lines, log)
        _refuse_old_tools(lines, log)
        first = [line for line in lines if re.search(r"Kconfig[^:]*:\d+:|[Ee]rror", line)]
        told = [*(first or lines)[:6], *map(told_refused, tried[:MAX_REFUSED])]
        what = "\n".join(["the kernel cannot be configured", *told])
        raise SeriesError(what, evidence=log, next_step="mend the Kconfig file that it names")
    tell_refused(tools.events, tried, log)
    return taken(out, ".config")
