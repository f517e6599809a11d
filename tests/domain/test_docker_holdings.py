"""What containers hold of the machine, as the engine describes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from bluegreen.domain.gpu_inventory import ALL
from bluegreen.domain.gpus import GpuHolder
from bluegreen.domain.model import Reservation, Resources
from bluegreen.runtimes.docker.container import nvidia_requests
from bluegreen.runtimes.docker.holdings import holding_of, holding_of_stranger, strangers_of
from bluegreen.runtimes.docker.records import ReplicaRecord, WorkloadRecord
from tests.support_runtime import make_request


def container(
    host: Mapping[str, Any], *, env: list[str] | None = None, labels: Mapping[str, str] | None = None
) -> dict[str, Any]:
    return {
        "Id": "c1",
        "Name": "/trainer",
        "State": {"Running": True, "Pid": 77},
        "HostConfig": host,
        "Config": {"Env": env, "Labels": labels},
    }


GPU = [["gpu"]]


@pytest.mark.parametrize(
    ("host", "env", "devices"),
    [
        ({}, [], ()),
        ({"DeviceRequests": None}, None, ()),
        ({"DeviceRequests": nvidia_requests([1, 3])}, [], ("1", "3")),
        ({"DeviceRequests": [{"Driver": "", "Count": -1, "Capabilities": GPU}]}, [], (ALL,)),
        ({"DeviceRequests": [{"Driver": "", "Count": 2, "Capabilities": GPU}]}, [], ("0", "1")),
        (
            {"DeviceRequests": [{"Driver": "nvidia", "Count": 0, "DeviceIDs": ["GPU-ab"], "Capabilities": GPU}]},
            [],
            ("GPU-ab",),
        ),
        ({"DeviceRequests": [{"Driver": "tpu", "Count": -1, "Capabilities": [["tpu"]]}]}, [], ()),
        ({"DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=2", "amd.com/gpu=0"]}]}, [], ("2",)),
        ({"DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=all"]}]}, [], (ALL,)),
        ({"Runtime": "nvidia"}, ["NVIDIA_VISIBLE_DEVICES=all"], (ALL,)),
        ({"Runtime": "nvidia"}, ["NVIDIA_VISIBLE_DEVICES=0,GPU-ab"], ("0", "GPU-ab")),
        ({"Runtime": "nvidia"}, ["NVIDIA_VISIBLE_DEVICES=none"], ()),
        # Images of CUDA set it; without NVIDIA's runtime it means nothing.
        ({"Runtime": "runc"}, ["NVIDIA_VISIBLE_DEVICES=all"], ()),
    ],
)
def test_the_gpus_that_a_container_asked_for(
    host: dict[str, Any], env: list[str] | None, devices: tuple[str, ...]
) -> None:
    holding = holding_of_stranger(container(host, env=env))
    assert holding.devices == devices
    assert holding.holder == GpuHolder("container `trainer` (not bluegreen's)")
    assert (holding.roots, holding.containers) == (frozenset({77}), frozenset({"c1"}))


def test_a_container_of_another_installation_is_called_that() -> None:
    theirs = holding_of_stranger(container({}, labels={"managed-by": "bluegreen", "bluegreen.owner": "/elsewhere"}))
    assert theirs.holder.name == "container `trainer` (another bluegreen's)"


@pytest.mark.parametrize(
    ("host", "reserved"),
    [
        ({"NanoCpus": 1_500_000_000, "Memory": 64 * 2**20}, Resources(cpus=1.5, memory_mb=64)),
        ({"NanoCpus": 0, "CpuQuota": 50_000, "CpuPeriod": 0, "Memory": 0}, Resources(cpus=0.5)),
        ({"CpuQuota": 40_000, "CpuPeriod": 20_000}, Resources(cpus=2.0)),
        ({"CpuQuota": -1, "Memory": -1}, None),
        ({"NanoCpus": 0, "CpuQuota": 0, "Memory": 0}, None),
    ],
)
def test_the_limits_of_a_container_are_what_it_reserves(host: dict[str, Any], reserved: Resources | None) -> None:
    expected = () if reserved is None else (Reservation("container `trainer`", reserved),)
    assert strangers_of([container(host)]) == expected


def test_a_workload_holds_its_devices_before_any_container_of_it_is_made() -> None:
    replicas = (ReplicaRecord(20001, gpus=(2, 3)), ReplicaRecord(20002, gpus=(0, 1)))
    record = WorkloadRecord(make_request((), replicas=2, workload_id="model-1"), 1.5, 8000, "sha256:abc", replicas)
    before = holding_of(record, {})
    assert before.holder == GpuHolder("model-1", "inference-model")
    assert (before.devices, before.roots) == (("2", "3", "0", "1"), frozenset())
    running, made = container({}), container({})
    made |= {"Id": "c2", "State": {"Pid": 0}}
    after = holding_of(record, {0: running, 1: made})
    assert (after.roots, after.containers) == (frozenset({77}), frozenset({"c1", "c2"}))
    assert WorkloadRecord.from_json(record.to_json()) == record


def test_records_from_before_there_was_sharing_are_read() -> None:
    record = WorkloadRecord(make_request(()), 1.5, 8000, "sha256:abc", ())
    data = record.to_json()
    for key in ("gpu_memory_mb", "gpu_sharing"):
        del data["request"][key]
    assert WorkloadRecord.from_json(data) == record
