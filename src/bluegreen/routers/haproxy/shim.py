"""HAProxy's parent: `python -I -S shim.py SPEC.json`. Standard library only, and nothing of ours.

It holds the listening sockets, so that the kernel queues new connections while HAProxy is restarted after a crash,
and it outlives the daemon. It writes who it is and how HAProxy fares to the status file. SIGTERM stops everything:
new connections are refused at once, requests under way get `stop_grace_seconds`.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

QUICK_DEATH_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 2.0
TIDY_SECONDS = 10.0
MOST_FILES = 1 << 20
PR_SET_CHILD_SUBREAPER = 36
SYS_PIDFD_GETFD = 438


class BindFailed(Exception):
    pass


def started_ticks(pid: int) -> int:
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return int(text.rpartition(")")[2].split()[19])


def bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(4096)
    except OSError as error:
        listener.close()
        raise BindFailed(f"{error.errno} {os.strerror(error.errno or 0)}") from error
    return listener


def inherit(pid: int, variable: str) -> socket.socket | None:
    """Copies the listening socket out of a HAProxy whose shim was killed. None when the kernel does not let us
    (ptrace is restricted): then the socket is made anew when that HAProxy ends."""
    environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    number = next((int(v[len(variable) + 1 :]) for v in environment if v.startswith(variable.encode() + b"=")), -1)
    pidfd = os.pidfd_open(pid)
    descriptor: int = ctypes.CDLL(None, use_errno=True).syscall(SYS_PIDFD_GETFD, pidfd, number, 0)
    os.close(pidfd)
    return socket.socket(fileno=descriptor) if descriptor >= 0 else None


class Shim:
    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        self.listener: socket.socket | None = None
        self.port: int = spec["port"]
        self.process: subprocess.Popen[bytes] | None = None
        self.master = 0
        self.pidfd = -1
        self.restarts = 0
        self.quick_deaths = 0
        self.born = 0.0
        self.last_exit: int | None = None
        self.stop_requests = 0
        self.wake_reader, self.wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self) -> int:
        signal.set_wakeup_fd(self.wake_writer)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.on_stop)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        adopted = self.spec["adopt"]
        try:
            if adopted:
                self.port = self.spec["bound_port"]
                self.listener = inherit(adopted["pid"], self.spec["listener_variable"])
                self.watch(adopted["pid"])
            else:
                self.open()
        except (BindFailed, OSError) as error:
            self.report("failed", str(error))
            return 1
        while not self.stop_requests:
            if not self.master and not self.start():
                continue
            self.wait(TIDY_SECONDS)
            self.reap()
            self.tidy_log()
        self.stop()
        self.report("stopped")
        return 0

    def on_stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stop_requests += 1

    def open(self) -> socket.socket:
        if self.listener is None:
            self.listener = bind(self.spec["host"], self.port)
            self.port = self.listener.getsockname()[1]
        return self.listener

    def start(self) -> bool:
        """False when the address was lost to somebody else (only after an adoption); tried again then."""
        try:
            listener = self.open()
        except BindFailed as error:
            self.report("restarting", str(error))
            self.wait(0.5)
            return False
        spec = self.spec
        descriptor = listener.fileno()
        log = os.open(spec["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self.process = subprocess.Popen(
                [spec["binary"], "-W", "-S", f"unix@{spec['master_socket']},mode,600", "-f", spec["config"]],
                cwd=spec["directory"],
                env={**os.environ, spec["listener_variable"]: str(descriptor)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(descriptor,),
                process_group=0,
            )
        finally:
            os.close(log)
        self.watch(self.process.pid)
        return True

    def watch(self, pid: int) -> None:
        self.pidfd = os.pidfd_open(pid)
        self.master = pid
        self.born = time.monotonic()
        self.report("running")

    def wait(self, seconds: float) -> None:
        """Until a signal, the master's death, or so many seconds."""
        watched = [self.wake_reader] + ([self.pidfd] if self.master else [])
        select.select(watched, [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            os.read(self.wake_reader, 512)

    def reap(self) -> None:
        """Collects what ended. After the master's death nothing of it may be left: it would hold old routes."""
        if self.master and select.select([self.pidfd], [], [], 0)[0]:
            self.kill_group()
            os.close(self.pidfd)
            self.last_exit = self.process.wait() if self.process else None
            self.process, self.master, self.pidfd = None, 0, -1
            if not self.stop_requests:
                self.restarts += 1
                self.pause()
        with contextlib.suppress(ChildProcessError):
            while True:
                # Popen's own child is left to Popen.
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if found is None or (self.process and found.si_pid == self.process.pid):
                    break
                os.waitpid(found.si_pid, 0)

    def pause(self) -> None:
        """None after a crash; longer and longer when HAProxy can't live at all."""
        if time.monotonic() - self.born >= QUICK_DEATH_SECONDS:
            self.quick_deaths = 0
        self.quick_deaths += 1
        if self.quick_deaths > 1:
            self.report("restarting")
            seconds = min(LONGEST_PAUSE_SECONDS, 0.05 * 2**self.quick_deaths)
            deadline = time.monotonic() + seconds
            while not self.stop_requests and (left := deadline - time.monotonic()) > 0:
                self.wait(left)

    def kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.master, signal.SIGKILL)

    def stop(self) -> None:
        if self.listener is not None:
            self.listener.close()
        if not self.master:
            return
        self.report("stopping")
        for number, seconds in (
            (signal.SIGUSR1, float(self.spec["stop_grace_seconds"])),
            (signal.SIGTERM, 2.0),
            (signal.SIGKILL, 2.0),
        ):
            with contextlib.suppress(ProcessLookupError):
                if number is signal.SIGKILL:
                    self.kill_group()
                else:
                    signal.pidfd_send_signal(self.pidfd, number)
            deadline = time.monotonic() + seconds
            asked = self.stop_requests
            while self.master and asked == self.stop_requests and (left := deadline - time.monotonic()) > 0:
                self.wait(left)
                self.reap()
            if not self.master:
                return

    def report(self, state: str, error: str = "") -> None:
        """A full disk must not stop HAProxy's supervision: then the status is old."""
        status: dict[str, Any] = {
            "state": state,
            "error": error,
            "pid": os.getpid(),
            "started": started_ticks(os.getpid()),
            "boot_id": self.boot_id,
            "host": self.spec["host"],
            "port": self.spec["port"],
            "bound_port": self.port,
            "restarts": self.restarts,
            "last_exit": self.last_exit,
            "haproxy": None,
        }
        with contextlib.suppress(OSError, ValueError):
            if self.master:
                status["haproxy"] = {"pid": self.master, "started": started_ticks(self.master)}
        with contextlib.suppress(OSError):
            path = Path(self.spec["status"])
            temporary = path.with_name(f"{path.name}.{os.getpid()}")
            temporary.write_text(json.dumps(status), encoding="utf-8")
            temporary.replace(path)

    def tidy_log(self) -> None:
        """HAProxy appends to the file itself, so the old part is copied and the file emptied."""
        with contextlib.suppress(OSError):
            path = Path(self.spec["log"])
            if path.stat().st_size > self.spec["log_limit_bytes"]:
                path.with_name(path.name + ".1").write_bytes(path.read_bytes())
                os.truncate(path, 0)


if __name__ == "__main__":
    sys.exit(Shim(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))).run())
