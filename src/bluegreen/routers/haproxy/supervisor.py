"""Starts, finds again and stops HAProxy's shim (shim.py). The shim outlives us."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bluegreen.domain.errors import RouterError
from bluegreen.domain.model import Endpoint
from bluegreen.routers.haproxy.config import LISTENER_VARIABLE, MASTER_SOCKET
from bluegreen.routers.haproxy.process_identity import ProcessIdentity, boot_id

START_TIMEOUT_SECONDS = 10.0
LOG_LIMIT_BYTES = 5_000_000
CONFIG_FILE = "haproxy.cfg"
LOG_FILE = "haproxy.log"
STATUS_FILE = "shim.json"
SPEC_FILE = "shim-spec.json"
_SHIM = Path(__file__).with_name("shim.py")


@dataclass(frozen=True, slots=True)
class ShimStatus:
    """What the shim last wrote. `haproxy` is HAProxy's master process, None while there is none."""

    state: str
    error: str
    shim: ProcessIdentity
    haproxy: ProcessIdentity | None
    listen: Endpoint
    bound_port: int
    """The port that `listen` has; another one when that asks for port 0."""
    restarts: int

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> ShimStatus:
        """Raises KeyError, TypeError or ValueError when it isn't one."""
        boot = str(raw["boot_id"])
        haproxy = raw["haproxy"]
        return cls(
            state=str(raw["state"]),
            error=str(raw["error"]),
            shim=ProcessIdentity(int(raw["pid"]), int(raw["started"]), boot),
            haproxy=ProcessIdentity(int(haproxy["pid"]), int(haproxy["started"]), boot) if haproxy else None,
            listen=Endpoint(str(raw["host"]), int(raw["port"])),
            bound_port=int(raw["bound_port"]),
            restarts=int(raw["restarts"]),
        )


