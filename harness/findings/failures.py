# SPDX-License-Identifier: GPL-2.0-only
"""The failures of a run, as its results.json has them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.core.command_table import command
from harness.core.errors import InvocationError
from harness.core.settings import Settings
from harness.report.records import CaseRecord, RunDocument
from harness.run.session import RunResult, read_results

_COUNTED = re.compile(r": (\d+) of (\d+) runs$")  # of a race


@dataclass(frozen=True)
class Failure:
    """One failure of a run: a broken case, or what the kernel said (in ``test``, if in any)."""

    id: str
    title: str
    test: CaseRecord | None
    splat: str
    seen: int
    runs: int


def failures(run: RunDocument) -> list[Failure]:
    """All failures of a run, each id once."""
    by_test = {test["id"]: test for test in run["tests"]}
    again = {repeat["id"]: repeat for repeat in run["repeats"]}
    found: dict[str, Failure] = {}
    for test in run["tests"]:
        if name := test.get("finding"):
            repeat, counted = again.get(test["id"]), _COUNTED.search(test["reason"])
            seen = 1 + (repeat["runs"] - repeat["passed"] if repeat else 0)
            runs = 1 + (repeat["runs"] if repeat else 0)
            if counted:
                seen, runs = int(counted[1]), int(counted[2])
            title = f"{test['id']}: {test['reason']}"
            found.setdefault(name, Failure(name, title, test, "", seen, runs))
    for splat in run["splats"]:
        if name := splat.get("finding"):
            test_of = by_test.get(splat["test"])
            found.setdefault(name, Failure(name, splat["title"], test_of, splat["title"], 1, 1))
    return list(found.values())


def choose_failure(
    runs: Sequence[RunResult], wanted: str | None, then: str = "finding"
) -> tuple[RunResult, Failure]:
    """The failure whose id begins with ``wanted``, of the latest run that has it.

    ``then``: the command that is told to name it.

    Raises InvocationError: none does, or several of one run; what there is, is listed.
    """
    for run in reversed(runs):
        known = failures(run.document)
        matching = [f for f in known if f.id.startswith(wanted)] if wanted else []
        if len(matching) == 1:
            return run, matching[0]
        if known and (matching or not wanted):
            listed = "\n".join(f"{f.id}  {f.title}" for f in matching or known)
            step = command(then, ID=(matching or known)[0].id)
            raise InvocationError(
                f"ID= is to name one of\n{listed}", evidence=run.out, next_step=step
            )
    what = f"no run has a failure with the id {wanted}" if wanted else "no run has a failure"
    raise InvocationError(what, next_step="FROM=out/RUN says where; results.json has the ids")


def runs_of(settings: Settings) -> list[RunResult]:
    """The runs that may have it: FROM='s, or all of OUT=."""
    given = settings.claim
    if given is None:
        return read_results(settings.out.glob("*/results.json"))
    path = given / "results.json" if given.is_dir() else given
    if not path.is_file():
        raise InvocationError(f"FROM={given} is no run's folder and no results.json")
    return read_results([path.resolve()])
