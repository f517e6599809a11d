"""The shape of `bluegreen.toml`. Keys, types, ranges; contradictions.py has what spans keys.

Defaults are those of the domain. Strict: `true` is no number, `"3"` is no number, a whole number is a number.
"""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from bluegreen.domain.service import HealthCheck, ServiceSpec, SmokeTest
from bluegreen.spec import values
from bluegreen.spec.access_model import ApiTable, FleetPolicyTable
from bluegreen.spec.alert_model import AlertsTable
from bluegreen.spec.analysis_model import AnalysisTable, MetricsTable
from bluegreen.spec.container_model import ContainerTable
from bluegreen.spec.policy_model import DAY_SECONDS, HOUR_SECONDS, CanaryTable, PolicyTable
from bluegreen.spec.table import Table

_HEALTH = HealthCheck()
_SMOKE = SmokeTest(name="")
_SERVICE = ServiceSpec(name="", hosts=(), command=())


class DaemonTable(Table):
    """The process that runs the deployments."""

    state_dir: values.NonemptyText = Field(
        default=".bluegreen",
        description="Where the event log, the routes and the logs are kept; relative to the file.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least severe lines that go to the daemon's log."
    )


class RouterTable(Table):
    """The router that users' requests go through."""

    kind: Literal["haproxy"] = Field(default="haproxy", description="Which router to run.")
    listen: values.Listen = Field(
        default="127.0.0.1:8080", description="Address and port where users' requests arrive."
    )
    haproxy: values.NonemptyText | None = Field(
        default=None,
        description="The haproxy binary: a path, or a name on PATH. Not set: the packaged one, then PATH.",
    )
    certificate: values.NonemptyText | None = Field(
        default=None,
        description="PEM file with certificate chain and key. The router speaks TLS when it is set.",
    )
    threads: int | None = Field(default=None, ge=1, le=256, description="Threads of the router. Not set: it decides.")


class RuntimeTable(Table):
    """What runs the versions of services."""

    kind: Literal["process", "docker"] = Field(
        default="process",
        description="Processes of this machine, or containers of a Docker Engine; a service may say otherwise.",
    )
    host: values.Engine | None = Field(
        default=None,
        description="The Docker Engine: unix:///PATH, tcp://HOST:PORT, ssh://USER@HOST. Not set: unix:///run/docker.sock.",
    )
    network: values.Network | None = Field(
        default=None, description="Network of the containers. Not set: the engine's default."
    )
    address: values.PublishedAddress | None = Field(
        default=None,
        description="IPv4 address of the engine's machine for published ports. Not set: 127.0.0.1, or the host's.",
    )
    tls_ca: values.NonemptyText | None = Field(
        default=None, description="PEM file with the authority that signed the engine's certificate. For tcp://."
    )
    tls_certificate: values.NonemptyText | None = Field(
        default=None, description="PEM file with our certificate, which the engine asks for. For tcp://."
    )
    tls_key: values.NonemptyText | None = Field(
        default=None, description="PEM file with its key, which nobody else may read. For tcp://."
    )


class CapacityTable(Table):
    """What workloads may use of this machine. What is not set is detected."""

    gpus: int | None = Field(
        default=None, ge=0, le=1024, description="GPUs that workloads may have. Not set: detected."
    )
    cpus: float | None = Field(
        default=None, gt=0, le=4096, description="CPU cores that workloads may have. Not set: detected."
    )
    memory_mb: int | None = Field(
        default=None, ge=1, le=2**26, description="Memory in MiB that workloads may have. Not set: detected."
    )


class HealthTable(Table):
    """GET on each replica directly. A service without this table cannot be deployed."""

    path: values.UrlPath = Field(default=_HEALTH.path, description="Path of the health check.")
    interval_seconds: float = Field(
        default=_HEALTH.interval_seconds,
        ge=0.01,
        le=HOUR_SECONDS,
        description="Time between two checks of a replica.",
    )
    timeout_seconds: float = Field(
        default=_HEALTH.timeout_seconds,
        ge=0.01,
        le=HOUR_SECONDS,
        description="How long an answer may take, all of it.",
    )
    rise: int = Field(
        default=_HEALTH.rise, ge=1, le=1000, description="Good checks in a row that make a replica healthy."
    )
    fall: int = Field(
        default=_HEALTH.fall, ge=1, le=1000, description="Bad checks in a row that make a replica unhealthy."
    )
    deadline_seconds: float = Field(
        default=_HEALTH.deadline_seconds,
        ge=0.01,
        le=DAY_SECONDS,
        description="How long a new version may take from its start until it is healthy.",
    )
    expect_status: int = Field(
        default=_HEALTH.expect_status, ge=200, le=599, description="The HTTP status of a good answer."
    )


