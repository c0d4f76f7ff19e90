# SPDX-License-Identifier: GPL-2.0-only
"""``make plan`` and ``make cell``: a revision spread over machines.

The plan is data (``plan.json``), and a cell is an ordinary run that knows its own name.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace

import yaml
from rich.console import Console

from harness.build.kconfig import load_flavour
from harness.build.toolchain import find_toolchain
from harness.commands.ci.plan import (
    PREVIOUS,
    STATICS,
    PlanCell,
    cells,
    kernel_name,
    listed,
    parse,
    settings_of,
)
from harness.commands.revision.command import REPEAT
from harness.commands.revision.inputs import Inputs, choose_base, read_inputs
from harness.core.atomic import write_atomically
from harness.core.errors import InvocationError
from harness.core.events import Events
from harness.core.settings import Settings
from harness.core.store import HARNESS, Store, digest, room_digest
from harness.run.session import RunKernel

FORMAT = 1
PLAN = "plan.json"
# What a cell takes from the plan that lies in OUT=, where it is not said otherwise.
HANDED_ON = ("series", "previous", "tests")


def cache_keys(inputs: Inputs, cell: PlanCell, compiler: str) -> dict[str, str]:
    """What a CI keys its caches of the store by: hashes of what the store's entries are made from.

    ``base``: the kernel tree; ``near``: another state of the series in the same flavour,
    of which ccache has most; ``cache``: this very kernel.
    """
    fragments = [path.read_text() for path in load_flavour(cell.config).fragments]
    ids = [patch.patch_id for patch in inputs.patches]
    code = inputs.range_diff if cell.state == PREVIOUS else ids[: cell.patches]
    base = inputs.base_key[:12]
    near = f"{base}-{cell.config}"
    made_from = digest(fragments, code, compiler, room_digest(HARNESS / "build"))
    return {"base": base, "near": near, "cache": f"{near}-{made_from[:12]}"}


def plan(settings: Settings, console: Console) -> int:
    """Writes ``out/plan.json`` and prints a row for each cell; 0.

    KERNEL= and CONFIG= take several, separated by commas.

    Raises:
        InvocationError, SeriesError, MachineError: see ``read_inputs``.
    """
    configs = listed(settings.config)
    for config in configs:
        load_flavour(config)
    groups: dict[str, Inputs] = {}
    counts: dict[str, int] = {}
    for kernel in listed(settings.kernel):
        name = kernel_name(kernel)
        if name in groups:
            raise InvocationError(f"KERNEL={settings.kernel}: a plan takes one kernel tree")
        groups[name] = read_inputs(replace(settings, kernel=kernel))
        counts[name] = len(groups[name].patches)
    found = cells(counts, configs, bool(settings.previous), settings.shards, settings.statics)
    compiler = find_toolchain().version
    rows = [
        {"cell": cell.name, **cache_keys(groups[cell.kernel], cell, compiler)} for cell in found
    ]
    document = {
        "format": FORMAT,
        "asked": {name: getattr(settings, name) for name in HANDED_ON},
        "groups": {name: asdict(inputs) for name, inputs in groups.items()},
        "cells": rows,
    }
    settings.out.mkdir(parents=True, exist_ok=True)
    write_atomically(settings.out / PLAN, json.dumps(document, indent=1) + "\n")
    write_atomically(settings.out / "cells.json", json.dumps(rows) + "\n")
    write_atomically(settings.out / "cells.gitlab.yml", gitlab(rows))
    for row in rows:
        console.print(f"{row['cell']:<44} {row['cache']}", highlight=False, soft_wrap=True)
    console.print(
        f"plan: {settings.out / PLAN}, {len(rows)} cells", highlight=False, soft_wrap=True
    )
    return 0


def gitlab(rows: Sequence[dict[str, str]]) -> str:
    """The plan as a GitLab child pipeline: ci/gitlab-cells.yml has its jobs, this the matrix."""
    matrix = [{name.upper(): value for name, value in row.items()} for row in rows]
    pipeline = {
        "include": [{"local": "ci/gitlab-cells.yml"}],
        "cell": {"extends": ".cell", "parallel": {"matrix": matrix}},
    }
    return yaml.safe_dump(pipeline, sort_keys=False)


def run_cell(settings: Settings, run: RunKernel, look: RunKernel, console: Console) -> int:
    """Runs one cell; 0 where it came to its end, whatever the verdict, which is ``merge``'s.

    Args:
        run: makes the run of a state, and ``look`` that of the static checkers.

    Raises:
        InvocationError: CELL= names none, or does not go with the other variables.
    """
    if not settings.cell:
        raise InvocationError(
            "the command cell needs CELL=", next_step=f"{settings.command('plan')} prints the cells"
        )
    cell = parse(settings.cell)
    settings = with_plan(settings)
    repeat = REPEAT if settings.repeat is None else settings.repeat
    chosen = replace(settings_of(settings, cell), repeat=repeat)
    # The base is the one that the revision names, for its predecessor as well.
    store = Store(settings.cache, settings.cache_limit)
    base, _, why = choose_base(
        replace(chosen, series=settings.series, patches=None), store, Events()
    )
    console.print(f"cell {cell.name}: {why}", markup=False, highlight=False)
    make = look if cell.state == STATICS else run
    result = make(replace(chosen, ref=base.commit if base.origin else ""))
    return 0 if result.judged else result.code


def with_plan(settings: Settings) -> Settings:
    """The settings with what the plan in OUT= was made for, where there is one.

    Raises:
        InvocationError: SERIES=, PREVIOUS= or TESTS= are not those of the plan.
    """
    path = settings.out / PLAN
    if not path.is_file():
        return settings
    asked: dict[str, str] = json.loads(path.read_text())["asked"]
    for name, value in asked.items():
        if (given := getattr(settings, name)) not in ("", value):
            raise InvocationError(
                f"{name.upper()}={given}, and the plan {path} is for {name.upper()}={value}",
                next_step=f"leave {name.upper()}= out, or {settings.command('plan')}",
            )
    return replace(
        settings,
        series=asked["series"],
        previous=asked["previous"],
        tests=asked["tests"],
    )
