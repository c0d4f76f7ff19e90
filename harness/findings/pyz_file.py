# SPDX-License-Identifier: GPL-2.0-only
"""Writes ``finding-ID.pyz``: a zipapp of Python's standard library that has all it needs in it.

Kernel and images are compressed by themselves (xz): a replay unpacks them before QEMU starts.
"""

from __future__ import annotations

import json
import lzma
import shlex
import shutil
import zipapp
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from harness.core import proc
from harness.core.errors import MachineError
from harness.findings.finding import (
    CONFIG,
    DATA,
    ERR_FILE,
    KERNEL,
    OUT_FILE,
    PATCHES,
    RATE,
    RECIPE,
    ROOT,
    SCRIPT,
    SOURCE,
    STUB,
    SWAP,
    SYMBOL_MAP,
    TESTS,
    Finding,
    Rate,
)
from harness.findings.python_modules import HERE, write_modules
from harness.findings.replay import PACKED
from harness.image import ext2, rootfs
from harness.image.programs import IN_GUEST
from harness.run.pipeline import Prepared
from harness.series.patches import Patch
from harness.vm.guest import INIT
from harness.vm.machine import GuestSpec, qemu_argv
from harness.vm.protocol import PACE_VARIABLE

MAX_BYTES = 40 << 20
PRESET = 2  # of xz: a third larger than with 6, in a quarter of the time
NO_KEY = "none"  # nobody logs in: the serial line is the way in
BUSYBOX = "/usr/bin/busybox"
RUNS_ARGUMENT = "$4"  # of the script in the guest: the number of runs


@dataclass(frozen=True)
class Parts:
    """What a file is made of besides ``finding.json``.

    Args:
        prepared: the series and its kernel.
        spec: the guest, its files where they are now.
        tree: what is mounted at /tests; ``program``: the one file of it that is needed, None: all.
        argv: of the case, in the guest. ``env``: its variables.
        python: the guest's root has to have Python.
        symbol_map: System.map, of a race; else None.
        patches: by their names in the file, the variant's too.
        sources: of the guest program.
    """

    prepared: Prepared
    spec: GuestSpec
    tree: Path
    program: Path | None
    argv: Sequence[str]
    env: Sequence[tuple[str, str]]
    python: bool
    symbol_map: Path | None
    patches: Mapping[str, Patch]
    sources: Sequence[Path]


def argv_of(spec: GuestSpec, *, stub: bool) -> tuple[str, ...]:
    """QEMU's command line for a folder with the files of a finding; ``stub``: with its gdbstub."""
    here = replace(
        spec, kernel=Path(KERNEL), rootfs=Path(ROOT), tests=Path(TESTS),
        gdb=STUB if stub else "", watch=None,
    )  # fmt: skip
    return tuple(qemu_argv(here, None, NO_KEY, swap=Path(SWAP)))


def case_script(case_id: str, argv: Sequence[str], env: Sequence[tuple[str, str]]) -> str:
    """The guest's script that runs the case; ``argv`` may have RUNS_ARGUMENT in it."""
    words = [word if word == RUNS_ARGUMENT else shlex.quote(word) for word in argv]
    lines = [f"export {name}={shlex.quote(value)}" for name, value in env]
    return "\n".join([
        "#!/bin/sh", *lines, f"export {PACE_VARIABLE}=$3",
        f'exec {INIT} case "$1" {shlex.quote(case_id.replace(" ", "_"))} "$2" {" ".join(words)}'
        f" >{OUT_FILE} 2>{ERR_FILE}", "",
    ])  # fmt: skip


