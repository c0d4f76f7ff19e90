# SPDX-License-Identifier: GPL-2.0-only
"""Fragments of a kernel configuration: which symbols they ask which kernels for, line by line."""

from __future__ import annotations

import gzip
import lzma
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from harness.core.errors import InvocationError

NOT_SET = "n"
# A line of a fragment: what kbuild itself writes into a .config, and what it passes over.
_REQUEST = re.compile(
    r'CONFIG_(?P<on>\w+)=(?P<value>[ymn]|-?\d+|0[xX][0-9a-fA-F]+|"(?:[^"\\]|\\.)*")'
    r"|# CONFIG_(?P<off>\w+) is not set",
    re.ASCII,
)
MAX_CHARS = 1 << 24  # of a fragment: a distribution's whole configuration has 300 thousand
_NO_REQUEST = re.compile(r"\s*(?:#(?!\s*CONFIG_\w+\s+is\s+not\s+set\b).*)?")
_FORMS = (
    "a line is CONFIG_X=y (or m, n, a number, a \"string\"), or '# CONFIG_X is not set', with no"
    " blanks around either or around =, and no comment behind it; or a comment, or empty"
)
# The comment above a request that is not for every kernel, and what seems to be meant as one.
_LINE = r"(\d{1,4}\.\d{1,4})"
_RANGE = re.compile(rf"# (?:from {_LINE}(?: |:|$))?(?:to {_LINE}(?::|$))?(?: .*)?")
_LIKE_RANGE = re.compile(r"#\s*(?:from|to)\s+v?\d+\.")
_RANGES = (
    "'# from 6.2: why', '# to 6.9: why' or '# from 6.2 to 6.9: why', in the line above the request"
)


def line_number(line: str) -> tuple[int, ...]:
    """A kernel line as numbers, which compare as the lines do: '6.12' -> (6, 12)."""
    return tuple(int(part) for part in line.split("."))


@dataclass(frozen=True)
class Request:
    """One line of a fragment; ``symbol`` without CONFIG_, ``value`` 'n' for 'is not set'.

    ``first``, ``last``: the kernel lines that are asked, both included; None: no bound.
    ``optional``: a tree without such a symbol, as before a series, does without; the line above
    says so. A tree that has it must grant it all the same.
    """

    symbol: str
    value: str
    fragment: str
    line: int
    first: str | None = None
    last: str | None = None
    optional: bool = False

    @property
    def text(self) -> str:
        """The line as kbuild reads it."""
        if self.value == NOT_SET:
            return f"# CONFIG_{self.symbol} is not set"
        return f"CONFIG_{self.symbol}={self.value}"

    def __str__(self) -> str:
        return f"{self.fragment}:{self.line}: {self.text}"

    def asks(self, line: str) -> bool:
        """Whether it asks a kernel of this line, such as '6.12'."""
        here = line_number(line)
        early = self.first is not None and here < line_number(self.first)
        return not early and (self.last is None or here <= line_number(self.last))

    def granted(self, config: Mapping[str, str]) -> bool:
        """Whether a configuration ({symbol: value}, what is not set left out) is as asked.

        A string that is asked to be empty may be missing: its symbol can be out of sight.
        """
        got = config.get(self.symbol, NOT_SET)
        return got == self.value or (self.value == '""' and got == NOT_SET)


def requests(fragments: Sequence[Path], line: str) -> list[Request]:
    """What the fragments ask a kernel line for; of two for the same symbol, the later one's word.

    Raises:
        InvocationError: a line that asks for nothing and is no comment, a range that is none,
            or a fragment that contradicts itself, by file, line and symbol.
    """
    return list({r.symbol: r for path in fragments for r in _requests_of(path, line)}.values())


def _requests_of(path: Path, kernel: str) -> Iterator[Request]:
    name, above = f"{path.parent.name}/{path.name}", ""
    seen: dict[str, Request] = {}
    for number, line in enumerate(fragment_lines(path), 1):
        match, bounds = _REQUEST.fullmatch(line), _RANGE.fullmatch(above)
        if match is None and not _NO_REQUEST.fullmatch(line):
            what = f"{name}:{number}: {line!r}: neither a request nor a comment"
            raise InvocationError(what, next_step=_FORMS)
        if _LIKE_RANGE.match(above) and not (match and bounds and any(bounds.groups())):
            what = f"{name}:{number - 1}: {above!r}: "
            what += "no request follows it" if bounds else "no range of kernel lines"
            raise InvocationError(what, next_step=_RANGES)
        first, last = bounds.groups() if bounds else (None, None)
        optional, above = above.startswith("# optional"), line
        if match is None:
            continue
        symbol, value = match["on"] or match["off"], match["value"] or NOT_SET
        asked = Request(symbol, value, name, number, first, last, optional)
        if not asked.asks(kernel):
            continue
        if seen.setdefault(symbol, asked).value != value:
            what = f"{asked}: line {seen[symbol].line} asks for {seen[symbol].value}"
            raise InvocationError(what, next_step="leave one of the two lines out")
        yield asked


def _opened(path: Path) -> TextIO:
    match path.suffix:
        case ".gz":
            return gzip.open(path, "rt", encoding="utf-8")
        case ".xz":
            return lzma.open(path, "rt", encoding="utf-8")
        case _:
            return open(path, encoding="utf-8")


def fragment_lines(path: Path) -> list[str]:
    """The lines of a fragment, and an empty one at the end; distributions compress theirs.

    Raises:
        InvocationError: it cannot be read, is no text, or unpacks to what no fragment is.
    """
    try:
        with _opened(path) as file:
            if len(text := file.read(MAX_CHARS + 1)) > MAX_CHARS:
                raise EOFError(f"it is longer than {MAX_CHARS} characters")
            return [*text.rstrip("\n").split("\n"), ""]
    except (OSError, EOFError, zlib.error, lzma.LZMAError, UnicodeDecodeError) as error:
        step = "see CONFIG= in docs/configs.md"
        raise InvocationError(f"{path}: {error}", next_step=step) from error


def as_fragment(asked: Sequence[Request]) -> str:
    """One fragment of all the requests, in their order."""
    return "".join(f"{request.text}\n" for request in asked)


def read_values(config: Path) -> dict[str, str]:
    """``{symbol: value}`` of a .config; symbols that are not set are left out."""
    return dict(re.findall(r"^CONFIG_(\w+)=(.*)$", config.read_text("utf-8", "replace"), re.M))
