"""A real Docker Engine for tests: started on a private socket and data folder, and gone afterwards with all it made.

The images are made here too, from a static program: no registry is asked for anything.
"""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest

PROGRAMS = ("dockerd", "gcc")
START_SECONDS = 60.0
SERVER = Path(__file__).with_name("tiny_server.c")


def require_docker() -> None:
    if int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) > 1:
        # Each worker would start one, and several keep a small machine busy for longer than tests wait.
        pytest.skip("one engine is for all tests on containers: make test JOBS=0 PYTEST_ARGS='-k docker'")
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if os.getuid() != 0:
        missing.append("root")
    if missing:
        there_is_none(f"missing: {', '.join(missing)} (Debian: apt-get install docker.io gcc libc6-dev)")


def there_is_none(why: str) -> NoReturn:
    """Skips the test, or fails when BLUEGREEN_REQUIRE says that there must be an engine."""
    message = f"no Docker Engine can be started here: {why}"
    if "docker" in os.environ.get("BLUEGREEN_REQUIRE", "").split():
        pytest.fail(message)
    pytest.skip(message)


class EngineDidNotStart(Exception):
    """With the last lines of its log."""


class DockerEngine:
    """A dockerd of our own. `directory` is short: the paths of its sockets must be."""

    network = "bluegreen-tests"
    """Containers are on a bridge of their own, so that an engine of the machine's, with its docker0, is no matter."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket = directory / "docker.sock"
        self.host = f"unix://{self.socket}"
        self.server = _tiny_server_binary(directory)
        self._process: subprocess.Popen[bytes] | None = None
        self._client = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(self.socket)), base_url="http://docker", timeout=60
        )

    def start(self) -> None:
        """Returns when it answers. No rule of the firewall is touched: a program of the engine's passes connections
        on from published ports."""
        command = [
            "dockerd",
            f"--host={self.host}",
            f"--data-root={self.directory / 'data'}",
            f"--exec-root={self.directory / 'exec'}",
            f"--pidfile={self.directory / 'pid'}",
            "--storage-driver=vfs",
            "--bridge=none",
            "--iptables=false",
            "--ip6tables=false",
        ]
        with (self.directory / "log").open("ab") as log:
            # A session of its own: Ctrl-C at a test run is not for it, `close` is.
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            ended = self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                self.stop()
                raise EngineDidNotStart(self.log())
            time.sleep(0.05)

    def make_network(self) -> None:
        body = {"Name": self.network, "Driver": "bridge", "CheckDuplicate": True}
        answer = self.ask("POST", "/networks/create", json=body)
        assert answer.status_code == 201, answer.text

    def _answers(self) -> bool:
        try:
            return self._client.get("/_ping").status_code == 200
        except httpx.TransportError:
            return False

    def log(self) -> str:
        return "\n".join((self.directory / "log").read_text(errors="replace").splitlines()[-30:])

    def stop(self) -> None:
        """Containers end with it."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def ask(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        return self._client.request(method, path, **arguments)

    def containers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("GET", "/containers/json", params={"all": "1"}).json()
        return found

    def remove_containers(self) -> None:
        for container in self.containers():
            self.ask("DELETE", f"/containers/{container['Id']}", params={"force": "1", "v": "1"})

    def make_server_image(self, reference: str, *changes: str) -> None:
        """From scratch: `/server` is tiny_server.c, `changes` are lines of a Dockerfile. Once for each reference."""
        if self.ask("GET", f"/images/{reference}/json").status_code == 200:
            return
        repository, _, tag = reference.rpartition(":")
        answer = self.ask(
            "POST",
            "/images/create",
            params=[
                ("fromSrc", "-"),
                ("repo", repository),
                ("tag", tag),
                *(("changes", change) for change in changes),
            ],
            content=_tar({"/server": self.server}),
        )
        assert answer.status_code == 200 and "error" not in answer.text, answer.text

    def push(self, reference: str, user: str, password: str) -> None:
        name, _, tag = reference.rpartition(":")
        login = json.dumps({"username": user, "password": password, "serveraddress": name.partition("/")[0]})
        headers = {"X-Registry-Auth": base64.urlsafe_b64encode(login.encode()).decode()}
        answer = self.ask("POST", f"/images/{name}/push", params={"tag": tag}, headers=headers)
        assert answer.status_code == 200 and "error" not in answer.text, answer.text

    def tag(self, image: str, reference: str) -> None:
        repository, _, tag = reference.rpartition(":")
        answer = self.ask("POST", f"/images/{image}/tag", params={"repo": repository, "tag": tag})
        assert answer.status_code == 201, answer.text

    def remove_image(self, reference: str) -> None:
        answer = self.ask("DELETE", f"/images/{reference}", params={"force": "1"})
        assert answer.status_code in (200, 404), answer.text

    def close(self) -> None:
        if self._process is not None and self._answers():
            self.remove_containers()
            self.ask("DELETE", f"/networks/{self.network}")
        self.stop()
        self._client.close()


def _tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name.lstrip("/"))
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _tiny_server_binary(directory: Path) -> bytes:
    """As a static program: a container of it needs nothing else."""
    target = directory / "tiny-server"
    subprocess.run(["gcc", "-static", "-o", str(target), str(SERVER)], check=True, capture_output=True)
    return target.read_bytes()


@contextmanager
def running_engine() -> Iterator[DockerEngine]:
    require_docker()
    directory = Path(tempfile.mkdtemp(prefix="dk-"))
    try:
        engine = DockerEngine(directory)
        try:
            try:
                engine.start()
            except EngineDidNotStart as problem:
                there_is_none(str(problem))
            engine.make_network()
            yield engine
        finally:
            engine.close()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
