# SPDX-License-Identifier: GPL-2.0-only
"""What the preprocessor leaves out."""

from __future__ import annotations

import pytest

from harness.coverage.conditionals import left_out

CONFIG = {"A": "y", "M": "m", "S": '"text"'}


@pytest.mark.parametrize(
    ("condition", "compiled"),
    [
        ("#ifdef CONFIG_A", True),
        ("#ifndef CONFIG_A /* why */", False),
        ("#ifdef CONFIG_B", False),
        ("#ifdef CONFIG_M", False),
        ("#ifdef CONFIG_M_MODULE", True),
        ("#if defined(CONFIG_A) && !defined(CONFIG_B)", True),
        ("#if defined CONFIG_B || IS_ENABLED(CONFIG_M)", True),
        ("#if IS_BUILTIN(CONFIG_M)", False),
        ("#if defined(CONFIG_B) && X > 3", False),
        ("#  if 0", False),
    ],
)
def test_what_a_symbol_decides(condition: str, compiled: bool) -> None:
    text = f"{condition}\nthen\n#else\notherwise\n#endif\nalways\n"
    assert left_out(text, CONFIG) == ({4} if compiled else {2})


@pytest.mark.parametrize(
    "condition",
    ["#if X", "#ifdef X", "#if (defined(CONFIG_A) || X) && Y", "#if IS_REACHABLE(CONFIG_M)"],
)
def test_what_is_not_known_counts_as_compiled(condition: str) -> None:
    assert left_out(f"{condition}\nthen\n#else\notherwise\n#endif\n", CONFIG) == frozenset()


def test_a_later_branch_and_one_inside_another() -> None:
    text = "\n".join(
        ("#ifdef CONFIG_B", "2", "#ifdef CONFIG_A", "4", "#endif", "#elif defined(CONFIG_A)", "7",
         "#elif defined(CONFIG_M)", "9", "#else", "11", "#endif")
    )  # fmt: skip
    assert left_out(text, CONFIG) == {2, 4, 9, 11}
