# SPDX-License-Identifier: GPL-2.0-only
"""``make build-matrix``: the cells of the series' matrix built, judged, and booted where they can.

``matrix.yaml`` beside ``series.yaml`` is the table. A cell is one record, ``matrix::<cell>``.
The guests of cells that boot are runs of their own, before the one that builds and judges.
"""

from __future__ import annotations

import re
import stat
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.build.flavours import Flavour, load_flavour
from harness.build.fragments import NOT_SET, read_values
from harness.build.kconfig import configure
from harness.build.kernel import KernelBuild, build
from harness.build.toolchain import ARCH, BuildTools, find_toolchain
from harness.build.tree import TreeUnderTest
from harness.cases.ktap import read_case
from harness.change.touched import touched_files
from harness.core import events as ev
from harness.core import proc
from harness.core.errors import InvocationError, SeriesError
from harness.core.jsondata import of_table, read_yaml
from harness.core.settings import Settings
from harness.core.stages import stage
from harness.core.store import Store, digest
from harness.report.records import RunDocument
from harness.run.pipeline import base_stage, series_stage
from harness.run.session import RunKernel, Session, run_session
from harness.series.apply import Applied
from harness.series.contract import SeriesData, load
from harness.series.on_top import obtain_base
from harness.setup.on_demand import provide
from harness.vm.machine import QEMU
from harness.vm.splats import find_splats

TABLE = "matrix.yaml"
HELP = "see docs/matrix.md"
FOLDER = "matrix"  # of the fragments and of programs to be the only process
HANG_TIMEOUT_S = 600.0  # only for a kernel that hangs, one that works takes seconds
FREESTANDING = ("-O1", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-fno-stack-protector",
                "-fno-pic", "-no-pie", "-nostdlib", "-static")  # fmt: skip
MEMORY_MB = 256
COMMAND_LINE = "console=ttyS0 panic=-1 nokaslr"
_SYMBOL = re.compile(r"^[0-9a-f]+ (?P<kind>\S) (?P<name>\S+)$", re.MULTILINE)
_WEAK = "W"  # as nm has it: defined, weak, and no object


