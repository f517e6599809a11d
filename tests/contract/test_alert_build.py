"""From `[alerts]` to the sinks that deliver."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bluegreen.alerts.build import make_sinks
from bluegreen.control.ports import Alert, AlertDeclined
from bluegreen.domain.errors import ConfigurationError
from bluegreen.spec.loading import parse
from tests.support.alert_receiver import receiving

ALERT = Alert("d1:x", "x", "warning", "text", 1.0)
TEXT = """
[alerts]
webhook_url_env = "OLD_URL"

[[alerts.sink]]
kind = "webhook"
name = "pager"
url_env = "PAGER_URL"
secret_env = "PAGER_SECRET"
min_severity = "critical"

[[alerts.sink]]
kind = "alertmanager"
url_env = "PAGER_URL"

[[alerts.sink]]
kind = "apprise"
url_env = "CHAT_URL"

[[alerts.sink]]
kind = "file"
path = "alerts.jsonl"
"""


async def test_every_kind_delivers_what_it_wants(tmp_path: Path) -> None:
    configuration = parse(TEXT, source="bluegreen.toml", base_directory=tmp_path)
    async with receiving() as receiver:
        address = f"127.0.0.1:{receiver.port}"
        environment = {
            "OLD_URL": f"http://{address}/old",
            "PAGER_URL": f"http://{address}",
            "PAGER_SECRET": "s3cret",
            "CHAT_URL": f"json://{address}/chat",
        }
        sinks = {sink.name: sink for sink in make_sinks(configuration, environment)}
        assert list(sinks) == ["log", "webhook", "pager", "alertmanager", "apprise", "file"]
        with pytest.raises(AlertDeclined):
            await sinks["pager"].deliver(ALERT)
        for sink in sinks.values():
            await sink.deliver(replace(ALERT, severity="critical"))

    targets = [head.split()[1] for head in receiver.heads]
    assert targets == ["/old", "/", "/api/v2/alerts", "/chat"]
    assert "x-bluegreen-signature" in receiver.headers(1)
    assert json.loads((tmp_path / "alerts.jsonl").read_text())["id"] == "d1:x"


def test_all_that_the_environment_lacks_is_said_at_once() -> None:
    configuration = parse(TEXT, source="bluegreen.toml", base_directory=Path("/srv"))
    with pytest.raises(ConfigurationError) as caught:
        make_sinks(configuration, {"PAGER_URL": "hunter2", "CHAT_URL": "hunter2"})
    assert caught.value.problems == (
        "alerts.webhook_url_env: the environment variable OLD_URL is not set",
        "alerts.sink[0].url_env: the environment variable PAGER_URL holds no http:// or https:// address",
        "alerts.sink[1].url_env: the environment variable PAGER_URL holds no http:// or https:// address",
        "alerts.sink[2].url_env: the environment variable CHAT_URL holds no address of Apprise's",
    )
    with pytest.raises(ConfigurationError, match=r"alerts.sink\[0\].secret_env: .* PAGER_SECRET is not set"):
        make_sinks(configuration, {"OLD_URL": "http://a", "PAGER_URL": "http://a", "CHAT_URL": "json://a"})


def test_without_a_table_there_is_the_log_alone() -> None:
    configuration = parse("", source="bluegreen.toml", base_directory=Path("/srv"))
    assert [sink.name for sink in make_sinks(configuration, {})] == ["log"]
