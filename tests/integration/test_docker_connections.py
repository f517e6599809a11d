"""The ways to an engine: TLS with certificates of both sides, SSH through OpenSSH's own client, and who is refused."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from bluegreen.domain.errors import RuntimeFailure
from bluegreen.domain.model import Resources, WorkloadState
from bluegreen.runtimes.docker.connecting import Connection, watched_socket
from bluegreen.runtimes.docker.keeper import Backoff
from bluegreen.runtimes.docker.runtime import DockerRuntime
from bluegreen.runtimes.docker.tls import TlsFiles
from tests.support.certificates import Authority
from tests.support.docker_engine import DockerEngine, own_address
from tests.support.ssh_server import SshServer
from tests.support_runtime import eventually, make_request, processes_with, until_listening

SERVER = ("/server", "{port}")
Connect = Callable[..., DockerRuntime]

HOLDS_A_TUNNEL = """
import asyncio, pathlib, sys
from bluegreen.runtimes.docker.connecting import Connection
from bluegreen.runtimes.docker.engine import Engine

async def main():
    await Engine(Connection(sys.argv[1], directory=pathlib.Path(sys.argv[2]))).introduction()
    print("open", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.fixture
async def connect(docker_engine: DockerEngine, tmp_path: Path) -> AsyncIterator[Connect]:
    """Makes runtimes; they and what they started are gone with the test."""
    docker_engine.make_server_image("registry/inference-model:v1.0")
    built: list[DockerRuntime] = []

    def make(connection: Connection, **more: Any) -> DockerRuntime:
        runtime = DockerRuntime(
            tmp_path / "state",
            host=connection,
            base_directory=tmp_path,
            network=docker_engine.network,
            backoff=Backoff(first_seconds=0.05, max_seconds=0.2),
            **more,
        )
        built.append(runtime)
        return runtime

    yield make
    for runtime in built:
        await runtime.aclose()
    docker_engine.remove_containers()


@pytest.fixture
def tls(docker_engine: DockerEngine) -> TlsFiles:
    return docker_engine.tls_files()


@pytest.fixture
def server(docker_engine: DockerEngine, ssh_server: SshServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[SshServer]:
    monkeypatch.setenv("PATH", f"{ssh_server.programs}{os.pathsep}{os.environ['PATH']}")
    yield ssh_server
    ssh_server.trust(ssh_server.directory / "host_key.pub")


def through_ssh(server: SshServer, engine: DockerEngine, directory: Path) -> Connection:
    return Connection(f"{server.host}{engine.socket}", address=own_address(), directory=directory)


# -- TLS ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["tls", "forwarded"])
async def test_on_another_address_requests_reach_the_container(
    connect: Connect, docker_engine: DockerEngine, tls: TlsFiles, way: str
) -> None:
    """A socket that somebody forwarded looks like one of this machine."""
    address = own_address()
    host = docker_engine.tls_host if way == "tls" else docker_engine.host
    runtime = connect(Connection(host, address=address, tls=tls if way == "tls" else None))
    wanted = make_request(SERVER)
    await runtime.start(wanted)
    status = await until_listening(runtime, wanted.workload.id)
    assert [endpoint.host for endpoint in status.endpoints] == [address]
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(f"http://{status.endpoints[0]}/")).status_code == 200


async def test_an_engine_of_another_authority_is_not_spoken_to(
    connect: Connect, docker_engine: DockerEngine, tls: TlsFiles, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path, "stranger")
    runtime = connect(Connection(docker_engine.tls_host, tls=replace(tls, authority=stranger.certificate)))
    with pytest.raises(RuntimeFailure, match="its certificate is not accepted: ") as caught:
        await runtime.list()
    assert "tls_ca" in caught.value.hint


async def test_a_certificate_that_the_engine_does_not_know_is_named_as_the_cause(
    connect: Connect, docker_engine: DockerEngine, tls: TlsFiles, tmp_path: Path
) -> None:
    certificate, key = Authority(tmp_path, "stranger").sign("client")
    runtime = connect(Connection(docker_engine.tls_host, tls=TlsFiles(tls.authority, certificate, key)))
    with pytest.raises(RuntimeFailure, match="does not answer: TLS failed") as caught:
        await runtime.list()
    assert "tls_certificate" in caught.value.hint


async def test_without_any_certificate_the_engine_refuses(connect: Connect, docker_engine: DockerEngine) -> None:
    runtime = connect(Connection(docker_engine.tls_host))
    with pytest.raises(RuntimeFailure, match=r"HTTP request to an HTTPS server") as caught:
        await runtime.list()
    assert "tls_ca" in caught.value.hint


async def test_of_an_engine_elsewhere_capacity_is_what_it_says_itself(
    connect: Connect, docker_engine: DockerEngine, tls: TlsFiles
) -> None:
    runtime = connect(Connection(docker_engine.tls_host, address=own_address(), tls=tls))
    info = docker_engine.ask("GET", "/info").json()
    total = (await runtime.capacity()).total
    assert total == Resources(gpus=0, cpus=float(info["NCPU"]), memory_mb=info["MemTotal"] // 2**20)


async def test_an_address_that_the_engines_machine_does_not_have_is_said(
    connect: Connect, docker_engine: DockerEngine, tls: TlsFiles
) -> None:
    runtime = connect(Connection(docker_engine.tls_host, address="203.0.113.9", tls=tls))
    status = await runtime.start(make_request(SERVER))
    assert status.state is WorkloadState.FAILED
    assert "[runtime] address is no address of the engine's machine" in status.replicas[0].error


async def test_ports_that_strangers_have_there_are_left_to_them(
    connect: Connect, docker_engine: DockerEngine, tls: TlsFiles
) -> None:
    address = own_address()
    with ExitStack() as strangers:
        first = 25000
        for port in (first, first + 1, first + 3):
            stranger = strangers.enter_context(socket.socket())
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            stranger.bind((address, port))
            stranger.listen()
        runtime = connect(Connection(docker_engine.tls_host, address=address, tls=tls), ports=(first, first + 3))
        wanted = make_request(SERVER)
        await runtime.start(wanted)
        status = await until_listening(runtime, wanted.workload.id)
    assert [str(endpoint) for endpoint in status.endpoints] == [f"{address}:{first + 2}"]


def test_a_connection_to_a_machine_without_power_is_noticed() -> None:
    with watched_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 1))) as made:
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        idle = made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
        probes = made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT)
        assert idle + probes * made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 30


