"""The sections that all others start from. Pure."""

from __future__ import annotations

from bluegreen.routers.haproxy import counting

BACKEND_DEFAULTS = {"http1": "backends", "h2c": "backends-h2c"}
"""By protocol: the defaults of a backend. The rules in them are there once, however many services there are."""

_WEB = (
    "defaults web",
    "  mode http",
    "  timeout connect 2s",
    "  timeout check 2s",
    "  timeout queue 30s",
    "  timeout http-request 10s",
    "  timeout http-keep-alive 75s",
    # Streams of tokens and events may be silent for long.
    "  timeout client 1h",
    "  timeout server 1h",
    "  timeout tunnel 1h",
    "  timeout client-fin 30s",
    # After a reload the old process closes an idle connection with its next answer, not while a client writes.
    "  option idle-close-on-response",
    "  balance leastconn",
    # Only what never reached a replica is sent again: a request may not be done twice.
    "  retries 3",
    "  retry-on conn-failure",
    "  option redispatch 1",
    # A client that hung up is noticed while its request is worked on, not only when the answer can't be written.
    "  option abortonclose",
    # Less than the keep-alive of common servers, so that an idle connection is not reused while they close it.
    "  default-server pool-purge-delay 2s",
)


def default_sections() -> list[str]:
    lines = [*_WEB, ""]
    for protocol, name in BACKEND_DEFAULTS.items():
        lines += [f"defaults {name} from web", *counting.indented(counting.status_rules(protocol)), ""]
    return lines
