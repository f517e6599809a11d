"""Health and capacity: what the answers say, and that silence says nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluegreen.domain.capacity import requirements, shortage
from bluegreen.domain.errors import UsageError
from bluegreen.domain.gpus import Gpu, GpuHolder
from bluegreen.domain.health import Health, ReplicaHealth, WorkloadHealth
from bluegreen.domain.model import Capacity, Color, ImageReference, Reservation, Resources, Workload
from bluegreen.domain.observation import Observation
from bluegreen.domain.service import ServiceSpec


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 5), st.integers(1, 5))
def test_health_turns_only_after_rise_or_fall_in_a_row(answers: list[bool], rise: int, fall: int) -> None:
    health = ReplicaHealth()
    for index, ok in enumerate(answers):
        before, health = health, health.after(ok, "detail", rise=rise, fall=fall)
        if health.verdict is not before.verdict:
            needed = rise if health.verdict is Health.HEALTHY else fall
            recent = answers[max(0, index + 1 - needed) : index + 1]
            assert recent == [health.verdict is Health.HEALTHY] * needed
    assert health.checks == len(answers)
    assert health.failures == answers.count(False)


def test_a_flapping_replica_is_never_healthy_with_rise_two() -> None:
    health = ReplicaHealth()
    for index in range(100):
        health = health.after(index % 2 == 0, "flap", rise=2, fall=3)
    assert health.verdict is Health.UNKNOWN


def test_the_summary_says_why_green_is_not_healthy() -> None:
    deaf = ReplicaHealth(last_detail="replica 0 does not listen on 127.0.0.1:9000 yet")
    assert WorkloadHealth((deaf,)).summary == "0/1 replicas healthy: replica 0 does not listen on 127.0.0.1:9000 yet"
    flapping = ReplicaHealth().after(False, "HTTP 500", rise=2, fall=3).after(True, "HTTP 200", rise=2, fall=3)
    assert WorkloadHealth((flapping,)).summary == "1/2 probes failed: HTTP 500"


def test_a_workload_is_healthy_only_when_all_replicas_are() -> None:
    good, bad, new = ReplicaHealth(Health.HEALTHY), ReplicaHealth(Health.UNHEALTHY), ReplicaHealth()
    assert WorkloadHealth((good, good)).verdict is Health.HEALTHY
    assert WorkloadHealth((good, new)).verdict is Health.UNKNOWN
    assert WorkloadHealth((good, bad)).verdict is Health.UNHEALTHY
    assert WorkloadHealth(()).verdict is Health.UNKNOWN


@pytest.mark.parametrize(
    ("needed", "total", "used", "freed", "fits"),
    [
        (Resources(4), Resources(8), Resources(4), Resources(), True),
        (Resources(4), Resources(8), Resources(5), Resources(), False),
        (Resources(4), Resources(8), Resources(8), Resources(4), True),
        (Resources(1), Resources(0), Resources(), Resources(), False),
        (Resources(0, 2.0, 512), Resources(0, 0, 0), Resources(), Resources(), True),
        (Resources(0, 2.0), Resources(0, 4.0), Resources(0, 3.0), Resources(), False),
        (Resources(0, 0, 600), Resources(0, 4, 1000), Resources(0, 0, 500), Resources(), False),
    ],
)
def test_room_for_green(needed: Resources, total: Resources, used: Resources, freed: Resources, fits: bool) -> None:
    leaving = Workload("app-green-1", "app", Color.GREEN, "app:v1", "v1", 1, freed)
    assert (shortage(needed, Capacity(total, used), leaving=leaving) == []) is fits


def test_a_requirement_says_who_holds_what_is_missing() -> None:
    trainer = Reservation("container `trainer`", Resources(cpus=3.0, memory_mb=3000))
    inventory = (
        Gpu(0, holders=(GpuHolder("api-blue-3", "api"),)),
        Gpu(1, holders=(GpuHolder("container `trainer` (not bluegreen's)"),)),
        Gpu(2, holders=(GpuHolder("api-green-2", "api"),)),
    )
    capacity = Capacity(Resources(3, 4.0, 4000), Resources(3, 3.5, 3500), inventory, (trainer,))
    api = ServiceSpec("api", ("*",), ("serve",), resources=Resources(1, 2.0, 500))
    retained = Workload("api-green-2", "api", Color.GREEN, "api:v1", "v1", 1, Resources(gpus=1, memory_mb=500))

    def room(spec: ServiceSpec, leaving: Workload | None = None) -> tuple[bool, str]:
        requirement = requirements(spec, None, Observation(capacity=capacity), leaving)[0]
        return requirement.met, requirement.detail

    assert room(replace(api, resources=Resources(1))) == (
        False,
        "1 GPU needed, 0 of 3 free: GPU 0 is held by api-blue-3, GPU 1 by container `trainer` (not bluegreen's), "
        "GPU 2 by api-green-2. Free something, lower replicas or resources, or raise [capacity]",
    )
    assert room(replace(api, resources=Resources(cpus=2.0)))[1].startswith(
        "2 CPUs needed, 0.5 of 4 free (3 for container `trainer`)"
    )
    assert room(replace(api, resources=Resources(1, 0.5, 700), gpu_memory_mb=100), retained) == (
        True,
        "1 x (1 GPU, 0.5 CPUs, 700 MB) fits; gpu_memory_mb is not checked: the free memory of GPU 2 is not known",
    )


def test_a_gpu_that_may_be_shared_is_room_for_green() -> None:
    blue = GpuHolder("api-blue-3", "api", sharing=True)
    capacity = Capacity(Resources(1), Resources(1), (Gpu(0, 8000, 5000, (blue,)),))
    api = ServiceSpec("api", ("*",), ("serve",), resources=Resources(1), gpu_sharing=True, gpu_memory_mb=4000)

    def room(spec: ServiceSpec) -> tuple[bool, str]:
        requirement = requirements(spec, None, Observation(capacity=capacity))[0]
        return requirement.met, requirement.detail

    assert room(api) == (True, "1 x (1 GPU) fits; GPU 0 shared with api-blue-3")
    assert room(replace(api, gpu_memory_mb=6000))[1].startswith(
        "1 GPU needed, 0 of 1 free: GPU 0 has 5000 of 6000 MB free. "
    )
    assert not room(replace(api, gpu_sharing=False))[0]


@pytest.mark.parametrize(
    ("reference", "repository", "tag"),
    [
        ("registry/inference-model:v2.0", "registry/inference-model", "v2.0"),
        ("localhost:5000/team/app", "localhost:5000/team/app", "latest"),
        ("app", "app", "latest"),
    ],
)
def test_image_references(reference: str, repository: str, tag: str) -> None:
    assert ImageReference.parse(reference) == ImageReference(repository, tag)


@pytest.mark.parametrize("reference", ["", "a b", "../../etc", "a;rm -rf", "$(x)", ":v1", "a\nb"])
def test_strange_image_references_are_refused(reference: str) -> None:
    with pytest.raises(UsageError, match="image"):
        ImageReference.parse(reference)
