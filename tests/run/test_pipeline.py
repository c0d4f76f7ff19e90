# SPDX-License-Identifier: GPL-2.0-only
"""What of a series is asked for, and cannot be had."""

from __future__ import annotations

import pytest

from harness.core.errors import InvocationError
from harness.core.settings import from_environment
from harness.run.pipeline import check_parts


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"VARIANT": "x", "PATCHES": "2"}, "VARIANT= goes on top of the whole series"),
        ({"FIX": "mail", "PATCHES": "2"}, "FIX= goes on top of the whole series"),
        ({"PATCH": "5"}, "PATCH=5: the series has only 4 patches"),
    ],
)
def test_parts_that_cannot_be_had_are_refused(asked: dict[str, str], why: str) -> None:
    with pytest.raises(InvocationError, match=why):
        check_parts(from_environment(asked), 4)


@pytest.mark.parametrize("asked", [{"PATCH": "4"}, {"PATCHES": "2"}, {"VARIANT": "x"}, {}])
def test_parts_that_are_there_are_taken(asked: dict[str, str]) -> None:
    check_parts(from_environment(asked), 4)
