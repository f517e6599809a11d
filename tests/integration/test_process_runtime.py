"""Real processes that misbehave. Every test ends with none of them left."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bluegreen.domain.errors import RuntimeFailure
from bluegreen.domain.model import Resources, WorkloadState, WorkloadStatus
from bluegreen.runtimes.process.identity import ProcessIdentity, wait_ended
from bluegreen.runtimes.process.launch_plan import ShimSettings
from bluegreen.runtimes.process.listening import local_listeners, parse_listeners
from bluegreen.runtimes.process.proc import children_of
from bluegreen.runtimes.process.runtime import ProcessRuntime
from tests.support_runtime import (
    eventually,
    make_request,
    processes_with,
    status_when,
    tiny_server,
    until_listening,
)

IDLE = ("sleep", "600")


@pytest.fixture(autouse=True)
async def nothing_is_left(tmp_path: Path) -> AsyncIterator[None]:
    """All runtimes of a test share one directory, so this one finds what any of them started."""
    yield
    cleaner = build(tmp_path)
    for status in await cleaner.list():
        await cleaner.stop(status.workload.id)
    assert processes_with(str(tmp_path)) == []


@pytest.fixture
def runtime(tmp_path: Path) -> ProcessRuntime:
    return build(tmp_path)


def build(tmp_path: Path, *, ports: tuple[int, int] | None = None, log_max_bytes: int = 2**20) -> ProcessRuntime:
    return ProcessRuntime(
        tmp_path / "state",
        base_directory=tmp_path,
        capacity=Resources(gpus=4),
        environment={"PATH": os.environ["PATH"], "SECRET_OF_THE_CONTROLLER": "x"},
        ports=ports,
        shim=ShimSettings(backoff_first_seconds=0.05, log_max_bytes=log_max_bytes),
    )


def shim_pid(tmp_path: Path, workload_id: str, index: int = 0) -> int:
    status = tmp_path / "state" / "workloads" / workload_id / f"replica-{index}" / "status.json"
    pid: int = json.loads(status.read_text())["shim_pid"]
    return pid


def failed(status: WorkloadStatus) -> bool:
    return status.state is WorkloadState.FAILED


async def until_gone(pid: int) -> None:
    identity = ProcessIdentity.of(pid)
    assert identity is None or await wait_ended(identity, 10.0), f"process {pid} lives on"


def replica_processes(workload_id: str) -> list[int]:
    """Without the shims."""
    return processes_with(f"BLUEGREEN_WORKLOAD={workload_id}")


async def logs_with(runtime: ProcessRuntime, workload_id: str, last_line: str) -> list[str]:
    """The shim copies output a moment after it was written."""

    async def copied() -> bool:
        return list(await runtime.logs(workload_id, lines=1)) == [f"replica-0 | {last_line}"]

    await eventually(copied, f"{last_line!r} is the last line of the log")
    return list(await runtime.logs(workload_id, lines=2000))


async def until_count(workload_id: str, expected: int) -> None:
    async def reached() -> bool:
        return len(replica_processes(workload_id)) == expected

    await eventually(reached, f"{expected} processes of {workload_id}")


# -- what can't be started -----------------------------------------------------------------------------------


async def test_why_a_command_can_not_be_started(runtime: ProcessRuntime, tmp_path: Path) -> None:
    (tmp_path / "plain.txt").write_text("no program")
    (tmp_path / "no-format").write_text("no program")
    (tmp_path / "no-interpreter").write_text("#!/nowhere/interpreter\n")
    for name in ("no-format", "no-interpreter"):
        (tmp_path / name).chmod(0o755)
    cases = {
        ("./missing",): "command not found: './missing'",
        ("./plain.txt",): "'./plain.txt' can't be executed: Permission denied",
        ("./no-format",): "'./no-format' can't be executed: not a program, and without a #! line",
        ("./no-interpreter",): "'./no-interpreter' can't be executed: the interpreter named in its first line",
    }
    for command, error in cases.items():
        status = await runtime.start(make_request(command))
        assert status.state is WorkloadState.FAILED
        assert error in status.replicas[0].error
        assert error in (await runtime.logs(status.workload.id))[-1]


async def test_a_work_directory_that_does_not_exist(runtime: ProcessRuntime) -> None:
    status = await runtime.start(make_request(IDLE, workdir="releases/{tag}"))
    assert "releases/v1.0' can't be entered: No such file or directory" in status.replicas[0].error


async def test_an_unknown_placeholder_is_refused_before_anything_starts(runtime: ProcessRuntime) -> None:
    request = make_request(("serve", "--port={prot}"))
    with pytest.raises(RuntimeFailure, match=r"command\[1\]: unknown placeholder '\{prot\}'"):
        await runtime.start(request)
    assert await runtime.list() == []


async def test_a_shim_that_can_not_work_leaves_nothing_running(tmp_path: Path) -> None:
    broken = build(tmp_path, ports=(70000, 70001))
    request = make_request(IDLE, replicas=2)
    with pytest.raises(RuntimeFailure, match="could not be started, nothing of it is left running"):
        await broken.start(request)
    assert await broken.list() == []
    assert processes_with(request.workload.id) == []


async def test_no_free_port(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        crowded = build(tmp_path, ports=(port, port))
        status = await crowded.start(make_request(IDLE))
    assert status.replicas[0].error == f"no free port between {port} and {port}"


# -- what ends, and what does not ----------------------------------------------------------------------------


async def test_one_that_ignores_sigterm_is_killed_after_its_grace(runtime: ProcessRuntime, tmp_path: Path) -> None:
    request = make_request(tiny_server(tmp_path, "--ignore-term"), stop_grace_seconds=0.5)
    await runtime.start(request)
    await until_listening(runtime, request.workload.id)
    began = time.monotonic()
    await runtime.stop(request.workload.id)
    assert 0.5 <= time.monotonic() - began < 5.0
    assert processes_with(request.workload.id) == []


async def test_a_daemon_that_detached_itself_ends_with_its_workload(runtime: ProcessRuntime, tmp_path: Path) -> None:
    request = make_request(tiny_server(tmp_path, "--leak"))
    await runtime.start(request)
    await until_listening(runtime, request.workload.id)
    await until_count(request.workload.id, 2)
    await runtime.stop(request.workload.id)
    assert processes_with(request.workload.id) == []


async def test_a_crash_takes_the_detached_daemon_with_it(runtime: ProcessRuntime, tmp_path: Path) -> None:
    request = make_request(tiny_server(tmp_path, "--leak"))
    await runtime.start(request)
    before = await until_listening(runtime, request.workload.id)
    old = set(replica_processes(request.workload.id))
    os.kill(before.replicas[0].pid or 0, signal.SIGKILL)
    await status_when(
        runtime, request.workload.id, lambda status: status.restarts == 1 and status.replicas[0].listening, "restart"
    )
    await until_count(request.workload.id, 2)
    assert not old & set(replica_processes(request.workload.id))


async def test_the_processes_of_a_pipeline_all_get_sigterm_and_their_grace(
    runtime: ProcessRuntime, tmp_path: Path
) -> None:
    worker = (
        f"trap 'sleep 0.2; echo finished > {tmp_path}/finished; exit' TERM; "
        f"echo > {tmp_path}/begun; while :; do sleep 0.02; done"
    )
    request = make_request(("sh", "-c", f"( {worker} ) & wait"))
    await runtime.start(request)

    async def begun() -> bool:
        return (tmp_path / "begun").exists()

    await eventually(begun, "the worker runs")
    await runtime.stop(request.workload.id)
    assert (tmp_path / "finished").read_text() == "finished\n"


async def test_exit_codes_are_seen_and_the_pause_doubles(runtime: ProcessRuntime, tmp_path: Path) -> None:
    request = make_request(tiny_server(tmp_path, "--exit", "3"))
    await runtime.start(request)
    status = await status_when(runtime, request.workload.id, lambda status: status.restarts >= 3, "3 restarts")
    assert status.replicas[0].exit_code == 3
    log = "\n".join(await runtime.logs(request.workload.id))
    assert [float(pause) for pause in re.findall(r"exit code 3; starts again in ([0-9.]+) s", log)][:3] == [
        0.05,
        0.1,
        0.2,
    ]


async def test_nobody_is_left_a_zombie(runtime: ProcessRuntime, tmp_path: Path) -> None:
    """Orphans that end while the replica lives are reaped by its shim, and the shim by us."""
    request = make_request(("sh", "-c", "(sleep 0.01 & sleep 0.02 &) ; exec sleep 600"))
    status = await runtime.start(request)
    shim = shim_pid(tmp_path, request.workload.id)

    async def only_the_replica() -> bool:
        return children_of(shim) == [status.replicas[0].pid]

    await eventually(only_the_replica, "the orphans are reaped")
    await runtime.stop(request.workload.id)
    assert shim not in children_of(os.getpid())


# -- dead shims, dead controllers ----------------------------------------------------------------------------


async def test_a_killed_shim_takes_its_replica_along_and_heals(runtime: ProcessRuntime, tmp_path: Path) -> None:
    request = make_request(tiny_server(tmp_path, "--leak"), replicas=2)
    await runtime.start(request)
    before = await until_listening(runtime, request.workload.id)
    os.kill(shim_pid(tmp_path, request.workload.id), signal.SIGKILL)
    await until_gone(before.replicas[0].pid or 0)
    broken = await status_when(runtime, request.workload.id, failed, "failed")
    assert not broken.replicas[0].listening
    assert broken.replicas[0].error == ""
    assert broken.replicas[1] == before.replicas[1]

    await runtime.heal(request.workload.id)
    after = await until_listening(runtime, request.workload.id)
    assert after.restarts == 1
    assert after.endpoints == before.endpoints
    assert after.replicas[1] == before.replicas[1]
    await until_count(request.workload.id, 4)  # two servers, two leaked children, no old one


async def test_what_a_killed_shim_left_ends_with_its_workload(runtime: ProcessRuntime, tmp_path: Path) -> None:
    request = make_request(tiny_server(tmp_path, "--leak"))
    await runtime.start(request)
    status = await until_listening(runtime, request.workload.id)
    os.kill(shim_pid(tmp_path, request.workload.id), signal.SIGKILL)
    await until_gone(status.replicas[0].pid or 0)
    await until_count(request.workload.id, 1)  # the leaked one has nobody
    await runtime.stop(request.workload.id)
    assert processes_with(request.workload.id) == []


CONTROLLER = """
import asyncio, os, signal, sys
from pathlib import Path
from tests.integration.test_process_runtime import build
from tests.support_runtime import make_request, tiny_server, until_listening

