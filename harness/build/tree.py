# SPDX-License-Identifier: GPL-2.0-only
"""One state of a series on its base, and what builds it: what every step of a build works on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.build.folder import build_dir, place_config
from harness.build.toolchain import BuildTools
from harness.series.apply import Applied
from harness.series.base import Base
from harness.series.worktree import SourceTree, source_tree


@dataclass(frozen=True)
class TreeUnderTest:
    """``base`` with ``applied`` on it. ``log`` gets what make and the compiler say."""

    tools: BuildTools
    base: Base
    applied: Applied
    log: Path

    def source(self) -> contextlib.AbstractContextManager[SourceTree]:
        """The source tree in this state, ours until the block ends."""
        return source_tree(self.tools.store, self.base, self.applied, self.tools.events)

    @contextlib.contextmanager
    def folder(self, purpose: str, config: str) -> Iterator[tuple[SourceTree, Path]]:
        """The source tree, and its build folder for ``purpose`` with the text of a .config."""
        with self.source() as source, build_dir(self.tools, self.base, purpose, source) as out:
            place_config(config, out)
            yield source, out
