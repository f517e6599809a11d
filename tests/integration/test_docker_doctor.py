"""What `bluegreen doctor` says of the engine: who it is, what can't be used, and that it is somewhere else."""

from __future__ import annotations

import json
import os
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from bluegreen.interfaces.cli.doctor import Finding, examine
from bluegreen.runtimes.docker.introduction import calls_itself_this_machine, is_seen_here
from tests.support.certificates import Authority
from tests.support.docker_engine import DockerEngine
from tests.support.ssh_server import SshServer

SERVICE = '[services.api]\nhosts = ["*"]\n'
VERSION = {"Version": "27.0.1", "ApiVersion": "1.46", "Components": [{"Name": "Engine"}]}
INFO = {"Name": "engine-seven", "KernelVersion": "6.1.0-9-cloud", "NCPU": 64, "MemTotal": 2**40}


def findings(directory: Path, runtime: str, name: str = "docker engine") -> list[Finding]:
    path = directory / "bluegreen.toml"
    path.write_text(f'[runtime]\nkind = "docker"\n{runtime}{SERVICE}', encoding="utf-8")
    return [finding for finding in examine(path) if finding.name == name]


class Elsewhere(BaseHTTPRequestHandler):
    """An engine on another machine, whose socket was forwarded to this one."""

    def do_GET(self) -> None:
        answers = {"version": VERSION, "info": INFO, "json": []}
        content = json.dumps(answers[self.path.partition("?")[0].rpartition("/")[2]]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def forwarded(tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "s"
    with socketserver.ThreadingUnixStreamServer(str(path), Elsewhere) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"unix://{path}"
        server.shutdown()


def test_the_engine_says_who_it_is(docker_engine: DockerEngine, tmp_path: Path) -> None:
    (finding,) = findings(tmp_path, f'host = "{docker_engine.host}"\n')
    version = docker_engine.ask("GET", "/version").json()
    assert finding.ok
    assert f" {version['Version']} (API {version['ApiVersion']}) on {os.uname().nodename}" in finding.detail
    assert finding.detail.endswith(f"{docker_engine.host}, ports on 127.0.0.1")


def test_it_asks_through_tls_and_through_ssh(
    docker_engine: DockerEngine, ssh_server: SshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{ssh_server.programs}{os.pathsep}{os.environ['PATH']}")
    tls = docker_engine.tls_files()
    files = f'tls_ca = "{tls.authority}"\ntls_certificate = "{tls.certificate}"\ntls_key = "{tls.key}"\n'
    for runtime in (
        f'host = "{docker_engine.tls_host}"\n{files}',
        f'host = "{ssh_server.host}{docker_engine.socket}"\n',
    ):
        (finding,) = findings(tmp_path, runtime)
        assert finding.ok, finding


def test_an_engine_that_is_elsewhere_unsaid_is_found_out(forwarded: str, tmp_path: Path) -> None:
    (finding,) = findings(tmp_path, f'host = "{forwarded}"\n')
    assert not finding.ok and finding.needed
    assert f"Docker Engine 27.0.1 (API 1.46) on engine-seven, {forwarded} is not on this machine" in finding.detail
    assert "[runtime] address" in finding.to_do
    (finding,) = findings(tmp_path, f'host = "{forwarded}"\naddress = "10.0.0.7"\n')
    assert finding.ok and finding.detail.endswith("ports on 10.0.0.7")


def test_the_gpus_of_this_machine_are_not_counted_for_another(forwarded: str, tmp_path: Path) -> None:
    (finding,) = findings(tmp_path, f'host = "{forwarded}"\naddress = "10.0.0.7"\n', "GPUs")
    assert (finding.ok, finding.needed) == (False, False)
    assert "[capacity] gpus" in finding.to_do


def test_a_container_tells_more_than_a_name(docker_engine: DockerEngine) -> None:
    docker_engine.make_server_image("registry/inference-model:v1.0")
    body = {"Image": "registry/inference-model:v1.0", "Cmd": ["/server", "8080"]}
    made = docker_engine.ask("POST", "/containers/create", json=body).json()["Id"]
    try:
        assert docker_engine.ask("POST", f"/containers/{made}/start").status_code == 204
        container = docker_engine.ask("GET", f"/containers/{made}/json").json()
        assert is_seen_here(container)
        assert not is_seen_here(container | {"Id": "f" * 64})
        assert not is_seen_here(container | {"State": {"Pid": os.getpid()}})
    finally:
        docker_engine.remove_containers()


def test_another_name_or_another_kernel_is_another_machine() -> None:
    own = {"Name": os.uname().nodename, "KernelVersion": os.uname().release}
    assert calls_itself_this_machine(own)
    assert not calls_itself_this_machine(own | {"Name": "engine-seven"})
    assert not calls_itself_this_machine(own | {"KernelVersion": "6.1.0-9-cloud"})


def test_nobody_there_is_said_with_what_to_do(tmp_path: Path) -> None:
    (finding,) = findings(tmp_path, f'host = "unix://{tmp_path}/nobody.sock"\n')
    assert not finding.ok and finding.needed
    assert "nobody.sock does not answer" in finding.detail
    assert finding.to_do


def test_each_file_of_tls_that_cannot_be_used_is_named_with_its_key(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.sign("client")
    other = Authority(tmp_path, "other").sign("stranger")[1]
    text = tmp_path / "text.pem"
    text.write_text("no certificate", encoding="utf-8")

    def problems(ca: Path, own: Path, own_key: Path) -> list[str]:
        files = f'tls_ca = "{ca}"\ntls_certificate = "{own}"\ntls_key = "{own_key}"\n'
        return [finding.detail for finding in findings(tmp_path, f'host = "tcp://127.0.0.1:1"\n{files}')]

    missing = tmp_path / "missing.pem"
    assert problems(missing, missing, missing) == [
        f"runtime.{name}: {missing} can't be read: No such file or directory"
        for name in ("tls_ca", "tls_certificate", "tls_key")
    ]
    assert problems(text, certificate, key) == [f"runtime.tls_ca: {text} holds no PEM certificate"]
    (mismatch,) = problems(authority.certificate, certificate, other)
    assert mismatch.startswith(f"runtime.tls_certificate: {certificate} and {other} can't be used: ")
    key.chmod(0o640)
    assert problems(authority.certificate, certificate, key) == [
        f"runtime.tls_key: {key} may be read or written by others (mode 0640); chmod 600 {key}"
    ]


def test_a_key_with_a_passphrase_asks_nobody(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.sign("client", passphrase="secret")
    files = f'tls_ca = "{authority.certificate}"\ntls_certificate = "{certificate}"\ntls_key = "{key}"\n'
    (finding,) = findings(tmp_path, f'host = "tcp://127.0.0.1:1"\n{files}')
    assert finding.detail == f"runtime.tls_key: {key} has a passphrase; bluegreen needs one without"
