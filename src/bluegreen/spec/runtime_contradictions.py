"""What the keys of [runtime] ask of each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bluegreen.spec.engine_host import EngineHost, on_loopback, parse_engine_host
from bluegreen.spec.problems import Problem

TLS_KEYS = ("tls_ca", "tls_certificate", "tls_key")
Raw = Mapping[str, Any]


def in_runtime(runtime: Raw) -> Iterator[Problem]:
    try:
        host = parse_engine_host(str(runtime.get("host", "unix:///run/docker.sock")))
    except ValueError:
        return
    yield from _tls(runtime, host)


def _tls(runtime: Raw, host: EngineHost) -> Iterator[Problem]:
    given = [key for key in TLS_KEYS if key in runtime]
    if host.kind != "tcp":
        for key in given:
            yield Problem(("runtime", key), "only goes with a tcp:// host")
    elif given:
        for key in TLS_KEYS:
            if key not in given:
                yield Problem(("runtime", key), f"is missing: {given[0]} is set, and TLS takes {', '.join(TLS_KEYS)}")
    elif not on_loopback(host.host):
        text = "is without TLS: whoever reaches that port is root on the engine's machine"
        yield Problem(("runtime", "host"), f"{text}; set {', '.join(TLS_KEYS)}, or use ssh://")
