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

    async def prepare(self, workload: Workload, pull: str, progress: Progress) -> Preparation:
        """The image as `pull` says (always, missing, never), or the content that the workload is pinned to. Raises
        RuntimeFailure when there is none to be had."""
        reference = workload.digest or workload.image
        # What is pinned can't be newer in the registry.
        image = None if pull == "always" and not workload.digest else await self.find(reference)
        if image is not None:
            digest = digest_of(image, reference)
            return Preparation(digest, f"{short_digest(digest)}, was here already")
        if reference.startswith("sha256:"):
            raise RuntimeFailure(
                f"image {workload.image} ({short_digest(reference)}) was removed from the engine, and no registry has "
                "it",
                hint="Build or load it again.",
            )
        if pull == "never":
            raise RuntimeFailure(
                f'image {reference} is not on the Docker Engine, and pull = "never"',
                hint=f"Load or build it there, or let it be pulled; see: docker images {reference}",
            )
        began = time.monotonic()
        pulled = await self._pull(reference, progress)
        digest = digest_of(await self._there(reference), reference)
        size = pulled.progress.total_bytes
        what = f"pulled {size_text(size)}" if size else "pulled"
        if pulled.nothing_new:
            what = "the registry has nothing newer, asked"
        return Preparation(digest, f"{short_digest(digest)}, {what} in {time.monotonic() - began:.1f} s")

    async def of(self, workload: Workload, pull: str) -> Image:
        """What a workload runs: its pinned content, else what its image's name means. Pulled again when it was removed
        from the engine in between. Raises RuntimeFailure when it can't be had any more."""
        reference = workload.digest or workload.image
        image = await self.find(reference)
        if image is None:
            await self.prepare(workload, pull, _nobody)
            image = await self._there(reference)
        return image

    async def _there(self, reference: str) -> Image:
        image = await self.find(reference)
        if image is None:
            raise RuntimeFailure(f"image {reference} was pulled and is gone again", hint="Who removes images here?")
        return image

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
    if "@" in reference or reference.startswith("sha256:"):
        return reference
    known = [str(digest) for digest in image.get("RepoDigests") or ()]
    repository = ImageReference.parse(reference).repository
    own = [digest for digest in known if digest.partition("@")[0] == repository]
    if own or len(known) == 1:
        return (own or known)[0]
    return str(image["Id"])
