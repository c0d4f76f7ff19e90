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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

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

    Hypothesis begins, one attempt a request, and gets half of ``seconds``. Then steps are
    left out and numbers made smaller with many attempts a request, until nothing helps or
    all of ``seconds`` is over. What ``run`` raises ends it, and is raised again: to
    Hypothesis it would be one more failing example.
    """

    def __init__(self, run: Run, seconds: float) -> None:
        self._run = run
        self._seconds = seconds
        self._deadline = 0.0
        self._trouble: Exception | None = None
        self.best: Divergence | None = None
        self.attempts = 0

    def _try(self, programs: Sequence[Program]) -> Divergence | None:
        """The first of these that diverges; those that chance has a part in run COPIES times."""
        if self._trouble or not programs or time.monotonic() > self._deadline:
            return None
        copies = [program for program in programs for _ in range(_copies(program))]
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

    def shrink(
        self, seed: int, count: int, first: Divergence, good: frozenset[Program]
    ) -> Divergence:
        """The smallest that is found, beginning with ``first``.

        Args:
            seed, count: those that it was drawn with.
            good: programs of that drawing that did not diverge.
        """
        start = time.monotonic()
        self._deadline = start + self._seconds / 2
        self.best = first
        self._by_hypothesis(seed, count, good)
        self._deadline = start + self._seconds
        while self._one_of(without_steps) or self._one_of(with_smaller_numbers):
            pass
        if self._trouble is not None:
            raise self._trouble
        return self.best

    def _by_hypothesis(self, seed: int, count: int, good: frozenset[Program]) -> None:
        def test(program: Program) -> None:
            if program in good:
                return
            found = self._try([program])
            if found is not None:
                assert self.best is not None
                self.best = min(self.best, found, key=_size)
                raise _WrongError

        try:
            _with_hypothesis(seed, count, test, shrink=True)
        except Exception as error:  # ours, or Hypothesis on one that fails at times only
            ours = isinstance(error, _WrongError)
            if not ours and not type(error).__module__.startswith("hypothesis"):
                raise

    def _one_of(self, smaller: Callable[[Program], Iterator[list[Program]]]) -> bool:
        """Takes the first of the smaller ones that diverges; False if none does."""
        assert self.best is not None
        for programs in smaller(self.best.program):
            found = self._try([one for one in programs if valid(one)])
            if found is not None:
                self.best = found
                return True
        return False


def without_steps(program: Program) -> Iterator[list[Program]]:
    """Shorter ones: without half of the steps before the last, without a quarter, ... one."""
    size = len(program) // 2
    while size:
        cuts = range(0, len(program) - size, max(1, size // 2))
        yield [(*program[:at], *program[at + size :]) for at in cuts]
        size //= 2


_PLAIN = (Op.READ, Op.WRITE, Op.MARK, Op.UNMARK, Op.PAGEOUT, Op.DONTNEED, Op.MMAP, Op.MPROTECT)


def with_smaller_numbers(program: Program) -> Iterator[list[Program]]:
    """The same steps on fewer pages, and nearer to page 0."""
    counts: list[Program] = []
    for at, step in enumerate(program):
        if step.op in _PLAIN and step.count > 1:
            for less in sorted({1, step.count // 2, step.count - 1}):
                end = replace(step, page=step.page + step.count - less, count=less)
                for new in (replace(step, count=less), end):
                    counts.append((*program[:at], new, *program[at + 1 :]))
    yield counts
    used = [step.page for step in program if step.count and step.op is not Op.RECLAIM]
    lowest = min(used, default=0)
    if lowest and all(step.op is not Op.MOVE for step in program):
        yield [
            tuple(
                replace(step, page=step.page - less) if step.page >= less else step
                for step in program
            )
            for less in sorted({lowest, 1}, reverse=True)
        ]


def _copies(program: Program) -> int:
    return COPIES if any(step.op is Op.RECLAIM for step in program) else 1


def _size(found: Divergence) -> tuple[int, int]:
    numbers = sum(s.page + s.count + s.to + s.more + s.who for s in found.program)
    return len(found.program), numbers
