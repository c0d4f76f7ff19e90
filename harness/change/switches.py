# SPDX-License-Identifier: GPL-2.0-only
"""What of a configuration must be set so that a symbol can be: its Kconfig, solved for one answer.

Enough of the language is read to propose symbols: prompts, dependencies, selects, choices.
Whether a proposal is right the tree's own Kconfig says, for the configuration is made from it
and checked (``build/kconfig.py:configure``).
Source: Documentation/kbuild/kconfig-language.rst of the kernel.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.build.explain import Block
from harness.build.fragments import NOT_SET

MAX_DEPTH = 8  # of dependencies of dependencies
_TOKEN = re.compile(r'\s*(&&|\|\||!=|!|<=|>=|<|>|=|\(|\)|"[^"]*"|[\w./$()-]+?(?=[\s()!=<>&|]|$))')
_PROMPT = re.compile(
    r'^(?:bool|tristate|prompt)\s+(?:"(?:[^"\\]|\\.)*"|\S+)(?:\s+if\s+(?P<when>.+))?$'
)
_DEPENDS = re.compile(r"^(?:depends on|visible if)\s+(?P<when>.+)$")
_SELECT = re.compile(r"^select\s+(?P<symbol>\w+)(?:\s+if\s+(?P<when>.+))?$")
_DEFAULT = re.compile(
    r"^(?:def_bool|def_tristate|default)\s+(?P<value>.+?)(?:\s+if\s+(?P<when>.+))?$"
)
Proposal = frozenset[str]


@dataclass(frozen=True)
class Refusal:
    """Why a symbol cannot be set, in words."""

    why: str


class Kconfig:
    """All blocks of a tree, and the values of a configuration without the symbols asked for.

    ``fixed``: symbols that the flavour itself decides; they are left as they are.
    """

    def __init__(
        self, blocks: Iterable[Block], config: Mapping[str, str], fixed: frozenset[str]
    ) -> None:
        self.config, self.fixed = config, fixed
        self._of: dict[str, list[Block]] = defaultdict(list)
        self._selected_by: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for block in blocks:
            self._of[block.symbol].append(block)
            for text in _texts(block.lines):
                if match := _SELECT.match(text):
                    self._selected_by[match["symbol"]].append((block.symbol, match["when"] or ""))

    def is_set(self, symbol: str) -> bool:
        """Whether the configuration has it as y or m."""
        return self.config.get(symbol, NOT_SET) in ("y", "m")

    def propose(self, symbol: str, depth: int = MAX_DEPTH) -> Proposal | Refusal:
        """The symbols to set so that ``symbol`` is; none where it is set already."""
        if self.is_set(symbol):
            return frozenset()
        if symbol in self.fixed:
            return Refusal(f"CONFIG_{symbol}, which the flavour leaves out")
        if symbol not in self._of:
            return Refusal(f"CONFIG_{symbol}, which this tree does not have for this architecture")
        if not depth:
            return Refusal(f"CONFIG_{symbol}, which needs too much else")
        answers = [self._block(block, depth) for block in self._of[symbol]]
        answers += [
            _all((self.propose(by, depth - 1), self._met(when, depth)))
            for by, when in self._selected_by[symbol]
            if depth > 1 and not any(isinstance(answer, frozenset) for answer in answers)
        ]
        return _best(answers)

    def propose_all(self, symbols: Iterable[str]) -> Proposal | Refusal:
        """The symbols to set so that all of ``symbols`` are; or why one of them cannot be."""
        return _all(map(self.propose, symbols))

    def _block(self, block: Block, depth: int) -> Proposal | Refusal:
        """By one of its definitions."""
        symbol, around, own = block.symbol, _texts(block.around), _texts(block.lines)
        if any(text.startswith("choice") for text in around):
            return Refusal(f"CONFIG_{symbol}, which is one of a choice")
        whens = [m["when"] for text in (*own, *around) if (m := _DEPENDS.match(text))]
        whens += [text.removeprefix("if ") for text in around if text.startswith("if ")]
        answer = _all(self._met(when, depth) for when in whens)
        if isinstance(answer, frozenset):
            answer = _all((answer, self._itself(symbol, own, depth)))
        if isinstance(answer, Refusal):
            return Refusal(f"CONFIG_{symbol}, which needs {answer.why}")
        return answer

    def _itself(self, symbol: str, own: list[str], depth: int) -> Proposal | Refusal:
        """What sets it where all that it depends on is set: a user, or a default."""
        if prompt := next(filter(None, map(_PROMPT.match, own)), None):
            return _all((frozenset({symbol}), self._met(prompt["when"] or "", depth)))
        defaults = [
            _all((self._met(m["value"], depth), self._met(m["when"] or "", depth)))
            for text in own
            if (m := _DEFAULT.match(text))
        ]
        return _best(defaults) if defaults else Refusal("another symbol that selects it")

    def _met(self, when: str, depth: int) -> Proposal | Refusal:
        """What makes an expression true; none where it is empty."""
        tokens = _TOKEN.findall(when.split("#", 1)[0].strip())
        return self._or(tokens, depth) if tokens else frozenset()

    # The grammar, from the operator that binds least; each takes its tokens off the front.
    def _or(self, tokens: list[str], depth: int) -> Proposal | Refusal:
        answers = [self._and(tokens, depth)]
        while tokens and tokens[0] == "||":
            tokens.pop(0)
            answers.append(self._and(tokens, depth))
        return _best(answers)

    def _and(self, tokens: list[str], depth: int) -> Proposal | Refusal:
        answers = [self._term(tokens, depth)]
        while tokens and tokens[0] == "&&":
            tokens.pop(0)
            answers.append(self._term(tokens, depth))
        return _all(answers)

    def _term(self, tokens: list[str], depth: int) -> Proposal | Refusal:
        if not tokens:
            return Refusal("an expression that cannot be read")
        word = tokens.pop(0)
        if word == "(":
            answer = self._or(tokens, depth)
            tokens[:1] = []
            return answer
        if word == "!":
            return self._negated(tokens, depth)
        if tokens and tokens[0] in ("=", "!=", "<", ">", "<=", ">="):
            sign, value = tokens.pop(0), tokens.pop(0) if tokens else ""
            return self._compared(word, sign, value.strip('"'), depth)
        if word in ("y", "m", "n"):
            return Refusal("what is never so") if word == "n" else frozenset()
        return self.propose(word, depth - 1)

    def _negated(self, tokens: list[str], depth: int) -> Proposal | Refusal:
        """``!X``: only as the configuration is, nothing is switched off."""
        start = list(tokens)
        met = self._term(tokens, depth)
        said = " ".join(start[: len(start) - len(tokens)])
        return Refusal(f"!{said}") if met == frozenset() else frozenset()

    def _compared(self, symbol: str, sign: str, value: str, depth: int) -> Proposal | Refusal:
        have = self.config.get(symbol, NOT_SET).strip('"')
        wanted = (sign, value) in (("=", "y"), ("!=", "n"), ("=", "m"))
        if wanted:
            return self.propose(symbol, depth - 1)
        holds = (have == value) == (sign == "=") if sign in ("=", "!=") else True
        return frozenset() if holds else Refusal(f"CONFIG_{symbol}{sign}{value}")


def _texts(lines: Iterable[str]) -> list[str]:
    """Lines of a block without their places."""
    return [line.partition(": ")[2] for line in lines]


def _all(answers: Iterable[Proposal | Refusal]) -> Proposal | Refusal:
    """The symbols of all the answers; or the first refusal."""
    symbols: Proposal = frozenset()
    for answer in answers:
        if isinstance(answer, Refusal):
            return answer
        symbols |= answer
    return symbols


def _best(answers: Iterable[Proposal | Refusal]) -> Proposal | Refusal:
    """The answer with the fewest symbols, else the first refusal."""
    known = list(answers)
    good = [answer for answer in known if isinstance(answer, frozenset)]
    return min(good, key=lambda answer: (len(answer), sorted(answer))) if good else known[0]
