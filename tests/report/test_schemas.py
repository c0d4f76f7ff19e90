# SPDX-License-Identifier: GPL-2.0-only
"""results.json and revision.json are what their schemas say, and the schemas are strict."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from harness.commands.revision.inputs import Inputs
from harness.commands.revision.verdict import Revision, RevisionRuns, conclude
from harness.commands.static_checks import OpenRemarks
from harness.core import events as ev
from harness.core.errors import SeriesError
from harness.core.jsondata import read_json, write_json
from harness.core.settings import PROJECT, from_environment
from harness.report.results import Results, document
from harness.run.session import Session, run_session
from harness.series import contract
from harness.series.patches import Patch
from tests.commands.revision.test_mutants import WEAK
from tests.commands.revision.test_verdict_of_flaky_cases import document as made_up


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((PROJECT / "harness" / name).read_text())
    jsonschema.Draft202012Validator.check_schema(found)
    return found


RESULTS, REVISION = (
    schema("report/results.schema.json"),
    schema("commands/revision/revision.schema.json"),
)


def everything(verdict: ev.Verdict = "fail") -> Results:
    """A run in which all happened that a run can tell of."""
    results = Results()
    splat = ev.SplatSeen("WARNING in f", "warning", ev.CaseId.parse("a.c::b"), "text")
    for event in (
        ev.RunStarted("r", "/out/r", "test-kernel", {"KERNEL": "6.1"}),
        ev.BaseKnown("6.1.192", "6.1", "c0ffee"),
        ev.SeriesKnown("here", (ev.PatchInfo("s", "id"),), 4),
        ev.ConfigKnown("default", "f00"),
        ev.StageFinished("build", 1.0, False, "891 objects"),
        ev.StageFailed("boot", 1.0, "series", "no init"),
        ev.AccelChosen("tcg", "no KVM"),
        ev.GuestBooted("id", 1.5, "microvm", True),
        ev.PaceMeasured(0.2, 0.1, 2.0),
        ev.CaseStarted(ev.CaseId.parse("a.c::b"), ("V-IF-1",)),
        ev.CaseFinished(
            ev.CaseId.parse("a.c::b"), "fail", "so", 0.5, ("V-IF-1",), diagnostics=("x",)
        ),
        ev.CaseRepeated(ev.CaseId.parse("a.c::b"), 2, 5),
        splat,
        ev.SplatSeen("INFO", "info", None, "text", foreign="not ours"),
        ev.SplatDecoded(splat.id, "text with lines", "how"),
        ev.SplatBlamed(splat.id, 1, "s", "mm/mincore.c:213"),
        ev.GuestLost("died", ev.CaseId.parse("a.c::b"), ""),
        ev.CanaryFinished("oops", "oops", "oops", True, 1.0),
        ev.Note("hello"),
        ev.ChangeKnown((ev.TouchedFile("mm/mincore.c", "code", True, "mm/mincore.o"),)),
        ev.ChangeCoverage(1, 2, 7, 9, ("mm/mincore.c:213 mincore_page",)),
        ev.RunFinished(verdict, 1, 9.0, ("it ended",)),
    ):
        results(event)
    return results


def test_a_run_in_which_all_happened() -> None:
    data = contract.load(PROJECT / "patches" / "volatile")
    found = json.loads(json.dumps(document(everything("untested"), data), default=vars))
    jsonschema.validate(found, RESULTS)
    # Every list and every optional part was really looked at.
    assert all(found[key] for key, value in found.items() if isinstance(value, (list, dict)))


@pytest.mark.parametrize("ended", ["well", "series", "never"])
def test_what_a_session_leaves(tmp_path: Path, ended: str) -> None:
    settings = from_environment({"HARNESS_CACHE": str(tmp_path / "c"), "OUT": str(tmp_path)})

    def body(session: Session) -> None:
        if ended == "series":
            raise SeriesError("patch 1 does not apply", next_step="mend it")
        if ended == "never":
            raise ZeroDivisionError

    if ended == "never":
        with pytest.raises(ZeroDivisionError):
            run_session(settings, "test-kernel", body)
    else:
        run_session(settings, "test-kernel", body)
    jsonschema.validate(json.loads((tmp_path / "latest" / "results.json").read_text()), RESULTS)


def test_a_revision_in_which_all_happened(tmp_path: Path) -> None:
    clauses = {"A-1": {"verdict": "pass"}}
    inputs = Inputs(
        "b", "w", "", "s", "p", (Patch("one", b"", "id", (), "m@x", "c0"),), "1: a", "c@x"
    )
    statics: OpenRemarks = {1: {"sparse": ("x",)}}
    bad = made_up("fail", (2, 5), clauses={"A-1": {"verdict": "fail"}})
    runs = RevisionRuns((made_up(clauses=clauses), bad), made_up(clauses=clauses), {}, statics)
    runs.mutants, runs.score = WEAK, 80
    path = tmp_path / "revision.json"
    write_json(path, conclude(inputs, runs))
    assert read_json(Revision, path) == conclude(inputs, runs)
    found = json.loads(path.read_text())
    jsonschema.validate(found, REVISION)
    (step,) = found["steps"][1:]
    assert step["flaky"] and step["changes"] and step["statics"] and found["previous"]


def objects(part: Any) -> Iterator[dict[str, Any]]:
    """Every schema of an object with named members."""
    if isinstance(part, dict):
        if "properties" in part and isinstance(part["properties"], dict):
            yield part
        for value in part.values():
            yield from objects(value)
    elif isinstance(part, list):
        for value in part:
            yield from objects(value)


@pytest.mark.parametrize("whole", [RESULTS, REVISION])
def test_what_a_schema_does_not_name_is_refused(whole: dict[str, Any]) -> None:
    found = list(objects(whole))
    assert len(found) > 3
    assert all(part["additionalProperties"] is False for part in found)
    optional = [set(part["properties"]) - set(part["required"]) for part in found]
    assert {name for names in optional for name in names} <= {"failed", "finding"}
    good = json.loads(json.dumps(document(everything(), None), default=vars))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**good, "new": 1}, RESULTS)


def test_the_documents_name_every_key_of_the_results() -> None:
    text = (PROJECT / "docs" / "results.md").read_text()
    assert all(f"`{name}`" in text for name in RESULTS["properties"])
    text = (PROJECT / "docs" / "revision.md").read_text()
    assert all(f"`{name}`" in text for name in REVISION["properties"])
    step = REVISION["properties"]["steps"]["items"]["properties"]
    assert all(f"`{name}`" in text or f"`steps[].{name}`" in text for name in step)
