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
