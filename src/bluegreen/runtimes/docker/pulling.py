"""What an engine says while it pulls, added up. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bluegreen.control.ports import PullProgress

_HAS_ALL = frozenset({"Download complete", "Verifying Checksum", "Extracting", "Pull complete"})


class Layers:
    """The layers of one image. What is there already counts for nothing; what is extracted has been received."""

    def __init__(self) -> None:
        self._received: dict[str, int] = {}
        self._total: dict[str, int] = {}
        self.nothing_new = False
        """Whether the registry has what the engine has already."""

    def add(self, message: Mapping[str, Any]) -> None:
        layer, status = message.get("id"), message.get("status")
        self.nothing_new = self.nothing_new or str(status).startswith("Status: Image is up to date")
        if not isinstance(layer, str):
            return
        detail = message.get("progressDetail") or {}
        if status == "Downloading" and detail.get("total"):
            self._received[layer], self._total[layer] = int(detail["current"]), int(detail["total"])
        elif status in _HAS_ALL and layer in self._total:
            self._received[layer] = self._total[layer]

    @property
    def progress(self) -> PullProgress:
        return PullProgress(sum(self._received.values()), sum(self._total.values()))
