# SPDX-License-Identifier: GPL-2.0-only
"""What a person reads of a run of mutants."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import get_args

from rich.console import Console

from harness.mutants.mutant import Mutant, Outcome
from harness.mutants.report import MutantReport
from harness.mutants.verdict import MutantVerdict

SUBJECT = "MADV_VOLATILE: Add purged page detection on setting memory non-volatile, and more words"
ONE = Mutant(1, "barrier-or-once-dropped", "mm/volatile.c", 1, "f", 0, (), "a", "b")


def test_with_all_outcomes_each_row_of_the_table_is_one_line_of_120_columns() -> None:
    outcomes = get_args(Outcome)
    mutants = [replace(ONE, number=number) for number in range(1, len(outcomes) + 1)]
    verdicts = {m.number: MutantVerdict(o) for m, o in zip(mutants, outcomes, strict=True)}
    report = MutantReport([SUBJECT], len(mutants), mutants, verdicts)
    shown = io.StringIO()
    Console(file=shown, width=120).print(report.table())
    lines = [line for line in shown.getvalue().splitlines() if line.strip()]
    # The headings, the operator, the patch, all.
    assert len(lines) == 4 and max(map(len, lines)) <= 120, lines
    assert " build " in lines[0] and lines[0].rstrip().endswith("score, 95 %")
    assert lines[2].startswith("patch 1: ") and "\N{HORIZONTAL ELLIPSIS}" in lines[2]
    assert all(line.rstrip().endswith(")") for line in lines[1:])
