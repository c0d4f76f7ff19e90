# SPDX-License-Identifier: GPL-2.0-only
"""What ``make soak KIND=`` can repeat for volatile ranges."""

from __future__ import annotations

from harness.cases.soakers import CaseSoaker, Soaker

SOAKERS: dict[str, Soaker] = {
    "model": CaseSoaker(("volatile/model.c::random_programs",), {"MODEL_BATCHES": "1"}),
    "stress": CaseSoaker(
        ("volatile/stress.c::small_pages", "volatile/stress.c::huge_pages"),
        env={"STRESS_TIMES": "1"},
        patience=4,
    ),
    "odd": CaseSoaker(
        ("volatile/odd_neighbours.c::odd_neighbours",), env={"ODD_TIMES": "10"}, patience=6
    ),
}
