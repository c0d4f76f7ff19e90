# SPDX-License-Identifier: GPL-2.0-only
"""Whether a run in which nothing broke says anything of the series: has its change run?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from harness.core import events as ev
from harness.core.command_table import command

MAX_SHOWN = 12  # places of the change that did not run
MAX_NAMED = 4  # cases that ran it


def not_run(
    files: Sequence[ev.TouchedFile],
    cases: Iterable[ev.CaseFinished],
    coverage: ev.ChangeCoverage | None,
) -> list[str]:
    """What of the change did not run and has to, in lines; empty where a pass is earned.

    A series without code (documentation, configuration, comments) has nothing to run: the
    kernel was built with it, and booted. So has a run that did not look at a change.

    Args:
        coverage: None where it was not measured.
    """
    code = [file for file in files if file.compiled is not None]
    if code and not any(file.compiled for file in code):
        return ["nothing of the series is compiled into this kernel:", *_told(code)]
    programs = [file for file in files if file.kind in ("selftest", "tool")]
    ran = any(case.id.kind == "guest" and case.status in ev.RAN for case in cases)
    if (code or programs) and not ran:
        what = "what it changes" if code else "the programs that it changes"
        places = [f"not reached: {place}" for place in coverage.not_reached] if coverage else []
        told = _some(places) or _told(code or programs)
        return [f"no workload ran, so nothing has run {what}:", *told]
    if coverage is None or not coverage.whole:
        return []
    lines = []
    if missed := coverage.functions - coverage.functions_entered - len(coverage.excused):
        lines += [
            f"{missed} of {coverage.functions} functions"
            " that the series adds or changes were never entered:",
            *_some([f"not reached: {place}" for place in coverage.not_reached]),
        ]
    run, count, least = coverage.lines_run, coverage.lines, coverage.least
    if least is not None and run * 100 < least * count:
        share = f"{run / count * 100:.1f} % of the changed lines have run"
        idle = [f"not run: {line}" for line in coverage.lines_not_run]
        lines += [f"{share}, and COVER={least} asks for more:", *_some(idle)]
    return lines


def next_step(files: Sequence[ev.TouchedFile], asked: Mapping[str, str]) -> str:
    """What to type to have the change run, in a run that was asked for with ``asked``.

    Where nothing of it is compiled a configuration has to come first: the flavour's decisions
    stand, and a file after it adds to them. '' where that does not help: another architecture.
    """
    code = [file for file in files if file.compiled is not None]
    if not code or any(file.compiled for file in code):
        return command("test-kernel", asked, RUN="./what-calls-it", GUEST_FILES="its-folder")
    if asked.get("AUTOCONFIG") == "0":
        return command("test-kernel", {**asked, "AUTOCONFIG": ""})
    if all(file.path.startswith("arch/") for file in code):
        return ""
    config = asked.get("CONFIG") or "default"
    return command("test-kernel", asked, CONFIG=f"{config}+what-it-needs.config")


def run_by(coverage: ev.ChangeCoverage) -> str:
    """Who ran the change, in words that follow the figures; '' for nobody."""
    if not (coverage.run_by or coverage.lines_run):
        return ""
    if not coverage.run_by:
        return ", at boot"
    many = len(coverage.run_by) > MAX_NAMED
    return f", by {f'{len(coverage.run_by)} cases' if many else ', '.join(coverage.run_by)}"


def figures(coverage: ev.ChangeCoverage | None) -> str | None:
    """How much of the change has run, in words; None where it was not measured."""
    if coverage is None:
        return None
    lines = f"{coverage.lines_run} of {coverage.lines} lines run"
    return f"{lines}, {coverage.functions_entered} of {coverage.functions} functions"


def _told(files: Sequence[ev.TouchedFile]) -> list[str]:
    return _some([f"{file.path}: {file.said}" for file in files])


def _some(lines: Sequence[str]) -> list[str]:
    more = [f"and {len(lines) - MAX_SHOWN} more"] if len(lines) > MAX_SHOWN else []
    return [*lines[:MAX_SHOWN], *more]
