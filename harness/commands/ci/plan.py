# SPDX-License-Identifier: GPL-2.0-only
"""The cells of a revision: kernel x flavour x state of the series x shard of the cases.

A cell is an ordinary run that needs nothing of another and knows its own name. That says
all of it, so a list of names is a plan that any CI can spread over machines:

    6.1-kasan-p3-s1of2        Linux 6.1, flavour kasan, three patches, first half of the cases
    tree-default-previous-s1of1    KERNEL=/a/tree, the whole previous revision, every case
    6.1-default-statics-s1of1    what checkpatch, sparse and kernel-doc say of each patch
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import yaml
from rich.console import Console

from harness.build.flavours import load_flavour
from harness.build.fragments import fragment_lines
from harness.build.toolchain import find_toolchain
from harness.commands.revision.command import REPEAT
from harness.commands.revision.inputs import Inputs, choose_base, read_inputs
from harness.core.atomic import write_atomically
from harness.core.command_table import command
from harness.core.errors import InvocationError
from harness.core.events import Events
from harness.core.jsondata import read_json
from harness.core.settings import WHOLE, Settings, Shard
from harness.core.store import HARNESS, Store, digest, room_digest
from harness.run.session import RunKernel
from harness.series.kernels import known_kernels

FORMAT = 1
PLAN = "plan.json"
TREE = "tree"  # the kernel of a cell where KERNEL= is a path: the path is no part of the name
PREVIOUS = "previous"
STATICS = "statics"
ASKED = ("series", "previous", "tests")  # variables that cells take from the plan
_NAME = re.compile(
    r"^(?P<kernel>[^-]+)-(?P<config>.+)-(?P<state>p(?:0|[1-9]\d*)|previous|statics)"
    r"-s(?P<number>[1-9]\d*)of(?P<of>[1-9]\d*)$"
)


@dataclass(frozen=True)
class PlanCell:
    """One run of a plan. ``state``: 'p3', 'previous' or 'statics'."""

    kernel: str
    config: str
    state: str
    shard: Shard

    @property
    def patches(self) -> int | None:
        """How many are applied; None where it is all of a revision."""
        return None if self.state in (PREVIOUS, STATICS) else int(self.state[1:])

    @property
    def group(self) -> str:
        """What all cells of one verdict share: '6.1-kasan'."""
        return f"{self.kernel}-{self.config}"

    @property
    def name(self) -> str:
        """The name, which is safe in file names and in shells."""
        return f"{self.group}-{self.state}-s{self.shard.number}of{self.shard.of}"


@dataclass(frozen=True)
class PlanRow:
    """A cell's name, and what a CI keys its caches of the store by.

    They are hashes of what the store's entries are made from. ``base``: the kernel tree;
    ``near``: another state of the series in the same flavour, of which ccache has most;
    ``cache``: this very kernel.
    """

    cell: str
    base: str
    near: str
    cache: str


@dataclass(frozen=True)
class Plan:
    """``plan.json``. ``asked``: what cells take from it; ``groups``: each kernel's revision."""

    format: int
    asked: dict[str, str]
    groups: dict[str, Inputs]
    cells: tuple[PlanRow, ...]


def read_plan(out: Path) -> Plan | None:
    """The plan that ``make plan`` left in ``out``, where there is one."""
    path = out / PLAN
    return read_json(Plan, path) if path.is_file() else None


def parse(name: str) -> PlanCell:
    """The cell of a name; an InvocationError where it is none."""
    found = _NAME.match(name)
    if found is None or int(found["number"]) > int(found["of"]):
        raise InvocationError(
            f"CELL={name} is no cell; they look like 6.1-default-p4-s1of1",
            next_step=f"{command('plan')} prints the cells",
        )
    shard = Shard(int(found["number"]), int(found["of"]))
    return PlanCell(found["kernel"], found["config"], found["state"], shard)


def listed(value: str) -> tuple[str, ...]:
    """The parts of a list with commas, as KERNEL=6.1,6.12 has them in a plan."""
    return tuple(part.strip() for part in value.split(",") if part.strip())


def kernel_name(kernel: str) -> str:
    """The kernel of a cell: the name of one that is known by name, else 'tree'."""
    return kernel if kernel in known_kernels() else TREE


def cells(
    counts: Mapping[str, int], configs: Sequence[str], previous: bool, shards: int, statics: bool
) -> tuple[PlanCell, ...]:
    """Every cell, in the order that builds incrementally on one machine.

    Args:
        counts: how many patches the series has on each kernel, by the kernel's name.
        shards: into how many parts the cases of each state go.
    """
    found = []
    for kernel, total in counts.items():
        states = [f"p{n}" for n in range(total + 1)] + ([PREVIOUS] if previous else [])
        parts = [Shard(number, shards) for number in range(1, shards + 1)]
        found += [PlanCell(kernel, *of) for of in itertools.product(configs, states, parts)]
        # They look at the text of the patches: one flavour is enough.
        if statics:
            found.append(PlanCell(kernel, configs[0], STATICS, WHOLE))
    return tuple(found)


