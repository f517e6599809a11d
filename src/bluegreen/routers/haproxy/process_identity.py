"""Who a process is: a bare pid may belong to somebody else by now. Linux only."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """`started` is in clock ticks since boot; together with the boot id no two processes have the same."""

    pid: int
    started: int
    boot_id: str

    @property
    def alive(self) -> bool:
        """A zombie is not alive."""
        if self.boot_id != boot_id():
            return False
        try:
            state, started = _stat(self.pid)
        except (OSError, ValueError):
            return False
        return started == self.started and state not in "ZX"

    def send(self, number: signal.Signals) -> None:
        """No error when it has ended. The pidfd closes the gap between looking and sending."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except OSError:
            return
        try:
            if self.alive:
                signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return
        finally:
            os.close(descriptor)


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _stat(pid: int) -> tuple[str, int]:
    # The name, in brackets, may itself have brackets and spaces.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    return fields[0], int(fields[19])
