# SPDX-License-Identifier: GPL-2.0-only
"""``make plan``: a revision on several kernels and flavours, as one command a cell.

A cell is kernel x flavour. Its command is an ordinary ``make revision``, which needs nothing of
another cell and whose results and exit status are the verdict on it: any CI can spread the rows
over machines. A cell's kernels are built one after the other, each from what the one before
has left.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import yaml
from rich.console import Console

from harness.build.flavours import load_flavour
from harness.core.atomic import write_atomically
from harness.core.errors import InvocationError
from harness.core.settings import Settings
from harness.run.states import refuse_patches
from harness.series.base import FORMS
from harness.series.kernels import known_kernels

TREE = "tree"  # the kernel of a cell where KERNEL= is a path: the path is no part of the name


def listed(value: str) -> tuple[str, ...]:
    """The parts of a list with commas, as KERNEL=6.1,6.12 has them in a plan."""
    return tuple(part.strip() for part in value.split(",") if part.strip())


def rows(settings: Settings) -> dict[str, str]:
    """What to type for each kernel and flavour, by the cell: '6.1-kasan', safe in names of files.

    Raises:
        InvocationError: KERNEL= or CONFIG= names none, or two cells would have one name.
    """
    refuse_patches(settings, "plan")
    found: dict[str, str] = {}
    looked: set[str] = set()
    for kernel, config in itertools.product(listed(settings.kernel), listed(settings.config)):
        if kernel not in known_kernels() and not Path(kernel).expanduser().exists():
            what = f"KERNEL={kernel}: neither a kernel known by name nor a path that exists"
            raise InvocationError(what, next_step=FORMS)
        line = kernel if kernel in known_kernels() else TREE
        cell = f"{line}-{load_flavour(config).name}"
        if cell in found:
            what = f"KERNEL={settings.kernel} CONFIG={settings.config}: two cells are {cell}"
            step = "a plan takes one kernel tree, and files of different names in CONFIG="
            raise InvocationError(what, next_step=step)
        # Static checkers look at the text of the patches: one flavour of a kernel is enough.
        statics = settings.statics and kernel not in looked
        looked.add(kernel)
        # All three are named even where they are the defaults: a job's environment says others.
        asked = {"KERNEL": kernel, "CONFIG": config, "STATICS": "1" if statics else "0"}
        one = replace(settings, kernel=kernel, config=config)
        found[cell] = one.command("revision", **asked)
    return found


def plan(settings: Settings, console: Console) -> int:
    """Prints the command of each cell, and writes the cells for CI; 0. Raises as ``rows``."""
    found = rows(settings)
    settings.out.mkdir(parents=True, exist_ok=True)
    matrix = json.dumps([{"cell": cell, "command": typed} for cell, typed in found.items()])
    write_atomically(settings.out / "cells.json", matrix + "\n")
    write_atomically(settings.out / "cells.gitlab.yml", gitlab(found))
    for typed in found.values():
        console.print(typed, markup=False, highlight=False, soft_wrap=True)
    return 0


def gitlab(found: Mapping[str, str]) -> str:
    """The cells as a GitLab child pipeline: ci/gitlab-cells.yml has what their jobs do."""
    pipeline: dict[str, object] = {"include": [{"local": "ci/gitlab-cells.yml"}]}
    for cell, typed in found.items():
        # A dollar in the command is the shell's.
        given = {"CELL": cell, "COMMAND": {"value": typed, "expand": False}}
        pipeline[cell] = {"extends": ".cell", "variables": given}
    return yaml.safe_dump(pipeline, sort_keys=False)
