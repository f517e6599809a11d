"""A daemon that is killed with an alert in its hands: the next one delivers it, under the same id."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bluegreen.alerts.webhook import WebhookSink
from bluegreen.control.alerting import AlertDesk
from bluegreen.control.clock import SystemClock
from bluegreen.domain.deployment import replay
from bluegreen.stores.sqlite import SqliteEventStore
from tests.support.alert_receiver import Receiver, receiving

ALERT_ID = "d1:deploy-complete"

DAEMON = """
import asyncio, sys
from bluegreen.alerts.webhook import WebhookSink
from bluegreen.control.alerting import AlertDesk
from bluegreen.control.alerting_store import AlertingStore
from bluegreen.control.clock import SystemClock
from bluegreen.domain.events import AlertRaised, DeploymentRequested
from bluegreen.stores.sqlite import SqliteEventStore

async def main(path, url, delivers):
    store = SqliteEventStore(path)
    await store.open()
    desk = AlertDesk([WebhookSink(url, timeout_seconds=60)], SystemClock(), store, store)
    if delivers == "yes":
        desk.start()
    requested = DeploymentRequested("a:v2", "blue-green", (100,), "tester")
    raised = AlertRaised("deploy-complete", "info", "a runs a:v2", alert_id="d1:deploy-complete", version="v2")
    await AlertingStore(store, desk).append("d1", "a", [(1.0, requested), (2.0, raised)])
    print("recorded", flush=True)
    await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


async def until_posted(receiver: Receiver, count: int) -> None:
    async with asyncio.timeout(30):
        while len(receiver.bodies) < count:
            await asyncio.sleep(0.01)


async def killed_after(path: Path, receiver: Receiver, *, delivers: bool) -> None:
    """Runs a daemon until it has recorded the alert, and also posted it when it delivers, and kills it then."""
    command = [sys.executable, "-c", DAEMON, str(path), f"http://127.0.0.1:{receiver.port}/"]
    with subprocess.Popen([*command, "yes" if delivers else "no"], stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout is not None
        try:
            assert await asyncio.to_thread(daemon.stdout.readline) == "recorded\n"
            if delivers:
                await until_posted(receiver, 1)
        finally:
            daemon.send_signal(signal.SIGKILL)


@pytest.mark.parametrize("delivers", [False, True], ids=["before the delivery", "in the middle of the delivery"])
async def test_a_killed_daemon_loses_no_alert(tmp_path: Path, delivers: bool) -> None:
    path = tmp_path / "events.db"
    async with receiving() as receiver:
        receiver.status = None
        await killed_after(path, receiver, delivers=delivers)
        already = len(receiver.bodies)
        assert already == int(delivers)

        receiver.status = 204
        store = SqliteEventStore(path)
        await store.open()
        desk = AlertDesk([WebhookSink(f"http://127.0.0.1:{receiver.port}/")], SystemClock(), store, store)
        desk.start()
        try:
            await until_posted(receiver, already + 1)
        finally:
            await desk.close()
        assert {json.loads(body)["id"] for body in receiver.bodies} == {ALERT_ID}
        assert {receiver.headers(index)["idempotency-key"] for index in range(already + 1)} == {ALERT_ID}
        assert await store.deliveries([ALERT_ID]) == {ALERT_ID: {"webhook": "delivered"}}
        assert replay(await store.read("d1")).seen >= {"alert:deploy-complete"}
        await store.close()


async def test_what_was_delivered_is_not_delivered_by_the_next_daemon(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    async with receiving() as receiver:
        await killed_after(path, receiver, delivers=True)
        for _ in range(2):
            store = SqliteEventStore(path)
            await store.open()
            desk = AlertDesk([WebhookSink(f"http://127.0.0.1:{receiver.port}/")], SystemClock(), store, store)
            desk.start()
            async with asyncio.timeout(30):
                while (await store.deliveries([ALERT_ID]))[ALERT_ID] != {"webhook": "delivered"}:
                    await asyncio.sleep(0.01)
            posted = len(receiver.bodies)
            await desk.close()
            await store.close()
        # The first of them may have repeated it: the killed one had no time to note the answer.
        assert posted == len(receiver.bodies) <= 2
