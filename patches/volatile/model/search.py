# SPDX-License-Identifier: GPL-2.0-only
"""Drawing programs by Hypothesis in batches, and shrinking one that diverged.

Hypothesis runs one example after the other, and a guest is quick only with many at once.
So each batch is drawn twice if need be. The first time nothing is run: the examples are
collected, and go to the guest in one request. If one of them diverged, the same seed
draws the same examples again, and now those that are known to be right pass at once and
the one that diverged fails: from there on it is Hypothesis that shrinks, with one request
an attempt. Attempts run in copies, for whether reclaim takes a page is chance.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .generate import Raw, build, strategy
from .looks import DivergedError
from .steps import End, Op, Outcome, Program
from .world import World, check

COPIES = 3

Run = Callable[[Sequence[Program]], list[Outcome]]


@dataclass(frozen=True)
class Divergence:
    """``program`` parts from the contract at its last step; ``error`` says how."""

    program: Program
    error: str
    how: DivergedError | None  # None where a process of the program died or got stuck


def judge(program: Program, outcome: Outcome) -> tuple[World, Divergence | None]:
    """Follows a program, and cuts it off where it diverged."""
    world, agreed, how = check(program, outcome.records)
    if how is not None:
        return world, Divergence(program[: agreed + 1], str(how), how)
    if outcome.end is not End.OK:
        return world, Divergence(
            program[: agreed + 1], f"a process {outcome.end.name.lower()}", None
        )
    return world, None


def valid(program: Program) -> bool:
    """Whether each step belongs to a process that is there then."""
    parents = {0: -1}
    for step in program:
        if step.who not in parents:
            return False
        if step.op is Op.FORK:
            if step.to in parents:
                return False
            parents[step.to] = step.who
        if step.op is Op.EXIT:
            if parents.get(step.to) != step.who or step.to in parents.values():
                return False
            del parents[step.to]
    return True


def _with_hypothesis(
    seed: int, count: int, test: Callable[[Program], None], *, shrink: bool
) -> None:
    import hypothesis
    from hypothesis import HealthCheck, Phase, Verbosity

    from .uniform import register

    phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        phases=phases,
        backend=register(),
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
        verbosity=Verbosity.quiet,
    )
    @hypothesis.given(strategy())
    def one(drawn: tuple[int, list[Raw]]) -> None:
        test(build(*drawn))

    one()


def draw(seed: int, count: int) -> list[Program]:
    """``count`` programs or a few less, always the same for a seed."""
    drawn: list[Program] = []
    _with_hypothesis(seed, count, drawn.append, shrink=False)
    return drawn


class _WrongError(Exception):
    """Tells Hypothesis that an example failed."""


class Shrinker:
    """Makes a program that diverged smaller while it still does.

    ``seconds``: after which what is found so far has to do. What ``run`` raises ends it,
    and is raised again: to Hypothesis it would be one more failing example.
    """

    def __init__(self, run: Run, seconds: float) -> None:
        self._run = run
        self._deadline = time.monotonic() + seconds
        self._trouble: Exception | None = None
        self.best: Divergence | None = None
        self.attempts = 0

    def _try(self, programs: Sequence[Program]) -> Divergence | None:
        """The first of these that diverges, of which each is run COPIES times."""
        if self._trouble or time.monotonic() > self._deadline:
            return None
        copies = [program for program in programs for _ in range(COPIES)]
        self.attempts += len(programs)
        try:
            outcomes = self._run(copies)
        except Exception as error:
            self._trouble = error
            return None
        for program, outcome in zip(copies, outcomes, strict=True):
            found = judge(program, outcome)[1]
            if found is not None:
                return found
        return None

    def _keep(self, found: Divergence) -> None:
        if self.best is None or _size(found.program) <= _size(self.best.program):
            self.best = found

    def shrink(
        self, seed: int, count: int, first: Divergence, good: frozenset[Program]
    ) -> Divergence:
        """The smallest that is found, beginning with ``first``.

        Args:
            seed, count: those that it was drawn with.
            good: programs of that drawing that did not diverge.
        """
        self.best = None

        def test(program: Program) -> None:
            if program in good:
                return
            found = self._try([program])
            if found is not None:
                self._keep(found)
                raise _WrongError

        try:
            _with_hypothesis(seed, count, test, shrink=True)
        except Exception as error:  # ours, or Hypothesis on one that fails at times only
            if not isinstance(error, _WrongError) and not type(error).__module__.startswith(
                "hypothesis"
            ):
                raise
        self._keep(self.best or first)
        self._leave_out()
        if self._trouble is not None:
            raise self._trouble
        assert self.best is not None
        return self.best

    def _leave_out(self) -> None:
        """Steps without which it diverges all the same: Hypothesis does not know of each."""
        while self.best is not None:
            program = self.best.program
            shorter = [(*program[:at], *program[at + 1 :]) for at in range(len(program) - 1)]
            found = self._try([one for one in shorter if valid(one)])
            if found is None:
                return
            self.best = found


def _size(program: Program) -> tuple[int, int]:
    numbers = sum(s.page + s.count + s.to + s.more + s.who for s in program)
    return len(program), numbers
