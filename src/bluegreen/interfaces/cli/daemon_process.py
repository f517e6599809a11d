"""Starting the daemon's process in the background, and seeing one end."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from pathlib import Path

from bluegreen.control import requests as r
from bluegreen.control import views as v
from bluegreen.domain.errors import BluegreenError, ConfigurationError, DaemonUnreachable
from bluegreen.interfaces.cli.client import DaemonClient

START_TIMEOUT_SECONDS = 60.0
POLL_SECONDS = 0.02
LAST_LINES = 15


def daemon_command(config_path: Path) -> list[str]:
    # -P: the directory in which somebody types `bluegreen up` is not searched for modules.
    return [sys.executable, "-P", "-m", "bluegreen.main", str(config_path.absolute())]


def is_running(client: DaemonClient, *, timeout_seconds: float = 5.0) -> bool:
    """Whether a daemon answers."""
    try:
        client.call("services", r.NoRequest(), v.ServicesView, timeout_seconds=timeout_seconds)
    except DaemonUnreachable:
        return False
    return True


def start_daemon(client: DaemonClient) -> None:
    """Returns when the daemon answers. Raises BluegreenError with the daemon's last words and its exit code."""
    log_path = client.log_path
    try:
        log_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        problem = f"daemon.state_dir: {log_path} can't be written: {error.strerror}"
        raise ConfigurationError("the state directory", [problem]) from error
    try:
        before = os.fstat(descriptor).st_size
        process = subprocess.Popen(
            daemon_command(client.config_path),
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
        )
    finally:
        os.close(descriptor)
    _wait_until_it_answers(client, process, before)


def _wait_until_it_answers(client: DaemonClient, process: subprocess.Popen[bytes], log_offset: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while not is_running(client, timeout_seconds=1.0):
        exit_code = process.poll()
        if exit_code is not None:
            if is_running(client):
                return  # Somebody else's `bluegreen up` was faster.
            raise _ended(client.log_path, log_offset, exit_code)
        if time.monotonic() > deadline:
            raise DaemonUnreachable(
                f"the daemon (pid {process.pid}) does not answer after {START_TIMEOUT_SECONDS:g} s",
                hint=f"It goes on starting. See the end of {client.log_path}",
            )
        time.sleep(POLL_SECONDS)


def _ended(log_path: Path, log_offset: int, exit_code: int) -> BluegreenError:
    with log_path.open("rb") as file:
        file.seek(log_offset)
        written = file.read().decode(errors="replace").rstrip()
    how = f"exit code {exit_code}" if exit_code >= 0 else f"signal {-exit_code}"
    message = last_error(written) or f"the daemon ended at once ({how}) without a word"
    error = BluegreenError(message, hint=f"All it wrote: {log_path}")
    error.exit_code = 2 if exit_code == 2 else 1
    return error


def last_error(written: str) -> str:
    """The last `error: ...` of a daemon's output with its hint; the last line of a traceback; else its last lines."""
    lines = written.splitlines()
    starts = [index for index, line in enumerate(lines) if line.startswith("error: ")]
    if starts:
        return "\n".join(lines[starts[-1] :]).removeprefix("error: ")
    if "Traceback (most recent call last):" in lines:
        return f"the daemon ended unexpectedly: {lines[-1]}"
    return "\n".join(lines[-LAST_LINES:])


def wait_for_end(pid: int, timeout_seconds: float) -> bool:
    """Whether the process ended in time. It need not be our child."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return True
    try:
        readable, _, _ = select.select([descriptor], [], [], timeout_seconds)
    finally:
        os.close(descriptor)
    return bool(readable)
