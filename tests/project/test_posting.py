# SPDX-License-Identifier: GPL-2.0-only
"""What a series posts beyond its promises: selftests in the tree's own style.

``patches/<series>/<line>/posting/`` is not applied by any command. Its patches go on from the
series' numbers, so that ``git am`` of both folders gives what is posted.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.settings import PROJECT
from harness.series.mailbox import patch_files
from harness.series.patches import parse_patch

FOLDERS = sorted((PROJECT / "patches").glob("*/*/posting"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.parent.name)
def test_no_behaviour_comes_with_what_is_only_posted(folder: Path) -> None:
    numbers = [int(path.name[:4]) for path in (*patch_files(folder.parent), *patch_files(folder))]
    assert numbers == list(range(1, len(numbers) + 1))
    for path in patch_files(folder):
        files = parse_patch(path.read_bytes(), str(path)).files
        inside = [name.startswith("tools/testing/selftests/") for name in files]
        assert any(inside) and {"MAINTAINERS"} >= {
            name for name, within in zip(files, inside, strict=True) if not within
        }
