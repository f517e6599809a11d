"""A watch as a document, and back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluegreen.control.kept_watches import KIND, KeptWatch, KeptWatches, from_document, to_document
from bluegreen.domain.baseline import Baseline
from bluegreen.domain.model import SlotTraffic
from bluegreen.domain.service import Policy
from bluegreen.domain.watch import Watch, yardstick
from bluegreen.stores.memory import MemoryEventStore

COUNTS = st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)).map(lambda two: SlotTraffic(sum(two), min(two)))


@given(st.lists(st.tuples(COUNTS, COUNTS, st.booleans()), max_size=6), st.sampled_from([None, 50.0, 1e9]))
def test_what_is_read_is_what_was_written(
    readings: list[tuple[SlotTraffic, SlotTraffic, bool]], max_latency_ms: float | None
) -> None:
    watch = Watch(yardstick(Policy(max_latency_ms=max_latency_ms), Baseline(), concurrent=True))
    for number, (green, blue, concurrent) in enumerate(readings):
        watch = watch.after(70.0 * number, green, blue, concurrent=concurrent)
    kept = KeptWatch(watch, 10, 123.5)
    document = json.loads(json.dumps(to_document(kept), allow_nan=False))
    assert from_document(document) == kept


@pytest.mark.parametrize("document", [{}, {"watch": "{", "share": 1, "at": 1.0}, {"watch": "[]", "share": 1, "at": 1}])
async def test_what_cannot_be_read_is_as_if_it_had_not_been_written(document: dict[str, object]) -> None:
    store = MemoryEventStore()
    await store.put(KIND, "app-1", document)
    assert await KeptWatches(store).read("app-1") is None
