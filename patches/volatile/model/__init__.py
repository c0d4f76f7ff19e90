# SPDX-License-Identifier: GPL-2.0-only
"""The model of volatile ranges: the host's half of ``guest-tests/volatile/model.c``.

``steps.py`` is the language of the programs, ``generate.py`` draws them, ``world.py``,
``state.py`` and ``looks.py`` are the contract as a model, ``search.py`` runs batches and
shrinks, ``c_program.py`` writes down what diverged, and ``drive.py`` puts it together.
"""

from .drive import drive

__all__ = ["drive"]
