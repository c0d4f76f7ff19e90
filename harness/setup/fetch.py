# SPDX-License-Identifier: GPL-2.0-only
"""A file from elsewhere, by its address, and the same only if it has the hash that we know."""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from pathlib import Path

from harness.core.errors import MachineError

TIMEOUT_S = 30.0  # without a byte
PIECE_BYTES = 1 << 20


class UnavailableError(MachineError):
    """It is not to be had there: no network, gone, or not what its hash or signature says."""


def fetch(url: str, sha256: str, target: Path) -> None:
    """Fetches ``url`` into ``target``; ``sha256``: its hash, 64 hex digits.

    Raises:
        UnavailableError: no answer, or another file; then ``target`` is not there.
    """
    total = hashlib.sha256()
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer, open(target, "wb") as file:
            while piece := answer.read(PIECE_BYTES):
                total.update(piece)
                file.write(piece)
    # HTTPException: a connection that ends in the middle of an answer.
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as why:
        target.unlink(missing_ok=True)
        raise UnavailableError(f"{url} could not be fetched: {why}") from why
    if total.hexdigest() != sha256:
        target.unlink()
        raise UnavailableError(f"{url} has the SHA256 {total.hexdigest()}, not {sha256}")
