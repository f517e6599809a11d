"""The prober against real servers and real processes."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from bluegreen.domain.model import Color, Endpoint, Resources, Workload
from bluegreen.domain.service import HealthCheck, SmokeTest
from bluegreen.probes.http import HttpProber
from tests.integration.probe_servers import (
    Handler,
    answering,
    dripping,
    endless,
    hanging,
    serving,
    serving_h2c,
    writing,
)

CHECK = HealthCheck(path="/health", timeout_seconds=5.0)
IMPATIENT = HealthCheck(path="/health", timeout_seconds=0.2)
WORKLOAD = Workload("w-1", "inference-model", Color.GREEN, "model:v2.0", "v2.0", 1, Resources())
NOWHERE = Endpoint("127.0.0.1", 1)


@pytest.fixture
async def prober(tmp_path: Path) -> AsyncIterator[HttpProber]:
    prober = HttpProber(command_directory=tmp_path)
    yield prober
    await prober.aclose()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.01)


def running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class TestHealthCheck:
    @pytest.mark.parametrize(
        ("handler", "ok", "detail"),
        [
            pytest.param(answering(200, b"fine"), True, "HTTP 200", id="200"),
            pytest.param(answering(503), False, "HTTP 503", id="503"),
            pytest.param(answering(302, b"", "Location: /other"), False, "HTTP 302", id="redirect"),
            pytest.param(
                writing(b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
                True,
                "HTTP 200",
                id="early-hints-first",
            ),
            pytest.param(
                writing(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
                True,
                "HTTP 200",
                id="chunked",
            ),
            pytest.param(writing(b"HTTP/1.0 200 OK\r\n\r\nuntil the end"), True, "HTTP 200", id="http-1.0"),
            pytest.param(endless, True, "HTTP 200", id="endless-body"),
        ],
    )
    async def test_an_answer_is_judged_by_its_status(
        self, prober: HttpProber, handler: Handler, ok: bool, detail: str
    ) -> None:
        async with serving(handler) as endpoint:
            result = await prober.check(endpoint, CHECK, "http1")
        assert (result.ok, result.detail) == (ok, f"{detail} from {endpoint}/health")

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(b"\x16\x03\x01 not http at all\r\n\r\n", id="garbage"),
            pytest.param(b"", id="nothing"),
            pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", id="cut-body"),
            pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000, id="endless-head"),
        ],
    )
    @pytest.mark.parametrize("protocol", ["http1", "h2c"])
    async def test_what_is_no_answer_is_a_bad_result(self, prober: HttpProber, data: bytes, protocol: str) -> None:
        async with serving(writing(data)) as endpoint:
            result = await prober.check(endpoint, CHECK, protocol)
        assert not result.ok
        assert "no complete HTTP answer" in result.detail or "no HTTP/2 answer" in result.detail

    @pytest.mark.parametrize("protocol", ["http1", "h2c"])
    async def test_a_refused_connection_is_a_bad_result(self, prober: HttpProber, protocol: str) -> None:
        endpoint = Endpoint("127.0.0.1", free_port())
        result = await prober.check(endpoint, CHECK, protocol)
        assert (result.ok, result.detail) == (False, f"connection refused by {endpoint}/health")

    @pytest.mark.parametrize(("handler", "protocol"), [(hanging, "http1"), (dripping, "http1"), (hanging, "h2c")])
    async def test_the_timeout_is_for_the_whole_answer(
        self, prober: HttpProber, handler: Handler, protocol: str
    ) -> None:
        async with serving(handler) as endpoint:
            result = await prober.check(endpoint, IMPATIENT, protocol)
        assert not result.ok
        assert result.detail == f"no complete answer within 0.2 s from {endpoint}/health"
        assert 0.2 <= result.seconds < 2.0

    async def test_http2_without_tls(self, prober: HttpProber) -> None:
        async with serving_h2c(200, b"fine") as endpoint:
            results = await asyncio.gather(*(prober.check(endpoint, CHECK, "h2c") for _ in range(5)))
        assert [result.detail for result in results] == [f"HTTP 200 from {endpoint}/health"] * 5

    async def test_proxies_of_the_environment_are_not_used(
        self, prober: HttpProber, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
        async with serving(answering(200)) as endpoint:
            assert (await prober.check(endpoint, CHECK, "http1")).ok
            assert (await prober.smoke(endpoint, SmokeTest("s", "GET", "/"), WORKLOAD)).ok
        async with serving_h2c(200, b"") as endpoint:
            assert (await prober.check(endpoint, CHECK, "h2c")).ok

    async def test_a_cancelled_check_closes_its_connection(self, prober: HttpProber) -> None:
        arrived = asyncio.Event()
        closed = asyncio.Event()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            arrived.set()
            assert await reader.read() == b""
            closed.set()
            writer.close()

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        async with server:
            endpoint = Endpoint(*server.sockets[0].getsockname())
            task = asyncio.create_task(prober.check(endpoint, CHECK, "http1"))
            await arrived.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(closed.wait(), 5)


class TestSmokeRequest:
    async def test_sends_what_was_declared(self, prober: HttpProber) -> None:
        seen: list[bytes] = []

        async def handler(request: bytes, writer: asyncio.StreamWriter) -> None:
            seen.append(request)
            await answering(201, b'{"y": [1, 2], "ok": true}')(request, writer)

        test = SmokeTest(
            name="predict",
            method="POST",
            path="/predict?n=1",
            body=b'{"x": 1}',
            headers={"content-type": "application/json", "User-Agent": "mine", "X-Token": "t"},
            expect_status=201,
            expect_json={"length(y)": 2, "ok": True, "y[0]": 1.0, "missing": None},
        )
        async with serving(handler) as endpoint:
            result = await prober.smoke(endpoint, test, WORKLOAD)
        assert result.ok, result.detail
        head, _, body = seen[0].partition(b"\r\n\r\n")
        lines = [line.lower() for line in head.split(b"\r\n")]
        assert lines[0] == b"post /predict?n=1 http/1.1"
        assert body == b'{"x": 1}'
        assert f"host: {endpoint}".encode() in lines
        assert {b"content-type: application/json", b"user-agent: mine", b"x-token: t"} <= set(lines)

    @pytest.mark.parametrize(
        ("handler", "test", "expected"),
        [
            pytest.param(
                answering(500, b"out of\nmemory"),
                SmokeTest("s", "GET", "/p"),
                "expected HTTP 200, got 500: out of memory",
                id="status",
            ),
            pytest.param(
                answering(200, b'{"label": "dog", "n": 1}'),
                SmokeTest("s", "GET", "/p", expect_json={"label": "cat"}),
                'label must be "cat", got "dog"',
                id="wrong-value",
            ),
            pytest.param(
                answering(200, b'{"n": 1}'),
                SmokeTest("s", "GET", "/p", expect_json={"n": True}),
                "n must be true, got 1",
                id="one-is-not-true",
            ),
            pytest.param(
                answering(200, b'{"n": [0, {"a": 1}]}'),
                SmokeTest("s", "GET", "/p", expect_json={"n": [False, {"a": 1}]}),
                'n must be [false, {"a": 1}], got [0, {"a": 1}]',
                id="deep",
            ),
            pytest.param(
                answering(200, b'{"n": 1}'),
                SmokeTest("s", "GET", "/p", expect_json={"label": "cat"}),
                'label must be "cat", got null',
                id="missing",
            ),
            pytest.param(
                answering(200, b"<html>"),
                SmokeTest("s", "GET", "/p", expect_json={"label": "cat"}),
                "the answer is not JSON: <html>",
                id="not-json",
            ),
            pytest.param(
                answering(200, b"[" * 100_000),
                SmokeTest("s", "GET", "/p", expect_json={"label": "cat"}),
                "the answer is not JSON: " + "[" * 199 + "…",
                id="deep-nesting",
            ),
            pytest.param(
                endless,
                SmokeTest("s", "GET", "/p", expect_json={"label": "cat"}),
                "the answer is larger than 1 MiB, so expect_json can't be checked",
                id="endless",
            ),
            pytest.param(
                dripping,
                SmokeTest("s", "GET", "/p", max_seconds=0.2),
                "no complete answer within 0.2 s",
                id="drip",
            ),
            pytest.param(
                hanging,
                SmokeTest("s", "GET", "/p", max_seconds=0.2),
                "no complete answer within 0.2 s",
                id="hang",
            ),
        ],
    )
    async def test_says_what_is_not_as_expected(
        self, prober: HttpProber, handler: Handler, test: SmokeTest, expected: str
    ) -> None:
        async with serving(handler) as endpoint:
            result = await prober.smoke(endpoint, test, WORKLOAD)
        assert not result.ok
        assert result.detail == f"GET http://{endpoint}/p: {expected}"
        assert result.seconds < 5

    async def test_a_function_that_does_not_fit_the_answer(self, prober: HttpProber) -> None:
        test = SmokeTest("s", "GET", "/", expect_json={"length(n)": 2})
        async with serving(answering(200, b'{"n": 1}')) as endpoint:
            result = await prober.smoke(endpoint, test, WORKLOAD)
        assert not result.ok
        assert "length(n) can't be evaluated on the answer" in result.detail

    async def test_garbage_and_refusal(self, prober: HttpProber) -> None:
        test = SmokeTest("s", "GET", "/")
        async with serving(writing(b"garbage\r\n\r\n")) as endpoint:
            garbage = await prober.smoke(endpoint, test, WORKLOAD)
        refused = await prober.smoke(Endpoint("127.0.0.1", free_port()), test, WORKLOAD)
        assert not garbage.ok and "no complete HTTP answer" in garbage.detail
        assert not refused.ok and refused.detail.endswith(": connection refused")

    async def test_over_http2(self, prober: HttpProber) -> None:
        test = SmokeTest("s", "POST", "/p", body=b"x" * 100_000, expect_json={"a": 1})
        async with serving_h2c(200, b'{"a": 1}') as endpoint:
            result = await prober.smoke(endpoint, test, WORKLOAD, "h2c")
        assert result.ok, result.detail

    async def test_one_replica_does_not_get_the_cookies_of_another(self, prober: HttpProber) -> None:
        seen: list[bytes] = []

        async def handler(request: bytes, writer: asyncio.StreamWriter) -> None:
            seen.append(request.lower())
            await answering(200, b"", "Set-Cookie: session=1; Path=/")(request, writer)

        async with serving(handler) as endpoint:
            for _ in range(2):
                assert (await prober.smoke(endpoint, SmokeTest("s", "GET", "/"), WORKLOAD)).ok
        assert not any(b"cookie:" in request for request in seen)


def python(script: str, *arguments: str, max_seconds: float = 20.0) -> SmokeTest:
    return SmokeTest("s", command=(sys.executable, "-c", script, *arguments), max_seconds=max_seconds)


# Starts a child that ignores SIGTERM and writes its number to the file named by the first argument.
LEAVE_A_CHILD = """
import subprocess, sys
child = "import os, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\\n" \\
        "open(sys.argv[1] + '.new', 'w').write(str(os.getpid())); os.rename(sys.argv[1] + '.new', sys.argv[1])\\n" \\
        "time.sleep(600)"
