"""The watch over a canary, written down for a daemon that comes later."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from bluegreen.control.ports import DocumentStore
from bluegreen.domain.errors import BluegreenError
from bluegreen.domain.watch import Watch

log = logging.getLogger(__name__)

KIND = "watch"


@dataclass(frozen=True, slots=True)
class KeptWatch:
    """`share` is what green had; `at` is when it was written, in seconds since the epoch."""

    watch: Watch
    share: int
    at: float


class KeptWatches:
    """By deployment. None of it is needed: what can't be read is as if it had not been written, and what can't be
    written is told and tried again."""

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    async def write(self, deployment_id: str, kept: KeptWatch) -> None:
        try:
            await self._documents.put(KIND, deployment_id, to_document(kept))
        except BluegreenError as error:
            log.warning("what %s proved so far is not written down: %s", deployment_id, error.message)

    async def read(self, deployment_id: str) -> KeptWatch | None:
        try:
            document = await self._documents.get(KIND, deployment_id)
            return None if document is None else from_document(document)
        except (BluegreenError, ValueError, TypeError, KeyError) as error:
            log.warning("what %s had proved is lost, its step begins anew: %s", deployment_id, error)
            return None

    async def remove(self, deployment_id: str) -> None:
        try:
            await self._documents.remove(KIND, deployment_id)
        except BluegreenError as error:
            log.warning("what %s proved is still written down: %s", deployment_id, error.message)


def to_document(kept: KeptWatch) -> dict[str, Any]:
    # As text, for evidence may be infinite, and JSON proper has no word for that.
    return {"watch": json.dumps(dataclasses.asdict(kept.watch)), "share": kept.share, "at": kept.at}


def from_document(document: Mapping[str, Any]) -> KeptWatch:
    """Raises ValueError, TypeError or KeyError for what is none."""
    watch = _parser().validate_python(json.loads(document["watch"]))
    return KeptWatch(watch, int(document["share"]), float(document["at"]))


@cache
def _parser() -> TypeAdapter[Watch]:
    return TypeAdapter(Watch)
