# SPDX-License-Identifier: GPL-2.0-only
"""Runs that were not made, under the names that this process's own runs have."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.session import run_id


def folder_of_ours(out: Path) -> Path:
    """Where the run of this process is that began when the century did."""
    return out / run_id(datetime(2001, 1, 1, tzinfo=UTC), os.getpid())


def leave(out: Path, document: dict[str, Any]) -> None:
    """Makes ``document`` the results of this process's last run."""
    folder = folder_of_ours(out)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(document))


def point_ours(out: Path, name: str) -> None:
    """Makes the folder ``name`` this process's last run."""
    link = folder_of_ours(out)
    link.unlink(missing_ok=True)
    link.symlink_to(name)
