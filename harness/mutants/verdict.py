# SPDX-License-Identifier: GPL-2.0-only
"""What became of a mutant, and the verdicts that earlier runs have left in the store.

A verdict is that of a mutant's code on one sound kernel, and holds as long as the cases that
gave it are what they were: a kill as long as the case that fails is, a survival as long as all
that reach the line are. So a run that was ended goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from harness.core.jsondata import read_kept, write_json
from harness.mutants.mutant import Outcome

# What has noticed a mutant: a check of a case, the kernel's own complaint, the loss of the guest,
# a case's time limit, the compiler, threads that were held in a certain order.
Killer = Literal["check", "complaint", "lost guest", "time limit", "build", "race"]


@dataclass(frozen=True)
class MutantVerdict:
    """The outcome for one mutant.

    Args:
        reason: what the case, the kernel or the compiler said; why it is argued, or lost.
        by: what noticed it; None where nothing did.
        case: the id of the case, or of the race, in which it was noticed.
        seconds: from the start of its guest to the verdict; 0 where no guest ran.
        ran: the cases that were run to that end, each with a digest of what it is.
        kept: an earlier run has found it.
    """

    outcome: Outcome
    reason: str = ""
    by: Killer | None = None
    case: str | None = None
    seconds: float = 0.0
    ran: dict[str, str] = field(default_factory=dict)
    kept: bool = False

    def holds(self, cases: Mapping[str, str]) -> bool:
        """Whether it is still the verdict with ``cases``, those that reach the mutant's line."""
        if self.case is not None:
            return cases.get(self.case) == self.ran[self.case]
        if self.outcome == "killed":  # before any case ran
            return True
        return all(self.ran.get(name) == what for name, what in cases.items())


@dataclass(frozen=True)
class KeptVerdicts:
    """The verdicts on one sound kernel, a file each in ``folder``, by the mutants' code."""

    folder: Path

    def find(
        self,
        code: str,
        cases: Mapping[str, str],
        enough: Callable[[Collection[str]], bool] = lambda names: False,
    ) -> MutantVerdict | None:
        """The verdict on the mutant with that code that still holds; None: it is to be judged.

        ``enough``: whether it has survived with these cases, and no other needs to run.
        """
        if (verdict := read_kept(MutantVerdict, self._path(code))) is None:
            return None
        same = [name for name, what in verdict.ran.items() if cases.get(name) == what]
        survived = verdict.outcome == "survived" and enough(same)
        return replace(verdict, kept=True) if survived or verdict.holds(cases) else None

    def keep(self, code: str, verdict: MutantVerdict) -> None:
        """Keeps what a guest has shown; what befell this machine is no verdict."""
        if verdict.outcome in ("killed", "survived"):
            write_json(self._path(code), verdict)

    def _path(self, code: str) -> Path:
        return self.folder / f"verdict-{code}.json"
