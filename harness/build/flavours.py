# SPDX-License-Identifier: GPL-2.0-only
"""``CONFIG=``: a flavour of flavours.yaml or a .config of the user's, and fragments on top.

``kasan`` is a flavour, ``kasan+~/extra.config`` asks for more than it does, and
``~/linux/.config`` is a whole configuration, over which what a guest needs is laid.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.core.errors import InvocationError
from harness.core.settings import PROJECT

FOLDER = PROJECT / "kconfig"
HELP = "see docs/configs.md"
_OWN = ".config"  # the row of flavours.yaml for a configuration that comes from the user


@dataclass(frozen=True)
class Flavour:
    """A configuration to make: ``fragments`` in order over what they are merged over.

    ``name`` is safe in the name of a file; ``memory_mb``: of a guest, in MiB; None: as usual.
    ``defconfig``: the tree's file that they are merged over, ``own``: the user's; with neither
    it is the tree's tinyconfig.
    """

    name: str
    fragments: tuple[Path, ...]
    memory_mb: int | None = None
    defconfig: str = ""
    own: Path | None = None

    def start(self, arch: str) -> tuple[str, ...]:
        """The tree's own files that come before the fragments, as far as the tree has them."""
        if self.own:
            return ()
        if self.defconfig:
            return (self.defconfig,)
        # What `make tinyconfig` merges.
        return ("kernel/configs/tiny-base.config", "kernel/configs/tiny.config",
                f"arch/{arch}/configs/tiny.config")  # fmt: skip


def _table() -> dict[str, dict[str, Any]]:
    table: dict[str, dict[str, Any]] = yaml.safe_load((FOLDER / "flavours.yaml").read_text("utf-8"))
    return table


def flavour_names() -> list[str]:
    """The names of all flavours, as in the file."""
    return [name for name in _table() if name != _OWN]


def load_flavour(config: str) -> Flavour:
    """What ``CONFIG=`` says.

    Raises:
        InvocationError: a part of it is no flavour and no file.
    """
    names, table = flavour_names(), _table()
    first, *more = _parts(config, names)
    own = None if first in names else _file(config, first, names)
    row = table[_OWN if own else first]
    extra = [_file(config, part) for part in more]
    shipped = [FOLDER / f"{fragment}.config" for fragment in row["fragments"]]
    label = "+".join([_label(own, names) if own else first, *(_label(path) for path in extra)])
    return Flavour(label, (*shipped, *extra), row.get("memory_mb"), own=own)


def _parts(config: str, names: list[str]) -> list[str]:
    """CONFIG= at its +, but for a + in the name of a file that is there."""
    parts, rest = [], config.split("+")
    while rest:
        tries = (("+".join(rest[:n]), n) for n in range(len(rest), 0, -1))
        known = (t for t in tries if t[0] in names or Path(t[0]).expanduser().is_file())
        part, taken = next(known, (rest[0], 1))
        parts.append(part)
        del rest[:taken]
    return parts


def _file(config: str, part: str, names: list[str] | None = None) -> Path:
    path = Path(part).expanduser().absolute()
    if part and path.is_file():
        return path
    what = f"CONFIG={config}: there is no file {part or '(nothing)'}"
    if names:
        what += f", and no such flavour, only {', '.join(sorted(names))}"
    raise InvocationError(what, next_step=HELP)


def _label(path: Path, names: list[str] | None = None) -> str:
    """A file's part of a flavour's name, which is no flavour's."""
    name = f"{path.parent.name}.config" if path.name == ".config" else path.name
    name = f"{name}.config" if names and name in names else name
    return re.sub(r"[^\w.-]+", "-", name)
