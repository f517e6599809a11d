"""The example inference service, each version as a real process."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
import time
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from examples.http_client import ClientConnection
from examples.traffic import SteadyTraffic

EXAMPLES = Path(__file__).parents[2] / "examples"
SERVER = EXAMPLES / "inference-model" / "server.py"
PREDICT = b'{"inputs": [[1, 2, 3, 4], [0, 0, 0, 0]]}'
DEADLINE_SECONDS = 20.0


class RunningServer:
    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.port = port

    async def ask(self, path: str, *, body: bytes | None = None) -> tuple[int, Any, str]:
        """Status, JSON body and version of the answer."""
        connection = await ClientConnection.open("127.0.0.1", self.port)
        answer = await connection.ask(request_bytes(path, body))
        connection.close()
        return answer.status, json.loads(answer.body), answer.headers[b"x-version"].decode()

    async def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), DEADLINE_SECONDS)


def request_bytes(path: str, body: bytes | None = None, *headers: str) -> bytes:
    method = "GET" if body is None else "POST"
    lines = [f"{method} {path} HTTP/1.1", "Host: example", *headers]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not await condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS} s: {what}"
        await asyncio.sleep(0.005)


async def accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@asynccontextmanager
async def running(version: str) -> AsyncIterator[RunningServer]:
    """As the process runtime would run it: in the version's directory, with a port."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SERVER),
        "--port",
        str(port),
        cwd=SERVER.parent / version,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await until(lambda: accepts(port), f"{version} listens on {port}")
        yield RunningServer(process, port)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


class TestVersions:
    async def test_the_versions_that_work_give_different_answers_to_the_same_question(self) -> None:
        answers = {}
        for version in ("v1.9", "v2.0"):
            async with running(version) as server:
                assert (await server.ask("/health"))[0] == 200
                status, answer, header = await server.ask("/predict", body=PREDICT)
                assert (status, header, answer["version"]) == (200, version, version)
                assert answer["model"] == "inference-model"
                answers[version] = answer
        assert answers["v1.9"]["outputs"] == [6.93, 0.5]
        assert answers["v2.0"]["outputs"] != answers["v1.9"]["outputs"]
        assert "confidences" not in answers["v1.9"]
        assert all(0.5 <= confidence <= 1 for confidence in answers["v2.0"]["confidences"])

    async def test_the_broken_version_says_what_is_broken(self) -> None:
        async with running("v2.1") as server:
            status, answer, _ = await server.ask("/health")
            assert status == 500
            assert "model.json cannot be loaded" in answer["error"]
            assert (await server.ask("/predict", body=PREDICT))[0] == 500

    async def test_the_flawed_version_passes_its_tests_and_fails_every_fifth_real_request(self) -> None:
        async with running("v2.2") as server:
            before = [(await server.ask("/predict", body=PREDICT))[0] for _ in range(10)]
            real = [(await server.ask("/predict", body=PREDICT))[0] for _ in range(50)]
            assert before == [200] * 10
            assert real.count(500) == 10
            assert (await server.ask("/health"))[0] == 200

    @pytest.mark.parametrize(("share", "status"), [(1.0, 500), (0.0, 200)])
    async def test_a_version_may_fail_a_share_of_its_requests(self, share: float, status: int, tmp_path: Path) -> None:
        model = json.loads((SERVER.parent / "v2.0" / "model.json").read_text())
        (tmp_path / "model.json").write_text(json.dumps({**model, "fault": {"share": share}}))
        async with running(str(tmp_path)) as server:
            assert (await server.ask("/health"))[0] == 200
            assert (await server.ask("/predict", body=PREDICT))[0] == status

    def test_the_configuration_names_versions_that_are_there(self) -> None:
        service = tomllib.loads((EXAMPLES / "bluegreen.toml").read_text())["services"]["inference-model"]
        for tag in (service["image"].split(":")[1], "v2.0", "v2.1", "v2.2"):
            directory = EXAMPLES / service["workdir"].replace("{tag}", tag)
            assert (directory / service["command"][1]).resolve() == SERVER
            assert (directory / "model.json").is_file()


