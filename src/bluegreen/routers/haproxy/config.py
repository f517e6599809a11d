"""The text of haproxy.cfg and of the host maps, from values. Pure.

The text also *is* the record of which server line has which endpoint: `slots_of` reads it back, so that there
is one truth and a restarted HAProxy starts with it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bluegreen.domain.errors import UsageError
from bluegreen.domain.model import Color, Endpoint
from bluegreen.domain.service import HealthCheck, ServiceSpec
from bluegreen.routers.haproxy import counting
from bluegreen.routers.haproxy.defaults import BACKEND_DEFAULTS, default_sections
from bluegreen.routers.haproxy.hosts import host_maps
from bluegreen.routers.haproxy.routes import DETOURS, NO_VERSION_BACKEND, WORKLOAD_ID_MAX_LENGTH, backend_name
from bluegreen.routers.haproxy.sides import cookie_rules, side_rules
from bluegreen.routers.haproxy.slots import Slots, grown, slot_count

ROUTES_MAP = "routes.map"
HOSTS_MAP = "hosts.map"
SUFFIXES_MAP = "suffixes.map"
ADMIN_SOCKET = "proxy.sock"
MASTER_SOCKET = "master.sock"
LISTENER_VARIABLE = "BLUEGREEN_LISTENER"
COUNTERS = "kept/counters"

_SERVER_LINE = re.compile(r"^  server r\d+ (\S+?):(\d+)( disabled)?$", re.MULTILINE)
_DESCRIPTION_LINE = re.compile(r"^  description .*\n", re.MULTILINE)
_NOWHERE = "127.0.0.1:1 disabled"


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """`run_directory` is where HAProxy's sockets go. `certificate` is the absolute path of a PEM file; TLS when it
    is set."""

    run_directory: str
    certificate: str = ""
    threads: int | None = None
    max_connections: int | None = None
    old_worker_deadline_seconds: int = 3600
    """After a reload, how long an old worker may finish its streams before it is stopped."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """The three texts that make a configuration; the routes are not part of it."""

    config: str
    hosts: str
    suffixes: str

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.config, self.hosts, self.suffixes)


def render(
    services: Sequence[ServiceSpec], slots: Mapping[tuple[str, Color], Slots], settings: ProxySettings
) -> Rendered:
    """`slots` are the server lines that exist; a service has more when it asks for more replicas, never fewer.
    Raises ConfigurationError with everything that can't be routed."""
    hosts, suffixes, default = host_maps(services)
    sections = [
        _head(settings),
        _frontend(settings, services, default, bool(hosts), bool(suffixes)),
        _fixed_backends(len(services)),
    ]
    for spec in services:
        for color in Color:
            known = slots.get((spec.name, color), ())
            sections.append(_backend(spec, color, grown(known, slot_count(spec.replicas))))
    config = "\n".join(sections)
    return Rendered(described(config, hosts, suffixes), hosts, suffixes)


def described(config: str, hosts: str, suffixes: str) -> str:
    """The text with its fingerprint in it, which the running HAProxy tells: that is how we know what it loaded."""
    plain = _DESCRIPTION_LINE.sub("", config)
    return plain.replace("global\n", f"global\n  description {fingerprint(plain, hosts, suffixes)}\n", 1)


def fingerprint(config: str, hosts: str, suffixes: str) -> str:
    """Of all that needs a reload: everything but the endpoints."""
    structure = _SERVER_LINE.sub("  server", _DESCRIPTION_LINE.sub("", config))
    return hashlib.sha256("\0".join((structure, hosts, suffixes)).encode()).hexdigest()[:24]


def slots_of(config: str, service: str, color: Color) -> Slots | None:
    """The server lines of one backend, None when there is no such backend."""
    bounds = _bounds(config, service, color)
    return None if bounds is None else _parse_slots(config[slice(*bounds)])


def protocol_of(config: str, service: str) -> str:
    bounds = _bounds(config, service, Color.BLUE)
    return "h2c" if bounds is not None and " proto h2" in config[slice(*bounds)] else "http1"


