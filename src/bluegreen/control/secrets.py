"""Environment values that came with a request. They are needed again when a workload is started again, and must
never be in the event log: there stands `***`, and the values lie in files that only the owner may read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from bluegreen.control.masking import MASK
from bluegreen.domain.errors import RuntimeFailure, StoreError

PREFIX = "env."


class EnvironmentSecrets:
    """Without a directory they are kept in memory alone, which is for tests and for reading a log without a daemon."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._known: dict[str, dict[str, str]] = {}

    def hide(self, deployment_id: str, overrides: Mapping[str, str]) -> dict[str, str]:
        """Keeps the values, on disk when it returns, and answers with what may be written down. Raises StoreError."""
        values = {key: value for key, value in overrides.items() if key.startswith(PREFIX)}
        if not values:
            return dict(overrides)
        self._known[deployment_id] = values
        if self._directory is not None:
            self._write(self._directory / f"{deployment_id}.json", values)
        return {**overrides, **dict.fromkeys(values, MASK)}

    def revealed(self, deployment_id: str, overrides: Mapping[str, str]) -> dict[str, str]:
        """The overrides with their values again. One that is lost stays masked; `require_known` refuses to start it."""
        if not any(key.startswith(PREFIX) and value == MASK for key, value in overrides.items()):
            return dict(overrides)
        values = self._known.get(deployment_id)
        if values is None:
            values = self._known[deployment_id] = self._read(deployment_id)
        return {key: values.get(key, value) if value == MASK else value for key, value in overrides.items()}

    def keep_only(self, deployment_ids: frozenset[str]) -> None:
        """Forgets those of all other deployments."""
        for known in [known for known in self._known if known not in deployment_ids]:
            del self._known[known]
        if self._directory is not None and self._directory.is_dir():
            for path in self._directory.glob("*.json"):
                if path.stem not in deployment_ids:
                    path.unlink(missing_ok=True)

    def _read(self, deployment_id: str) -> dict[str, str]:
        if self._directory is None:
            return {}
        try:
            found = json.loads((self._directory / f"{deployment_id}.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return {str(key): str(value) for key, value in found.items()}

    @staticmethod
    def _write(path: Path, values: Mapping[str, str]) -> None:
        temporary = path.with_suffix(".new")
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(json.dumps(values).encode())
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as error:
            raise StoreError(f"env: the values can't be kept safe: {error.strerror or error}") from error


def require_known(environment: Mapping[str, str], workload_id: str) -> None:
    """Raises RuntimeFailure for a value that was lost: a version must not start with `***` for a password."""
    lost = sorted(name for name, value in environment.items() if value == MASK)
    if lost:
        raise RuntimeFailure(
            f"env: the values of {', '.join(lost)} for {workload_id} are lost",
            hint="Deploy it again with these values",
        )
