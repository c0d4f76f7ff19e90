# SPDX-License-Identifier: GPL-2.0-only
"""The Python files that a series may keep beside its ``series.yaml``.

They are host checks, drivers of cases and soakers; each of those says what it wants of
the module.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

from harness.core.errors import HarnessError, InternalError


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
    if spec is None or spec.loader is None:
        raise InternalError(f"{path} cannot be loaded")
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
