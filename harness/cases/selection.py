# SPDX-License-Identifier: GPL-2.0-only
"""Which guest cases are run: pytest's ``-k`` expression, a list of ids; and their run."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence

import pytest

from harness.cases.pool import run_shared
from harness.cases.runner import CaseRunner
from harness.core import events as ev
from harness.core.command_table import command
from harness.core.errors import HarnessError, InternalError, InvocationError
from harness.image.programs import Case
from harness.report.results import BROKEN


class _Item(pytest.Item):
    case: Case

    def runtest(self) -> None:
        raise NotImplementedError  # pytest only collects


class _Plugin:
    """Has pytest select from cases, instead of what it would collect itself."""

    def __init__(self, cases: Sequence[Case]) -> None:
        self.cases = cases
        self.selected: list[Case] = []

    def pytest_collection(self, session: pytest.Session) -> bool:
        items: list[pytest.Item] = []
        for case in self.cases:
            item: _Item = _Item.from_parent(session, name=case.name)
            item.case = case
            source = case.program.source
            # -k also finds clauses, so TESTS=V-SB-1 needs no knowledge of names.
            names = (source.parent.name, source.name, case.id.program or "")
            item.extra_keyword_matches.update((*names, *case.clauses))
            items.append(item)
        hook = session.config.hook.pytest_collection_modifyitems
        hook(session=session, config=session.config, items=items)
        self.selected = [item.case for item in items if isinstance(item, _Item)]
        return True


def select_cases(cases: Sequence[Case], expression: str) -> list[Case]:
    """Those that ``expression`` (pytest's -k) selects, in their order; all where it is empty.

    Raises:
        InvocationError: the expression is malformed.
    """
    if not expression.strip():
        return list(cases)
    plugin = _Plugin(cases)
    arguments = ["--collect-only", "--noconftest", "-s", "-c", "/dev/null", "--assert=plain"]
    # hypothesispytest, which comes with what drivers use, is for other tests.
    for name in ("cacheprovider", "terminal", "python", "hypothesispytest", "faulthandler",
                 "logging", "warnings"):  # fmt: skip
        arguments += ["-p", f"no:{name}"]
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        status = pytest.main([*arguments, "-k", expression], plugins=[plugin])
    if status == pytest.ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    if status == pytest.ExitCode.USAGE_ERROR:
        raise InvocationError(
            f"TESTS={expression!r} is no pytest -k expression:\n{said.getvalue().strip()}",
            next_step="for example TESTS='sigbus and not exec'",
        )
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise InternalError(f"pytest ended with {status!r}: {said.getvalue().strip()[:500]}")
    return plugin.selected


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
        HarnessError: whatever kept the guests from going on.
    """
    selected = select_cases(cases, expression)
    chosen = [case for case in selected if not only or str(case.id) in only]
    if not chosen:
        raise InvocationError(
            f"TESTS={expression!r} selects none of {len(cases)} cases",
            next_step=f"{command('list-tests')} prints their names",
        )
    broken = ran = 0

    def counted(event: ev.Event) -> None:
        nonlocal broken, ran
        if isinstance(event, ev.CaseFinished):
            ran += 1
            broken += event.status in BROKEN
        emit(event)

    try:
        run_shared(
            chosen,
            runners,
            counted,
            lambda: most is not None and broken >= most,
            in_order=in_order,
        )
    except HarnessError:
        raise
    except Exception as error:
        raise InternalError(f"running cases failed: {error!r}") from error
    if left := len(chosen) - ran:
        emit(ev.Note(f"MAXFAIL={most}: {left} of {len(chosen)} cases have not been run", "warning"))
