# SPDX-License-Identifier: GPL-2.0-only
"""How Hypothesis draws here: every number as likely as any other, and by the seed alone.

Left to itself it prefers small numbers, and constants that it finds in the source of
whatever modules are loaded: then the same seed would draw other programs in another
command. Shrinking is its own.
"""

from __future__ import annotations

from hypothesis.internal.conjecture.providers import AVAILABLE_PROVIDERS, HypothesisProvider

BACKEND = "uniform"


class UniformProvider(HypothesisProvider):
    """Draws bounded integers uniformly."""

    def _maybe_draw_constant(self, *_: object, **__: object) -> None:
        return None

    def draw_integer(
        self,
        min_value: int | None = None,
        max_value: int | None = None,
        *,
        weights: dict[int, float] | None = None,
        shrink_towards: int = 0,
    ) -> int:
        assert self._random is not None and min_value is not None and max_value is not None
        return self._random.randint(min_value, max_value)


def register() -> str:
    """Makes the backend known to Hypothesis; its name for ``settings(backend=)``."""
    AVAILABLE_PROVIDERS[BACKEND] = f"{__name__}.UniformProvider"
    return BACKEND
