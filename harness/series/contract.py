# SPDX-License-Identifier: GPL-2.0-only
"""The promises of a series, and the variants that break them, one deliberate mistake each.

A clause holds from some patch on. A variant is a patch on top of the whole series:
``variants/<kernel line>/<name>.patch``, or ``variants/<name>.patch`` where one text serves
every line. ``variants.yaml`` beside ``series.yaml`` says which clauses each must break. Every
line that has the series has every variant, unless the table says which lines can make the
mistake at all.
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.core.errors import InvocationError
from harness.core.jsondata import read_yaml
from harness.series.patches import Series, parse_patch

_ROW = re.compile(r"^\|\s*(?P<id>[A-Z]+(?:-[A-Z]+)*-\d+)\s*\|\s*(?P<text>.+?)\s*\|\s*$")
_HEADING = re.compile(r"^##\s+(?P<title>.+?)\s*$")
# The variants of a series, beside its series.yaml: the table of them, and the folder of patches.
TABLE, FOLDER = "variants.yaml", "variants"
HELP, VARIANTS_HELP = "see docs/new-series.md", "see docs/seen-red.md"


@dataclass(frozen=True)
class Clause:
    """One promise. ``holds_from``: it holds once that many patches are applied."""

    id: str
    text: str
    section: str
    holds_from: int


@dataclass(frozen=True)
class SeriesTable:
    """What ``series.yaml`` holds; docs/new-series.md says what each is."""

    name: str
    title: str
    contract: str
    guest_tests: str
    patches: tuple[str, ...]
    holds_from: dict[str, int]
    sound: str | None = None
    on_top_of: str | None = None
    shown_otherwise: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SeriesData:
    """``series.yaml`` of one series and the contract it names.

    ``sound``: the clause that the kernel's own checkers judge; None where there is none.
    ``below``: the series that this one stands on (on_top.py). Its clauses are among ``clauses``,
    behind this one's own: they hold from patch 0 on.
    """

    name: str
    title: str
    folder: Path
    guest_tests: str
    subjects: tuple[str, ...]
    clauses: dict[str, Clause]
    sound: str | None = None
    below: SeriesData | None = None

    @property
    def chain(self) -> tuple[SeriesData, ...]:
        """This series and those that it stands on, from the top."""
        return self, *(self.below.chain if self.below else ())

    @property
    def own(self) -> frozenset[str]:
        """The clauses that are not of a series below."""
        return frozenset(self.clauses).difference(self.below.clauses if self.below else ())

    def owner(self, source: Path) -> SeriesData:
        """Whose a guest test is, by its file: this series' or that of one below."""
        folder = source.parent.name
        return next((s for s in self.chain if Path(s.guest_tests).name == folder), self)

    def applicable(self, clause: str, applied: int) -> bool:
        """Whether ``clause`` holds with the first ``applied`` patches."""
        return applied >= self.clauses[clause].holds_from


def parse_clauses(text: str, holds_from: dict[str, int]) -> dict[str, Clause]:
    """Reads the tables of a contract: rows ``| V-XX-n | promise |`` under ``##`` headings.

    Raises:
        InvocationError: a clause stands twice, or no pattern of ``holds_from`` matches it.
    """
    clauses: dict[str, Clause] = {}
    section = ""
    for line in text.splitlines():
        if heading := _HEADING.match(line):
            section = heading["title"]
        elif row := _ROW.match(line):
            clause = row["id"]
            if clause in clauses:
                raise InvocationError(f"the contract has {clause} twice", next_step=HELP)
            matching = [p for p in holds_from if fnmatch.fnmatchcase(clause, p)]
            if not matching:
                what = f"series.yaml: holds_from has no pattern for {clause}"
                raise InvocationError(what, next_step=HELP)
            # An exact name beats a pattern, a longer pattern a shorter one.
            best = max(matching, key=lambda pattern: ("*" not in pattern, len(pattern)))
            clauses[clause] = Clause(clause, row["text"], section, holds_from[best])
    return clauses


