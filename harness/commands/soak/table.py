# SPDX-License-Identifier: GPL-2.0-only
"""What soaks have added up to, for the screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.markup import escape
from rich.table import Table

from harness.commands.soak.totals import Record


def figures_in_words(figures: Mapping[str, int]) -> str:
    """'1,234 cycles, 56 purges', in the order in which the rounds named them."""
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in figures.items())


def _cpus(record: Record) -> str:
    return ", ".join(f"{cpus}: {seconds / 60:.1f}" for cpus, seconds in record.cpus.items())


def table(records: Sequence[Record]) -> Table:
    """One row a kind, kernel and flavour, and below it what its rounds counted."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    names = ("kind", "kernel", "flavour", "minutes", "by CPUs", "rounds", "guests", "leak scans")
    for name in (*names, "failures", "figures"):
        shown.add_column(name)
    for record in records:
        identity, failed = record.identity, record.failures
        shown.add_row(
            identity.kind,
            record.version or identity.line,
            identity.flavour,
            f"{record.seconds / 60:.1f}",
            _cpus(record),
            str(record.rounds),
            str(record.guests),
            str(record.leak_scans),
            f"[red]{len(failed)}[/]" if failed else "[green]0[/]",
            escape(figures_in_words(record.figures)),
        )
        for failure in failed:
            shown.add_row("", "", "", "", "", "", "", "", "", f"[red]{escape(failure.what)}[/]")
    return shown
