"""JSON from the daemon → the view dataclasses. Fields we don't know are left out: the daemon may be newer."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from bluegreen.domain.errors import BluegreenError

View = TypeVar("View")


def decode(view: type[View], data: object) -> View:
    """Raises BluegreenError when the data is not this view: then daemon and command line differ in version."""
    try:
        decoded: View = _value(view, data)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise BluegreenError(
            f"the daemon's answer is not a {view.__name__}: {error}",
            hint="Daemon and command line are of different versions? Restart the daemon: "
            "bluegreen down --daemon-only && bluegreen up",
        ) from error
    return decoded


@cache
def _hints(view: type[Any]) -> dict[str, Any]:
    return get_type_hints(view)


def _value(wanted: Any, data: Any) -> Any:
    if dataclasses.is_dataclass(wanted):
        assert isinstance(wanted, type)
        hints = _hints(wanted)
        return wanted(**{name: _value(hints[name], value) for name, value in data.items() if name in hints})
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin in (Union, types.UnionType):
        if data is None:
            return None
        return _value(next(choice for choice in inner if choice is not types.NoneType), data)
    if origin is tuple:
        return tuple(_value(inner[0], item) for item in data)
    if origin is not None and issubclass(origin, Mapping):
        return {key: _value(inner[1], item) for key, item in data.items()}
    return data
