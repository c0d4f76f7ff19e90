# SPDX-License-Identifier: GPL-2.0-only
"""What can be recorded again: the scenes, and each crash of LKDTM's by its name."""

from __future__ import annotations

import pytest

from tools.record_console import LKDTM, RECORDED, SCENES, scene_of


def test_a_crash_is_a_scene_by_its_name() -> None:
    line, seconds = scene_of("lkdtm_double_fault")
    assert line.startswith("echo DOUBLE_FAULT > ") and seconds == 3
    assert scene_of("lkdtm_loop") == SCENES["lkdtm_loop"] != (line, seconds)
    with pytest.raises(KeyError):
        scene_of("no_such_scene")


def test_there_are_crashes_to_record_again() -> None:
    assert len(list(RECORDED.glob(f"{LKDTM}*.log"))) > 20
