# SPDX-License-Identifier: GPL-2.0-only
"""What ``make soak`` repeats: one round of something random, told by a seed.

A series keeps its kinds in ``soakers.py`` beside its ``series.yaml``: a dictionary
``SOAKERS`` from the name (``KIND=``) to something with the one method of
:class:`Soaker`. A guest case becomes one by :class:`CaseSoaker`; what generates its
programs on the host writes its own ``round``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from harness.cases.plugins import load_plugin
from harness.cases.runner import CaseRunner
from harness.core import events as ev
from harness.core.errors import InternalError, InvocationError, SeriesError
from harness.image.programs import Suite
from harness.vm.guest import Guest
from harness.vm.protocol import SEED_VARIABLE

# What a round counted: 'purges' -> 4711. Rounds are added up name by name.
Figures = Mapping[str, int]

_COUNT = re.compile(r"^@count (?P<name>\w+) (?P<count>\d+)$")


class DivergenceError(SeriesError):
    """The kernel did something else than the round had to see. Ends the soak."""


@dataclass(frozen=True)
class SoakContext:
    """What a round has: who runs cases, the series' programs, and the run's folder."""

    runner: CaseRunner
    suite: Suite
    out: Path
    events: ev.Events

    def guest(self) -> Guest:
        """A guest that can be trusted: the one of the round before, or a new one."""
        return self.runner.ready()


class Soaker(Protocol):
    """One kind of soak."""

    def round(self, context: SoakContext, seed: int) -> Figures:
        """One round, of some seconds up to two minutes: what is killed is lost.

        All that is random in it follows from ``seed`` (32 bits). Complaints of the kernel
        need no care: the driver ends the soak on any, and names the seed.

        Raises:
            DivergenceError: the kernel is wrong; says how.
        """


@dataclass(frozen=True)
class CaseSoaker:
    """Guest cases, one a round: the seed picks which.

    A case finds its seed in ``VTEST_SEED`` and ``env`` beside it, and prints what it
    counted as ``# @count NAME N``. ``patience`` multiplies its time limit, for an ``env``
    that has it do more than in the suite.
    """

    cases: tuple[str, ...]
    env: Mapping[str, str]
    patience: float = 1.0

    def round(self, context: SoakContext, seed: int) -> Figures:
        """See :class:`Soaker`."""
        wanted = self.cases[seed % len(self.cases)]
        case = next((c for c in context.suite.cases if str(c.id) == wanted), None)
        if case is None:
            raise InternalError(f"there is no case {wanted} to soak in")
        case = replace(case, timeout=case.timeout * self.patience)
        record = context.runner.run(
            case, context.events.emit, {**self.env, SEED_VARIABLE: str(seed)}
        )
        if record.status in ("skip", "not_applicable"):
            raise InvocationError(f"{wanted} cannot run on this kernel: {record.reason}")
        if record.status != "pass":
            raise DivergenceError("\n".join((f"{wanted}: {record.reason}", *record.diagnostics)))
        counts = [match for match in map(_COUNT.match, record.diagnostics) if match]
        return {match["name"]: int(match["count"]) for match in counts}


def load_soakers(folder: Path) -> dict[str, Soaker]:
    """``SOAKERS`` of ``folder/soakers.py``; none where the file is not there.

    Raises:
        InternalError: it has no such dictionary.
    """
    module = load_plugin(folder, "soakers")
    soakers = getattr(module, "SOAKERS", None) if module else {}
    if not isinstance(soakers, dict):
        raise InternalError(f"soakers.py of {folder} has no dictionary SOAKERS")
    return soakers
