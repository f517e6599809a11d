"""Helpers for tests of runtimes: workloads to start, a tiny server to run, and conditions to wait for."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from bluegreen.control.ports import LaunchRequest, WorkloadRuntime
from bluegreen.domain.model import Color, Resources, Workload, WorkloadStatus

_numbers = itertools.count(1)

TINY_SERVER = '''
"""Listens on argv[1] and answers every request with 200. Options make it misbehave."""
import os, signal, socket, sys, time

options = sys.argv[2:]
if "--ignore-term" in options:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "--leak" in options and os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(600)
    os._exit(0)
if "--exit" in options:
    sys.exit(int(options[options.index("--exit") + 1]))
if "--lines" in options:
    for number in range(int(options[options.index("--lines") + 1])):
        print("line", number, flush=True)
if "--print-environment" in options:
    for name in sorted(os.environ):
        print(f"{name}={os.environ[name]}", flush=True)
    print("arguments", options, "in", os.getcwd(), flush=True)
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", int(sys.argv[1])))
server.listen(16)
print("ready", flush=True)
while True:
    connection, _ = server.accept()
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok")
    connection.close()
'''


def tiny_server(directory: Path, *options: str) -> tuple[str, ...]:
    """The command of a server that listens on `{port}`; writes the program into `directory`."""
    program = directory / "tiny_server.py"
    program.write_text(TINY_SERVER, encoding="utf-8")
    return (sys.executable, "-I", "-S", str(program), "{port}", *options)


def make_request(
    command: tuple[str, ...],
    *,
    workload_id: str = "",
    service: str = "inference-model",
    image: str = "registry/inference-model:v1.0",
    replicas: int = 1,
    resources: Resources | None = None,
    workdir: str = ".",
    env: Mapping[str, str] | None = None,
    stop_grace_seconds: float = 5.0,
    gpu_memory_mb: int = 0,
    gpu_sharing: bool = False,
) -> LaunchRequest:
    workload = Workload(
        id=workload_id or f"{service}-{os.getpid()}-{next(_numbers)}-blue",
        service=service,
        color=Color.BLUE,
        image=image,
        version="v1.0",
        replicas=replicas,
        resources=resources or Resources(),
        labels={"app": service},
    )
    return LaunchRequest(
        workload,
        command,
        workdir,
        env or {},
        stop_grace_seconds,
        gpu_memory_mb=gpu_memory_mb,
        gpu_sharing=gpu_sharing,
    )


async def eventually(condition: Callable[[], Awaitable[bool]], what: str, *, seconds: float = 10.0) -> None:
    """Asks until it is true; fails with `what` when it does not become so in time."""
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(0.01)


async def status_when(
    runtime: WorkloadRuntime, workload_id: str, holds: Callable[[WorkloadStatus], bool], what: str
) -> WorkloadStatus:
    """The first status of the workload of which `holds` is true."""
    found: list[WorkloadStatus] = []

    async def look() -> bool:
        status = await runtime.inspect(workload_id)
        if status is not None and holds(status):
            found.append(status)
        return bool(found)

    await eventually(look, f"{what} of {workload_id}")
    return found[0]


async def until_listening(runtime: WorkloadRuntime, workload_id: str) -> WorkloadStatus:
    return await status_when(
        runtime, workload_id, lambda status: all(replica.listening for replica in status.replicas), "all listen"
    )


def processes_with(text: str) -> list[int]:
    """Pids of living processes, no zombies, with `text` in their command line or environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            seen = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if text.encode() in seen and state not in "ZX":
            found.append(int(entry.name))
    return found
