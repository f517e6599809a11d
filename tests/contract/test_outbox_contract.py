"""What every outbox and every store of documents does, those on disk and those in memory alike."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bluegreen.control.ports import Alert, Delivery
from bluegreen.domain.errors import StoreError
from bluegreen.domain.events import ActionSucceeded, AlertRaised, DeploymentRequested
from bluegreen.stores.memory import MemoryEventStore
from bluegreen.stores.sqlite import SqliteEventStore

Store = MemoryEventStore | SqliteEventStore
REQUESTED = DeploymentRequested("registry/a:v2", "blue-green", (100,), "tester")
RAISED = AlertRaised(
    "deploy-complete",
    "info",
    "a runs registry/a:v2",
    alert_id="d1:deploy-complete",
    version="v2",
    duration_seconds=12.5,
    cause="",
    next_command="bluegreen status a",
)


def alert(number: int, **changes: Any) -> Alert:
    return replace(Alert(f"a{number}", "disk", "warning", "full", float(number), labels={"x": "y"}), **changes)


@asynccontextmanager
async def on_disk(directory: Path) -> AsyncIterator[SqliteEventStore]:
    store = SqliteEventStore(directory / "events.db")
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield MemoryEventStore()
        return
    async with on_disk(tmp_path) as store:
        yield store


async def waiting(store: Store, *sinks: str) -> list[tuple[str, str]]:
    return [(delivery.alert.id, delivery.sink) for delivery in await store.pending(sinks)]


class TestRaised:
    async def test_an_event_that_raises_an_alert_puts_it_into_the_outbox(self, store: Store) -> None:
        await store.subscribe(["log"])
        await store.append("d1", "a", [(1.0, REQUESTED), (2.0, RAISED)])

        expected = Alert(
            id="d1:deploy-complete",
            name="deploy-complete",
            severity="info",
            message="a runs registry/a:v2",
            at=2.0,
            service="a",
            deployment_id="d1",
            version="v2",
            duration_seconds=12.5,
            next_command="bluegreen status a",
        )
        assert await store.pending(["log"]) == [Delivery(expected, "log")]
        assert await store.alerts() == [expected]

    async def test_a_repeated_event_alerts_once(self, store: Store) -> None:
        await store.subscribe(["log"])
        await store.append("d1", "a", [(1.0, REQUESTED), (2.0, RAISED)])
        await store.delivered("d1:deploy-complete", "log")
        await store.append("d1", "a", [(3.0, RAISED)])

        assert await waiting(store, "log") == []
        assert [found.at for found in await store.alerts()] == [2.0]

    async def test_events_without_an_id_are_of_a_version_that_delivered_itself(self, store: Store) -> None:
        await store.append("d1", "a", [(1.0, REQUESTED), (2.0, replace(RAISED, alert_id=""))])
        assert await store.alerts() == []

    async def test_what_is_not_in_the_log_is_not_in_the_outbox(self, store: Store) -> None:
        unwritable = ActionSucceeded("switch", milliseconds=float("inf"))
        with pytest.raises(StoreError):
            await store.append("d1", "a", [(1.0, REQUESTED), (2.0, RAISED), (3.0, unwritable)])
        assert await store.alerts() == []


class TestSubscribing:
    async def test_a_new_sink_gets_what_comes_and_not_what_was(self, store: Store) -> None:
        await store.subscribe(["log"])
        await store.add(alert(1))
        await store.subscribe(["log", "pager"])
        await store.add(alert(2))
        assert await waiting(store, "log", "pager") == [("a1", "log"), ("a2", "log"), ("a2", "pager")]

    async def test_what_was_raised_before_anybody_subscribed_is_for_the_first(self, store: Store) -> None:
        await store.add(alert(1))
        await store.subscribe(["log", "pager"])
        assert await waiting(store, "log", "pager") == [("a1", "log"), ("a1", "pager")]
        await store.subscribe(["log", "late"])
        assert await waiting(store, "late") == []

    async def test_nobody_is_a_choice_too(self, store: Store) -> None:
        await store.subscribe([])
        await store.add(alert(1))
        await store.subscribe(["log"])
        assert await waiting(store, "log") == []

    async def test_a_sink_that_left_keeps_what_was_for_it_and_gets_no_more(self, store: Store) -> None:
        await store.subscribe(["log", "pager"])
        await store.add(alert(1))
        await store.subscribe(["log"])
        await store.add(alert(2))
        assert await waiting(store, "log") == [("a1", "log"), ("a2", "log")]
        await store.subscribe(["log", "pager"])
        assert await waiting(store, "pager") == [("a1", "pager")]

    async def test_asking_for_a_stranger_finds_nothing(self, store: Store) -> None:
        await store.subscribe(["log"])
        await store.add(alert(1))
        assert await waiting(store, "nobody") == []
        assert await waiting(store) == []


class TestDelivering:
    async def test_an_id_that_is_known_is_not_added_again(self, store: Store) -> None:
        await store.subscribe(["log"])
        await store.add(alert(1))
        await store.add(alert(1, message="other"))
        assert await waiting(store, "log") == [("a1", "log")]
        assert [found.message for found in await store.alerts()] == ["full"]

    async def test_each_sink_has_its_own_progress(self, store: Store) -> None:
        await store.subscribe(["log", "pager", "chat"])
        await store.add(alert(1))
        await store.delivered("a1", "log")
        await store.failed("a1", "pager", error="HTTP 500", next_at=100.0)
        await store.failed("a1", "pager", error="HTTP 503", next_at=200.0)
        await store.given_up("a1", "chat", error="silenced by ada")

        assert await store.pending(["log", "pager", "chat"]) == [Delivery(alert(1), "pager", 2, 200.0, "HTTP 503")]
        assert await store.deliveries(["a1", "nobody"]) == {
            "a1": {"log": "delivered", "pager": "pending: HTTP 503", "chat": "given up: silenced by ada"}
        }

    async def test_delivered_after_failures_keeps_no_error(self, store: Store) -> None:
        await store.subscribe(["log"])
        await store.add(alert(1))
        assert await store.deliveries(["a1"]) == {"a1": {"log": "pending"}}
        await store.failed("a1", "log", error="HTTP 500", next_at=100.0)
        await store.delivered("a1", "log")
        assert await store.deliveries(["a1"]) == {"a1": {"log": "delivered"}}

    async def test_what_is_settled_stays_so(self, store: Store) -> None:
        await store.subscribe(["log"])
        await store.add(alert(1))
        await store.delivered("a1", "log")
        await store.failed("a1", "log", error="late", next_at=1.0)
        await store.given_up("a1", "log", error="late")
        assert await store.deliveries(["a1"]) == {"a1": {"log": "delivered"}}

    async def test_unknown_alerts_and_sinks_are_no_error(self, store: Store) -> None:
        await store.subscribe(["log"])
        await store.add(alert(1))
        await store.delivered("a9", "log")
        await store.failed("a1", "nobody", error="x", next_at=1.0)
        assert await waiting(store, "log", "nobody") == [("a1", "log")]

    async def test_an_error_of_any_length_and_letters_is_kept_short(self, store: Store) -> None:
        await store.subscribe(["log"])
        await store.add(alert(1))
        await store.failed("a1", "log", error="\ud800" + "x" * 100_000, next_at=1.0)
        (delivery,) = await store.pending(["log"])
        assert 100 < len(delivery.last_error) < 1000

    async def test_of_very_many_the_ones_due_first_are_found(self, store: Store) -> None:
        await store.subscribe(["log"])
        for number in range(1005):
            await store.add(alert(number))
        for number in range(10):
            await store.failed(f"a{number}", "log", error="x", next_at=1e9)
        found = await waiting(store, "log")
        assert len(found) == 1000
        assert found[:5] == [(f"a{number}", "log") for number in range(5)]
        assert found[-1] == ("a1004", "log")


class TestList:
    async def test_newest_first_by_service_and_before_a_time(self, store: Store) -> None:
        for number, service in enumerate(["a", "b", "a", "", "a"]):
            await store.add(alert(number, service=service))
        await store.add(alert(9, at=4.0, service="a"))

        async def ids(**question: Any) -> list[str]:
            return [found.id for found in await store.alerts(**question)]

        assert await ids() == ["a9", "a4", "a3", "a2", "a1", "a0"]
        assert await ids(limit=2) == ["a9", "a4"]
        assert await ids(limit=0) == []
        assert await ids(service="a", before=4.0) == ["a2", "a0"]
        assert await ids(service="nobody") == []

    async def test_any_alert_is_read_back_as_it_was(self, store: Store) -> None:
        full = alert(1, message="\ud800é\n", version="v", duration_seconds=1.5, cause="c", resolved=True)
        await store.add(full)
        assert await store.alerts() == [full]

    async def test_what_json_does_not_have_is_refused(self, store: Store) -> None:
        with pytest.raises(StoreError, match="a1"):
            await store.add(alert(1, duration_seconds=float("nan")))
        assert await store.alerts() == []

    async def test_old_ones_are_forgotten_unless_somebody_waits_for_them(self, store: Store) -> None:
        await store.subscribe(["log", "gone"])
        for number in range(4):
            await store.add(alert(number))
        await store.delivered("a0", "log")
        await store.given_up("a1", "log", error="x")
        await store.delivered("a3", "log")
        await store.subscribe(["log"])

        assert await store.prune(3.0) == 2
        assert [found.id for found in await store.alerts()] == ["a3", "a2"]
        assert await store.deliveries(["a0"]) == {}
        assert await waiting(store, "log", "gone") == [("a2", "gone"), ("a2", "log"), ("a3", "gone")]


class TestDocuments:
    async def test_put_get_replace_remove(self, store: Store) -> None:
        await store.put("silence", "disk", {"until": 1.5, "by": "ada"})
        await store.put("silence", "cpu", {})
        await store.put("rule", "disk", {"nested": [1, {"a": None}]})
        await store.put("silence", "disk", {"until": 2})

        assert await store.get("silence", "disk") == {"until": 2}
        assert await store.get("rule", "disk") == {"nested": [1, {"a": None}]}
        assert await store.get("rule", "nobody") is None
        assert list(await store.all("silence")) == ["disk", "cpu"]
        await store.remove("silence", "disk")
        await store.remove("silence", "disk")
        await store.put("silence", "disk", {"again": True})
        assert list((await store.all("silence")).items()) == [("cpu", {}), ("disk", {"again": True})]
        assert await store.all("nothing") == {}

    async def test_what_was_got_is_a_copy(self, store: Store) -> None:
        original = {"list": [1]}
        await store.put("k", "a", original)
        original["list"].append(2)
        assert await store.get("k", "a") == {"list": [1]}

    @pytest.mark.parametrize("document", [{"x": float("nan")}, {"x": {1}}, {1: "x"}, {"x": (1, 2)}])
    async def test_what_would_be_read_back_differently_is_refused(self, store: Store, document: Any) -> None:
        with pytest.raises(StoreError, match="cannot be written"):
            await store.put("k", "a", document)
        assert await store.get("k", "a") is None

    async def test_a_key_may_be_any_text_but_no_half_letter(self, store: Store) -> None:
        await store.put("k", "a' OR 1=1 -- é\n", {})
        assert list(await store.all("k")) == ["a' OR 1=1 -- é\n"]
        with pytest.raises(StoreError, match="cannot be written"):
            await store.put("k", "\ud800", {})


SINKS = st.lists(st.sampled_from(["log", "pager", "chat"]), unique=True)
IDS = st.integers(0, 5).map(lambda number: f"a{number}")
STEPS = st.one_of(
    st.tuples(st.just("add"), st.builds(alert, st.integers(0, 5))),
    st.tuples(st.just("subscribe"), SINKS),
    st.tuples(st.just("delivered"), IDS, st.sampled_from(["log", "pager"])),
    st.tuples(st.just("failed"), IDS, st.sampled_from(["log", "pager"]), st.floats(0, 9)),
    st.tuples(st.just("given_up"), IDS, st.sampled_from(["log", "pager"])),
    st.tuples(st.just("prune"), st.floats(0, 6)),
)


async def take(store: Store, step: tuple[Any, ...]) -> None:
    match step:
        case ("failed", alert_id, sink, at):
            await store.failed(alert_id, sink, error="x", next_at=at)
        case ("given_up", alert_id, sink):
            await store.given_up(alert_id, sink, error="y")
        case (name, *arguments):
            await getattr(store, name)(*arguments)


@settings(max_examples=40, deadline=None)
@given(st.lists(STEPS, max_size=25))
async def test_any_history_means_the_same_in_both(steps: list[tuple[Any, ...]]) -> None:
    in_memory = MemoryEventStore()
    with TemporaryDirectory() as directory:
        async with on_disk(Path(directory)) as other:
            for step in steps:
                await take(in_memory, step)
                await take(other, step)
            ids = [f"a{number}" for number in range(6)]
            for sinks in (["log"], ["log", "pager", "chat"]):
                assert await in_memory.pending(sinks) == await other.pending(sinks)
            assert await in_memory.alerts() == await other.alerts()
            assert await in_memory.deliveries(ids) == await other.deliveries(ids)
