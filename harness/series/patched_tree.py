# SPDX-License-Identifier: GPL-2.0-only
"""The patched tree as git objects: what is read of it without a worktree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.core import git


@dataclass(frozen=True)
class PatchedTree:
    """``commit`` of ``repo`` is the patched tree, ``base`` the commit that it was made from."""

    repo: Path
    commit: str
    base: str

    def read(self, path: str, commit: str | None = None) -> str:
        """A file's text at the applied commit (or another one); '' where it is not there."""
        return git.file_text(self.repo, commit or self.commit, path) or ""
