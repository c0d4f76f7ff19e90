# SPDX-License-Identifier: GPL-2.0-only
"""The build matrix of a series: configurations and architectures, and what must come out.

``matrix.yaml`` beside ``series.yaml`` is the table; this module reads it and judges a built
kernel by it. Nothing is built here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.build.kconfig import Flavour, load_flavour
from harness.build.toolchain import ARCH
from harness.core.errors import InternalError, InvocationError
from harness.series.contract import SeriesData

TABLE = "matrix.yaml"
FOLDER = "matrix"  # of the fragments
NOT_SET = "n"

_SYMBOL = re.compile(r"^[0-9a-f]+ (?P<kind>\S) (?P<name>\S+)$", re.MULTILINE)
_WEAK = "W"  # as nm has it: defined, weak, and no object


@dataclass(frozen=True)
class Expectation:
    """What must be true of a cell's kernel.

    ``config``: symbol -> value, 'n' where it must be off; ``symbols`` and ``no_symbols``:
    of System.map; ``unimplemented``: system calls of which only the weak entry is there.
    """

    config: dict[str, str]
    symbols: tuple[str, ...] = ()
    no_symbols: tuple[str, ...] = ()
    unimplemented: tuple[str, ...] = ()


@dataclass(frozen=True)
class MatrixCell:
    """One kernel to build. ``arch``: as kbuild names it; ``cross``: prefix of its tools.

    ``left_out``: the C files that the series touches and that are no part of this kernel;
    every other one must have been compiled. ``tests``: selects guest cases that must pass
    on this kernel, '' where none do. ``init``: a program to be its only process (see
    ``lone.py``), None where there is none.
    """

    name: str
    about: str
    flavour: Flavour
    expect: Expectation
    arch: str = ARCH
    cross: str = ""
    left_out: tuple[str, ...] = ()
    tests: str = ""
    init: Path | None = None
    init_flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Matrix:
    """``clause``: the one that all cells show."""

    clause: str
    cells: tuple[MatrixCell, ...]


@dataclass(frozen=True)
class Built:
    """A built cell. ``compiled``: its objects; ``touched``: the C files of the series."""

    config: Mapping[str, str]
    system_map: str
    compiled: frozenset[str]
    touched: tuple[str, ...]


def load_matrix(data: SeriesData) -> Matrix:
    """Reads ``matrix.yaml``.

    Raises:
        InvocationError: the series has none.
        InternalError: it names what there is not.
    """
    path = data.folder / TABLE
    if not path.is_file():
        raise InvocationError(f"{path} is not there", next_step="see docs/matrix.md")
    given: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    if given["clause"] not in data.clauses:
        raise InternalError(f"{path}: the contract has no {given['clause']}")
    expectations = {
        name: Expectation(
            {symbol: str(value) for symbol, value in row["config"].items()},
            *(tuple(row.get(key, ())) for key in ("symbols", "no_symbols", "unimplemented")),
        )
        for name, row in given["expectations"].items()
    }
    cells = tuple(_cell(name, row, expectations, path) for name, row in given["cells"].items())
    return Matrix(given["clause"], cells)


def _cell(
    name: str, row: dict[str, Any], expectations: dict[str, Expectation], path: Path
) -> MatrixCell:
    if row["expect"] not in expectations:
        raise InternalError(f"{path}: {name}: no expectation is named {row['expect']}")
    if "flavour" in row:
        flavour = load_flavour(row["flavour"])
    else:
        places = tuple(path.parent / FOLDER / f"{part}.config" for part in row["fragments"])
        flavour = Flavour(f"matrix-{name}", places, defconfig=row.get("defconfig", ""))
    if absent := [str(place) for place in flavour.fragments if not place.is_file()]:
        raise InternalError(f"{path}: {name}: there is no {', '.join(absent)}")
    if row.get("tests") and "flavour" not in row:
        raise InternalError(f"{path}: {name}: only a flavour has what a guest needs to boot")
    init = path.parent / FOLDER / row["init"] if "init" in row else None
    if init is not None and not init.is_file():
        raise InternalError(f"{path}: {name}: there is no {init}")
    return MatrixCell(
        name,
        row["about"],
        flavour,
        expectations[row["expect"]],
        row.get("arch", ARCH),
        row.get("cross", ""),
        tuple(row.get("left_out", ())),
        row.get("tests", ""),
        init,
        tuple(row.get("init_flags", ())),
    )


def chosen(matrix: Matrix, name: str) -> tuple[MatrixCell, ...]:
    """The cell of that name, or all where none is named.

    Raises:
        InvocationError: there is no such cell.
    """
    cells = tuple(cell for cell in matrix.cells if name in ("", cell.name))
    if not cells:
        have = ", ".join(cell.name for cell in matrix.cells)
        raise InvocationError(f"CELL={name}: there is no such cell", next_step=f"there is: {have}")
    return cells


def broken(expect: Expectation, left_out: Sequence[str], built: Built) -> list[str]:
    """What is not as expected, one line each."""
    wrong = [
        f"CONFIG_{symbol} is {built.config.get(symbol, NOT_SET)}, must be {value}"
        for symbol, value in expect.config.items()
        if built.config.get(symbol, NOT_SET) != value
    ]
    kinds = {m["name"]: m["kind"] for m in _SYMBOL.finditer(built.system_map)}
    wrong += [f"System.map lacks {name}" for name in expect.symbols if name not in kinds]
    wrong += [f"System.map has {name}" for name in expect.no_symbols if name in kinds]
    for call in expect.unimplemented:
        wrong += _implemented(call, kinds)
    return wrong + _objects(left_out, built)


def _implemented(call: str, kinds: Mapping[str, str]) -> list[str]:
    """Complaints about a system call that must not be there.

    Its entry has a prefix on some architectures (__x64_sys_madvise). COND_SYSCALL gives
    every such entry a weak definition that ends in ENOSYS: an alias of sys_ni_syscall, or a
    function of its own where the architecture has wrappers. SYSCALL_DEFINE's is not weak,
    and takes its place wherever it is linked.
    """
    entries = [n for n in kinds if re.fullmatch(rf"(__\w+?_)?sys_{call}", n)]
    if not entries:
        return [f"System.map has no entry of {call} at all"]
    return [f"{name} is implemented" for name in entries if kinds[name] != _WEAK]


def _objects(left_out: Sequence[str], built: Built) -> list[str]:
    """A touched file that is not compiled shows nothing; one said to be left out must be."""
    compiled = {name for name in built.touched if name.removesuffix(".c") + ".o" in built.compiled}
    wrong = [
        f"{name} is touched by the series and not compiled here"
        for name in built.touched
        if name not in compiled and name not in left_out
    ]
    return wrong + [f"{name} is compiled here" for name in left_out if name in compiled]
