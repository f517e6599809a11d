"""Which replica gets which GPU, and who holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluegreen.domain.errors import RuntimeFailure
from bluegreen.domain.gpu_inventory import ALL, GpuProcess, GpuReading, Holding, make_inventory
from bluegreen.domain.gpus import (
    Gpu,
    GpuDemand,
    GpuHolder,
    assign_gpus,
    gpu_remarks,
    gpu_shortage,
    held_gpus,
    seen_together,
)

BLUE = GpuHolder("api-blue-3", "api")
SHARING_BLUE = replace(BLUE, sharing=True)
OTHER = GpuHolder("web-blue-1", "web", sharing=True)
TRAINER = GpuHolder("container `trainer` (not bluegreen's)")
GREEN = GpuDemand("api-green-4", "api", replicas=1, per_replica=1)
SHARING_GREEN = replace(GREEN, sharing=True)


def test_who_holds_what_is_said_when_there_are_too_few() -> None:
    inventory = (Gpu(0, holders=(BLUE,)), Gpu(1, holders=(TRAINER,)))
    assert gpu_shortage(inventory, GREEN) == (
        "1 GPU needed, 0 of 2 free: GPU 0 is held by api-blue-3, GPU 1 by container `trainer` (not bluegreen's)"
    )
    with pytest.raises(RuntimeFailure, match=r"api-green-4 wants 1 GPU .*, 0 of 2 are free: GPU 0 is held by api-blue"):
        assign_gpus(inventory, GREEN)


def test_devices_of_one_holder_and_other_obstacles_are_said_together() -> None:
    inventory = (
        Gpu(0, holders=(TRAINER,)),
        Gpu(1, holders=(TRAINER,)),
        Gpu(2, holders=(BLUE,)),
        Gpu(3, problem="is in MIG mode, which is not supported"),
        Gpu(4, total_mb=8000, free_mb=300),
    )
    assert gpu_shortage(inventory, replace(GREEN, memory_mb=4000)) == (
        "1 GPU needed, 0 of 5 free: GPUs 0, 1 are held by container `trainer` (not bluegreen's), "
        "GPU 2 by api-blue-3, GPU 3 is in MIG mode, which is not supported, GPU 4 has 300 of 4000 MB free"
    )


@pytest.mark.parametrize(
    ("holders", "demand", "fits"),
    [
        ((), GREEN, True),
        ((SHARING_BLUE,), SHARING_GREEN, True),
        ((BLUE,), SHARING_GREEN, False),  # Both must have declared it.
        ((SHARING_BLUE,), GREEN, False),
        ((OTHER,), SHARING_GREEN, False),
        ((TRAINER,), SHARING_GREEN, False),
        ((SHARING_BLUE, TRAINER), SHARING_GREEN, False),
        ((SHARING_BLUE, replace(SHARING_BLUE, name="api-green-2")), SHARING_GREEN, False),
        ((replace(SHARING_BLUE, name="api-green-4"),), SHARING_GREEN, False),  # A replica of its own.
    ],
)
def test_only_the_two_slots_of_a_service_share_and_only_if_both_say_so(
    holders: tuple[GpuHolder, ...], demand: GpuDemand, fits: bool
) -> None:
    assert (gpu_shortage((Gpu(0, holders=holders),), demand) == "") is fits


def test_free_devices_come_first_then_those_with_the_most_free_memory() -> None:
    inventory = (
        Gpu(0, 8000, 1000, (SHARING_BLUE,)),
        Gpu(1, 8000, 3000, (SHARING_BLUE,)),
        Gpu(2, 8000, 500),
        Gpu(3, 8000, 2000, (SHARING_BLUE,)),
    )
    assert assign_gpus(inventory, replace(SHARING_GREEN, replicas=3)) == ((2,), (1,), (3,))
    assert assign_gpus(inventory, replace(SHARING_GREEN, per_replica=3)) == ((2, 1, 3),)
    assert assign_gpus(inventory, replace(SHARING_GREEN, replicas=2, memory_mb=1500)) == ((1,), (3,))
    remarks = gpu_remarks(inventory, replace(SHARING_GREEN, replicas=2))
    assert remarks == "GPU 1 shared with api-blue-3"


def test_what_a_workload_gives_back_counts_and_its_memory_as_far_as_it_is_known() -> None:
    def after(gpu: Gpu) -> Gpu:
        return gpu.without(["api-blue-3"])

    assert after(Gpu(0, 8000, 1000, (replace(BLUE, memory_mb=6500),))) == Gpu(0, 8000, 7500)
    assert after(Gpu(0, 8000, 1000, (BLUE,))) == Gpu(0, 8000, None)
    assert after(Gpu(0, 8000, 1000, (TRAINER,))) == Gpu(0, 8000, 1000, (TRAINER,))
    assert after(Gpu(0, 8000, 1000, (TRAINER, replace(BLUE, memory_mb=10)))) == Gpu(0, 8000, 1010, (TRAINER,))


def test_memory_that_nobody_can_look_at_is_no_obstacle_and_is_said() -> None:
    asked = replace(GREEN, memory_mb=4000)
    assert gpu_shortage((Gpu(0), Gpu(1)), asked) == ""
    assert gpu_remarks((Gpu(0), Gpu(1)), asked) == (
        "gpu_memory_mb is not checked: the free memory of GPU 0 is not known"
    )
    assert gpu_remarks((Gpu(0),), GREEN) == ""


def test_a_workload_without_gpus_needs_no_inventory() -> None:
    assert assign_gpus((), replace(GREEN, replicas=2, per_replica=0)) == ((), ())


# -- properties ---------------------------------------------------------------------------------------------------

demands = st.builds(
    GpuDemand,
    workload_id=st.sampled_from(["api-blue-1", "api-green-2", "api-blue-3", "web-blue-1", "web-green-2"]),
    service=st.just(""),
    replicas=st.integers(1, 3),
    per_replica=st.integers(0, 2),
    memory_mb=st.sampled_from([0, 0, 100, 500]),
    sharing=st.booleans(),
).map(lambda demand: replace(demand, service=demand.workload_id.partition("-")[0]))
machines = st.lists(
    st.builds(
        Gpu,
        index=st.just(0),
        free_mb=st.none() | st.integers(0, 1000),
        holders=st.sampled_from([(), (), (), (TRAINER,)]),
        problem=st.sampled_from(["", "", "", "does not answer the driver"]),
    ),
    max_size=6,
).map(lambda gpus: tuple(replace(gpu, index=index) for index, gpu in enumerate(gpus)))


def with_holder(inventory: Sequence[Gpu], demand: GpuDemand, given_out: set[int]) -> tuple[Gpu, ...]:
    holder = GpuHolder(demand.workload_id, demand.service, demand.sharing)
    return tuple(replace(gpu, holders=(*gpu.holders, holder)) if gpu.index in given_out else gpu for gpu in inventory)


@given(inventory=machines, asked=st.lists(demands, max_size=6))
def test_whatever_is_asked_for_nobody_shares_but_the_two_slots_that_may(
    inventory: tuple[Gpu, ...], asked: list[GpuDemand]
) -> None:
    before = inventory
    for demand in asked:
        short = gpu_shortage(inventory, demand)
        try:
            assigned = assign_gpus(inventory, demand)
        except RuntimeFailure:
            assert short
            continue
        assert not short
        assert assigned == assign_gpus(tuple(reversed(inventory)), demand), "the order of the inventory is no matter"
        given_out = [device for devices in assigned for device in devices]
        assert [len(devices) for devices in assigned] == [demand.per_replica] * demand.replicas
        assert len(set(given_out)) == len(given_out), "replicas of one workload never share"
        chosen = [gpu for gpu in inventory if gpu.index in given_out]
        assert len(chosen) == len(given_out), "nothing that is not there"
        assert all(gpu.free_mb is None or gpu.free_mb >= demand.memory_mb for gpu in chosen)
        inventory = with_holder(inventory, demand, set(given_out))
    for gpu, at_first in zip(inventory, before, strict=True):
        assert len(gpu.holders) <= 2
        if len(gpu.holders) == 2:
            one, two = gpu.holders
            assert one.service == two.service and one.name != two.name and one.sharing and two.sharing
        if at_first.problem or at_first.holders:
            assert gpu == at_first


# -- the inventory ------------------------------------------------------------------------------------------------

READINGS = {
    0: GpuReading("GPU-aaaa-1", 8000, 7000, (GpuProcess(10, 900),)),
    1: GpuReading("GPU-bbbb-2", 8000, 8000),
    2: GpuReading("GPU-cccc-3", 8000, 8000, mig=True),
}


@pytest.mark.parametrize(
    ("names", "with_driver", "without"),
    [
        (("1",), {1}, {1}),
        ((ALL,), {0, 1, 2, 3}, {0, 1, 2, 3}),
        (("GPU-bbbb-2",), {1}, {0, 1, 2, 3}),  # Without a driver it may be any of them.
        (("GPU-bb",), {1}, {0, 1, 2, 3}),
        (("2:0",), {2}, {2}),
        (("MIG-GPU-cccc-3/1/0",), {2}, {0, 1, 2, 3}),
        (("MIG-1234",), set(), {0, 1, 2, 3}),  # On a device in MIG mode, which nobody gets anyway.
        (("9",), set(), set()),
        ((), set(), set()),
        (("something",), {0, 1, 2, 3}, {0, 1, 2, 3}),
    ],
)
def test_devices_are_known_by_index_by_uuid_or_all(
    names: tuple[str, ...], with_driver: set[int], without: set[int]
) -> None:
    holdings = [Holding(TRAINER, names)]
    quiet = {index: replace(reading, processes=()) for index, reading in READINGS.items()}
    for readings, expected in ((quiet, with_driver), (None, without)):
        inventory = make_inventory(range(4), readings, holdings, {})
        assert {gpu.index for gpu in inventory if gpu.holders} == expected


def test_a_process_holds_its_device_with_its_memory_and_nobody_elses_counts_twice() -> None:
    inventory = make_inventory([0, 1], READINGS, [Holding(BLUE, ("0", "1"))], {10: BLUE})
    assert inventory[0] == Gpu(0, 8000, 7000, (replace(BLUE, memory_mb=900),))
    assert inventory[1] == Gpu(1, 8000, 8000, (replace(BLUE, memory_mb=0),))
    stranger = GpuHolder("process 10 (python, not bluegreen's)")
    (first,) = make_inventory([0], READINGS, [Holding(BLUE, ("0",))], {10: stranger})
    assert [holder.name for holder in first.holders] == [BLUE.name, stranger.name]
    (ignored,) = make_inventory([0], READINGS, [], {})
    assert ignored.holders == ()


def test_what_one_of_several_observers_sees_is_seen() -> None:
    one = (Gpu(0, 8000, 100, (BLUE,)), Gpu(1))
    other = (Gpu(0, 8000, 100, (BLUE, TRAINER)), Gpu(1, problem="does not answer the driver"))
    assert seen_together([one, other]) == other
    assert seen_together([other, one]) == other


def test_a_device_that_does_not_answer_or_is_cut_in_pieces_is_given_to_nobody() -> None:
    inventory = make_inventory(range(4), READINGS, [], {})
    assert [gpu.problem for gpu in inventory] == [
        "",
        "",
        "is in MIG mode, which is not supported",
        "does not answer the driver",
    ]
    assert held_gpus(inventory) == 2


def test_when_a_runtime_can_not_tell_who_holds_devices_none_is_given_out() -> None:
    inventory = make_inventory([0], None, [], {}, unseen="the Docker Engine does not answer")
    assert gpu_shortage(inventory, GREEN) == (
        "1 GPU needed, 0 of 1 free: GPU 0 may be held by somebody: the Docker Engine does not answer"
    )
