# SPDX-License-Identifier: GPL-2.0-only
"""Which guest cases are run: pytest's ``-k`` expression, a list of ids; and their run."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from _pytest.mark import KeywordMatcher
from _pytest.mark.expression import Expression

from harness.cases.pool import run_shared
from harness.cases.runner import CaseRunner
from harness.core import events as ev
from harness.core.command_table import command
from harness.core.errors import HarnessError, InternalError, InvocationError
from harness.image.programs import Case


def select_cases(cases: Sequence[Case], expression: str) -> list[Case]:
    """Those that ``expression`` (pytest's -k) selects, in their order; all where it is empty.

    Raises:
        InvocationError: the expression is malformed.
    """
    if not expression.strip():
        return list(cases)

    def names(case: Case) -> frozenset[str]:
        """Clauses too, so TESTS=V-SB-1 needs no knowledge of names."""
        source = case.program.source
        called = (case.name, source.parent.name, source.name, case.id.program or "")
        return frozenset((*called, *case.clauses))

    try:
        wanted = Expression.compile(expression)
        return [case for case in cases if wanted.evaluate(KeywordMatcher(names(case)))]
    except (SyntaxError, pytest.UsageError) as error:
        raise InvocationError(
            f"TESTS={expression!r} is no pytest -k expression: {error}",
            next_step="for example TESTS='sigbus and not exec'",
        ) from error


def run_cases(
    cases: Sequence[Case],
    runners: Sequence[CaseRunner],
    emit: ev.Consumer,
    expression: str,
    only: Sequence[str] = (),
    most: int | None = None,
    *,
    in_order: bool = False,
) -> None:
    """Runs those of the cases that ``expression`` selects; ``emit`` hears of them all.

    Args:
        only: ids of the only cases to select, where there are any.
        most: after so many that broke no other is begun; None: all are run.
        in_order: they are begun as they stand here, not long ones first.

    Raises:
        InvocationError: the expression is malformed or selects nothing.
    """
    selected = select_cases(cases, expression)
    chosen = [case for case in selected if not only or str(case.id) in only]
    if not chosen:
        raise InvocationError(
            f"TESTS={expression!r} selects none of {len(cases)} cases",
            next_step=f"{command('list-tests')} prints their names",
        )
    try:
        ran = run_shared(chosen, runners, emit, most, in_order=in_order)
    except HarnessError:
        raise
    except Exception as error:
        raise InternalError(f"running cases failed: {error!r}") from error
    if left := len(chosen) - ran:
        emit(ev.Note(f"MAXFAIL={most}: {left} of {len(chosen)} cases have not been run", "warning"))
