"""The pure parts of the Docker runtime: what the engine is told, and what is made of its answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bluegreen.domain.container import ContainerSettings
from bluegreen.domain.errors import RuntimeFailure
from bluegreen.domain.model import Endpoint, Resources, WorkloadState
from bluegreen.runtimes.docker import output
from bluegreen.runtimes.docker.container import (
    container_body,
    container_labels,
    container_port,
    is_replica,
    nvidia_requests,
    record_in_labels,
)
from bluegreen.runtimes.docker.inside import reachable_ports
from bluegreen.runtimes.docker.observation import (
    endpoint_of,
    how_it_ended,
    nanoseconds,
    observe,
    why_it_cannot_run,
)
from bluegreen.runtimes.docker.records import Records, ReplicaRecord, WorkloadRecord
from bluegreen.runtimes.docker.use import numbers_of
from tests.support_runtime import make_request

OWNER = "/var/lib/bluegreen/docker"
RUNNING = {"Status": "running", "Running": True, "Pid": 77, "ExitCode": 0, "Error": "", "OOMKilled": False}
NOT_FOUND = (
    "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: "
    'exec: "no-such": executable file not found in $PATH: unknown'
)


def record(command: tuple[str, ...] = ("serve", "{port}"), **more: Any) -> WorkloadRecord:
    request = make_request(command, **more)
    return WorkloadRecord(request, 1.5, 8000, "sha256:abc", (ReplicaRecord(20001, gpus=(2, 3)),))


def body(of: WorkloadRecord, network: str = "") -> Mapping[str, Any]:
    return container_body(OWNER, of, 0, base_directory="/srv", network=network, gpu_requests=nvidia_requests)


def container(state: Mapping[str, Any], **more: Any) -> Mapping[str, Any]:
    host = {"PortBindings": {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "20001"}]}, "Memory": 0}
    return {"Id": "c1", "State": {**RUNNING, **state}, "HostConfig": {**host, **more}}


def test_a_replica_is_published_on_loopback_and_restarted_by_nobody_else() -> None:
    host = body(record())["HostConfig"]
    assert host["PortBindings"] == {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "20001"}]}
    assert host["RestartPolicy"] == {"Name": "no"}
    assert "NetworkMode" not in host
    assert body(record(), network="apps")["HostConfig"]["NetworkMode"] == "apps"


def test_resources_become_limits_and_gpus_device_requests() -> None:
    host = body(record(resources=Resources(gpus=2, cpus=1.5, memory_mb=64)))["HostConfig"]
    assert (host["NanoCpus"], host["Memory"], host["MemorySwap"]) == (1_500_000_000, 64 * 2**20, 64 * 2**20)
    assert host["DeviceRequests"] == [{"Driver": "nvidia", "DeviceIDs": ["2", "3"], "Capabilities": [["gpu"]]}]
    assert "Memory" not in body(record())["HostConfig"]


def test_the_command_replaces_the_images_and_placeholders_are_filled_in() -> None:
    made = body(record(env={"MODEL": "{repository}-{tag}", "PORT": "{port}"}, workdir="/models/{tag}"))
    assert (made["Entrypoint"], made["Cmd"], made["WorkingDir"]) == (["serve"], ["8000"], "/models/v1.0")
    assert {"MODEL=registry/inference-model-v1.0", "PORT=8000", "BLUEGREEN_REPLICA=0"} <= set(made["Env"])
    with pytest.raises(RuntimeFailure, match="unknown placeholder"):
        body(record(("serve", "{prot}")))


@pytest.mark.parametrize("workdir", [".", "/srv"])
def test_what_is_not_asked_for_is_the_images(workdir: str) -> None:
    made = body(record((), workdir=workdir))
    assert not {"Entrypoint", "Cmd", "WorkingDir"} & set(made)


@pytest.mark.parametrize(
    ("exposed", "port"),
    [
        (None, 8080),
        ({"9000/tcp": {}}, 9000),
        ({"9000/tcp": {}, "53/udp": {}}, 9000),
        ({"1/tcp": {}, "2/tcp": {}}, 8080),
    ],
)
def test_the_port_inside_is_the_only_one_exposed_or_8080(exposed: object, port: int) -> None:
    assert container_port({"Config": {"ExposedPorts": exposed}}, ContainerSettings()) == port
    assert container_port({"Config": {"ExposedPorts": exposed}}, ContainerSettings(port=7000)) == 7000


def test_a_record_outlives_its_file_in_the_labels_without_its_secrets() -> None:
    whole = record(env={"API_KEY": "hush"})
    labels = container_labels(OWNER, whole, 0)
    assert "hush" not in str(labels)
    made = {"Config": {"Labels": labels, "Env": ["API_KEY=hush", "PORT=8000", "BLUEGREEN_REPLICA=0"]}}
    assert record_in_labels([made, {"Config": {"Labels": {}, "Env": None}}]) == whole
    assert is_replica(made, OWNER, whole.workload.id, 0)
    assert not is_replica(made, "/elsewhere", whole.workload.id, 0)
    assert not is_replica(made, OWNER, whole.workload.id, 1)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    records = Records(tmp_path)
    whole = replace(record(env={"A": "b"}), stopping=True)
    records.save(whole)
    assert records.load(whole.workload.id) == whole
    assert (tmp_path / "workloads" / whole.workload.id / "record.json").stat().st_mode & 0o077 == 0
    assert records.load("../../etc") is None


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({}, (WorkloadState.RUNNING, 77, None, "")),
        ({"Status": "created", "Running": False}, (WorkloadState.SCHEDULED, None, None, "")),
        ({"Status": "exited", "Running": False, "ExitCode": 3}, (WorkloadState.PENDING, None, 3, "")),
        (
            {"Status": "created", "Running": False, "Error": NOT_FOUND, "ExitCode": 127},
            (WorkloadState.FAILED, None, None, "command not found: 'no-such'"),
        ),
        (
            {"Status": "created", "Running": False, "Error": "Bind for 127.0.0.1:1 failed: port is already allocated"},
            (WorkloadState.SCHEDULED, None, None, ""),
        ),
    ],
    ids=["running", "made", "ended", "no such command", "port taken"],
)
def test_what_the_engine_says_of_a_container_is_its_state(state: Mapping[str, Any], expected: object) -> None:
    status = observe(
        record(), {0: container(state)}, lambda each, _, port: (each["State"]["Pid"], port) == (77, 8000), kept=True
    )
    (replica,) = status.replicas
    assert (replica.state, replica.pid, replica.exit_code, replica.error) == expected
    assert replica.listening is (replica.state is WorkloadState.RUNNING)
    assert replica.endpoint == Endpoint("127.0.0.1", 20001)


def test_what_nobody_starts_again_is_failed_and_can_be_healed() -> None:
    for containers in ({}, {0: container({"Status": "exited", "Running": False})}):
        (replica,) = observe(record(), containers, lambda *_: False, kept=False).replicas
        assert (replica.state, replica.error) == (WorkloadState.FAILED, "")


def test_a_container_that_ran_once_may_run_again_whatever_its_error() -> None:
    assert why_it_cannot_run(container({"Status": "exited", "Running": False, "Error": NOT_FOUND})) == ""


def test_how_it_ended_names_the_memory_limit() -> None:
    killed = {"OOMKilled": True, "ExitCode": 137}
    assert how_it_ended(container({"ExitCode": 1})) == "ended with exit code 1"
    assert how_it_ended(container(killed, Memory=64 * 2**20)) == (
        "was killed by the kernel (exit code 137): its memory of 64 MiB was used up"
    )
    assert "its memory was used up" in how_it_ended(container(killed))


def test_moments_keep_their_nanoseconds() -> None:
    assert nanoseconds("1970-01-01T00:00:01.5Z") == 1_500_000_000
    assert nanoseconds("2026-11-26T07:48:53.607437539Z") % 10**9 == 607437539
    assert nanoseconds("0001-01-01T00:00:00Z") == 0
    assert nanoseconds("never") == 0


def test_only_listeners_that_the_engine_can_reach_count() -> None:
    table = """  sl  local_address rem_address   st
   0: 00000000:1F90 00000000:0000 0A
   1: 0100007F:1F91 00000000:0000 0A
   2: 020011AC:1F92 00000000:0000 0A
   3: 020011AC:1F93 010011AC:A000 01
   4: 00000000:1F94 00000000:0000 0A
