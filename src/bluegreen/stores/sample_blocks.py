"""Samples of one workload as bytes: column by column, each in the smallest whole numbers that hold it, then zlib.

A block says which columns it has, by their numbers. What it does not have was not measured; a number that this version
does not know was written by a newer one and is passed over.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Collection, Sequence

from bluegreen.domain.columns import COLUMNS
from bluegreen.domain.sample import Sample, Value

FORMAT = 1
_PLAIN, _DEFLATED = 0, 1
_WORTH_DEFLATING_BYTES = 64
_HEADER = struct.Struct("<BBHq")
"""Format, how the rest is packed, number of samples, `at` of the first in milliseconds since the epoch."""
_SIZES = (("B", 1 << 8), ("H", 1 << 16), ("I", 1 << 32), ("Q", 1 << 64))
_WIDTHS = {"B": 1, "H": 2, "I": 4, "Q": 8, "d": 8}
_FLOATS = "d"
_BY_NUMBER = {column.number: place for place, column in enumerate(COLUMNS)}
_SECONDS = next(column.number for column in COLUMNS if column.name == "seconds")
_MILLISECONDS_PER_SECOND = 1000


def milliseconds(seconds: float) -> int:
    """The unit of the file: everything that is compared there is whole."""
    return round(seconds * _MILLISECONDS_PER_SECOND)


def encode(samples: Sequence[Sample]) -> bytes:
    """Of 1 to 65,535 samples, ascending."""
    times = [milliseconds(sample.at) for sample in samples]
    parts = [_numbers(0, [time - times[0] for time in times])]
    zeros = []
    for column, values in zip(COLUMNS, zip(*(sample.values for sample in samples), strict=True), strict=True):
        missing = values.count(None)
        if missing == len(values):
            continue
        if not missing and not any(values):
            zeros.append(column.number)
        else:
            parts.append(_column(column.number, values, missing=missing > 0))
    body = bytes([len(zeros), *zeros]) + b"".join(parts)
    packing = _DEFLATED if len(body) >= _WORTH_DEFLATING_BYTES else _PLAIN
    header = _HEADER.pack(FORMAT, packing, len(samples), times[0])
    return header + (zlib.compress(body, 6) if packing == _DEFLATED else body)


def _column(number: int, values: Sequence[Value], *, missing: bool) -> bytes:
    if missing:
        return _floats(number, [math.nan if value is None else value for value in values])
    known = [value for value in values if value is not None]
    if number == _SECONDS:
        known = [round(value * _MILLISECONDS_PER_SECOND) for value in known]
    if all(type(value) is int for value in known) and min(known) >= 0:
        return _numbers(number, known)  # type: ignore[arg-type]
    return _floats(number, known)


def _numbers(number: int, values: Sequence[int]) -> bytes:
    highest = max(values)
    code = next((code for code, limit in _SIZES if highest < limit), _FLOATS)
    return struct.pack(f"<Bc{len(values)}{code}", number, code.encode(), *values)


def _floats(number: int, values: Sequence[float]) -> bytes:
    return struct.pack(f"<Bc{len(values)}d", number, b"d", *values)


def decode(data: bytes, columns: Collection[str] | None = None) -> list[Sample]:
    """The samples with these columns, or with all. Raises ValueError when the bytes are damaged."""
    try:
        return _decoded(data, columns)
    except (struct.error, zlib.error, IndexError, KeyError) as error:
        raise ValueError(f"a block of samples is damaged: {error}") from error


def _decoded(data: bytes, columns: Collection[str] | None) -> list[Sample]:
    form, packing, count, first = _HEADER.unpack_from(data)
    if form != FORMAT:
        raise ValueError(f"a block of samples has format {form}, this version reads {FORMAT}")
    body = data[_HEADER.size :]
    if packing == _DEFLATED:
        body = zlib.decompress(body)
    nothing, zero = (None,) * count, (0,) * count
    found: list[Sequence[Value]] = [nothing] * len(COLUMNS)
    times: Sequence[int] = ()
    position = 1 + body[0]
    for number in body[1:position]:
        if (place := _BY_NUMBER.get(number)) is not None:
            found[place] = zero
    while position < len(body):
        number, code = body[position], chr(body[position + 1])
        begin, position = position + 2, position + 2 + count * _WIDTHS[code]
        if number == 0:
            times = struct.unpack_from(f"<{count}{code}", body, begin)
            continue
        place = _BY_NUMBER.get(number)
        if place is None or (columns is not None and COLUMNS[place].name not in columns):
            continue
        found[place] = _values(number, code, struct.unpack_from(f"<{count}{code}", body, begin))
    if len(times) != count:
        raise ValueError("a block of samples has no times")
    ends = ((first + time) / _MILLISECONDS_PER_SECOND for time in times)
    return [Sample(at, values) for at, values in zip(ends, zip(*found, strict=True), strict=True)]


def _values(number: int, code: str, stored: Sequence[float]) -> Sequence[Value]:
    if number == _SECONDS and code != _FLOATS:
        return [value / _MILLISECONDS_PER_SECOND for value in stored]
    if code != _FLOATS:
        return stored
    values = [None if math.isnan(value) else value for value in stored]
    if number == _SECONDS:
        return values
    return [int(value) if value is not None and value.is_integer() else value for value in values]
