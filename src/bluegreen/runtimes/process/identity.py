"""Which process is meant. A pid alone is reused; with its start time and the boot it is unique for ever."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass

from bluegreen.runtimes.process.proc import START_TICKS, boot_id, stat_fields


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """`start_ticks` is field 22 of /proc/<pid>/stat: clock ticks from boot to the start of the process."""

    pid: int
    start_ticks: int
    boot_id: str

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity | None:
        """None when no process has this pid."""
        fields = stat_fields(pid)
        return cls(pid, int(fields[START_TICKS]), boot_id()) if fields else None

    def alive(self) -> bool:
        """A zombie is dead: it runs nothing and holds nothing, and nobody may ever reap it."""
        fields = stat_fields(self.pid)
        return (
            fields is not None
            and fields[0] not in "ZX"
            and int(fields[START_TICKS]) == self.start_ticks
            and boot_id() == self.boot_id
        )

    def open(self) -> int | None:
        """A pidfd of exactly this process, for the caller to close; None when it is dead."""
        try:
            pidfd = os.pidfd_open(self.pid)
        except OSError:
            return None
        if self.alive():
            return pidfd
        os.close(pidfd)
        return None

    def send(self, number: signal.Signals) -> bool:
        """False when it is dead. Never reaches a process that merely got its pid."""
        pidfd = self.open()
        if pidfd is None:
            return False
        try:
            signal.pidfd_send_signal(pidfd, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(pidfd)
        return True


async def wait_ended(identity: ProcessIdentity, timeout_seconds: float) -> bool:
    """Whether it ended within `timeout_seconds`. Needs not be a child of ours."""
    pidfd = identity.open()
    if pidfd is None:
        return True
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(pidfd, ended.set)
    try:
        await asyncio.wait_for(ended.wait(), timeout_seconds)
    except TimeoutError:
        return not identity.alive()
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)
    return True