async def main():
    directory = Path(sys.argv[1])
    runtime = build(directory)
    await runtime.start(make_request(tiny_server(directory), workload_id=sys.argv[3], replicas=2))
    await until_listening(runtime, sys.argv[3])
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # Under nohup it would be ignored.
    os.killpg(0, getattr(signal, sys.argv[2]))

asyncio.run(main())
"""


@pytest.mark.parametrize("how", ["SIGKILL", "SIGINT", "SIGHUP"])
async def test_workloads_outlive_their_controller(runtime: ProcessRuntime, tmp_path: Path, how: str) -> None:
    survivor = f"survivor-of-{how}-{os.getpid()}"
    controller = subprocess.run(
        [sys.executable, "-c", CONTROLLER, str(tmp_path), how, survivor],
        start_new_session=True,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])},
        timeout=30,
    )
    assert controller.returncode != 0
    status = await until_listening(runtime, survivor)
    assert status.restarts == 0
    os.kill(status.replicas[0].pid or 0, signal.SIGKILL)
    await status_when(
        runtime, survivor, lambda status: status.restarts == 1 and status.replicas[0].listening, "restarted"
    )
    await runtime.stop(survivor)
    assert processes_with(survivor) == []


async def test_a_stop_that_was_cut_short_is_finished(runtime: ProcessRuntime, tmp_path: Path) -> None:
    request = make_request(tiny_server(tmp_path), replicas=2)
    await runtime.start(request)
    first = await until_listening(runtime, request.workload.id)
    (tmp_path / "state" / "workloads" / request.workload.id / "stopping").touch()
    os.kill(shim_pid(tmp_path, request.workload.id), signal.SIGTERM)
    await until_gone(first.replicas[0].pid or 0)

    successor = build(tmp_path)
    await successor.heal(request.workload.id)
    assert len(replica_processes(request.workload.id)) == 1, "what is being stopped is not healed"
    await successor.start(request)
    again = await until_listening(successor, request.workload.id)
    assert {replica.pid for replica in again.replicas}.isdisjoint(replica.pid for replica in first.replicas)
    await until_count(request.workload.id, 2)


async def test_a_start_that_was_cut_short_is_completed(runtime: ProcessRuntime, tmp_path: Path) -> None:
    request = make_request(tiny_server(tmp_path), replicas=2)
    await runtime.start(request)
    before = await until_listening(runtime, request.workload.id)
    shim = shim_pid(tmp_path, request.workload.id, 1)
    os.kill(shim, signal.SIGTERM)
    await until_gone(shim)
    (tmp_path / "state" / "workloads" / request.workload.id / "replica-1" / "status.json").unlink()

    await build(tmp_path).start(request)
    after = await until_listening(runtime, request.workload.id)
    assert after.replicas[0] == before.replicas[0]
    await until_count(request.workload.id, 2)


async def test_a_pid_that_was_reused_is_not_touched(tmp_path: Path) -> None:
    with subprocess.Popen(IDLE) as bystander:
        try:
            real = ProcessIdentity.of(bystander.pid)
            assert real is not None
            assert real.alive()
            for stale in (
                ProcessIdentity(real.pid, real.start_ticks - 1, real.boot_id),
                ProcessIdentity(real.pid, real.start_ticks, "another boot"),
            ):
                assert not stale.alive()
                assert not stale.send(signal.SIGKILL)
                assert await wait_ended(stale, 0.0)
            assert bystander.poll() is None
        finally:
            bystander.kill()
    assert not real.alive()


# -- ports ---------------------------------------------------------------------------------------------------


async def test_a_stranger_on_the_port_is_not_the_replica(runtime: ProcessRuntime) -> None:
    request = make_request(IDLE)
    status = await runtime.start(request)
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", status.endpoints[0].port))
        stranger.listen()
        assert status.endpoints[0].port in local_listeners()
        seen = await runtime.inspect(request.workload.id)
        assert seen is not None
        assert not seen.replicas[0].listening


async def test_a_port_that_was_stolen_is_given_up(runtime: ProcessRuntime) -> None:
    request = make_request(IDLE)
    before = await runtime.start(request)
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", before.endpoints[0].port))
        stranger.listen()
        os.kill(before.replicas[0].pid or 0, signal.SIGKILL)
        after = await status_when(
            runtime,
            request.workload.id,
            lambda status: status.restarts == 1 and status.state is WorkloadState.RUNNING,
            "restart",
        )
    assert after.endpoints != before.endpoints


async def test_replicas_started_together_share_no_port(tmp_path: Path) -> None:
    narrow = build(tmp_path, ports=(29950, 29957))
    request = make_request(IDLE, replicas=6)
    status = await narrow.start(request)
    assert len({endpoint.port for endpoint in status.endpoints}) == 6


async def test_both_ways_to_list_listeners_agree() -> None:
    with socket.socket() as v4, socket.socket(socket.AF_INET6) as v6, socket.socket() as client:
        v4.bind(("127.0.0.1", 0))
        v6.bind(("::", 0))
        for listener in (v4, v6):
            listener.listen()
        client.connect(v4.getsockname())
        expected = {(sock.getsockname()[1], os.fstat(sock.fileno()).st_ino) for sock in (v4, v6)}
        from_kernel = {(port, inode) for port, inodes in local_listeners().items() for inode in inodes}
        from_tables = {
            entry
            for table in ("/proc/net/tcp", "/proc/net/tcp6")
            for entry in parse_listeners(Path(table).read_text().splitlines())
        }
    assert expected <= from_kernel
    assert expected <= from_tables


# -- environment, files, logs --------------------------------------------------------------------------------


async def test_nothing_is_expanded_by_a_shell(runtime: ProcessRuntime, tmp_path: Path) -> None:
    command = tiny_server(tmp_path, "--print-environment", "$HOME; rm -rf *", "`id`", "{color}-{replica}")
    request = make_request(
        command,
        env={"LITERAL": "$(id) $HOME; exit", "URL": "http://localhost:{port}/{tag}", "PORT": "1"},
        resources=Resources(gpus=2),
    )
    await runtime.start(request)
    status = await until_listening(runtime, request.workload.id)
    lines = [line.removeprefix("replica-0 | ") for line in await logs_with(runtime, request.workload.id, "ready")]
    port = status.endpoints[0].port
    assert f"arguments ['--print-environment', '$HOME; rm -rf *', '`id`', 'blue-0'] in {tmp_path}" in lines
    assert "LITERAL=$(id) $HOME; exit" in lines
    assert f"URL=http://localhost:{port}/v1.0" in lines
    assert f"PORT={port}" in lines
    assert "CUDA_VISIBLE_DEVICES=0,1" in lines
    assert f"BLUEGREEN_WORKLOAD={request.workload.id}" in lines
    assert not [line for line in lines if "SECRET" in line]


async def test_secrets_are_for_the_owner_only(runtime: ProcessRuntime, tmp_path: Path) -> None:
    request = make_request(IDLE, env={"TOKEN": "hunter2"})
    await runtime.start(request)
    with_secret = [
        file for file in (tmp_path / "state").rglob("*") if file.is_file() and b"hunter2" in file.read_bytes()
    ]
    assert [file.name for file in with_secret] == ["launch.json"]
    assert stat.S_IMODE(with_secret[0].stat().st_mode) == 0o600
    shim = Path(f"/proc/{shim_pid(tmp_path, request.workload.id)}")
    assert b"hunter2" not in (shim / "cmdline").read_bytes() + (shim / "environ").read_bytes()


async def test_two_workloads_share_no_gpu(runtime: ProcessRuntime, tmp_path: Path) -> None:
    requests = [make_request(IDLE, replicas=2, resources=Resources(gpus=1)) for _ in range(2)]
    await asyncio.gather(*(runtime.start(request) for request in requests))
    devices = []
    for request in requests:
        record = tmp_path / "state" / "workloads" / request.workload.id / "workload.json"
        devices += [device for replica in json.loads(record.read_text())["gpus"] for device in replica]
    assert sorted(devices) == [0, 1, 2, 3]


async def test_a_flood_of_output_is_kept_within_its_limit(tmp_path: Path) -> None:
    small = build(tmp_path, log_max_bytes=10_000)
    request = make_request(tiny_server(tmp_path, "--lines", "20000"))
    await small.start(request)
    await until_listening(small, request.workload.id)

    lines = await logs_with(small, request.workload.id, "ready")
    (log,) = await small.log_files(request.workload.id)
    sizes = {file.name: file.stat().st_size for file in log.parent.glob("output.log*")}
    assert set(sizes) == {"output.log", "output.log.1", "output.log.2"}
    assert max(sizes.values()) <= 10_000
    assert lines[-1500:-1] == [f"replica-0 | line {number}" for number in range(20000 - 1499, 20000)]


async def test_of_stopped_workloads_the_newest_are_kept(tmp_path: Path) -> None:
    tidy = ProcessRuntime(tmp_path / "state", base_directory=tmp_path, keep_stopped=2)
    for number in range(4):
        await tidy.start(make_request(("sh", "-c", "echo hello; exec sleep 600"), workload_id=f"model-{number}"))
        await logs_with(tidy, f"model-{number}", "hello")
        await tidy.stop(f"model-{number}")
    kept = [number for number in range(4) if await tidy.logs(f"model-{number}")]
    assert kept == [2, 3]


async def test_a_record_that_can_not_be_read_is_named(runtime: ProcessRuntime, tmp_path: Path) -> None:
    await runtime.start(make_request(IDLE, workload_id="model-1"))
    record = tmp_path / "state" / "workloads" / "model-1" / "workload.json"
    content = record.read_bytes()
    record.write_bytes(b"{")
    with pytest.raises(RuntimeFailure, match=r"model-1/workload\.json"):
        await runtime.inspect("model-1")
    record.write_bytes(content)


BUSY = """
import os, sys, time
def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
children = int(sys.argv[1])
for _ in range(children):
    if os.fork() == 0:
        burn(0.2)
        os._exit(0)
for _ in range(children):
    os.wait()
if os.fork() == 0:
    os.setsid()
    held = bytearray(64 * 2**20)
    burn(0.1)
    time.sleep(600)
time.sleep(600)
"""


async def test_what_children_and_those_that_ended_used_counts(runtime: ProcessRuntime) -> None:
    request = make_request((sys.executable, "-I", "-S", "-c", BUSY, "2"))
    await runtime.start(request)

    async def all_is_counted() -> bool:
        usage = (await runtime.usage([request.workload.id])).get(request.workload.id)
        return usage is not None and usage.cpu_seconds >= 0.45 and usage.memory_bytes >= 64 * 2**20

    await eventually(all_is_counted, "0.5 s of processor time and 64 MiB are seen", seconds=60)
    await runtime.stop(request.workload.id)
    assert await runtime.usage([request.workload.id]) == {}
