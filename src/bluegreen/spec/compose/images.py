"""What is known of images that many people run, for what a Compose file leaves to the image."""

from __future__ import annotations

from dataclasses import dataclass

from bluegreen.domain.errors import UsageError
from bluegreen.domain.model import ImageReference


@dataclass(frozen=True, slots=True)
class KnownImage:
    """`entry_point` is () where it hands on to the command unchanged, or where it differs between versions."""

    health_path: str
    entry_point: tuple[str, ...] = ()


KNOWN = {
    "vllm/vllm-openai": KnownImage("/health", ("python3", "-m", "vllm.entrypoints.openai.api_server")),
    "huggingface/text-generation-inference": KnownImage("/health", ("text-generation-launcher",)),
    "huggingface/text-embeddings-inference": KnownImage("/health", ("text-embeddings-router",)),
    "nvidia/tritonserver": KnownImage("/v2/health/ready"),
    "lmsysorg/sglang": KnownImage("/health"),
    "ollama/ollama": KnownImage("/", ("ollama",)),
}
"""By the end of the image's repository."""


def known_image(image: str) -> KnownImage | None:
    try:
        repository = ImageReference.parse(image).repository
    except UsageError:
        return None
    return next((known for end, known in KNOWN.items() if f"/{repository}".endswith(f"/{end}")), None)


def entry_point_of(image: str) -> tuple[str, ...]:
    """() when it is not known."""
    known = known_image(image)
    return known.entry_point if known is not None else ()
