# SPDX-License-Identifier: GPL-2.0-only
"""The guest programs of races: compiled, with their symbols at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from harness.core import proc
from harness.core.errors import InternalError
from harness.core.store import Store, file_digest
from harness.image.ext2 import make_image
from harness.image.programs import CFLAGS, GUEST_TESTS, IN_GUEST, compile_program
from harness.races.scenario import Scenario
from harness.series.contract import SeriesData

FOLDER = "races"


@dataclass(frozen=True)
class RacePrograms:
    """``image``: the guest's vdb; ``folder``: the programs on the host."""

    image: Path
    folder: Path
    cached: bool

    def argv(self, scenario: Scenario, option: str, value: int | str) -> list[str]:
        """The command of a scenario's program in the guest: ``option`` is ROUNDS or SECONDS."""
        cpus = (f"{thread.name}={thread.cpu}" for thread in scenario.threads)
        return [str(IN_GUEST / FOLDER / scenario.name), option, str(value), *cpus]

    def symbols(self, name: str) -> dict[str, int]:
        """The addresses of a program's functions and variables; an InternalError if they move."""
        with open(self.folder / name, "rb") as handle:
            elf = ELFFile(handle)
            table = elf.get_section_by_name(".symtab")
            if elf["e_type"] != "ET_EXEC" or not isinstance(table, SymbolTableSection):
                raise InternalError(f"{name} is no static program with symbols")
            return {
                symbol.name: symbol["st_value"]
                for symbol in table.iter_symbols()
                if symbol["st_info"]["type"] in ("STT_FUNC", "STT_OBJECT")
            }


def libraries_of(data: SeriesData) -> list[Path]:
    """The folders whose files a program of a series may use: everybody's, its own, those below."""
    own = (each.guest_tests for each in data.chain if each.guest_tests)
    every = (GUEST_TESTS / suite / "lib" for suite in ("", *own))
    return [path for path in every if path.is_dir()]


def build_race_programs(
    store: Store, scenarios: Sequence[Scenario], libraries: Sequence[Path], headers: Path
) -> RacePrograms:
    """Compiles the programs of some scenarios into an image; an InvocationError where one fails.

    ``libraries``: see ``libraries_of``. ``headers``: the include folder of the patched tree's
    installed uapi headers.
    """
    inputs = [
        [file_digest(path) for path in libraries],
        [(s.name, file_digest(s.source)) for s in scenarios],
        file_digest(headers),
        proc.version("gcc"),
        CFLAGS,
    ]

    def make(draft: Path) -> None:
        tree = draft / "tree"
        folder = tree / FOLDER
        folder.mkdir(parents=True)
        for scenario in scenarios:
            compile_program(scenario.source, folder / scenario.name, headers, libraries)
        make_image(tree, draft / "tests.img")

    entry = store.entry("programs", inputs, make, also=("image",))
    return RacePrograms(entry.path / "tests.img", entry.path / "tree" / FOLDER, entry.cached)
