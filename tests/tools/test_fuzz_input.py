# SPDX-License-Identifier: GPL-2.0-only
"""The fuzzer reads with the real readers, and sees one that fails or keeps memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import InternalError, InvocationError
from tools import fuzz_input
from tools.fuzz_input import EXAMPLES, Target, fuzz, targets


def test_one_round_over_all_readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_input, "EXAMPLES", 5)
    found = targets(tmp_path / "toy")
    assert all(target.samples for target in found)
    assert fuzz(found, 0.0, 1, tmp_path / "out") == 5 * len(found)


def test_a_reader_that_fails_is_found_with_its_input(tmp_path: Path) -> None:
    def fails(path: Path) -> None:
        if b"WARNING" in path.read_bytes():
            raise KeyError("x")

    with pytest.raises(InternalError, match=r"reading odd: KeyError.*SEED=3") as caught:
        fuzz([Target("odd", [b"a", b"b WARNING"], fails)], 0.0, 3, tmp_path)
    assert caught.value.evidence is not None
    assert b"WARNING" in caught.value.evidence.read_bytes()


def test_a_refusal_is_no_defect(tmp_path: Path) -> None:
    def refuses(path: Path) -> None:
        raise InvocationError("no")

    assert fuzz([Target("odd", [b"a"], refuses)], 0.0, 0, tmp_path) == EXAMPLES


def test_a_reader_that_keeps_memory_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuzz_input, "GROWTH_BYTES", 1 << 20)
    kept: list[bytearray] = []

    def keeps(path: Path) -> None:
        kept.append(bytearray(b"x" * (1 << 20)))

    with pytest.raises(InternalError, match="keeps memory"):
        fuzz([Target("odd", [b"a"], keeps)], 1.0, 0, tmp_path)
