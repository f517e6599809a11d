"""A worker that is kept from ending until its last counts were read."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bluegreen.routers.haproxy.admin import ANSWER_TIMEOUT_SECONDS, RouterUnreachable, parse_info

_PROMPT = b"\n> "
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.01, 0.5
_COMMAND_TIMEOUT_SECONDS = 3600
"""After how long HAProxy closes a silent connection to its command line; 10 s if not told."""


class HeldWorker:
    """An open connection to the command line of a worker, which after a reload does not end before it is let go. When
    our process dies the system lets it go."""

    def __init__(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = pid
        self._reader = reader
        self._writer = writer

    @classmethod
    async def hold(cls, socket: Path) -> HeldWorker:
        """The worker that takes requests now. Raises RouterUnreachable."""
        try:
            reader, writer = await asyncio.open_unix_connection(str(socket))
        except OSError as error:
            raise RouterUnreachable(f"HAProxy does not answer on {socket}: {error.strerror or error}") from error
        held = cls(0, reader, writer)
        try:
            await held.ask("prompt")
            await held.ask(f"set timeout cli {_COMMAND_TIMEOUT_SECONDS}")
            held.pid = int(parse_info(await held.ask("show info")).get("Pid", "0"))
        except BaseException:
            held.let_go()
            raise
        return held

    async def ask(self, command: str) -> str:
        """Raises RouterUnreachable when the worker is gone or silent."""
        answer = b""
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
                self._writer.write(command.encode() + b"\n")
                while not answer.endswith(_PROMPT):
                    more = await self._reader.read(1 << 18)
                    if not more:
                        raise ConnectionResetError("it has ended")
                    answer += more
        except (OSError, TimeoutError) as error:
            raise RouterUnreachable(f"HAProxy process {self.pid} does not answer: {error or 'too slow'}") from error
        return answer.decode(errors="replace").removesuffix(_PROMPT.decode())

    async def idle(self) -> None:
        """Returns when it is leaving and has no connection of users any more: from then on it counts nothing."""
        pause_seconds = _FIRST_PAUSE_SECONDS
        while True:
            info = parse_info(await self.ask("show info"))
            if info.get("Stopping") == "1" and info.get("CurrConns") == "0":
                return
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)

    def let_go(self) -> None:
        self._writer.close()
