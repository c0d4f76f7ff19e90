# SPDX-License-Identifier: GPL-2.0-only
"""``make build-matrix``: the cells of the series' matrix built, judged, and booted where they can.

``matrix.yaml`` beside ``series.yaml`` is the table. A cell is one record, ``matrix::<cell>``.
The guests of cells that boot are runs of their own, before the one that builds and judges.
"""

from __future__ import annotations

import json
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from harness.build.kconfig import Flavour, configure, load_flavour, read_values
from harness.build.kernel import judge_warnings
from harness.build.make import made, read_records
from harness.build.toolchain import ARCH, BuildTools, find_toolchain
from harness.cases.ktap import read_case
from harness.core import events as ev
from harness.core import git, proc
from harness.core.errors import InternalError, InvocationError, SeriesError
from harness.core.settings import Settings
from harness.core.stages import stage
from harness.core.store import digest
from harness.report.results import RunDocument
from harness.run.pipeline import base_stage, series_stage
from harness.run.session import RunKernel, Session, run_session
from harness.series.apply import Applied
from harness.series.base import Base
from harness.series.contract import SeriesData, load
from harness.setup.on_demand import provide
from harness.vm.machine import QEMU
from harness.vm.splats import find_splats

TABLE = "matrix.yaml"
FOLDER = "matrix"  # of the fragments and of programs to be the only process
NOT_SET = "n"
# User-space programs: no part of any kernel.
APART = ("tools/", "scripts/", "samples/", "Documentation/")
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

    config: Mapping[str, str]
    symbols: Sequence[str] = ()
    no_symbols: Sequence[str] = ()
    unimplemented: Sequence[str] = ()


@dataclass(frozen=True)
class MatrixCell:
    """One kernel to build. ``arch``: as kbuild names it; ``cross``: prefix of its tools.

    ``clause``: what it shows. ``left_out``: the C files that the series touches and that are
    no part of this kernel; every other one must have been compiled. ``tests``: selects guest
    cases that must pass on this kernel, '' where none do. ``init``: a program to be its only
    process (``boot_single``), None where there is none.
    """

    name: str
    clause: str
    about: str
    flavour: Flavour
    expect: Expectation
    arch: str = ARCH
    cross: str = ""
    left_out: Sequence[str] = ()
    tests: str = ""
    init: Path | None = None
    init_flags: Sequence[str] = ()


def load_cells(data: SeriesData) -> list[MatrixCell]:
    """Reads ``matrix.yaml``.

    Raises:
        InvocationError: the series has none.
        InternalError: it names what there is not.
    """
    path = data.folder / TABLE
    if not path.is_file():
        raise InvocationError(f"{path} is not there", next_step="see docs/matrix.md")
    given = yaml.safe_load(path.read_text("utf-8"))
    if given["clause"] not in data.clauses:
        raise InternalError(f"{path}: the contract has no {given['clause']}")
    expectations = {}
    for name, row in given["expectations"].items():
        config = {symbol: str(value) for symbol, value in row["config"].items()}
        expectations[name] = Expectation(**row | {"config": config})
    cells, folder = [], data.folder / FOLDER
    for name, row in given["cells"].items():
        expect, fragments = row.pop("expect"), row.pop("fragments", ())
        if expect not in expectations:
            raise InternalError(f"{path}: {name}: no expectation is named {expect}")
        if row.get("tests") and "flavour" not in row:
            raise InternalError(f"{path}: {name}: only a flavour has what a guest needs to boot")
        row["init"] = folder / row["init"] if "init" in row else None
        if "flavour" in row:
            row["flavour"] = load_flavour(row["flavour"])
        else:
            parts = tuple(folder / f"{part}.config" for part in fragments)
            defconfig = row.pop("defconfig", "")
            row["flavour"] = Flavour(f"matrix-{name}", parts, defconfig=defconfig)
        needed = (*row["flavour"].fragments, row["init"])
        if absent := [str(file) for file in needed if file and not file.is_file()]:
            raise InternalError(f"{path}: {name}: there is no {', '.join(absent)}")
        cells.append(MatrixCell(name, given["clause"], expect=expectations[expect], **row))
    return cells


def chosen(cells: Sequence[MatrixCell], name: str) -> list[MatrixCell]:
    """The cell of that name, or all where none is named.

    Raises:
        InvocationError: there is no such cell.
    """
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
    """Boots what boots, builds every cell (CELL=: one), and prints the table; the exit status.

    Args:
        run: ``make test-kernel``, which boots a cell.

    Raises:
        InvocationError: the series has no matrix, or no such cell.
    """
    cells = chosen(load_cells(load(settings.project)), settings.cell or "")
    guests: dict[str, RunDocument] = {}
    for cell in cells:
        if cell.tests and settings.patches is None:  # of a part, only the build is judged
            asked = replace(settings, config=cell.flavour.name, tests=cell.tests, decode=False)
            result = run(asked)
            if not result.judged:
                return result.code
            guests[cell.name] = result.document
    return run_session(settings, "build-matrix", lambda session: _body(session, cells, guests)).code


