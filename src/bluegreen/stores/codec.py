"""Events as JSON, derived from the dataclasses of `domain.events`, so that a new event needs no code here.

The `kind` of an event is kept beside its payload, not in it. A payload has one key per field. A field
that is missing takes its default, so old logs stay readable when an event gains a field; a kind or a field
that this version does not know was written by a newer version, and guessing at it could undo a decision.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from bluegreen.domain.errors import StoreError
from bluegreen.domain.events import EVENT_KINDS, Event

_TYPE_NAMES = {dict: "an object", list: "a list", str: "a text", bool: "true or false", NoneType: "null"}

Decoder = Callable[[Any], Any]


class _Malformed(ValueError):
    """A value that does not fit its field. The message starts with the path of the field."""


class _Newer(ValueError):
    """A field that this version does not know."""


def encode(event: Event) -> str:
    """The event's payload. Raises StoreError when it could not be read back as the same event: what is
    written once is never changed, so an unreadable record would stay unreadable for ever."""
    try:
        payload = json.dumps(_to_plain(event), separators=(",", ":"), allow_nan=False)
        readable = decode(event.kind, payload) == event
    except (TypeError, ValueError, StoreError) as error:
        raise StoreError(f"event {event.kind!r} cannot be written to the log: {error}") from error
    if not readable:
        raise StoreError(f"event {event.kind!r} cannot be written to the log: it would be read back differently")
    return payload


def decode(kind: str, payload: str) -> Event:
    """The event of this kind. Raises StoreError when the payload is damaged, or from a newer version."""
    event_class: Any = EVENT_KINDS.get(kind)
    if event_class is None:
        raise _written_by_newer(f"it holds an event of the unknown kind {kind!r}")
    try:
        event: Event = _decoder_of_dataclass(event_class)(json.loads(payload))
    except _Newer as error:
        raise _written_by_newer(f"event {kind!r} has {error}") from None
    except ValueError as error:
        raise StoreError(
            f"event {kind!r} in the event log is damaged: {error}",
            hint="Restore the event log from a backup, or move it away to start with an empty history.",
        ) from error
    return event


def _written_by_newer(what: str) -> StoreError:
    return StoreError(
        f"the event log was written by a newer bluegreen: {what}; nothing was changed",
        hint="Run the bluegreen version that wrote it, or a newer one.",
    )


def _to_plain(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: _to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [_to_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _to_plain(item) for key, item in value.items()}
    return value


@cache
def _decoder_of_dataclass(owner: Any) -> Decoder:
    hints = get_type_hints(owner)
    decoders = {field.name: _decoder_of(hints[field.name]) for field in fields(owner)}
    required = {field.name for field in fields(owner) if not _has_default(field)}

    def decode_object(value: Any) -> Any:
        _expect(value, dict)
        if unknown := sorted(value.keys() - decoders.keys()):
            raise _Newer(f"the unknown field {unknown[0]!r}")
        if missing := sorted(required - value.keys()):
            raise _Malformed(f"the field {missing[0]!r} is missing")
        return owner(**{name: _at(name, decoders[name], item) for name, item in value.items()})

    return decode_object


def _has_default(field: Field[Any]) -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING


def _decoder_of(hint: Any) -> Decoder:
    """A function from a JSON value to a value of the annotated type."""
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return _optional(hint)
    if origin is tuple:
        item_type, ellipsis = get_args(hint)
        if ellipsis is Ellipsis:
            return _list_of(_decoder_of(item_type))
    if origin is dict or origin is Mapping:
        return _mapping_of(_decoder_of(get_args(hint)[1]))
    if isinstance(hint, type):
        if is_dataclass(hint):
            return _decoder_of_dataclass(hint)
        if issubclass(hint, StrEnum):
            return hint
        if hint in (str, bool, int, float):
            return _scalar(hint)
    raise TypeError(f"the event log has no form for the type {hint!r}")


def _scalar(wanted: type[Any]) -> Decoder:
    def decode_scalar(value: Any) -> Any:
        # JSON has one kind of number, and bool is an int to Python: neither may change what is read back.
        if wanted is float and type(value) is int:
            return float(value)
        if type(value) is not wanted:
            raise _Malformed(f"expected {wanted.__name__}, found {value!r:.60}")
        return value

    return decode_scalar


def _optional(hint: Any) -> Decoder:
    (inner,) = (option for option in get_args(hint) if option is not NoneType)
    decode_inner = _decoder_of(inner)
    return lambda value: None if value is None else decode_inner(value)


def _list_of(decode_item: Decoder) -> Decoder:
    def decode_list(value: Any) -> Any:
        _expect(value, list)
        return tuple(_at(f"[{index}]", decode_item, item) for index, item in enumerate(value))

    return decode_list


def _mapping_of(decode_item: Decoder) -> Decoder:
    def decode_mapping(value: Any) -> Any:
        _expect(value, dict)
        return {key: _at(key, decode_item, item) for key, item in value.items()}

    return decode_mapping


def _expect(value: Any, wanted: type[Any]) -> None:
    if type(value) is not wanted:
        raise _Malformed(f"expected {_TYPE_NAMES[wanted]}, found {_TYPE_NAMES.get(type(value), 'a number')}")


def _at(path: str, decoder: Decoder, value: Any) -> Any:
    try:
        return decoder(value)
    except _Newer:
        raise
    except ValueError as error:
        raise _Malformed(f"{path}: {error}") from None
