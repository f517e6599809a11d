"""What every store of samples does, in memory and on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bluegreen.control.metric_ports import Batch, SampleStore, Stretch
from bluegreen.domain.columns import LATENCY
from bluegreen.domain.errors import StoreError
from bluegreen.domain.model import Color, Resources, Workload
from bluegreen.domain.sample import Sample
from bluegreen.stores.memory_samples import MemorySampleStore
from bluegreen.stores.samples import SqliteSampleStore

EPOCH = 1_800_000_000.0
ALL = frozenset({"seconds", "requests", "errors", "in_flight", *LATENCY})
Reopened = Callable[[], SampleStore]
"""The same samples, by whoever opens them next."""


@pytest.fixture(params=["memory", "sqlite"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Reopened:
    if request.param == "memory":
        store = MemorySampleStore()
        return lambda: store
    return lambda: SqliteSampleStore(tmp_path / "metrics.sqlite")


def workload(name: str = "app-blue-1", service: str = "app") -> Workload:
    return Workload(name, service, Color.BLUE, f"{service}:v1", "v1", 2, Resources(1, 0.5, 64), {"app": service})


def seconds(first: int, count: int, *, requests: int = 10) -> list[Sample]:
    """One a second; the first ends at `first`."""
    latency = dict.fromkeys(LATENCY, 0) | {LATENCY[3]: requests}
    return [
        Sample.of(EPOCH + at, seconds=1.0, requests=requests, errors=at % 2, in_flight=at % 7, **latency)
        for at in range(first, first + count)
    ]


def total(samples: list[Sample] | tuple[Sample, ...], name: str = "requests") -> float:
    return sum(sample[name] or 0 for sample in samples)


async def everything(store: SampleStore, name: str = "app-blue-1", *, shift: float = 0.0) -> list[Sample]:
    stretch = Stretch(0, EPOCH * 2)
    return list((await store.read([name], stretch, ALL, shift=shift)).get(name, ()))


async def tidied(store: SampleStore) -> None:
    while await store.tidy():
        pass


async def test_what_was_appended_is_read_as_it_was(opened: Reopened) -> None:
    store = opened()
    await store.open()
    given = seconds(1, 10)
    await store.append([Batch(workload(), given[:5])], shift=0.0)
    await store.append([Batch(workload(), given[5:])], shift=0.0)
    assert await everything(store) == given
    assert await store.workloads(Stretch(EPOCH, EPOCH + 5), shift=0.0) == [workload()]
    assert await store.workloads(Stretch(EPOCH - 900, EPOCH - 500), shift=0.0) == []
    assert await store.read(["nobody"], Stretch(0, EPOCH * 2), ALL, shift=0.0) == {}
    await store.close()


async def test_a_former_session_is_read_with_the_times_it_had(opened: Reopened) -> None:
    first = opened()
    await first.open()
    await first.append([Batch(workload(), seconds(1, 5))], shift=0.0)
    await first.close()
    second = opened()
    await second.open()
    await second.append([Batch(workload(), seconds(100, 5))], shift=50.0)
    await tidied(second)
    found = await everything(second, shift=50.0)
    assert total(found) == 100
    assert [sample.at - EPOCH for sample in found if sample.at > EPOCH + 90] == [150, 151, 152, 153, 154]
    await second.close()


async def test_a_clock_that_is_set_right_sets_the_whole_session_right(opened: Reopened) -> None:
    store = opened()
    await store.open()
    await store.append([Batch(workload(), seconds(1, 5))], shift=0.0)
    await store.append([Batch(workload(), seconds(6, 5))], shift=-7200.0)
    found = await everything(store, shift=-7200.0)
    assert [sample.at - EPOCH + 7200 for sample in found] == list(range(1, 11))
    await store.close()
    later = opened()
    await later.open()
    assert [sample.at for sample in await everything(later)] == [sample.at for sample in found]
    await later.close()


async def test_hours_are_kept_coarser_and_nothing_counted_is_lost(opened: Reopened) -> None:
    store = opened()
    await store.open()
    hours = 3
    for first in range(0, hours * 3600, 300):
        await store.append([Batch(workload(), seconds(first + 1, 300)), Batch(workload("b"), seconds(first + 1, 300))],
                           shift=0.0)  # fmt: skip
        await tidied(store)
    for name in ("app-blue-1", "b"):
        found = await everything(store, name)
        assert len(found) < 3000
        assert (total(found), total(found, "errors")) == (hours * 36_000, hours * 1800)
        assert total(found, LATENCY[3]) == hours * 36_000
        assert sum(sample["seconds"] or 0 for sample in found) == pytest.approx(hours * 3600)
        times = [sample.at for sample in found]
        assert times == sorted(set(times))
        assert found[-1] == seconds(hours * 3600, 1)[0]
    await store.close()


async def test_it_is_opened_once_and_closed_any_number_of_times(opened: Reopened) -> None:
    store = opened()
    with pytest.raises(StoreError):
        await store.append([Batch(workload(), seconds(1, 1))], shift=0.0)
    await store.open()
    with pytest.raises(StoreError):
        await store.open()
    await store.close()
    await store.close()
