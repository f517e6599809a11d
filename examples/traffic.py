"""Steady traffic that remembers when each request began, what answered it, and how it failed.

Used by the demonstration, the end-to-end tests and the measurements, so that all of them mean the same by
"no request failed" and "no request reached the old side".
"""

from __future__ import annotations

import asyncio
import time
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from examples.http_client import Answer, BrokenAnswer, ClientConnection, NoAnswer

NO_STATUS = 0
MAX_FAILURE_TEXTS = 10
PAUSE_AFTER_NO_ANSWER_SECONDS = 0.01
MAX_BACKLOG_SECONDS = 0.5
"""How far the pace may fall behind before the missed requests are given up."""


@dataclass(frozen=True, slots=True)
class TrafficReport:
    """Each request is one position in the four arrays. Times are those of `time.monotonic()`.

    `failed` counts requests without a whole answer and answers of 400 and above. `reconnects` counts how
    often a server ended an idle connection just as a request went out on it; as any HTTP client does, the
    request was sent once more on a new connection.
    """

    begun: array[float]
    """When the request's first byte was handed to the kernel (of the second attempt if there was one)."""
    seconds: array[float]
    """From the beginning, connecting included, until the whole answer was there."""
    statuses: array[int]
    """0 for no answer."""
    versions: array[int]
    """Position in `version_names`."""
    version_names: tuple[str, ...]
    reconnects: int
    failures: tuple[str, ...]
    """The first few, each with the moment in seconds since the start and what happened."""
    duration_seconds: float

    @property
    def sent(self) -> int:
        return len(self.begun)

    @property
    def failed(self) -> int:
        return sum(1 for status in self.statuses if not is_success(status))

    @property
    def by_version(self) -> Mapping[str, int]:
        """Answers per version, in the order of their first appearance; `""` is an answer without the header."""
        counts = Counter(
            self.version_names[version]
            for version, status in zip(self.versions, self.statuses, strict=True)
            if status != NO_STATUS
        )
        return {name: counts[name] for name in self.version_names if name in counts}

    @property
    def by_status(self) -> Mapping[int, int]:
        return dict(sorted(Counter(self.statuses).items()))

    @property
    def requests_per_second(self) -> float:
        return self.sent / self.duration_seconds if self.duration_seconds else 0.0

    def requests_on_old_after(self, acknowledged: float, old_version: str) -> int:
        """Requests begun after a switch was acknowledged (at `time.monotonic()`) that the old version answered."""
        if old_version not in self.version_names:
            return 0
        old = self.version_names.index(old_version)
        return sum(
            1
            for begun, version, status in zip(self.begun, self.versions, self.statuses, strict=True)
            if begun > acknowledged and version == old and status != NO_STATUS
        )

    def latency_milliseconds(self, percentile: float) -> float:
        """Of the successful requests; 0 when there is none. `percentile` is from 0 to 100."""
        pairs = zip(self.seconds, self.statuses, strict=True)
        ordered = sorted(seconds for seconds, status in pairs if is_success(status))
        if not ordered:
            return 0.0
        return ordered[min(int(len(ordered) * percentile / 100), len(ordered) - 1)] * 1000


def is_success(status: int) -> bool:
    return 200 <= status < 400


