# SPDX-License-Identifier: GPL-2.0-only
"""A scenario written as docs/races.md describes it: an order, with the program of another one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from harness.races.scenario import Point, Scenario

_HEADER = re.compile(r"\A(?://[^\n]*\n)?/\*\n(?: \*(?: [^\n]*)?\n)+ \*/\n")


def write_scenario(
    folder: Path, name: str, about: str, of: Scenario, points: Sequence[Point], variant: str
) -> Path:
    """Writes a file for RACE= of `make repro`, which holds the threads of ``of`` at ``points``.

    ``variant``: '' where it is for the user to name.
    """
    given: dict[str, Any] = {
        "name": name,
        "about": about,
        **({"project": of.project} if of.project else {}),
        "cpus": of.cpus,
        **({"variant": variant} if variant else {}),
        "threads": {t.name: {"cpu": t.cpu, "does": t.does} for t in of.threads},
        "points": [_written(point) for point in points],
        "outcome": {"hit": of.hit, "miss": of.miss},
    }
    text = yaml.safe_dump(given, sort_keys=False, allow_unicode=True, width=88)
    comment = "".join(
        f" * {line}".rstrip() + "\n" for line in text.replace("*/", "* /").splitlines()
    )
    body = _HEADER.sub("", of.source.read_text("utf-8"))
    path = folder / f"{name}.c"
    path.write_text(f"// SPDX-License-Identifier: GPL-2.0-only\n/*\n{comment} */\n{body}", "utf-8")
    return path


def _written(point: Point) -> dict[str, Any]:
    row: dict[str, Any] = {point.thread: str(point.place)}
    if point.says is not None:
        row["says"] = point.says
    if point.within:
        row["within"] = list(point.within)
    return row