class TestProtocol:
    @pytest.mark.parametrize(
        ("path", "body", "status"),
        [
            ("/nowhere", None, 404),
            ("/predict", None, 405),
            ("/predict", b"not json", 400),
            ("/predict", b'{"inputs": [[1, 2]]}', 400),
            ("/predict", b'{"inputs": [["1", 2, 3, 4]]}', 400),
            ("/predict?delay_ms=-1", PREDICT, 400),
            ("/predict", b'{"inputs": [1, 2, 3, 4]}', 200),
            ("/predict", b'{"inputs": []}', 200),
            ("/stream?tokens=many", None, 400),
        ],
    )
    async def test_every_question_gets_an_answer(self, path: str, body: bytes | None, status: int) -> None:
        async with running("v2.0") as server:
            assert (await server.ask(path, body=body))[0] == status

    @pytest.mark.parametrize(
        ("raw", "status"),
        [
            (b"hello\r\n\r\n", 400),
            (b"GET / HTTP/3\r\n\r\n", 400),
            (b"POST /predict HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
            (b"POST /predict HTTP/1.1\r\nContent-Length: +1\r\n\r\n", 400),
            (b"POST /predict HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", 413),
            (b"POST /predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
            (b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000, 431),
        ],
    )
    async def test_what_is_not_understood_ends_the_connection(self, raw: bytes, status: int) -> None:
        async with running("v2.0") as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(raw)
            everything = await asyncio.wait_for(reader.read(), DEADLINE_SECONDS)
            writer.close()
        assert everything.startswith(f"HTTP/1.1 {status} ".encode())
        assert everything.count(b"HTTP/1.1 ") == 1

    async def test_requests_sent_at_once_or_in_pieces_are_answered_in_order(self) -> None:
        requests = (
            request_bytes("/predict?delay_ms=30", PREDICT)
            + request_bytes("/stream?tokens=2&delay_ms=1")
            + request_bytes("/version")
            + request_bytes("/health", None, "Connection: close")
        )
        async with running("v2.0") as server:
            for size in (len(requests), 7):
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                for start in range(0, len(requests), size):
                    writer.write(requests[start : start + size])
                    await asyncio.sleep(0)
                everything = await asyncio.wait_for(reader.read(), DEADLINE_SECONDS)
                writer.close()
                marks = [b'"outputs"', b'"index": 1', b"[DONE]", b'"kind"', b'"status": "ok"']
                positions = [everything.find(mark) for mark in marks]
                assert positions == sorted(positions)
                assert min(positions) > 0

    async def test_a_stream_arrives_token_by_token_on_a_kept_connection(self) -> None:
        async with running("v2.0") as server:
            connection = await ClientConnection.open("127.0.0.1", server.port)
            answer = await connection.ask(request_bytes("/stream?tokens=5&delay_ms=1"))
            assert answer.headers[b"content-type"] == b"text/event-stream"
            events = answer.body.decode().strip().split("\n\n")
            assert [json.loads(event.removeprefix("data: "))["index"] for event in events[:5]] == list(range(5))
            assert events[5:] == ["data: [DONE]"]
            assert (await connection.ask(request_bytes("/version"))).status == 200
            connection.close()

    async def test_hundreds_of_connections_are_served_at_once(self) -> None:
        async with running("v1.9") as server:
            traffic = SteadyTraffic("127.0.0.1", server.port, "/predict", method="POST", body=PREDICT, concurrency=400)
            await traffic.start()

            async def enough() -> bool:
                return traffic.report().sent >= 4000

            await until(enough, "4000 requests")
            report = await traffic.stop()
        assert report.failures == ()
        assert set(report.by_version) == {"v1.9"}


class TestShutdown:
    async def test_sigterm_finishes_open_requests_and_refuses_new_connections(self) -> None:
        async with running("v2.0") as server:
            idle, slow, streaming = [await ClientConnection.open("127.0.0.1", server.port) for _ in range(3)]
            assert (await idle.ask(request_bytes("/version"))).status == 200
            predicting = asyncio.create_task(slow.ask(request_bytes("/predict?delay_ms=1000", PREDICT)))
            tokens = asyncio.create_task(streaming.ask(request_bytes("/stream?tokens=100&delay_ms=10")))
            # An answer on a connection opened later shows that the two requests before it were read.
            assert (await server.ask("/version"))[0] == 200

            server.process.send_signal(signal.SIGTERM)

            async def refuses() -> bool:
                return not await accepts(server.port)

            await until(refuses, "the port is closed")
            assert not predicting.done()
            assert not tokens.done()
            assert (await predicting).status == 200
            assert (await predicting).keep_alive is False
            assert (await tokens).body.endswith(b"data: [DONE]\n\n")
            assert await asyncio.wait_for(server.process.wait(), DEADLINE_SECONDS) == 0

    async def test_an_idle_server_ends_at_once_with_exit_code_0(self) -> None:
        async with running("v1.9") as server:
            assert await server.stop() == 0
