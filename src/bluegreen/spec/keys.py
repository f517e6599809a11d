"""Every key of the file: its path, type, default and meaning, read from the model that checks the file."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from bluegreen.spec.file_model import Document
from bluegreen.spec.toml_text import toml_text

REQUIRED = "required"
NOT_SET = "not set"


@dataclass(frozen=True, slots=True)
class ConfigurationKey:
    """`path` has NAME for a service's name and `[]` for a list, `default` is TOML, `required` or `not set`."""

    path: str
    type: str
    default: str
    description: str


class Kind(StrEnum):
    TABLE = "table"
    MAP = "map"
    LIST = "list"
    SCALAR = "scalar"


@dataclass(frozen=True, slots=True)
class Shape:
    """What a key may hold. `inner` is the model of a table, or the annotation of a map's or list's values."""

    kind: Kind
    inner: Any


def shape(annotation: Any) -> Shape:
    """Takes `Annotated` and `| None` off an annotation and says what is left."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return Shape(Kind.TABLE, annotation)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return shape(arguments[0])
    if origin in (types.UnionType, typing.Union):
        return shape(next(argument for argument in arguments if argument is not type(None)))
    if origin is dict:
        return Shape(Kind.MAP, arguments[1])
    if origin is list:
        return Shape(Kind.LIST, arguments[0])
    return Shape(Kind.SCALAR, annotation)


def fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a table by the name they have in the file."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def table_at(location: tuple[str | int, ...], root: type[BaseModel] = Document) -> type[BaseModel] | None:
    """The model of the table at a place of the document, None when no table belongs there."""
    current: Any = root
    for part in location:
        here = shape(current)
        if here.kind is Kind.TABLE:
            field = fields(here.inner).get(str(part))
            if field is None:
                return None
            current = field.annotation
        elif here.kind is Kind.SCALAR:
            return None
        else:
            current = here.inner
    here = shape(current)
    return here.inner if here.kind is Kind.TABLE else None


def configuration_keys(root: type[BaseModel] = Document) -> list[ConfigurationKey]:
    """Every key of the file in the order of the model; tables that only hold keys are left out."""
    return list(_keys_below("", root))


def _keys_below(prefix: str, model: type[BaseModel]) -> Iterator[ConfigurationKey]:
    for name, field in fields(model).items():
        path, here = f"{prefix}{name}", shape(field.annotation)
        holds = shape(here.inner) if here.kind in (Kind.MAP, Kind.LIST) else here
        if holds.kind is Kind.TABLE:
            ending = {Kind.TABLE: ".", Kind.MAP: ".NAME.", Kind.LIST: "[]."}[here.kind]
            yield from _keys_below(path + ending, holds.inner)
        else:
            yield ConfigurationKey(path, _type_name(here), _default(field), field.description or "")


def _type_name(here: Shape) -> str:
    if here.kind is Kind.LIST:
        return f"list of {_type_name(shape(here.inner))}"
    if here.kind is Kind.MAP:
        return f"table of {_type_name(shape(here.inner))}"
    if typing.get_origin(here.inner) is Literal:
        return " or ".join(toml_text(choice) for choice in typing.get_args(here.inner))
    return {bool: "true or false", int: "whole number", float: "number", str: "text"}.get(here.inner, "any value")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return REQUIRED
    value = field.get_default(call_default_factory=True, validated_data={})
    return NOT_SET if value is None or value == "" else toml_text(value)