def all_slots(config: str) -> dict[tuple[str, Color], Slots]:
    found: dict[tuple[str, Color], Slots] = {}
    for section in config.split("\nbackend ")[1:]:
        name = section.split(None, 1)[0]
        service, _, color = name.rpartition(".")
        if service:
            found[(service, Color(color))] = _parse_slots(section)
    return found


def with_slots(config: str, service: str, color: Color, slots: Slots) -> str:
    """The same text with other server lines in one backend. Raises UsageError for an endpoint that is no address."""
    bounds = _bounds(config, service, color)
    if bounds is None:
        raise UsageError(f"router: there is no service {service!r} in its configuration")
    start, end = bounds
    section = config[start:end]
    first = section.index("  server r")
    return config[:start] + section[:first] + _server_lines(slots) + config[end:]


def _bounds(config: str, service: str, color: Color) -> tuple[int, int] | None:
    start = config.find(f"\nbackend {backend_name(service, color)} from ")
    if start < 0:
        return None
    end = config.find("\n\nbackend ", start)
    return start, len(config) if end < 0 else end + 1


def _parse_slots(section: str) -> Slots:
    return tuple(
        None if disabled else Endpoint(host, int(port)) for host, port, disabled in _SERVER_LINE.findall(section)
    )


def quoted(text: str) -> str:
    """One argument of a configuration line, whatever is in it. Raises UsageError for control characters."""
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise UsageError(f"router: {text!r} has control characters and can't be written to HAProxy's configuration")
    return "'" + text.replace("'", "'\"'\"'") + "'"


def _head(settings: ProxySettings) -> str:
    lines = ["# Written by bluegreen; changes are lost.", "global", "  master-worker"]
    admin_socket = quoted(f"unix@{settings.run_directory}/{ADMIN_SOCKET}")
    lines.append(f"  stats socket {admin_socket} mode 600 level admin expose-fd listeners")
    lines.append(f"  hard-stop-after {settings.old_worker_deadline_seconds}s")
    if settings.threads:
        lines.append(f"  nbthread {settings.threads}")
    if settings.max_connections:
        lines.append(f"  maxconn {settings.max_connections}")
    lines += [
        "",
        *default_sections(),
    ]
    return "\n".join(lines)


def _frontend(
    settings: ProxySettings, services: Sequence[ServiceSpec], default: str, has_names: bool, has_suffixes: bool
) -> str:
    tls = f" ssl crt {quoted(settings.certificate)} alpn h2,http/1.1" if settings.certificate else ""
    lines = ["frontend public from web", f'  bind "fd@${{{LISTENER_VARIABLE}}}"{tls}', f"  {counting.ARRIVAL}"]
    service = "var(txn.service)"
    only = bool(default) and not has_names and not has_suffixes
    if only:
        # One service for every host: its name need not be looked up for each request.
        service = f"str({default})"
    else:
        lines += _service_lookup(default, has_suffixes)
    lines += [
        f"  http-request set-var(txn.route) {service},map_str({ROUTES_MAP},{NO_VERSION_BACKEND}/-/0/-/-)",
        # BLUE|70|GREEN: the weight must become an integer before rand() can be compared with it. A route to one
        # slot has no second field, so that nothing is set and the next two rules are nearly free.
        "  http-request set-var(txn.share) var(txn.route),field(2,|),add(0)",
        "  http-request set-var(txn.draw) rand(100),sub(txn.share) if { var(txn.share) -m found }",
        *side_rules(services, only=only),
        "  http-request set-var(txn.route) var(txn.route),field(3,|) if { var(txn.draw) -m int ge 0 }",
        f"  http-request track-sc0 var(txn.route),field(2,/) table {COUNTERS}",
        f"  http-request set-header X-Forwarded-Proto {'https' if tls else 'http'}",
        "  option forwardfor",
        *cookie_rules(services, only=only, secure=bool(tls)),
        *counting.indented(counting.latency_rules()),
        "  use_backend %[var(txn.route),field(1,/)]",
        f"  default_backend {NO_VERSION_BACKEND}",
        "",
    ]
    return "\n".join(lines)


