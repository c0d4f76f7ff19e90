# SPDX-License-Identifier: GPL-2.0-only
"""The cells of a revision: kernel x flavour x state of the series x shard of the cases.

A cell is one run that needs nothing of another. Its name says all of it, so a list of
names is a plan that any CI can spread over machines:

    6.1-kasan-p3-s1of2        Linux 6.1, flavour kasan, three patches, first half of the cases
    tree-default-previous-s1of1    KERNEL=/a/tree, the whole previous revision, every case
    6.1-default-statics-s1of1    what checkpatch, sparse and kernel-doc say of each patch
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.core.errors import InvocationError
from harness.core.settings import WHOLE, Settings, Shard
from harness.core.usage import command
from harness.series.base import known_kernels

TREE = "tree"  # the kernel of a cell where KERNEL= is a path: the path is no part of the name
PREVIOUS = "previous"
STATICS = "statics"
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


def parse(name: str) -> PlanCell:
    """The cell of a name.

    Raises:
        InvocationError: it is none.
    """
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
        counts: how many patches the series has on each kernel.
        previous: whether there is a previous revision.
        shards: into how many parts the cases of each state go.
        statics: whether the static checkers look at each patch.
    """
    found = []
    for kernel, total in counts.items():
        for config in configs:
            states = [f"p{n}" for n in range(total + 1)] + ([PREVIOUS] if previous else [])
            found += [
                PlanCell(kernel_name(kernel), config, state, Shard(number, shards))
                for state in states
                for number in range(1, shards + 1)
            ]
        # They look at the text of the patches: one flavour is enough.
        if statics:
            found.append(PlanCell(kernel_name(kernel), configs[0], STATICS, WHOLE))
    return tuple(found)


def settings_of(settings: Settings, cell: PlanCell) -> Settings:
    """The settings of one cell's run.

    Raises:
        InvocationError: the cell does not go with the other variables.
    """
    if settings.patches is not None:
        raise InvocationError(
            "CELL= says how many patches", next_step=f"leave PATCHES={settings.patches} out"
        )
    kernel = settings.kernel if cell.kernel == TREE else cell.kernel
    if kernel_name(kernel) != cell.kernel:
        raise InvocationError(
            f"CELL={cell.name} is for a kernel tree, and KERNEL={kernel} is none",
            next_step="give KERNEL= as for the plan",
        )
    made = replace(settings, kernel=kernel, config=cell.config, shard=cell.shard, cell=cell.name)
    if cell.state != PREVIOUS:
        return replace(made, patches=cell.patches)
    if not settings.previous:
        raise InvocationError(
            f"CELL={cell.name} is of the previous revision", next_step="give PREVIOUS= as well"
        )
    return replace(made, series=settings.previous)
