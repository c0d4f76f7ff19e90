# SPDX-License-Identifier: GPL-2.0-only
"""Guest cases as pytest items: stable ids, ``-k`` expressions, one item a case."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.cases.pool import GuestPool
from harness.core import events as ev
from harness.core.errors import HarnessError, InternalError, InvocationError
from harness.core.settings import WHOLE, Shard
from harness.core.usage import command
from harness.image.programs import Case
from harness.report.results import BROKEN


@dataclass(frozen=True)
class Part:
    """What of a selection is run: one shard, and no cases but ``only``, where that says any.

    ``on_chosen`` hears of the selection before any case runs.
    """

    shard: Shard = WHOLE
    only: tuple[str, ...] = ()
    on_chosen: Callable[[ev.CasesChosen], None] = lambda _: None


EVERYTHING = Part()


class GuestItem(pytest.Item):
    """One case of one guest program."""

    case: Case
    pool: GuestPool

    def runtest(self) -> None:
        """Runs the case in a guest (pytest's hook).

        Raises:
            GuestCaseError: it is broken.
        """
        record = self.pool.run(self.case)
        if record.status in BROKEN:
            raise GuestCaseError(record)
        if record.status in ("skip", "not_applicable"):
            pytest.skip(record.reason)


class GuestCaseError(Exception):
    """Tells pytest that a case failed; its record is already an event."""

    def __init__(self, record: ev.CaseFinished) -> None:
        super().__init__(f"{record.id}: {record.reason}")


class GuestProgramFile(pytest.File):
    """A guest program's source file as pytest sees it."""

    cases: Sequence[Case]
    pool: GuestPool

    def collect(self) -> Iterator[GuestItem]:
        """An item a case of this program (pytest's hook)."""
        for case in self.cases:
            item: GuestItem = GuestItem.from_parent(self, name=case.name)
            item.case, item.pool = case, self.pool
            # -k also finds clauses, so TESTS=V-SB-1 needs no knowledge of names.
            item.extra_keyword_matches.update(case.clauses)
            yield item


class _Plugin:
    """Offers the files of one suite to pytest and keeps what went wrong in ours."""

    def __init__(self, cases: Sequence[Case], pool: GuestPool, part: Part) -> None:
        self.pool = pool
        self.part = part
        self.selected: tuple[ev.CaseId, ...] = ()
        self.by_source: dict[Path, list[Case]] = {}
        for case in cases:
            self.by_source.setdefault(case.program.source, []).append(case)
        self.trouble: BaseException | None = None

    def pytest_collect_file(
        self, file_path: Path, parent: pytest.Collector
    ) -> GuestProgramFile | None:
        cases = self.by_source.get(file_path)
        if cases is None:
            return None
        node: GuestProgramFile = GuestProgramFile.from_parent(parent, path=file_path)
        node.cases, node.pool = cases, self.pool
        return node

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """After -k: this run's shard of what is selected."""
        chosen = [
            item
            for item in items
            if isinstance(item, GuestItem)
            and (not self.part.only or str(item.case.id) in self.part.only)
        ]
        self.selected = tuple(item.case.id for item in chosen)
        shard = self.part.shard
        self.part.on_chosen(ev.CasesChosen(shard.number, shard.of, self.selected))
        items[:] = [item for item in chosen if shard.holds(str(item.case.id))]

    @pytest.hookimpl
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """What is selected, in order: the guests may begin."""
        self.pool.begin([item.case for item in session.items if isinstance(item, GuestItem)])

    @pytest.hookimpl
    def pytest_exception_interact(self, node: pytest.Item, call: pytest.CallInfo[object]) -> None:
        """A failing case is a record; anything else ends the run as what it is."""
        if call.excinfo is None or isinstance(call.excinfo.value, GuestCaseError):
            return
        self.trouble = call.excinfo.value
        node.session.shouldstop = "the harness cannot go on"


def run_cases(
    cases: Sequence[Case],
    pool: GuestPool,
    expression: str,
    folder: Path,
    part: Part = EVERYTHING,
) -> None:
    """Runs the cases of ``part`` that ``expression`` (pytest's -k) selects; records are events.

    A shard may be empty.

    Raises:
        InvocationError: the expression is malformed or selects nothing.
        HarnessError: whatever kept the guests from going on.
    """
    plugin = _Plugin(cases, pool, part)
    # -s: the screen is ours, pytest must not capture it.
    arguments = ["-s", "-p", "no:cacheprovider", "-p", "no:terminal", "-p", "no:python"]
    # Drivers may use Hypothesis (protocol.py); what it adds to pytest is for other tests.
    arguments += ["-p", "no:hypothesispytest"]
    # Nothing here is an assert of ours, and else Hypothesis is compiled anew each time: 2 s.
    arguments += ["--assert=plain"]
    arguments += ["-p", "no:faulthandler", "-p", "no:logging", "-p", "no:warnings"]
    arguments += ["-c", "/dev/null", "--rootdir", str(folder.parent), str(folder)]
    if expression:
        arguments += ["-k", expression]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            status = pytest.main(arguments, plugins=[plugin])
    finally:
        pool.stop()
    if isinstance(plugin.trouble, (HarnessError, KeyboardInterrupt)):
        raise plugin.trouble
    if plugin.trouble is not None:
        raise InternalError(f"running cases failed: {plugin.trouble!r}") from plugin.trouble
    if status == pytest.ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    if status == pytest.ExitCode.NO_TESTS_COLLECTED and plugin.selected:
        return  # none of them is in this shard
    if status == pytest.ExitCode.NO_TESTS_COLLECTED:
        raise InvocationError(
            f"TESTS={expression!r} selects none of {len(cases)} cases",
            next_step=f"{command('list-tests')} prints their names",
        )
    if status == pytest.ExitCode.USAGE_ERROR:
        raise InvocationError(
            f"TESTS={expression!r} is no pytest -k expression:\n{said.getvalue().strip()}",
            next_step="for example TESTS='sigbus and not exec'",
        )
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise InternalError(f"pytest ended with {status!r}: {said.getvalue().strip()[:500]}")
