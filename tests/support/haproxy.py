"""A real HAProxy for a test: its directories, and every process gone afterwards."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bluegreen.domain.errors import RouterError
from bluegreen.domain.model import Endpoint
from bluegreen.domain.service import HealthCheck, ServiceSpec
from bluegreen.routers.haproxy.binary import find_binary
from bluegreen.routers.haproxy.files import Files
from bluegreen.routers.haproxy.router import HaproxyRouter
from bluegreen.spec.configuration import RouterSettings


def require_haproxy() -> None:
    """Skips the test without a HAProxy, or fails when BLUEGREEN_REQUIRE says that there must be one."""
    try:
        find_binary(None)
    except RouterError as error:
        if "haproxy" in os.environ.get("BLUEGREEN_REQUIRE", ""):
            raise
        pytest.skip(error.message)


class Place:
    """Where one HAProxy lives. Each `router()` is another controller on the same directories."""

    def __init__(self, *, certificate: Path | None = None) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="bg-"))
        self.directory = self.root / "router"
        self.run_directory = self.root / "run"
        self.run_directory.mkdir(mode=0o700)
        self.settings = RouterSettings(listen=Endpoint("127.0.0.1", 0), certificate=certificate)

    def router(self, files: Files | None = None) -> HaproxyRouter:
        return HaproxyRouter(
            directory=self.directory,
            run_directory=self.run_directory,
            settings=self.settings,
            stop_grace_seconds=0.5,
            files=files,
        )


@asynccontextmanager
async def haproxy_place(*, certificate: Path | None = None) -> AsyncIterator[Place]:
    require_haproxy()
    place = Place(certificate=certificate)
    try:
        yield place
    finally:
        try:
            await place.router().stop()
        finally:
            shutil.rmtree(place.root)


def service(
    name: str, *, hosts: tuple[str, ...] = (), replicas: int = 1, protocol: str = "http1", checked: bool = True
) -> ServiceSpec:
    health = HealthCheck(interval_seconds=0.1, timeout_seconds=1, rise=1, fall=2) if checked else None
    return ServiceSpec(
        name, hosts or (f"{name}.example",), ("serve",), replicas=replicas, protocol=protocol, health=health
    )
