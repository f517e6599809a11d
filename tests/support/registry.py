"""A real registry of images for tests, on a port of its own and with a login: ada, whose password is PASSWORD."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.docker_engine import DockerEngine, there_is_none

START_SECONDS = 30.0
USER, PASSWORD = "ada", "hush"
_LOGINS = "ada:$2y$05$yOGeAk7yoOXb4Ox79ByFWeSih2dZawtywg0h0/H2FT3P6RuLOj212\n"
_CONFIGURATION = """
version: 0.1
log: {{level: error}}
storage:
  filesystem: {{rootdirectory: {directory}/images}}
  delete: {{enabled: true}}
http: {{addr: "127.0.0.1:{port}"}}
auth:
  htpasswd: {{realm: tests, path: {directory}/logins}}
"""


class Registry:
    """Engines take one on loopback without TLS."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.host = f"127.0.0.1:{free.getsockname()[1]}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        (self.directory / "logins").write_text(_LOGINS)
        file = self.directory / "registry.yml"
        file.write_text(_CONFIGURATION.format(directory=self.directory, port=self.host.partition(":")[2]))
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(["docker-registry", "serve", str(file)], stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                there_is_none((self.directory / "log").read_text(errors="replace")[-2000:])
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"http://{self.host}/v2/", auth=(USER, PASSWORD)).status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Nothing is answered meanwhile."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._process.pid, signal.SIGCONT)

    def log_in(self, directory: Path) -> None:
        """Where Docker's own client would keep its logins, for DOCKER_CONFIG."""
        login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        (directory / "config.json").write_text(json.dumps({"auths": {self.host: {"auth": login}}}))

    def offer(self, engine: DockerEngine, name: str, *changes: str, kept: bool = False, ballast_bytes: int = 0) -> str:
        """Makes an image that this registry has and the engine, unless it is to be `kept`, has not; its reference."""
        reference = f"{self.host}/{name}"
        engine.make_server_image(reference, *changes, ballast_bytes=ballast_bytes)
        engine.push(reference, USER, PASSWORD)
        if not kept:
            engine.remove_image(reference)
        return reference


@contextmanager
def running_registry(directory: Path) -> Iterator[Registry]:
    if shutil.which("docker-registry") is None:
        there_is_none("missing: docker-registry (Debian: apt-get install docker-registry)")
    registry = Registry(directory)
    registry.start()
    try:
        yield registry
    finally:
        registry.stop()


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    directory = tmp_path / "registry"
    directory.mkdir()
    with running_registry(directory) as running:
        yield running
