# SPDX-License-Identifier: GPL-2.0-only
"""The toy's Kconfig: a symbol is granted when its conditions hold, in one order."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

STARTS = ("config", "if", "menu", "choice", "endif", "endmenu", "endchoice")


@dataclass
class Symbol:
    """One config entry."""

    depends: list[str]
    prompt: bool = False
    default: bool = False
    prompt_if: list[str] = field(default_factory=list)
    select: list[str] = field(default_factory=list)


def statements(tree: Path, name: str) -> Iterator[str]:
    """The lines of a Kconfig file and of those it sources."""
    for line in (tree / name).read_text().replace("\\\n", " ").splitlines():
        line = " ".join(line.split())
        if line.startswith("source "):
            yield from statements(tree, line.split('"')[1])
        elif line:
            yield line


def symbols(tree: Path) -> dict[str, Symbol]:
    """Every symbol of the tree, in order."""
    found: dict[str, Symbol] = {}
    stack: list[str] = []
    item: Symbol | None = None
    helping = False
    for line in statements(tree, "Kconfig"):
        word, _, rest = line.partition(" ")
        helping = word == "help" or (helping and word not in STARTS)
        if helping:
            continue
        if word == "syntaxerror":
            sys.exit("Kconfig:1: syntax error")
        if word == "config":
            item = found[rest] = Symbol([*stack])
        elif word in ("if", "menu", "choice"):
            stack.append(rest if word == "if" else "")
            item = None
        elif word in ("endif", "endmenu", "endchoice"):
            stack.pop()
            item = None
        elif line.startswith("depends on "):
            if item is None:
                stack[-1] = line[11:]
            else:
                item.depends.append(line[11:])
        elif item is not None and word == "bool" and rest:
            item.prompt = True
            item.prompt_if = re.findall(r" if (.*)$", rest)
        elif item is not None and word == "select":
            item.select.append(rest)
        elif item is not None and word == "default":
            item.default = rest == "y"
    return found


def holds(text: str, config: set[str]) -> bool:
    """Whether a conjunction of symbols and negated symbols is true."""
    return all(
        (part.lstrip("!") in config) != part.startswith("!") for part in text.split(" && ") if part
    )


def main() -> None:
    """Writes .config, touching it only where it changes."""
    target, tree, release = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    given = Path(os.environ.get("KCONFIG_ALLCONFIG") or ".config").read_text()
    lines = re.findall(r"(?m)^(?:CONFIG_(\w+)=(\w+)|# CONFIG_(\w+) is not set)$", given)
    wanted = {on or off: value or "n" for on, value, off in lines}
    known = symbols(tree)
    config: set[str] = set()
    for _ in range(5):
        for name, about in known.items():
            if not all(holds(text, config) for text in about.depends):
                config.discard(name)
                continue
            asked = about.prompt and all(holds(text, config) for text in about.prompt_if)
            if target == "alldefconfig" and name not in wanted:
                asked = False
            if (wanted.get(name) == "y") if asked else about.default:
                config |= {name, *about.select}
    lines = [f"# Toy {release} {target}"]
    lines += [f"CONFIG_{n}=y" if n in config else f"# CONFIG_{n} is not set" for n in known]
    text = "\n".join(lines) + "\n"
    if not Path(".config").exists() or Path(".config").read_text() != text:
        Path(".config").write_text(text)


main()
