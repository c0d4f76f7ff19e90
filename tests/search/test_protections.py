# SPDX-License-Identifier: GPL-2.0-only
"""Which mutants lack a protection, and what is said of each."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from harness.mutants.mutant import Edit, Mutant
from harness.mutants.verdict import MutantVerdict
from harness.races.claimed_points import ENDS
from harness.races.scenario import Point, parse_place
from harness.search.program_search import FoundOrder
from harness.search.protections import (
    Protection,
    ProtectionSearch,
    document,
    mutant_patch,
    protection_of,
    summary,
    table,
)

SOURCE = "int f(void)\n{\n\tflush_tlb_batched_pending(mm);\n\treturn 0;\n}\n"
CALL = "flush_tlb_batched_pending(mm);"


def mutant(operator: str = "flush-dropped", text: str = CALL, number: int = 1) -> Mutant:
    start = SOURCE.index(CALL)
    edit = Edit(start, start + len(CALL), "{ }", "statement")
    return Mutant(number, operator, "mm/x.c", 3, "f", 3, (edit,), f"\t{text}", "\t{ }")


@pytest.mark.parametrize(
    ("operator", "text", "kind"),
    [
        ("flush-dropped", CALL, "flush"),
        ("lock-dropped", "spin_lock(ptl);", "lock"),
        ("barrier-dropped", "smp_wmb();", "barrier"),
        ("once-dropped", "f = READ_ONCE(vma->vm_flags);", "READ_ONCE or WRITE_ONCE"),
        ("condition-true", "if (likely(pte_same(*vmf->pte, vmf->orig_pte)))", "re-test"),
        ("condition-false", "if (READ_ONCE(vma->vm_flags) & VM_LOCKED)", "re-test"),
        ("condition-false", "if (!(vm_flags & VM_VOLATILE))", "re-test"),
        ("condition-false", "if (vma->vm_flags & VM_VOLATILE)", None),
        ("condition-negated", "if (pte_same(a, b))", None),
        ("call-dropped", "f();", None),
    ],
)
def test_what_keeps_threads_apart(operator: str, text: str, kind: str | None) -> None:
    assert protection_of(mutant(operator, text)) == kind


def test_the_patch_is_one_that_git_applies(tmp_path: Path) -> None:
    (tmp_path / "mm").mkdir()
    (tmp_path / "mm" / "x.c").write_text(SOURCE)
    patch = mutant_patch(SOURCE.encode(), mutant())
    assert patch.startswith("From: ") and "Subject: [PATCH] variant: f() without a flush" in patch
    subprocess.run(["git", "apply", "-"], cwd=tmp_path, input=patch.encode(), check=True)
    assert (tmp_path / "mm" / "x.c").read_text() == SOURCE.replace(CALL, "{ }")


def found() -> FoundOrder:
    points = (Point("A", parse_place("f()")), Point("B", ENDS))
    return FoundOrder(points, 5, 5, 3, 12.0, "bad")


def every() -> list[Protection]:
    killed = MutantVerdict("killed", "x failed", "check", "tlb.c::flush")
    survived = MutantVerdict("survived", "")
    return [
        Protection(mutant(number=1), killed),
        Protection(
            mutant(number=2), survived, ProtectionSearch(["stale-tlb"], 3, 12.0, found()),
            Path("f.c"),
        ),
        Protection(mutant(number=3), survived, ProtectionSearch(["stale-tlb"], 70, 180.0)),
        Protection(mutant(number=4), MutantVerdict("not reached", ""), ProtectionSearch()),
        Protection(mutant(number=5), MutantVerdict("equivalent", "the same code")),
        Protection(mutant(number=6), MutantVerdict("argued", "why")),
        Protection(mutant(number=7), MutantVerdict("lost", "no guest")),
        Protection(
            mutant(number=8), MutantVerdict("needs a schedule", "bad (3 of 3)", "race", "races::x")
        ),
        Protection(mutant(number=9), MutantVerdict("killed by the build", "unused variable")),
    ]  # fmt: skip


def test_the_answers_and_what_shows_them() -> None:
    assert [(one.answer, one.shown_by) for one in every()] == [
        ("needed, shown by a case", "tlb.c::flush"),
        ("needed, shown by an order", "A: f(); B: ends (5 of 5)"),
        ("not shown", "70 tries of stale-tlb"),
        ("not tried", "no program's threads come to its place"),
        ("no code of its own", "the same code"),
        ("argued", "why"),
        ("not tried", "no guest"),
        ("needed, shown by an order", "races::x"),
        ("not tried", "unused variable"),  # which says nothing about threads
    ]


def test_table_summary_and_document() -> None:
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(table(every()))
    shown = console.export_text()
    assert "mm/x.c:3 f" in shown and "needed, shown by an order" in shown and "{ }" in shown
    assert summary(every()).startswith("needed, shown: 3 of 7 that have code of their own (")
    rows = json.loads(json.dumps(list(map(document, every()))))
    assert rows[1]["scenario"] == "f.c" and rows[1]["patch"] == 4 and rows[2]["tries"] == 70
    assert len({one.name for one in every()}) == len(every())
    assert every()[1].name == "f-without-flush-3-2"
