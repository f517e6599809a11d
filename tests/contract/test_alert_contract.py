"""What every alert sink does: it delivers the alert, or says that it did not."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bluegreen.alerts.fake import RecordingSink
from bluegreen.alerts.log import LogSink
from bluegreen.alerts.webhook import WebhookSink
from bluegreen.control.ports import Alert, AlertSink
from bluegreen.domain.errors import AdapterError, UsageError

ALERT = Alert(
    name="rolled-back",
    severity="warning",
    service="inference-model",
    deployment_id="d-42",
    message="error rate 21 % on green, limit 1 %",
    at=1_764_000_000.5,
)


class Receiver:
    """A web server that keeps what was posted to it and answers with `status`, or not at all when it is None."""

    def __init__(self) -> None:
        self.status: int | None = 204
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.port = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = int(next(line for line in head.lower().split("\r\n") if "content-length" in line).split()[1])
                self.heads.append(head)
                self.bodies.append(await reader.readexactly(length))
                if self.status is None:
                    await reader.read()
                writer.write(f"HTTP/1.1 {self.status} X\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n".encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.handle, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()


@pytest.mark.parametrize("kind", ["log", "webhook", "recording"])
async def test_an_alert_arrives_with_all_it_says(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with receiving() as receiver:
        webhook, recording = WebhookSink(f"http://127.0.0.1:{receiver.port}/hook"), RecordingSink()
        sinks: dict[str, AlertSink] = {"log": LogSink(), "webhook": webhook, "recording": recording}
        await sinks[kind].deliver(ALERT)
        await sinks[kind].deliver(ALERT)
        await webhook.close()

    arrived = {
        "log": [record.getMessage() for record in caplog.records if record.name == "bluegreen.alerts"],
        "webhook": [body.decode() for body in receiver.bodies],
        "recording": [repr(alert) for alert in recording.alerts],
    }[kind]
    assert len(arrived) == 2
    for text in (ALERT.name, ALERT.service, ALERT.deployment_id, ALERT.message):
        assert text in arrived[0]


class TestLog:
    @pytest.mark.parametrize(
        ("severity", "level"),
        [("info", "INFO"), ("warning", "WARNING"), ("critical", "CRITICAL"), ("odd", "WARNING")],
    )
    async def test_severity_becomes_the_level(
        self, severity: str, level: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        await LogSink().deliver(Alert("x", severity, "s", "d", "m", 0.0))
        assert [record.levelname for record in caplog.records] == [level]

    async def test_a_message_cannot_forge_further_lines(self, caplog: pytest.LogCaptureFixture) -> None:
        await LogSink().deliver(Alert("x", "critical", "s", "d", "exit 1\nCRITICAL all is lost", 0.0))
        assert "\n" not in caplog.records[0].getMessage()


class TestWebhook:
    async def test_the_body_is_the_alert_as_json(self) -> None:
        async with receiving() as receiver:
            sink = WebhookSink(
                f"http://bob:p%40ss@127.0.0.1:{receiver.port}/hook?token=1", headers={"X-Team": "inference"}
            )
            await sink.deliver(ALERT)
            await sink.close()

        assert json.loads(receiver.bodies[0]) == {
            "name": "rolled-back",
            "severity": "warning",
            "service": "inference-model",
            "deployment_id": "d-42",
            "message": "error rate 21 % on green, limit 1 %",
            "at": 1_764_000_000.5,
        }
        head = receiver.heads[0].lower()
        assert head.startswith("post /hook?token=1 http/1.1")
        assert "content-type: application/json" in head
        assert "authorization: basic ym9ionbac3m=" in head
        assert "x-team: inference" in head

    @pytest.mark.parametrize("status", [302, 404, 500])
    async def test_any_other_answer_is_a_failure_and_no_redirect_is_followed(self, status: int) -> None:
        async with receiving() as receiver:
            receiver.status = status
            sink = WebhookSink(f"http://127.0.0.1:{receiver.port}/hook")
            with pytest.raises(AdapterError, match=f"HTTP {status}"):
                await sink.deliver(ALERT)
            receiver.status = 200
            await sink.deliver(ALERT)
            await sink.close()
        assert len(receiver.bodies) == 2

    async def test_a_receiver_that_hangs_is_given_up(self) -> None:
        async with receiving() as receiver:
            receiver.status = None
            sink = WebhookSink(f"http://127.0.0.1:{receiver.port}/hook", timeout_seconds=0.2)
            with pytest.raises(AdapterError, match=r"no answer within 0\.2 s"):
                await sink.deliver(ALERT)
            await sink.close()

    async def test_neither_errors_nor_logs_tell_the_secret(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        async with receiving() as receiver:
            url = f"http://bob:hunter2@127.0.0.1:{receiver.port}/T0KEN/path?key=s3cret"
            sink = WebhookSink(url)
            await sink.deliver(ALERT)
            receiver.status = 500
            with pytest.raises(AdapterError) as refused:
                await sink.deliver(ALERT)
            await sink.close()
        with pytest.raises(AdapterError, match="cannot connect") as unreachable:
            await WebhookSink(url.replace(str(receiver.port), "1")).deliver(ALERT)
        with pytest.raises(UsageError) as invalid:
            WebhookSink("htp://bob:hunter2@host/T0KEN?key=s3cret")

        said = caplog.text + "".join(str(caught.value) for caught in (refused, unreachable, invalid))
        assert f"127.0.0.1:{receiver.port}" in str(refused.value)
        for secret in ("hunter2", "T0KEN", "s3cret"):
            assert secret not in said

    async def test_the_environment_cannot_redirect_alerts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
        async with receiving() as receiver:
            sink = WebhookSink(f"http://127.0.0.1:{receiver.port}/hook")
            await sink.deliver(ALERT)
            await sink.close()
        assert len(receiver.bodies) == 1

    @pytest.mark.parametrize("url", ["", "example.org/hook", "ftp://example.org", "http://", "http://host:99999/"])
    def test_what_is_no_address_is_refused_at_once(self, url: str) -> None:
        with pytest.raises(UsageError, match="not an http or https address"):
            WebhookSink(url)


async def test_a_recording_sink_fails_when_told_to() -> None:
    sink = RecordingSink()
    sink.failure = AdapterError("the pager is on fire")
    with pytest.raises(AdapterError):
        await sink.deliver(ALERT)
    assert sink.alerts == []
