"""The socket of an engine on another machine, brought here by OpenSSH's own client: it honours ~/.ssh/config, known
hosts and the agent, as people expect."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from contextlib import suppress
from pathlib import Path

from bluegreen.domain.errors import RuntimeFailure
from bluegreen.spec.engine_host import EngineHost

OPEN_TIMEOUT_SECONDS, LOOK_SECONDS = 20.0, 0.02
STALE_SECONDS = 5.0
"""What ssh said before that is no reason for what fails now."""
END_TIMEOUT_SECONDS = 5.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
"""After an attempt that failed: a server that refuses us must not see a stranger who tries all day long."""
_TIED = str(Path(__file__).with_name("tied.py"))
_OPTIONS = (
    "BatchMode=yes",
    "ExitOnForwardFailure=yes",
    "ConnectTimeout=10",
    "ServerAliveInterval=10",
    "ServerAliveCountMax=3",
    "StreamLocalBindMask=0177",
    # A master connection of the user's would take the socket over and keep it when we end.
    "ControlMaster=no",
    "ControlPath=none",
    "ForwardAgent=no",
    "ForwardX11=no",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
)


class SshTunnel:
    """`directory` is private, and its path short. Opened when it is first needed, and again when it died."""

    def __init__(self, host: EngineHost, directory: Path) -> None:
        self._host = host
        self.directory = directory
        self.socket = directory / f"ssh-{os.getpid()}-{secrets.token_hex(2)}.sock"
        self._process: asyncio.subprocess.Process | None = None
        self._words, self._spoken_at = "", 0.0
        self._listening: asyncio.Task[None] | None = None
        self._attempt: asyncio.Task[None] | None = None
        self._is_open = False
        self._why = ""
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self._not_before = 0.0

    @property
    def is_open(self) -> bool:
        return self._is_open and self._process is not None and self._process.returncode is None

    @property
    def last_words(self) -> str:
        """What ssh said just now; "" when nothing."""
        return self._words if asyncio.get_running_loop().time() - self._spoken_at < STALE_SECONDS else ""

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def ready(self) -> None:
        """Returns when it is open; all who wait share one attempt. Raises RuntimeFailure with what ssh said."""
        if self.is_open:
            return
        if self._attempt is None or self._attempt.done():
            self._attempt = asyncio.create_task(self._open(), name="ssh to the engine")
            self._attempt.add_done_callback(_seen)
        await asyncio.shield(self._attempt)

    async def aclose(self) -> None:
        if self._attempt is not None:
            self._attempt.cancel()
            await asyncio.gather(self._attempt, return_exceptions=True)
        await self._end()

    async def real_host(self) -> str:
        """What ~/.ssh/config makes of the host's name."""
        arguments = ["ssh", "-G", *_destination(self._host)]
        pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        try:
            asked = await asyncio.create_subprocess_exec(*arguments, stdin=null, stdout=pipe, stderr=null)
        except OSError:
            return self._host.host
        said, _ = await asked.communicate()
        found = [line[9:] for line in said.decode(errors="replace").splitlines() if line.startswith("hostname ")]
        return found[0].strip() if found else self._host.host

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() < self._not_before:
            raise self._failure()
        try:
            await self._end()
            _remove_what_the_dead_left(self.directory)
            await self._start()
            async with asyncio.timeout(OPEN_TIMEOUT_SECONDS):
                while not self.socket.is_socket():
                    if self._process is None or self._process.returncode is not None:
                        raise self._failure()
                    await asyncio.sleep(LOOK_SECONDS)
        except (OSError, RuntimeFailure) as problem:  # A timeout is an OSError too.
            if self._listening is not None:
                await asyncio.wait([self._listening], timeout=1.0)
            self._why = self._words or str(problem) or "it did not connect in time"
            self._not_before = loop.time() + self._pause_seconds
            self._pause_seconds = min(self._pause_seconds * 2, LONGEST_PAUSE_SECONDS)
            await self._end()
            raise self._failure() from problem
        self._is_open, self._pause_seconds = True, FIRST_PAUSE_SECONDS

    async def _start(self) -> None:
        self._words = ""
        options = [part for option in _OPTIONS for part in ("-o", option)]
        forward = f"{_escaped(str(self.socket))}:{_escaped(self._host.path)}"
        arguments = ["ssh", "-N", "-T", *options, "-L", forward, *_destination(self._host)]
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", _TIED, str(os.getpid())),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C at the daemon is not for it; aclose is.
        )
        self._listening = asyncio.create_task(self._listen(self._process), name="what ssh says")

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        with suppress(ValueError):  # A line without an end.
            async for line in process.stderr:
                if text := line.decode(errors="replace").strip():
                    self._words, self._spoken_at = text, asyncio.get_running_loop().time()
        await process.wait()

    async def _end(self) -> None:
        self._is_open = False
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            for end in (process.terminate, process.kill):
                with suppress(ProcessLookupError):
                    end()
                with suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), END_TIMEOUT_SECONDS)
                    break
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
            self._listening = None
        with suppress(OSError):
            self.socket.unlink()

    def _failure(self) -> RuntimeFailure:
        name = " ".join([*_destination(self._host)[:-2], self._host.host])
        return RuntimeFailure(
            f"ssh to the Docker Engine at {self._host.host} failed: {self._why or self._words}",
            hint=f"It must work without a question: ssh -o BatchMode=yes {name} true",
        )


def _destination(host: EngineHost) -> list[str]:
    user = ["-l", host.user] if host.user else []
    port = ["-p", str(host.port)] if host.port else []
    return [*user, *port, "--", host.host]


def _escaped(path: str) -> str:
    """As ssh reads the paths of a forward: a colon ends one, and % begins a token."""
    return path.replace("\\", "\\\\").replace(":", "\\:").replace("%", "%%")


def _remove_what_the_dead_left(directory: Path) -> None:
    for socket in directory.glob("ssh-*-*.sock"):
        pid = socket.name.split("-")[1]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            with suppress(OSError):
                socket.unlink()


def _seen(attempt: asyncio.Task[None]) -> None:
    """Who asked may have gone meanwhile; asyncio would complain that nobody heard of the failure."""
    if not attempt.cancelled():
        attempt.exception()
