# SPDX-License-Identifier: GPL-2.0-only
"""Builds the kernel out of tree, incrementally, and keeps the result in the store.

A compiler warning that the bare base does not have fails the build. That costs nothing while
there are no warnings. Where there are, the objects that warn, and only those, are compiled
from the base in a second worktree and build folder.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.build import make
from harness.build.folder import build_dir, marked, place_config
from harness.build.kconfig import KernelConfig
from harness.build.make import BuildLog, Warned, from_json, new_warnings
from harness.build.toolchain import environment, inside, make_argv
from harness.build.tree import TreeUnderTest
from harness.core import proc
from harness.core.errors import SeriesError
from harness.core.sandbox import Inside, taken
from harness.core.store import digest
from harness.series.worktree import base_twin

STAGE = "build"
MAX_SHOWN = 8  # warnings
Warnings = Literal["refuse", "note", "ignore"]  # what becomes of new ones
# In this order: the first two are a choice.
_WITH_DEBUG_INFO = (
    "# CONFIG_DEBUG_INFO_NONE is not set\n"
    "CONFIG_DEBUG_INFO_DWARF_TOOLCHAIN_DEFAULT=y\n"
    "CONFIG_DEBUG_INFO_REDUCED=y\n"
)


@dataclass(frozen=True)
class KernelBuild:
    """A built kernel, in the store.

    ``vmlinux`` is stripped, for booting; ``compiled``: the objects, as kbuild names them.
    ``config``: by its name its build folder is found again.
    ``warned``: its new warnings, where they were asked for and did not fail the build.
    """

    entry: Path
    vmlinux: Path
    bzimage: Path | None
    system_map: Path
    config: KernelConfig
    log: Path
    cached: bool
    release: str
    compiled: list[str]
    warned: str | None = None

    @property
    def image(self) -> Path:
        """What the machine that it was built for starts; see machines.yaml."""
        return self.bzimage or self.vmlinux


def debug_config(config: str) -> str:
    """A .config with debug information switched on and nothing else changed."""
    names = "|".join(re.findall(r"CONFIG_\w+", _WITH_DEBUG_INFO))
    changed = re.sub(rf"^(?:# )?(?:{names})(?:=| is not set).*\n", "", config, flags=re.M)
    return changed + _WITH_DEBUG_INFO


def build(
    tree: TreeUnderTest,
    config: KernelConfig,
    *,
    bzimage: bool = False,
    stage: str = STAGE,
    debug: bool = False,
    warnings: Warnings = "refuse",
) -> KernelBuild:
    """The kernel of a patched tree and a configuration, from the store or built now.

    The output of make lies in the entry as well; its progress is that of ``stage``.

    Args:
        debug: with debug information, which the file ``debug`` of the entry keeps. Such a
            kernel's warnings are not judged.
        warnings: what becomes of those that the base does not have.

    Raises:
        SeriesError: it does not compile or link, or brings a new warning.
        MachineError: a tool or a header is missing here, or the disk is full.
    """
    tools = tree.tools
    text = debug_config(config.text) if debug else config.text
    purpose = f"{config.name}-debug" if debug else config.name

    def fill(draft: Path) -> None:
        with tree.folder(purpose, text) as (source, out):
            if debug:  # kbuild answers what that leaves open
                with marked(out):
                    argv = make_argv(tools, source.path, out, "olddefconfig")
                    proc.capture(argv, env=environment(), inside=inside(tools, source.path, out))
            job = make.Job(tree, source, out, purpose, stage)
            job.run(("vmlinux", "bzImage") if bzimage else ("vmlinux",), draft)
            warned = None
            if not debug and warnings != "ignore":
                try:
                    judge_warnings(job, config)
                except SeriesError as error:
                    if warnings == "refuse":
                        raise
                    warned = error.what
            strip = f"{tools.toolchain.cross}strip", "--strip-all", "-o", str(draft / "vmlinux")
            box = Inside(reads=(out,), writes=(draft,))
            proc.capture((*strip, str(taken(out, "vmlinux"))), inside=box)
            files = {".config": "kernel.config", "System.map": "System.map"}
            files |= {"arch/x86/boot/bzImage": "bzImage"} if bzimage else {}
            files |= {"vmlinux": "debug"} if debug else {}
            for made, kept in files.items():
                shutil.copyfile(taken(out, made), draft / kept)
            release = taken(out, "include/config/kernel.release").read_text("utf-8").strip()
            compiled = sorted(make.read_records(out))
            about = {"release": release, "compiled": compiled, "warned": warned}
            (draft / "kernel.json").write_text(json.dumps(about) + "\n", "utf-8")

    inputs = tree.applied.tree, digest(text), tools.toolchain.version, bzimage, debug, warnings
    entry = tools.store.entry("kernel", inputs, fill, tools.events.note)
    at = entry.path
    return KernelBuild(
        at,
        at / "vmlinux",
        at / "bzImage" if bzimage else None,
        at / "System.map",
        KernelConfig(config.name, at / "kernel.config"),
        at / "build.log",
        entry.cached,
        **json.loads((at / "kernel.json").read_text("utf-8")),
    )


def judge_warnings(job: make.Job, config: KernelConfig) -> None:
    """Fails for a warning that is new against the base; the job's folder is built.

    Raises:
        SeriesError: naming file, line and warning.
    """
    if not job.tree.applied.patches:
        return
    records = make.read_records(job.out).items()
    flagged = {n: warned for n, warned in records if warned and make.is_linked(job.out, n)}
    if not flagged:
        return
    known = _base_warnings(job, config, sorted(flagged))
    # A header warns once for each of its users.
    fresh: dict[Warned, None] = {}
    for name, here in sorted(flagged.items()):
        fresh |= dict.fromkeys(new_warnings(here, known.get(name, [])))
    if fresh:
        what = f"the series brings {len(fresh)} compiler warnings that the base does not have"
        more = [f"... and {len(fresh) - MAX_SHOWN} more"] if len(fresh) > MAX_SHOWN else []
        raise SeriesError(
            "\n".join([what, *map(str, list(fresh)[:MAX_SHOWN]), *more]),
            evidence=job.tree.log,
            next_step="mend them; a warning that the base has as well does not count",
        )


def _base_warnings(
    job: make.Job, config: KernelConfig, objects: list[str]
) -> dict[str, list[Warned]]:
    """The warnings of ``objects`` when compiled from the base; objects it lacks have none."""
    tree, tools, base = job.tree, job.tree.tools, job.tree.base
    inputs = base.tree, config.sha256, tools.toolchain.version, objects

    def fill(draft: Path) -> None:
        with (
            base_twin(tools.store, base, job.source, tools.events) as source,
            build_dir(tools, base, f"{job.purpose}-base", source) as out,
        ):
            place_config(config.text, out)
            reader = BuildLog(str(source.path), str(out))
            # vmlinux.o: objtool looked at the whole kernel.
            targets = ["vmlinux"] if "vmlinux.o" in objects else objects
            with marked(out):
                argv = make_argv(tools, source.path, out, "olddefconfig")
                box = inside(tools, source.path, out)
                proc.run(argv, env=environment(), inside=box, log=tree.log)
                # Past those that the base lacks or cannot compile.
                for line in make.run_on(tree, source, out, *targets):
                    reader.feed(line)
                # Objects that an earlier series had compiled here are not compiled again.
                records = make.read_records(out) | reader.objects
                make.write_records(out, records)
            kept = {name: records[name] for name in objects if name in records}
            (draft / "warnings.json").write_text(json.dumps(kept), "utf-8")

    entry = tools.store.entry("basewarnings", inputs, fill, tools.events.note)
    return from_json(json.loads((entry.path / "warnings.json").read_text("utf-8")))
