"""The alert desk over hours of simulated time: sinks that are down, restarts, silences, a full disk."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluegreen.alerts.fake import RecordingSink
from bluegreen.alerts.threshold import Threshold
from bluegreen.control.alerting import KEPT_SECONDS, AlertDesk
from bluegreen.control.courier import LONGEST_PAUSE_SECONDS, MOST_ATTEMPTS, TRIED_FOR_SECONDS, pause_seconds
from bluegreen.control.ports import Alert, AlertSink
from bluegreen.domain.deployment import Phase
from bluegreen.domain.errors import AdapterError, StoreError
from bluegreen.domain.service import Policy
from bluegreen.stores.memory import MemoryEventStore
from tests.simulation.world import SimulatedClock, World, service, settle

DOWN = AdapterError("HTTP 503")
HOUR = 3600.0
DAY = 24 * HOUR


class Office:
    """A desk with its outbox. `alert` numbers them."""

    def __init__(self, *sinks: AlertSink) -> None:
        self.clock = SimulatedClock()
        self.store = MemoryEventStore()
        self.sinks = sinks
        self.desk = self._desk()

    def _desk(self) -> AlertDesk:
        desk = AlertDesk(self.sinks, self.clock, self.store, self.store)
        desk.start()
        return desk

    async def restart(self) -> None:
        await self.desk.close()
        self.desk = self._desk()
        await settle()

    async def alert(self, number: int = 1, name: str = "disk") -> None:
        await self.desk.create(Alert(f"a{number}", name, "warning", "full", self.clock.now()))
        await settle()

    async def states(self, number: int = 1) -> dict[str, str]:
        return dict((await self.store.deliveries([f"a{number}"]))[f"a{number}"])


@asynccontextmanager
async def office(*sinks: AlertSink) -> AsyncIterator[Office]:
    created = Office(*sinks)
    await settle()
    try:
        yield created
    finally:
        await created.desk.close()


def ids(sink: RecordingSink) -> list[str]:
    return [alert.id for alert in sink.alerts]


class TestTrying:
    async def test_it_arrives_at_once(self) -> None:
        sink = RecordingSink()
        async with office(sink) as o:
            await o.alert()
            assert ids(sink) == ["a1"]
            assert await o.states() == {"recording": "delivered"}

    async def test_a_sink_that_was_down_for_an_hour_gets_everything_and_the_others_wait_for_nothing(self) -> None:
        pager, chat = RecordingSink("pager"), RecordingSink("chat")
        pager.failure = DOWN
        async with office(pager, chat) as o:
            for number in range(5):
                await o.alert(number)
            assert ids(chat) == [f"a{number}" for number in range(5)]
            await o.clock.advance(HOUR)
            assert (await o.states(0))["pager"] == "pending: HTTP 503"
            pager.failure = None
            assert await o.clock.advance(LONGEST_PAUSE_SECONDS + 60, until=lambda: len(pager.alerts) == 5)
            assert sorted(ids(pager)) == [f"a{number}" for number in range(5)]
            await settle()
            assert {(await o.states(number))["pager"] for number in range(5)} == {"delivered"}

    async def test_a_new_alert_does_not_wait_for_the_pauses_of_old_ones(self) -> None:
        sink = RecordingSink()
        sink.failure = DOWN
        async with office(sink) as o:
            await o.alert(1)
            await o.clock.advance(2 * HOUR)
            sink.failure = None
            await o.alert(2)
            assert "a2" in ids(sink)

    async def test_one_alert_that_is_always_refused_holds_up_no_other(self) -> None:
        class Picky(RecordingSink):
            async def deliver(self, alert: Alert) -> None:
                if alert.name == "poison":
                    raise AdapterError("HTTP 400")
                await super().deliver(alert)

        sink = Picky()
        async with office(sink) as o:
            for number in range(10):
                await o.alert(number, "poison")
            await o.alert(10)
            await o.clock.advance(60)
            assert ids(sink) == ["a10"]

    async def test_after_a_day_it_is_given_up_and_the_log_says_so(self, caplog: pytest.LogCaptureFixture) -> None:
        sink = RecordingSink()
        sink.failure = DOWN
        async with office(sink) as o:
            await o.alert()
            await o.clock.advance(TRIED_FOR_SECONDS - LONGEST_PAUSE_SECONDS)
            assert (await o.states())["recording"] == "pending: HTTP 503"
            await o.clock.advance(HOUR)
            assert (await o.states())["recording"] == "given up: HTTP 503"
            sink.failure = None
            await o.clock.advance(DAY)
            assert sink.alerts == []
        errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
        assert [text for text in errors if "a1" in text and "given up" in text]

    async def test_a_sink_with_a_bug_tells_no_secret_and_is_tried_on(self) -> None:
        class Buggy(RecordingSink):
            async def deliver(self, alert: Alert) -> None:
                raise ValueError("https://host/hunter2")

        async with office(Buggy()) as o:
            await o.alert()
            assert await o.states() == {"recording": "pending: the sink failed with ValueError"}

    @pytest.mark.parametrize("seconds", [-10 * HOUR, 10 * HOUR])
    async def test_a_clock_that_is_set_neither_delays_nor_ends_the_trying(self, seconds: float) -> None:
        sink = RecordingSink()
        sink.failure = DOWN
        async with office(sink) as o:
            await o.alert()
            o.clock.jump(seconds)
            await o.clock.advance(HOUR)
            sink.failure = None
            await o.clock.advance(LONGEST_PAUSE_SECONDS + 60)
            assert ids(sink) == ["a1"]

    @given(st.integers(1, MOST_ATTEMPTS))
    def test_pauses_grow_to_their_limit(self, failures: int) -> None:
        assert pause_seconds(failures) == min(LONGEST_PAUSE_SECONDS, 2.0 ** (failures - 1))
        assert sum(pause_seconds(number) for number in range(1, MOST_ATTEMPTS)) >= TRIED_FOR_SECONDS


class TestRestarts:
    async def test_what_waited_is_delivered_by_the_next_daemon(self) -> None:
        sink = RecordingSink()
        sink.failure = DOWN
        async with office(sink) as o:
            await o.alert(1)
            await o.alert(2)
            await o.clock.advance(10)
            await o.restart()
            sink.failure = None
            await o.clock.advance(60, until=lambda: len(sink.alerts) == 2)
            assert sorted(ids(sink)) == ["a1", "a2"]
            await o.restart()
            await o.clock.advance(HOUR)
            assert len(sink.alerts) == 2

    async def test_attempts_are_counted_over_restarts(self) -> None:
        sink = RecordingSink()
        sink.failure = DOWN
        async with office(sink) as o:
            await o.alert()
            for _ in range(30):
                await o.clock.advance(HOUR)
                await o.restart()
            assert (await o.states())["recording"].startswith("given up")

    async def test_closing_cuts_a_delivery_that_hangs_and_the_alert_stays(self) -> None:
        class Hanging(RecordingSink):
            async def deliver(self, alert: Alert) -> None:
                await asyncio.Event().wait()

        async with office(Hanging()) as o:
            await o.alert()
            await o.desk.close(timeout_seconds=0.01)
            assert await o.states() == {"recording": "pending"}

    async def test_what_was_raised_just_before_the_end_still_goes_out(self) -> None:
        sink = RecordingSink()
        async with office(sink) as o:
            await o.store.add(Alert("a1", "disk", "warning", "full", 1.0))
            await o.desk.close()
            assert ids(sink) == ["a1"]

    async def test_old_alerts_are_forgotten(self) -> None:
        sink = RecordingSink()
        async with office(sink) as o:
            await o.alert()
            await o.clock.advance(DAY)
            assert len(await o.store.alerts()) == 1
            o.clock.jump(KEPT_SECONDS)
            await o.clock.advance(DAY)
            assert await o.store.alerts() == []


class TestSinks:
    async def test_a_new_sink_gets_no_old_alerts(self) -> None:
        log, pager = RecordingSink("log"), RecordingSink("pager")
        async with office(log) as o:
            await o.alert(1)
            o.desk.sinks = [log, pager]
            await settle()
            await o.alert(2)
            assert (ids(log), ids(pager)) == (["a1", "a2"], ["a2"])

    async def test_a_removed_sink_gets_nothing_more_until_it_is_back(self) -> None:
        log, pager = RecordingSink("log"), RecordingSink("pager")
        pager.failure = DOWN
        async with office(log, pager) as o:
            await o.alert(1)
            o.desk.sinks = [log]
            await settle()
            pager.failure = None
            await o.alert(2)
            await o.clock.advance(HOUR)
            assert (ids(log), ids(pager)) == (["a1", "a2"], [])
            o.desk.sinks = [log, pager]
            await o.clock.advance(60)
            assert ids(pager) == ["a1"]

    async def test_a_sink_of_the_same_name_takes_over(self) -> None:
        old, new = RecordingSink("pager"), RecordingSink("pager")
        old.failure = DOWN
        async with office(old) as o:
            await o.alert(1)
            o.desk.sinks = [new]
            await o.clock.advance(5)
            assert (ids(old), ids(new)) == ([], ["a1"])

    async def test_what_a_sink_declines_is_not_tried_again(self) -> None:
        recording = RecordingSink("pager")
        async with office(Threshold(recording, "critical")) as o:
            await o.alert()
            assert await o.states() == {
                "pager": "given up: warning is below this sink's min_severity (critical)",
            }


class TestSilences:
    async def test_a_silenced_alert_is_not_delivered_and_says_why(self) -> None:
        sink = RecordingSink()
        async with office(sink) as o:
            until = o.clock.now() + HOUR
            await o.store.put("silence", "disk", {"until": until, "reason": "known", "by": "ada"})
            await o.alert(1)
            await o.alert(2, "cpu")
            assert ids(sink) == ["a2"]
            assert await o.states() == {"recording": "given up: silenced by ada until 2027-01-15T09:00:00+00:00: known"}
            await o.clock.advance(HOUR)
            await o.alert(3)
            assert ids(sink) == ["a2", "a3"]

    @pytest.mark.parametrize("document", [{}, {"until": "soon"}, {"until": None}])
    async def test_a_silence_that_makes_no_sense_silences_nothing(self, document: dict[str, object]) -> None:
        sink = RecordingSink()
        async with office(sink) as o:
            await o.store.put("silence", "disk", document)
            await o.alert()
            assert ids(sink) == ["a1"]


FULL_DISK = StoreError("event log: no space is left")


class TestFullDisk:
    async def test_what_arrived_and_could_not_be_marked_is_not_sent_again(self) -> None:
        sink = RecordingSink()
        sink.failure = DOWN
        async with office(sink) as o:
            await o.alert()
            o.store.failure = FULL_DISK
            sink.failure = None
            await o.clock.advance(HOUR)
            assert ids(sink) == ["a1"]
            o.store.failure = None
            await o.clock.advance(60)
            assert ids(sink) == ["a1"]
            assert await o.states() == {"recording": "delivered"}

    async def test_an_alert_without_a_record_is_tried_once(self) -> None:
        sink = RecordingSink()
        async with office(sink) as o:
            alert = Alert("a1", "disk", "critical", "full", 1.0)
            for _ in range(3):
                o.desk.deliver_unrecorded([alert])
                await settle()
            assert ids(sink) == ["a1"]
            await o.desk.create(alert)
            await settle()
            assert ids(sink) == ["a1"]
            assert await o.states() == {"recording": "delivered"}

    async def test_people_hear_that_a_deployment_cannot_be_recorded(self) -> None:
        async with World() as world:
            await world.first_version()
            await world.to_monitoring()
            before = len(world.alerts.alerts)
            world.store.failure = FULL_DISK
            world.serve("app:v2")
            await world.clock.advance(600)
            (told,) = world.alerts.alerts[before:]
            assert (told.name, told.severity) == ("deploy-needs-attention", "critical")
            assert "no space is left" in told.message
            assert told.next_command == "bluegreen doctor"
            world.store.failure = None
            await world.until(Phase.COMPLETED)
            assert world.alerts.alerts[-1].name == "deploy-complete"

    async def test_a_rollback_alert_of_a_full_disk_is_not_repeated_when_there_is_space(self) -> None:
        manual = service(policy=replace(service().policy, auto_rollback=False))
        async with World(manual) as world:
            await world.first_version()
            await world.to_monitoring()
            world.store.failure = FULL_DISK
            world.serve("app:v2", errors=900)
            await world.clock.advance(60)
            told = [alert.id for alert in world.alerts.alerts if alert.name == "deploy-needs-attention"]
            world.store.failure = None
            await world.clock.advance(60)
            after = [alert.id for alert in world.alerts.alerts if alert.name == "deploy-needs-attention"]
            assert len(told) >= 1
            assert sorted(after) == sorted(told) == sorted(set(told))


class TestOutcomes:
    async def test_every_outcome_tells_version_duration_cause_and_what_to_type(self) -> None:
        async with World(service(policy=Policy(monitor_seconds=60, retain_seconds=60, min_requests=20))) as world:
            await world.first_version()
            await world.to_monitoring()
            world.serve("app:v2")
            await world.until(Phase.COMPLETED)
            completed = world.alerts.alerts[-1]
            assert (completed.name, completed.severity, completed.version) == ("deploy-complete", "info", "v2")
            assert completed.duration_seconds is not None
            assert 120 <= completed.duration_seconds < 600
            assert completed.next_command == "bluegreen status app"

            deployment = await world.to_monitoring("app:v3")
            world.serve("app:v3", errors=900)
            await world.until(Phase.ROLLED_BACK)
            rolled_back = world.alerts.alerts[-1]
            assert (rolled_back.name, rolled_back.severity) == ("deploy-rollback", "warning")
            assert rolled_back.version == "v3"
            assert "90" in rolled_back.cause
            assert rolled_back.cause in rolled_back.message
            assert rolled_back.next_command == f"bluegreen events {deployment.id}"

            world.prober.sick.add("app:v4")
            await world.deploy("app:v4")
            await world.until(Phase.FAILED)
            failed = world.alerts.alerts[-1]
            assert (failed.name, failed.severity, failed.version) == ("deploy-failed", "warning", "v4")
            assert failed.next_command in failed.message
            assert len({alert.id for alert in world.alerts.alerts}) == len(world.alerts.alerts) == 4

    async def test_what_needs_a_person_is_critical_and_names_the_way_back(self) -> None:
        manual = service(policy=replace(service().policy, auto_rollback=False))
        async with World(manual) as world:
            await world.first_version()
            await world.to_monitoring()
            world.serve("app:v2", errors=900)
            await world.clock.advance(30)
            (alert,) = [alert for alert in world.alerts.alerts if alert.severity == "critical"]
            assert alert.next_command == "bluegreen rollback app"
            assert world.last().attention
            await world.restart()
            await world.clock.advance(600)
            assert len([alert for alert in world.alerts.alerts if alert.severity == "critical"]) == 1