subprocess.Popen([sys.executable, "-c", child, sys.argv[1]], start_new_session=sys.argv[2] == "own-session")
import os, time
while not os.path.exists(sys.argv[1]): time.sleep(0.01)
"""


class TestSmokeCommand:
    async def test_gets_the_address_of_green_and_no_secrets(
        self, prober: HttpProber, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DATABASE_PASSWORD", "secret")
        monkeypatch.setenv("PATH", os.defpath)  # A long one would push the rest out of what is kept.
        script = "import os, sys; print(os.getcwd(), sorted(os.environ.items())); sys.exit(3)"
        result = await prober.smoke(Endpoint("127.0.0.1", 8000), python(script), WORKLOAD)
        assert not result.ok
        assert f"{sys.executable!r} exited with 3; its last lines:\n" in result.detail
        assert str(tmp_path) in result.detail
        assert "('GREEN_URL', 'http://127.0.0.1:8000')" in result.detail
        assert "('SERVICE', 'inference-model')" in result.detail
        assert "('VERSION', 'v2.0')" in result.detail
        assert "secret" not in result.detail

    async def test_passes_with_exit_code_0(self, prober: HttpProber) -> None:
        result = await prober.smoke(NOWHERE, python("print('fine')"), WORKLOAD)
        assert result.ok and result.detail.startswith("passed in ")

    async def test_keeps_the_last_20_lines_of_both_outputs(self, prober: HttpProber) -> None:
        script = (
            "import sys\nfor n in range(200_000): print('line', n)\nsys.stdout.flush()\n"
            "print('the end', file=sys.stderr); sys.exit(1)"
        )
        result = await prober.smoke(NOWHERE, python(script), WORKLOAD)
        lines = result.detail.splitlines()[1:]
        assert lines == [f"  line {n}" for n in range(199_981, 200_000)] + ["  the end"]

    async def test_arguments_reach_the_program_as_they_are(self, prober: HttpProber) -> None:
        script = "import sys; print(sys.argv[1:]); sys.exit(1)"
        result = await prober.smoke(NOWHERE, python(script, "$HOME; echo 'x' && {port}"), WORKLOAD)
        assert "$HOME; echo 'x' && {port}" in result.detail

    async def test_a_command_that_is_not_there(self, prober: HttpProber) -> None:
        result = await prober.smoke(NOWHERE, SmokeTest("s", command=("./no-such",)), WORKLOAD)
        assert (result.ok, result.detail) == (False, "'./no-such' can't be started: No such file or directory")

    async def test_a_signal_is_named(self, prober: HttpProber) -> None:
        script = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
        result = await prober.smoke(NOWHERE, python(script), WORKLOAD)
        assert not result.ok and "was ended by signal 9" in result.detail

    @pytest.mark.parametrize("where", ["same-session", "own-session"])
    @pytest.mark.parametrize("ending", ["", "time.sleep(600)"])
    async def test_no_child_is_left_behind(self, prober: HttpProber, tmp_path: Path, where: str, ending: str) -> None:
        pid_file = tmp_path / "pid"
        test = python(LEAVE_A_CHILD + ending, str(pid_file), where, max_seconds=1.5 if ending else 20.0)
        result = await prober.smoke(NOWHERE, test, WORKLOAD)
        assert result.ok is not bool(ending), result.detail
        assert result.seconds < 10
        if ending:
            assert "still ran after 1.5 s and was killed" in result.detail
        assert not running(int(pid_file.read_text()))

    @pytest.mark.parametrize("where", ["same-session", "own-session"])
    async def test_a_cancelled_test_leaves_no_process(self, prober: HttpProber, tmp_path: Path, where: str) -> None:
        pid_file = tmp_path / "pid"
        test = python(LEAVE_A_CHILD + "time.sleep(600)", str(pid_file), where)
        task = asyncio.create_task(prober.smoke(NOWHERE, test, WORKLOAD))
        await until(pid_file.exists)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not running(int(pid_file.read_text()))

    async def test_cancelling_at_any_early_moment_leaves_no_process(self, prober: HttpProber) -> None:
        mark = f"early-{time.monotonic_ns()}"

        def alive() -> bool:
            for process in psutil.process_iter():
                try:
                    if mark in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                        return True
                except psutil.Error:
                    continue
            return False

        for turns in (*range(12), 50, 200):
            task = asyncio.create_task(prober.smoke(NOWHERE, python("import time; time.sleep(600)", mark), WORKLOAD))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert not alive()

    async def test_no_file_descriptor_is_left_open(self, prober: HttpProber) -> None:
        process = psutil.Process()
        await prober.smoke(NOWHERE, python(""), WORKLOAD)
        await prober.smoke(NOWHERE, SmokeTest("s", command=("./no-such",)), WORKLOAD)
        before = process.num_fds()
        for _ in range(3):
            await prober.smoke(NOWHERE, python(""), WORKLOAD)
            await prober.smoke(NOWHERE, SmokeTest("s", command=("./no-such",)), WORKLOAD)
        await until(lambda: process.num_fds() <= before)
