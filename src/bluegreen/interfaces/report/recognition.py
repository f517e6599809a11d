"""Whether a file is one of our reports, which may be written over."""

from __future__ import annotations

GENERATOR = "bluegreen report"
"""Written into each page."""
SIGNATURE = " by bluegreen "
"""In the last line of each text."""


def is_report(content: bytes) -> bool:
    """An empty file may be written over too."""
    if not content:
        return True
    if content.startswith(b"<!DOCTYPE html>"):
        return f'name="generator" content="{GENERATOR}"'.encode() in content[:2000]
    last = content.rstrip(b"\n").rpartition(b"\n")[2]
    return content.startswith(b"# ") and last.startswith(b"Made ") and SIGNATURE.encode() in last
