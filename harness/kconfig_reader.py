# SPDX-License-Identifier: GPL-2.0-only
"""Reads a tree's Kconfig files far enough to say why a symbol is not set.

Only used to explain a failure. kconfiglib, which reads the language in full, has
had no release since 2019 and does not know what newer kernels use.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_TOKEN = re.compile(
    r'\$\((?:[^()]|\([^()]*\))*\)|"[^"]*"|&&|\|\||!=|<=|>=|[=<>!()]|[^\s"&|!=<>()]+'
)


@dataclass(frozen=True)
class Condition:
    """An expression that must hold, and where it is written."""

    text: str
    where: str


@dataclass
class Definition:
    """One place that defines a symbol. Without a prompt only ``select`` can set it."""

    where: str
    conditions: list[Condition]
    prompt: bool = False
    choice: bool = False
    prompt_conditions: list[Condition] = field(default_factory=list)


def read(source: Path, arch: str) -> dict[str, list[Definition]]:
    """All symbols of the tree at ``source`` with their places, from the top Kconfig down."""
    found: dict[str, list[Definition]] = {}
    _Reader(source, arch, found).file("Kconfig", [])
    return found


_SOURCE_OR_SYMBOL = re.compile(
    r'^[ \t]*(?:[ro]*source[ \t]+"(?P<file>[^"]+)"'
    r"|(?:menu)?config[ \t]+(?P<symbol>\w+)[ \t]*(?:#.*)?$)",
    re.MULTILINE,
)


def symbols(source: Path, arch: str) -> frozenset[str]:
    """The names alone of what ``read`` finds, in an eighth of its time."""
    found: set[str] = set()
    files = ["Kconfig"]
    while files:
        path = source / files.pop()
        if not path.is_file():
            continue
        for match in _SOURCE_OR_SYMBOL.finditer(path.read_text(encoding="utf-8", errors="replace")):
            if match["symbol"]:
                found.add(match["symbol"])
            else:
                files.append(match["file"].replace("$(SRCARCH)", arch).replace("$SRCARCH", arch))
    return frozenset(found)


class _Reader:
    def __init__(self, source: Path, arch: str, found: dict[str, list[Definition]]) -> None:
        self._source, self._arch, self._found = source, arch, found

    def file(self, name: str, outer: list[Condition]) -> None:
        """Reads one file; ``outer`` holds around all of it."""
        path = self._source / name
        if not path.is_file():
            return
        blocks: list[tuple[str, list[Condition]]] = []  # open if, menu, choice
        item: Definition | None = None
        for number, line in _statements(path.read_text(encoding="utf-8", errors="replace")):
            word, _, rest = line.partition(" ")
            where = f"{name}:{number}"
            if word in ("config", "menuconfig"):
                around = [c for _, conditions in blocks for c in conditions]
                item = Definition(where, [*outer, *around])
                item.choice = any(kind == "choice" for kind, _ in blocks)
                self._found.setdefault(rest.strip(), []).append(item)
            elif word in ("if", "menu", "choice"):
                blocks.append((word, [Condition(rest, where)] if word == "if" else []))
                item = None
            elif word in ("endif", "endmenu", "endchoice"):
                if blocks:
                    blocks.pop()
                item = None
            elif word.endswith("source"):
                around = [c for _, conditions in blocks for c in conditions]
                inner = rest.strip().strip('"').replace("$(SRCARCH)", self._arch)
                self.file(inner.replace("$SRCARCH", self._arch), [*outer, *around])
                item = None
            elif line.startswith("depends on "):
                condition = Condition(line.removeprefix("depends on "), where)
                if item is not None:
                    item.conditions.append(condition)
                elif blocks:
                    blocks[-1][1].append(condition)
            elif item is not None:
                _attribute(item, word, rest, where)


def _attribute(item: Definition, word: str, rest: str, where: str) -> None:
    if word == "prompt" or (word in ("bool", "tristate", "string", "hex", "int") and rest):
        item.prompt = True
        text = re.sub(r'^("(?:[^"\\]|\\.)*"|\'[^\']*\')', "", rest.strip()).strip()
        if text.startswith("if "):
            item.prompt_conditions.append(Condition(text.removeprefix("if "), where))


def _statements(text: str) -> list[tuple[int, str]]:
    """The statements with their line numbers: help texts and comments left out."""
    found: list[tuple[int, str]] = []
    help_indent: int | None = None
    lines = text.expandtabs().split("\n")
    at = 0
    while at < len(lines):
        number, line = at + 1, lines[at]
        at += 1
        bare = line.strip()
        if help_indent is not None and bare:
            indent = len(line) - len(line.lstrip())
            if help_indent < 0:
                help_indent = indent
            if indent >= help_indent > 0:
                continue
            help_indent = None
        if not bare or bare.startswith("#") or help_indent is not None:
            continue
        if bare in ("help", "---help---"):
            help_indent = -1
            continue
        while bare.endswith("\\") and at < len(lines):
            bare = bare[:-1] + " " + lines[at].strip()
            at += 1
        bare = re.sub(r"\s+#.*$", "", bare)
        found.append((number, re.sub(r"\s+", " ", bare)))
    return found


def holds(text: str, config: Mapping[str, str]) -> bool:
    """Whether an expression is not 'n'; what only a shell could tell counts as true."""
    tokens = _TOKEN.findall(text)
    try:
        value, rest = _or(tokens, config)
    except IndexError:
        return True
    return bool(value) or bool(rest)


def _or(tokens: list[str], config: Mapping[str, str]) -> tuple[bool, list[str]]:
    value, rest = _and(tokens, config)
    while rest and rest[0] == "||":
        other, rest = _and(rest[1:], config)
        value = value or other
    return value, rest


def _and(tokens: list[str], config: Mapping[str, str]) -> tuple[bool, list[str]]:
    value, rest = _not(tokens, config)
    while rest and rest[0] == "&&":
        other, rest = _not(rest[1:], config)
        value = value and other
    return value, rest


def _not(tokens: list[str], config: Mapping[str, str]) -> tuple[bool, list[str]]:
    if tokens[0] == "!":
        value, rest = _not(tokens[1:], config)
        return not value, rest
    if tokens[0] == "(":
        value, rest = _or(tokens[1:], config)
        return value, rest[1:]
    left = _value(tokens[0], config)
    if len(tokens) > 2 and tokens[1] in ("=", "!=", "<", ">", "<=", ">="):
        right = _value(tokens[2], config)
        return _compare(tokens[1], left, right), tokens[3:]
    return left != "n", tokens[1:]


def _value(token: str, config: Mapping[str, str]) -> str:
    if token.startswith('"'):
        return token.strip('"')
    if token.startswith("$("):
        return "y"
    if token in ("y", "m", "n") or re.fullmatch(r"-?\d+|0x[0-9a-fA-F]+", token):
        return token
    return config.get(token, "n").strip('"')


def _compare(sign: str, left: str, right: str) -> bool:
    if sign in ("=", "!="):
        return (left == right) == (sign == "=")
    try:
        a, b = int(left, 0), int(right, 0)
    except ValueError:
        return True
    return {"<": a < b, ">": a > b, "<=": a <= b, ">=": a >= b}[sign]


def unmet(text: str, config: Mapping[str, str]) -> str:
    """The parts of a conjunction that do not hold, with the values of their symbols."""
    parts, depth, part = [], 0, ""
    for token in _TOKEN.findall(text):
        depth += {"(": 1, ")": -1}.get(token, 0)
        if token == "&&" and depth == 0:
            parts.append(part.strip())
            part = ""
        else:
            part += f" {token}"
    parts.append(part.strip())
    told = []
    for one in parts:
        if holds(one, config):
            continue
        names = [t for t in _TOKEN.findall(one) if re.fullmatch(r"[A-Z][A-Z0-9_a-z]*", t)]
        values = ", ".join(f"{n} is {config.get(n, 'not set')}" for n in dict.fromkeys(names))
        told.append(f"{one.replace('! ', '!')} ({values})")
    return " and ".join(told)


def why_not_set(
    symbol: str, found: Mapping[str, list[Definition]], config: Mapping[str, str]
) -> list[str]:
    """Why ``symbol`` (without CONFIG_) could not be set, one reason a line."""
    places = found.get(symbol, [])
    if not places:
        return ["this tree has no such symbol in any Kconfig file"]
    reasons = []
    for place in places:
        broken = [c for c in place.conditions if not holds(c.text, config)]
        hidden = [c for c in place.prompt_conditions if not holds(c.text, config)]
        reasons += [f"needs {unmet(c.text, config)}, see {c.where}" for c in broken]
        if broken:
            continue
        if hidden:
            told = [f"{unmet(c.text, config)}, see {c.where}" for c in hidden]
            reasons.append(f"cannot be chosen without {'; '.join(told)}")
        elif place.choice:
            reasons.append(f"another member of its choice was taken, see {place.where}")
        elif not place.prompt:
            reasons.append(f"has no prompt: only a select can set it, see {place.where}")
    return list(dict.fromkeys(reasons)) or [f"no unmet dependency was found, see {places[0].where}"]


def why_set(
    symbol: str, source: Path, found: Mapping[str, list[Definition]], config: Mapping[str, str]
) -> list[str]:
    """Why ``symbol``, asked to be off, is on: no choice, or something selects it."""
    places = found.get(symbol, [])
    pattern = re.compile(rf"^[ \t]*(?:select|imply)[ \t]+{re.escape(symbol)}\b", re.M)
    files = {place.where.partition(":")[0] for all_ in found.values() for place in all_}
    reasons = []
    for name in sorted(files):
        text = (source / name).read_text(encoding="utf-8", errors="replace")
        for match in pattern.finditer(text):
            owner = re.findall(r"(?m)^(?:menu)?config\s+(\w+)", text[: match.start()])
            if owner and config.get(owner[-1], "n") != "n":
                line = text.count("\n", 0, match.start()) + 1
                reasons.append(f"{owner[-1]} selects it, see {name}:{line}")
    hidden = [c for p in places for c in p.prompt_conditions if not holds(c.text, config)]
    reasons += [f"cannot be turned off without {unmet(c.text, config)}, see {c.where}"
                for c in hidden]  # fmt: skip
    return reasons or [f"defined in {places[0].where}" if places else "no such symbol"]