class HaproxySupervisor:
    """`directory` holds configuration, log and status; `run_directory` the sockets and must have a short path."""

    def __init__(
        self, *, directory: Path, run_directory: Path, listen: Endpoint, stop_grace_seconds: float = 5.0
    ) -> None:
        self.directory = directory.absolute()
        self.run_directory = run_directory.absolute()
        self.listen = listen
        self.stop_grace_seconds = stop_grace_seconds
        self._children: list[subprocess.Popen[bytes]] = []

    def status(self) -> ShimStatus | None:
        """What was last written, whoever still lives. None when nothing was."""
        try:
            return ShimStatus.parse(json.loads((self.directory / STATUS_FILE).read_text(encoding="utf-8")))
        except (OSError, KeyError, TypeError, ValueError):
            return None

    @property
    def supervised(self) -> bool:
        """True while the shim lives, which restarts HAProxy when it dies."""
        self._reap()
        status = self.status()
        return status is not None and status.shim.alive

    async def adopt(self) -> bool:
        """True when a shim is there already. One that was killed is replaced, its HAProxy goes on undisturbed.
        Raises RouterError when it listens somewhere else than it should now."""
        status = self.status()
        if status is None or status.shim.boot_id != boot_id():
            return False
        orphan = status.haproxy if status.haproxy is not None and status.haproxy.alive else None
        alive = status.shim.alive
        if not alive and orphan is None:
            return False
        if status.listen != self.listen:
            raise RouterError(
                f"the router that runs listens on {status.listen}, the configuration says {self.listen}",
                hint="Restart it, which interrupts traffic: bluegreen down --keep-workloads, then bluegreen up",
            )
        if not alive and orphan is not None:
            binary = _executable(orphan.pid)
            await self._launch(binary, {"pid": orphan.pid}, status.bound_port)
        return True

    async def start(self, binary: Path) -> None:
        """Starts shim and HAProxy; the caller waits until HAProxy answers. Raises RouterError when the address is
        taken, with the name of the process that has it when that can be seen."""
        if "," in str(self.run_directory):
            raise RouterError(
                f"HAProxy can't have its sockets in {self.run_directory}: there is a comma in it",
                hint="Choose another [daemon] state_dir",
            )
        await self._launch(binary, None, 0)

    async def stop(self) -> None:
        """New connections are refused at once; requests under way get `stop_grace_seconds`. No error when nothing
        runs."""
        status = self.status()
        if status is None:
            return
        if not status.shim.alive:
            if status.haproxy is not None and status.haproxy.alive:
                status.haproxy.send(signal.SIGUSR1)
                if not await _ended(status.haproxy, self.stop_grace_seconds):
                    _kill_group(status.haproxy)
                    await _ended(status.haproxy, 2.0)
            return
        status.shim.send(signal.SIGTERM)
        if not await _ended(status.shim, self.stop_grace_seconds + 6.0):
            latest = self.status() or status
            status.shim.send(signal.SIGKILL)
            if latest.haproxy is not None and latest.haproxy.alive:
                _kill_group(latest.haproxy)
        self._reap()

    def log_tail(self, lines: int = 5) -> str:
        """The last lines that HAProxy wrote, as one line."""
        try:
            text = (self.directory / LOG_FILE).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        kept = [line for line in text.splitlines() if "ALERT" in line] or text.splitlines()
        return " | ".join(kept[-lines:])

    async def _launch(self, binary: Path, adopted: Mapping[str, int] | None, bound_port: int) -> None:
        (self.directory / STATUS_FILE).unlink(missing_ok=True)
        spec = self.directory / SPEC_FILE
        spec.unlink(missing_ok=True)
        descriptor = os.open(spec, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(self._spec(binary, adopted, bound_port), file)
        log = os.open(self.directory / LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            child = subprocess.Popen(  # noqa: ASYNC220 - takes a millisecond, and the child outlives the loop
                [sys.executable, "-I", "-S", str(_SHIM), str(spec)],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        finally:
            os.close(log)
        self._children.append(child)
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while True:
            status = self.status()
            if status is not None and status.shim.pid == child.pid and status.state != "starting":
                break
            if child.poll() is not None or time.monotonic() > deadline:
                raise RouterError(f"HAProxy's shim did not start: {self.log_tail()}", hint="See: bluegreen doctor")
            await asyncio.sleep(0.002)
        if status.state == "failed":
            child.wait()
            raise _bind_error(self.listen, status.error)

    def _spec(self, binary: Path, adopted: Mapping[str, int] | None, bound_port: int) -> dict[str, Any]:
        return {
            "binary": str(binary),
            "config": str(self.directory / CONFIG_FILE),
            "directory": str(self.directory),
            "master_socket": str(self.run_directory / MASTER_SOCKET),
            "listener_variable": LISTENER_VARIABLE,
            "status": str(self.directory / STATUS_FILE),
            "log": str(self.directory / LOG_FILE),
            "log_limit_bytes": LOG_LIMIT_BYTES,
            "host": self.listen.host,
            "port": self.listen.port,
            "stop_grace_seconds": self.stop_grace_seconds,
            "adopt": dict(adopted) if adopted else None,
            "bound_port": bound_port,
        }

    def _reap(self) -> None:
        self._children = [child for child in self._children if child.poll() is None]


async def _ended(process: ProcessIdentity, timeout_seconds: float) -> bool:
    deadline = time.monotonic() + timeout_seconds
    while process.alive:
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.005)
    return True


def _kill_group(master: ProcessIdentity) -> None:
    try:
        os.killpg(master.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _executable(pid: int) -> Path:
    return Path(f"/proc/{pid}/exe").readlink()


def _bind_error(listen: Endpoint, error: str) -> RouterError:
    number, _, text = error.partition(" ")
    owner = _owner_of(listen.port) if number == str(98) else ""
    return RouterError(
        f"router.listen: {listen} can't be bound: {(text or error).lower()}{owner}",
        hint="Stop what listens there, or choose another address in [router] listen",
    )


def _owner_of(port: int) -> str:
    try:
        connections = psutil.net_connections(kind="tcp")
    except (psutil.Error, OSError):
        return ""
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
            try:
                name = psutil.Process(connection.pid).name() if connection.pid else ""
            except psutil.Error:
                name = ""
            return f" by {name or 'process'} (pid {connection.pid})" if connection.pid else ""
    return ""
