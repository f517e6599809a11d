"""The lines of the audit log: how one is written, and what makes it follow the one before. Values only, no files.

A line is the canonical JSON of its entry (keys sorted, no spaces, ASCII), so an entry can be written in one way only.
`hash` is the SHA-256 of that JSON without `hash`; `previous` is the hash of the entry before.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bluegreen.control.ports import AuditEntry

GENESIS = "0" * 64
"""What the first entry follows."""
MAX_TEXT_CHARACTERS = 4096
MAX_ARGUMENTS_BYTES = 16 * 1024
MAX_LINE_BYTES = 256 * 1024
"""More than three texts and the arguments can take, every character escaped."""
MAX_NUMBER = 2**63
LOST = "audit_entries_lost"
"""`what` of the entry that says that entries were gone when the log was opened. It stays a finding for good."""
RECOVERED = "audit_recovered"
"""`what` of the entry that says that a half-written line was set aside."""


@dataclass(frozen=True, slots=True)
class Place:
    """The end of a chain: sequence number and hash of its last entry."""

    sequence: int = 0
    hash: str = GENESIS


@dataclass(frozen=True, slots=True)
class ChainedEntry:
    """An entry as it stands in the log. `at` is seconds since the epoch, `result` is `ok` or what went wrong."""

    sequence: int
    at: float
    who: str
    door: str
    what: str
    arguments: Mapping[str, Any]
    result: str
    previous: str
    hash: str

    @property
    def place(self) -> Place:
        return Place(self.sequence, self.hash)


def chained(entry: AuditEntry, after: Place) -> ChainedEntry:
    """The entry that follows `after`. What is too long is cut, with a digest of the whole."""
    fields: dict[str, Any] = {
        "sequence": after.sequence + 1,
        "at": float(entry.at) if math.isfinite(entry.at) else 0.0,
        "who": _cut(entry.who),
        "door": _cut(entry.door),
        "what": _cut(entry.what),
        "arguments": _bounded(entry.arguments),
        "result": _cut(entry.result),
        "previous": after.hash,
    }
    return ChainedEntry(**fields, hash=_hash_of(fields))


def line_of(entry: ChainedEntry) -> bytes:
    return _canonical(asdict(entry)) + b"\n"


def parse_line(line: bytes) -> ChainedEntry:
    """Raises ValueError with what is wrong with it, as the end of a sentence that begins with the line."""
    try:
        fields = json.loads(line)
        entry = ChainedEntry(**fields)
        canonical = line_of(entry)
    except (ValueError, TypeError, RecursionError):
        raise ValueError("is no audit entry: it was changed or inserted") from None
    del fields["hash"]
    if canonical != line or _hash_of(fields) != entry.hash:
        raise ValueError("was changed: it does not have its hash")
    texts = (entry.who, entry.door, entry.what, entry.result, entry.previous)
    typed = type(entry.sequence) is int and type(entry.at) is float and isinstance(entry.arguments, dict)
    if not typed or not all(isinstance(text, str) for text in texts):
        raise ValueError("is no audit entry: it was inserted")
    return entry


def head_of(place: Place) -> bytes:
    """What the file beside the log says of its end."""
    return _canonical(asdict(place)) + b"\n"


def parse_head(content: bytes) -> Place | None:
    """None when it can't be understood."""
    try:
        place = Place(**json.loads(content))
    except (ValueError, TypeError, RecursionError):
        return None
    good = type(place.sequence) is int and place.sequence >= 0 and head_of(place) == content
    return place if good else None


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode("ascii")


def _hash_of(fields: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(fields)).hexdigest()


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT_CHARACTERS else text[:MAX_TEXT_CHARACTERS] + "…"


def _bounded(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The log must not be filled, or kept from going on, by what somebody sends."""
    try:
        plain: dict[str, Any] = _plain(arguments)
        content = _canonical(plain)
    except RecursionError:
        return {"unreadable": "nested too deeply"}
    if len(content) <= MAX_ARGUMENTS_BYTES:
        return plain
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), "cut": content[:1024].decode()}


def _plain(value: Any) -> Any:
    """The same with nothing that JSON does not have, or that would not come back from it as it was."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return int(value) if -MAX_NUMBER < value < MAX_NUMBER else "a very large number"
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else repr(value)
    return str(value)
