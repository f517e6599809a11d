"""Processes of the things that are measured: starting, ending, and what they cost."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import psutil

END_TIMEOUT_SECONDS = 5.0
OPEN_TIMEOUT_SECONDS = 20.0
CONNECT_POLL_SECONDS = 0.001


def tree(roots: Iterable[int]) -> dict[int, psutil.Process]:
    """The living processes and all their descendants."""
    found: dict[int, psutil.Process] = {}
    for root in roots:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(root)
            found |= {member.pid: member for member in (process, *process.children(recursive=True))}
    return found


def belonging_to(directory: Path) -> list[int]:
    """Processes whose command line names this directory."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.pid != os.getpid() and any(str(directory) in word for word in process.cmdline()):
                found.append(process.pid)
    return found


def cpu_seconds(roots: Iterable[int]) -> float:
    """User and system time so far, of the processes and all their descendants."""
    total = 0.0
    for process in tree(roots).values():
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def resident_mb(roots: Iterable[int]) -> float:
    """Memory in use; pages that processes share count once for each."""
    total = 0
    for process in tree(roots).values():
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total / 1e6


@contextlib.contextmanager
def running(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    output: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own; the whole group is gone afterwards. `output` is the file that it writes to."""
    with (output or Path(os.devnull)).open("ab") as file:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env={**os.environ, **(environment or {})},
            cwd=cwd,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _end_group(process)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(END_TIMEOUT_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def seconds_until_open(port: int, process: subprocess.Popen[bytes], *, since: float | None = None) -> float:
    """How long it took until connections to the port are accepted. Raises RuntimeError when that does not happen."""
    began = time.monotonic() if since is None else since
    while time.monotonic() < began + OPEN_TIMEOUT_SECONDS and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return time.monotonic() - began
        time.sleep(CONNECT_POLL_SECONDS)
    raise RuntimeError(f"{process.args!r} did not open port {port}, exit code {process.poll()}")


@contextlib.contextmanager
def temporary_directory() -> Iterator[Path]:
    """Short, for sockets' paths end at 108 bytes; gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="bgb-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
