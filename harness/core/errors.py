# SPDX-License-Identifier: GPL-2.0-only
"""The four kinds of failure, each with its exit status; and the status of a run that shows nothing.

Whoever raises one says what happened, where the evidence is, and what to type
next; the command line prints exactly that and ends with ``exit_code``.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

# Nobody is at fault, and nothing has run what the series changes: no error, but no pass either.
UNTESTED = 4


class HarnessError(Exception):
    """A failure with a known kind: ``what`` happened, in lines; ``evidence``: the file to look at.

    ``next_step``: what the user can type or change.
    """

    kind: ClassVar[str] = "internal"
    verdict: ClassVar[str] = "infra"
    exit_code: ClassVar[int] = 70

    def __init__(
        self, what: str, *, evidence: Path | None = None, next_step: str | None = None
    ) -> None:
        super().__init__(what)
        self.what = what
        self.evidence = evidence
        self.next_step = next_step

    def lines(self) -> list[str]:
        """The message as it is printed, without the line that names the kind."""
        lines = self.what.splitlines()
        if self.evidence is not None:
            lines.append(f"evidence: {self.evidence}")
        return lines + [f"next: {line}" for line in (self.next_step or "").splitlines()]


class SeriesError(HarnessError):
    """The series is at fault: it does not apply, build or boot, or breaks a promise."""

    kind = "series"
    verdict = "fail"
    exit_code = 1


class InvocationError(HarnessError):
    """What was asked for makes no sense: an unknown kernel, a directory that is not there."""

    kind = "invocation"
    verdict = "usage"
    exit_code = 2


class MachineError(HarnessError):
    """This machine cannot do it: a package is missing, the disk is full, KVM does not run."""

    kind = "machine"
    verdict = "infra"
    exit_code = 3


class InternalError(HarnessError):
    """A defect of the harness itself."""
