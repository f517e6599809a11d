"""Texts that come from outside and end up on terminals and in paths."""

from __future__ import annotations

import unicodedata

from bluegreen.domain.errors import UsageError


def require_plain_text(parameter: str, text: str, *, max_length: int, empty: bool = True) -> None:
    """Raises UsageError, without repeating the text, for control characters, characters that change the direction of
    writing, and what is too long or empty."""
    if not text and not empty:
        raise UsageError(f"{parameter}: must not be empty")
    if len(text) > max_length:
        raise UsageError(f"{parameter}: at most {max_length} characters, got {len(text)}")
    for position, character in enumerate(text):
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            raise UsageError(
                f"{parameter}: has the control character U+{ord(character):04X} at position {position + 1}",
                hint="Leave it out",
            )


def size_text(number_of_bytes: float) -> str:
    """`740 kB`, `62 MB`, `1.4 GB`: decimal, as registries and engines tell sizes."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number_of_bytes >= size:
            amount = number_of_bytes / size
            return f"{amount:.1f} {unit}" if unit == "GB" else f"{amount:.0f} {unit}"
    return f"{number_of_bytes:.0f} bytes"