def load(folder: Path, above: tuple[str, ...] = ()) -> SeriesData:
    """Reads ``folder/series.yaml`` and the contract beside it, and the series that it stands on.

    Args:
        above: the names of the series that stand on this one.

    Raises:
        InvocationError: there is no such series, or none that it stands on; the files make no
            sense, or contradict each other.
    """
    path = folder / "series.yaml"
    if not path.is_file():
        raise InvocationError(f"{folder} holds no series.yaml", next_step=HELP)
    table = read_yaml(SeriesTable, path, HELP)
    contract, name = folder / table.contract, table.on_top_of
    if not contract.is_file():
        raise InvocationError(f"{path}: contract: there is no {contract}", next_step=HELP)
    try:
        clauses = parse_clauses(contract.read_text("utf-8"), table.holds_from)
    except UnicodeDecodeError as error:
        raise InvocationError(f"{contract}: {error}", next_step=HELP) from error
    if not clauses:
        raise InvocationError(f"{contract} has no clauses", next_step=HELP)
    if table.sound not in (None, *clauses):
        what = f"{path}: sound: the contract has no {table.sound}"
        raise InvocationError(what, next_step=HELP)
    below = None
    if name:
        names = (*above, folder.name)
        if not (folder.parent / name / "series.yaml").is_file() or name in names:
            what = f"{path}: on_top_of: {name} is no other series beside this one"
            raise InvocationError(what, next_step=HELP)
        below = load(folder.parent / name, names)
        if twice := sorted(clauses.keys() & below.clauses.keys()):
            what = f"{path}: the contract of {name} has {', '.join(twice)} too"
            raise InvocationError(what, next_step=HELP)
        clauses |= {
            c.id: replace(c, holds_from=0, section=f"{below.title}: {c.section}")
            for c in below.clauses.values()
        }
    return SeriesData(
        name=table.name,
        title=table.title,
        folder=folder,
        guest_tests=table.guest_tests,
        subjects=table.patches,
        clauses=clauses,
        sound=table.sound or (below.sound if below else None),
        below=below,
    )


@dataclass(frozen=True)
class Variant:
    """``clauses``: those it must break; ``tests``: pytest's -k expression for the cases to run.

    ``lines``: the kernel lines where the mistake can be made; empty: all.
    """

    clauses: tuple[str, ...]
    tests: str | None = None
    lines: tuple[str, ...] = ()

    @property
    def to_run(self) -> str:
        """The expression; without ``tests`` the cases of its clauses are run."""
        return self.tests or " or ".join(self.clauses)


@dataclass(frozen=True)
class Variants:
    """``variants.yaml``; ``exempt``: clauses that none can show red, each with the reason."""

    variants: dict[str, Variant] = field(default_factory=dict)
    exempt: dict[str, str] = field(default_factory=dict)


def find_patch(folder: Path, line: str, name: str) -> Path | None:
    """The patch of a variant for a kernel line; None where it has none for that."""
    paths = (place / f"{name}.patch" for place in (folder / FOLDER / line, folder / FOLDER))
    return next(filter(Path.is_file, paths), None)


def load_table(data: SeriesData) -> Variants:
    """Reads ``variants.yaml``.

    Raises:
        InvocationError: the series has none; it makes no sense, names what the contract does not
            have, or a variant has no patch for a line that has the series.
    """
    path = data.folder / TABLE
    if not path.is_file():
        raise InvocationError(f"{path} is not there", next_step=VARIANTS_HELP)
    table = read_yaml(Variants, path, VARIANTS_HELP)
    # The kernel lines that the series has patches for.
    lines = sorted({patch.parent.name for patch in data.folder.glob("*/*.patch")} - {FOLDER})
    named = {clause for variant in table.variants.values() for clause in variant.clauses}
    if unknown := sorted({*named, *table.exempt} - set(data.clauses)):
        what = f"{path}: the contract has no {', '.join(unknown)}"
        raise InvocationError(what, next_step=VARIANTS_HELP)
    for name, variant in table.variants.items():
        if not variant.clauses:
            what = f"{path}: {name} names no clause that it breaks"
            raise InvocationError(what, next_step=VARIANTS_HELP)
        for line in variant.lines or lines:
            if find_patch(data.folder, line, name) is None:
                step = "where the mistake cannot be made there, say so with lines:"
                what = f"{path}: there is no patch for {name} on Linux {line}"
                raise InvocationError(what, next_step=step)
    return table


def with_variant(series: Series, name: str, folder: Path, line: str) -> Series:
    """The series with a variant, named or given as a file, on top of it.

    Raises:
        InvocationError: there is no such variant for this kernel line.
    """
    given = Path(name).expanduser()
    path = given if given.is_file() else find_patch(folder, line, name)
    if path is None:
        have = ", ".join(sorted({p.stem for p in (folder / FOLDER).rglob("*.patch")})) or "none"
        what = f"VARIANT={name}: no such file, and no variant of that name for Linux {line}"
        raise InvocationError(what, next_step=f"there is: {have}")
    patch = parse_patch(path.read_bytes(), str(path))
    return Series(f"{series.source} and {path.name}", (*series.patches, patch))