"""
    table6 = """  sl  local_address                         remote_address                        st
   0: 00000000000000000000000000000000:1F95 00000000000000000000000000000000:0000 0A
   1: 00000000000000000000000001000000:1F96 00000000000000000000000000000000:0000 0A
   2: 0000000000000000FFFF00000100007F:1F97 00000000000000000000000000000000:0000 0A
"""
    assert reachable_ports(table.splitlines()) == {0x1F90, 0x1F92}, "the kernel prints listeners first"
    assert reachable_ports(table6.splitlines()) == {0x1F95}


def test_output_begins_after_what_was_copied() -> None:
    assert output.since(0) == "0.000000000"
    assert output.since(1_999_999_999) == "2.000000000"
    text = "1970-01-01T00:00:02.000000001Z one\n1970-01-01T00:00:02.000000002Z two words\n"
    assert output.without_times(text, 7) == (["one", "two words"], 2_000_000_002)
    assert output.without_times("", 7) == ([], 7)


def test_last_lines_join_files_and_what_the_engine_has(tmp_path: Path) -> None:
    (tmp_path / "replica-0.log").write_text("a\nb\n")
    live = {0: ["c"], 1: ["x", "y"]}
    assert output.last_lines_of_all(tmp_path, live, 100) == [
        "replica-0 | a",
        "replica-0 | b",
        "replica-0 | c",
        "replica-1 | x",
        "replica-1 | y",
    ]
    assert output.last_lines_of_all(tmp_path, live, 2) == ["replica-0 | c", "replica-1 | y"]
    assert output.last_lines_of_all(None, {}, 5) == []
    assert output.last_lines_of_all(tmp_path, live, 0) == []


def test_the_engines_numbers_are_read_without_the_cache_that_would_go_first() -> None:
    cpu = {"cpu_usage": {"total_usage": 2_500_000_000}}
    for stats, memory in (
        ({"inactive_file": 30}, 70),
        ({"total_inactive_file": 40, "inactive_file": 1}, 60),
        ({"inactive_file": 200}, 100),
        (None, 100),
    ):
        assert numbers_of({"cpu_stats": cpu, "memory_stats": {"usage": 100, "stats": stats}}) == (2.5, memory)


@pytest.mark.parametrize("answer", [None, {}, {"cpu_stats": {"cpu_usage": {"total_usage": 0}}, "memory_stats": {}}])
def test_numbers_that_are_missing_are_none(answer: Mapping[str, Any] | None) -> None:
    assert numbers_of(answer) is None


def test_where_a_container_is_published_is_where_it_is_reached() -> None:
    elsewhere = {"8000/tcp": [{"HostIp": "10.0.0.5", "HostPort": "20007"}]}
    assert endpoint_of(record(), container({}, PortBindings=elsewhere)) == Endpoint("10.0.0.5", 20007)
    own = {"NetworkSettings": {"Networks": {"apps": {"IPAddress": "172.18.0.2"}}}}
    assert endpoint_of(record(), {**container({}, PortBindings=None), **own}) == Endpoint("172.18.0.2", 8000)
    gone = {"NetworkSettings": {"Networks": {"apps": {"IPAddress": ""}}}}
    assert endpoint_of(record(), {**container({}, PortBindings={}), **gone}) is None
    (replica,) = observe(record(), {}, lambda *_: False, kept=True, address="10.0.0.5").replicas
    assert replica.endpoint == Endpoint("10.0.0.5", 20001)