def _service_lookup(default: str, has_suffixes: bool) -> list[str]:
    """Host header to service: the exact name, then the longest suffix, then the service for all the rest."""
    missing = "!{ var(txn.service) -m found }"
    host = "req.hdr(host),host_only,lower"
    lines = [f"  http-request set-var(txn.service) {host},map_str({HOSTS_MAP})"]
    if has_suffixes:
        lines.append(f"  http-request set-var(txn.service) {host},map_end({SUFFIXES_MAP}) if {missing}")
    if default:
        lines.append(f"  http-request set-var(txn.service) str({default}) if {missing}")
    else:
        lines.append(
            "  http-request return status 404 content-type text/plain"
            f' string "bluegreen: no service is configured for this host\\n" if {missing}'
        )
    return lines


def _fixed_backends(services: int) -> str:
    size = max(10240, services * 8)
    section, table = COUNTERS.split("/")
    stored = f"gpc({counting.COUNTERS_PER_WORKLOAD}),conn_cur"
    return "\n".join(
        [
            # A worker that leaves empties the tables of its backends at once, though requests go on; it keeps those
            # of a peers section. That is all this one is for: peers would lose more (docs/decisions/0022).
            f"peers {section}",
            "  disabled",
            f"  table {table} type string len {WORKLOAD_ID_MAX_LENGTH + 8} size {size} store {stored}",
            "",
            # Requests of an old process, whose server lines can't be changed, to replicas that it does not know.
            *_detour("http1"),
            *_detour("h2c"),
            f"backend {NO_VERSION_BACKEND} from {BACKEND_DEFAULTS['http1']}",
            "  http-request return status 503 content-type text/plain hdr Retry-After 5"
            ' string "bluegreen: this service has no version yet\\n"',
            "",
        ]
    )


def _detour(protocol: str) -> list[str]:
    return [
        f"backend {DETOURS[protocol]} from {BACKEND_DEFAULTS[protocol]}",
        "  http-request set-dst var(txn.route),field(6,/)",
        "  http-request set-dst-port var(txn.route),field(7,/)",
        f"  server there 0.0.0.0:0{' proto h2' if protocol == 'h2c' else ''}",
        "",
    ]


def _backend(spec: ServiceSpec, color: Color, slots: Slots) -> str:
    protocol = " proto h2" if spec.protocol == "h2c" else ""
    lines = [f"backend {backend_name(spec.name, color)} from {BACKEND_DEFAULTS[spec.protocol]}"]
    if spec.health is not None:
        check = spec.health
        lines += [
            "  option httpchk",
            f"  timeout check {_milliseconds(check.timeout_seconds)}",
            f"  http-check send meth GET uri {quoted(check.path)} ver HTTP/1.1 hdr Host {_check_host(spec)}",
            f"  http-check expect status {check.expect_status}",
            f"  default-server check{' check-proto h2' if protocol else ''}{_check_timing(check)}{protocol}",
        ]
    elif protocol:
        lines.append(f"  default-server{protocol}")
    return "\n".join(lines) + "\n" + _server_lines(slots)


def _check_timing(check: HealthCheck) -> str:
    interval = _milliseconds(check.interval_seconds)
    return f" inter {interval} rise {check.rise} fall {check.fall}"


def _server_lines(slots: Slots) -> str:
    return "".join(
        f"  server r{number} {_NOWHERE if endpoint is None else address(endpoint)}\n"
        for number, endpoint in enumerate(slots, 1)
    )


def address(endpoint: Endpoint) -> str:
    """Raises UsageError for a name: HAProxy takes new servers at run time by address only."""
    if not re.fullmatch(r"[0-9.]+|[0-9a-fA-F:]+", endpoint.host) or not 0 < endpoint.port < 65536:
        raise UsageError(f"router: {endpoint} is not an IP address and port", hint="Resolve the name first")
    return f"{endpoint.host}:{endpoint.port}"


def _milliseconds(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))}ms"


def _check_host(spec: ServiceSpec) -> str:
    return next((host.lower() for host in spec.hosts if "*" not in host), "localhost")
