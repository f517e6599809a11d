"""Writes with an idempotency key: done once, answered the same, whoever asks how often."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluegreen.control import idempotency
from bluegreen.control.idempotency import Answer, Answers, IdempotencyMismatch
from bluegreen.domain.access import OWNER, Caller, Scope
from bluegreen.domain.errors import StoreError, UsageError
from bluegreen.stores.memory import MemoryEventStore
from tests.integration.api_support import ApiWorld
from tests.simulation.world import SimulatedClock

KEY = {"Idempotency-Key": "4b1d0a5e-try"}
ALERT = {"name": "hello", "severity": "info", "message": "It works."}


@pytest.fixture
async def world() -> AsyncIterator[ApiWorld]:
    async with ApiWorld() as world:
        yield world


@pytest.fixture
async def client(world: ApiWorld) -> AsyncIterator[httpx.AsyncClient]:
    async with world.owner() as client:
        yield client


async def alerts(client: httpx.AsyncClient) -> int:
    return len([one for one in (await client.get("/v1/alerts")).json()["alerts"] if one["name"] == "hello"])


async def test_a_repeated_write_is_done_once_and_answered_the_same(client: httpx.AsyncClient) -> None:
    first = await client.post("/v1/alerts", json=ALERT, headers=KEY)
    again = await client.post("/v1/alerts", json=dict(reversed(ALERT.items())), headers=KEY)
    assert (again.status_code, again.content) == (first.status_code, first.content) == (201, first.content)
    assert (first.headers.get("idempotency-replayed"), again.headers["idempotency-replayed"]) == (None, "true")
    assert await alerts(client) == 1


async def test_location_and_errors_are_answered_again_as_they_were(client: httpx.AsyncClient) -> None:
    for body in ({"image": "app:v1"}, {"image": "not an image"}):
        headers = {"Idempotency-Key": f"key-{body['image'][:3]}"}
        first = await client.post("/v1/services/app/deployments", json=body, headers=headers)
        again = await client.post("/v1/services/app/deployments", json=body, headers=headers)
        assert again.headers["idempotency-replayed"] == "true"
        assert (again.status_code, again.content) == (first.status_code, first.content)
        for name in ("location", "content-type"):
            assert again.headers.get(name) == first.headers.get(name)


async def test_without_a_key_every_write_is_done(client: httpx.AsyncClient) -> None:
    for _ in range(2):
        await client.post("/v1/alerts", json=ALERT)
    assert await alerts(client) == 2


@pytest.mark.parametrize(
    ("path", "body"), [("/v1/alerts", {**ALERT, "message": "Other."}), ("/v1/operations/alert_create", ALERT)]
)
async def test_the_key_of_another_request_is_refused(client: httpx.AsyncClient, path: str, body: Any) -> None:
    await client.post("/v1/alerts", json=ALERT, headers=KEY)
    answer = await client.post(path, json=body, headers=KEY)
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:bluegreen:idempotency_mismatch"
    assert await alerts(client) == 1


async def test_the_parameters_of_a_delete_belong_to_the_request(client: httpx.AsyncClient) -> None:
    first = await client.delete("/v1/workloads/nothing", headers=KEY)
    assert first.status_code == 404
    other = await client.delete("/v1/workloads/nothing?force=true", headers=KEY)
    assert other.status_code == 422


async def test_keys_of_different_callers_have_nothing_to_do_with_each_other(world: ApiWorld) -> None:
    callers = {name: Caller(name, "http", Scope.ADMIN, token_id=name) for name in ("one", "two")}
    for name in callers:
        async with world.agent(callers, Authorization=f"Bearer {name}") as agent:
            answer = await agent.post("/v1/alerts", json={**ALERT, "message": name}, headers=KEY)
            assert answer.status_code == 201 and "idempotency-replayed" not in answer.headers
    async with world.owner() as owner:
        assert await alerts(owner) == 2


async def test_two_at_the_same_time_are_one(client: httpx.AsyncClient) -> None:
    both = await asyncio.gather(*(client.post("/v1/alerts", json=ALERT, headers=KEY) for _ in range(5)))
    assert len({answer.content for answer in both}) == 1
    assert sorted(answer.headers.get("idempotency-replayed", "") for answer in both) == ["", *["true"] * 4]
    assert await alerts(client) == 1


async def test_an_answer_of_500_and_above_is_not_kept(world: ApiWorld, client: httpx.AsyncClient) -> None:
    world.store.failure = StoreError("no space left on device")
    failed = await client.post("/v1/alerts", json=ALERT, headers=KEY)
    world.store.failure = None
    again = await client.post("/v1/alerts", json=ALERT, headers=KEY)
    assert (failed.status_code, again.status_code) == (503, 201)
    assert "idempotency-replayed" not in again.headers


async def test_secrets_are_not_kept(world: ApiWorld, client: httpx.AsyncClient) -> None:
    body = {"image": "app:v1", "overrides": {"env.PASSWORD": "hunter2"}}
    answer = await client.post("/v1/services/app/deployments", json=body, headers=KEY)
    assert answer.status_code == 201, answer.text
    kept = str(await world.store.all(idempotency.KIND))
    assert "hunter2" not in kept and KEY["Idempotency-Key"] not in kept


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 201, "é", "a\tb"])
async def test_a_key_that_is_none_is_refused(client: httpx.AsyncClient, key: str) -> None:
    answer = await client.post("/v1/alerts", json=ALERT, headers={b"Idempotency-Key": key.encode()})
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("Idempotency-Key:")
    assert await alerts(client) == 0


async def test_reads_need_no_key(client: httpx.AsyncClient) -> None:
    for _ in range(2):
        answer = await client.post("/v1/operations/services", json={}, headers=KEY)
        assert "idempotency-replayed" not in answer.headers


# -- the pure parts, and time ----------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
REQUESTS = st.tuples(st.sampled_from(["POST", "DELETE"]), st.text(), st.dictionaries(st.text(), JSON, max_size=4))


@given(REQUESTS, REQUESTS, st.text(min_size=1), st.text(min_size=1))
def test_fingerprints_are_equal_for_equal_requests_alone(one: Any, other: Any, key: str, other_key: str) -> None:
    shuffled = (one[0], one[1], dict(reversed(one[2].items())))
    assert idempotency.fingerprint(key, *one) == idempotency.fingerprint(key, *shuffled)
    same = repr((key, one[0], one[1], sorted(one[2].items()))) == repr(
        (other_key, other[0], other[1], sorted(other[2].items()))
    )
    assert same or idempotency.fingerprint(key, *one) != idempotency.fingerprint(other_key, *other)


ANSWERS = st.builds(
    Answer, st.integers(200, 499), st.text(), st.text(), st.dictionaries(st.text(), st.text(), max_size=3)
)


@given(ANSWERS, st.floats(0, 2e9), st.floats(0, 200_000))
def test_an_answer_is_kept_for_a_day_as_it_was(answer: Answer, at: float, later: float) -> None:
    document = idempotency.to_document(answer, "print", at)
    found = idempotency.from_document(document, "print", at + later)
    assert found == (answer if (at + later) - at < idempotency.KEEP_SECONDS else None)
    if found is not None:
        with pytest.raises(IdempotencyMismatch):
            idempotency.from_document(document, "other", at + later)


@given(st.text())
def test_a_key_is_visible_ascii_or_refused(key: str) -> None:
    fine = 1 <= len(key) <= 200 and key.isascii() and key.isprintable() and " " not in key
    try:
        assert idempotency.checked_key(key) == key and fine
    except UsageError:
        assert not fine


def test_the_oldest_are_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "MOST_KEPT", 3)
    documents = {str(n): {"at": float(n)} for n in (5, 1, 4, 2, 3)}
    assert idempotency.to_forget(documents, 6.0) == ["1", "2"]
    assert set(idempotency.to_forget(documents, 4.0 + idempotency.KEEP_SECONDS)) == {"1", "2", "3", "4"}


class Once:
    """Performs, and counts how often."""

    def __init__(self) -> None:
        self.times = 0

    async def __call__(self) -> Answer:
        self.times += 1
        return Answer(200, str(self.times))


async def test_after_a_day_the_key_is_free_again_and_old_answers_are_removed() -> None:
    store, clock, perform = MemoryEventStore(), SimulatedClock(), Once()
    answers = Answers(store, clock)
    for key in ("a", "b"):
        await answers.once(OWNER, key, "print", perform)
    await clock.advance(idempotency.KEEP_SECONDS - 1)
    assert await answers.once(OWNER, "a", "print", perform) == (Answer(200, "1", headers={}), True)
    await clock.advance(1)
    answer, replayed = await answers.once(OWNER, "a", "print", perform)
    assert (answer.body, replayed) == ("3", False)
    kept: Mapping[str, Any] = {}
    for _ in range(100):
        await asyncio.sleep(0)
        kept = await store.all(idempotency.KIND)
    assert set(kept) == {idempotency.document_key(OWNER, "a")}


async def test_a_first_that_is_cut_off_leaves_its_turn_to_the_second() -> None:
    answers, begun = Answers(MemoryEventStore(), SimulatedClock()), asyncio.Event()

    async def hang() -> Answer:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    first = asyncio.create_task(answers.once(OWNER, "a", "print", hang))
    await begun.wait()
    second = asyncio.create_task(answers.once(OWNER, "a", "print", Once()))
    first.cancel()
    assert (await second)[0].body == "1"
    assert not answers._turns


async def test_a_disk_that_is_full_does_not_hide_what_was_done() -> None:
    store, perform = MemoryEventStore(), Once()
    answers = Answers(store, SimulatedClock())
    store.failure = StoreError("no space left on device")
    assert (await answers.once(OWNER, "a", "print", perform))[0].body == "1"
