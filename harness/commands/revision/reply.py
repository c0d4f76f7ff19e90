# SPDX-License-Identifier: GPL-2.0-only
"""``reply.txt``: a verdict on a revision as an answer to its cover letter, 60 lines at most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.commands.revision.flaky import Flaky
from harness.commands.revision.verdict import Revision, Step

MOST = 60  # lines
NAMES = 4  # names on a line; the rest is counted


def some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - NAMES} more" if len(names) > NAMES else ""
    return ", ".join(names[:NAMES]) + more


def reply(whole: Revision) -> str:
    """The text, ending with a newline; what does not fit is counted in the last line."""
    lines = list(_lines(whole))
    if len(lines) > MOST:
        left = len(lines) - MOST + 1
        lines = [*lines[: MOST - 1], f"({left} more lines: see revision.json)"]
    return "\n".join(lines) + "\n"


def verdict(whole: Revision) -> str:
    """The verdict on a revision in one line."""
    verdicts = {0: "nothing broke that the base does not break"}
    code = whole.exit_code
    if code == 1 and whole.steps[0].error:
        return "no verdict on the patches: the bare base fails"
    if code == 1:
        steps = whole.steps[1:]
        bad = [step.patches for step in steps if step.blame.ours or step.error]
        said = f"something is broken after patch {', '.join(map(str, bad))}"
        if bad and bad[-1] < len(steps):
            said += f", and repaired by patch {bad[-1] + 1}"
        return f"the series is at fault: {said}"
    return verdicts.get(code, "no verdict: the runs did not come to their end")


def _lines(whole: Revision) -> Iterator[str]:
    yield f"Verdict: {verdict(whole)} (exit {whole.exit_code})."
    yield f"Base:    {whole.base}"
    yield f"         {whole.why}"
    yield f"Series:  {whole.source}"
    yield ""
    for step in whole.steps:
        yield from _step(step)
    if not whole.previous_source:
        return
    yield ""
    yield f"Since the previous revision ({whole.previous_source}):"
    if not whole.compared:
        yield "  not compared: one of the two was not run to its end"
        return
    if not whole.previous:
        yield "  no clause's verdict changed"
    for kind in ("broken", "fixed", "new", "gone"):
        names = [
            f"{c.clause} ({c.now})" if kind == "new" else c.clause
            for c in whole.previous
            if c.kind == kind
        ]
        if names:
            yield f"  {kind}: {some(names)}"
    yield from (f"  {line}" for line in whole.range_diff.splitlines() if _is_head(line))


def _is_head(line: str) -> bool:
    """Whether a line of range-diff names a patch rather than shows its difference."""
    return bool(line) and (line[0] in "-123456789" or line.lstrip()[:1].isdigit()) and ":" in line


def statement(flaky: Flaky) -> str:
    """What is said of a flaky case, in one line."""
    here = f"{flaky.case} passed {flaky.passes_here} of {flaky.runs_here}"
    if not flaky.against:
        return f"{here}; neither the base nor a previous revision can run it"
    there = f"{flaky.passes_there} of {flaky.runs_there} on {flaky.against}"
    return f"{here}, {there}: {flaky.verdict} (Fisher's exact test, p = {flaky.p:.2g})"


def _step(step: Step) -> Iterator[str]:
    which = f"patch {step.patches}" if step.patches else "base"
    ours, before = step.blame.ours, step.blame.before
    said = "broken" if ours or step.error else "ok"
    if step.patches == 0 and before and not step.error:
        said = "breaks some cases itself"
    if step.exit_code not in (0, 1):
        said = "not judged"  # the invocation, the machine or the harness ended it
    yield f"{which}: {said}  {step.subject}"
    if step.error:
        yield f"  {step.error[0]}"
    if ours:
        yield f"  broken: {some(ours)}"
    if before and step.patches:
        yield f"  broken before: {some(before)}"
    for tool, remarks in step.statics.items():
        if remarks:
            yield f"  {tool}: {some(remarks[:1])}" + (
                f" and {len(remarks) - 1} more" if len(remarks) > 1 else ""
            )
    yield from (f"  flaky: {statement(one)}" for one in step.flaky)
    breaks = [c.clause for c in step.changes if c.now == "fail"]
    repairs = [c.clause for c in step.changes if c.kind == "fixed"]
    if breaks and step.patches:
        yield f"  from here on these clauses fail: {some(breaks)}"
    if repairs:
        yield f"  repairs: {some(repairs)}"
