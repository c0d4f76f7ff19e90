# SPDX-License-Identifier: GPL-2.0-only
"""The kernel configuration: our fragments over the tree's tinyconfig, every symbol checked.

The tree's own merge_config.sh does the merging. It only warns of a symbol that
did not make it; here that is an error, with what the tree's Kconfig files say of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.build.folder import build_dir, marked
from harness.build.make import MAX_REFUSED, check_said, tell_refused, told_refused
from harness.build.toolchain import BuildTools, environment, inside, variables
from harness.core import git, proc
from harness.core.atomic import write_atomically
from harness.core.errors import InvocationError, SeriesError
from harness.core.sandbox import refused, taken
from harness.core.settings import PROJECT
from harness.core.store import digest
from harness.series.apply import Applied, unpatched
from harness.series.base import Base
from harness.series.worktree import SourceTree, source_tree

Beside = Callable[[SourceTree], contextlib.AbstractContextManager[object]]
FOLDER = PROJECT / "kconfig"
NOT_SET = "n"
# A line of a fragment: what kbuild itself writes into a .config, and what it passes over.
_REQUEST = re.compile(
    r'CONFIG_(?P<on>\w+)=(?P<value>[ymn]|-?\d+|0[xX][0-9a-fA-F]+|"(?:[^"\\]|\\.)*")'
    r"|# CONFIG_(?P<off>\w+) is not set",
    re.ASCII,
)
_NO_REQUEST = re.compile(r"\s*(?:#(?!\s*CONFIG_\w+\s+is\s+not\s+set\b).*)?")
_FORMS = (
    "a line is CONFIG_X=y (or m, n, a number, a \"string\"), or '# CONFIG_X is not set', with no"
    " blanks around either or around =, and no comment behind it; or a comment, or empty"
)
# What begins an entry. Help texts are indented, so words at the start of a line are code.
_ENTRY = re.compile(
    r'^(?:[ \t]*[ro]*source[ \t]+"(?P<file>[^"]+)"'
    r"|[ \t]*(?:menu)?config[ \t]+(?P<symbol>\w+)[ \t]*(?:#.*)?$"
    r"|(?P<opens>if|menu|choice)\b|(?P<closes>end(?:if|menu|choice))\b|(?P<other>comment)\b)",
    re.MULTILINE,
)
# What of a block decides whether its symbol can be set. What gives a type also gives a prompt.
_TELLING = re.compile(
    r"(?:if|choice|depends on|prompt|bool|tristate|string|hex|int|def_\w+|default|range)\b"
)
_HELP = re.compile(r"^[ \t]*(?:help|---help---)[ \t]*$", re.MULTILINE)


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
        what = f"CONFIG={name}: there is no such flavour, only {', '.join(sorted(table))}"
        raise InvocationError(what, next_step="see kconfig/flavours.yaml")
    fragments = tuple(folder / f"{fragment}.config" for fragment in table[name]["fragments"])
    return Flavour(name, fragments, table[name].get("memory_mb"))


def read_fragment(path: Path) -> str:
    """The text of a fragment, its lines ended as Linux does and the last one as well.

    Raises:
        InvocationError: it cannot be read, or is no text.
    """
    try:
        return path.read_text("utf-8").rstrip("\n") + "\n"
    except (OSError, UnicodeDecodeError) as error:
        raise InvocationError(f"{path}: {error}", next_step="see kconfig/flavours.yaml") from error


def requests(fragments: Sequence[Path]) -> list[Request]:
    """What the fragments ask for; where two ask for the same symbol, the later one's word.

    Raises:
        InvocationError: a line that asks for nothing and is no comment, by file and line.
    """
    return list({r.symbol: r for path in fragments for r in _requests_of(path)}.values())


def _requests_of(path: Path) -> Iterator[Request]:
    name, before = f"{path.parent.name}/{path.name}", ""
    seen: dict[str, Request] = {}
    for number, line in enumerate(read_fragment(path).split("\n"), 1):
        if match := _REQUEST.fullmatch(line):
            symbol, value = match["on"] or match["off"], match["value"] or NOT_SET
            asked = Request(symbol, value, name, number, before.startswith("# optional"))
            if seen.setdefault(symbol, asked).value != value:
                what = f"{asked}: line {seen[symbol].line} asks for {seen[symbol].value}"
                raise InvocationError(what, next_step="leave one of the two lines out")
            yield asked
        elif not _NO_REQUEST.fullmatch(line):
            what = f"{name}:{number}: {line!r}: neither a request nor a comment"
            raise InvocationError(what, next_step=_FORMS)
        before = line


def vanished(asked: Sequence[Request], config: dict[str, str]) -> list[Request]:
    """The requests that the final configuration does not grant."""
    return [r for r in asked if config.get(r.symbol, NOT_SET) != r.value]


def read_values(config: Path) -> dict[str, str]:
    """``{symbol: value}`` of a .config; symbols that are not set are left out."""
    return dict(re.findall(r"^CONFIG_(\w+)=(.*)$", config.read_text("utf-8", "replace"), re.M))


class LostSymbolsError(InvocationError):
    """The kernel does not grant ``symbols`` (without CONFIG_); ``told``: what it says of them."""

    def __init__(self, what: str, told: str, symbols: set[str], log: Path) -> None:
        step = "change the line in the fragment, or choose another CONFIG= or KERNEL="
        super().__init__(f"{what}\n{told}", evidence=log, next_step=step)
        self.told, self.symbols = told, symbols


def configure(
    tools: BuildTools,
    base: Base,
    applied: Applied,
    flavour: Flavour,
    log: Path,
    beside: Beside = contextlib.nullcontext,
) -> KernelConfig:
    """The configuration of the patched tree, from the store or made now.

    Args:
        beside: entered with the patched tree while that is being configured, which
            leaves most of the second CPU to it.

    Raises:
        InvocationError: the flavour asks for what this kernel does not have (a symbol, its
            defconfig), or a fragment is malformed.
        SeriesError: the base would grant it and the series took it away, or broke Kconfig files.
    """
    fragments = [read_fragment(path) for path in flavour.fragments]
    asked, arch = requests(flavour.fragments), tools.toolchain.arch

    def make(draft: Path) -> None:
        with (
            source_tree(tools.store, base, applied, tools.events) as source,
            beside(source),
            build_dir(tools, base, flavour.name, source) as out,
        ):
            config = _run_merge(tools, source.path, out, flavour, log)
            check(source.path, read_values(config))
            shutil.copyfile(config, draft / "kernel.config")

    def check(source: Path, config: dict[str, str]) -> None:
        if not (lost := vanished(asked, config)):
            return
        blocks = list(read_kconfig(source, arch))
        known = {block.symbol for block in blocks}
        told = []
        for request in (r for r in lost if not r.optional or r.symbol in known):
            has = config.get(request.symbol)
            told.append(f"{request}: the result has it {f'as {has}' if has else 'not set'}")
            told += [f"  {line}" for line in explain(request.symbol, blocks, config)]
        if told:
            name, linux = f"CONFIG={flavour.name}", f"Linux {base.version}"
            what = f"{name} asks for symbols that {linux} does not grant"
            raise LostSymbolsError(what, "\n".join(told), {r.symbol for r in lost}, log)

    # Every file of the tree that a configuration can depend on.
    start = (*flavour.start(arch), "Makefile", f"arch/{arch}/Makefile")
    files = git.tree_files(applied.repo, applied.commit).items()
    kbuild = re.compile(r"scripts/|(.*/)?Kconfig[^/]*$")
    relevant = {path: blob for path, blob in files if kbuild.match(path) or path in start}
    inputs = fragments, digest(relevant), tools.toolchain.version
    try:
        entry = tools.store.entry("config", inputs, make, tools.events.note)
    except LostSymbolsError as error:
        if applied.commit != base.commit:
            _compare_with_base(tools, base, flavour, log, error)
        raise
    return KernelConfig(flavour.name, entry.path / "kernel.config", entry.cached)


def _compare_with_base(
    tools: BuildTools, base: Base, flavour: Flavour, log: Path, lost: LostSymbolsError
) -> None:
    """Raises SeriesError for symbols that the bare base keeps."""
    try:
        path = configure(tools, base, unpatched(base), flavour, log).path
        lost_there = {r.symbol for r in vanished(requests(flavour.fragments), read_values(path))}
    except LostSymbolsError as error:
        lost_there = error.symbols
    except SeriesError:
        return  # the base cannot be configured at all
    if taken := lost.symbols - lost_there:
        names = ", ".join(f"CONFIG_{symbol}" for symbol in sorted(taken))
        what = f"the configuration loses symbols, and on the bare base it keeps {names}"
        step = "the series changes what these symbols depend on"
        raise SeriesError(f"{what}\n{lost.told}", evidence=log, next_step=step) from lost


def _run_merge(tools: BuildTools, source: Path, out: Path, flavour: Flavour, log: Path) -> Path:
    """Runs the tree's merge_config.sh in ``out``; the .config.

    There rather than in the tree, which it may not write; so its make needs a Makefile there,
    the one that kbuild makes.
    """
    parts = (source / name for name in flavour.start(tools.toolchain.arch))
    start = [str(path) for path in parts if path.is_file()]
    write_atomically(out / "Makefile", f"include {source}/Makefile\n")
    if flavour.defconfig and not start:
        raise InvocationError(
            f"{flavour.name}: this kernel has no {flavour.defconfig}",
            next_step="choose another KERNEL=, or name another defconfig",
        )
    # What nobody mentions is off over tinyconfig, and at its default over a defconfig.
    rest = () if flavour.defconfig else ("-n",)
    # merge_config.sh calls make without arguments of ours; this is how make takes them.
    flags = " ".join(value.replace(" ", "\\ ") for value in variables(tools.toolchain))
    env = {**environment(), "MAKEFLAGS": f" -- {flags}"}
    lines: list[str] = []
    # Copies: merge_config.sh would join a last line without its end to the next file's first.
    fragments = [out / f".harness-{number}.config" for number in range(len(flavour.fragments))]
    for copy, path in zip(fragments, flavour.fragments, strict=True):
        write_atomically(copy, read_fragment(path))
    argv = ("sh", f"{source}/scripts/kconfig/merge_config.sh", *rest, "-O", str(out), *start,
            *map(str, fragments))  # fmt: skip
    with marked(out):
        box = inside(tools, source, out)
        done = proc.run(argv, cwd=out, env=env, inside=box, log=log, on_line=lines.append)
    tried = refused(lines)
    if done.returncode != 0:
        check_said(argv[0], lines, log)
        first = [line for line in lines if re.search(r"Kconfig[^:]*:\d+:|[Ee]rror", line)]
        told = [*(first or lines)[:6], *map(told_refused, tried[:MAX_REFUSED])]
        what = "\n".join(["the kernel cannot be configured", *told])
        raise SeriesError(what, evidence=log, next_step="mend the Kconfig file that it names")
    tell_refused(tools.events, tried, log)
    return taken(out, ".config")


# ---- what a tree's Kconfig files say of a symbol
# Nothing is evaluated: the blocks, what stands around them and the values are the reason.
# kconfiglib, which reads the language in full, has had no release since 2019 and does not
# know what newer kernels use.


@dataclass(frozen=True)
class Block:
    """One definition of a symbol; each line with its place. ``around``: what encloses it."""

    symbol: str
    lines: tuple[str, ...]
    around: tuple[str, ...]


def read_kconfig(source: Path, arch: str, name: str = "Kconfig", outer: tuple[str, ...] = ()
) -> Iterator[Block]:  # fmt: skip
    """Every block of the tree at ``source`` from the file ``name`` down; 1 s for a kernel."""
    path = source / name
    if not path.is_file():
        return
    # A line that goes on is one, and its parts still count as lines.
    text = path.read_text("utf-8", "replace").replace("\\\n", " \f")
    enclosing: list[tuple[str, ...]] = []
    entries = list(_ENTRY.finditer(text))
    ends = [entry.start() for entry in entries[1:]] + [len(text)]
    for entry, end in zip(entries, ends, strict=True):
        at = entry.start()
        number = 1 + text.count("\n", 0, at) + text.count("\f", 0, at)
        around = (*outer, *(line for lines in enclosing for line in lines))
        if entry["file"]:
            inner = entry["file"].replace("$(SRCARCH)", arch).replace("$SRCARCH", arch)
            yield from read_kconfig(source, arch, inner, around)
        elif entry["closes"]:
            del enclosing[-1:]
        elif not entry["other"]:
            body = _HELP.split(text[at:end], maxsplit=1)[0].split("\n")
            starts = itertools.accumulate((1 + x.count("\f") for x in body), initial=number)
            placed = zip(starts, body, strict=False)
            lines = tuple(f"{name}:{n}: {' '.join(line.split())}" for n, line in placed)
            if entry["opens"]:
                enclosing.append(_telling(lines))
            else:
                yield Block(entry["symbol"], lines, around)


def _telling(lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(line for line in lines if _TELLING.match(line.partition(": ")[2]))


def explain(symbol: str, blocks: Iterable[Block], config: Mapping[str, str]) -> list[str]:
    """The blocks of ``symbol`` (without CONFIG_), what selects it, and the values of both.

    Args:
        config: the values of the .config, symbols that are not set left out.
    """
    selects = re.compile(rf": (?:select|imply) {re.escape(symbol)}\b")
    told: list[str] = []
    for block in blocks:
        if block.symbol == symbol:
            told += [*block.around, *_telling(block.lines)]
        elif block.symbol in config:
            by = [line for line in block.lines if selects.search(line)]
            told += [f"{line}, and {block.symbol} is {config[block.symbol]}" for line in by]
    if not told:
        return ["this tree has no such symbol in any Kconfig file"]
    told = list(dict.fromkeys(told))
    code = re.sub(r'"[^"]*"|#.*', "", "\n".join(line.partition(": ")[2] for line in told))
    names = dict.fromkeys(re.findall(r"\b[A-Z][A-Z0-9_]+\b", code))
    values = ", ".join(f"{n} is {config.get(n, 'not set')}" for n in names if n != symbol)
    return [*told, *([f"in the result: {values}"] if values else [])]
