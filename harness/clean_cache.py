# SPDX-License-Identifier: GPL-2.0-only
"""``make clean-cache``: removes the store. Needs nothing but Python itself."""

from __future__ import annotations

import sys

from harness.errors import HarnessError
from harness.settings import from_environment
from harness.store import Store


def main() -> int:
    """Removes what no living run holds and says where it was."""
    try:
        settings = from_environment()
    except HarnessError as error:
        sys.stderr.write("\n".join(error.lines()) + "\n")
        return error.exit_code
    Store(settings.cache, settings.cache_limit).clean()
    sys.stdout.write(f"cleaned {settings.cache}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
