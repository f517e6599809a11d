# ruff: noqa: PTH105, PTH123, PTH208, SIM105
# pathlib and contextlib would cost every shim milliseconds and memory.
"""Keeps one replica running, from its own session, whether or not the controller lives. Standard library only.

It reads `launch.json` once, says what it sees in `status.json`, copies the replica's output to `output.log`, and
holds a lock on `shim.lock` as long as it lives. A replica that ends by itself is started again, after a pause
that doubles. SIGTERM makes it stop the replica and every process that came out of it, and then end.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from typing import Any

from bluegreen.runtimes.process.child import CannotStart, become_subreaper, start_child
from bluegreen.runtimes.process.output_log import RotatingLog
from bluegreen.runtimes.process.port_lease import NoFreePort, PortLease, lock
from bluegreen.runtimes.process.proc import (
    GROUP,
    START_TICKS,
    boot_id,
    children_of,
    descendants_of,
    stat_fields,
)

FORMAT = 1
PORT_MARK = "\0"
"""Stands for the port in arguments and environment: the one character that neither can contain."""

TICK_MILLISECONDS = 1000
IDLE_MILLISECONDS = 3_600_000


class Shim:
    def __init__(self, directory: str) -> None:
        with open(f"{directory}/launch.json", encoding="utf-8") as file:
            launch: dict[str, Any] = json.load(file)
        self.launch = launch
        self.directory = directory
        self.log = RotatingLog(f"{directory}/output.log", launch["log_max_bytes"], launch["log_files"])
        self.lease = PortLease(launch["port_first"], launch["port_last"], launch["port_lock_directory"])
        self.child: int | None = None
        self.wait_status: int | None = None
        self.output_fd = -1
        self.stopping = False
        self.ready_announced = False
        self.status_written = True
        self.status: dict[str, Any] = {
            "format": FORMAT,
            "generation": 0,
            "boot_id": boot_id(),
            "shim_pid": os.getpid(),
            "shim_start_ticks": int((stat_fields(os.getpid()) or [])[START_TICKS]),
            "child_pid": None,
            "child_start_ticks": None,
            "port": launch["port"],
            "state": "scheduled",
            "final": False,
            "restarts": launch["restarts"],
            "exit_code": launch["exit_code"],
            "signal": None,
            "error": "",
            "started_at": None,
        }
        self._prepare_signals()

    def _prepare_signals(self) -> None:
        self.wake_fd, wake_write_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(wake_write_fd, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, lambda _number, _frame: None)
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)

    def run(self) -> None:
        """Until SIGTERM, or until the replica turns out not to be startable at all."""
        delay = self.launch["backoff_first_seconds"]
        while not self.stopping:
            began = time.monotonic()
            try:
                self._start()
                self._wait(None)
            except (CannotStart, NoFreePort) as problem:
                self._note(str(problem))
                self._report("failed", final=True, error=str(problem))
                return
            except OSError as problem:
                self._note(f"could not be started: {problem}")
            if self.stopping:
                break
            self._end_everything(grace_seconds=0.0)
            if time.monotonic() - began >= self.launch["backoff_reset_seconds"]:
                delay = self.launch["backoff_first_seconds"]
            self._note(f"{self._how_it_ended()}; starts again in {delay:g} s")
            self._report("pending")
            self._wait(time.monotonic() + delay)
            self.status["restarts"] += 0 if self.stopping else 1
            delay = min(delay * 2, self.launch["backoff_max_seconds"])
        self._end_everything(grace_seconds=self.launch["grace_seconds"])
        self._how_it_ended()
        self._report("cancelled", final=True)

    def _start(self) -> None:
        """Raises CannotStart or NoFreePort, and OSError when trying again may help."""
        self.wait_status = None
        port = str(self.lease.ensure(self.status["port"]))
        self.status["port"] = int(port)
        argv = [argument.replace(PORT_MARK, port) for argument in self.launch["argv"]]
        env = {name: value.replace(PORT_MARK, port) for name, value in self.launch["env"].items()}
        workdir = self.launch["workdir"].replace(PORT_MARK, port)
        self.child, self.output_fd = start_child(argv, env, workdir)
        fields = stat_fields(self.child)
        self.status["started_at"] = time.time()
        self._report("running", child_pid=self.child, child_start_ticks=int(fields[START_TICKS]) if fields else 0)

    def _how_it_ended(self) -> str:
        """Notes exit code and signal; the exit code of a signal is 128 + its number, as in a shell."""
        if self.wait_status is None:
            return "did not start"
        code = os.waitstatus_to_exitcode(self.wait_status)
        self.status.update(exit_code=code if code >= 0 else 128 - code, signal=-code if code < 0 else None)
        return f"ended with exit code {code}" if code >= 0 else f"was ended by signal {-code}"

    # -- waiting ----------------------------------------------------------------------------------------------

    def _wait(self, deadline: float | None) -> None:
        """Copies output until the child ended (without a deadline), it passed, or the shim shall stop."""
        while not self.stopping and (deadline is not None or self.child is not None):
            timeout = IDLE_MILLISECONDS if self.status_written else TICK_MILLISECONDS
            if deadline is not None:
                timeout = min(timeout, int((deadline - time.monotonic()) * 1000) + 1)
                if timeout <= 0:
                    return
            self._poll(timeout)

    def _poll(self, timeout_milliseconds: int) -> None:
        poller = select.poll()
        poller.register(self.wake_fd, select.POLLIN)
        if self.output_fd >= 0:
            poller.register(self.output_fd, select.POLLIN)
        ready = [fd for fd, _event in poller.poll(timeout_milliseconds)]
        if self.output_fd in ready:
            self._copy_output()
        if self.wake_fd in ready:
            self.stopping = self.stopping or signal.SIGTERM in os.read(self.wake_fd, 4096)
            self._reap()
        if not self.status_written:
            self._write_status()

    def _copy_output(self) -> bool:
        """One block from the pipe to the log; False when there is none now."""
        try:
            data = os.read(self.output_fd, 65536)
        except BlockingIOError:
            return False
        if data:
            self.log.write(data)
        else:
            self._close_output()
        return bool(data)

    def _close_output(self) -> None:
        if self.output_fd >= 0:
            os.close(self.output_fd)
        self.output_fd = -1

    def _reap(self) -> bool:
        """Collects what ended, adopted orphans too; False when no process of the replica is left."""
        try:
            while True:
                pid, wait_status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return True
                if pid == self.child:
                    self.child, self.wait_status = None, wait_status
        except ChildProcessError:
            return False

    # -- the end ----------------------------------------------------------------------------------------------

    def _end_everything(self, grace_seconds: float) -> None:
        """SIGTERM to all, grace, then SIGKILL to direct children until there are none.

        The children of a killed one become ours, so this reaches every process; and the pid of a direct child
        can't be somebody else's before we reap it.
        """
        if grace_seconds > 0 and self._reap():
            self._ask_all_to_end()
            deadline = time.monotonic() + grace_seconds
            while self._reap() and (remaining := deadline - time.monotonic()) > 0:
                self._poll(min(TICK_MILLISECONDS, int(remaining * 1000) + 1))
        while self._reap():
            for pid in children_of(os.getpid()):
                self._kill(pid)
            self._poll(20)
        while self.output_fd >= 0 and self._copy_output():
            pass
        self._close_output()

    def _kill(self, pid: int) -> None:
        try:
            os.kill(pid, signal.SIGKILL)
        except PermissionError as problem:  # It changed its user id; the runtime names it when its patience ends.
            print(f"process {pid} can't be killed: {problem}", file=sys.stderr, flush=True)

    def _ask_all_to_end(self) -> None:
        """One SIGTERM each: the group at once, then those that left the group."""
        group = self.child
        if group is not None:
            try:
                os.killpg(group, signal.SIGTERM)
            except OSError:
                group = None  # The replica left the group that we made for it; it is asked below.
        for pid in descendants_of(os.getpid()):
            before = stat_fields(pid)
            if before is None or before[GROUP] == str(group):
                continue
            try:
                pidfd = os.pidfd_open(pid)
            except OSError:
                continue
            try:
                now = stat_fields(pid)
                if now is not None and now[START_TICKS] == before[START_TICKS]:
                    signal.pidfd_send_signal(pidfd, signal.SIGTERM)
            except ProcessLookupError:
                continue
            finally:
                os.close(pidfd)

    # -- saying what is ---------------------------------------------------------------------------------------

    def _note(self, sentence: str) -> None:
        """Into the replica's own log, where people look first."""
        self.log.write(f"bluegreen: {sentence}\n".encode(errors="replace"))

    def _report(self, state: str, **changes: Any) -> None:
        """Writes the status; the first time it also tells the runtime, which reads our standard output."""
        self.status.update({"child_pid": None, "child_start_ticks": None} | changes, state=state)
        self._write_status()
        if self.ready_announced:
            return
        self.ready_announced = True
        try:
            os.write(1, b"ready\n")
        except OSError:
            pass  # The controller is gone; the replica runs on without it.
        null_fd = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(null_fd, 1)
        os.close(null_fd)

    def _write_status(self) -> None:
        """Atomic. When the disk is full it is tried again every second."""
        self.status["generation"] += 1
        target = f"{self.directory}/status.json"
        try:
            with open(f"{target}.tmp", "w", encoding="utf-8") as file:
                json.dump(self.status, file)
            os.replace(f"{target}.tmp", target)
            self.status_written = True
        except OSError as problem:
            if self.status_written:
                print(f"status.json could not be written: {problem}", file=sys.stderr, flush=True)
            self.status_written = False


def main(directory: str) -> int:
    """Exit code 75: another shim runs this replica already."""
    for fd in [int(name) for name in os.listdir("/proc/self/fd") if int(name) > 2]:
        try:
            os.close(fd)
        except OSError:
            continue  # The descriptor of the listing itself.
    os.chdir("/")
    os.umask(0o022)
    lock_fd = os.open(f"{directory}/shim.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if not lock(lock_fd):
        print("another shim runs this replica", file=sys.stderr)
        return 75
    become_subreaper()
    Shim(directory).run()
    return 0