def _small_root(image: Path, draft: Path) -> None:
    """A root with process 1 and busybox, out of an image that has more; ``draft`` gets ``ROOT``."""
    recipe, tree = rootfs.load_recipe(), draft / "root"
    for name in (*recipe.directories, "bin"):
        (tree / name).mkdir(parents=True)
    for name, text in recipe.files.items():
        (tree / name).write_text(text)
    busybox, init = tree / "bin" / "busybox", tree / INIT.lstrip("/")
    for inside, here in ((BUSYBOX, busybox), (INIT, init)):
        ext2.debugfs(image, f"dump {inside} {here}")
        if not here.is_file() or not here.stat().st_size:
            raise MachineError(f"the guest's root has no {inside}", evidence=image)
        here.chmod(0o755)
    for name in proc.capture([str(busybox), "--list"]).decode().split():
        if name != "busybox":
            (tree / "bin" / name).symlink_to("busybox")
    ext2.make_image(tree, draft / ROOT)
    shutil.rmtree(tree)


def _tests_image(parts: Parts, case_id: str, draft: Path) -> None:
    tree = draft / "tests"
    if parts.program is None:
        shutil.copytree(parts.tree, tree, symlinks=True)
    else:
        target = tree / parts.program
        target.parent.mkdir(parents=True)
        shutil.copy(parts.tree / parts.program, target)
    script = tree / Path(SCRIPT).relative_to(IN_GUEST)
    script.write_text(case_script(case_id, parts.argv, parts.env), "utf-8")
    ext2.make_image(tree, draft / TESTS)
    shutil.rmtree(tree)


def _sources(parts: Parts, folder: Path) -> None:
    """What it is built from, as data."""
    (folder / PATCHES).mkdir()
    for name, patch in parts.patches.items():
        (folder / name).write_bytes(patch.text)
    shutil.copy(parts.prepared.kernel.config.path, folder / CONFIG)
    shutil.copy(Path(rootfs.__file__).with_name(RECIPE), folder / RECIPE)
    (folder / SOURCE).mkdir()
    for path in parts.sources:
        shutil.copy(path, folder / SOURCE)


def write_finding(finding: Finding, parts: Parts, draft: Path, target: Path) -> None:
    """Writes the file; ``draft``: an empty folder for what it is made of.

    Raises:
        MachineError: a tool is missing, or the file is larger than MAX_BYTES.
    """
    folder = draft / "file"
    folder.mkdir(parents=True)
    write_modules(folder / "lib")
    (folder / "__main__.py").write_text((HERE / "start.py").read_text("utf-8"), "utf-8")
    record = json.dumps(asdict(finding), indent=1, default=as_plain)
    (folder / DATA).write_text(record + "\n", "utf-8")
    _sources(parts, folder)
    _tests_image(parts, finding.test, draft)
    packed = {TESTS: draft / TESTS, KERNEL: parts.spec.kernel, ROOT: parts.spec.rootfs}
    if not parts.python:
        _small_root(parts.spec.rootfs, draft)
        packed[ROOT] = draft / ROOT
    if parts.symbol_map is not None:
        packed[SYMBOL_MAP] = parts.symbol_map
    for name, path in packed.items():
        xz = folder / f"{name}{PACKED}"
        with open(path, "rb") as plain, lzma.open(xz, "wb", preset=PRESET) as squeezed:
            shutil.copyfileobj(plain, squeezed, 1 << 20)
    zipapp.create_archive(folder, target, interpreter="/usr/bin/env python3", compressed=True)
    shutil.rmtree(draft)
    if (size := target.stat().st_size) > MAX_BYTES:
        what = (
            f"{target.name} has {size >> 20} MiB, more than the {MAX_BYTES >> 20} that can be sent"
        )
        raise MachineError(what, evidence=target, next_step="PROGRAM or GUEST_FILES= is too large")


def as_plain(value: object) -> object:
    """What JSON has not: a set is a list, a path its text."""
    return sorted(value) if isinstance(value, frozenset) else str(value)


def add_rate(target: Path, rate: Rate) -> None:
    """Adds the measured rate to a finding's file."""
    with zipfile.ZipFile(target, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(RATE, json.dumps(asdict(rate)) + "\n")