async def test_seen_from_here_a_published_port_alone_is_not_listening(
    connect: Connect, docker_engine: DockerEngine, tls: TlsFiles
) -> None:
    runtime = connect(Connection(docker_engine.tls_host, address=own_address(), tls=tls))
    silent, serving = make_request((*SERVER, "--delay", "600")), make_request(SERVER)
    for wanted in (silent, serving):
        await runtime.start(wanted)
    await until_listening(runtime, serving.workload.id)
    status = await runtime.inspect(silent.workload.id)
    assert status is not None
    assert [(replica.pid is None, replica.listening) for replica in status.replicas] == [(False, False)]


# -- SSH ------------------------------------------------------------------------------------------------------------


async def test_a_tunnel_that_is_killed_comes_back_and_nothing_of_it_stays(
    connect: Connect, docker_engine: DockerEngine, server: SshServer, tmp_path: Path
) -> None:
    connection = through_ssh(server, docker_engine, tmp_path)
    assert connection.tunnel is not None
    runtime = connect(connection)
    wanted = make_request(SERVER)
    await runtime.start(wanted)
    before = await until_listening(runtime, wanted.workload.id)
    first = connection.tunnel.pid
    assert first is not None
    assert stat.S_IMODE(connection.tunnel.socket.stat().st_mode) == 0o600
    os.kill(first, signal.SIGKILL)

    async def answers_again() -> bool:
        try:
            same = await runtime.inspect(wanted.workload.id) == before
        except RuntimeFailure:
            return False
        return same and connection.tunnel is not None and connection.tunnel.pid not in (None, first)

    await eventually(answers_again, "an answer through a new tunnel", seconds=60)
    assert connection.tunnel.pid not in (None, first)
    os.kill(before.replicas[0].pid or 0, signal.SIGKILL)

    async def was_started_again() -> bool:
        status = await runtime.inspect(wanted.workload.id)
        return status is not None and status.restarts == 1 and status.replicas[0].listening

    await eventually(was_started_again, "events through the new tunnel", seconds=60)
    await runtime.stop(wanted.workload.id)
    await runtime.aclose()
    assert processes_with(str(connection.tunnel.socket)) == []
    assert not connection.tunnel.socket.exists()


async def test_a_server_that_is_not_the_one_that_is_known_gets_nothing(
    connect: Connect, docker_engine: DockerEngine, server: SshServer, tmp_path: Path
) -> None:
    server.trust(server.directory / "user_key.pub")
    runtime = connect(through_ssh(server, docker_engine, tmp_path))
    with pytest.raises(RuntimeFailure, match="Host key verification failed") as caught:
        await runtime.list()
    assert f"ssh -o BatchMode=yes -l {server.user} -p {server.port} 127.0.0.1 true" in caught.value.hint


async def test_what_is_wrong_behind_the_tunnel_is_said_in_the_words_of_ssh(
    connect: Connect, server: SshServer, tmp_path: Path
) -> None:
    runtime = connect(Connection(f"{server.host}/nobody.sock", address=own_address(), directory=tmp_path))

    async def says_why() -> bool:
        with pytest.raises(RuntimeFailure) as caught:
            await runtime.list()
        return "open failed" in caught.value.message

    await eventually(says_why, "the reason of ssh", seconds=60)


async def test_a_controller_that_is_killed_takes_its_tunnel_with_it(
    docker_engine: DockerEngine, server: SshServer, tmp_path: Path
) -> None:
    arguments = [f"{server.host}{docker_engine.socket}", str(tmp_path)]
    controller = subprocess.Popen([sys.executable, "-c", HOLDS_A_TUNNEL, *arguments], stdout=subprocess.PIPE)
    try:
        assert controller.stdout is not None
        assert await asyncio.to_thread(controller.stdout.readline) == b"open\n"
        (found,) = tmp_path.glob("ssh-*.sock")
        assert processes_with(f"{found}:") != []
    finally:
        controller.kill()
        controller.wait()

    async def nothing_is_left() -> bool:
        return processes_with(f"{found}:") == []

    await eventually(nothing_is_left, "the end of ssh", seconds=30)
