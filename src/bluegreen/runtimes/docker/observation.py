"""What is to be seen of a workload: its record, and what the engine says of its containers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from bluegreen.domain.model import Endpoint, ReplicaStatus, WorkloadState, WorkloadStatus
from bluegreen.runtimes.docker.container import HOST, REPLICA
from bluegreen.runtimes.docker.listening import Listens
from bluegreen.runtimes.docker.records import WorkloadRecord
from bluegreen.runtimes.process.observation import combined_state

Containers = Mapping[int, Mapping[str, Any]]
"""Those of one workload, by replica."""

_NO_SUCH_PROGRAM = re.compile(r'exec: "(?P<program>[^"]*)": (executable file not found|stat .*: no such file)')
_NO_GPUS = "could not select device driver"
_PORT_TAKEN = ("port is already allocated", "address already in use")


def by_replica(containers: Iterable[Mapping[str, Any]]) -> Containers:
    return {int(container["Config"]["Labels"][REPLICA]): container for container in containers}


def observe(
    record: WorkloadRecord, containers: Containers, listens: Listens, *, kept: bool, address: str = HOST
) -> WorkloadStatus:
    """`listens` says whether a container listens on a port; `kept` whether somebody starts replicas again that end.
    `address` is where those that are to be made will be reached."""
    replicas = tuple(
        _observe_replica(record, index, containers.get(index), listens, kept, address)
        for index in range(record.workload.replicas)
    )
    return WorkloadStatus(
        workload=record.workload,
        state=combined_state([replica.state for replica in replicas]),
        replicas=replicas,
        created_at=record.created_at,
    )


def _observe_replica(
    record: WorkloadRecord,
    index: int,
    container: Mapping[str, Any] | None,
    listens: Listens,
    kept: bool,
    address: str,
) -> ReplicaStatus:
    """One that ended is started again by the keeper; without one it is failed without an `error`: it can be healed."""
    replica = record.replicas[index]
    if container is None:
        known = Endpoint(address, replica.port) if record.request.container.publish else None
        state = WorkloadState.SCHEDULED if kept else WorkloadState.FAILED
        return ReplicaStatus(
            index, state, known, restarts=replica.restarts, exit_code=replica.exit_code, ended=replica.ended
        )
    seen, endpoint = container["State"], endpoint_of(record, container)
    if error := why_it_cannot_run(container):
        return ReplicaStatus(index, WorkloadState.FAILED, endpoint, restarts=replica.restarts, error=error)
    if not seen["Running"]:
        fresh = seen["Status"] == "created"
        waiting = WorkloadState.SCHEDULED if fresh else WorkloadState.PENDING
        return ReplicaStatus(
            index,
            waiting if kept else WorkloadState.FAILED,
            endpoint,
            restarts=replica.restarts,
            exit_code=replica.exit_code if fresh else seen["ExitCode"],
            ended=replica.ended if fresh else killed_for_memory(container),
        )
    return ReplicaStatus(
        index,
        WorkloadState.RUNNING,
        endpoint,
        pid=seen["Pid"],
        listening=endpoint is not None and listens(container, endpoint, record.container_port),
        health=(seen.get("Health") or {}).get("Status", "").replace("none", ""),
        restarts=replica.restarts,
        exit_code=replica.exit_code,
        ended=replica.ended,
    )


def endpoint_of(record: WorkloadRecord, container: Mapping[str, Any]) -> Endpoint | None:
    """Where it is reached: on the port that it was made with, else by its own address, which it has while it runs."""
    for given in (container["HostConfig"]["PortBindings"] or {}).values():
        for binding in given or ():
            return Endpoint(binding["HostIp"] or HOST, int(binding["HostPort"]))
    networks = (container["NetworkSettings"]["Networks"] or {}).values()
    address = next((str(network["IPAddress"]) for network in networks if network["IPAddress"]), "")
    return Endpoint(address, record.container_port) if address else None


def why_it_cannot_run(container: Mapping[str, Any]) -> str:
    """A sentence when the container never ran and never will; "" when it runs, ran, or may still."""
    state = container["State"]
    if state["Status"] != "created" or not state["Error"] or port_is_taken(state["Error"]):
        return ""
    if match := _NO_SUCH_PROGRAM.search(state["Error"]):
        return f"command not found: {match['program']!r}"
    if "cannot assign requested address" in state["Error"]:
        return "its port can't be published: [runtime] address is no address of the engine's machine"
    if _NO_GPUS in state["Error"]:
        return f"the Docker Engine hands out no GPUs; install NVIDIA's container toolkit ({state['Error']})"
    return str(state["Error"])


def port_is_taken(error: str) -> bool:
    return any(phrase in error for phrase in _PORT_TAKEN)


def how_it_ended(container: Mapping[str, Any]) -> str:
    """`ended with exit code 1`, and who killed it when that is known."""
    return killed_for_memory(container) or f"ended with exit code {container['State']['ExitCode']}"


def killed_for_memory(container: Mapping[str, Any]) -> str:
    """A part of a sentence; "" when it was not."""
    state = container["State"]
    if not state["OOMKilled"]:
        return ""
    limit = container["HostConfig"]["Memory"] // 2**20
    of_limit = f" of {limit} MiB" if limit else ""
    return f"was killed by the kernel (exit code {state['ExitCode']}): its memory{of_limit} was used up"


def run_seconds(container: Mapping[str, Any]) -> float:
    """How long its last run lasted; 0 when that can't be told."""
    state = container["State"]
    return max(0.0, (nanoseconds(state["FinishedAt"]) - nanoseconds(state["StartedAt"])) / 1e9)


def nanoseconds(moment: str) -> int:
    """`2026-11-26T07:48:53.607437539Z` since the epoch; times before it are 0."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", moment)
    if match is None:
        return 0
    seconds = datetime.fromisoformat(match[1] + match[3].replace("Z", "+00:00")).timestamp()
    return max(0, int(seconds)) * 10**9 + (int((match[2] or "0").ljust(9, "0")) if seconds > 0 else 0)
