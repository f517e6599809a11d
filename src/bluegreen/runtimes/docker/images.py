"""Images: pulled by policy, with Docker's own logins, and pinned to what their name meant at that moment."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from bluegreen.control.ports import Preparation, Progress, PullProgress
from bluegreen.domain.errors import RuntimeFailure
from bluegreen.domain.images import short_digest
from bluegreen.domain.model import ImageReference, Workload
from bluegreen.domain.text import size_text
from bluegreen.runtimes.docker.credentials import configuration_file, login_for, registry_of
from bluegreen.runtimes.docker.engine import GONE, Engine, EngineRefusal
from bluegreen.runtimes.docker.pulling import Layers

Image = Mapping[str, Any]


class Images:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def prepare(self, reference: str, pull: str, progress: Progress) -> Preparation:
        """The image as `pull` says (always, missing, never). Raises RuntimeFailure when there is none to be had."""
        image = None if pull == "always" else await self.find(reference)
        if image is not None:
            return Preparation(
                digest_of(image, reference), f"{short_digest(digest_of(image, reference))}, was here already"
            )
        if pull == "never":
            raise RuntimeFailure(
                f'image {reference} is not on the Docker Engine, and pull = "never"',
                hint=f"Load or build it there, or let it be pulled; see: docker images {reference}",
            )
        began = time.monotonic()
        pulled = await self._pull(reference, progress)
        image = await self.find(reference)
        if image is None:
            raise RuntimeFailure(f"image {reference} was pulled and is gone again")
        seconds = time.monotonic() - began
        size = pulled.progress.total_bytes
        what = (
            "the registry has nothing newer, asked"
            if pulled.nothing_new
            else f"pulled{f' {size_text(size)}' if size else ''}"
        )
        digest = digest_of(image, reference)
        return Preparation(digest, f"{short_digest(digest)}, {what} in {seconds:.1f} s")

    async def of(self, workload: Workload, pull: str) -> Image:
        """What a workload runs: its pinned content, else what its image's name means. Pulled again when it was removed
        from the engine in between. Raises RuntimeFailure when it can't be had any more."""
        reference = workload.digest or workload.image
        image = await self.find(reference)
        if image is not None:
            return image
        if reference.startswith("sha256:"):
            raise RuntimeFailure(
                f"image {workload.image} ({short_digest(reference)}) was removed from the engine, and no registry has "
                "it",
                hint="Build or load it again.",
            )
        await self.prepare(reference, pull if pull == "never" else "always", _nobody)
        found = await self.find(reference)
        if found is None:
            raise RuntimeFailure(f"image {reference} was pulled and is gone again")
        return found

    async def find(self, reference: str) -> Image | None:
        try:
            return await self._engine.inspect_image(reference)
        except EngineRefusal as problem:
            if problem.status == GONE:
                return None
            raise

    async def _pull(self, reference: str, progress: Progress) -> Layers:
        registry = registry_of(reference)
        login = await login_for(registry or await self._engine.default_registry(), configuration_file(os.environ))
        layers = Layers()
        try:
            async for message in self._engine.pull(reference, login):
                layers.add(message)
                await progress(layers.progress)
        except EngineRefusal as problem:
            who = (
                f"as {login['username']}"
                if login and "username" in login
                else "with a token"
                if login
                else "without a login"
            )
            raise RuntimeFailure(
                f"image {reference} is not to be had ({who}): {problem.reason}",
                hint=f"Check its name, its registry and the daemon's login there; try: docker pull {reference}",
            ) from problem
        return layers


async def _nobody(_: PullProgress) -> None:
    """Nobody is told."""


def digest_of(image: Image, reference: str) -> str:
    """`repository@sha256:...` as the image's registry knows it, else the engine's own `sha256:...`."""
    if "@" in reference:
        return reference
    known = [str(digest) for digest in image.get("RepoDigests") or ()]
    repository = ImageReference.parse(reference).repository
    own = [digest for digest in known if digest.partition("@")[0] == repository]
    if own or len(known) == 1:
        return (own or known)[0]
    return str(image["Id"])