def _body(session: Session, cells: Sequence[MatrixCell], guests: Mapping[str, RunDocument]) -> None:
    settings, events = session.settings, session.events
    with stage(events, "tools") as outcome:
        benches = []
        for cell in cells:
            if cell.arch != ARCH:
                provide(cell.arch, session.out / "setup.log", events)
            toolchain = find_toolchain(arch=cell.arch, cross=cell.cross)
            benches.append(BuildTools(session.store, events, toolchain, settings.jobs))
        outcome.detail = ", ".join(dict.fromkeys(bench.toolchain.cc for bench in benches))
    base = base_stage(session)
    applied = series_stage(session, base)
    events.emit(ev.ConfigKnown("matrix", digest([cell.name for cell in cells])))
    touched = touched_files(base, applied)
    for cell, bench in zip(cells, benches, strict=True):
        record = _judge(bench, base, applied, cell, session.out, touched)
        if cell.name in guests:
            wrong = said_by_guest(guests[cell.name])
            record = replace(
                record,
                status="fail" if wrong else record.status,
                reason=record.reason or (wrong[0] if wrong else ""),
                diagnostics=(*record.diagnostics, *wrong, f"booted, guest cases: {cell.tests}"),
            )
        events.emit(record)


def touched_files(base: Base, applied: Applied) -> tuple[str, ...]:
    """The C files of the kernel that the applied patches change or add."""
    if not applied.patches:
        return ()
    names = git.text(applied.repo, "diff", "--name-only", "--no-renames", "--diff-filter=d",
                     base.commit, applied.commit, "--", "*.c").splitlines()  # fmt: skip
    return tuple(name for name in names if not name.startswith(APART))


def _judge(
    bench: BuildTools,
    base: Base,
    applied: Applied,
    cell: MatrixCell,
    out: Path,
    touched: Sequence[str],
) -> ev.CaseFinished:
    start = time.monotonic()
    wrong: list[str] = []
    said: list[str] = []
    try:
        with stage(bench.events, cell.name) as outcome:
            log = out / f"{cell.name}.log"
            folder, outcome.cached = _build(bench, base, applied, cell, log)
            objects = json.loads((folder / "cell.json").read_text("utf-8"))["compiled"]
            outcome.detail = f"{bench.toolchain.cc}, {len(objects)} objects"
            # What a part of the series must give, only its own patches' builds can say.
            if len(applied.patches) == applied.total and touched:
                config = read_values(folder / "kernel.config")
                wrong = broken(cell.expect, config, (folder / "System.map").read_text("utf-8"))
                compiled = [name for name in touched if f"{name[:-2]}.o" in objects]
                wrong += misplaced(touched, compiled, cell.left_out)
                said.append(
                    f"{len(compiled)} of {len(touched)} C files that the series touches compiled"
                )
                if cell.init is not None and not wrong:
                    console = out / f"{cell.name}.console.log"
                    complaints, notes = boot_single(
                        folder / "vmlinux", cell.init, cell.init_flags, console
                    )
                    wrong += complaints
                    outcome.detail += f", booted with {cell.init.name}"
                    said += [f"booted with {cell.init.name} as its only process", *notes]
            outcome.detail += f", {said[0]}" if said else ""
    except SeriesError as error:
        wrong = error.lines()
    return ev.CaseFinished(
        ev.CaseId("matrix", None, cell.name),
        "fail" if wrong else "pass",
        wrong[0] if wrong else "",
        time.monotonic() - start,
        (cell.clause,),
        diagnostics=(*wrong, *said),
        about=cell.about,
    )


def _build(
    bench: BuildTools, base: Base, applied: Applied, cell: MatrixCell, log: Path
) -> tuple[Path, bool]:
    """A cell's configuration, System.map, list of objects and, to boot, vmlinux.

    Also whether they were there already.

    Raises:
        SeriesError: it does not compile or link, or brings a new warning.
        InvocationError: this kernel does not grant what the fragments ask for.
    """
    config = configure(bench, base, applied, cell.flavour, log)
    boots = cell.init is not None
    inputs = applied.tree, config.sha256, bench.toolchain.version, boots

    def make(draft: Path) -> None:
        with made(bench, base, applied, config.text, config.name, cell.name, draft, log) as job:
            judge_warnings(job, config, log)
            shutil.copyfile(job.out / ".config", draft / "kernel.config")
            shutil.copyfile(job.out / "System.map", draft / "System.map")
            compiled = json.dumps({"compiled": sorted(read_records(job.out))})
            (draft / "cell.json").write_text(compiled + "\n", "utf-8")
            if boots:
                job.keep(draft, cross=cell.cross)

    entry = bench.store.entry("matrix", inputs, make, bench.events.note, also=("build",))
    return entry.path, entry.cached


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
    """What is wrong by the whole console, and the program's diagnostics.

    Args:
        ended: QEMU did so by itself.
    """
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
