"""A smoke test that is a command: runs it without a shell, keeps its last lines, leaves no process behind."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bluegreen.probes.leftovers import MARK_VARIABLE, kill_marked, new_mark

MAX_LINES = 20
MAX_LINE_CHARACTERS = 500
_MAX_TAIL_BYTES = 16 * 1024
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")
_OUTPUT_GRACE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class CommandResult:
    """`exit_code` is None when the time was up, negative for a signal. `lines` are the last of the output."""

    exit_code: int | None
    lines: tuple[str, ...]


async def run_command(
    command: tuple[str, ...], environment: Mapping[str, str], directory: Path | None, max_seconds: float
) -> CommandResult:
    """Runs it to its end or to `max_seconds`. Whatever happens, cancellation included, none of it stays running.

    Of our own environment it gets the few variables that programs need to start, no secrets.
    Raises OSError when it can't be started.
    """
    mark = new_mark()
    inherited = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    tail = _Tail()
    write_fd = await tail.open()
    try:
        # The pipe is ours, not the process object's: with one of its own, waiting for the end of the
        # command would in some Python versions wait for every child that still holds the pipe.
        starting = asyncio.ensure_future(
            asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=write_fd,
                stderr=asyncio.subprocess.STDOUT,
                env={**inherited, **environment, MARK_VARIABLE: mark},
                cwd=directory,
                start_new_session=True,
            )
        )
        try:
            # Cancelled between fork and return, the process would be nobody's.
            process = await asyncio.shield(starting)
        except asyncio.CancelledError:
            with suppress(OSError):
                await _end(await starting, mark)
            raise
    except BaseException:
        tail.close()
        raise
    finally:
        os.close(write_fd)
    return await _watch(process, tail, mark, max_seconds)


async def _watch(process: asyncio.subprocess.Process, tail: _Tail, mark: str, max_seconds: float) -> CommandResult:
    exit_code: int | None = None
    try:
        try:
            async with asyncio.timeout(max_seconds):
                exit_code = await process.wait()
        except TimeoutError:
            exit_code = None
        finally:
            # In a task of its own: a second cancellation ends our waiting, not the killing.
            await asyncio.shield(asyncio.ensure_future(_end(process, mark)))
        return CommandResult(exit_code, await tail.lines())
    finally:
        tail.close()


async def _end(process: asyncio.subprocess.Process, mark: str) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    await asyncio.to_thread(kill_marked, mark)


class _Tail:
    """The last lines of what is written to a pipe. Reads all of it, so that the writer never waits for us."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._reader = asyncio.StreamReader(limit=_MAX_TAIL_BYTES)
        self._transport: asyncio.ReadTransport | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> int:
        """Returns the end to write to; closing that is the caller's business."""
        read_fd, write_fd = os.pipe()
        protocol = asyncio.StreamReaderProtocol(self._reader)
        loop = asyncio.get_running_loop()
        try:
            self._transport, _ = await loop.connect_read_pipe(lambda: protocol, os.fdopen(read_fd, "rb", 0))
        except BaseException:
            os.close(write_fd)
            raise
        self._task = asyncio.create_task(self._collect())
        return write_fd

    async def _collect(self) -> None:
        while chunk := await self._reader.read(_MAX_TAIL_BYTES):
            self._kept += chunk
            del self._kept[:-_MAX_TAIL_BYTES]

    async def lines(self) -> tuple[str, ...]:
        """After the writers are gone; should one have escaped, what it wrote so far has to do."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=_OUTPUT_GRACE_SECONDS)
        text = self._kept.decode(errors="replace")
        return tuple(line.rstrip()[:MAX_LINE_CHARACTERS] for line in text.splitlines()[-MAX_LINES:])

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
        if self._transport is not None:
            self._transport.close()
