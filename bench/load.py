"""Load at saturation, from outside of the measuring process: wrk, or our own generator where wrk is missing.

`python -m bench.load URL CONNECTIONS keep|close RATE` is that generator, RATE 0 meaning as fast as answers come:
until SIGINT, then one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import Protocol

from examples.traffic import SteadyTraffic

STOP_TIMEOUT_SECONDS = 30.0
LONGER_THAN_ANY_FIGURE = "3600s"
CONNECTIONS = 32
PACED_CONNECTIONS = 8


@dataclass(frozen=True, slots=True)
class LoadReport:
    """`failed` are requests without a whole answer (wrk's socket errors) and answers of 400 and above."""

    requests: int
    seconds: float
    failed: int
    detail: str = ""

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds if self.seconds else 0.0


class Load(Protocol):
    """Started by being made."""

    def stop(self) -> LoadReport: ...


def wrk_is_there() -> bool:
    return shutil.which("wrk") is not None


def load_name() -> str:
    return "wrk" if wrk_is_there() else "examples.traffic"


def start_load(url: str, *, connections: int = CONNECTIONS, threads: int = 2, close: bool = False) -> Load:
    """Requests one after the other on each connection, as fast as they are answered. `close` makes each
    request use a new connection."""
    if wrk_is_there():
        return _Wrk(url, connections, threads, close)
    return _OwnLoad(url, connections, close, 0.0)


def start_paced_load(url: str, per_second: float) -> Load:
    """A load that leaves the machine room, from a process of its own."""
    return _OwnLoad(url, PACED_CONNECTIONS, False, per_second)


class _Wrk:
    def __init__(self, url: str, connections: int, threads: int, close: bool) -> None:
        headers = ["-H", "Connection: close"] if close else []
        self._process = subprocess.Popen(
            ["wrk", "-t", str(threads), "-c", str(connections), "-d", LONGER_THAN_ANY_FIGURE, *headers, url],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def stop(self) -> LoadReport:
        return parse_wrk(_interrupt(self._process))


def parse_wrk(text: str) -> LoadReport:
    """Reads what wrk prints at its end. Raises RuntimeError when that is no report."""
    total = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m|h)\b", text)
    if not total:
        raise RuntimeError(f"wrk reported nothing: {text.strip()[-400:]}")
    seconds = float(total[2]) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[total[3]]
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    if rate and float(rate[1]) > 0:
        # The duration is printed with two digits of a minute; the rate has them all.
        seconds = int(total[1]) / float(rate[1])
    details, failed = [], 0
    if sockets := re.search(r"Socket errors: (.*)", text):
        failed += sum(int(number) for number in re.findall(r"\d+", sockets[1]))
        details.append(sockets[0].strip())
    if answers := re.search(r"Non-2xx or 3xx responses: (\d+)", text):
        failed += int(answers[1])
        details.append(answers[0].strip())
    return LoadReport(int(total[1]), seconds, failed, "; ".join(details))


class _OwnLoad:
    def __init__(self, url: str, connections: int, close: bool, per_second: float) -> None:
        how = "close" if close else "keep"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.load", url, str(connections), how, str(per_second)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )

    def stop(self) -> LoadReport:
        return LoadReport(**json.loads(_interrupt(self._process)))


def _interrupt(process: subprocess.Popen[str]) -> str:
    process.send_signal(signal.SIGINT)
    try:
        output, _ = process.communicate(timeout=STOP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return output


async def _generate(url: str, connections: int, close: bool, per_second: float) -> LoadReport:
    traffic = SteadyTraffic.to_url(
        url, concurrency=connections, rate_per_second=per_second or None, keep_alive=not close
    )
    interrupted = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupted.set)
    await traffic.start()
    await interrupted.wait()
    report = await traffic.stop()
    return LoadReport(report.sent, report.duration_seconds, report.failed, "; ".join(report.failures))


def main() -> None:
    url, connections, how, per_second = sys.argv[1:]
    report = asyncio.run(_generate(url, int(connections), how == "close", float(per_second)))
    fields = ("requests", "seconds", "failed", "detail")
    print(json.dumps({field: getattr(report, field) for field in fields}))


if __name__ == "__main__":
    main()
