"""Health and capacity: what the answers say, and that silence says nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluegreen.domain.capacity import shortage
from bluegreen.domain.errors import UsageError
from bluegreen.domain.health import Health, ReplicaHealth, WorkloadHealth
from bluegreen.domain.model import Capacity, ImageReference, Resources


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
    assert (shortage(needed, Capacity(total, used), freed=freed) == []) is fits


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
