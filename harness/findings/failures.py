# SPDX-License-Identifier: GPL-2.0-only
"""The failures of a run, as its results.json has them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.report.records import CaseRecord, RunDocument

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
