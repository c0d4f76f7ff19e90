# SPDX-License-Identifier: GPL-2.0-only
"""``cost.yaml`` beside ``series.yaml``: what is measured of a series, and what it may cost."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.errors import InvocationError
from harness.core.jsondata import read_yaml

TABLE = "cost.yaml"
HELP = "see docs/cost.md"


@dataclass(frozen=True)
class Condition:
    """How the kernel is used while a case is measured.

    ``env``: variables of the case. ``base_says``, ``series_says``: a line that the case must
    print on that kernel, and on that kernel alone; None: none is asked for.
    """

    name: str
    env: dict[str, str] = field(default_factory=dict)
    base_says: str | None = None
    series_says: str | None = None


@dataclass(frozen=True)
class Bar:
    """In ``condition`` the figures that match ``figures`` cost ``at_most`` percent more."""

    condition: str
    figures: str
    at_most: float

    def judges(self, condition: str, figure: str) -> bool:
        """Whether it is about this figure."""
        return condition == self.condition and fnmatch.fnmatchcase(figure, self.figures)


@dataclass(frozen=True)
class RatioBar:
    """With the series, ``more`` costs ``at_least`` times what ``less`` costs."""

    more: str
    less: str
    at_least: float


@dataclass(frozen=True)
class StructList:
    """The structs whose sizes may not change; ``object``, as kbuild names it, has them all."""

    object: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class CostTable:
    """What ``cost.yaml`` says.

    Args:
        clause: of the contract, which the bars show.
        guest_tests: the folder below guest-tests/ with the programs.
        memory_mb: of a guest, in MiB.
        compared: programs that run on both kernels, in each condition.
        alone: programs that run on the series alone.
    """

    clause: str
    guest_tests: str
    memory_mb: int
    compared: tuple[str, ...]
    alone: tuple[str, ...]
    conditions: tuple[Condition, ...]
    bars: tuple[Bar, ...]
    ratios: tuple[RatioBar, ...]
    structs: StructList


def load_bars(folder: Path) -> CostTable:
    """Reads ``folder/cost.yaml``.

    Raises:
        InvocationError: there is none, or it makes no sense.
    """
    path = folder / TABLE
    if not path.is_file():
        what = f"the series has no {TABLE}, which says what is measured and what it may cost"
        raise InvocationError(what, next_step=HELP)
    table = read_yaml(CostTable, path, HELP)
    known = {condition.name for condition in table.conditions}
    for bar in table.bars:
        if bar.condition not in known:
            what = f"{path}: a bar is for the condition {bar.condition}, which is not there"
            raise InvocationError(what, next_step=HELP)
    return table
