"""What every alert sink does: it delivers the alert, or says that it did not."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import resource
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from bluegreen.alerts.alertmanager import AlertmanagerSink
from bluegreen.alerts.apprise import AppriseSink
from bluegreen.alerts.fake import RecordingSink
from bluegreen.alerts.file import FileSink
from bluegreen.alerts.log import LogSink
from bluegreen.alerts.threshold import Threshold
from bluegreen.alerts.webhook import WebhookSink
from bluegreen.control.ports import Alert, AlertDeclined, AlertSink
from bluegreen.domain.errors import AdapterError, UsageError
from tests.support.alert_receiver import Receiver, receiving

ALERT = Alert(
    id="d-42:deploy-rollback",
    name="deploy-rollback",
    severity="warning",
    message="inference-model was rolled back: error rate 21 % on green. Next: bluegreen events d-42",
    at=1_764_000_000.5,
    service="inference-model",
    deployment_id="d-42",
    labels={"team": "vision"},
    version="v2.0",
    duration_seconds=75.25,
    cause="error rate 21 % on green",
    next_command="bluegreen events d-42",
)


@pytest.fixture(autouse=True)
def _loggers_as_they_were() -> Iterator[None]:
    names = ("apprise", "urllib3", "requests")
    levels = [logging.getLogger(name).level for name in names]
    yield
    for name, level in zip(names, levels, strict=True):
        logging.getLogger(name).setLevel(level)


SinkMaker = Callable[[int, Path], AlertSink]
OVER_HTTP: dict[str, SinkMaker] = {
    "webhook": lambda port, _: WebhookSink(f"http://127.0.0.1:{port}/hook"),
    "alertmanager": lambda port, _: AlertmanagerSink(f"http://127.0.0.1:{port}"),
    "apprise": lambda port, _: AppriseSink(f"json://127.0.0.1:{port}/notify"),
}
SINKS: dict[str, SinkMaker] = {
    **OVER_HTTP,
    "log": lambda _, __: LogSink(),
    "file": lambda _, directory: FileSink(directory / "alerts.jsonl"),
    "recording": lambda _, __: RecordingSink(),
    "threshold": lambda port, _: Threshold(WebhookSink(f"http://127.0.0.1:{port}/hook"), "warning"),
}


@pytest.mark.parametrize("kind", sorted(SINKS))
async def test_an_alert_arrives_with_all_it_says(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with receiving() as receiver:
        sink = SINKS[kind](receiver.port, tmp_path)
        await sink.deliver(ALERT)
        await sink.deliver(ALERT)

    arrived = {
        "log": [record.getMessage() for record in caplog.records if record.name == "bluegreen.alerts"],
        "recording": [repr(alert) for alert in sink.alerts] if isinstance(sink, RecordingSink) else [],
        "file": (tmp_path / "alerts.jsonl").read_text().splitlines() if kind == "file" else [],
    }.get(kind, [body.decode() for body in receiver.bodies])
    assert len(arrived) == 2
    for text in (ALERT.name, ALERT.service, ALERT.deployment_id, "error rate 21 %", "bluegreen events d-42"):
        assert text in arrived[0]


@pytest.mark.parametrize("kind", sorted(OVER_HTTP))
@pytest.mark.parametrize("status", [404, 500])
async def test_a_refusal_is_a_failure_and_the_next_one_arrives(kind: str, status: int, tmp_path: Path) -> None:
    async with receiving() as receiver:
        sink = OVER_HTTP[kind](receiver.port, tmp_path)
        receiver.status = status
        with pytest.raises(AdapterError):
            await sink.deliver(ALERT)
        receiver.status = 200
        await sink.deliver(ALERT)
    assert len(receiver.bodies) == 2


@pytest.mark.parametrize("kind", sorted(OVER_HTTP))
async def test_neither_errors_nor_logs_tell_an_address(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    makers: dict[str, Callable[[str], AlertSink]] = {
        "webhook": WebhookSink,
        "alertmanager": AlertmanagerSink,
        "apprise": lambda url: AppriseSink(url.replace("http://", "json://")),
    }
    said = []
    async with receiving() as receiver:
        url = f"http://bob:hunter2@127.0.0.1:{receiver.port}/T0KEN/path?key=s3cret"
        sink = makers[kind](url)
        await sink.deliver(ALERT)
        receiver.status = 500
        with pytest.raises(AdapterError) as refused:
            await sink.deliver(ALERT)
        said.append(str(refused.value))
    with pytest.raises(AdapterError) as unreachable:
        await makers[kind](url.replace(str(receiver.port), "1")).deliver(ALERT)
    said += [str(unreachable.value), caplog.text]
    for secret in ("hunter2", "T0KEN", "s3cret"):
        assert secret not in "".join(said)


class TestLog:
    @pytest.mark.parametrize(
        ("severity", "level"),
        [("info", "INFO"), ("warning", "WARNING"), ("critical", "CRITICAL"), ("odd", "WARNING")],
    )
    async def test_severity_becomes_the_level(
        self, severity: str, level: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        await LogSink().deliver(Alert("i", "x", severity, "m", 0.0))
        assert [record.levelname for record in caplog.records] == [level]

    async def test_a_message_cannot_forge_further_lines(self, caplog: pytest.LogCaptureFixture) -> None:
        await LogSink().deliver(Alert("i", "x", "critical", "exit 1\nCRITICAL all is lost", 0.0))
        assert "\n" not in caplog.records[0].getMessage()


class TestWebhook:
    async def test_the_body_is_the_alert_as_json(self) -> None:
        async with receiving() as receiver:
            sink = WebhookSink(
                f"http://bob:p%40ss@127.0.0.1:{receiver.port}/hook?token=1", headers={"X-Team": "inference"}
            )
            await sink.deliver(ALERT)

        assert json.loads(receiver.bodies[0]) == asdict(ALERT)
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
        assert len(receiver.bodies) == 2

    async def test_a_receiver_that_hangs_is_given_up(self) -> None:
        async with receiving() as receiver:
            receiver.status = None
            sink = WebhookSink(f"http://127.0.0.1:{receiver.port}/hook", timeout_seconds=0.2)
            with pytest.raises(AdapterError, match=r"no answer within 0\.2 s"):
                await sink.deliver(ALERT)

    async def test_the_error_names_the_host_and_what_is_no_address_is_not_repeated(self) -> None:
        with pytest.raises(AdapterError, match=r"http://127\.0\.0\.1:1/….*cannot connect"):
            await WebhookSink("http://127.0.0.1:1/T0KEN").deliver(ALERT)
        with pytest.raises(UsageError) as invalid:
            WebhookSink("htp://bob:hunter2@host/T0KEN?key=s3cret")
        assert "hunter2" not in str(invalid.value)

    async def test_the_receiver_can_check_who_sent_it_and_when(self) -> None:
        async with receiving() as receiver:
            sink = WebhookSink(f"http://127.0.0.1:{receiver.port}/", secret="s3cret", now=lambda: 1_764_000_100.9)
            await sink.deliver(ALERT)
            await sink.deliver(replace(ALERT, message="another"))

        first, second = (receiver.headers(index) for index in (0, 1))
        assert first["x-bluegreen-timestamp"] == "1764000100"
        assert first["idempotency-key"] == second["idempotency-key"] == ALERT.id
        signed = b"1764000100." + receiver.bodies[0]
        assert first["x-bluegreen-signature"] == "sha256=" + hmac.new(b"s3cret", signed, hashlib.sha256).hexdigest()
        assert first["x-bluegreen-signature"] != second["x-bluegreen-signature"]

    async def test_without_a_secret_nothing_is_signed(self) -> None:
        async with receiving() as receiver:
            await WebhookSink(f"http://127.0.0.1:{receiver.port}/").deliver(ALERT)
        assert "x-bluegreen-signature" not in receiver.headers(0)

    async def test_an_id_cannot_add_headers(self) -> None:
        async with receiving() as receiver:
            await WebhookSink(f"http://127.0.0.1:{receiver.port}/").deliver(replace(ALERT, id="a\r\nX-Evil: é"))
        assert receiver.headers(0)["idempotency-key"] == "a__X-Evil:__"
        assert "x-evil" not in receiver.headers(0)

    async def test_the_environment_cannot_redirect_alerts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
        async with receiving() as receiver:
            sink = WebhookSink(f"http://127.0.0.1:{receiver.port}/hook")
            await sink.deliver(ALERT)
        assert len(receiver.bodies) == 1

    @pytest.mark.parametrize("url", ["", "example.org/hook", "ftp://example.org", "http://", "http://host:99999/"])
    def test_what_is_no_address_is_refused_at_once(self, url: str) -> None:
        with pytest.raises(UsageError, match="not an http or https address"):
            WebhookSink(url)


def posted(receiver: Receiver) -> dict[str, Any]:
    (alert,) = json.loads(receiver.bodies[-1])
    return dict(alert)


class TestAlertmanager:
    @pytest.mark.parametrize(
        ("address", "path"),
        [("", "/api/v2/alerts"), ("/", "/api/v2/alerts"), ("/am/", "/am/api/v2/alerts"), ("/api/v2/alerts", "")],
    )
    async def test_it_is_one_of_its_alerts(self, address: str, path: str) -> None:
        async with receiving() as receiver:
            await AlertmanagerSink(f"http://127.0.0.1:{receiver.port}{address}").deliver(ALERT)

        assert receiver.heads[0].startswith(f"POST {path or address} HTTP/1.1")
        assert posted(receiver) == {
            "labels": {
                "alertname": "deploy-rollback",
                "severity": "warning",
                "service": "inference-model",
                "deployment_id": "d-42",
                "team": "vision",
            },
            "annotations": {
                "summary": ALERT.message,
                "alert_id": ALERT.id,
                "version": "v2.0",
                "duration_seconds": "75.25",
                "cause": ALERT.cause,
                "next_command": ALERT.next_command,
            },
            "startsAt": "2025-11-24T16:00:00.500+00:00",
        }

    async def test_a_resolved_alert_has_the_labels_it_had_and_an_end(self) -> None:
        async with receiving() as receiver:
            sink = AlertmanagerSink(f"http://127.0.0.1:{receiver.port}")
            await sink.deliver(replace(ALERT, id="r1", deployment_id=""))
            fired = posted(receiver)
            await sink.deliver(replace(ALERT, id="r2", deployment_id="", at=ALERT.at + 60, resolved=True))
            resolved = posted(receiver)

        assert resolved["labels"] == fired["labels"]
        assert "deployment_id" not in fired["labels"]
        assert "endsAt" not in fired
        assert resolved["endsAt"] == "2025-11-24T16:01:00.500+00:00"

    async def test_labels_get_names_that_it_takes_and_none_replaces_ours(self) -> None:
        labels = {"app.kubernetes.io/name": "x", "1st": "y", "severity": "none", "empty": ""}
        async with receiving() as receiver:
            await AlertmanagerSink(f"http://127.0.0.1:{receiver.port}").deliver(replace(ALERT, labels=labels))
        found = posted(receiver)["labels"]
        assert (found["app_kubernetes_io_name"], found["_1st"], found["severity"]) == ("x", "y", "warning")
        assert "empty" not in found


class TestFile:
    async def test_each_line_is_the_alert_and_nobody_else_may_read_it(self, tmp_path: Path) -> None:
        path = tmp_path / "alerts.jsonl"
        await FileSink(path).deliver(ALERT)
        await FileSink(path).deliver(replace(ALERT, message="two\nlines"))
        first, second = path.read_text().splitlines()
        assert json.loads(first) == asdict(ALERT)
        assert json.loads(second)["message"] == "two\nlines"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    async def test_a_torn_line_of_a_crash_spoils_no_other(self, tmp_path: Path) -> None:
        path = tmp_path / "alerts.jsonl"
        path.write_text('{"id": "half')
        await FileSink(path).deliver(ALERT)
        assert json.loads(path.read_text().splitlines()[1]) == asdict(ALERT)

    async def test_what_cannot_be_written_is_a_failure_and_never_hangs(self, tmp_path: Path) -> None:
        with pytest.raises(AdapterError, match="No such file or directory"):
            await FileSink(tmp_path / "missing" / "alerts.jsonl").deliver(ALERT)
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(AdapterError, match="not a regular file"):
            await FileSink(tmp_path / "pipe").deliver(ALERT)

    async def test_a_line_that_does_not_fit_is_taken_back(self, tmp_path: Path) -> None:
        path = tmp_path / "alerts.jsonl"
        await FileSink(path).deliver(ALERT)
        before = path.read_bytes()
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, hard))
        try:
            with pytest.raises(AdapterError, match="File too large"):
                await FileSink(path).deliver(ALERT)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert path.read_bytes() == before


class TestApprise:
    async def test_title_type_and_text(self) -> None:
        async with receiving() as receiver:
            await AppriseSink(f"json://127.0.0.1:{receiver.port}/").deliver(ALERT)
        sent = json.loads(receiver.bodies[0])
        assert (sent["title"], sent["type"]) == ("[warning] deploy-rollback: inference-model v2.0", "warning")
        assert sent["message"] == f"{ALERT.message}\nAfter 75 s.\nAlert {ALERT.id}"

    async def test_an_address_that_it_does_not_know_is_not_repeated(self) -> None:
        with pytest.raises(AdapterError, match="does not understand the address") as caught:
            await AppriseSink("nosuchservice://hunter2", name="chat").deliver(ALERT)
        assert "hunter2" not in str(caught.value)
        assert "'chat'" in caught.value.hint

    def test_without_the_extra_it_says_how_to_get_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "apprise", None)
        monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
        with pytest.raises(UsageError, match="not installed") as caught:
            AppriseSink("slack://hunter2")
        assert "pip install 'bluegreen[alerts]'" in caught.value.hint
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("minimum", "severity", "wanted"),
    [
        ("warning", "info", False),
        ("warning", "warning", True),
        ("warning", "critical", True),
        ("critical", "warning", False),
        ("critical", "odd", True),
    ],
)
async def test_a_threshold_declines_what_is_less_severe(minimum: str, severity: str, wanted: bool) -> None:
    recording = RecordingSink("ops")
    sink = Threshold(recording, minimum)
    assert sink.name == "ops"
    if wanted:
        await sink.deliver(replace(ALERT, severity=severity))
    else:
        with pytest.raises(AlertDeclined, match=f"{severity} is below this sink's min_severity"):
            await sink.deliver(replace(ALERT, severity=severity))
    assert len(recording.alerts) == int(wanted)


async def test_a_recording_sink_fails_when_told_to() -> None:
    sink = RecordingSink()
    sink.failure = AdapterError("the pager is on fire")
    with pytest.raises(AdapterError):
        await sink.deliver(ALERT)
    assert sink.alerts == []
