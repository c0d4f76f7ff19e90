# SPDX-License-Identifier: GPL-2.0-only
"""A results.json in which one field has another name is said to be damaged, wherever it stands."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.core import events as ev
from harness.core.errors import InvocationError
from harness.report.results import Results, document
from harness.run.session import read_results

# Records whose keys are no names of fields: variables, and ids of clauses.
BY_NAME = ("asked", "clauses")


def whole() -> Any:
    """A document with one record of each kind."""
    case = ev.CaseId.parse("p.c::a")
    events = [
        ev.RunStarted("r1", "out", "test-kernel", {"KERNEL": "6.1"}),
        ev.StageFinished("tree", 1.0, True, "6.1"),
        ev.BaseKnown("6.1.1", "6.1", "c0ffee"),
        ev.SeriesKnown("s.mbox", (ev.PatchInfo("mm: one", "abc"),), 1),
        ev.ConfigKnown("default", "abc"),
        ev.GuestBooted("b1", 1.0, "microvm", False),
        ev.PaceMeasured(1.0, 1.0, 1.0),
        ev.CanaryFinished("warn", "WARNING", "WARNING", True, 0.1),
        ev.CaseFinished(case, "fail", "lost it", 0.1, ("V-IF-2",), ("p.c:3: is 1, not 2",)),
        ev.CaseRepeated(case, 1, 2),
        ev.GuestLost("it hung", case, None),
        ev.SplatSeen("WARNING in f", "warning", case, "WARNING: ...", False, None),
        ev.ChangeKnown((ev.TouchedFile("mm/a.c", "code", None, "removed"),)),
        ev.ChangeCoverage(1, 1, 2, 3, ("mm/a.c:7",)),
        ev.RunFinished("fail", 1, 3.0, ()),
    ]
    return json.loads(json.dumps(document(Results(list(events)), None), default=vars))


def fields(record: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The places of all fields below ``record``."""
    if isinstance(record, list):
        for number, value in enumerate(record):
            yield from fields(value, (*at, number))
    elif isinstance(record, dict):
        for name, value in record.items():
            if not at or at[-1] not in BY_NAME:
                yield (*at, name)
            yield from fields(value, (*at, name))


@pytest.mark.parametrize("place", list(fields(whole())), ids=lambda at: ".".join(map(str, at)))
def test_a_field_of_another_name_is_a_damaged_file(
    place: tuple[str | int, ...], tmp_path: Path
) -> None:
    changed = copy.deepcopy(whole())
    record = changed
    for step in place[:-1]:
        record = record[step]
    record["other"] = record.pop(place[-1])
    (tmp_path / "results.json").write_text(json.dumps(changed))
    if place == ("schema",):  # then it is no document of ours at all
        assert not read_results([tmp_path / "results.json"])
        return
    with pytest.raises(InvocationError, match="damaged"):
        read_results([tmp_path / "results.json"])


def test_the_whole_one_is_read(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(json.dumps(whole()))
    (result,) = read_results([tmp_path / "results.json"])
    assert json.loads(json.dumps(result.document, default=vars)) == whole()
