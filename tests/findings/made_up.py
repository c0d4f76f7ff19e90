# SPDX-License-Identifier: GPL-2.0-only
"""Findings that nobody has found."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from harness.findings.finding import Finding, Origin, Schedule
from harness.report.identity import case_finding

TEST, CLAUSES = "volatile/a.c::it", ("V-IF-1",)
REASON = "volatile/a.c:17: found 0x1f after 2 tries"
FAILS = "KTAP version 1\n1..1\n# {}\nnot ok 1 it\n"


def finding(**changed: Any) -> Finding:
    """A broken case; ``changed``: fields."""
    origin = Origin(
        base="6.1", tree="7ree", version="6.1.192", config="default", config_sha256="5ha",
        patches=("0001-first.patch",), variant="variant.patch", run="r", command="test-kernel",
        asked={"KERNEL": "6.1", "CPUS": "2"},
    )  # fmt: skip
    made = Finding(
        id=case_finding(TEST, REASON, CLAUSES), mode="case", title=f"{TEST}: {REASON}", test=TEST,
        case="it", clauses=CLAUSES, splat="", argv=("qemu-system-x86_64",), timeout_s=5.0,
        swap_mb=1, search_swap=False, oom_expected=False, ignored=(), pace_reference_s=0.1,
        seen=1, runs=2, origin=origin,
    )  # fmt: skip
    return replace(made, **changed)


def plain(made: Finding) -> dict[str, Any]:
    """As JSON has it."""
    record = asdict(made)
    assert isinstance(made.schedule, Schedule | None)
    return record


def sources(folder: Path) -> None:
    """What a finding is built from, in the folder of its file."""
    (folder / "patches").mkdir(parents=True)
    (folder / "patches" / "0001-first.patch").write_text("first")
    (folder / "variant.patch").write_text("variant")
    (folder / "kernel.config").write_text("CONFIG_X=y\n")
    (folder / "source").mkdir()
    (folder / "source" / "a.c").write_text("int main;")
