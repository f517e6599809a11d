"""A real Docker Engine for tests: started on a private socket and data folder, and gone afterwards with all it made.

The images are made here too, from a static program: no registry is asked for anything.

Any engine of this machine with Docker's API can be put to the test in its place, such as Podman's:

    podman system service --time=0 unix:///run/podman-test.sock &
    BLUEGREEN_DOCKER_HOST=unix:///run/podman-test.sock pytest -n 0 -k docker

All its containers are removed. It is never stopped: tests that do so are skipped, and so are those on TLS.

Podman 4.3.1 (root, CNI, runc, control groups v1), here and through SSH, fails these of the contract and of
test_docker_runtime.py:
- test_a_command_that_does_not_exist_is_said_and_not_retried,
  test_nothing_is_told_of_what_a_workload_without_a_process_uses:
  it forgets why a container could not start, so the start as a whole fails, with that reason.
- test_the_kernel_killing_it_for_its_memory_is_said: OOMKilled stays false, so the log has exit code 137 alone.
- test_output_of_every_run_is_kept_once_and_in_order: the times in its logs are whole seconds, so lines of the last
  second of a run that ended come twice.
- test_another_controller_finds_what_runs: its events come about 0.1 s after what they tell.
- test_an_image_that_is_nowhere_is_said_before_anything_starts: it is said, in other words.
Those on images with a registry and on HEALTHCHECK can't be set up there: it pushes and imports in its own way.
Where it may not raise limits it wants CONTAINERS_CONF with default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"].
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import shutil
import signal
import socket
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

from bluegreen.runtimes.docker.tls import TlsFiles
from tests.support.certificates import Authority

PROGRAMS = ("dockerd", "gcc")
START_SECONDS = 60.0
MADE_OF = "tests.made-of"
GIVEN = "BLUEGREEN_DOCKER_HOST"
SERVER = Path(__file__).with_name("tiny_server.c")


def require_docker() -> None:
    if int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) > 1:
        # Each worker would start one, and several keep a small machine busy for longer than tests wait.
        pytest.skip("one engine is for all tests on containers: make test JOBS=0 PYTEST_ARGS='-k docker'")
    missing = [
        name for name in PROGRAMS if shutil.which(name) is None and not (name == "dockerd" and GIVEN in os.environ)
    ]
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
    """A dockerd of our own. `directory` is short: the paths of its sockets must be. `options` are more of dockerd's."""

    network = "bluegreen-tests"
    """Containers are on a bridge of their own, so that an engine of the machine's, with its docker0, is no matter."""

    def __init__(self, directory: Path, *options: str, socket: Path | None = None) -> None:
        self.directory = directory
        self.options = options
        self.socket = socket or directory / "docker.sock"
        self.host = f"unix://{self.socket}"
        self.tls_port = _free_port()
        self.tls_host = f"tcp://127.0.0.1:{self.tls_port}"
        """Where it wants a certificate of its `authority`; `client` is one, with its key."""
        self.authority = Authority(directory)
        self.client = self.authority.sign("client")
        self.server = _tiny_server_binary(directory)
        self._process: subprocess.Popen[bytes] | None = None
        self._client = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(self.socket)), base_url="http://docker", timeout=60
        )

    def start(self) -> None:
        """Returns when it answers. No rule of the firewall is touched: a program of the engine's passes connections
        on from published ports."""
        certificate, key = self.authority.sign("engine", address="127.0.0.1")
        command = [
            "dockerd",
            f"--host={self.host}",
            f"--host={self.tls_host}",
            "--tlsverify",
            f"--tlscacert={self.authority.certificate}",
            f"--tlscert={certificate}",
            f"--tlskey={key}",
            f"--data-root={self.directory / 'data'}",
            f"--exec-root={self.directory / 'exec'}",
            f"--pidfile={self.directory / 'pid'}",
            "--storage-driver=vfs",
            "--bridge=none",
            "--iptables=false",
            "--ip6tables=false",
            *self.options,
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

    def tls_files(self) -> TlsFiles:
        return TlsFiles(self.authority.certificate, *self.client)

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

    def kill(self) -> None:
        """As a crash would: it has no chance to do anything."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None
        # Its containerd dies with it; where nobody reaps that, the next dockerd takes the zombie for a running one.
        (self.directory / "exec/containerd/containerd.pid").unlink(missing_ok=True)

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Connections to it are accepted and nothing is answered."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._process.pid, signal.SIGCONT)

    def ask(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        return self._client.request(method, path, **arguments)

    def containers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("GET", "/containers/json", params={"all": "1"}).json()
        return found

    def remove_containers(self) -> None:
        for container in self.containers():
            self.ask("DELETE", f"/containers/{container['Id']}", params={"force": "1", "v": "1"})

    def make_server_image(self, reference: str, *changes: str, ballast_bytes: int = 0) -> None:
        """From scratch: `/server` is tiny_server.c, `changes` are lines of a Dockerfile, and ballast is what nothing
        can make smaller. One of that name is made anew when it was made of something else: tests share the engine."""
        made_of = hashlib.sha256("\n".join([*changes, str(ballast_bytes)]).encode()).hexdigest()
        there = self.ask("GET", f"/images/{reference}/json")
        if there.status_code == 200 and (there.json()["Config"]["Labels"] or {}).get(MADE_OF) == made_of:
            return
        repository, _, tag = reference.rpartition(":")
        answer = self.ask(
            "POST",
            "/images/create",
            params=[
                ("fromSrc", "-"),
                ("repo", repository),
                ("tag", tag),
                *(("changes", change) for change in (*changes, f"LABEL {MADE_OF}={made_of}")),
            ],
            content=_tar({"/server": self.server} | ({"/ballast": os.urandom(ballast_bytes)} if ballast_bytes else {})),
        )
        assert answer.status_code == 200 and "error" not in answer.text, answer.text
        if self.ask("GET", f"/images/{reference}/json").status_code != 200:
            # Podman 4.3 imports it without a name.
            made = json.loads(answer.text.splitlines()[-1])["status"]
            tagged = self.ask("POST", f"/images/{made}/tag", params={"repo": repository, "tag": tag})
            assert tagged.status_code == 201, tagged.text

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
            self.remove_everything()
        self.stop()
        self._client.close()

    def remove_everything(self) -> None:
        self.remove_containers()
        self.ask("DELETE", f"/networks/{self.network}")


class GivenEngine(DockerEngine):
    """One that runs already and goes on."""

    def start(self) -> None:
        if not self._answers():
            pytest.fail(f"{GIVEN}: no engine answers at {self.host}")

    def tls_files(self) -> TlsFiles:
        pytest.skip(f"the engine of {GIVEN} is asked through its socket alone")

    def stop(self) -> None:
        pytest.skip(f"the engine of {GIVEN} is not stopped")

    def close(self) -> None:
        self.remove_everything()
        self._client.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def own_address() -> str:
    """Of this machine, and not loopback, as if it were another one. Skips the test where there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # Nothing is sent; the kernel chooses the address.
        except OSError:
            pytest.skip("this machine has no address but loopback")
        address: str = probe.getsockname()[0]
    return address


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
def running_engine(*options: str, data_mb: int = 0) -> Iterator[DockerEngine]:
    """`options` are more of dockerd's; `data_mb` is all the space it has, when that is not to be the disk's."""
    require_docker()
    directory = Path(tempfile.mkdtemp(prefix="dk-"))
    data = directory / "data"
    try:
        if data_mb:
            data.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={data_mb}m", "tmpfs", str(data)], check=True)
        given = os.environ.get(GIVEN, "")
        if given:
            engine: DockerEngine = GivenEngine(directory, socket=Path(given.removeprefix("unix://")))
        else:
            engine = DockerEngine(directory, *options)
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
        if data_mb:
            subprocess.run(["umount", "--lazy", str(data)], check=False)
        shutil.rmtree(directory, ignore_errors=True)
