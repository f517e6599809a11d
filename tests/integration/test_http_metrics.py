"""`/metrics`: what it says, and that the parser of Prometheus' own client library reads it."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from bluegreen.domain.errors import RouterError
from bluegreen.domain.latency import EDGES_MILLISECONDS
from bluegreen.domain.model import SlotTraffic
from bluegreen.domain.usage import GpuUsage, Usage
from bluegreen.interfaces.http.prometheus import Family, label_text, render
from tests.integration.api_support import ApiWorld

COUNTED = SlotTraffic(
    requests=1000, errors=3, in_flight=7, latency=(0, 900, 90, *[0] * 18, 10), statuses=(0, 990, 0, 7, 3),
    connection_errors=2, aborted=5, retries=4,
)  # fmt: skip
LABELS = ("service", "slot", "version", "workload")


@pytest.fixture
async def world() -> AsyncIterator[ApiWorld]:
    async with ApiWorld() as world:
        yield world


@pytest.fixture
async def client(world: ApiWorld) -> AsyncIterator[httpx.AsyncClient]:
    async with world.owner() as client:
        yield client


def parsed(text: str) -> dict[str, Metric]:
    """Fails for what is no sample, and for a sample that is there twice."""
    families = {family.name: family for family in text_string_to_metric_families(text)}
    samples = [(s.name, tuple(sorted(s.labels.items()))) for family in families.values() for s in family.samples]
    assert len(samples) == len(set(samples)) == sum(1 for line in text.splitlines() if not line.startswith("#"))
    return families


def value(families: dict[str, Metric], name: str, **labels: str) -> float | None:
    """Of the sample with these labels and maybe others; None when there is none."""
    found = [
        sample.value
        for family in families.values()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    assert len(found) <= 1, f"{name} {labels} is there {len(found)} times"
    return found[0] if found else None


async def test_what_is_known_of_a_workload(world: ApiWorld, client: httpx.AsyncClient) -> None:
    await world.deployed(client, "app:v1", until="completed")
    await world.deployed(client, "app:v2")
    green = world.last().green
    assert green is not None
    world.router.counters[green.id] = COUNTED
    world.runtime.usages[green.id] = Usage(12.5, 2**30, (GpuUsage(2, 0.75, 2**33, 61.0), GpuUsage(3, None, 2**32)))
    await world.fleet.usage.look()
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    told = parsed(answer.text)
    labels = dict(zip(LABELS, ("app", str(green.color), "v2", green.id), strict=True))

    def of_green(name: str, **more: str) -> float | None:
        return value(told, name, **labels, **more)

    assert of_green("bluegreen_requests_total") == 1000
    assert of_green("bluegreen_errors_total") == 3
    assert of_green("bluegreen_connection_errors_total") == 2
    assert of_green("bluegreen_aborted_requests_total") == 5
    assert of_green("bluegreen_retries_total") == 4
    assert of_green("bluegreen_responses_total", status="4xx") == 7
    assert of_green("bluegreen_requests_in_flight") == 7
    assert of_green("bluegreen_workload_healthy") == 1
    assert (of_green("bluegreen_health_checks_total", result="passed") or 0) > 0
    assert of_green("bluegreen_health_checks_total", result="failed") == 0
    assert of_green("bluegreen_workload_restarts_total") == 0
    assert (of_green("bluegreen_workload_start_time_seconds") or 0) == pytest.approx(world.clock.now(), abs=60)
    assert of_green("bluegreen_workload_cpu_seconds_total") == 12.5
    assert of_green("bluegreen_workload_memory_bytes") == 2**30
    assert of_green("bluegreen_gpu_utilization_ratio", gpu="2") == 0.75
    assert of_green("bluegreen_gpu_utilization_ratio", gpu="3") is None
    assert of_green("bluegreen_gpu_memory_used_bytes", gpu="3") == 2**32
    assert of_green("bluegreen_gpu_temperature_celsius", gpu="2") == 61


async def test_latency_is_a_histogram_in_seconds_without_a_sum(world: ApiWorld, client: httpx.AsyncClient) -> None:
    await world.deployed(client, "app:v1", until="completed")
    only = world.last().green
    assert only is not None
    world.router.counters[only.id] = COUNTED
    told = parsed((await client.get("/metrics")).text)
    family = told["bluegreen_request_duration_seconds"]
    assert family.type == "histogram"
    assert "_sum" in family.documentation
    buckets = {float(s.labels["le"]): s.value for s in family.samples if s.name.endswith("_bucket")}
    assert list(buckets) == [*(edge / 1000 for edge in EDGES_MILLISECONDS), math.inf]
    assert (buckets[0.0005], buckets[0.001], buckets[0.002], buckets[60.0], buckets[math.inf]) == (
        0,
        900,
        990,
        990,
        1000,
    )
    assert [s.value for s in family.samples if not s.name.endswith("_bucket")] == [1000]
    assert all(set(s.labels) - {"le"} == set(LABELS) for s in family.samples)


async def test_what_the_router_does_not_measure_is_not_told(world: ApiWorld, client: httpx.AsyncClient) -> None:
    await world.deployed(client, "app:v1", until="completed")
    only = world.last().green
    assert only is not None
    world.router.counters[only.id] = replace(COUNTED, latency=(), statuses=())
    told = parsed((await client.get("/metrics")).text)
    assert "bluegreen_request_duration_seconds" not in told and "bluegreen_responses" not in told
    assert value(told, "bluegreen_requests_total", workload=only.id) == 1000


async def test_routes_deployments_and_the_api_itself(world: ApiWorld, client: httpx.AsyncClient) -> None:
    await world.deployed(client, "app:v1", until="completed")
    await world.deployed(client, "app:v2")
    green = world.last().green
    assert green is not None
    text = (await client.get("/metrics")).text
    told = parsed(text)
    assert value(told, "bluegreen_service_active", service="app", slot=str(green.color)) == 1
    assert value(told, "bluegreen_service_active", service="app", slot=str(green.color.other)) == 0
    assert value(told, "bluegreen_route_weight_ratio", service="app", slot=str(green.color)) == 1
    assert value(told, "bluegreen_deployment_phase", service="app", phase="retaining") == 1
    assert value(told, "bluegreen_route_generation", service="app") == 2
    assert (value(told, "bluegreen_http_requests_total", door="socket", status="2xx") or 0) > 2
    assert value(told, "bluegreen_requests_total", service="other") is None


async def test_a_version_does_not_have_what_its_slot_counted_before(world: ApiWorld, client: httpx.AsyncClient) -> None:
    await world.deployed(client, "app:v1", until="completed")
    first = world.last().green
    assert first is not None
    reading = await world.router.traffic(["app"])
    assert reading["app"][first.color].requests
    monitor = world.fleet.observers["app"].monitors[first.id]
    status = monitor.status
    assert status is not None
    monitor.status = replace(status, replicas=())  # Another workload's replicas are what the slot has.
    told = parsed((await client.get("/metrics")).text)
    assert value(told, "bluegreen_requests_total", workload=first.id) is None
    assert value(told, "bluegreen_workload_replicas", workload=first.id) == 1


async def test_metrics_say_nothing_of_a_router_that_does_not_answer(world: ApiWorld, client: httpx.AsyncClient) -> None:
    await world.deployed(client, "app:v1", until="completed")

    async def broken(*_: object) -> Any:
        raise RouterError("no answer")

    world.router.routes = broken  # type: ignore[method-assign]
    samples = parsed((await client.get("/metrics")).text)
    assert not [name for name in samples if name.startswith(("bluegreen_route_", "bluegreen_service_active"))]
    assert value(samples, "bluegreen_deployment_phase", service="app", phase="completed") == 1


@given(
    st.dictionaries(st.sampled_from(["service", "version"]), st.text(), min_size=1),
    st.lists(st.integers(0, 2**40), max_size=len(EDGES_MILLISECONDS) + 1),
    st.floats(allow_subnormal=False),
)
def test_whatever_the_labels_and_numbers_are_the_client_library_reads_them_back(
    labels: dict[str, str], counts: list[int], number: float
) -> None:
    gauge = Family("a_gauge", "gauge", "A text with \\ and\na second line.")
    gauge.add(number, label_text(**labels))
    histogram = Family("a_histogram", "histogram", "Counts.")
    histogram.add_histogram([edge / 1000 for edge in EDGES_MILLISECONDS], counts, label_text(**labels))
    families = {family.name: family for family in text_string_to_metric_families(render([gauge, histogram]))}
    (sample,) = families["a_gauge"].samples
    assert sample.value == number or math.isnan(number)
    assert sample.labels == {name: text.encode("utf-8", "replace").decode() for name, text in labels.items()}
    told = [s.value for s in families["a_histogram"].samples if s.name == "a_histogram_bucket"]
    assert told == sorted(told)
    assert told[-1] == sum(counts)
