"""Between the file's tables and the frozen values that the rest of the program knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bluegreen.domain.analysis_condition import parse_result_condition
from bluegreen.domain.model import Resources
from bluegreen.domain.service import Analysis, Canary, HealthCheck, Policy, ServiceSpec, SmokeTest
from bluegreen.spec.access_model import ApiTable
from bluegreen.spec.alert_model import AlertsTable
from bluegreen.spec.alert_settings import SinkSettings
from bluegreen.spec.analysis_model import AnalysisTable, MetricsTable
from bluegreen.spec.configuration import (
    AlertSettings,
    ApiSettings,
    CapacitySettings,
    Configuration,
    DaemonSettings,
    PolicySettings,
    RouterSettings,
    RuntimeSettings,
)
from bluegreen.spec.container_convert import container_table, to_container
from bluegreen.spec.file_model import Document, RouterTable, RuntimeTable, ServiceTable, SmokeTable
from bluegreen.spec.metrics_settings import MetricsSettings, PrometheusSettings
from bluegreen.spec.paths import absolute
from bluegreen.spec.policy_model import CanaryTable
from bluegreen.spec.runtime_contradictions import TLS_KEYS
from bluegreen.spec.values import is_loopback, parse_listen

LONGEST_DEFAULT_TIMEOUT_SECONDS = 10.0
"""Of an analysis that does not say how long an answer may take."""


def to_configuration(document: Document, path: Path, base_directory: Path) -> Configuration:
    daemon, capacity = document.daemon, document.capacity
    return Configuration(
        path=path,
        base_directory=base_directory,
        daemon=DaemonSettings(absolute(daemon.state_dir, base_directory), daemon.log_level),
        router=_router(document.router, base_directory),
        runtime=_runtime(document.runtime, base_directory),
        capacity=CapacitySettings(capacity.gpus, capacity.cpus, capacity.memory_mb),
        alerts=_alerts(document.alerts, base_directory),
        metrics=_metrics(document.metrics, base_directory),
        api=_api(document.api, base_directory),
        policy=PolicySettings(
            None if document.policy.images is None else tuple(document.policy.images), document.policy.orphan_seconds
        ),
        services={
            name: to_service(name, table, base_directory, runtime=document.runtime.kind)
            for name, table in document.services.items()
        },
    )


def _alerts(table: AlertsTable, base_directory: Path) -> AlertSettings:
    sinks = tuple(
        SinkSettings(
            kind=sink.kind,
            name=sink.name or sink.kind,
            url=sink.url,
            url_env=sink.url_env,
            secret_env=sink.secret_env,
            path=absolute(sink.path, base_directory) if sink.path is not None else None,
            min_severity=sink.min_severity,
        )
        for sink in table.sink
    )
    return AlertSettings(table.webhook_url, table.webhook_url_env, sinks)


def to_service(name: str, table: ServiceTable, base_directory: Path, *, runtime: str = "process") -> ServiceSpec:
    """`runtime` is what runs a service that doesn't say."""
    return ServiceSpec(
        name=name,
        hosts=tuple(host.lower() for host in table.hosts),
        command=tuple(table.command or ()),
        image=table.image,
        workdir=str(absolute(table.workdir, base_directory)),
        env=dict(table.env),
        labels=dict(table.labels),
        environment=table.environment,
        replicas=table.replicas,
        resources=Resources(table.gpus, table.cpus, table.memory_mb),
        gpu_memory_mb=table.gpu_memory_mb,
        gpu_sharing=table.gpu_sharing,
        stateful=table.stateful,
        state_handling=table.state_handling,
        protocol=table.protocol,
        stop_grace_seconds=table.stop_grace_seconds,
        runtime=table.runtime or runtime,
        container=to_container(table.container, base_directory),
        health=HealthCheck(**table.health.model_dump()) if table.health is not None else None,
        smoke=tuple(_smoke_test(test, number) for number, test in enumerate(table.smoke, 1)),
        analyses=tuple(_analysis(analysis) for analysis in table.analysis),
        policy=Policy(**table.policy.model_dump()),
        canary=_canary(table.canary),
    )


def to_table(spec: ServiceSpec) -> dict[str, Any]:
    """The service as the file would have it: `to_service` of the result is the same spec again."""
    table: dict[str, Any] = {
        "hosts": list(spec.hosts),
        "workdir": spec.workdir,
        "env": dict(spec.env),
        "labels": dict(spec.labels),
        "environment": spec.environment,
        "replicas": spec.replicas,
        "gpus": spec.resources.gpus,
        "gpu_memory_mb": spec.gpu_memory_mb,
        "gpu_sharing": spec.gpu_sharing,
        "cpus": spec.resources.cpus,
        "memory_mb": spec.resources.memory_mb,
        "stateful": spec.stateful,
        "state_handling": spec.state_handling,
        "protocol": spec.protocol,
        "stop_grace_seconds": spec.stop_grace_seconds,
        "runtime": spec.runtime,
        "smoke": [_smoke_table(test) for test in spec.smoke],
        "analysis": [_analysis_table(analysis) for analysis in spec.analyses],
        # TOML has no null: what is not limited is not written.
        "policy": {
            name: value for name in Policy.__dataclass_fields__ if (value := getattr(spec.policy, name)) is not None
        },
    }
    canary = {name: getattr(spec.canary, name) for name in Canary.__dataclass_fields__}
    table["canary"] = {name: value for name, value in canary.items() if value not in (None, "")}
    table["canary"]["steps"] = list(spec.canary.steps)
    if spec.runtime == "docker":
        table["container"] = container_table(spec.container)
    if spec.command:
        table["command"] = list(spec.command)
    if spec.image:
        table["image"] = spec.image
    if spec.health is not None:
        table["health"] = {name: getattr(spec.health, name) for name in HealthCheck.__dataclass_fields__}
    return table


