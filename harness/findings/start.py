# SPDX-License-Identifier: GPL-2.0-only
"""``__main__`` of a finding's file: unpacks it into a temporary folder, and replays it there."""

from __future__ import annotations

import signal
import sys
import tempfile
import zipfile
from pathlib import Path


def start() -> int:
    """The exit status of the replay."""
    if sys.version_info < (3, 11):  # noqa: UP036 (on a machine that is not ours)
        sys.stderr.write("a finding needs Python 3.11 or later\n")
        return 3
    # What ends us ends the guest, and takes the folder away.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="finding-") as name:
        with zipfile.ZipFile(sys.path[0]) as archive:
            archive.extractall(name)
        sys.path.insert(0, f"{name}/lib")
        from harness.findings.replay import main

        return main(sys.argv[1:], Path(name))


if __name__ == "__main__":
    sys.exit(start())
