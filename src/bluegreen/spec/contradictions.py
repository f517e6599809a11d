"""What each key allows but the keys together don't.

Works on the document as it was read and skips what has the wrong type, so that these problems are reported
together with the others, not one run later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from ipaddress import ip_address
from itertools import pairwise
from typing import Any

from bluegreen.domain.errors import UsageError
from bluegreen.domain.images import image_allowed
from bluegreen.domain.service import HealthCheck
from bluegreen.spec.alert_contradictions import in_alerts
from bluegreen.spec.analysis_contradictions import in_analyses, in_prometheus, without_source
from bluegreen.spec.container_contradictions import in_container, unfit_for_runtime, without_docker
from bluegreen.spec.problems import Location, Problem
from bluegreen.spec.runtime_contradictions import in_runtime
from bluegreen.spec.toml_text import toml_text
from bluegreen.spec.values import is_loopback, parse_listen

_HEALTH = HealthCheck()
_REQUEST_KEYS = ("json", "body", "headers", "expect_status", "expect_json")
_OWN_LABELS = ("deployment", "version")
Raw = Mapping[str, Any]


def in_document(document: Raw) -> Iterator[Problem]:
    """Every contradiction of a whole file."""
    yield from in_alerts(_table(document, "alerts"))
    metrics = _table(document, "metrics")
    yield from in_prometheus(_table(metrics, "prometheus"))
    yield from _api(_table(document, "api"))
    runtime = _table(document, "runtime")
    services = {name: table for name, table in _table(document, "services").items() if isinstance(table, dict)}
    yield from without_docker(runtime, services)
    yield from in_runtime(runtime)
    yield from _shared_hosts(services)
    for name, table in services.items():
        yield from in_service(table, ("services", name))
        yield from unfit_for_runtime(table, runtime, ("services", name))
        if "prometheus" not in metrics:
            yield from without_source(table.get("analysis"), ("services", name, "analysis"))
        yield from _forbidden_image(table, _table(document, "policy"), ("services", name))
        yield from _memory_of_no_gpu(table, ("services", name))
        yield from _more_than_capacity(table, _table(document, "capacity"), ("services", name))


def in_service(service: Raw, at: Location) -> Iterator[Problem]:
    """Every contradiction within one service."""
    yield from _health(_table(service, "health"), (*at, "health"))
    yield from _smoke(service.get("smoke"), (*at, "smoke"))
    yield from in_analyses(service.get("analysis"), (*at, "analysis"))
    yield from _nothing_to_repeat(service, at)
    yield from _canary_steps(_table(service, "canary").get("steps"), (*at, "canary", "steps"))
    yield from _no_cookie_to_set(_table(service, "canary"), (*at, "canary", "set_cookie"))
    yield from in_container(_table(service, "container"), (*at, "container"))
    env = _table(service, "env")
    if env.get("PORT", "{port}") != "{port}":
        yield Problem((*at, "env", "PORT"), 'is set by bluegreen for each replica; use "{port}" or leave it out')
    if "CUDA_VISIBLE_DEVICES" in env and _number(service, "gpus", 0):
        yield Problem((*at, "env", "CUDA_VISIBLE_DEVICES"), "is set by bluegreen when gpus is not 0; leave it out")
    for label in _OWN_LABELS:
        if label in _table(service, "labels"):
            yield Problem((*at, "labels", label), "is set by bluegreen for each deployment; leave it out")


def _api(api: Raw) -> Iterator[Problem]:
    try:
        listen = parse_listen(str(api.get("listen", "localhost:1")))
    except ValueError:
        return
    if is_loopback(listen.host):
        return
    if "certificate" not in api:
        text = f"{api['listen']} is not on this machine alone, and tokens would cross the network in clear"
        yield Problem(("api", "listen"), f"{text}; set api.certificate, or listen on 127.0.0.1")
    if not api.get("hosts") and ip_address(listen.host).is_unspecified:
        text = f"is missing: {api['listen']} is every address of this machine"
        yield Problem(("api", "hosts"), f"{text}; name the hosts that clients may call it by")


def _forbidden_image(service: Raw, policy: Raw, at: Location) -> Iterator[Problem]:
    image, patterns = service.get("image"), policy.get("images")
    if not isinstance(image, str) or not isinstance(patterns, list) or not patterns:
        return
    with suppress(UsageError):
        if not image_allowed(image, [pattern for pattern in patterns if isinstance(pattern, str)]):
            yield Problem((*at, "image"), f"{toml_text(image)} is none of policy.images; it can never be deployed")


def _health(health: Raw, at: Location) -> Iterator[Problem]:
    timeout = _number(health, "timeout_seconds", _HEALTH.timeout_seconds)
    deadline = _number(health, "deadline_seconds", _HEALTH.deadline_seconds)
    interval = _number(health, "interval_seconds", _HEALTH.interval_seconds)
    rise = _number(health, "rise", _HEALTH.rise)
    if timeout is not None and deadline is not None and timeout > deadline:
        # Blames the key that the user wrote, not a default.
        if "timeout_seconds" in health:
            text = f"must be ≤ deadline_seconds ({toml_text(deadline)}), got {toml_text(timeout)}"
            yield Problem((*at, "timeout_seconds"), text)
        else:
            text = f"must be ≥ timeout_seconds ({toml_text(timeout)}), got {toml_text(deadline)}"
            yield Problem((*at, "deadline_seconds"), text)
    if interval is None or rise is None or deadline is None or not 1 <= rise <= 1000:
        return
    needed = (rise - 1) * interval
    if needed >= deadline > 0:
        checks = f"rise = {toml_text(rise)} checks that are {toml_text(interval)} s apart take {needed:g} s"
        yield Problem((*at, "deadline_seconds"), f"is too short: {checks}, got {toml_text(deadline)}")


def _canary_steps(steps: object, at: Location) -> Iterator[Problem]:
    if not isinstance(steps, list) or not steps or not all(type(step) is int for step in steps):
        return
    if any(later <= earlier for earlier, later in pairwise(steps)):
        yield Problem(at, f"must grow from step to step, got {steps}")
    elif steps[-1] != 100:
        yield Problem(at, f"must end with 100, got {steps}; the last step gives green all the traffic")


def _no_cookie_to_set(canary: Raw, at: Location) -> Iterator[Problem]:
    if canary.get("set_cookie") is True and not str(canary.get("sticky", "")).startswith("cookie:"):
        yield Problem(at, 'needs the name of the cookie: sticky = "cookie:NAME"')


def _smoke(tests: object, at: Location) -> Iterator[Problem]:
    if not isinstance(tests, list):
        return
    seen: dict[str, int] = {}
    for index, test in enumerate(tests):
        if not isinstance(test, dict):
            continue
        here = (*at, index)
        yield from _one_smoke_test(test, here)
        name = test.get("name", f"smoke-{index + 1}")
        if isinstance(name, str) and seen.setdefault(name, index) != index:
            yield Problem((*here, "name"), f"{toml_text(name)} is already the name of smoke[{seen[name]}]")


def _nothing_to_repeat(service: Raw, at: Location) -> Iterator[Problem]:
    every = _number(_table(service, "policy"), "smoke_interval_seconds", 0)
    if every and not service.get("smoke"):
        yield Problem((*at, "policy", "smoke_interval_seconds"), "has nothing to repeat: there is no smoke test")


def _one_smoke_test(test: Raw, here: Location) -> Iterator[Problem]:
    if "request" in test and "command" in test:
        yield Problem(here, "has both request and command; choose one")
    elif "command" in test:
        for key in _REQUEST_KEYS:
            if key in test:
                yield Problem((*here, key), "only goes with request, not with command")
    elif "request" not in test:
        yield Problem(here, "needs a request or a command")
    if "json" in test and "body" in test:
        yield Problem(here, "has both json and body; choose one")
    if str(test.get("request", "")).startswith("HEAD ") and test.get("expect_json"):
        yield Problem((*here, "expect_json"), "the answer to HEAD has no body to look at")


def _shared_hosts(services: Mapping[str, Raw]) -> Iterator[Problem]:
    owners: dict[str, str] = {}
    for name, table in services.items():
        hosts = table.get("hosts")
        own: set[str] = set()
        for index, host in enumerate(hosts if isinstance(hosts, list) else []):
            if not isinstance(host, str):
                continue
            # Host names have no upper and lower case.
            folded = host.lower()
            owner = owners.setdefault(folded, name)
            at: Location = ("services", name, "hosts", index)
            if folded in own:
                yield Problem(at, f"{toml_text(host)} stands here twice")
            elif owner != name:
                yield Problem(at, f"{toml_text(host)} already belongs to service '{owner}'")
            own.add(folded)


def _memory_of_no_gpu(service: Raw, at: Location) -> Iterator[Problem]:
    if _number(service, "gpu_memory_mb", 0) and _number(service, "gpus", 0) == 0:
        yield Problem((*at, "gpu_memory_mb"), "only goes with gpus: this service has none")


def _more_than_capacity(service: Raw, capacity: Raw, at: Location) -> Iterator[Problem]:
    replicas = _number(service, "replicas", 1)
    for key in ("gpus", "cpus", "memory_mb"):
        each, total = _number(service, key, 0), _number(capacity, key, None)
        if replicas is None or each is None or total is None or each * replicas <= total:
            continue
        needed = f"{toml_text(replicas)} × {toml_text(each)} is more than capacity.{key} ({toml_text(total)})"
        yield Problem((*at, key), f"{needed}; it can never start")


def _table(parent: Raw, key: str) -> Raw:
    value = parent.get(key)
    return value if isinstance(value, dict) else {}


def _number(table: Raw, key: str, default: float | None) -> float | None:
    """None when it is no number that can be compared; then the model has said so already."""
    value = table.get(key, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if abs(value) < 1e18 else None
