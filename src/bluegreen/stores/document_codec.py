"""Documents as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bluegreen.domain.errors import StoreError


def encode_document(kind: str, key: str, document: Mapping[str, Any]) -> str:
    """Raises StoreError when it could not be read back as it is."""
    try:
        # A key is a column of its own, and columns hold no lone surrogates.
        key.encode()
        text = json.dumps(document, separators=(",", ":"), allow_nan=False)
        readable = json.loads(text) == document
    except (TypeError, ValueError, RecursionError) as error:
        raise StoreError(f"document {key!r} of kind {kind!r} cannot be written: {error}") from error
    if not readable:
        raise StoreError(f"document {key!r} of kind {kind!r} cannot be written: it would be read back differently")
    return text


def decode_document(text: str) -> Mapping[str, Any]:
    document: dict[str, Any] = json.loads(text)
    return document
