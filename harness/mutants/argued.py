# SPDX-License-Identifier: GPL-2.0-only
"""Mutants of which ``mutants.yaml`` beside a contract argues that no test can see them.

An argument names operator, file, function and the text of the line, so that it does not
outlive the line. One that no mutant answers to any more is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.jsondata import read_yaml
from harness.mutants.mutant import Mutant

FILE = "mutants.yaml"


@dataclass(frozen=True)
class MutantArgument:
    """Why mutants of one operator in one line change nothing that anybody could see.

    ``instead``: only the mutant that has this line; None: all of the operator's. ``kernels``:
    the kernel lines that have it; empty: all.
    """

    operator: str
    file: str
    function: str
    line: str
    why: str
    instead: str | None = None
    kernels: tuple[str, ...] = ()

    def covers(self, mutant: Mutant) -> bool:
        """Whether it is about this mutant."""
        return (
            (self.operator, self.file, self.function)
            == (mutant.operator, mutant.path, mutant.function)
            and _words(self.line) == _words(mutant.text)
            and (self.instead is None or _words(self.instead) == _words(mutant.instead))
        )

    def __str__(self) -> str:
        return f"{self.file} {self.function}: {self.operator}: {self.line}"


@dataclass(frozen=True)
class ArgumentTable:
    """What ``mutants.yaml`` holds."""

    argued: tuple[MutantArgument, ...]


def _words(line: str) -> list[str]:
    """White space apart, which a formatter may change."""
    return line.split()


def load_arguments(folder: Path, line: str) -> list[MutantArgument]:
    """The arguments of a project's ``folder`` for the kernel ``line``; none without the file.

    Raises:
        InvocationError: the file is not what docs/mutants.md says.
    """
    none = ArgumentTable(())
    found = read_yaml(ArgumentTable, folder / FILE, "see docs/mutants.md", none).argued
    return [argument for argument in found if not argument.kernels or line in argument.kernels]


def argument_for(mutant: Mutant, arguments: Sequence[MutantArgument]) -> MutantArgument | None:
    """The one that is about ``mutant``."""
    return next((argument for argument in arguments if argument.covers(mutant)), None)


def outlived(
    arguments: Sequence[MutantArgument], mutants: Iterable[Mutant]
) -> list[MutantArgument]:
    """Those that are about none of ``mutants``, which are all that there are."""
    every = list(mutants)
    return [a for a in arguments if not any(a.covers(mutant) for mutant in every)]
