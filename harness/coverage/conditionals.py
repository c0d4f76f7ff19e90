# SPDX-License-Identifier: GPL-2.0-only
"""Which lines of a file a configuration leaves out, as far as CONFIG symbols alone decide it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_DIRECTIVE = re.compile(r"^\s*#\s*(?P<name>ifdef|ifndef|if|elif|else|endif)\b(?P<rest>.*)$")
_COMMENT = re.compile(r"/\*.*?\*/|//.*|/\*.*")
_TERM = re.compile(
    r"(?P<no>!\s*)?(?P<how>defined|IS_ENABLED|IS_BUILTIN|IS_REACHABLE|IS_MODULE)?"
    r"\s*\(?\s*CONFIG_(?P<symbol>\w+)\s*\)?"
)


@dataclass
class _Branches:
    """One #if to its #endif: whether a branch before was taken, and whether this one is."""

    taken: bool | None
    now: bool | None


def left_out(text: str, config: Mapping[str, str] | None) -> frozenset[int]:
    """The lines, from 1, that are not compiled; where it is not known they are.

    Args:
        config: the values of a .config by symbol, without CONFIG_; None: all are compiled.
    """
    if config is None:
        return frozenset()
    open_now: list[_Branches] = []
    found = set()
    for number, line in enumerate(text.splitlines(), 1):
        directive = _DIRECTIVE.match(line)
        if directive is None:
            if any(branch.now is False for branch in open_now):
                found.add(number)
            continue
        name, rest = directive["name"], _COMMENT.sub("", directive["rest"]).strip()
        if name in ("if", "ifdef", "ifndef"):
            holds = _holds(rest, config, plain=name != "if")
            now = _negated(holds) if name == "ifndef" else holds
            open_now.append(_Branches(now, now))
        elif not open_now:
            continue
        elif name == "endif":
            open_now.pop()
        else:
            branch = open_now[-1]
            holds = True if name == "else" else _holds(rest, config, plain=False)
            branch.now = _all([_negated(branch.taken), holds])
            branch.taken = _negated(_all([_negated(branch.taken), _negated(branch.now)]))
    return frozenset(found)


def _holds(condition: str, config: Mapping[str, str], *, plain: bool) -> bool | None:
    """What a condition comes to; None: nobody knows. ``plain``: it is of #ifdef."""
    choices = []
    for choice in condition.split("||"):
        terms = [_term(term.strip(), config, plain=plain) for term in choice.split("&&")]
        choices.append(_negated(_all(terms)))
    return _negated(_all(choices))


def _term(term: str, config: Mapping[str, str], *, plain: bool) -> bool | None:
    match = _TERM.fullmatch(term)
    if match is None or term.count("(") != term.count(")") or not (plain or match["how"]):
        return {"0": False, "1": True}.get(term)
    symbol, how = match["symbol"], match["how"]
    value = config.get(symbol, "n")
    if how is None or how == "defined":
        module = symbol.removesuffix("_MODULE")
        holds = value not in ("n", "m") or (module != symbol and config.get(module) == "m")
    elif how == "IS_REACHABLE" and value == "m":
        return None  # it depends on who asks
    else:
        holds = value in {"IS_ENABLED": "ym", "IS_MODULE": "m"}.get(how, "y")
    return holds != bool(match["no"])


def _negated(value: bool | None) -> bool | None:
    return None if value is None else not value


def _all(values: list[bool | None]) -> bool | None:
    """Whether all hold; None: nobody knows."""
    if False in values:
        return False
    return None if None in values else True
