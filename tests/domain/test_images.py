"""The allow-list of images."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluegreen.domain.errors import UsageError
from bluegreen.domain.images import image_allowed

TABLE = [
    # repository patterns cover every tag
    ("registry/*", "registry/inference-model:v2.0", True),
    ("registry/*", "registry/inference-model", True),
    ("registry/*", "registry/team/inference-model:v2.0", True),
    ("registry/*", "registry/model@sha256:abc", True),
    ("registry/*", "registry:v1", False),
    ("registry/*", "registry-evil/model:v1", False),
    ("registry/*", "other/registry/model:v1", False),
    ("registry/*", "/registry/model:v1", False),
    ("registry/*", "Registry/model:v1", False),
    ("registry/model", "registry/model:v1", True),
    ("registry/model", "registry/model2:v1", False),
    ("registry/model", "registry/model/sub:v1", False),
    ("registry/model?", "registry/model2:v1", True),
    ("*", "anything/at/all:v1", True),
    # with a tag both must fit
    ("registry/model:v2*", "registry/model:v2.0", True),
    ("registry/model:v2*", "registry/model:v1.9", False),
    ("registry/model:v2*", "registry/model", False),
    ("registry/model:latest", "registry/model", True),
    ("registry/*:v1", "registry/team/model:v1", True),
    # a port is no tag
    ("localhost:5000/*", "localhost:5000/model:v1", True),
    ("localhost:5000/*", "localhost:5001/model:v1", False),
    ("localhost:5000/model:v1", "localhost:5000/model:v2", False),
]


@pytest.mark.parametrize(("pattern", "image", "allowed"), TABLE)
def test_which_images_a_pattern_covers(pattern: str, image: str, allowed: bool) -> None:
    assert image_allowed(image, [pattern]) is allowed
    assert image_allowed(image, ["nothing/like/it", pattern]) is allowed


def test_without_a_list_every_image_is_allowed_and_with_an_empty_one_none() -> None:
    assert image_allowed("any/thing:v1", None)
    assert not image_allowed("any/thing:v1", [])


@pytest.mark.parametrize(
    "image", ["registry/../etc/passwd:v1", "..", "", "registry/model:v1\n", "registry/*", "registry/ü"]
)
@pytest.mark.parametrize("patterns", [None, ["*"], ["registry/*"]])
def test_what_is_no_image_is_refused_whatever_the_list_says(image: str, patterns: list[str] | None) -> None:
    with pytest.raises(UsageError, match=r"^image: "):
        image_allowed(image, patterns)


NAMES = st.text("abcXYZ019._-/", min_size=1, max_size=20).filter(lambda name: name[-1] != "/" and ".." not in name)


@given(NAMES, NAMES)
def test_a_pattern_without_wildcards_covers_itself_alone(name: str, other: str) -> None:
    assert image_allowed(f"{name}:v1", [name])
    assert image_allowed(f"{other}:v1", [name]) == (name == other)


@given(st.integers(1, 25))
def test_many_wildcards_do_not_take_for_ever(count: int) -> None:
    assert not image_allowed("a" * 380 + "b", ["*a" * count + "c"])
