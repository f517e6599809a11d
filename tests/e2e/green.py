"""A service that misbehaves on demand: `green.py VERSION PORT DIRECTORY`.

The version names the misbehaviour (see BEHAVIOURS); every other one behaves. Files in DIRECTORY steer all of them
while they run: `hold-VERSION` keeps it unhealthy, `die-VERSION` makes it end with exit code 3, `fail-VERSION` answers
users with 500, and `fail-all` does so whatever the version.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import parse_qs

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples" / "inference-model"))

from http_server import Request, Response, serve

LEAKED = "left-behind-by-green"
WATCH_SECONDS = 0.02
SLOW_SECONDS = 0.4
# Ignores SIGTERM, belongs to nobody's process group, and has an environment of its own.
LEAK = f"import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)  # {LEAKED}"


class Green:
    def __init__(self, version: str, directory: Path) -> None:
        self.version = version
        self.directory = directory
        self.checks = 0
        self.requests = 0
        self.fails_every, self.slow_every = _number(version, "fails"), _number(version, "slow")
        self.breaks_every = _number(version, "breaks")

    def answer(self, request: Request) -> Response:
        if request.path == "/health":
            return self._health()
        if request.path == "/stream":
            wanted = parse_qs(request.query)
            tokens, delay = int(wanted["tokens"][0]), int(wanted["delay_ms"][0])
            return Response(content_type="text/event-stream", stream=self._tokens(tokens, delay / 1000))
        if request.path == "/smoke":
            return self._smoke()
        self.requests += 1
        if self.breaks_every and self.requests % self.breaks_every == 0:
            return Response(stream=self._broken())
        bad = self.fails_every and self.requests % self.fails_every == 0
        bad = bad or (self.version == "payless" and request.path == "/pay")
        response = self._json(500 if bad or self._fails() else 200)
        if self.slow_every and self.requests % self.slow_every == 0:
            response.delay_seconds = SLOW_SECONDS
        return response

    def _fails(self) -> bool:
        return any((self.directory / f"fail-{name}").exists() for name in (self.version, "all"))

    def _health(self) -> Response:
        self.checks += 1
        sick = self.version == "sick" or (self.directory / f"hold-{self.version}").exists()
        if sick or (self.version == "flapping" and self.checks % 2 == 0):
            return self._json(500)
        return self._json(200)

    def _smoke(self) -> Response:
        response = self._json(500 if self.version == "smokes" else 200)
        response.delay_seconds = 600.0 if self.version == "hangs" else 0.0
        return response

    def _json(self, status: int) -> Response:
        return Response(status, json.dumps({"version": self.version}).encode() + b"\n")

    async def _broken(self) -> AsyncIterator[bytes]:
        yield b"so far"
        raise ConnectionError("the model ran out of memory")

    async def _tokens(self, count: int, delay_seconds: float) -> AsyncIterator[bytes]:
        for index in range(count):
            yield f"data: {index} {self.version}\n\n".encode()
            await asyncio.sleep(delay_seconds)
        yield b"data: [DONE]\n\n"


def _number(version: str, word: str) -> int:
    """20 in `fails-20` and `fails-20-again`; 0 in other versions."""
    found = re.match(rf"{word}-(\d+)", version)
    return int(found[1]) if found else 0


async def die_when_told(file: Path) -> None:
    while not file.exists():
        await asyncio.sleep(WATCH_SECONDS)
    print("I was told to die", flush=True)
    raise SystemExit(3)


async def never_listen() -> None:
    await asyncio.Event().wait()


def dies_at_once() -> Awaitable[None]:
    print("no such model", flush=True)
    raise SystemExit(7)


BEHAVIOURS: dict[str, Callable[[], Awaitable[None]]] = {"deaf": never_listen, "stillborn": dies_at_once}
"""Beside these: sick, flapping, smokes (its smoke test answers 500), hangs (never answers it), leaks; fails-N (every
N-th answer is 500), slow-N (every N-th takes SLOW_SECONDS), payless (fails at /pay alone)."""


async def main(version: str, port: int, directory: Path) -> None:
    print(f"{version} on port {port}", flush=True)
    if version == "leaks":
        subprocess.Popen([sys.executable, "-c", LEAK, str(directory)], env={}, start_new_session=True)
    if behaviour := BEHAVIOURS.get(version):
        await behaviour()
    green = Green(version, directory)
    served = asyncio.create_task(serve("127.0.0.1", port, green.answer, {"X-Version": version}, 2.0))
    told = asyncio.create_task(die_when_told(directory / f"die-{version}"))
    done, _ = await asyncio.wait([served, told], return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
    told.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
