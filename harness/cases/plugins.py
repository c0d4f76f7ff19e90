# SPDX-License-Identifier: GPL-2.0-only
"""The Python files that a series may keep beside its ``series.yaml``.

They are host checks and drivers. A guest case that names a driver in its
listing is run as any other, but what ``drive`` of the module of that name asks reaches
the program. When the driver has done, the program reads the end of its input, and gives
its own verdict by KTAP; the driver's counts beside it.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from harness.core import events as ev
from harness.core.errors import HarnessError, InternalError
from harness.vm.protocol import Ask


def load_plugin(folder: Path, name: str) -> ModuleType | None:
    """The module ``folder/name.py`` or the package ``folder/name``, executed once a process.

    None where there is neither.

    Raises:
        InternalError: it cannot be imported; says why.
    """
    paths = (folder / name / "__init__.py", folder / f"{name}.py")
    path = next((path.resolve() for path in paths if path.is_file()), None)
    if path is None:
        return None
    identity = re.sub(r"\W", "_", f"plugin_{path}")
    if identity in sys.modules:
        return sys.modules[identity]
    spec = importlib.util.spec_from_file_location(identity, path)
    assert spec is not None and spec.loader is not None  # the name ends with .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[identity] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[identity]
        if isinstance(error, HarnessError) or not isinstance(error, Exception):
            raise
        raise InternalError(
            f"{path} cannot be loaded: {type(error).__name__}: {error}", evidence=path
        ) from error
    return module


@dataclass(frozen=True)
class Dialogue:
    """What a driver works with.

    ``ask`` sends one line and returns the answer; it raises EndedError where the program
    has ended, and must not be kept from raising. ``env``: what the case has in its
    environment. ``folder``: where the run leaves its files. ``again``: what to type for
    this run again, to which a driver may add a seed. ``pace``: how much slower than the
    reference the guest is.
    """

    ask: Ask
    env: Mapping[str, str]
    folder: Path
    again: str
    pace: float = 1.0


@dataclass(frozen=True)
class Judgement:
    """A driver's verdict: ``status`` 'pass' or 'fail'; ``notes`` go to the diagnostics."""

    status: ev.Status
    reason: str = ""
    notes: tuple[str, ...] = ()


Driver = Callable[[Dialogue], Judgement]  # the host's half of a case


def load_driver(folder: Path, name: str) -> Driver:
    """``drive`` of ``folder/name.py``, or of the package ``folder/name``.

    Raises:
        InternalError: there is none.
    """
    drive: Driver | None = getattr(load_plugin(folder, name), "drive", None)
    if drive is None:
        raise InternalError(f"there is no driver {name} in {folder}: no function drive")
    return drive
