"""What every event log does, the one on disk and the one in memory alike."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bluegreen.control.ports import EventStore
from bluegreen.domain.errors import StoreError
from bluegreen.domain.events import (
    EVENT_KINDS,
    TERMINAL_KINDS,
    ActionStarted,
    ActionSucceeded,
    DeploymentCompleted,
    DeploymentRequested,
    Event,
    PreflightPassed,
    Record,
    TrafficSwitched,
    Verified,
)
from bluegreen.domain.model import Color, Resources, RouteTarget, Workload
from bluegreen.stores.codec import decode, encode
from bluegreen.stores.memory import MemoryEventStore
from bluegreen.stores.sqlite import SqliteEventStore

GREEN = Workload(
    id="inference-model-7f3a",
    service="inference-model",
    color=Color.GREEN,
    image="registry/inference-model:v2.0",
    version="v2.0",
    replicas=2,
    resources=Resources(gpus=4, cpus=1.5, memory_mb=512),
    labels={"app": "inference-model", "env": "production"},
)
REQUESTED = DeploymentRequested("registry/inference-model:v2.0", "blue-green", (100,), "tester", blue=GREEN)
NOT_A_NUMBER_OF_JSON = float("inf")


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[EventStore]:
    if request.param == "memory":
        yield MemoryEventStore()
        return
    on_disk = SqliteEventStore(tmp_path / "events.db")
    await on_disk.open()
    yield on_disk
    await on_disk.close()


class TestAppendAndRead:
    async def test_what_was_appended_is_read_back_as_it_was(self, store: EventStore) -> None:
        switched = TrafficSwitched((RouteTarget(Color.GREEN, GREEN.id),), generation=7, milliseconds=1.25)
        written = await store.append(
            "d1", "inference-model", [(1_764_000_000.123456, REQUESTED), (1_764_000_001, switched)]
        )

        assert await store.read("d1") == written
        assert [(record.at, record.event) for record in written] == [
            (1_764_000_000.123456, REQUESTED),
            (1_764_000_001.0, switched),
        ]
        assert {(record.deployment_id, record.service) for record in written} == {("d1", "inference-model")}

    async def test_sequence_numbers_grow_over_all_deployments(self, store: EventStore) -> None:
        first = await store.append("d1", "a", [(1.0, REQUESTED), (2.0, Verified())])
        second = await store.append("d2", "b", [(1.5, REQUESTED)])
        third = await store.append("d1", "a", [(3.0, Verified())])

        numbers = [record.sequence for record in [*first, *second, *third]]
        assert numbers == sorted(set(numbers))
        assert numbers[0] > 0

    async def test_read_continues_after_a_sequence_number(self, store: EventStore) -> None:
        written = await store.append("d1", "a", [(float(at), Verified()) for at in range(5)])

        assert await store.read("d1", after=written[2].sequence) == written[3:]
        assert await store.read("d1", after=written[-1].sequence) == []

    async def test_an_unknown_deployment_has_no_records(self, store: EventStore) -> None:
        assert await store.read("nobody") == []

    async def test_appending_nothing_begins_no_deployment(self, store: EventStore) -> None:
        assert await store.append("d1", "a", []) == []
        assert await store.latest() == {}
        assert await store.unfinished() == []

    async def test_an_event_that_cannot_be_written_takes_its_companions_with_it(self, store: EventStore) -> None:
        unwritable = ActionSucceeded("switch", milliseconds=NOT_A_NUMBER_OF_JSON)
        with pytest.raises(StoreError, match="action_succeeded"):
            await store.append("d1", "a", [(1.0, REQUESTED), (2.0, unwritable)])

        assert await store.read("d1") == []
        assert await store.unfinished() == []

    async def test_a_deployment_belongs_to_one_service(self, store: EventStore) -> None:
        written = await store.append("d1", "a", [(1.0, REQUESTED)])
        with pytest.raises(StoreError, match="belongs to 'a'"):
            await store.append("d1", "b", [(2.0, Verified())])

        assert await store.read("d1") == written
        assert await store.deployments("b") == []
        assert len(await store.append("d1", "a", [(3.0, Verified())])) == 1

    async def test_time_may_go_backwards(self, store: EventStore) -> None:
        await store.append("d1", "a", [(100.0, REQUESTED)])
        await store.append("d1", "a", [(50.0, Verified())])

        assert [record.at for record in await store.read("d1")] == [100.0, 50.0]


class TestQuestions:
    async def test_latest_is_the_deployment_that_began_last(self, store: EventStore) -> None:
        await store.append("a1", "a", [(1.0, REQUESTED)])
        await store.append("a2", "a", [(2.0, REQUESTED)])
        await store.append("b1", "b", [(3.0, REQUESTED)])
        # The older one is still being cleaned up.
        await store.append("a1", "a", [(4.0, Verified())])

        assert await store.latest() == {"a": "a2", "b": "b1"}

    @pytest.mark.parametrize("kind", sorted(TERMINAL_KINDS))
    async def test_a_terminal_event_finishes_a_deployment(self, store: EventStore, kind: str) -> None:
        await store.append("d1", "a", [(1.0, REQUESTED)])
        await store.append("d2", "b", [(2.0, REQUESTED)])
        await store.append("d3", "c", [(2.0, REQUESTED)])
        await store.append("d2", "b", [(3.0, EVENT_KINDS[kind]())])

        assert await store.unfinished() == ["d1", "d3"]

    async def test_a_finished_deployment_stays_finished(self, store: EventStore) -> None:
        await store.append("d1", "a", [(1.0, REQUESTED), (2.0, DeploymentCompleted()), (3.0, Verified())])
        await store.append("d1", "a", [(4.0, Verified())])

        assert await store.unfinished() == []

    async def test_deployments_are_newest_first_and_bounded(self, store: EventStore) -> None:
        for number in range(5):
            await store.append(f"a{number}", "a", [(1.0, REQUESTED)])
            await store.append(f"b{number}", "b", [(1.0, REQUESTED)])

        assert await store.deployments("a") == ["a4", "a3", "a2", "a1", "a0"]
        assert await store.deployments("a", limit=2) == ["a4", "a3"]
        assert await store.deployments("a", limit=0) == []
        assert await store.deployments("nobody") == []


async def test_any_history_means_the_same_in_both_logs(tmp_path: Path) -> None:
    """Not a property of one call: a pseudo-random history, asked every question at every step."""
    in_memory, on_disk = MemoryEventStore(), SqliteEventStore(tmp_path / "events.db")
    await on_disk.open()
    try:
        for step in range(120):
            service, number = f"s{step % 3}", step * 7 % 20
            event: Event = DeploymentCompleted() if step % 5 == 4 else ActionStarted("probe", str(step))
            entries: list[tuple[float, Event]] = [(float(step), event)] * (step % 3)
            for ask in _questions(f"{service}-{number}", service, entries):
                assert await ask(in_memory) == await ask(on_disk)
    finally:
        await on_disk.close()


def _questions(
    deployment_id: str, service: str, entries: list[tuple[float, Event]]
) -> list[Callable[[EventStore], Awaitable[Any]]]:
    return [
        lambda store: store.append(deployment_id, service, entries),
        lambda store: store.read(deployment_id),
        lambda store: store.latest(),
        lambda store: store.unfinished(),
        lambda store: store.deployments(service, limit=4),
    ]


def _of_kind(event_class: type[Event]) -> st.SearchStrategy[Event]:
    """Every field is drawn, those with defaults too, from all the values its type has."""
    hints = get_type_hints(event_class)
    hints.pop("kind")
    return st.builds(event_class, **{name: _of_type(hint) for name, hint in hints.items()})


def _of_type(hint: Any) -> st.SearchStrategy[Any]:
    if hint is float:
        return st.floats(allow_nan=False, allow_infinity=False)
    if hint is str:
        return st.text(alphabet=st.characters(codec=None))  # lone surrogates too: logs hold any bytes
    if hint == (float | None):
        return st.none() | _of_type(float)
    if hint == (Workload | None):
        return st.none() | _of_type(Workload)
    if hint is Workload:
        return st.builds(
            Workload,
            labels=st.dictionaries(st.text(), st.text(), max_size=3),
            resources=st.builds(Resources, cpus=_of_type(float)),
        )
    if isinstance(hint, type) and is_dataclass(hint):
        return st.builds(hint, **{name: _of_type(inner) for name, inner in get_type_hints(hint).items()})
    if get_origin(hint) is tuple:
        return st.lists(_of_type(get_args(hint)[0]), max_size=4).map(tuple)
    return st.from_type(hint)


class TestCodec:
    @pytest.mark.parametrize("kind", sorted(EVENT_KINDS))
    @settings(max_examples=40)
    @given(data=st.data())
    def test_every_event_is_read_back_as_it_was_written(self, kind: str, data: st.DataObject) -> None:
        event = data.draw(_of_kind(EVENT_KINDS[kind]))
        read_back = decode(event.kind, encode(event))
        assert read_back == event
        assert type(read_back) is type(event)

    def test_a_payload_is_flat_text_that_people_can_read(self) -> None:
        assert json.loads(encode(ActionStarted("switch", "to green"))) == {
            "action": "switch",
            "detail": "to green",
        }

    def test_an_unknown_kind_was_written_by_a_newer_version(self) -> None:
        with pytest.raises(StoreError, match=r"newer bluegreen.*'traffic_teleported'"):
            decode("traffic_teleported", "{}")

    @pytest.mark.parametrize(
        "change", [{"mood": "good"}, {"green": {**json.loads(encode(PreflightPassed(GREEN)))["green"], "x": 1}}]
    )
    def test_an_unknown_field_was_written_by_a_newer_version(self, change: dict[str, Any]) -> None:
        payload = json.loads(encode(PreflightPassed(GREEN))) | change
        with pytest.raises(StoreError, match=r"newer bluegreen.*unknown field"):
            decode(PreflightPassed.kind, json.dumps(payload))

    def test_a_field_that_an_older_version_did_not_know_takes_its_default(self) -> None:
        assert decode(ActionStarted.kind, '{"action":"start"}') == ActionStarted("start")

    @pytest.mark.parametrize(
        "payload",
        [
            "",
            "[]",
            "null",
            '{"green": null}',
            "{}",
            '{"targets": [{"color": "red", "workload_id": "w"}], "generation": 1}',
            '{"targets": [], "generation": true}',
            '{"targets": [], "generation": 1.5}',
            '{"targets": {}, "generation": 1}',
            '{"targets": [], "generation": 1, "milliseconds": "2"}',
        ],
    )
    def test_a_damaged_payload_is_named_as_such(self, payload: str) -> None:
        with pytest.raises(StoreError, match="'traffic_switched'"):
            decode(TrafficSwitched.kind, payload)

    def test_what_could_not_be_read_back_is_not_written(self) -> None:
        wrong_type: Any = 1.5
        with pytest.raises(StoreError, match="cannot be written"):
            encode(replace(TrafficSwitched((), generation=1), generation=wrong_type))


async def test_a_failing_memory_log_writes_nothing() -> None:
    store = MemoryEventStore()
    store.failure = StoreError("no space is left")
    with pytest.raises(StoreError, match="no space"):
        await store.append("d1", "a", [(1.0, REQUESTED)])
    assert await store.read("d1") == []

    store.failure = None
    assert await store.append("d1", "a", [(1.0, REQUESTED)]) == [Record(1, "d1", "a", 1.0, REQUESTED)]
