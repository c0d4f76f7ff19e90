# SPDX-License-Identifier: GPL-2.0-only
"""Which cases of a suite run: pytest's ``-k`` expressions, shards, ids that were named."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import pytest
from _pytest.mark import KeywordMatcher
from _pytest.mark.expression import Expression

from harness.cases.pool import GuestPool
from harness.core import events as ev
from harness.core.errors import InvocationError
from harness.core.shards import WHOLE, Shard
from harness.core.usage import command
from harness.image.programs import Case


def select(cases: Sequence[Case], expression: str, folder: Path) -> list[Case]:
    """The cases that ``expression`` (pytest's -k; '' for all) selects, those of a file together.

    It finds the names of cases, their programs and the folders of those below ``folder``,
    and clauses, so that TESTS=V-SB-1 needs no knowledge of names.

    Raises:
        InvocationError: the expression is malformed.
    """
    paths = {case: case.program.source.relative_to(folder.parent).parts for case in cases}
    cases = sorted(cases, key=paths.__getitem__)
    if not expression.strip():
        return cases
    try:
        wanted = Expression.compile(expression)
        return [
            case
            for case in cases
            if wanted.evaluate(KeywordMatcher({*paths[case], case.name, *case.clauses}))
        ]
    except (SyntaxError, pytest.UsageError) as error:
        raise InvocationError(
            f"TESTS={expression!r} is no pytest -k expression: {error}",
            next_step="for example TESTS='sigbus and not exec'",
        ) from error


def run_cases(
    cases: Sequence[Case],
    pool: GuestPool,
    expression: str,
    folder: Path,
    *,
    shard: Shard = WHOLE,
    only: Collection[str] = (),
    on_chosen: Callable[[ev.CasesChosen], None] = lambda _: None,
) -> None:
    """Runs what ``expression`` selects of ``shard``, which may be none; records are events.

    Args:
        only: ids of the cases that may run; none for all.
        on_chosen: hears of the selection before any case runs.

    Raises:
        InvocationError: the expression is malformed or selects nothing.
        HarnessError: whatever kept the guests from going on.
    """
    chosen = [c for c in select(cases, expression, folder) if not only or str(c.id) in only]
    on_chosen(ev.CasesChosen(shard.number, shard.of, tuple(case.id for case in chosen)))
    if not chosen:
        raise InvocationError(
            f"TESTS={expression!r} selects none of {len(cases)} cases",
            next_step=f"{command('list-tests')} prints their names",
        )
    try:
        chosen = [case for case in chosen if shard.holds(str(case.id))]
        pool.begin(chosen)
        for case in chosen:
            pool.run(case)
    finally:
        pool.stop()