@dataclass(frozen=True)
class Expectation:
    """What must be true of a cell's kernel.

    ``config``: symbol -> value, 'n' where it must be off; ``symbols`` and ``no_symbols``:
    of System.map; ``unimplemented``: system calls of which only the weak entry is there.
    """

    config: dict[str, str]
    symbols: tuple[str, ...] = ()
    no_symbols: tuple[str, ...] = ()
    unimplemented: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CellRow:
    """One cell, as the file has it. ``arch``: as kbuild names it; ``cross``: prefix of its tools.

    ``left_out``: the C files that the series touches and that are no part of this kernel; every
    other one must have been compiled. ``tests``: selects guest cases that must pass on this
    kernel, '' where none do. ``init``: a program to be its only process (``boot_single``).
    """

    about: str
    expect: str
    fragments: tuple[str, ...] = ()
    defconfig: str = ""
    flavour: str | None = None
    tests: str = ""
    arch: str = ARCH
    cross: str = ""
    init: str | None = None
    init_flags: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class MatrixTable:
    """What ``matrix.yaml`` holds; ``lines`` of a cell: what is different on which kernel line."""

    clause: str
    expectations: dict[str, Expectation]
    cells: dict[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class MatrixCell:
    """One kernel to build. ``row``: as the file has it; the others: what its names stand for.

    ``clause``: what it shows; ``program``: to be the only process, as a file.
    """

    name: str
    row: CellRow
    clause: str
    expected: Expectation
    kconfig: Flavour
    program: Path | None


def load_cells(data: SeriesData, line: str) -> list[MatrixCell]:
    """Reads ``matrix.yaml`` for one kernel line, such as '6.1'.

    Raises:
        InvocationError: there is none, or it makes no sense.
    """
    path = data.folder / TABLE
    if not path.is_file():
        raise InvocationError(f"{path} is not there", next_step=HELP)
    table = read_yaml(MatrixTable, path, HELP)
    if table.clause not in data.clauses:
        raise InvocationError(f"{path}: the contract has no {table.clause}", next_step=HELP)
    cells, folder = [], data.folder / FOLDER
    for name, every in table.cells.items():
        lines = every.pop("lines", {})
        rows = {
            of: of_table(CellRow, every | other, f"{path}: {name}", HELP)
            for of, other in ({line: {}} | lines).items()
        }
        row = rows[line]
        parts = tuple(folder / f"{part}.config" for part in row.fragments)
        own = Flavour(f"matrix-{name}", parts, defconfig=row.defconfig)
        kconfig = load_flavour(row.flavour) if row.flavour else own
        program = folder / row.init if row.init else None
        files = [file for file in (*kconfig.fragments, program) if file]
        wrong = [f"there is no {file}" for file in files if not file.is_file()]
        if row.expect not in table.expectations:
            wrong.append(f"no expectation is named {row.expect}")
        if row.tests and not row.flavour:
            wrong.append("only a flavour has what a guest needs to boot")
        if wrong:
            raise InvocationError(f"{path}: {name}: {', '.join(wrong)}", next_step=HELP)
        expected = table.expectations[row.expect]
        cells.append(MatrixCell(name=name, row=row, clause=table.clause, expected=expected,
                                kconfig=kconfig, program=program))  # fmt: skip
    return cells


def chosen(cells: Sequence[MatrixCell], name: str) -> list[MatrixCell]:
    """The cell of that name, or all where none is named; an InvocationError without such a cell."""
    found = [cell for cell in cells if name in ("", cell.name)]
    if not found:
        have = ", ".join(cell.name for cell in cells)
        raise InvocationError(f"CELL={name}: there is no such cell", next_step=f"there is: {have}")
    return found


def broken(expect: Expectation, config: Mapping[str, str], system_map: str) -> list[str]:
    """What of a built kernel is not as expected, one line each.

    The entry of a system call has a prefix on some architectures (__x64_sys_madvise).
    COND_SYSCALL gives every such entry a weak definition that ends in ENOSYS: an alias of
    sys_ni_syscall, or a function of its own where the architecture has wrappers.
    SYSCALL_DEFINE's is not weak, and takes its place wherever it is linked.
    """
    wrong = [
        f"CONFIG_{symbol} is {config.get(symbol, NOT_SET)}, must be {value}"
        for symbol, value in expect.config.items()
        if config.get(symbol, NOT_SET) != value
    ]
    kinds = {m["name"]: m["kind"] for m in _SYMBOL.finditer(system_map)}
    wrong += [f"System.map lacks {name}" for name in expect.symbols if name not in kinds]
    wrong += [f"System.map has {name}" for name in expect.no_symbols if name in kinds]
    for call in expect.unimplemented:
        entries = [name for name in kinds if re.fullmatch(rf"(__\w+?_)?sys_{call}", name)]
        wrong += [f"{name} is implemented" for name in entries if kinds[name] != _WEAK]
        wrong += [] if entries else [f"System.map has no entry of {call} at all"]
    return wrong


def misplaced(
    touched: Sequence[str], compiled: Sequence[str], left_out: Sequence[str]
) -> list[str]:
    """A touched file that is not compiled shows nothing; one said to be left out must be."""
    wrong = [
        f"{name} is touched by the series and not compiled here"
        for name in touched
        if name not in compiled and name not in left_out
    ]
    return wrong + [f"{name} is compiled here" for name in left_out if name in compiled]


def build_matrix(settings: Settings, run: RunKernel) -> int:
    """Boots what boots, builds every cell (CELL=: one), and prints the table; the exit status."""
    store = Store(settings.cache, settings.cache_limit)
    line = obtain_base(settings, store, ev.Events()).line
    cells = chosen(load_cells(load(settings.project), line), settings.cell or "")
    guests: dict[str, RunDocument] = {}
    for cell in cells:
        if cell.row.tests and settings.patches is None:  # of a part, only the build is judged
            asked = replace(settings, config=cell.kconfig.name, tests=cell.row.tests, decode=False)
            result = run(asked)
            if not result.judged:
                return result.code
            guests[cell.name] = result.document
    return run_session(settings, "build-matrix", lambda session: _body(session, cells, guests)).code


def _body(session: Session, cells: Sequence[MatrixCell], guests: Mapping[str, RunDocument]) -> None:
    events = session.events
    with stage(events, "tools") as outcome:
        each = []
        for cell in cells:
            if cell.row.arch != ARCH:
                provide(cell.row.arch, session.out / "setup.log", events)
            toolchain = find_toolchain(cell.row.arch, cell.row.cross, session.settings.llvm)
            each.append(BuildTools(session.store, events, toolchain, session.settings.jobs))
        outcome.detail = ", ".join(dict.fromkeys(tools.toolchain.cc for tools in each))
    base, applied = series_stage(session, base_stage(session))
    events.emit(ev.ConfigKnown("matrix", digest([cell.name for cell in cells])))
    for cell, tools in zip(cells, each, strict=True):
        start = time.monotonic()
        tree = TreeUnderTest(tools, base, applied, session.out / f"{cell.name}.log")
        wrong, said = _judge(tree, cell)
        if cell.name in guests:
            wrong += said_by_guest(guests[cell.name])
            said.append(f"booted, guest cases: {cell.row.tests}")
        case, seconds = ev.CaseId("matrix", None, cell.name), time.monotonic() - start
        events.emit(ev.judged(case, wrong, said, seconds, (cell.clause,), cell.row.about))


def c_files(applied: Applied) -> list[str]:
    """The C files of the kernel that the applied patches change or add."""
    files = touched_files(applied, texts=False)
    code = (file.path for file in files if file.kind == "code" and not file.gone)
    return [path for path in code if path.endswith(".c")]


def _judge(tree: TreeUnderTest, cell: MatrixCell) -> tuple[list[str], list[str]]:
    """Builds a cell; what is wrong with its kernel, and what else there is to say of it."""
    tools, applied = tree.tools, tree.applied
    try:
        with stage(tools.events, cell.name) as outcome:
            kernel = build(tree, configure(tree, cell.kconfig), stage=cell.name)
            outcome.cached = kernel.cached
            outcome.detail = f"{tools.toolchain.cc}, {len(kernel.compiled)} objects"
            touched = c_files(applied)
            # What a part of the series must give, only its own patches' builds can say.
            if len(applied.patches) < applied.total or not touched:
                return [], []
            wrong, said = _judge_kernel(kernel, cell, touched, tree.log.parent)
            outcome.detail += f", {', '.join(said[:2])}"
            return wrong, said
    except SeriesError as error:
        return error.lines(), []


def _judge_kernel(
    kernel: KernelBuild, cell: MatrixCell, touched: Sequence[str], out: Path
) -> tuple[list[str], list[str]]:
    system_map = kernel.system_map.read_text("utf-8")
    compiled = [name for name in touched if f"{name[:-2]}.o" in kernel.compiled]
    wrong = broken(cell.expected, read_values(kernel.config.path), system_map)
    wrong += misplaced(touched, compiled, cell.row.left_out)
    said = [f"{len(compiled)} of {len(touched)} C files that the series touches compiled"]
    if cell.program is not None and not wrong:
        log = out / f"{cell.name}.console.log"
        wrong, notes = boot_single(kernel.vmlinux, cell.program, cell.row.init_flags, log)
        said += [f"booted with {cell.program.name} as its only process", *notes]
    return wrong, said


def said_by_guest(document: RunDocument) -> list[str]:
    """What is wrong with a guest's run; every case that was selected must have passed."""
    if document["error"]:
        return [f"guest: {line}" for line in document["error"]]
    wrong = [f"guest: {t['id']}: {t['status']}: {t['reason']}" for t in document["tests"]
             if t["status"] != "pass"]  # fmt: skip
    wrong += [f"guest: the kernel complained: {s['title']}" for s in document["splats"]]
    return wrong if document["tests"] else ["guest: no case ran"]


def initramfs(program: bytes) -> bytes:
    """A cpio archive in the kernel's newc format with ``program`` as /init.

    /dev/console comes from the archive that every kernel has built in.
    Source: Documentation/driver-api/early-userspace/buffer-format.rst.
    """
    files = ((b"init", stat.S_IFREG | 0o755, program), (b"TRAILER!!!", 0, b""))
    whole = b""
    for number, (name, mode, content) in enumerate(files, 1):
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08X" % value for value in fields) + name + b"\0"
        whole += head + b"\0" * (-len(head) % 4) + content + b"\0" * (-len(content) % 4)
    return whole


def judge_console(console: str, case: str, ended: bool) -> tuple[list[str], tuple[str, ...]]:
    """What is wrong by the whole console, and the program's notes. ``ended``: QEMU by itself."""
    lines = [line.rstrip("\r") for line in console.splitlines()]
    text = "\n".join(lines)
    # It has no exit status to disagree with its result line, and it always reboots.
    failed = any(line.startswith("not ok") for line in lines)
    found = read_case(text, case, (1 if failed else 0) if ended else None)
    wrong = [] if found.outcome == "pass" else [f"guest: {found.outcome}: {found.reason}"]
    wrong += [f"guest: the kernel complained: {splat.title}" for splat in find_splats(text)]
    return wrong, found.diagnostics


def boot_single(
    kernel: Path, init: Path, flags: Sequence[str], log: Path
) -> tuple[list[str], tuple[str, ...]]:
    """Boots a kernel with one freestanding C program as its only process, and judges it.

    For kernels on which the ordinary guest cannot live, such as 32-bit ones under a 64-bit
    user space: no C library for that architecture is needed. The program is the initramfs's
    /init, prints KTAP to the console, and reboots, which ends QEMU.

    Args:
        kernel: an ELF with a PVH entry, or a bzImage.
        init: the program's source, whose name without .c is its case's.
        log: gets the console.
    """
    with tempfile.TemporaryDirectory(prefix="harness-") as name:
        program, archive = Path(name) / "init", Path(name) / "init.cpio"
        proc.capture(("gcc", *flags, *FREESTANDING, "-o", str(program), str(init)))
        archive.write_bytes(initramfs(program.read_bytes()))
        argv = (
            QEMU, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
            "-M", "pc", "-accel", "tcg", "-m", str(MEMORY_MB), "-serial", "stdio",
            "-kernel", str(kernel), "-initrd", str(archive), "-append", COMMAND_LINE,
        )  # fmt: skip
        done = proc.run(argv, log=log, timeout_s=HANG_TIMEOUT_S)
    # Asked to end, by SIGTERM, QEMU ends with 0 as well.
    ended = done.returncode == 0 and done.seconds < HANG_TIMEOUT_S
    return judge_console(log.read_text("utf-8", "replace"), init.stem, ended)
