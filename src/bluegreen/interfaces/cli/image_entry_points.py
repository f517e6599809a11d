"""What the Docker Engine of this machine knows of images. Optional: where none answers, nothing is known."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote

from bluegreen.interfaces.cli.client import UnixConnection

DEFAULT_ENGINE = "unix:///run/docker.sock"
ANSWER_TIMEOUT_SECONDS = 2.0


def entry_points(images: Iterable[str], environment: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The entry points of those images that the engine has, () for one that has none. The engine is the one of
    DOCKER_HOST; one that can't be asked over a socket of this machine is not asked."""
    engine = environment.get("DOCKER_HOST") or DEFAULT_ENGINE
    found: dict[str, tuple[str, ...]] = {}
    if not engine.startswith("unix://"):
        return found
    for image in images:
        try:
            entry = _entry_point(Path(engine.removeprefix("unix://")), image)
        except (OSError, http.client.HTTPException):
            # Who does not answer once is not waited for again.
            return found
        if entry is not None:
            found[image] = entry
    return found


def _entry_point(socket_path: Path, image: str) -> tuple[str, ...] | None:
    connection = UnixConnection(socket_path, ANSWER_TIMEOUT_SECONDS)
    try:
        connection.request("GET", f"/images/{quote(image, safe='/:@')}/json")
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        return None
    try:
        entry = json.loads(content)["Config"].get("Entrypoint")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return tuple(map(str, entry)) if isinstance(entry, list) else () if entry is None else (str(entry),)
