"""Which images may run at all: the allow-list of `[policy] images`."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from bluegreen.domain.model import ImageReference


def image_allowed(image: str, patterns: Sequence[str] | None) -> bool:
    """Whether one of the patterns covers the image; None allows every image, an empty list none.

    A pattern with a tag (`registry/model:v2*`) is held against `repository:tag`, one without (`registry/*`) against the
    repository, so it covers every tag. `*` stands for any characters, `/` too, and `?` for one. Upper and lower case
    differ. Raises UsageError when the image is no image reference, which is what refuses `registry/../other`.
    """
    tag = ImageReference.parse(image).tag
    if patterns is None:
        return True
    # As it is written: parsing takes a leading slash away, and `/model` is not `model`.
    last = image.rpartition("/")[2]
    repository = image[: len(image) - len(last)] + last.partition(":")[0]
    return any(
        fnmatchcase(f"{repository}:{tag}" if names_a_tag(pattern) else repository, pattern) for pattern in patterns
    )


def names_a_tag(pattern: str) -> bool:
    """A colon before the last slash is that of a port: `localhost:5000/*`."""
    return ":" in pattern.rpartition("/")[2]


def short_digest(digest: str) -> str:
    """`registry/app@sha256:3f9a2c51d0aa`: enough to recognise it."""
    name, found, value = digest.rpartition("sha256:")
    return f"{name}{found}{value[:12]}" if found else digest