def _canary(table: CanaryTable) -> Canary:
    given = {name: value for name, value in table.model_dump().items() if value is not None}
    return Canary(**{**given, "steps": tuple(table.steps)})


def _router(table: RouterTable, base_directory: Path) -> RouterSettings:
    haproxy = None
    if table.haproxy is not None:
        named = "/" not in table.haproxy and not table.haproxy.startswith("~")
        haproxy = Path(table.haproxy) if named else absolute(table.haproxy, base_directory)
    return RouterSettings(
        listen=parse_listen(table.listen),
        kind=table.kind,
        haproxy=haproxy,
        certificate=absolute(table.certificate, base_directory) if table.certificate is not None else None,
        threads=table.threads,
    )


def _runtime(table: RuntimeTable, base_directory: Path) -> RuntimeSettings:
    given: dict[str, Any] = {"host": table.host, "network": table.network, "address": table.address}
    given |= {key: absolute(path, base_directory) for key in TLS_KEYS if (path := getattr(table, key)) is not None}
    return RuntimeSettings(table.kind, **{name: value for name, value in given.items() if value is not None})


def _api(table: ApiTable, base_directory: Path) -> ApiSettings:
    listen = parse_listen(table.listen) if table.listen is not None else None
    hosts = tuple(table.hosts)
    if not hosts and listen is not None:
        hosts = (listen.host, "localhost", "127.0.0.1", "::1") if is_loopback(listen.host) else (listen.host,)
    return ApiSettings(
        listen=listen,
        certificate=absolute(table.certificate, base_directory) if table.certificate is not None else None,
        origins=tuple(origin.lower() for origin in table.origins),
        hosts=tuple(dict.fromkeys(host.lower() for host in hosts)),
        requests_per_second=table.requests_per_second,
        burst=table.burst,
        max_body_bytes=table.max_body_bytes,
    )


def _metrics(table: MetricsTable, base_directory: Path) -> MetricsSettings:
    given = table.prometheus
    if given is None:
        return MetricsSettings()

    def path(text: str | None) -> Path | None:
        return None if text is None else absolute(text, base_directory)

    return MetricsSettings(
        PrometheusSettings(
            url=given.url.rstrip("/"),
            bearer_token_env=given.bearer_token_env,
            bearer_token_file=path(given.bearer_token_file),
            ca_file=path(given.ca_file),
            timeout_seconds=given.timeout_seconds,
            max_sample_age_seconds=given.max_sample_age_seconds,
        )
    )


def _analysis(table: AnalysisTable) -> Analysis:
    timeout = table.timeout_seconds
    return Analysis(
        name=table.name,
        query=table.query or "",
        condition=None if table.condition is None else parse_result_condition(table.condition),
        command=tuple(table.command or ()),
        interval_seconds=table.interval_seconds,
        timeout_seconds=min(table.interval_seconds, LONGEST_DEFAULT_TIMEOUT_SECONDS) if timeout is None else timeout,
        failure_limit=table.failure_limit,
    )


def _analysis_table(analysis: Analysis) -> dict[str, Any]:
    table: dict[str, Any] = {"name": analysis.name}
    table |= {key: getattr(analysis, key) for key in ("interval_seconds", "timeout_seconds", "failure_limit")}
    if analysis.command:
        return table | {"command": list(analysis.command)}
    return table | {"query": analysis.query, "condition": str(analysis.condition)}


def _smoke_test(table: SmokeTable, number: int) -> SmokeTest:
    method, _, path = (table.request or "").partition(" ")
    headers = dict(table.headers)
    body = None if table.body is None else table.body.encode()
    if table.json_body is not None:
        body = json.dumps(table.json_body, ensure_ascii=False, allow_nan=False).encode()
        if not any(name.lower() == "content-type" for name in headers):
            headers["content-type"] = "application/json"
    return SmokeTest(
        name=table.name or f"smoke-{number}",
        method=method,
        path=path,
        body=body,
        headers=headers,
        expect_status=table.expect_status,
        expect_json=dict(table.expect_json),
        command=tuple(table.command or ()),
        max_seconds=table.max_seconds,
    )


def _smoke_table(test: SmokeTest) -> dict[str, Any]:
    table: dict[str, Any] = {"name": test.name, "max_seconds": test.max_seconds}
    if test.command:
        return table | {"command": list(test.command)}
    table |= {"request": f"{test.method} {test.path}", "expect_status": test.expect_status}
    table |= {"headers": dict(test.headers), "expect_json": dict(test.expect_json)}
    return table if test.body is None else table | {"body": test.body.decode()}