def plan(settings: Settings, console: Console) -> int:
    """Writes ``out/plan.json`` and prints a row for each cell; 0. Raises as ``read_inputs``.

    KERNEL= and CONFIG= take several, separated by commas; a cell of a file is named for the file.
    """
    flavours = [load_flavour(config) for config in listed(settings.config)]
    fragments = {f.name: [fragment_lines(path) for path in f.files] for f in flavours}
    if len(fragments) < len(flavours):
        what = f"CONFIG={settings.config}: two of them are {', '.join(f.name for f in flavours)}"
        raise InvocationError(what, next_step="give files other names: cells are named for them")
    groups: dict[str, Inputs] = {}
    for kernel in listed(settings.kernel):
        name = kernel_name(kernel)
        if name in groups:
            raise InvocationError(f"KERNEL={settings.kernel}: a plan takes one kernel tree")
        groups[name] = read_inputs(replace(settings, kernel=kernel))
    counts = {name: len(inputs.patches) for name, inputs in groups.items()}
    made_by = find_toolchain().version, room_digest(HARNESS / "build")
    rows = []
    previous, names = bool(settings.previous), list(fragments)
    for cell in cells(counts, names, previous, settings.shards, settings.statics):
        inputs = groups[cell.kernel]
        ids = [patch.patch_id for patch in inputs.patches]
        code = inputs.range_diff if cell.state == PREVIOUS else ids[: cell.patches]
        base = inputs.base_key[:12]
        near = f"{base}-{cell.config}"
        kernel_key = digest(fragments[cell.config], code, *made_by)[:12]
        rows.append(PlanRow(cell.name, base, near, f"{near}-{kernel_key}"))
    asked = {name: getattr(settings, name) or "" for name in ASKED}
    whole = asdict(Plan(FORMAT, asked, groups, tuple(rows)))
    settings.out.mkdir(parents=True, exist_ok=True)
    path = settings.out / PLAN
    write_atomically(path, json.dumps(whole, indent=1) + "\n")
    write_atomically(settings.out / "cells.json", json.dumps(whole["cells"]) + "\n")
    write_atomically(settings.out / "cells.gitlab.yml", gitlab(whole["cells"]))
    for row in rows:
        console.print(f"{row.cell:<44} {row.cache}", highlight=False, soft_wrap=True)
    console.print(f"plan: {path}, {len(rows)} cells", highlight=False, soft_wrap=True)
    return 0


def gitlab(rows: Sequence[Mapping[str, str]]) -> str:
    """The plan as a GitLab child pipeline: ci/gitlab-cells.yml has its jobs, this the matrix."""
    matrix = [{name.upper(): value for name, value in row.items()} for row in rows]
    pipeline = {
        "include": [{"local": "ci/gitlab-cells.yml"}],
        "cell": {"extends": ".cell", "parallel": {"matrix": matrix}},
    }
    return yaml.safe_dump(pipeline, sort_keys=False)


def run_cell(settings: Settings, run: RunKernel, look: RunKernel, console: Console) -> int:
    """Runs one cell; 0 where it came to its end, whatever the verdict, which is ``merge``'s.

    ``run`` makes the run of a state, and ``look`` that of the static checkers. Raises
    InvocationError for a CELL= that is none, or does not go with the other variables.
    """
    if not settings.cell:
        step = f"{settings.command('plan')} prints the cells"
        raise InvocationError("the command cell needs CELL=", next_step=step)
    cell = parse(settings.cell)
    if planned := read_plan(settings.out):
        settings = _with_plan(settings, planned.asked)
    repeat = REPEAT if settings.repeat is None else settings.repeat
    chosen = replace(settings_of(settings, cell), repeat=repeat)
    # The base is the one that the revision names, for its predecessor as well.
    whole = replace(chosen, series=settings.series, patches=None)
    base, _, why = choose_base(whole, Store(settings.cache, settings.cache_limit), Events())
    console.print(f"cell {cell.name}: {why}", markup=False, highlight=False)
    make = look if cell.state == STATICS else run
    result = make(replace(chosen, ref=base.commit if base.origin else ""))
    return 0 if result.judged else result.code


def _with_plan(settings: Settings, asked: Mapping[str, str]) -> Settings:
    """The settings with what the plan was made for, which no variable may contradict."""
    for name, value in asked.items():
        if (given := getattr(settings, name) or "") not in ("", value):
            path = settings.out / PLAN
            raise InvocationError(
                f"{name.upper()}={given}, and the plan {path} is for {name.upper()}={value}",
                next_step=f"leave {name.upper()}= out, or {settings.command('plan')}",
            )
    series, previous, tests = (asked[name] for name in ASKED)
    return replace(settings, series=series, previous=previous, tests=tests)


def settings_of(settings: Settings, cell: PlanCell) -> Settings:
    """The settings of one cell's run; InvocationError where other variables contradict it."""
    if settings.patches is not None:
        step = f"leave PATCHES={settings.patches} out"
        raise InvocationError("CELL= says how many patches", next_step=step)
    kernel = settings.kernel if cell.kernel == TREE else cell.kernel
    if kernel_name(kernel) != cell.kernel:
        what = f"CELL={cell.name} is for a kernel tree, and KERNEL={kernel} is none"
        raise InvocationError(what, next_step="give KERNEL= as for the plan")
    if cell.state == PREVIOUS and not settings.previous:
        what = f"CELL={cell.name} is of the previous revision"
        raise InvocationError(what, next_step="give PREVIOUS= as well")
    series = settings.previous if cell.state == PREVIOUS else settings.series
    # As kernel trees, files are named in CONFIG= and not in the cell's name.
    configs = {load_flavour(config).name: config for config in listed(settings.config)}
    config = configs.get(cell.config, cell.config)
    return replace(settings, kernel=kernel, config=config, shard=cell.shard, cell=cell.name,
                   series=series, patches=cell.patches)  # fmt: skip