class SteadyTraffic:
    """`concurrency` clients that send one request after the other, together `rate_per_second` (None: as fast as
    they are answered), each on its own connection: kept, or a new one per request."""

    def __init__(
        self,
        host: str,
        port: int,
        path: str = "/",
        *,
        method: str = "GET",
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        concurrency: int = 8,
        rate_per_second: float | None = None,
        keep_alive: bool = True,
        timeout_seconds: float = 10.0,
        version_header: str = "X-Version",
    ) -> None:
        self._host, self._port = host, port
        self._concurrency = concurrency
        self._interval_seconds = 1 / rate_per_second if rate_per_second else 0.0
        self._keep_alive = keep_alive
        self._timeout_seconds = timeout_seconds
        self._version_header = version_header.lower().encode()
        own = {"Host": f"{host}:{port}", "Connection": "keep-alive" if keep_alive else "close"}
        if body:
            own |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        lines = "".join(f"{name}: {value}\r\n" for name, value in {**own, **(headers or {})}.items())
        self._request = f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body
        self._begun, self._seconds = array("d"), array("d")
        self._statuses, self._versions = array("H"), array("H")
        self._version_numbers: dict[str, int] = {}
        self._reconnects = 0
        self._failures: list[str] = []
        self._started = self._ended = self._next_turn = 0.0
        self._stopping = asyncio.Event()
        self._clients: Sequence[asyncio.Task[None]] = ()

    @classmethod
    def to_url(
        cls,
        url: str,
        *,
        method: str = "GET",
        body: bytes = b"",
        concurrency: int = 8,
        rate_per_second: float | None = None,
        keep_alive: bool = True,
    ) -> SteadyTraffic:
        """For an `http://host:port/path` address."""
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"{url!r} is not an http address")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(
            parts.hostname,
            parts.port or 80,
            path,
            method=method,
            body=body,
            concurrency=concurrency,
            rate_per_second=rate_per_second,
            keep_alive=keep_alive,
        )

    async def start(self) -> None:
        self._started = self._next_turn = time.monotonic()
        self._clients = [asyncio.create_task(self._client()) for _ in range(self._concurrency)]

    async def stop(self) -> TrafficReport:
        """Lets the requests on the way finish. Raises what a client died of, if one did."""
        self._stopping.set()
        await asyncio.gather(*self._clients)
        self._ended = time.monotonic()
        return self.report()

    def report(self) -> TrafficReport:
        """What happened up to now."""
        return TrafficReport(
            begun=self._begun[:],
            seconds=self._seconds[:],
            statuses=self._statuses[:],
            versions=self._versions[:],
            version_names=tuple(self._version_numbers),
            reconnects=self._reconnects,
            failures=tuple(self._failures),
            duration_seconds=(self._ended or time.monotonic()) - self._started,
        )

    async def _client(self) -> None:
        connection: ClientConnection | None = None
        while await self._my_turn():
            connection = await self._one_request(connection)
        if connection is not None:
            connection.close()

    async def _my_turn(self) -> bool:
        """Waits for the next moment of the common pace. False when the traffic ends."""
        if self._interval_seconds and not self._stopping.is_set():
            now = time.monotonic()
            turn = max(self._next_turn, now - MAX_BACKLOG_SECONDS)
            self._next_turn = turn + self._interval_seconds
            if turn > now:
                await _wait(self._stopping, turn - now)
        return not self._stopping.is_set()

    async def _one_request(self, connection: ClientConnection | None) -> ClientConnection | None:
        """Sends and records one request; returns the connection if it can be used again."""
        started = begun = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                if connection is None:
                    connection = await ClientConnection.open(self._host, self._port)
                begun = time.monotonic()
                try:
                    answer = await connection.ask(self._request)
                except NoAnswer:
                    if connection.requests == 0:
                        raise
                    self._reconnects += 1
                    connection = await ClientConnection.open(self._host, self._port)
                    begun = time.monotonic()
                    answer = await connection.ask(self._request)
        except TimeoutError:
            self._record(started, begun, None, f"no answer within {self._timeout_seconds:g} s")
        except (OSError, NoAnswer, BrokenAnswer) as error:
            self._record(started, begun, None, str(error) or type(error).__name__)
        else:
            self._record(started, begun, answer)
            if self._keep_alive and answer.keep_alive:
                return connection
        if connection is not None:
            connection.close()
        if self._statuses[-1] == NO_STATUS:
            # A server that refuses does so at once; asking again at once would only measure this loop.
            await _wait(self._stopping, PAUSE_AFTER_NO_ANSWER_SECONDS)
        return None

    def _record(self, started: float, begun: float, answer: Answer | None, problem: str = "") -> None:
        status = answer.status if answer else NO_STATUS
        version = answer.headers.get(self._version_header, b"").decode("latin-1") if answer else ""
        self._begun.append(begun)
        self._seconds.append(time.monotonic() - started)
        self._statuses.append(status)
        self._versions.append(self._version_numbers.setdefault(version, len(self._version_numbers)))
        if not is_success(status) and len(self._failures) < MAX_FAILURE_TEXTS:
            if answer is not None:
                problem = f"HTTP {status} from {version or '?'}: {answer.body[:100].decode(errors='replace')}"
            self._failures.append(f"{begun - self._started:.3f} s: {problem.strip()}")


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