class SmokeTable(Table):
    """One test of green before it gets traffic: a request, or a command."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": ["request"]}, {"required": ["command"]}],
            "not": {"required": ["json", "body"]},
        }
    )

    name: values.NonemptyText | None = Field(
        default=None,
        max_length=80,
        description="What the test is called in reports. Not set: smoke-1, smoke-2 and so on.",
    )
    request: values.Request | None = Field(
        default=None, description='Method and path of the request to green, such as "POST /predict".'
    )
    json_body: values.JsonValue = Field(default=None, alias="json", description="Value to send as the JSON body.")
    body: values.Text | None = Field(default=None, description="Text to send as the body.")
    headers: values.Headers = Field(default={}, description="Headers of the request.")
    expect_status: int = Field(
        default=_SMOKE.expect_status, ge=200, le=599, description="The HTTP status the answer must have."
    )
    expect_json: dict[values.Expression, values.JsonValue] = Field(
        default={}, description="JMESPath expressions and the values they must have in the JSON answer."
    )
    command: values.SmokeCommand | None = Field(
        default=None,
        description="Program and arguments; 0 is success. It gets GREEN_URL, SERVICE and VERSION.",
    )
    max_seconds: float = Field(
        default=_SMOKE.max_seconds,
        ge=0.01,
        le=HOUR_SECONDS,
        description="How long the test may take; then it has failed.",
    )


class ServiceTable(Table):
    """A service: where its requests come from, what runs, and how it is deployed."""

    hosts: list[values.Host] = Field(
        min_length=1,
        max_length=64,
        description='Host header patterns; "*" takes what no other service claims.',
    )
    command: values.Command | None = Field(
        default=None,
        description="Program and arguments of a replica, with placeholders such as {port}; no shell. Containers may "
        "do without.",
    )
    runtime: Literal["process", "docker"] | None = Field(
        default=None, description="What runs this service. Not set: as [runtime] kind says."
    )
    image: values.Image = Field(
        default=_SERVICE.image, description="The version that `bluegreen deploy` without `--image` deploys."
    )
    workdir: values.TemplatedText = Field(
        default=_SERVICE.workdir,
        description="Directory the command runs in, with placeholders; relative to the file.",
    )
    env: values.Environment = Field(
        default={}, description="Environment of the command, values with placeholders. PORT is always set."
    )
    labels: values.Labels = Field(default={}, description="Labels of the service's workloads.")
    environment: values.NonemptyText = Field(default=_SERVICE.environment, description="Value of the label `env`.")
    replicas: int = Field(default=_SERVICE.replicas, ge=1, le=64, description="Copies that run at the same time.")
    gpus: int = Field(default=_SERVICE.resources.gpus, ge=0, le=1024, description="GPUs of one replica.")
    gpu_memory_mb: int = Field(
        default=_SERVICE.gpu_memory_mb,
        ge=0,
        le=2**26,
        description="MiB that must be free on each GPU of a replica when it starts; 0 asks for none.",
    )
    gpu_sharing: bool = Field(
        default=_SERVICE.gpu_sharing,
        description="The two slots may have the same GPUs, if both were started with it.",
    )
    cpus: float = Field(
        default=_SERVICE.resources.cpus,
        ge=0,
        le=4096,
        description="CPU cores of one replica; 0 reserves none.",
    )
    memory_mb: int = Field(
        default=_SERVICE.resources.memory_mb,
        ge=0,
        le=2**26,
        description="Memory of one replica in MiB; 0 reserves none.",
    )
    stateful: bool = Field(
        default=_SERVICE.stateful,
        description="The service keeps state of its own; then say in state_handling how it is shared.",
    )
    state_handling: values.Text = Field(
        default=_SERVICE.state_handling,
        description="How two versions share the state while both run, in a sentence.",
    )
    protocol: Literal["http1", "h2c"] = Field(
        default="http1", description="What replicas speak: HTTP/1.1, or HTTP/2 without TLS (gRPC)."
    )
    stop_grace_seconds: float = Field(
        default=_SERVICE.stop_grace_seconds,
        ge=0,
        le=HOUR_SECONDS,
        description="Time between SIGTERM and SIGKILL.",
    )
    container: ContainerTable = Field(
        default_factory=ContainerTable, description="How the containers are made, where it runs in containers."
    )
    health: HealthTable | None = Field(default=None, description="How replicas show that they work.")
    smoke: list[SmokeTable] = Field(default=[], max_length=32, description="Tests of green before it gets traffic.")
    analysis: list[AnalysisTable] = Field(
        default=[], max_length=32, description="Questions about green while it is watched."
    )
    policy: PolicyTable = Field(default_factory=PolicyTable, description="How careful deployments are.")
    canary: CanaryTable = Field(
        default_factory=CanaryTable, description="How `--strategy canary` moves the traffic, and who gets which side."
    )


class Document(Table):
    """The whole file."""

    daemon: DaemonTable = Field(default_factory=DaemonTable, description="The process that runs the deployments.")
    router: RouterTable = Field(default_factory=RouterTable, description="The router that users' requests go through.")
    runtime: RuntimeTable = Field(default_factory=RuntimeTable, description="What runs the versions of services.")
    capacity: CapacityTable = Field(
        default_factory=CapacityTable, description="What workloads may use of this machine."
    )
    alerts: AlertsTable = Field(default_factory=AlertsTable, description="Who is told when something needs a person.")
    metrics: MetricsTable = Field(default_factory=MetricsTable, description="Where metrics come from.")
    api: ApiTable = Field(default_factory=ApiTable, description="The door for other machines and agents.")
    policy: FleetPolicyTable = Field(
        default_factory=FleetPolicyTable, description="What holds for every service and every caller."
    )
    services: dict[values.ServiceName, ServiceTable] = Field(default={}, description="The services by name.")
