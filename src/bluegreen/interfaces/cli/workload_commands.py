"""`bluegreen workload …`: the walk by hand, with the same tools that agents have."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from bluegreen.control import tool_requests as t
from bluegreen.control import tool_views as tv
from bluegreen.interfaces.cli import options as o
from bluegreen.interfaces.cli.client import DaemonClient
from bluegreen.interfaces.cli.decoding import decode
from bluegreen.interfaces.cli.output import console, note, plural, print_json, printable
from bluegreen.interfaces.cli.pairs import pairs

WorkloadId = Annotated[str, Parameter(help="Id of the workload, as `bluegreen workload list` shows it.")]
Labels = Annotated[
    tuple[str, ...], Parameter(name="--label", help="A label as KEY=VALUE; may be given several times.", negative=())
]


def _lines(*rows: tuple[str, object]) -> str:
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {printable(str(value))}" for name, value in rows if value not in ("", None, ()))


def _size(spec: tv.WorkloadSpecView) -> str:
    """`2 replicas, each 4 GPUs`; what is not reserved is left out."""
    parts = [plural(spec.gpus, "GPU")] if spec.gpus else []
    parts += [f"{spec.cpuCores:g} CPU cores"] if spec.cpuCores else []
    parts += [f"{spec.memoryMb} MiB"] if spec.memoryMb else []
    return plural(spec.replicas, "replica") + (f", each {', '.join(parts)}" if parts else "")


def _asked(operation: str, request: object, config: o.Config, *, timeout_seconds: float = 60.0) -> dict[str, Any]:
    return DaemonClient(config).call_raw(operation, request, timeout_seconds=timeout_seconds)


def submit(
    name: Annotated[str, Parameter(help="Such as inference-model-green, or inference-model-service for the switch.")],
    /,
    *,
    label: Labels = (),
    image: Annotated[str, Parameter(name="--image", help="What to run, as repository:tag.")] = "",
    replicas: Annotated[int | None, Parameter(name="--replicas", help="Copies; as the running version.")] = None,
    gpus: Annotated[int | None, Parameter(name="--gpus", help="GPUs of a replica; as the running version.")] = None,
    cpu_cores: Annotated[float | None, Parameter(name="--cpu-cores", help="CPU cores of a replica.")] = None,
    memory_mb: Annotated[int | None, Parameter(name="--memory-mb", help="Memory of a replica in MiB.")] = None,
    gpu_memory_mb: Annotated[
        int | None, Parameter(name="--gpu-memory-mb", help="MiB that must be free on each GPU.")
    ] = None,
    priority: Annotated[
        int | None, Parameter(name="--priority", help="0 to 100; changes nothing for versions of services.")
    ] = None,
    preemptible: Annotated[
        bool, Parameter(name="--preemptible", help="Refused: a version is never stopped to make room.", negative=())
    ] = False,
    max_runtime_seconds: Annotated[
        float | None, Parameter(name="--max-runtime-seconds", help="How long it may wait for its traffic.")
    ] = None,
    command: Annotated[
        tuple[str, ...], Parameter(name="--command", help="Another program, one word for each use.", negative=())
    ] = (),
    args: Annotated[
        tuple[str, ...],
        Parameter(
            name="--arg", help="One more argument; may be given several times.", negative=(), allow_leading_hyphen=True
        ),
    ] = (),
    env: Annotated[
        tuple[str, ...],
        Parameter(
            name="--env", help="NAME=VALUE, or NAME to take it from this shell; values are never shown.", negative=()
        ),
    ] = (),
    as_json: o.Json = False,
    config: o.Config = o.CONFIG_DEFAULT,
) -> int:
    """Start a version in a slot (labels app, deployment), or switch the traffic (label activeDeployment)."""
    request = t.WorkloadSubmitRequest(
        name=name,
        image=image,
        replicas=replicas,
        gpus=gpus,
        cpuCores=cpu_cores,
        memoryMb=memory_mb,
        gpuMemoryMb=gpu_memory_mb,
        priority=priority,
        preemptible=preemptible,
        maxRuntimeSeconds=max_runtime_seconds,
        command=command or None,
        args=args or None,
        env=pairs("--env", env, from_environment=True) or None,
        labels=pairs("--label", label),
    )
    raw = _asked("workload_submit", request, config)
    if as_json:
        print_json(raw)
        return 0
    _print_submitted(decode(tv.SubmittedView, raw))
    return 0


def _print_submitted(view: tv.SubmittedView) -> None:
    if view.route is not None:
        took = f" in {view.route.switchMilliseconds:.1f} ms" if view.route.switchMilliseconds is not None else ""
        print(f"{view.id}: all traffic goes to {view.route.activeDeployment} ({view.route.activeWorkloadId}){took}")
    else:
        print(f"{view.id} is {view.state} (deployment {view.deployment})")
    note(f"next: {view.next}")


def get(workload_id: WorkloadId, /, *, as_json: o.Json = False, config: o.Config = o.CONFIG_DEFAULT) -> int:
    """Show one workload: state, replicas and their health, times, exit code and error."""
    raw = _asked("workload_get", t.WorkloadRequest(workload_id), config)
    if as_json:
        print_json(raw)
        return 0
    view = decode(tv.WorkloadView, raw)
    print(
        _lines(
            ("id", view.id),
            ("state", view.state + (", has the traffic" if view.active else "")),
            ("image", view.spec.image),
            ("digest", view.spec.digest),
            ("size", _size(view.spec)),
            ("labels", ", ".join(f"{key}={value}" for key, value in view.spec.labels.items())),
            ("deployment", view.deployment),
            ("reason", view.reason),
            ("created", view.timing.created),
            ("started", view.timing.started),
            ("finished", view.timing.finished),
            ("exit code", view.exitCode),
            ("error", view.error),
        )
    )
    for replica in view.replicas:
        health = {True: "healthy", False: "unhealthy", None: "health unknown"}[replica.healthy]
        error = f", {replica.error}" if replica.error else ""
        where = f"replica {replica.index}: {replica.state} on {replica.endpoint or '-'}"
        print(printable(f"{where}, {health}, {plural(replica.restarts, 'restart')}{error}"))
    return 0


def list_(
    *,
    label: Labels = (),
    state: Annotated[t.State | None, Parameter(name="--state", help="Only those in this state.")] = None,
    node: Annotated[str, Parameter(name="--node", help="Only those on this machine.")] = "",
    limit: Annotated[int, Parameter(name="--limit", help="At most so many.", show_default=True)] = 50,
    as_json: o.Json = False,
    config: o.Config = o.CONFIG_DEFAULT,
) -> int:
    """List the workloads that are there; with a state such as failed, those of past deployments too."""
    request = t.WorkloadListRequest(state=state, nodeId=node, labels=pairs("--label", label), limit=limit)
    raw = _asked("workload_list", request, config)
    if as_json:
        print_json(raw)
        return 0
    from rich.text import Text

    from bluegreen.interfaces.cli.tables import table

    view = decode(tv.WorkloadListView, raw)
    if not view.items:
        print("no workload matches")
        return 0
    made = table("WORKLOAD", "IMAGE", "STATE", "TRAFFIC", "REPLICAS", "GPUS", right=("REPLICAS", "GPUS"))
    for item in view.items:
        traffic = "all" if item.active else ("orphan" if item.orphan else "-")
        cells = (item.id, item.image, item.state, traffic, str(item.replicas), str(item.gpus))
        made.add_row(*(Text(printable(cell)) for cell in cells))
    console().print(made)
    if view.count < view.total:
        note(f"{view.total - view.count} more: raise --limit")
    return 0


def stop(
    workload_id: WorkloadId,
    /,
    *,
    grace_period_seconds: Annotated[
        float, Parameter(name="--grace-period-seconds", help="How long requests under way may take.", show_default=True)
    ] = 30.0,
    force: Annotated[bool, Parameter(name="--force", help="Even the side that has the traffic: an outage.")] = False,
    as_json: o.Json = False,
    config: o.Config = o.CONFIG_DEFAULT,
) -> int:
    """Stop a workload after its requests have ended. Refused for the side that has the traffic."""
    request = t.WorkloadStopRequest(workload_id, grace_period_seconds, force)
    raw = _asked("workload_stop", request, config, timeout_seconds=grace_period_seconds + 60)
    if as_json:
        print_json(raw)
        return 0
    view = decode(tv.StoppedView, raw)
    print(f"{view.id} is {view.state}: {printable(view.message)}")
    return 0


def scale(
    workload_id: WorkloadId,
    replicas: Annotated[int, Parameter(help="How many replicas it shall have.")],
    /,
    *,
    as_json: o.Json = False,
    config: o.Config = o.CONFIG_DEFAULT,
) -> int:
    """Give the version that has the traffic another number of replicas, by a deployment of the same version."""
    raw = _asked("workload_scale", t.WorkloadScaleRequest(workload_id, replicas), config)
    if as_json:
        print_json(raw)
        return 0
    _print_submitted(decode(tv.SubmittedView, raw))
    return 0


def logs(
    workload_id: WorkloadId,
    /,
    *,
    lines: Annotated[
        int, Parameter(name="--lines", alias="-n", help="How many of the last lines.", show_default=True)
    ] = 100,
    as_json: o.Json = False,
    config: o.Config = o.CONFIG_DEFAULT,
) -> int:
    """Show the last log lines of a workload, also after it stopped."""
    raw = _asked("workload_logs", t.WorkloadLogsRequest(workload_id, lines), config)
    if as_json:
        print_json(raw)
        return 0
    for line in decode(tv.WorkloadLogsView, raw).lines:
        print(printable(line))
    return 0
