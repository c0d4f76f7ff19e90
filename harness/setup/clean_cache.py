# SPDX-License-Identifier: GPL-2.0-only
"""``make clean-cache``: removes the store. Needs nothing but Python itself."""

from __future__ import annotations

import sys

from harness.core.settings import Settings
from harness.core.store import Store


def clean_cache(settings: Settings) -> int:
    """Removes what no living run holds and says where it was."""
    Store(settings.cache, settings.cache_limit).clean()
    sys.stdout.write(f"cleaned {settings.cache}\n")
    return 0
