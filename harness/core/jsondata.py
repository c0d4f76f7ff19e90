# SPDX-License-Identifier: GPL-2.0-only
"""Dataclasses back from the JSON that ``dataclasses.asdict`` made of them."""

from __future__ import annotations

from dataclasses import is_dataclass
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")


def from_json(kind: type[T], data: Any) -> T:
    """A dataclass, or a tuple or dict of one sort of values; a TypeError: its fields differ."""
    return _value(kind, data)  # type: ignore[no-any-return]


def _value(kind: Any, data: Any) -> Any:
    if is_dataclass(kind):
        hints, make = get_type_hints(kind), cast(Any, kind)
        return make(**{name: _value(hints.get(name), value) for name, value in data.items()})
    if get_origin(kind) is tuple:
        return tuple(_value(get_args(kind)[0], value) for value in data)
    if get_origin(kind) is dict:
        return {name: _value(get_args(kind)[1], value) for name, value in data.items()}
    return data
