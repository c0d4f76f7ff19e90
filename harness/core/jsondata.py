# SPDX-License-Identifier: GPL-2.0-only
"""Typed data to JSON and back, and from YAML: dataclasses, typed dictionaries."""

from __future__ import annotations

import json
import re
import shlex
import types
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import (
    Any,
    Literal,
    NotRequired,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import yaml

from harness.core.atomic import write_atomically
from harness.core.errors import InvocationError

T = TypeVar("T")
# What yaml raises of a text that is none: a date of 30 February is a ValueError, as is a number of
# 5000 digits or what is not UTF-8; a thousand brackets are a RecursionError.
NO_YAML = (yaml.YAMLError, ValueError, RecursionError)


def write_json(path: Path, data: object) -> None:
    """Writes JSON, dataclasses in it too, as a file that a reader sees whole or not at all."""
    write_atomically(path, json.dumps(data, indent=1, default=vars) + "\n")


def read_json(kind: type[T], path: Path) -> T:
    """The ``kind`` that a JSON file of a run or of the user's holds.

    Raises:
        InvocationError: it is damaged or another's, with the place in it; or cannot be read.
    """
    try:
        data = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise _damaged(path, error) from error
    except (PermissionError, IsADirectoryError) as error:
        step = f"ls -ld {shlex.quote(str(path))}"
        raise InvocationError(f"{path} cannot be read: {error.strerror}", next_step=step) from error
    return of_file(kind, data, path)


def read_kept(kind: type[T], path: Path) -> T | None:
    """What an earlier run has left, and can be found anew; None: nothing, or another version's."""
    try:
        return read_json(kind, path)
    except (FileNotFoundError, InvocationError):
        return None


def read_yaml(kind: type[T], path: Path, next_step: str, absent: T | None = None) -> T:
    """The ``kind`` that a table of a project holds, which somebody has written by hand.

    ``absent``: what stands for a file that is not there, where it need not be.

    Raises:
        InvocationError: it is no YAML, or another's, with the place in it.
    """
    if absent is not None and not path.is_file():
        return absent
    try:
        data = yaml.safe_load(path.read_text("utf-8"))
    except NO_YAML as error:
        why = " ".join(str(error).split())
        raise InvocationError(f"{path}: {why}", next_step=next_step) from error
    return of_table(kind, data, str(path), next_step)


def of_table(kind: type[T], data: Any, where: str, next_step: str) -> T:
    """``data``, which stands ``where`` in such a table, as a ``kind``; raises as ``read_yaml``."""
    try:
        return from_json(kind, data)
    except TypeError as error:
        raise InvocationError(f"{where}: {error}", next_step=next_step) from error


def of_file(kind: type[T], data: Any, path: Path) -> T:
    """``data``, which was read from ``path``, as a ``kind``; raises as ``read_json`` does."""
    try:
        return from_json(kind, data)
    except TypeError as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> InvocationError:
    what = f"{path} is damaged, or of another version: {error}"
    return InvocationError(what, next_step=f"rm {shlex.quote(str(path))}")


def from_json(kind: type[T], data: Any) -> T:
    """``data`` as a ``kind``; a TypeError: it has other fields or types, with where that is."""
    return _value(kind, data, "")  # type: ignore[no-any-return]


def _value(kind: Any, data: Any, at: str) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _one_of(inner, data, at)
    if origin is Literal:
        return data if data in inner else _differs(kind, data, at)
    if origin is NotRequired:
        return _value(inner[0], data, at)
    if is_dataclass(kind) or is_typeddict(kind):
        return _record(kind, data, at)
    if origin is re.Pattern:
        return _pattern(data, at)
    if kind is Path and isinstance(data, str):
        return Path(data)
    if origin is tuple and Ellipsis not in inner and isinstance(data, list):
        if len(data) != len(inner):
            return _differs(f"{len(inner)} values", data, at)
        pairs = enumerate(zip(inner, data, strict=True))
        return tuple(_value(of, value, f"{at}[{n}]") for n, (of, value) in pairs)
    if origin in (tuple, list, frozenset) and isinstance(data, list):
        return origin(_value(inner[0], value, f"{at}[{n}]") for n, value in enumerate(data))
    if origin is dict and isinstance(data, dict):
        return {
            _key(inner[0], name, at): _value(inner[1], value, f"{at}.{name}")
            for name, value in data.items()
        }
    # Not a subclass: YAML's true is no number, and its time of day no date.
    if kind in (Any, object) or type(data) is kind:
        return data
    return data if kind is float and isinstance(data, int) else _differs(kind, data, at)


def _key(kind: Any, name: Any, at: str) -> Any:
    """A key of a dictionary: JSON writes numbers there as text."""
    if kind is int and isinstance(name, str) and name.isdecimal():
        return int(name)
    return _value(kind, name, at)


def _pattern(data: Any, at: str) -> re.Pattern[str]:
    """A regular expression; of a list one has to match."""
    try:
        return re.compile(data if isinstance(data, str) else "|".join(f"(?:{p})" for p in data))
    except (re.error, TypeError) as error:
        raise TypeError(f"{_place(at)}: {error}") from error


def _one_of(kinds: tuple[Any, ...], data: Any, at: str) -> Any:
    for kind in kinds:
        try:
            return _value(kind, data, at)
        except TypeError:
            continue
    return _differs(" or ".join(getattr(kind, "__name__", str(kind)) for kind in kinds), data, at)


def _record(kind: Any, data: Any, at: str) -> Any:
    hints = get_type_hints(kind, include_extras=True)
    # Not __required_keys__: with annotations that are text it has those not required as well.
    needed = {name for name, hint in hints.items() if get_origin(hint) is not NotRequired}
    if is_dataclass(kind):
        has = (f for f in fields(kind) if f.default is f.default_factory is MISSING)
        needed = {f.name for f in has}
    if not isinstance(data, dict):
        return _differs(kind, data, at)
    if missing := sorted(needed - data.keys()):
        raise TypeError(f"{_place(at)}: {', '.join(missing)} is missing")
    if unknown := sorted(data.keys() - hints.keys(), key=str):
        known = ", ".join(hints)
        raise TypeError(f"{_place(at)}: {unknown[0]} is none of {known}")
    found = {name: _value(hints[name], value, f"{at}.{name}") for name, value in data.items()}
    return cast(Any, kind)(**found) if is_dataclass(kind) else found


def _place(at: str) -> str:
    return at.lstrip(".") or "the whole"


def _differs(kind: Any, data: Any, at: str) -> Any:
    wanted = getattr(kind, "__name__", kind)
    raise TypeError(f"{_place(at)}: {wanted} expected, not {repr(data)[:200]}")
