"""Alerts as JSON, and what a delivery's state is called."""

from __future__ import annotations

import json
from dataclasses import asdict, fields

from bluegreen.control.ports import Alert
from bluegreen.domain.errors import StoreError

PENDING = "pending"
DELIVERED = "delivered"
GIVEN_UP = "given up"
LONGEST_ERROR = 500

_FIELDS = frozenset(field.name for field in fields(Alert))


def encode_alert(alert: Alert) -> str:
    """Raises StoreError for what JSON does not have."""
    try:
        return json.dumps(asdict(alert), separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise StoreError(f"alert {alert.id!r} cannot be written to the outbox: {error}") from error


def decode_alert(payload: str) -> Alert:
    """A field that this version does not know is left out: an alert decides nothing."""
    known = {name: value for name, value in json.loads(payload).items() if name in _FIELDS}
    return Alert(**known)


def described(state: str, error: str) -> str:
    """`delivered`, `pending: <last error>`, `given up: <error>`."""
    return f"{state}: {error}" if error and state != DELIVERED else state


def storable(error: str) -> str:
    """An error as it can be kept: bounded, and free of what is no text."""
    return error[:LONGEST_ERROR].encode(errors="replace").decode()
