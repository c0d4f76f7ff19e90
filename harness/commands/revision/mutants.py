# SPDX-License-Identifier: GPL-2.0-only
"""What ``MUTANTS=`` adds to a revision: how many small mistakes in each patch are noticed.

Survivors are told, and change no verdict unless ``SCORE=`` sets a bar. A score is below it where
all of its 95 % interval is: that of a few mutants says too little to fail a series.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.core.rates import wilson
from harness.mutants.report import ALIVE, KILLED
from harness.report.mutants import MutantRecord, MutantsDocument


@dataclass(frozen=True)
class PatchScore:
    """``killed`` of ``judged`` mutants, with the 95 % interval ``low`` to ``high`` of the share.

    ``survivors``: place and operator of each that nothing noticed. ``lost``: how many this
    machine failed to judge.
    """

    killed: int
    judged: int
    low: float
    high: float
    survivors: tuple[str, ...] = ()
    lost: int = 0

    def __str__(self) -> str:
        if not self.judged:
            return "no mutant that anything could notice"
        low, high, share = self.low, self.high, self.killed / self.judged
        lost = f"; {self.lost} could not be judged here" if self.lost else ""
        said = f"{self.killed} of {self.judged} mutants noticed"
        return f"{said}, {share:.0%} (95 % interval {low:.0%} to {high:.0%}){lost}"

    def below(self, bar: int | None) -> bool:
        """Whether even the end of the interval is below ``bar`` percent."""
        return bar is not None and self.judged > 0 and self.high < bar / 100


def score(records: Sequence[MutantRecord]) -> PatchScore:
    """Of some mutants; those that nothing could notice do not count."""
    alive = [record for record in records if record["outcome"] in ALIVE]
    killed = sum(record["outcome"] in KILLED for record in records)
    judged = killed + len(alive)
    low, high = wilson(killed, judged)
    lost = sum(record["outcome"] in ("lost", None) for record in records)
    places = (f"{r['path']}:{r['line']} {r['function']} ({r['operator']})" for r in alive)
    return PatchScore(killed, judged, round(low, 4), round(high, 4), tuple(places), lost)


def scores(document: MutantsDocument) -> dict[int, PatchScore]:
    """The score of each patch of which there are mutants; patches are numbered from 1."""
    found: dict[int, list[MutantRecord]] = {}
    for record in document["mutants"]:
        found.setdefault(record["patch"], []).append(record)
    return {patch: score(records) for patch, records in sorted(found.items())}
