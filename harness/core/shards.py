# SPDX-License-Identifier: GPL-2.0-only
"""A shard of the cases: which part of them one run takes, so that others can take the rest.

A case's shard follows from its id alone. A case that is added, moved or renamed changes
no other's, and two machines agree without talking.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Shard:
    """Part ``number`` (from 1) of ``of`` parts."""

    number: int = 1
    of: int = 1

    def holds(self, case_id: str) -> bool:
        """Whether a case belongs to this part."""
        value = int.from_bytes(hashlib.sha256(case_id.encode()).digest()[:8], "big")
        return value % self.of == self.number - 1

    @property
    def first(self) -> bool:
        """Whether this part also does what a run does once, such as the host checks."""
        return self.number == 1


WHOLE = Shard()
