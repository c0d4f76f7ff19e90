# SPDX-License-Identifier: GPL-2.0-only
"""What came of all mutants: tables, the score, the survivors as diffs, and ``mutants.json``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import get_args

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from harness.core.errors import HarnessError, MachineError, SeriesError
from harness.core.rates import wilson
from harness.core.settings import Settings
from harness.core.words import counted
from harness.mutants.judge import place_of
from harness.mutants.mutant import Mutant, Outcome
from harness.mutants.reach import ReachRecord
from harness.mutants.verdict import MutantVerdict
from harness.report.mutants import FILE, SCHEMA, MutantRecord, MutantsDocument

KILLED: tuple[Outcome, ...] = ("killed", "killed by the build")
# Nothing has noticed these, and something should: the tests have a hole there.
ALIVE: tuple[Outcome, ...] = ("survived", "not reached")
SHOWN = 20  # survivors as diffs
CASES_SHOWN = 3  # of those that reach a survivor
STYLE = {"survived": "red", "not reached": "yellow", "lost": "yellow"}
# Of columns, where the outcome is too long.
HEADINGS = {"killed by the build": "build", "needs a schedule": "schedule"}


@dataclass(frozen=True)
class Score:
    """``killed`` of ``judged`` mutants, with the 95 % interval of the share."""

    killed: int
    judged: int

    @property
    def interval(self) -> tuple[float, float]:
        """Of the share of all such mutants, by Wilson."""
        return wilson(self.killed, self.judged)

    def __str__(self) -> str:
        if not self.judged:
            return "-"
        low, high = (round(100 * bound) for bound in self.interval)
        return f"{100 * self.killed / self.judged:.0f} % ({low}-{high})"


def score_of(outcomes: Mapping[Outcome, int]) -> Score:
    """The share of the mutants that anything could notice which something has noticed."""
    killed = sum(outcomes.get(outcome, 0) for outcome in KILLED)
    return Score(killed, killed + sum(outcomes.get(outcome, 0) for outcome in ALIVE))


@dataclass
class MutantReport:
    """All that is known of a run's mutants, whenever it ends.

    Args:
        subjects: of the patches.
        found: how many there are, of which ``mutants`` were chosen.
        reach: which cases pass whose line, and which could not judge.
        outlived: arguments of mutants.yaml that are about no mutant any more.
        about: id of a case -> what it checks.
        seconds: of the whole run so far.
    """

    subjects: Sequence[str]
    found: int = 0
    mutants: Sequence[Mutant] = ()
    verdicts: dict[int, MutantVerdict] = field(default_factory=dict)
    reach: ReachRecord = field(default_factory=ReachRecord)
    outlived: Sequence[str] = ()
    about: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def outcomes(self, of: Callable[[Mutant], bool] = lambda mutant: True) -> Counter[Outcome]:
        """How many of the judged mutants ``of`` which this holds have each outcome."""
        chosen = (self.verdicts.get(mutant.number) for mutant in self.mutants if of(mutant))
        return Counter(verdict.outcome for verdict in chosen if verdict is not None)

    def having(self, *outcomes: Outcome) -> list[Mutant]:
        """The mutants with one of these outcomes."""
        known = self.verdicts
        return [
            m for m in self.mutants if m.number in known and known[m.number].outcome in outcomes
        ]

    @property
    def guest_seconds(self) -> list[float]:
        """What each mutant that a guest has judged took there."""
        return [verdict.seconds for verdict in self.verdicts.values() if verdict.seconds]

    def table(self) -> Table:
        """A row an operator and a patch, with the outcomes, and one for all."""
        used = [o for o in get_args(Outcome) if self.outcomes()[o]]
        shown = Table(box=None, pad_edge=False, header_style="bold")
        # Of all columns rich makes only this one narrower, and its cells are cut, not folded.
        shown.add_column("")
        for name in ("mutants", *used, "score, 95 %"):
            style, heading = STYLE.get(name, ""), HEADINGS.get(name, name)
            shown.add_column(heading, justify="right", style=style, no_wrap=True)

        def row(name: str, of: Callable[[Mutant], bool]) -> None:
            counts = self.outcomes(of)
            if not (total := sum(counts.values())):
                return
            cells = [str(counts[outcome] or "") for outcome in used]
            first = Text(name, no_wrap=True, overflow="ellipsis")
            shown.add_row(first, str(total), *cells, str(score_of(counts)))

        for operator in sorted({mutant.operator for mutant in self.mutants}):
            row(operator, lambda mutant, it=operator: mutant.operator == it)  # type: ignore[misc]
        shown.add_section()
        for patch in sorted({mutant.patch for mutant in self.mutants}):
            subject = f"patch {patch + 1}: {self.subjects[patch]}"
            row(subject, lambda mutant, it=patch: mutant.patch == it)  # type: ignore[misc]
        shown.add_section()
        row("all", lambda mutant: True)
        return shown

    def print_on(self, console: Console, settings: Settings) -> None:
        """The tables, what nothing has noticed, and how long it took."""

        def say(text: str) -> None:
            console.print(text, highlight=False, soft_wrap=True)

        console.print()
        if self.verdicts:
            console.print(self.table())
        alive = self.having(*ALIVE)
        functions: set[str] = set()
        for mutant in alive[:SHOWN]:
            self._survivor(mutant, say)
            if mutant.function not in functions:
                functions.add(mutant.function)
                again = settings.command("mutants", FUNCTION=mutant.function, SAMPLE="all")
                say(f"  next: {escape(again)}")
        if len(alive) > SHOWN:
            say(f"\n... {len(alive) - SHOWN} more in {FILE}")
        for mutant in self.having("needs a schedule"):
            verdict, place = self.verdicts[mutant.number], escape(place_of(mutant))
            race = (verdict.case or "").partition("::")[2]
            say(
                f"\n[yellow]NEEDS A SCHEDULE[/] {place}  [dim]{mutant.operator}[/]"
                f"\n  no case notices it; {escape(race)} does: {escape(verdict.reason)}"
                f"\n  next: {escape(settings.command('repro', RACE=race))}"
            )
        for mutant in self.having("lost"):
            why = self.verdicts[mutant.number].reason
            say(f"[yellow]LOST[/] {escape(place_of(mutant))}: {escape(why)}")
        for name, why in self.reach.unused.items():
            if why.startswith("not_applicable"):
                continue
            say(f"[yellow]not used[/] {escape(name)}: without a mutant: {escape(why)}")
        for argument in self.outlived:
            say(f"[yellow]mutants.yaml[/] no mutant is like this any more: {escape(argument)}")
        console.print()
        for line in self.summary():
            say(escape(line))

    def _survivor(self, mutant: Mutant, say: Callable[[str], None]) -> None:
        verdict = self.verdicts[mutant.number]
        say(
            f"\n[red]{verdict.outcome.upper()}[/] {escape(place_of(mutant))}"
            f"  [dim]{mutant.operator}, patch {mutant.patch + 1}, mutant {mutant.number}[/]"
        )
        for sign, colour, lines in (("-", "red", mutant.text), ("+", "green", mutant.instead)):
            for line in lines.splitlines():
                say(f"  [{colour}]{sign}{escape(line)}[/]")
        cases = self.reach.of(mutant.number)
        if verdict.outcome == "survived":
            say(f"  {counted(len(cases), 'case')} that reach it and pass:")
        for name in cases[:CASES_SHOWN]:
            say(f"    {escape(name)}  [dim]{escape(self.about.get(name, ''))}[/]")
        if len(cases) > CASES_SHOWN:
            say(f"    ... and {len(cases) - CASES_SHOWN} more in {FILE}")

    def summary(self) -> list[str]:
        """The figures: the score, what noticed the mutants, the time a mutant."""
        counts = self.outcomes()
        score = score_of(counts)
        chosen, judged = len(self.mutants), sum(counts.values())
        of = f"{judged} of {chosen} chosen" if judged < chosen else f"{chosen}"
        lines = [f"{of} mutants, of {self.found} that the changed lines have"]
        if score.judged:
            low, high = score.interval
            lines.append(
                f"score: {score.killed} of {score.judged} noticed,"
                f" {score.killed / score.judged:.1%} (95 % interval {low:.1%} to {high:.1%})"
            )
        by = Counter(v.by for v in self.verdicts.values() if v.by is not None)
        if by:
            lines.append("noticed by: " + ", ".join(f"{name} {n}" for name, n in by.most_common()))
        if took := self.guest_seconds:
            kept = sum(verdict.kept for verdict in self.verdicts.values())
            earlier = f", {kept} of them in earlier runs" if kept else ""
            lines.append(
                f"a mutant took {median(took):.1f} s in its guest in the median,"
                f" {max(took):.1f} s at most ({len(took)} judged in guests{earlier})"
            )
            if fresh := chosen - kept:
                lines.append(
                    f"all of it, kernels and reach included, took {self.seconds / 60:.1f} minutes:"
                    f" {self.seconds / fresh:.1f} s a mutant"
                )
        return lines

    def document(self) -> MutantsDocument:
        """All of it, as ``mutants.json`` has it."""
        score, took = score_of(self.outcomes()), self.guest_seconds
        return {
            "schema": SCHEMA,
            "found": self.found,
            "outcomes": {str(outcome): count for outcome, count in self.outcomes().items()},
            "killed": score.killed,
            "judged": score.judged,
            "interval": [round(bound, 4) for bound in score.interval],
            "median_seconds": round(median(took), 3) if took else None,
            "seconds": round(self.seconds, 3),
            "unused_cases": self.reach.unused,
            "outlived_arguments": list(self.outlived),
            "mutants": [self._record(mutant) for mutant in self.mutants],
        }

    def _record(self, mutant: Mutant) -> MutantRecord:
        verdict = self.verdicts.get(mutant.number)
        return {
            "number": mutant.number,
            "key": mutant.key,
            "operator": mutant.operator,
            "path": mutant.path,
            "line": mutant.line,
            "function": mutant.function,
            "patch": mutant.patch + 1,
            "text": mutant.text,
            "instead": mutant.instead,
            "outcome": verdict.outcome if verdict else None,
            "by": verdict.by if verdict else None,
            "case": verdict.case if verdict else None,
            "reason": verdict.reason if verdict else "",
            "seconds": verdict.seconds if verdict else 0.0,
            "kept": verdict.kept if verdict else False,
            "ran": list(verdict.ran) if verdict else [],
            "reached_by": self.reach.of(mutant.number),
        }

    def problem(self, out: Path, settings: Settings) -> HarnessError | None:
        """What ends the command with another status than 0: a hole in the tests, or the machine."""
        path, alive, lost = out / FILE, self.having(*ALIVE), self.having("lost")
        if alive:
            first = next(iter(self.having("survived")), alive[0])
            return SeriesError(
                f"{counted(len(alive), 'mutant')} noticed by nothing: the tests have holes there",
                evidence=path,
                next_step=f"a case that fails on {place_of(first)}, or an argument in mutants.yaml"
                f"\n{settings.command('mutants', FUNCTION=first.function, SAMPLE='all')}",
            )
        if lost:
            return MachineError(
                f"{counted(len(lost), 'mutant')} could not be judged here, such as"
                f" {place_of(lost[0])}: {self.verdicts[lost[0].number].reason}",
                evidence=path,
                next_step=f"{settings.command('mutants')}   (goes on where it was)",
            )
        return None
