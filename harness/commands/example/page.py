# SPDX-License-Identifier: GPL-2.0-only
"""What programs of ``examples/`` counted, as pages made of templates. Pure functions.

A row is a diagnostic line of a case, ``@row`` and a JSON object; what its names mean is between the
case that prints it and the template beside the example.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.errors import InternalError
from harness.report.files import page_environment

ROW = "@row "


@dataclass(frozen=True)
class Page:
    """What a template is given. ``kernel``: its version; ``series``: the name of the project."""

    kernel: str
    series: str
    patches: int
    rows: tuple[dict[str, Any], ...]


def rows(cases: Iterable[Sequence[str]]) -> list[dict[str, Any]]:
    """The rows in the diagnostics of these cases, in their order.

    Raises:
        InternalError: what stands behind ``@row`` is no JSON object.
    """
    found = []
    for line in (line for diagnostics in cases for line in diagnostics if line.startswith(ROW)):
        try:
            row = json.loads(line.removeprefix(ROW))
        except ValueError as error:
            raise InternalError(f"a case counted, and printed no JSON: {line!r}") from error
        if not isinstance(row, dict):
            raise InternalError(f"a case counted, and printed no JSON object: {line!r}")
        found.append(row)
    return found


def render(template: Path, page: Page) -> str:
    """The text of a page or plot.

    A template that asks for something that no row has raises jinja2's UndefinedError.
    """
    pages = page_environment(template.parent, whole=True)
    return pages.get_template(template.name).render(page=page)
